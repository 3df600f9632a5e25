"""Rows of record batches: columns end to end, and chosen rows, without loading the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from truetap.columns import concatenate, decode, is_variable, record_batch
from truetap.errors import NotRecordedError, near_names
from truetap.held import Held

__all__ = [
    "Columns",
    "array",
    "as_table",
    "column_names",
    "count",
    "names",
    "only",
    "parts",
    "take",
    "uniform",
    "with_column",
]

Array = npt.NDArray[Any]


def names(batches: Sequence[pa.RecordBatch], kind: str) -> dict[str, str]:
    """Columns of a kind by what follows the slash: "layers" gives {"conv1": "layers/conv1"}."""
    found = {}
    for column in column_names(batches):
        head, _, rest = column.partition("/")
        if head == kind:
            found[rest] = column
    return found


def column_names(batches: Sequence[pa.RecordBatch]) -> list[str]:
    """The columns that the rows have."""
    known = getattr(batches, "column_names", None)
    if known is not None:
        return list(known)
    return list(batches[0].schema.names) if len(batches) else []


def count(batches: Sequence[pa.RecordBatch]) -> int:
    """Rows in all; batches that know it are not read."""
    known = getattr(batches, "num_rows", None)
    return int(known) if known is not None else sum(len(batch) for batch in batches)


def uniform(batches: Sequence[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The rows in pieces within which every tensor column has one shape; slices, no copies."""
    for batch in batches:
        edges = {0, len(batch)}
        for field in batch.schema:
            if is_variable(field):
                extents = np.asarray(_storage(batch.column(field.name)).field("shape").flatten())
                shapes = extents.reshape(len(batch), -1)
                edges |= set((np.flatnonzero((shapes[1:] != shapes[:-1]).any(axis=1)) + 1).tolist())
        ordered = sorted(edges)
        for start, stop in pairwise(ordered):
            yield batch.slice(start, stop - start)


def _storage(column: pa.Array) -> pa.Array:
    return column.storage if isinstance(column, pa.ExtensionArray) else column


def only(batches: Sequence[pa.RecordBatch], columns: Sequence[str]) -> Sequence[pa.RecordBatch]:
    """The batches with some columns; those that lie on disk read no others."""
    select = getattr(batches, "select", None)
    return batches if select is None else cast(Sequence[pa.RecordBatch], select(columns))


def parts(batches: Sequence[pa.RecordBatch], column: str) -> Iterator[Array]:
    """A column's values, piece by piece."""
    for batch in only(batches, [column]):
        for piece in uniform([batch.select([column])]):
            yield decode(piece.column(0))


def array(batches: Sequence[pa.RecordBatch], column: str) -> Array:
    """A whole column; rows of differing shape are padded with zeros."""
    if isinstance(batches, Held):
        return batches.array(column)
    return concatenate(list(parts(batches, column)))


def take(batches: Sequence[pa.RecordBatch], indices: Array) -> pa.RecordBatch:
    """Chosen rows, in the order of `indices`; only the batches that hold them are read."""
    known = getattr(batches, "sizes", None)
    sizes = np.asarray([len(batch) for batch in batches] if known is None else known(), np.int64)
    starts = np.r_[0, np.cumsum(sizes)]
    owner = np.searchsorted(starts, indices, side="right") - 1
    order = np.argsort(owner, kind="stable")
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    columns = []
    needed = [(batches[int(number)], np.flatnonzero(owner == number)) for number in np.unique(owner)]
    for column in batches[0].schema.names:
        chosen = []
        for (batch, places), number in zip(needed, np.unique(owner), strict=True):
            values = array([batch], column)
            chosen.append(values[indices[places] - starts[number]])
        empty = array(batches[:1], column)[:0] if not chosen else None
        columns.append((column, empty if empty is not None else concatenate(chosen)[back]))
    return record_batch(columns)


def as_table(batches: Sequence[pa.RecordBatch]) -> pa.Table:
    """All rows as one Arrow table; no copy unless shapes differ between batches."""
    schemas = {batch.schema for batch in batches}
    if len(schemas) == 1:
        return pa.Table.from_batches(list(batches))
    fields = [{batch.schema.field(name).type for batch in batches} for name in batches[0].schema.names]
    changing = [name for name, kinds in zip(batches[0].schema.names, fields, strict=True) if len(kinds) > 1]
    variable = frozenset(changing)
    same = [record_batch([(name, array([batch], name)) for name in batch.schema.names], variable) for batch in batches]
    return pa.Table.from_batches(same)


def with_column(batches: Sequence[pa.RecordBatch], name: str, values: Array) -> list[pa.RecordBatch]:
    """The rows with other values in one column, shape (rows,)."""
    found, start = [], 0
    for batch in batches:
        part = values[start : start + len(batch)]
        start += len(batch)
        found.append(batch.set_column(batch.schema.get_field_index(name), name, pa.array(part)))
    return found


class Columns(Mapping[str, Array]):
    """Columns by a short name, each put into memory when asked for.

    Args:
        batches: The rows.
        columns: What the columns are called there, by what they are called here.
        noun: What each is, for the error.
    """

    def __init__(self, batches: Sequence[pa.RecordBatch], columns: Mapping[str, str], noun: str) -> None:
        self._batches, self._columns, self._noun = batches, columns, noun

    def __getitem__(self, name: str) -> Array:
        if name not in self._columns:
            raise NotRecordedError(f"There is no {self._noun} {name!r} here. {near_names(name, self._columns)}")
        return array(self._batches, self._columns[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def __repr__(self) -> str:
        return f"{self._noun}s {list(self._columns)}"
