"""A Parquet file of which nothing is decoded before it was looked at; see `truetap.store.parquet_bounds`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from truetap.store.parquet_bounds import (
    OpenFile,
    check_footer,
    check_groups,
    check_metadata,
    check_rows,
    chunks,
    leaves_of,
)

__all__ = ["CheckedParquet"]


class Opener(Protocol):
    """Opens the file to read ranges of it, of which some will be needed for certain."""

    def __call__(self, spans: Sequence[tuple[int, int]], /) -> AbstractContextManager[OpenFile]: ...


class CheckedParquet:
    """A Parquet file, opened. What was looked at once isn't looked at again.

    Args:
        opener: Gives its bytes; what is read in its context need not be fetched again.
        size: How many there are.
        parse: Gives Arrow's reader of the file.
        probe: Gives one that is opened with `pre_buffer` and this metadata, and is asked for no row.

    Attributes:
        metadata: As Arrow's reader has it. Of column chunks only what `checked_metadata` gives is to be asked for.
        schema_arrow: As Arrow's reader has it.

    Raises:
        ValueError: It isn't such a file as a run has.
        OSError: It can't be read.
    """

    def __init__(
        self,
        opener: Opener,
        size: int,
        parse: Callable[[], pq.ParquetFile],
        probe: Callable[[pq.FileMetaData], pq.ParquetFile],
    ) -> None:
        self._opener = opener
        self._size = size
        with opener(()) as file:
            check_footer(file, size)  # before Arrow makes types of the schema in it
        self._file = parse()
        self._probe = probe
        self._leaves: frozenset[int] = frozenset()  # that were looked at
        self._needed: dict[tuple[int, int], int] = {}  # bytes in memory by row group and leaf
        self.metadata: pq.FileMetaData = self._file.metadata
        self.schema_arrow: pa.Schema = self._file.schema_arrow

    def checked_metadata(self, leaves: Iterable[int]) -> pq.FileMetaData:
        """The metadata, after those of some leaf columns were looked at.

        Raises:
            OSError: Parquet's reader refuses them.
        """
        new = sorted(set(leaves) - self._leaves)
        if new:
            check_metadata(self._probe(self.metadata), range(self.metadata.num_row_groups), new)
            self._leaves |= set(new)
        return self.metadata

    def read_row_groups(
        self, groups: Sequence[int], rows: Sequence[int], columns: Sequence[str] | None, *, use_threads: bool
    ) -> pa.Table:
        """Rows of some row groups.

        Args:
            groups: Their numbers.
            rows: How many rows each of them has.
            columns: Names of the columns; None for all.
            use_threads: Whether several threads decode.

        Raises:
            ValueError: They would take more memory than a file of this size may stand for, or pages lie elsewhere.
            OSError: The file can't be read.
        """
        check_rows(self.metadata, groups, rows)
        leaves = leaves_of(self.metadata, columns)
        found = list(chunks(self._size, self.checked_metadata(leaves), groups, leaves))
        with self._opener([(chunk.start, chunk.end) for chunk in found]) as file:
            check_groups(file, self._size, found, self._needed)
            return self._file.read_row_groups(list(groups), columns=columns, use_threads=use_threads)
