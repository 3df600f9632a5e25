"""The rows of one sample, over all of a run.

In Parquet files that are sorted by sample, the statistics of the row groups tell which one may hold
it: a hundred epochs of 100,000 samples take some 40 ms. Elsewhere the column is read and searched.
"""

from __future__ import annotations

import bisect
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from truetap.store.mapped import MappedSegment
from truetap.store.parquet_reader import ParquetSource

_FEW_GROUPS = 2  # read whole; of more, the column is searched first


def rows_where(
    parquet: Iterable[ParquetSource],
    segments: Iterable[MappedSegment],
    column: str,
    value: int | str,
    columns: Sequence[str] | None,
) -> list[pa.RecordBatch]:
    """The rows whose `column` is `value`, file by file; files without the column have none."""
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        found = pool.map(lambda source: _in_parquet(source, column, value, columns), parquet)
        batches = [batch for batch in found if batch is not None]
    for segment in segments:
        batches += _in_segment(segment, column, value, columns)
    return batches


def _in_parquet(
    source: ParquetSource, column: str, value: int | str, columns: Sequence[str] | None
) -> pa.RecordBatch | None:
    groups = _groups_that_may_hold(source, column, value)
    if len(groups) > _FEW_GROUPS:
        groups = [group for group in groups if len(_matches(source.groups([group], [column]).column(0), value))]
    if not groups:
        return None
    needed = None if columns is None else list(dict.fromkeys([*columns, column]))
    batch = source.groups(groups, needed, lambda table: _matches(table.column(column), value))
    if not len(batch):
        return None
    return batch if columns is None else batch.select(list(columns))


def _groups_that_may_hold(source: ParquetSource, column: str, value: int | str) -> list[int]:
    """Row groups between whose least and greatest value this one lies."""
    metadata = source.opened().metadata
    names = [metadata.schema.column(place).path for place in range(metadata.num_columns)]
    if column not in names:
        return []
    place = names.index(column)
    metadata = source.statistics(place)
    if source.entry.sorted_by == column:
        per_run = source.entry.run_rows // source.entry.group_rows
        runs = range(0, metadata.num_row_groups, per_run)
        sorted_runs = [range(first, min(first + per_run, metadata.num_row_groups)) for first in runs]
        return [group for run in sorted_runs for group in _groups_of_run(metadata, place, run, value)]
    return [group for group in range(metadata.num_row_groups) if _compare(metadata, group, place, value) == 0]


def _groups_of_run(metadata: Any, place: int, run: range, value: int | str) -> range:
    """Those of groups in ascending order that may hold the value: next to each other."""
    first = bisect.bisect_left(run, 0, key=lambda group: -_compare(metadata, group, place, value))
    last = bisect.bisect_right(run, 0, lo=first, key=lambda group: -_compare(metadata, group, place, value))
    return run[first:last]


def _compare(metadata: Any, group: int, place: int, value: int | str) -> int:
    """-1 when the value is below all of a group, 1 when above, 0 when it may be in it."""
    chunk = metadata.row_group(group).column(place)
    if chunk.physical_type != metadata.schema.column(place).physical_type:
        return 0  # pyarrow ends the process when it is asked for these statistics; who reads the rows is told
    statistics = chunk.statistics
    if statistics is None or not statistics.has_min_max:
        return 0
    try:
        return int(value > statistics.max) - int(value < statistics.min)
    except (TypeError, UnicodeDecodeError):  # strings are asked for among numbers, or the other way round; or are none
        return 0


def _in_segment(
    segment: MappedSegment, column: str, value: int | str, columns: Sequence[str] | None
) -> list[pa.RecordBatch]:
    if column not in segment.schema().names:
        return []
    found = []
    for number in range(segment.num_batches):
        rows = _matches(segment.read(number, [column]).column(0), value)
        if len(rows):
            found.append(segment.read(number, columns).take(rows))
    segment.release()
    return found


def _matches(values: pa.Array | pa.ChunkedArray, value: int | str) -> pa.Array:
    """Indices of the rows that have the value."""
    if pa.types.is_integer(values.type) != isinstance(value, int):
        return pa.array([], pa.int64())
    if pa.types.is_integer(values.type) and not values.null_count:
        return pa.array(np.flatnonzero(values.to_numpy() == value))
    return pa.array(np.flatnonzero(np.asarray(pc.equal(values, value).fill_null(False))))
