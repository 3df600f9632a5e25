"""Phase and epoch of rows: by these a recorded run is cut into parts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import pyarrow as pa

Part: TypeAlias = tuple[str, int]

KEYS = ("phase", "epoch")


def has_parts(schema: pa.Schema) -> bool:
    """Whether rows begin with a phase (string) and an epoch (int32)."""
    return (
        len(schema.names) > len(KEYS)
        and tuple(schema.names[: len(KEYS)]) == KEYS
        and schema.types[0] == pa.string()
        and schema.types[1] == pa.int32()
    )


def parts_of(batch: pa.RecordBatch) -> Iterator[tuple[int, int, Part | None]]:
    """Where a batch changes from one part to another.

    Yields:
        First row and end of each stretch, and its part; all rows as one of no part where one has none.
    """
    if not len(batch):
        return
    if batch.column(0).null_count or batch.column(1).null_count:
        yield 0, len(batch), None
        return
    codes = np.asarray(batch.column(0).dictionary_encode().indices)
    epochs = np.asarray(batch.column(1))
    edges = np.flatnonzero((codes[1:] != codes[:-1]) | (epochs[1:] != epochs[:-1])) + 1
    for start, stop in pairwise([0, *edges.tolist(), len(batch)]):
        yield start, stop, part_at(batch, start)


def part_at(batch: pa.RecordBatch, row: int) -> Part | None:
    """Phase and epoch of one row, if it has both."""
    phase, epoch = batch.column(0)[row].as_py(), batch.column(1)[row].as_py()
    return None if phase is None or epoch is None else (phase, epoch)


def newest_of(parts: Iterable[Part | None]) -> dict[str, int]:
    """The newest epoch of each phase."""
    newest: dict[str, int] = {}
    for part in parts:
        if part is not None:
            newest[part[0]] = max(part[1], newest.get(part[0], part[1]))
    return newest


def with_keys(schema: pa.Schema) -> pa.Schema:
    """The schema with phase and epoch put in front."""
    fields = [pa.field(KEYS[0], pa.string()), pa.field(KEYS[1], pa.int32()), *schema]
    return pa.schema(fields, metadata=schema.metadata)


def with_part(batch: pa.RecordBatch, part: Part) -> pa.RecordBatch:
    """The rows with their phase and epoch put in front."""
    rows = len(batch)
    phases = pa.repeat(pa.scalar(part[0], pa.string()), rows)
    epochs = pa.repeat(pa.scalar(part[1], pa.int32()), rows)
    return pa.RecordBatch.from_arrays([phases, epochs, *batch.columns], schema=with_keys(batch.schema))
