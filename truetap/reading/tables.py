"""The tables of a run by phase and epoch, as they stood when they were first asked for.

A record batch of a recorded run holds rows of one phase and epoch, and of Parquet files the path
tells both: nothing but a row of each Arrow batch is read to know what there is. Tables without these
columns, as `collect` writes them, are of no phase.
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import pyarrow as pa

from truetap.lazy import Lazy
from truetap.reading.interleaved import Interleaved
from truetap.store import Batches, RunReader

__all__ = ["Picked", "Tables"]


class Picked(Lazy):
    """Some batches of a table, each read when it is asked for.

    Args:
        parts: The batches, and the epoch that they are of.
    """

    def __init__(self, parts: Sequence[tuple[int, Batches | Interleaved]]) -> None:
        self._parts = [(epoch, batches) for epoch, batches in parts if len(batches)]
        self._ends = list(accumulate(len(batches) for _, batches in self._parts))

    @property
    def num_rows(self) -> int:
        """Rows in all; nothing is read for it."""
        return sum(batches.num_rows for _, batches in self._parts)

    def epoch(self, index: int) -> int:
        """The epoch of a batch."""
        return self._parts[bisect.bisect_right(self._ends, index)][0]

    def sizes(self) -> list[int]:
        """Rows of each batch; nothing is read for it."""
        return [batches.rows(index) for _, batches in self._parts for index in range(len(batches))]

    def schemas(self) -> list[pa.Schema]:
        """The schemas that occur, each once."""
        return list(dict.fromkeys(schema for _, batches in self._parts for schema in batches.schemas()))

    def select(self, columns: Sequence[str]) -> Picked:
        """The same with some columns only; of Parquet files only these are read."""
        return Picked([(epoch, batches.select(columns)) for epoch, batches in self._parts])

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def at(self, place: int) -> pa.RecordBatch:
        part = bisect.bisect_right(self._ends, place)
        return self._parts[part][1][place - (self._ends[part - 1] if part else 0)]


class Tables:
    """A run at one moment.

    Args:
        reader: The run.
    """

    def __init__(self, reader: RunReader) -> None:
        self.reader = reader
        self._batches: dict[str, Batches] = {}
        self._epochs: dict[str, dict[str, list[int]]] = {}

    def __contains__(self, table: str) -> bool:
        return table in self.reader.tables

    def batches(self, table: str) -> Batches:
        """All batches of a table; none when there is no such table. Of steps that several workers ran, see `_read`."""
        if table not in self._batches:
            self._batches[table] = self._read(table) if table in self else Batches([])
        return self._batches[table]

    def _read(self, table: str) -> Batches:
        """Rows of samples of all workers; of others those of the first that has any, for all: one a step."""
        batches = self.reader.batches(table)
        if self.reader.workers == 1 or _are_samples(batches):
            return batches
        of_each = (self.reader.batches(table, worker=rank) for rank in range(self.reader.workers))
        return next((own for own in of_each if len(own)), batches)

    def epochs(self, table: str) -> dict[str, list[int]]:
        """The phases of a table, each with its epochs in order; empty for one without."""
        if table not in self._epochs:
            batches = self.batches(table)
            found: dict[str, set[int]] = {}
            for index in range(len(batches)):
                if part := batches.part(index):
                    found.setdefault(part[0], set()).add(part[1])
            self._epochs[table] = {phase: sorted(epochs) for phase, epochs in found.items()}
        return self._epochs[table]

    def where(self, phase: str) -> str:
        """Words for the samples of a phase, in an error about its epochs."""
        removed = self.reader.removed_rows("samples")
        words = f" (its oldest {removed:,} rows, of all phases, were removed to keep the run small)" if removed else ""
        return f"phase {phase!r}{words}"

    def pick(self, table: str, phase: str, epochs: Sequence[int]) -> Picked:
        """The batches of some epochs of a phase, in the order in which they were recorded."""
        batches = self.batches(table).of_part(phase, None)
        if self.reader.workers == 1 or not _are_samples(batches):
            return Picked([(epoch, batches.of_part(phase, epoch)) for epoch in epochs])
        workers = [self.reader.batches(table, phase=phase, worker=rank) for rank in range(self.reader.workers)]
        return Picked([(epoch, Interleaved([own.of_part(phase, epoch) for own in workers])) for epoch in epochs])

    def pick_all(self, table: str) -> Picked:
        """The batches of a table without phases."""
        return Picked([(0, self.batches(table))])

    def whole(self, table: str, *, of_all: bool = False) -> pa.Table | None:
        """A small table in memory, or None when there is none or it has no row yet.

        Args:
            table: Its name.
            of_all: Whether rows of all workers are meant.
        """
        batches = self.reader.batches(table) if of_all and table in self else self.batches(table)
        if not batches.num_rows:
            return None
        parts = [pa.Table.from_batches([batch]) for batch in batches]
        return pa.concat_tables(parts, promote_options="permissive")

    @property
    def metadata(self) -> Mapping[str, Any]:
        """What the run's maker kept with it."""
        return self.reader.metadata


def _are_samples(batches: Batches) -> bool:
    """Whether a row is a sample, and so of one worker alone."""
    return any("sample_id" in schema.names for schema in batches.schemas())
