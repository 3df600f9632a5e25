"""The rows that `run.samples` shows: those recorded, under their names, with one set of columns.

Sessions of a run may differ: one fit with sample weights, the next without. A column of floats that
some batches lack reads NaN there. Batches are mapped or read one at a time; nothing is held.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from truetap.columns import encode
from truetap.errors import StoreError
from truetap.lazy import Lazy
from truetap.reading.names import Names
from truetap.reading.tables import Picked

__all__ = ["Alike", "Named", "common_fields", "made_alike", "numbers", "occurrences"]

Array = npt.NDArray[Any]


class Alike(Lazy):
    """Batches with the same columns each: floats that one lacks are NaN, ids of two kinds are strings.

    Args:
        picked: Rows as they were recorded.
        columns: The columns that are wanted; None for all.

    Raises:
        StoreError: Some batches lack a column that can't be filled.
    """

    def __init__(self, picked: Picked, columns: Sequence[str] | None = None) -> None:
        schemas = picked.schemas()
        fields = common_fields(schemas)
        self._fields = fields if columns is None else {name: fields[name] for name in columns}
        whole = all(set(self._fields) <= set(schema.names) for schema in schemas)
        self.picked = picked if columns is None or not whole else picked.select(columns)

    @property
    def num_rows(self) -> int:
        """Rows in all; nothing is read for it."""
        return self.picked.num_rows

    @property
    def column_names(self) -> list[str]:
        """The columns, in order."""
        return list(self._fields)

    def sizes(self) -> list[int]:
        """Rows of each batch; nothing is read for it."""
        return self.picked.sizes()

    def select(self, columns: Sequence[str]) -> Self:
        """The same with some columns only; of Parquet files only these are read."""
        return type(self)(self.picked, columns)

    def __len__(self) -> int:
        return len(self.picked)

    def at(self, place: int) -> pa.RecordBatch:
        return made_alike(self.picked[place], self._fields)


class Named(Lazy):
    """Batches whose samples have names that were given after the fact.

    Args:
        alike: Rows as they were recorded.
        names: The names.
        columns: The columns that are wanted; None for all.
        nth: Of batches that hold identical inputs, which of them each row is; None to find out.
    """

    def __init__(
        self, alike: Alike, names: Names, columns: Sequence[str] | None = None, nth: dict[int, Array] | None = None
    ) -> None:
        self._alike, self._names = alike, names
        self.column_names = list(alike.column_names if columns is None else columns)
        self._nth = _nth_of_twins(alike, names) if nth is None else nth
        ids = "sample_id" in self.column_names
        needed = dict.fromkeys([*self.column_names, *(["fingerprint"] if ids else [])])
        self._read = alike if columns is None else alike.select(list(needed))
        self._name = ids and "fingerprint" in needed

    @property
    def num_rows(self) -> int:
        """Rows in all; nothing is read for it."""
        return self._alike.num_rows

    def sizes(self) -> list[int]:
        """Rows of each batch; nothing is read for it."""
        return self._alike.sizes()

    def select(self, columns: Sequence[str]) -> Named:
        """The same with some columns only."""
        return Named(self._alike, self._names, columns, self._nth)

    def __len__(self) -> int:
        return len(self._alike)

    def at(self, place: int) -> pa.RecordBatch:
        batch = self._read[place]
        if self._name:
            column = batch.schema.get_field_index("sample_id")
            ids, prints = numbers(batch.column(column)), numbers(batch.column("fingerprint"))
            batch = batch.set_column(column, "sample_id", encode(self._names.apply(prints, ids, self._nth.get(place))))
        return batch.select(self.column_names)


def made_alike(batch: pa.RecordBatch, fields: dict[str, pa.Field]) -> pa.RecordBatch:
    """A batch with these columns: those it lacks are NaN, and ids are strings where others are."""
    if batch.schema.names != list(fields):
        pairs = [_column(batch, field) for field in fields.values()]
        schema = pa.schema([field for field, _ in pairs])
        batch = pa.RecordBatch.from_arrays([values for _, values in pairs], schema=schema)
    ids = fields.get("sample_id")
    if ids is not None and pa.types.is_string(ids.type) and pa.types.is_integer(batch.column("sample_id").type):
        place = batch.schema.get_field_index("sample_id")
        strings = [f"fingerprint:{item}" for item in batch.column(place).to_pylist()]
        return batch.set_column(place, "sample_id", pa.array(strings, pa.string()))
    return batch


def common_fields(schemas: Sequence[pa.Schema]) -> dict[str, pa.Field]:
    """The columns that any of the batches has.

    Raises:
        StoreError: One that some lack is of a type that has no value for what is missing.
    """
    fields: dict[str, pa.Field] = {}
    for schema in schemas:
        for field in schema:
            known = fields.setdefault(field.name, field)
            if field.name == "sample_id" and pa.types.is_string(field.type) and not pa.types.is_string(known.type):
                fields[field.name] = field
    for name, field in fields.items():
        value = field.type.value_type if isinstance(field.type, pa.FixedShapeTensorType) else field.type
        if not pa.types.is_floating(value) and not all(name in schema.names for schema in schemas):
            raise StoreError(
                f"Some of these batches have no column {name!r}, and {field.type} has no value for what is missing. "
                "Received: batches of sessions that recorded different columns. Expected: epoch= of one session."
            )
    return fields


def numbers(column: pa.Array) -> Array:
    """A plain column as an array; strings as objects."""
    return np.asarray(column.to_numpy(zero_copy_only=False))


def occurrences(prints: Array, epochs: Array) -> Array:
    """For each row, how many rows of its epoch before it have the same fingerprint.

    Example:
        >>> occurrences(np.array([7, 7, 8, 7]), np.array([0, 0, 0, 1]))
        array([0, 1, 0, 0])
    """
    order = np.lexsort((np.arange(len(prints)), prints, epochs))
    ordered, epoch = prints[order], epochs[order]
    begins = np.ones(len(prints), bool)
    begins[1:] = (ordered[1:] != ordered[:-1]) | (epoch[1:] != epoch[:-1])
    places = np.arange(len(prints))
    nth = np.empty(len(prints), np.int64)
    nth[order] = places - np.maximum.accumulate(np.where(begins, places, 0))
    return nth


def _nth_of_twins(alike: Alike, names: Names) -> dict[int, Array]:
    """Of batches that hold identical inputs, which of them each row is; others are left out."""
    twins = names.twins
    if not len(twins) or "fingerprint" not in alike.column_names:
        return {}
    found: list[tuple[int, int, Array]] = []
    prints, epochs = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for at, batch in enumerate(alike.select(["fingerprint"])):
        values = numbers(batch.column(0))
        rows = np.flatnonzero(np.isin(values, twins))
        if len(rows):
            found.append((at, len(values), rows))
            prints.append(values[rows])
            epochs.append(np.full(len(rows), alike.picked.epoch(at)))
    every = occurrences(np.concatenate(prints), np.concatenate(epochs))
    nth: dict[int, Array] = {}
    start = 0
    for at, size, rows in found:
        nth[at] = np.zeros(size, np.int64)
        nth[at][rows] = every[start : start + len(rows)]
        start += len(rows)
    return nth


def _column(batch: pa.RecordBatch, field: pa.Field) -> tuple[pa.Field, pa.Array]:
    if field.name in batch.schema.names:
        return batch.schema.field(field.name), batch.column(field.name)
    tensor = isinstance(field.type, pa.FixedShapeTensorType)
    shape = tuple(field.type.shape) if tensor else ()
    # older versions of pyarrow need pandas for to_pandas_dtype
    dtype = numbers(pa.array([], field.type.value_type if tensor else field.type)).dtype
    return field, encode(np.full((len(batch), *shape), np.nan, dtype))
