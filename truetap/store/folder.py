"""The folder of a run, taken for writing: a new one, an empty one, or a run that goes on."""

from __future__ import annotations

import os
from pathlib import Path

from truetap.errors import DamagedRunError, RunExistsError, StoreError
from truetap.store.layout import MANIFEST, is_unfinished_manifest
from truetap.store.lock import WriterLock
from truetap.store.manifest import Manifest, read_manifest_of
from truetap.store.worker import ALONE, Worker, is_manifest, is_of_a_worker, rank_told


class RunFolder:
    """Takes a folder, so that nobody else writes to it until it is released.

    Args:
        path: The folder, which is made if need be.
        append: Whether a run that is there goes on.
        worker: Who takes it; other workers of the same run may have it too.

    Attributes:
        path: The folder.
        manifest: That of the run that goes on; None for a new run.
        made: Whether the folder was made.

    Raises:
        RunExistsError: There is a run and `append` is False, or other files.
        StoreError: The folder can't be made or written, or someone else writes to it.
    """

    def __init__(self, path: Path, *, append: bool, worker: Worker = ALONE) -> None:
        self.path = path
        self.worker = worker
        self.made = _make(path)
        existing = _look_into(path, append, worker)
        self._lock = WriterLock(path, needed=existing, name=worker.lock)
        try:
            # Another may have begun a run, or closed it, before the lock was taken.
            existing = _look_into(path, append, worker)
            self.manifest: Manifest | None = read_manifest_of(path, worker.rank) if existing else None
        except BaseException:
            self._lock.release()
            raise

    def release(self) -> None:
        """Let others write."""
        self._lock.release()

    def discard(self) -> None:
        """Leave nothing of a run that has no table.

        Raises:
            StoreError: The file system refuses.
        """
        try:
            (self.path / self.worker.manifest).unlink()
            self.release()
            if self.made and self.worker.size == 1:
                self.path.rmdir()
        except OSError as error:
            raise StoreError(f"Could not remove the empty run at {str(self.path)!r}: {error.strerror}.") from error


def first_worker(folder: Path) -> Worker:
    """The first of the workers that wrote the run in a folder; one alone where there is none."""
    try:
        return read_manifest_of(folder, 0).worker
    except (FileNotFoundError, NotADirectoryError):
        return ALONE


def cannot_create(folder: Path, error: OSError) -> StoreError:
    """The error for a folder that can't be made."""
    return StoreError(
        f"Could not create the folder {str(folder)!r}: {error.strerror or error}. "
        "Expected: a path where this user may create folders."
    )


def _make(folder: Path) -> bool:
    try:
        made = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise RunExistsError(
            f"A run needs a folder. Received: {str(folder)!r}, which is a file. "
            "Expected: a folder, or a path where there is nothing yet."
        ) from error
    except OSError as error:
        raise cannot_create(folder, error) from error
    return made


def _look_into(folder: Path, append: bool, worker: Worker) -> bool:
    """Whether there is a run that goes on; an error when something else is in the way."""
    try:
        names = {name for name in os.listdir(folder) if name != worker.lock and not is_unfinished_manifest(name)}
    except OSError as error:
        raise cannot_create(folder, error) from error
    several = worker.size > 1 or any(is_manifest(name) and name != MANIFEST for name in names)
    if several and _is_of_these_workers(folder, names, worker, append) and worker.manifest not in names:
        return False
    if worker.manifest in names:
        if append:
            return True
        raise RunExistsError(
            f"There is a run at {str(folder)!r} already, {_when_created(folder, worker)}; it is left as it is. "
            "Record to another path, read this one with tt.open(...), or delete the folder first."
        )
    if names:
        raise RunExistsError(
            f"The folder {str(folder)!r} holds other files, such as {min(names)!r}, and no run; it is left "
            "as it is. Record to a path where there is nothing yet, or to an empty folder."
        )
    return False


def _is_of_these_workers(folder: Path, names: set[str], worker: Worker, append: bool) -> bool:
    """Whether all that is there is of a run that as many workers write.

    Raises:
        RunExistsError: There is the run of another number of workers.
    """
    ranks = [rank for rank in map(rank_told, filter(is_manifest, names)) if rank != worker.rank]
    for rank in ranks:
        try:
            size = read_manifest_of(folder, rank).worker.size
        except FileNotFoundError:  # its writer has just removed it
            continue
        if size != worker.size:
            raise RunExistsError(
                f"There is a run of {size} workers at {str(folder)!r}; it is left as it is. Received: {worker}. "
                f"Expected: {'as many workers as it was begun with, or ' if append else ''}another path."
            )
    return bool(ranks) or all(map(is_of_a_worker, names))


def _when_created(folder: Path, worker: Worker) -> str:
    try:
        return f"created {read_manifest_of(folder, worker.rank).created}"
    except (DamagedRunError, StoreError):  # it is in the way whatever its manifest says
        return "whose manifest can't be read"
