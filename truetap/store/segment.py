"""One segment of a table: an Arrow file and its commit log, while they are written.

All batches of a segment have one schema. A segment that failed half-way is abandoned, not repaired:
its committed batches stay readable, and the table goes on in a new one.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import pyarrow as pa

from truetap.errors import StoreError
from truetap.store.commit_log import SEALED, Commit, CommitLogWriter
from truetap.store.layout import log_file
from truetap.store.sink import ChecksummedFile


class SegmentWriter:
    """Appends batches to a new segment.

    Args:
        path: The segment's file; neither it nor its log may exist.
        schema: Schema of its batches.

    Raises:
        StoreError: The files can't be created.
    """

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.path = path
        self.schema = schema
        self.rows = 0
        try:
            # The log comes first: data without a log is a sign of damage, never of a killed writer.
            self._log = CommitLogWriter(log_file(path))
            self._file = ChecksummedFile(path)
        except OSError as error:
            raise self._error("create", error) from error
        self._stream = pa.ipc.new_file(pa.PythonFile(self._file, mode="w"), schema)

    @property
    def size(self) -> int:
        """Bytes written so far, to the log too."""
        return self._file.position + self._log.position

    def write(self, batch: pa.RecordBatch) -> None:
        """Append and commit a batch of the segment's schema.

        Raises:
            StoreError: It could not be written; the segment must be abandoned.
        """
        try:
            self._stream.write_batch(batch)
            self._commit(batch.num_rows)
        except OSError as error:
            raise self._error("write", error) from error
        self.rows += batch.num_rows

    def seal(self) -> None:
        """Finish the segment: footer, on the disk, marked as sealed, closed.

        Raises:
            StoreError: It could not be written; what was committed stays readable.
        """
        try:
            self._stream.close()
            self._file.flush()
            self._file.sync()
            # Only now: a seal in the log promises that the data are on the disk.
            self._log.commit(Commit(self._file.position, SEALED, self._file.take_crc()))
            self._log.sync()
        except OSError as error:
            raise self._error("finish", error) from error
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Close the files as they are."""
        for file in (self._file, self._log):
            with contextlib.suppress(OSError):  # the data were flushed before; nothing is at stake
                file.close()

    def _commit(self, rows: int) -> None:
        self._file.flush()
        self._log.commit(Commit(self._file.position, rows, self._file.take_crc()))

    def _error(self, verb: str, error: OSError) -> StoreError:
        return StoreError(
            f"Could not {verb} {str(self.path)!r}: {error.strerror or error}. The {self.rows} rows "
            "committed to it before stay readable; the rows of this write are not in the run. Free "
            "space or mend the file system, then go on, or record to another path."
        )
