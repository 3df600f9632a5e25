"""Writes a run: tables of record batches, appended to a folder that is readable all the while.

A run that ended, by `close` or with its process, can go on: new rows go to new files.

Cost: small batches are gathered to 1 MB, big ones go straight to the file without a copy, with a
checksum on the way; about the time of a raw write. Memory is `gather_bytes` per table at most.
"""

from __future__ import annotations

import datetime
import math
import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import pyarrow as pa

from truetap.errors import StoreError
from truetap.store.background import wait_for
from truetap.store.compaction import compacted_tables
from truetap.store.destination import Upload
from truetap.store.folder import RunFolder, cannot_create, first_worker
from truetap.store.layout import check_table, segment_numbers
from truetap.store.leftovers import remove_leftovers
from truetap.store.manifest import (
    JSON,
    Manifest,
    TableEntry,
    checked_metadata,
    write_manifest,
    writer_version,
)
from truetap.store.place import AnyPlace
from truetap.store.plain import check_folder
from truetap.store.remote.destination import destination_of
from truetap.store.retention import Piece, Retention, Shelf, pieces_of, without
from truetap.store.table import Finished, TableWriter
from truetap.store.worker import ALONE, Worker

_EPOCH_BYTES = 32 << 20  # less than this of several epochs may lie in one segment
_LEAST_PIECES = 16  # in which `max_bytes` are cut


