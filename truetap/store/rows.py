"""Rows on their way to a table as NumPy columns, gathered until they are worth a write.

To make Arrow of each small batch would cost 40 us and more; to look at ten NumPy columns and copy
them costs a quarter of that, and the rows of many steps become Arrow together. What is held is
copied, so no array of the framework, and no memory of its device, waits here for a write.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from truetap.columns import encode_parts, record_batch
from truetap.errors import StoreError

Array: TypeAlias = npt.NDArray[Any]
Column: TypeAlias = "Array | pa.Array"


class Rows(NamedTuple):
    """Some rows of a table.

    Attributes:
        table: Name of the table.
        columns: Values of shape (n, ...) by column, of one n for all; strings are of shape (n,). What
            NumPy has no value for, such as a missing number, is given as a `pyarrow.Array`.
        part: Phase and epoch of the rows: no record batch mixes two.
    """

    table: str
    columns: Mapping[str, Column]
    part: tuple[str, int] = ("", 0)


Work: TypeAlias = Callable[[], Iterable[Rows]]
Together: TypeAlias = Callable[[list[Any]], Iterable[Rows]]  # makes rows of all that waits of a kind

_Kind: TypeAlias = tuple[Any, ...]  # what columns must have in common to be put end to end
_STRING = ("string",)


class RowGatherer:
    """Holds copies of the rows of one table that can become one record batch.

    A column whose trailing shape has changed once is stored with a shape per row from then on.
    """

    def __init__(self) -> None:
        self._varying: frozenset[str] = frozenset()
        self._kinds: dict[str, _Kind] = {}
        self._parts: dict[str, list[Column]] = {}
        self._part: tuple[str, int] = ("", 0)
        self.num_rows = 0
        self.nbytes = 0
        self.since = 0.0  # when the oldest of these rows was put

    def fits(self, rows: Rows) -> bool:
        """Whether the rows can join those held; if not, `take` those first."""
        kinds = self._kinds_of(rows)
        if kinds == self._kinds:
            return not self.num_rows or rows.part == self._part
        if changed := _other_shape(self._kinds, kinds):
            self._varying |= changed
        return not self.num_rows

    def add(self, rows: Rows, size: int, nbytes: int, *, copy: bool = True) -> None:
        """Hold rows that fit, of which there are `size`.

        Args:
            rows: The rows.
            size: How many.
            nbytes: Their size.
            copy: Whether arrays are copied; else they are held until `take`.
        """
        if not self.num_rows:
            self._begin(rows)
        parts = self._parts
        for name, values in rows.columns.items():
            parts[name].append(values.copy() if copy and type(values) is np.ndarray else values)
        self.num_rows += size
        self.nbytes += nbytes

    def take(self) -> pa.RecordBatch | None:
        """What is held as one record batch, or None; nothing is held afterwards."""
        if not self.num_rows:
            return None
        parts, self._parts = self._parts, {}
        self.num_rows = self.nbytes = 0
        return record_batch((name, self._joined(name, values)) for name, values in parts.items())

    def _begin(self, rows: Rows) -> None:
        self._kinds = self._kinds_of(rows)
        self._part = rows.part
        self._parts = {name: [] for name in rows.columns}

    def _kinds_of(self, rows: Rows) -> dict[str, _Kind]:
        kinds: dict[str, _Kind] = {}
        for name, values in rows.columns.items():
            if type(values) is not np.ndarray:
                kinds[name] = _kind_of_other(rows.table, name, values)
            elif values.dtype.kind in "SUOT":
                kinds[name] = _STRING
            else:
                kinds[name] = (values.dtype, values.ndim if name in self._varying else values.shape[1:])
        return kinds

    def _joined(self, name: str, parts: list[Any]) -> pa.Array:
        if isinstance(parts[0], pa.Array):
            return pa.concat_arrays(parts)
        return encode_parts(parts, variable=name in self._varying)


def measured(rows: Rows) -> tuple[int, int]:
    """How many rows these are, and their bytes.

    Raises:
        StoreError: There are no columns, or they differ in length.
    """
    size = -1
    nbytes = 0
    for values in rows.columns.values():
        if size != len(values):
            if size >= 0:
                break
            size = len(values)
        nbytes += values.nbytes
    else:
        if size >= 0:
            return size, nbytes
    lengths = {name: len(values) for name, values in rows.columns.items()}
    raise StoreError(
        f"Rows of table {rows.table!r} must have columns, all of one length. Received: lengths {lengths}. "
        "Expected: one value per row in each."
    )


def _kind_of_other(table: str, name: str, values: Any) -> _Kind:
    if isinstance(values, pa.Array):
        return (values.type,)
    raise StoreError(
        f"A column must be a NumPy array or a pyarrow.Array. Received: {type(values).__name__} in column {name!r} of "
        f"table {table!r}. Expected: numpy.asarray(…) of it, or pyarrow.array(…) where values are missing."
    )


def _other_shape(before: dict[str, _Kind], now: dict[str, _Kind]) -> frozenset[str]:
    """Tensor columns that are what they were but for their shape."""
    if before.keys() != now.keys():
        return frozenset()
    return frozenset(
        name
        for name, kind in now.items()
        if kind != (old := before[name])
        and len(kind) == len(old) == 2
        and kind[0] == old[0]
        and isinstance(kind[1], tuple)
        and isinstance(old[1], tuple)
        and len(kind[1]) == len(old[1])
    )
