"""Values as `json.dumps` takes them: what isn't a finite number is None, as JSON has no word for it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import is_dataclass
from enum import StrEnum
from typing import Any

import numpy as np

__all__ = ["json_value"]


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
