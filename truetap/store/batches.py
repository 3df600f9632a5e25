"""The record batches of a table, from Parquet files and Arrow segments, as one sequence.

A batch is read when it is asked for; a few files stay at hand for the next.
"""

from __future__ import annotations

import bisect
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Protocol

import pyarrow as pa

from truetap.lazy import Lazy
from truetap.store.parts import Part

_KEPT = 4


class Source(Protocol):
    """A file of batches."""

    @property
    def num_rows(self) -> int:
        """Rows of all batches together."""

    @property
    def num_batches(self) -> int:
        """How many batches there are."""

    def rows(self, number: int) -> int:
        """Rows of one batch."""

    def part(self, number: int) -> Part | None:
        """Phase and epoch of one batch, if it has them."""

    def schema(self) -> pa.Schema:
        """That of all batches."""

    def read(self, number: int, columns: Sequence[str] | None) -> pa.RecordBatch:
        """One batch, or some columns of it."""

    def release(self) -> None:
        """Let go of what is kept for the next batch."""


class Batches(Lazy):
    """The batches of a table that were committed when this was made. Batches may differ in schema.

    Args:
        sources: The files, in order.
        columns: Names of the columns to read; all by default.
    """

    def __init__(self, sources: Sequence[Source], *, columns: Sequence[str] | None = None) -> None:
        self._sources = [source for source in sources if source.num_batches]
        self._ends = list(accumulate(source.num_batches for source in self._sources))
        self._columns = columns
        self._at_hand: OrderedDict[int, None] = OrderedDict()

    @property
    def num_rows(self) -> int:
        """Rows of all batches together; nothing is read for it."""
        return sum(source.num_rows for source in self._sources)

    def rows(self, index: int) -> int:
        """Rows of one batch, which isn't read for it."""
        source, number = self._place(index)
        return self._sources[source].rows(number)

    def part(self, index: int) -> Part | None:
        """Phase and epoch of one batch, if it has both; of Parquet files nothing is read for it."""
        source, number = self._place(index)
        self._use(source)
        return self._sources[source].part(number)

    def schemas(self) -> list[pa.Schema]:
        """The schemas that occur, each once; only the beginnings of files are read."""
        found: dict[pa.Schema, None] = {}
        for index, source in enumerate(self._sources):
            self._use(index)
            found[source.schema()] = None
        return list(found)

    def select(self, columns: Sequence[str]) -> Batches:
        """The same batches with some columns only; of Parquet files only these are read."""
        return Batches(self._sources, columns=columns)

    def of_part(self, phase: str | None, epoch: int | None) -> Batches:
        """Those of a phase, of an epoch, or of both."""
        chosen: list[Source] = []
        for index, source in enumerate(self._sources):
            self._use(index)
            numbers = [
                number
                for number in range(source.num_batches)
                if (part := source.part(number)) and phase in (None, part[0]) and epoch in (None, part[1])
            ]
            chosen.append(source if len(numbers) == source.num_batches else _Chosen(source, numbers))
        return Batches(chosen, columns=self._columns)

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def at(self, place: int) -> pa.RecordBatch:
        """One batch.

        Raises:
            DamagedRunError: Its bytes are no record batch or, when they are checked, not those written.
        """
        source, number = self._place(place)
        self._use(source)
        return self._sources[source].read(number, self._columns)

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return (self[index] for index in range(len(self)))

    def _place(self, place: int) -> tuple[int, int]:
        source = bisect.bisect_right(self._ends, place)
        return source, place - (self._ends[source - 1] if source else 0)

    def _use(self, source: int) -> None:
        self._at_hand[source] = None
        self._at_hand.move_to_end(source)
        if len(self._at_hand) > _KEPT:
            oldest, _ = self._at_hand.popitem(last=False)
            self._sources[oldest].release()


class _Chosen:
    """Some batches of a source."""

    def __init__(self, source: Source, numbers: Sequence[int]) -> None:
        self._source = source
        self._numbers = numbers
        self.release = source.release
        self.schema = source.schema

    @property
    def num_rows(self) -> int:
        return sum(map(self._source.rows, self._numbers))

    @property
    def num_batches(self) -> int:
        return len(self._numbers)

    def rows(self, number: int) -> int:
        return self._source.rows(self._numbers[number])

    def part(self, number: int) -> Part | None:
        return self._source.part(self._numbers[number])

    def read(self, number: int, columns: Sequence[str] | None) -> pa.RecordBatch:
        return self._source.read(self._numbers[number], columns)