class RunWriter:
    """Begins a run in a new folder, or goes on in one, and appends to its tables.

    To be used from one thread at a time. A batch's arrays may be reused once `write` returns.

    Args:
        path: The run's folder. It and its parents are created; an empty folder is taken as it is. Or its URL in a
            store that fsspec reaches: then it is written to a folder of this machine, and sent from there.
        metadata: Anything JSON to keep with the run.
        segment_bytes: Size after which a file is finished and the next one begun.
        gather_bytes: Batches smaller than this are gathered to this size before they are written.
        flush_seconds: How old gathered rows may get before a `write` to any table writes them.
        append: Whether to go on in the run that the folder holds, if it holds one. No file of it is
            changed; its metadata are kept, and those given now are added. It isn't `complete` again
            before it is closed.
        retention: How much of the run is kept; all by default.
        upload: Of a URL, how the run gets there. Rows that are old enough are sent when the next are written.
        worker: Which of several processes that write the same run this is; every table then has a column
            `worker`, int32. By default it is the only one, or, of a run that goes on, its first.

    Raises:
        RunExistsError: The folder holds a run and `append` is False, or other files.
        StoreError: The folder can't be made or written, someone else is writing to it, or the
            metadata aren't JSON.
        DamagedRunError: The manifest of the run that should go on is damaged.

    Example:
        >>> import pyarrow as pa, tempfile
        >>> path = tempfile.mkdtemp()
        >>> with RunWriter(path, metadata={"seed": 1}) as run:
        ...     run.write("samples", pa.record_batch({"loss": [0.5, 0.25]}))
        >>> from truetap.store import RunReader
        >>> RunReader(path).num_rows("samples")
        2
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        metadata: Mapping[str, JSON] | None = None,
        segment_bytes: int = 256 << 20,
        gather_bytes: int = 1 << 20,
        flush_seconds: float = 1.0,
        append: bool = False,
        retention: Retention | None = None,
        upload: Upload | None = None,
        worker: Worker | None = None,
    ) -> None:
        self._retention = retention or Retention()
        self._rank = worker.rank if worker is not None and worker.size > 1 else None
        self._segment_bytes = segment_bytes
        if self._retention.max_bytes is not None:
            self._segment_bytes = min(segment_bytes, max(1, self._retention.max_bytes // _LEAST_PIECES))
        self._gather_bytes = gather_bytes
        self._flush_seconds = flush_seconds
        self._tables: dict[str, TableWriter] = {}
        self._rows_lost = False
        self._closed = False
        checked = checked_metadata(metadata or {})
        wait_for(path)
        self._destination = destination_of(path, upload, append=append, worker=worker)
        self.path = self._destination.folder
        try:
            self._worker = worker or (first_worker(self.path) if append else ALONE)
            self._folder = RunFolder(self.path, append=append, worker=self._worker)
            try:
                self._manifest = self._begin(self._folder.manifest, checked)
                there = pieces_of(self._destination.whole, self._manifest) if self._retention else ()
                self._shelf = Shelf(self._retention, there)
                self._write_manifest()
            except BaseException:
                self._folder.release()
                raise
        except BaseException:
            self._destination.abandon()
            raise
        self._destination.begin()

    def write(self, table: str, batch: pa.RecordBatch) -> None:
        """Append a batch to a table, which begins with its first batch.

        A batch may have another schema than the one before it. A column whose tensor shape changes
        is stored with a shape per row from then on (see `truetap.columns`).

        Args:
            table: Name of the table.
            batch: Rows to append.

        Raises:
            StoreError: The name is no table's, a column is dictionary-encoded, the run is closed, or
                the file system refuses. What was committed before stays readable.
        """
        self._check_open()
        if self._rank is not None:
            batch = batch.append_column("worker", pa.array(np.full(len(batch), self._rank, np.int32)))
        writer = self._tables.get(table)
        if writer is None:
            writer = self._begin_table(table)
        writer.accept(batch.schema)
        try:
            writer.write(batch)
            self._flush_overdue()
            self.seal_overdue()
            self._tidy()
        except BaseException:
            self._rows_lost = True
            raise

    def flush(self) -> None:
        """Write and commit everything given so far: a process killed from here on loses none of it.

        Raises:
            StoreError: The file system refuses, or the run is closed.
        """
        self._check_open()
        try:
            for table in self._tables.values():
                table.flush()
            self._tidy()
        except BaseException:
            self._rows_lost = True
            raise

    @property
    def place(self) -> AnyPlace:
        """Where the run is in the end: its folder, or its URL."""
        return self._destination.place

    @property
    def notices(self) -> tuple[str, ...]:
        """What is to be said of the way to a store: that it refuses for long."""
        return self._destination.notices

    @property
    def seal_due(self) -> float:
        """When the oldest file has to be finished, by `time.monotonic`, so that it can be sent to a store."""
        if self._destination.seal_after == math.inf:
            return math.inf
        begun = (table.segment_since for table in self._tables.values() if table.segment_since is not None)
        return min(begun, default=math.inf) + self._destination.seal_after

    def seal_overdue(self) -> None:
        """Finish the files that are old enough to be sent to a store.

        Raises:
            StoreError: The file system refuses.
        """
        now = time.monotonic()
        if self._closed or self.seal_due > now:
            return
        for table in self._tables.values():
            if table.segment_since is not None and table.segment_since + self._destination.seal_after <= now:
                table.seal()

    def update_metadata(self, metadata: Mapping[str, JSON]) -> None:
        """Add to the metadata; a key that is there already gets the new value.

        Args:
            metadata: Anything JSON.

        Raises:
            StoreError: It isn't JSON, the file system refuses, or the run is closed.
        """
        self._check_open()
        before = self._manifest
        merged = {**before.metadata, **checked_metadata(metadata)}
        self._manifest = replace(before, metadata=merged)
        try:
            self._write_manifest()
        except BaseException:
            self._manifest = before  # or what can't be written would keep every later manifest from it
            raise

    def close(self, *, complete: bool = True, compact: bool = False) -> None:
        """Commit everything, finish the files and the manifest. Closing again does nothing.

        Args:
            complete: Whether the run ended as intended. A run that lost rows to an error is never
                marked complete.
            compact: Whether the rows of small tables go to Parquet files, in place of the Arrow files
                (see `truetap.store.compaction`).

        Raises:
            StoreError: The file system refuses; every file is closed all the same, and rows that could
                not be compacted stay where they are.
        """
        if self._closed:
            return
        try:
            self.finish(complete=complete)
        except BaseException:
            self._release()
            raise
        self.compact_and_release(compact=compact)

    def finish(self, *, complete: bool = True) -> None:
        """The first part of `close`: all is committed and the run is ended, but this process still has it.

        Raises:
            StoreError: The file system refuses; every file is closed all the same.
        """
        self._closed = True
        errors: list[StoreError] = []
        for table in self._tables.values():
            for close in (table.flush, table.seal):
                try:
                    close()
                except StoreError as error:  # the other tables are finished first
                    errors.append(error)
        try:
            self._tidy(ended=True)
            self._end(complete and not errors and not self._rows_lost)
        except StoreError as error:
            errors.append(error)
        if errors:
            raise errors[0]

    def compact_and_release(self, *, compact: bool = True) -> None:
        """The second part: small tables become Parquet, and the run is free for others.

        Raises:
            StoreError: The file system refuses; rows that could not be compacted stay where they are.
        """
        try:
            if compact:
                self._compact()
        finally:
            self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
            return
        try:
            if self._tables or self._closed or self._folder.manifest is not None:
                self.close(complete=False)
            else:
                self._discard()
        except StoreError as on_close:
            error.add_note(f"Closing the run failed too: {on_close}")

    def _discard(self) -> None:
        """Leave nothing of a run that failed before its first row: the corrected call can take its path."""
        self._closed = True
        self._folder.discard()
        self._destination.discard()

    def _release(self) -> None:
        self._folder.release()
        self._destination.close()

    def _begin(self, existing: Manifest | None, metadata: Mapping[str, JSON]) -> Manifest:
        if existing is None:
            created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
            begun = Manifest(created=created, truetap=writer_version(), metadata=metadata, worker=self._worker)
            remove_leftovers(self.path, begun)  # of a process that was killed before there was a run
            return begun
        remove_leftovers(self.path, existing)
        merged = {**existing.metadata, **metadata}
        return replace(existing, truetap=writer_version(), metadata=merged, complete=False)

    def _compact(self) -> None:
        for table, entry in compacted_tables(self.path, self._manifest):
            manifest = replace(self._manifest, tables={**self._manifest.tables, table: entry})
            write_manifest(self.path, manifest)  # from here on the Parquet files count, and the segments don't
            self._manifest = manifest
            remove_leftovers(self.path, manifest, [table])

    def _end(self, complete: bool) -> None:
        self._manifest = replace(self._manifest, complete=complete)
        self._write_manifest()

    def _begin_table(self, name: str) -> TableWriter:
        folder = self.path / check_table(name) / self._worker.folder
        try:
            for made in (folder.parent, folder):  # not the run's own: it was there, and if not, something is wrong
                check_folder(made)
                made.mkdir(exist_ok=True)
        except StoreError:
            raise
        except OSError as error:
            raise cannot_create(folder, error) from error
        self._tables[name] = table = TableWriter(
            folder,
            segment_bytes=self._segment_bytes,
            gather_bytes=self._gather_bytes,
            announce=self._write_manifest,
            finished=lambda finished: self._add_to_shelf(name, finished),
            epoch_bytes=1 if self._retention.keep_last else _EPOCH_BYTES,
            num_segments=self._num_segments(name, folder),
        )
        return table

    def _flush_overdue(self) -> None:
        before = time.monotonic() - self._flush_seconds
        for table in self._tables.values():
            if table.waiting_since is not None and table.waiting_since <= before:
                table.flush()

    def _add_to_shelf(self, name: str, segment: Finished) -> None:
        if self._retention:
            place, rows, nbytes = segment.number, segment.rows, segment.nbytes
            worker = self._worker
            self._shelf.add(Piece(name, worker.rank, worker.folder, place, rows, nbytes, segment.newest))

    def _tidy(self, *, ended: bool = False) -> None:
        """Removes what is more than may be kept."""
        if self._retention and (gone := self._shelf.take_beside(self._tables, ended=ended)):
            self._manifest = without(self._manifest, gone)
            self._write_manifest()  # from here on they count no more
            remove_leftovers(self.path, self._manifest, {piece.table for piece in gone}, keep_folders=True)

    def _num_segments(self, name: str, folder: Path) -> int:
        """How many segments of a table were begun before, announced or not."""
        known = self._manifest.tables.get(name, TableEntry()).segments.get(self._worker.folder, 0)
        return max([known, *(number + 1 for number in segment_numbers(folder))])

    def _write_manifest(self) -> None:
        tables = dict(self._manifest.tables)
        for name, table in self._tables.items():
            if table.num_segments:
                entry = tables.get(name, TableEntry())
                tables[name] = replace(entry, segments={**entry.segments, self._worker.folder: table.num_segments})
        self._manifest = replace(self._manifest, tables=tables)
        write_manifest(self.path, self._manifest)

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError(
                f"The run at {str(self.path)!r} is closed: nothing more can be written to it. "
                "Begin another run at another path, or close this one later."
            )
