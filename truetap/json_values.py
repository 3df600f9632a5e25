"""Values as `json.dumps` takes them: what isn't a finite number is None, as JSON has no word for it; and read back."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import is_dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from truetap.errors import DamagedRunError

__all__ = ["json_value", "metadata_read"]


def json_value(value: Any) -> Any:
    """Dataclasses and mappings as dicts, arrays and tuples as lists, numbers as Python's.

    Example:
        >>> json_value({"loss": np.float32("nan"), "counts": np.arange(2)})
        {'loss': None, 'counts': [0, 1]}
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {name: json_value(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, Mapping):
        return {str(key): json_value(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return json_value(value.tolist())
    if isinstance(value, tuple | list):
        return [json_value(item) for item in value]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, np.integer):
        return int(value)
    return str(value) if isinstance(value, StrEnum) else value


@contextmanager
def metadata_read(name: str, plain: Any) -> Iterator[None]:
    """Inside, metadata of a run become objects; what doesn't fit is damage.

    Args:
        name: The key of the metadata.
        plain: What the manifest has there.

    Raises:
        DamagedRunError: The values aren't of the kinds that truetap writes.
    """
    try:
        yield
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise DamagedRunError(
            f"A run's metadata {name!r} is not what truetap writes: {error}. Received: {plain!r:.200}. "
            "Restore manifest.json from a copy; the tables can be read by run.reader and run.sql."
        ) from error
