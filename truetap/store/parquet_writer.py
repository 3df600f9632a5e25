"""Writes the rows of one part of a table to Parquet files, a run of rows at a time.

Rows that have a sample are sorted by it within a run, so that a sample is found by reading a group of
rows and not the file: `step` and `position` say what order they came in, and readers of ours restore
it. Memory: one run of at most 64 MB, twice while it is sorted.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from truetap.store.layout import parquet_path, unfinished
from truetap.store.manifest import ParquetFile
from truetap.store.parquet_encoding import Sizes, options_for, sizes_for
from truetap.store.plain import check_folder
from truetap.store.sink import ChecksummedFile

SOUGHT = "sample_id"
ORDER = ("step", "position")


class PartWriter:
    """Takes batches of one schema, and of one part, in their order.

    Args:
        folder: The table's folder.
        part: Phase and epoch of the rows, for the files' path; None when it doesn't name them.
        schema: Schema of the batches, without what the path names.
        next_number: Gives each file its number.
        rank: The rank of the worker whose rows they are.
    """

    def __init__(
        self,
        folder: Path,
        part: tuple[str, int] | None,
        schema: pa.Schema,
        next_number: Callable[[], int],
        rank: int = 0,
    ) -> None:
        self._folder = folder
        self._part = part
        self._schema = schema
        self._next_number = next_number
        self._rank = rank
        self._sought = {SOUGHT, *ORDER} <= set(schema.names)
        self._sizes: Sizes | None = None
        self._held: list[pa.RecordBatch] = []
        self._num_held = 0
        self._file: _OpenFile | None = None
        self.files: list[ParquetFile] = []

    def add(self, batch: pa.RecordBatch) -> None:
        """Take some rows."""
        if self._sizes is None:
            self._sizes = sizes_for(max(1.0, batch.nbytes / max(1, len(batch))), sought=self._sought)
        run_rows = self._sizes.run_rows
        while len(batch):
            room = run_rows - self._num_held
            piece, batch = batch.slice(0, room), batch.slice(room)
            self._held.append(piece)
            self._num_held += len(piece)
            if self._num_held == run_rows:
                self._write_run(self._sizes)

    def finish(self) -> None:
        """Write what is held, and finish the file."""
        if self._num_held and self._sizes is not None:
            self._write_run(self._sizes)
        self._finish_file()

    def abandon(self) -> None:
        """Close the file as it is."""
        if self._file is not None:
            self._file.abandon()

    def _write_run(self, sizes: Sizes) -> None:
        held, self._held, self._num_held = self._held, [], 0
        run = pa.Table.from_batches(held, self._schema)
        sorted_by = SOUGHT if self._sought and _in_order(run) else None
        if sorted_by:
            run = run.take(pc.sort_indices(run.column(sorted_by)))
        if self._file is not None and self._file.sorted_by != sorted_by:
            self._finish_file()
        if self._file is None:
            path = parquet_path(self._next_number(), self._part, self._rank)
            self._file = _OpenFile(self._folder, path, run, sizes, sorted_by)
        self._file.write(run)

    def _finish_file(self) -> None:
        if self._file is not None:
            self.files.append(self._file.finish())
            self._file = None


class _OpenFile:
    """A Parquet file while it is written; it gets its name when it is whole and on the disk."""

    def __init__(self, folder: Path, path: str, first: pa.Table, sizes: Sizes, sorted_by: str | None) -> None:
        self.sorted_by = sorted_by
        self._name = path
        self._path = folder / path
        self._sizes = sizes
        self._rows = 0
        for parent in (self._path.parent.parent, self._path.parent):
            check_folder(parent)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        unfinished(self._path).unlink(missing_ok=True)
        self._sink = ChecksummedFile(unfinished(self._path))
        self._python_file = pa.PythonFile(self._sink, mode="w")
        self._writer = pq.ParquetWriter(self._python_file, first.schema, **options_for(first))

    def write(self, run: pa.Table) -> None:
        self._writer.write_table(run, row_group_size=self._sizes.group_rows)
        self._rows += len(run)

    def finish(self) -> ParquetFile:
        self._writer.close()
        self._sink.flush()
        self._sink.sync()
        self._sink.close()
        os.replace(unfinished(self._path), self._path)
        return ParquetFile(
            path=self._name,
            rows=self._rows,
            bytes=self._sink.position,
            crc=self._sink.take_crc(),
            group_rows=self._sizes.group_rows,
            run_rows=self._sizes.run_rows,
            sorted_by=self.sorted_by,
        )

    def abandon(self) -> None:
        self._sink.close()


def _in_order(run: pa.Table) -> bool:
    """Whether `step` and `position` tell the order of these rows."""
    columns = [run.column(name) for name in ORDER]
    if any(column.null_count or not pa.types.is_integer(column.type) for column in columns):
        return False
    steps, positions = (column.to_numpy() for column in columns)
    later = np.diff(steps) > 0
    return bool((later | ((steps[1:] == steps[:-1]) & (positions[1:] > positions[:-1]))).all())
