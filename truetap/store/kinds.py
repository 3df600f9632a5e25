"""Types of Arrow that a run doesn't hold: a batch of them can't be read by itself, or bounded by its bytes.

Many views may share the same bytes, so a small file could stand for a large one.
"""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

DICTIONARY = "dictionary-encoded values"
_VIEWS = (
    pa.types.is_string_view,
    pa.types.is_binary_view,
    pa.types.is_list_view,
    pa.types.is_large_list_view,
)


def refused_kind(kind: pa.DataType) -> str:
    """What of this type, leaving aside those within it, no run holds; "" for all others."""
    if pa.types.is_dictionary(kind):
        return DICTIONARY
    return "views, which may share their bytes" if any(is_view(kind) for is_view in _VIEWS) else ""


def check_kinds(fields: Iterable[pa.Field]) -> None:
    """Return when a run may hold all of these; pyarrow decodes names only when asked, so they are asked for here.

    Raises:
        ValueError: There is a type that no run holds, or a name that isn't UTF-8.
    """
    for field in fields:
        _ = field.name
        kind = field.type.storage_type if isinstance(field.type, pa.BaseExtensionType) else field.type
        if refused := refused_kind(kind):
            raise ValueError(f"{refused}: {kind}")
        check_kinds(kind.field(index) for index in range(kind.num_fields))
