"""A Parquet file of which nothing is decoded before it was looked at; see `truetap.store.parquet_bounds`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from truetap.store.parquet_bounds import Bytes, check_footer, check_groups, chunks

__all__ = ["CheckedParquet"]


class Opener(Protocol):
    """Opens the file to read ranges of it, of which some will be needed for certain."""

    def __call__(self, spans: Sequence[tuple[int, int]], /) -> AbstractContextManager[Bytes]: ...


class CheckedParquet:
    """A Parquet file, opened.

    Args:
        opener: Gives its bytes; what is read in its context need not be fetched again.
        size: How many there are.
        parse: Gives Arrow's reader of the file.

    Attributes:
        metadata: As Arrow's reader has it.
        schema_arrow: As Arrow's reader has it.

    Raises:
        ValueError: It isn't such a file as a run has.
        OSError: It can't be read.
    """

    def __init__(self, opener: Opener, size: int, parse: Callable[[], pq.ParquetFile]) -> None:
        self._opener = opener
        self._size = size
        with opener(()) as file:
            check_footer(file, size)  # before Arrow makes types of the schema in it
        self._file = parse()
        self.metadata: Any = self._file.metadata
        self.schema_arrow: pa.Schema = self._file.schema_arrow

    def read_row_groups(self, groups: Sequence[int], columns: Sequence[str] | None, *, use_threads: bool) -> pa.Table:
        """Rows of some row groups.

        Args:
            groups: Their numbers.
            columns: Names of the columns; None for all.
            use_threads: Whether several threads decode.

        Raises:
            ValueError: They would take more memory than a file of this size may stand for, or pages lie elsewhere.
            OSError: The file can't be read.
        """
        with self._opener(list(self._spans(groups, columns))) as file:
            check_groups(file, self._size, self.metadata, groups, columns)
            return self._file.read_row_groups(groups, columns=columns, use_threads=use_threads)

    def _spans(self, groups: Sequence[int], columns: Sequence[str] | None) -> Iterator[tuple[int, int]]:
        return ((chunk.start, chunk.end) for chunk in chunks(self._size, self.metadata, groups, columns))
