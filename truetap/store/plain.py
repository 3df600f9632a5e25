"""Files and folders of a run are what they seem to be: no links, pipes or devices in their place.

A link could lead readers to any file of their user, and removals to any folder; a pipe would let them wait for ever.
The run's own path may lead through links. Cost: one `lstat` for each file that is opened. It guards against runs that
somebody made, not against a process that exchanges files while they are read.
"""

from __future__ import annotations

import os
import stat

from truetap.errors import StoreError

_KINDS = (
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISREG, "a file"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
)


def plain_size(path: str | os.PathLike[str]) -> int:
    """Bytes of a file.

    Raises:
        StoreError: It is a link, or anything else that isn't a plain file.
        OSError: There is none.
    """
    found = os.lstat(path)
    if not stat.S_ISREG(found.st_mode):
        raise _not_plain(path, found.st_mode, "a plain file")
    return found.st_size


def check_folder(path: str | os.PathLike[str]) -> None:
    """Return when this is a folder, or when there is nothing.

    Raises:
        StoreError: It is a link, or anything else.
        OSError: It can't be looked at.
    """
    try:
        mode = os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return
    if not stat.S_ISDIR(mode):
        raise _not_plain(path, mode, "a folder")


def _not_plain(path: str | os.PathLike[str], mode: int, expected: str) -> StoreError:
    kind = next((name for is_kind, name in _KINDS if is_kind(mode)), "a device")
    return StoreError(
        f"{os.fspath(path)!r} is not used, since it could lead out of the run. Received: {kind}. Expected: {expected}. "
        "A run is read, written and tidied only where it lies: copy it with the files in place of its links, such as "
        "by `cp -rL`."
    )
