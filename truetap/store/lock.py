"""Says that a process is writing to a run, so that no other does.

The lock is the system's own: it ends with its process, however that ends. The file beside the run
tells others who it is, and is removed by the one who made it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from pathlib import Path

from truetap.errors import StoreError

try:
    import fcntl
except ImportError:  # not on this system
    fcntl = None  # type: ignore[assignment]

LOCK = ".writer"

_TAKEN = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)


class WriterLock:
    """Takes the lock of a run folder, without waiting.

    Args:
        folder: The run's folder.
        needed: Whether to refuse where the system has no locks: in a folder that was empty it can be
            done without.
        name: The lock file: each worker of a run has its own.

    Raises:
        StoreError: Someone else has it, or there are no locks here.
    """

    def __init__(self, folder: Path, *, needed: bool, name: str = LOCK) -> None:
        self._path = folder / name
        self._process = os.getpid()
        self._file = self._take(needed)

    def release(self) -> None:
        """Give the lock back, also when a forked process has a copy of it."""
        file, self._file = self._file, None
        if file is None:
            return
        if os.getpid() == self._process:
            with contextlib.suppress(OSError):  # it only informs; the lock goes with the file
                self._path.unlink()
            fcntl.flock(file, fcntl.LOCK_UN)
        os.close(file)

    def _take(self, needed: bool) -> int | None:
        while True:
            try:
                # Never through a link: the file is emptied.
                file = os.open(self._path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o644)
            except OSError as error:
                raise StoreError(f"Could not write {str(self._path)!r}: {error.strerror or error}.") from error
            if self._locked(file, needed):
                # Whoever had it may have removed the file before it was locked here.
                with contextlib.suppress(FileNotFoundError):
                    if os.path.samestat(os.fstat(file), os.stat(self._path)):
                        self._sign(file)
                        return file
                os.close(file)
                continue
            os.close(file)
            with contextlib.suppress(OSError):
                self._path.unlink()
            return None

    def _sign(self, file: int) -> None:
        """Say in the file who has it; a disk without room for that has none for a run."""
        try:
            os.ftruncate(file, 0)
            os.write(file, f"process {self._process} on {socket.gethostname()}".encode())
        except OSError as error:
            with contextlib.suppress(OSError):
                self._path.unlink()
            os.close(file)
            raise StoreError(f"Could not write {str(self._path)!r}: {error.strerror or error}.") from error

    def _locked(self, file: int, needed: bool) -> bool:
        """Whether the file is locked now; False where there are no locks and none is needed."""
        try:
            if fcntl is None:
                raise OSError(errno.ENOSYS, "this system has no flock")
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _TAKEN:
                who = os.pread(file, 200, 0).decode(errors="replace") or "another process"
                os.close(file)
                raise StoreError(
                    f"The run at {str(self._path.parent)!r} is being written by {who}; it is left as it is. "
                    "Wait until that has ended or closed the run, or record to another path."
                ) from error
            if needed:
                os.close(file)
                raise StoreError(
                    f"Whether another process writes to the run at {str(self._path.parent)!r} can't be told here: "
                    f"{error.strerror or error}. Expected: a file system with locks; record to another path."
                ) from error
            return False
        return True
