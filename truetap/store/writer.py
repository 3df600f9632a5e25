"""Writes a run: tables of record batches, appended to a folder that is readable all the while.

Cost: small batches are gathered to 1 MB, big ones go straight to the file without a copy, with a
checksum on the way; about the time of a raw write. Memory is `gather_bytes` per table at most.
"""

from __future__ import annotations

import datetime
import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa

from truetap.errors import DamagedRunError, RunExistsError, StoreError
from truetap.store.layout import MANIFEST, WORKER, check_table, local_path
from truetap.store.manifest import (
    JSON,
    Manifest,
    checked_metadata,
    read_manifest,
    write_manifest,
    writer_version,
)
from truetap.store.table import TableWriter


class RunWriter:
    """Begins a run in a new folder and appends to its tables.

    To be used from one thread at a time. A batch's arrays may be reused once `write` returns.

    Args:
        path: The run's folder. It and its parents are created; an empty folder is taken as it is.
        metadata: Anything JSON to keep with the run.
        segment_bytes: Size after which a file is finished and the next one begun.
        gather_bytes: Batches smaller than this are gathered to this size before they are written.
        flush_seconds: How old gathered rows may get before a `write` to any table writes them.

    Raises:
        RunExistsError: The folder holds a run, or other files.
        StoreError: The folder can't be made or written, the path is a URL, or the metadata isn't JSON.

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
    ) -> None:
        self.path = local_path(path)
        self._segment_bytes = segment_bytes
        self._gather_bytes = gather_bytes
        self._flush_seconds = flush_seconds
        self._tables: dict[str, TableWriter] = {}
        self._rows_lost = False
        self._closed = False
        self._manifest = Manifest(
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            truetap=writer_version(),
            metadata=checked_metadata(metadata or {}),
        )
        self._made_folder = _take_folder(self.path)
        self._write_manifest()

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
        writer = self._tables.get(table)
        if writer is None:
            writer = self._begin_table(table)
        writer.accept(batch.schema)
        try:
            writer.write(batch)
            self._flush_overdue()
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
        except BaseException:
            self._rows_lost = True
            raise

    def update_metadata(self, metadata: Mapping[str, JSON]) -> None:
        """Add to the metadata; a key that is there already gets the new value.

        Args:
            metadata: Anything JSON.

        Raises:
            StoreError: It isn't JSON, the file system refuses, or the run is closed.
        """
        self._check_open()
        merged = {**self._manifest.metadata, **checked_metadata(metadata)}
        self._manifest = replace(self._manifest, metadata=merged)
        self._write_manifest()

    def close(self, *, complete: bool = True) -> None:
        """Commit everything, finish the files and the manifest. Closing again does nothing.

        Args:
            complete: Whether the run ended as intended. A run that lost rows to an error is never
                marked complete.

        Raises:
            StoreError: The file system refuses; every file is closed all the same.
        """
        if self._closed:
            return
        self._closed = True
        errors: list[StoreError] = []
        for table in self._tables.values():
            for finish in (table.flush, table.seal):
                try:
                    finish()
                except StoreError as error:  # the other tables are finished first
                    errors.append(error)
        self._manifest = replace(self._manifest, complete=complete and not errors and not self._rows_lost)
        try:
            self._write_manifest()
        except StoreError as error:
            errors.append(error)
        if errors:
            raise errors[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
            return
        try:
            if self._tables or self._closed:
                self.close(complete=False)
            else:
                self._discard()
        except StoreError as on_close:
            error.add_note(f"Closing the run failed too: {on_close}")

    def _discard(self) -> None:
        """Leave nothing of a run that failed before its first row: the corrected call can take its path."""
        self._closed = True
        try:
            (self.path / MANIFEST).unlink()
            if self._made_folder:
                self.path.rmdir()
        except OSError as error:
            raise StoreError(f"Could not remove the empty run at {str(self.path)!r}: {error.strerror}.") from error

    def _begin_table(self, name: str) -> TableWriter:
        folder = self.path / check_table(name) / WORKER
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _cannot_create(folder, error) from error
        self._tables[name] = table = TableWriter(
            folder,
            segment_bytes=self._segment_bytes,
            gather_bytes=self._gather_bytes,
            announce=self._write_manifest,
        )
        return table

    def _flush_overdue(self) -> None:
        before = time.monotonic() - self._flush_seconds
        for table in self._tables.values():
            if table.waiting_since is not None and table.waiting_since <= before:
                table.flush()

    def _write_manifest(self) -> None:
        tables = {name: {WORKER: t.num_segments} for name, t in self._tables.items() if t.num_segments}
        self._manifest = replace(self._manifest, tables=tables)
        write_manifest(self.path, self._manifest)

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError(
                f"The run at {str(self.path)!r} is closed: nothing more can be written to it. "
                "Begin another run at another path, or close this one later."
            )


def _take_folder(folder: Path) -> bool:
    """Makes the folder, or takes an empty one; whether it was made."""
    try:
        made = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        names = os.listdir(folder)
    except FileExistsError as error:
        raise StoreError(
            f"A run needs a folder. Received: {str(folder)!r}, which is a file. "
            "Expected: a folder, or a path where there is nothing yet."
        ) from error
    except OSError as error:
        raise _cannot_create(folder, error) from error
    if MANIFEST in names:
        raise RunExistsError(
            f"There is a run at {str(folder)!r} already, {_when_created(folder)}; it is left as it is. "
            "Record to another path, read this one with truetap.open(...), or delete the folder first."
        )
    if names:
        raise RunExistsError(
            f"The folder {str(folder)!r} holds other files, such as {min(names)!r}, and no run; it is left "
            "as it is. Record to a path where there is nothing yet, or to an empty folder."
        )
    return made


def _when_created(folder: Path) -> str:
    try:
        return f"created {read_manifest(folder).created}"
    except (DamagedRunError, StoreError):  # it is in the way whatever its manifest says
        return "whose manifest can't be read"


def _cannot_create(folder: Path, error: OSError) -> StoreError:
    return StoreError(
        f"Could not create the folder {str(folder)!r}: {error.strerror or error}. "
        "Expected: a path where this user may create folders."
    )
