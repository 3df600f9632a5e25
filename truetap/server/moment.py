"""A run as it stood at one moment: its manifest and logs are read once, not at every question.

A run that is being written is another one every second. What is asked in one request is answered from one moment; the
next request takes a new one when the stamp of the folder has changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from truetap.errors import StoreError
from truetap.reading.state import State
from truetap.run import Run
from truetap.store.files import files_of
from truetap.store.layout import MANIFEST
from truetap.store.place import AnyPlace
from truetap.store.worker import is_manifest

__all__ = ["Moment", "stamp_of"]


class Moment(Run):
    """A run that doesn't look again whether it has changed. To be used by one thread."""

    @property
    def _state(self) -> State:
        return self._read


def stamp_of(folder: AnyPlace) -> str:
    """A few letters that change with every commit; no file is opened for it.

    Raises:
        StoreError: There is no run any more.
    """
    found = hashlib.blake2b(digest_size=8)
    try:
        files = files_of(folder)
        others = sorted(name for name in files.names(folder) if is_manifest(name) and name != MANIFEST)
        for name in (MANIFEST, *others):
            found.update(repr(files.stamp(folder / name)).encode())
        for log in sorted(_logs(folder)) if isinstance(folder, Path) else ():  # in a store, manifests change with them
            found.update(f"{log.name} {log.stat().st_size}".encode())
    except OSError as error:
        raise StoreError(
            f"The run can't be read any more. Received: {str(folder)!r} ({error.strerror or error}). Expected: the "
            "folder of a run, as it was when the server was started."
        ) from error
    return found.hexdigest()


def _logs(folder: Path) -> Iterator[Path]:
    """The commit log of the last segment of each table: only these grow."""
    for worker in folder.glob("*/worker-*"):
        last = max(worker.glob("seg-*.log"), default=None)
        if last is not None:
            yield last
