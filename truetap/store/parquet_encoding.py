"""How columns are laid out in Parquet files: small, quick to write, and quick to find rows in.

zstd at its lowest level everywhere. Floats are never put in dictionaries; dense ones are split into
byte streams, which halves what zstd makes of them (of sparse ones it makes more). Whole numbers are
stored by their differences. Row groups are small where rows are sought by sample, large elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

_LOOKED_AT = 4096  # values of a column by which it is judged
_DENSE = 0.9


class Sizes(NamedTuple):
    """Rows of a row group, and of a run of groups that is sorted, if it is, as one."""

    group_rows: int
    run_rows: int


def sizes_for(row_bytes: float, *, sought: bool) -> Sizes:
    """How a file of rows of about this size is cut.

    Args:
        row_bytes: Bytes of a row in memory.
        sought: Whether single samples will be looked for.
    """
    group = _power_of_two(min(4096 if sought else 131072, (4 << 20) / row_bytes), at_least=256)
    if not sought:
        return Sizes(group, group)
    return Sizes(group, _power_of_two(min(1 << 20, (64 << 20) / row_bytes), at_least=group))


def options_for(table: pa.Table) -> dict[str, Any]:
    """What to tell pyarrow's writer of a file that begins with these rows."""
    dictionaries: list[str] = []
    encodings: dict[str, str] = {}
    for name in table.schema.names:
        column = table.column(name).slice(0, _LOOKED_AT).combine_chunks()
        for path, values in _leaves(name, column):
            kind = values.type
            if pa.types.is_float32(kind) or pa.types.is_float64(kind):
                if _is_dense(values):
                    encodings[path] = "BYTE_STREAM_SPLIT"
            elif pa.types.is_integer(kind) and kind.bit_width >= 32:
                encodings[path] = "DELTA_BINARY_PACKED"
            elif (pa.types.is_integer(kind) and kind.bit_width == 8) or _repeats(values):
                dictionaries.append(path)
    return {
        "compression": "zstd",
        "compression_level": 1,
        "use_dictionary": dictionaries or False,
        "column_encoding": encodings or None,
    }


def _leaves(path: str, values: pa.Array) -> Iterator[tuple[str, pa.Array]]:
    """The columns that Parquet makes of one, by their names there."""
    if isinstance(values, pa.ExtensionArray):
        values = values.storage
    kind = values.type
    if pa.types.is_struct(kind):
        for index in range(kind.num_fields):
            yield from _leaves(f"{path}.{kind.field(index).name}", values.field(index))
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        yield from _leaves(f"{path}.list.element", values.flatten())
    else:
        yield path, values


def _is_dense(values: pa.Array) -> bool:
    known = np.asarray(values.slice(0, _LOOKED_AT).drop_null())
    return bool(np.count_nonzero(known) >= _DENSE * len(known))


def _repeats(values: pa.Array) -> bool:
    """Whether these are strings, of which the same come often."""
    if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
        return False
    return len(values.unique()) <= max(1, len(values) // 2)


def _power_of_two(number: float, *, at_least: int) -> int:
    return int(max(at_least, 1 << max(0, int(number).bit_length() - 1)))
