"""Parquet files as data: labels and weights by the usual names of columns, the other columns are inputs.

A row group can be decoded from its beginning only: units that begin in one are read in one pass, of
which two units are in memory at a time. Row numbers count over all files in the order of their
paths.
"""

from __future__ import annotations

import bisect
import itertools
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from truetap.columns import decode
from truetap.data.element import LABEL_KEYS, WEIGHT_KEYS
from truetap.engines.pieces import Piece
from truetap.engines.units import Part, Unit
from truetap.errors import DataError, TruetapError

__all__ = ["ParquetFiles", "open_parquet"]

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class ParquetFiles:
    """Parquet files of one schema.

    Attributes:
        parts: The files.
        names: The columns that all files have.
        columns: Those that are read; all by default.
    """

    parts: tuple[Part, ...]
    names: tuple[str, ...]
    columns: tuple[str, ...] | None = None

    kind = "Parquet files"
    class_names: tuple[str, ...] | None = None

    @property
    def paths(self) -> tuple[str, ...]:
        """The files."""
        return tuple(part.path for part in self.parts)

    def only(self, inputs: Sequence[str], ids: str | None) -> ParquetFiles:
        """With no more columns than a model with these inputs needs; all, where one of them is missing."""
        if not inputs or not set(inputs) <= set(self.names):
            return self
        wanted = {*inputs, *LABEL_KEYS, *WEIGHT_KEYS, *([ids] if ids else [])}
        return replace(self, columns=tuple(name for name in self.names if name in wanted))

    def stretches(self, units: Sequence[Unit]) -> list[tuple[Unit, ...]]:
        """The units that begin in one row group together, so that none is decoded for each of them."""

        def group(unit: Unit) -> tuple[int, int]:
            return unit.part, bisect.bisect_right(self.parts[unit.part].ends, unit.start)

        return [tuple(together) for _, together in itertools.groupby(units, group)]

    def read(self, stretch: Sequence[Unit]) -> Iterator[Piece]:
        """The rows of the units, and their numbers."""
        part = self.parts[stretch[0].part]
        started = time.perf_counter()
        try:
            with pq.ParquetFile(part.path, memory_map=True) as file:
                for unit, table in _tables(file, stretch, part.ends, self.columns):
                    element = {name: _values(table.column(name), name, part.path) for name in table.column_names}
                    ids = np.arange(unit.first_row, unit.first_row + unit.rows)
                    yield Piece(element, ids, time.perf_counter() - started)
                    started = time.perf_counter()
        except (OSError, pa.ArrowException) as error:
            raise error if isinstance(error, TruetapError) else _unreadable(part.path, error) from error


def open_parquet(paths: Sequence[str]) -> ParquetFiles:
    """Reads the footers of Parquet files.

    Raises:
        DataError: One can't be read, or has other columns than the first.
    """
    with ThreadPoolExecutor(16) as pool:
        read = list(pool.map(_footer, paths))
    names = read[0][1]
    for path, (_, own) in zip(paths, read, strict=True):
        if set(own) != set(names):
            raise DataError(
                f"Parquet files of different columns are not one data set. Received: {sorted(own)} in {path!r}, "
                f"{sorted(names)} in {paths[0]!r}. Expected: the same columns in all files."
            )
    return ParquetFiles(tuple(part for part, _ in read), names)


def _footer(path: str) -> tuple[Part, tuple[str, ...]]:
    try:
        with pq.ParquetFile(path) as file:
            groups = [file.metadata.row_group(number) for number in range(file.num_row_groups)]
            nbytes = sum(group.total_byte_size for group in groups)
            ends = tuple(itertools.accumulate(group.num_rows for group in groups))
            return Part(path, file.metadata.num_rows, nbytes, ends=ends), tuple(file.schema_arrow.names)
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: str, error: Exception) -> DataError:
    return DataError(f"The Parquet file {path!r} can't be read: {error}.")


def _tables(
    file: Any, units: Sequence[Unit], ends: Sequence[int], columns: Sequence[str] | None
) -> Iterator[tuple[Unit, pa.Table]]:
    """The rows of units in order, from one pass over the row groups that they lie in; about two units in memory."""
    first = bisect.bisect_right(ends, units[0].start)
    last = bisect.bisect_left(ends, units[-1].stop)
    batches = file.iter_batches(
        batch_size=units[0].rows,
        row_groups=list(range(first, last + 1)),
        columns=None if columns is None else list(columns),
        use_threads=False,
    )
    at = ends[first - 1] if first else 0  # the row that `held` begins with
    held = pa.Table.from_batches([next(batches)])
    for unit in units:
        while at + held.num_rows < unit.stop:
            more = next(batches, None)
            if more is None:
                raise DataError(f"A Parquet file changed while it was read: row {at + held.num_rows} is gone.")
            skipped = min(max(0, unit.start - at), held.num_rows)
            held = pa.concat_tables([held.slice(skipped), pa.Table.from_batches([more])])
            at += skipped
        yield unit, held.slice(unit.start - at, unit.rows)


def _values(column: pa.ChunkedArray, name: str, path: str) -> Array:
    """A column as an array of shape (n, ...): lists of one length become an axis."""
    if column.null_count:
        raise DataError(
            f"Column {name!r} of {path!r} has {column.null_count} nulls. Expected: values; NaN stands for a missing "
            "number, or drop those rows."
        )
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):  # of no chunk, or of several that don't fit into one
        array = pa.concat_arrays(array.chunks)
    return _stacked(array, name, path)


def _stacked(array: pa.Array, name: str, path: str) -> Array:
    kind = array.type
    if pa.types.is_fixed_size_list(kind):
        inner = _stacked(array.flatten(), name, path)
        return inner.reshape(len(array), kind.list_size, *inner.shape[1:])
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        lengths = np.diff(np.asarray(array.offsets))
        if len(lengths) and (lengths != lengths[0]).any():
            raise DataError(
                f"The lists in column {name!r} of {path!r} have {lengths.min()} to {lengths.max()} values. Expected: "
                "one length; pad them, or read the files by a function that makes padded batches (engine=None)."
            )
        inner = _stacked(array.flatten(), name, path)
        return inner.reshape(len(array), -1, *inner.shape[1:])
    return decode(array)
