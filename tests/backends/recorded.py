"""What a run holds, read with Arrow alone: the tests of the recorder don't trust our own reader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from truetap.columns import decode
from truetap.store import RunReader

Array = npt.NDArray[Any]


def rows(path: Path | str, table: str, phase: str | None = None) -> dict[str, list[Any]]:
    """The rows of a table in the order written: Python values, tensors as arrays."""
    found: dict[str, list[Any]] = {}
    total = 0
    for batch in RunReader(path).batches(table):
        for name in batch.schema.names:
            column = batch.column(name)
            tensor = "tensor" in str(column.type)
            found.setdefault(name, [None] * total).extend(decode(column) if tensor else column.to_pylist())
        total += batch.num_rows
        for values in found.values():  # columns that only some phases have
            values.extend([None] * (total - len(values)))
    if phase is not None:
        keep = [index for index, value in enumerate(found["phase"]) if value == phase]
        found = {name: [values[index] for index in keep] for name, values in found.items()}
    order = sorted(range(len(found["step"])), key=lambda i: _key(found, i)) if "step" in found else None
    return found if order is None else {name: [values[i] for i in order] for name, values in found.items()}


def _key(found: dict[str, list[Any]], index: int) -> tuple[Any, ...]:
    return tuple(found[name][index] for name in ("phase", "step", "position") if name in found)


def step(found: dict[str, list[Any]], number: int, column: str) -> Array:
    """A column's values in one step."""
    return np.asarray([value for value, at in zip(found[column], found["step"], strict=True) if at == number])


def statistic(found: dict[str, list[Any]], path: str, name: str, number: int, over: str = "batch") -> Any:
    """A reduced value of one path in one step."""
    columns = (found["path"], found["statistic"], found["step"], found["over"])
    chosen = [i for i, key in enumerate(zip(*columns, strict=True)) if key == (path, name, number, over)]
    assert len(chosen) == 1, f"{len(chosen)} rows of {name} of {path} in step {number}"
    value = found["value"][chosen[0]]
    return value if value is not None else np.reshape(found["values"][chosen[0]], found["shape"][chosen[0]])
