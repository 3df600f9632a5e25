"""One run written by many processes: each unit of work becomes a folder of segments, by one rename.

A unit is written to a folder of its own in `.units-…/`, where no reader looks: Arrow segments with
their commit logs, sealed and on the disk. Then that folder is renamed to `samples/worker-NNNNN`, N being
the unit's number. A rename onto a folder that holds files fails, on every POSIX file system and within
one call, so of several attempts at a unit exactly one counts, whichever machine made it, and a process that
dies at any moment leaves either the whole unit or nothing of it. Readers go through the folders by
name: the rows come in the order of the data.

The process that began the run holds its lock and its manifest; the others need neither. One that goes
on takes away the `.units-…` of the call before, so that no worker that outlived it publishes any more.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import os
import shutil
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from truetap.errors import RunExistsError, StoreError
from truetap.store.folder import RunFolder
from truetap.store.layout import MANIFEST, local_path, segment_numbers, worker_folders
from truetap.store.manifest import (
    JSON,
    Manifest,
    TableEntry,
    checked_metadata,
    read_manifest,
    write_manifest,
    writer_version,
)
from truetap.store.table import TableWriter
from truetap.store.worker import Worker

__all__ = ["SharedRun", "UnitFolder", "check_reachable", "is_done", "units_done"]

TABLE = "samples"
_UNFINISHED = ".units-"
_DROPPED = ".dropped-"
_ENGINE = "engine"  # the key of the metadata under which a run keeps what it is a collection of
_SEGMENT_BYTES = 256 << 20
_GATHER_BYTES = 1 << 20
_THERE_ALREADY = (errno.EEXIST, errno.ENOTEMPTY)


class SharedRun:
    """Begins a run, or goes on in one that the same call left unfinished.

    Args:
        path: The run's folder.
        engine: Name of the engine.
        stamp: What the run is a collection of: data, model, settings; plain strings by name. A run goes
            on only when nothing of it has changed.

    Raises:
        RunExistsError: The folder holds a run that is finished, of another kind, or of other data,
            another model or other settings; or other files.
        StoreError: The folder can't be made or written, or someone else writes to it.

    Attributes:
        path: The run's folder.
        aside: The folder in it where the units of this call are written.
        resumed: Whether the run was there.
    """

    def __init__(self, path: str | os.PathLike[str], engine: str, stamp: Mapping[str, str]) -> None:
        self.path = local_path(path).absolute()  # workers have working directories of their own
        self.aside = self.path / f"{_UNFINISHED}{uuid.uuid4().hex}"
        self._engine = engine
        self.resumed = _goes_on(self.path, engine, stamp)
        self._folder = RunFolder(self.path, append=self.resumed)
        try:
            if self._folder.manifest is None:
                created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
                self._manifest = Manifest(created, writer_version(), {TABLE: TableEntry()})
            else:
                self._manifest = self._folder.manifest
            self._remove_unfinished()
            for folder in (self.path / TABLE, self.aside):
                _make(folder)
            known = self._kept().get("stamp", {})
            self.update({}, stamp={**known, **stamp})
        except BaseException:
            self._folder.release()
            raise

    @property
    def metadata(self) -> Mapping[str, JSON]:
        """What is kept with the run."""
        return self._manifest.metadata

    def check_stamp(self, name: str, value: str) -> None:
        """Compares a part of the stamp that was known only later, or keeps it where there was none.

        Raises:
            RunExistsError: It is another.
        """
        stamp = self._kept()["stamp"]
        if name in stamp and stamp[name] != value:
            raise _other(self.path, [name])
        self.update({}, stamp={**stamp, name: value})

    def update(self, metadata: Mapping[str, JSON], **engine: JSON) -> None:
        """Adds to the metadata; what is given by keyword to what is kept of the engine."""
        kept = {"name": self._engine, **self._kept(), **engine}
        merged = checked_metadata({**self._manifest.metadata, **metadata, _ENGINE: kept})
        self._manifest = replace(self._manifest, metadata=merged, complete=False)
        write_manifest(self.path, self._manifest)

    def start_over(self) -> None:
        """Drops the units that count, of a run that was left before anything was known of it."""
        _drop(self.path / TABLE)
        _make(self.path / TABLE)

    def finish(self) -> None:
        """Marks the run as complete, with the segments that belong to it, and lets it go."""
        folders = worker_folders(self.path / TABLE)
        segments = {folder.name: len(segment_numbers(folder)) for folder in folders}
        entry = replace(self._manifest.tables[TABLE], segments=segments)
        self._manifest = replace(self._manifest, tables={TABLE: entry}, complete=True)
        self._remove_unfinished()
        write_manifest(self.path, self._manifest)
        self._folder.release()

    def leave(self) -> None:
        """Lets the run go as it is, to be gone on with; of one without any unit nothing is left."""
        self._remove_unfinished()
        if self.resumed or units_done(self.path):
            self._folder.release()
            return
        with contextlib.suppress(OSError):
            (self.path / TABLE).rmdir()
        self._folder.discard()

    def _kept(self) -> dict[str, Any]:
        kept = self._manifest.metadata.get(_ENGINE, {})
        return dict(kept) if isinstance(kept, dict) else {}

    def _remove_unfinished(self) -> None:
        for folder in self.path.glob(f"{_UNFINISHED}*"):
            _drop(folder)
        for folder in self.path.glob(f"{_DROPPED}*"):  # of a process that was killed meanwhile
            shutil.rmtree(folder, ignore_errors=True)


class UnitFolder:
    """One attempt at a unit: its rows, written aside and then published at once.

    Args:
        aside: The folder in the run where units are written.
        number: The unit's number.
    """

    def __init__(self, aside: Path, number: int) -> None:
        self._final = _folder_of(aside.parent, number)
        self._aside = aside / f"{self._final.name}-{uuid.uuid4().hex}"
        _make(self._aside)
        self._table = TableWriter(
            self._aside, segment_bytes=_SEGMENT_BYTES, gather_bytes=_GATHER_BYTES, announce=_nothing
        )

    def write(self, batch: pa.RecordBatch) -> None:
        """Append rows."""
        self._table.accept(batch.schema)
        self._table.write(batch)

    def publish(self) -> bool:
        """Make the rows count.

        Returns:
            False if another attempt at the unit came first: then these rows are dropped.

        Raises:
            StoreError: The file system refuses; nothing of the unit counts.
        """
        self._table.flush()
        self._table.seal()
        _sync(self._aside)
        try:
            os.rename(self._aside, self._final)
        except OSError as error:
            if error.errno not in _THERE_ALREADY and not self._final.is_dir():
                raise _refused("rename to", self._final, error) from error
            self.discard()
            return False
        _sync(self._final.parent)
        return True

    def discard(self) -> None:
        """Remove what was written aside."""
        with contextlib.suppress(OSError, StoreError):
            self._table.seal()
        shutil.rmtree(self._aside, ignore_errors=True)


def units_done(run: Path) -> frozenset[int]:
    """Numbers of the units that count."""
    return frozenset(_number_of(folder) for folder in worker_folders(run / TABLE))


def is_done(run: Path, number: int) -> bool:
    """Whether a unit counts."""
    return _folder_of(run, number).is_dir()


def check_reachable(run: Path, stamp: Mapping[str, str]) -> None:
    """Refuses to work where the run's folder can't be seen, which is on another machine's own disk.

    Raises:
        StoreError: There is no such run here.
    """
    try:
        kept = read_manifest(run).metadata.get(_ENGINE)
    except (FileNotFoundError, NotADirectoryError, StoreError):
        kept = None
    if not isinstance(kept, dict) or any(kept["stamp"].get(name) != value for name, value in stamp.items()):
        raise StoreError(
            f"A worker can't see the run at {str(run)!r}: the folder is on the disk of another machine. Expected: "
            "to=… on a file system that every machine of the cluster mounts at this path."
        )


def _goes_on(path: Path, engine: str, stamp: Mapping[str, str]) -> bool:
    try:
        manifest = read_manifest(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    kept = manifest.metadata.get(_ENGINE)
    if not isinstance(kept, dict) or kept.get("name") != engine:
        return False  # taking the folder says what is in the way
    if manifest.complete:
        return False
    before = kept.get("stamp", {})
    changed = [name for name, value in stamp.items() if before.get(name) != value]
    if changed:
        raise _other(path, changed)
    return True


def _other(path: Path, changed: Iterable[str]) -> RunExistsError:
    return RunExistsError(
        f"The run at {str(path)!r} was left unfinished, and can only go on as the same call. Received: another "
        f"{' and another '.join(changed)}. Expected: the same as before; or another path, or delete the folder first."
    )


def _folder_of(run: Path, number: int) -> Path:
    return run / TABLE / Worker(number).folder


def _number_of(folder: Path) -> int:
    return int(folder.name.partition("-")[2])


def _refused(verb: str, path: Path, error: OSError) -> StoreError:
    return StoreError(
        f"Could not {verb} {str(path)!r}: {error.strerror or error}. Nothing of this unit counts; the units before it "
        f"do. Free space or mend the file system (its {MANIFEST} and folders must be writable), then call again."
    )


def _make(folder: Path) -> None:
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise _refused("make", folder, error) from error


def _drop(folder: Path) -> None:
    """Removes a folder in which somebody may be writing: by one rename, after which nothing in it can be published."""
    gone = folder.with_name(f"{_DROPPED}{uuid.uuid4().hex}")
    try:
        os.rename(folder, gone)
    except FileNotFoundError:
        return
    except OSError as error:
        raise _refused("remove", folder, error) from error
    shutil.rmtree(gone, ignore_errors=True)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        raise _refused("write", folder, error) from error
    finally:
        os.close(descriptor)


def _nothing() -> None:
    """Nobody is told of a segment before its unit counts."""
