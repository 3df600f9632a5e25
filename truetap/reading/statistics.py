"""Statistics that were computed inside the step, as arrays over the recorded steps.

They lie in one long table a kind (`activations`, `gradients`, …): key columns, path, statistic, over,
and either value (one number) or values with their shape.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from truetap.errors import NotRecordedError, StoreError, near_names

__all__ = ["Statistics", "statistic_name"]

Array = npt.NDArray[Any]


def statistic_name(statistic: str, over: str) -> str:
    """What a statistic is called: "mean" of each recorded step, "mean over epoch" of an epoch's batches.

    Example:
        >>> statistic_name("mean", "batch"), statistic_name("mean", "epoch")
        ('mean', 'mean over epoch')
    """
    return statistic if over == "batch" else f"{statistic} over {over}"


@dataclass(frozen=True)
class _Series:
    values: Array
    steps: Array
    epochs: Array


class Statistics(Mapping[str, Array]):
    """Statistics of one path by name: "mean", "norm", …; "mean over epoch" where they sum up an epoch.

    Values have shape (steps,) for one number a step, else (steps, ...). "mean" alone finds "mean over
    epoch" when no other mean was recorded.

    Args:
        rows: The rows of one path in the long table, in the order of time.
        path: The path, for errors.
    """

    def __init__(self, rows: pa.Table, path: str) -> None:
        self._path = path
        self._rows = rows
        self._at: dict[str, list[int]] = {}
        pairs = zip(rows.column("statistic").to_pylist(), rows.column("over").to_pylist(), strict=True)
        for at, (statistic, over) in enumerate(pairs):
            self._at.setdefault(statistic_name(statistic, over), []).append(at)
        self._known: dict[str, _Series] = {}

    def steps(self, name: str) -> Array:
        """The steps at which a statistic was recorded, int64 (n,); of one over an epoch, its last step.

        Args:
            name: Such as "mean"; the names are those of this mapping.

        Raises:
            NotRecordedError: There is no such statistic.
        """
        return self._series(name).steps

    def epochs(self, name: str) -> Array:
        """The epochs of those steps, int32 (n,).

        Args:
            name: Such as "mean".
        """
        return self._series(name).epochs

    def __getitem__(self, name: str) -> Array:
        return self._series(name).values

    def __iter__(self) -> Iterator[str]:
        return iter(self._at)

    def __len__(self) -> int:
        return len(self._at)

    def __repr__(self) -> str:
        shown = ", ".join(f"{name!r}: {self[name].shape}" for name in self)
        return f"Statistics of {self._path!r}: {shown or 'none'}"

    def _series(self, name: str) -> _Series:
        full = self._full(name)
        if full not in self._known:
            rows = self._rows.take(self._at[full])
            self._known[full] = _Series(
                _values(rows, f"{full} of {self._path!r}"),
                np.asarray(rows.column("step").to_numpy()),
                np.asarray(rows.column("epoch").to_numpy()),
            )
        return self._known[full]

    def _full(self, name: str) -> str:
        if name in self._at:
            return name
        meant = [full for full in self._at if full.startswith(f"{name} over ")]
        if len(meant) == 1:
            return meant[0]
        raise NotRecordedError(f"No statistic {name!r} of {self._path!r} was recorded. {near_names(name, self._at)}")


def _values(rows: pa.Table, what: str) -> Array:
    if "values" not in rows.schema.names or pc.all(pc.is_null(rows.column("values"))).as_py():
        return np.asarray(rows.column("value").to_numpy())
    shapes = {tuple(shape) for shape in rows.column("shape").to_pylist()}
    flat = np.asarray(pc.list_flatten(rows.column("values")).to_numpy())
    if len(shapes) > 1:
        raise StoreError(
            f"The shape of {what} changed. Received: shapes {sorted(shapes)}. Expected: one; choose steps by epoch= "
            "or step=, or read the rows by run.sql."
        )
    return flat.reshape(rows.num_rows, *shapes.pop())
