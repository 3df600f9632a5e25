"""Rows of samples that several workers recorded, in the order of their steps.

Each worker's rows are in order already; of a step that all ran together come those of the first worker, then those of
the next. Cost: the column `step` is read once, a few numbers are kept for each step and worker, and batches are read
when they are asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from truetap.lazy import Lazy
from truetap.store import Batches

__all__ = ["Interleaved"]


class _Stretch(NamedTuple):
    """Rows of one step in one batch of one worker."""

    step: int
    worker: int
    batch: int
    start: int
    stop: int


class Interleaved(Lazy):
    """Rows of one phase and epoch.

    Args:
        workers: The batches of each worker.
        columns: The columns that are wanted; None for all.
        known: The rows of each batch, if they were worked out before.
    """

    def __init__(
        self,
        workers: Sequence[Batches],
        columns: Sequence[str] | None = None,
        known: Sequence[Sequence[_Stretch]] | None = None,
    ) -> None:
        self._workers = workers
        self._read = workers if columns is None else [batches.select(columns) for batches in workers]
        self._batches = _gathered(workers) if known is None else known

    @property
    def num_rows(self) -> int:
        """Rows in all; nothing is read for it."""
        return sum(batches.num_rows for batches in self._workers)

    def rows(self, index: int) -> int:
        """Rows of one batch, which isn't read for it."""
        return sum(one.stop - one.start for one in self._batches[index])

    def schemas(self) -> list[pa.Schema]:
        """The schemas that occur, each once."""
        return list(dict.fromkeys(schema for batches in self._workers for schema in batches.schemas()))

    def select(self, columns: Sequence[str]) -> Interleaved:
        """The same batches with some columns only; of Parquet files only these are read."""
        return Interleaved(self._workers, columns, self._batches)

    def __len__(self) -> int:
        return len(self._batches)

    def at(self, place: int) -> pa.RecordBatch:
        stretches = self._batches[place]
        read = {(one.worker, one.batch): self._read[one.worker][one.batch] for one in stretches}
        pieces = [read[one.worker, one.batch].slice(one.start, one.stop - one.start) for one in stretches]
        return pieces[0] if len(pieces) == 1 else pa.concat_batches(pieces)


def _gathered(workers: Sequence[Batches]) -> list[list[_Stretch]]:
    """The stretches in order, as many together as a batch had rows; alone where batches can't be put together."""
    stretches = sorted(
        _Stretch(step, worker, number, start, stop)
        for worker, batches in enumerate(workers)
        for number, batch in enumerate(batches.select(["step"]))
        for step, start, stop in _steps(batch)
    )
    alike = len({schema for batches in workers for schema in batches.schemas()}) == 1
    most = max((batches.rows(index) for batches in workers for index in range(len(batches))), default=0)
    found: list[list[_Stretch]] = []
    rows = 0
    for one in stretches:
        size = one.stop - one.start
        if not found or not alike or rows + size > most:
            found.append([])
            rows = 0
        found[-1].append(one)
        rows += size
    return found


def _steps(batch: pa.RecordBatch) -> list[tuple[int, int, int]]:
    """The steps of a batch, each with its first row and its end."""
    steps = batch.column(0).to_numpy()
    edges = np.concatenate([[0], np.flatnonzero(np.diff(steps)) + 1, [len(steps)]])
    return [(int(steps[start]), int(start), int(stop)) for start, stop in pairwise(edges) if stop > start]
