"""The commit log of a segment: which of its bytes count, and what they should be.

Arrow files carry no checksum, and a file without its footer doesn't say where it is whole. So every
record batch that is written gets 24 bytes in a file beside the segment:

    8 bytes      magic "TTAPLOG1"
    24 a commit  <QQII: end of the batch in the segment, its rows, crc32 of the bytes since the
                 previous commit (the first covers the file's start and schema), crc32 of the record
    24 at last   the same with rows = 2**64 - 1: the segment ends here, its footer is written

Cost: 24 bytes and one write per batch, plus the crc32 of the data (about 0.3 s per GB).
"""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from truetap.store.files import Place, files_of
from truetap.store.problem import Problem, damage, uncommitted

MAGIC = b"TTAPLOG1"
SEALED = 2**64 - 1

_SMALLEST = 64  # bytes of a record batch, its description included; they take more
_ALWAYS = 1 << 20  # bytes of a log that are read whatever the segment's size is

_BODY = struct.Struct("<QQI")
_RECORD = struct.Struct("<QQII")


class Commit(NamedTuple):
    """One record batch that counts: its end in the segment, its rows, its checksum."""

    end: int
    rows: int
    crc: int


@dataclass(frozen=True)
class CommitLog:
    """What a log says.

    Attributes:
        commits: The commits, in order of their end.
        sealed: The commit that covers the footer, when the segment was finished.
        problems: What is wrong with the log itself.
    """

    commits: tuple[Commit, ...] = ()
    sealed: Commit | None = None
    problems: tuple[Problem, ...] = ()


class CommitLogWriter:
    """Appends commits to a new log.

    Args:
        path: The file, which must not exist.
    """

    def __init__(self, path: Path) -> None:
        self._file = open(path, "xb", buffering=0)  # noqa: SIM115  it lives as long as its segment
        self.position = 0
        self._append(MAGIC)

    def commit(self, commit: Commit) -> None:
        """Add a commit; it is with the operating system when this returns."""
        body = _BODY.pack(*commit)
        self._append(body + zlib.crc32(body).to_bytes(4, "little"))

    def sync(self) -> None:
        """Wait until the log is on the disk."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _append(self, record: bytes) -> None:
        # A record cut short can't be mended by appending, so the rest isn't tried again.
        if (written := self._file.write(record)) != len(record):
            raise OSError(f"only {written} of {len(record)} bytes were written")
        self.position += written


def read_commit_log(path: Place, segment: Place) -> CommitLog:
    """Read a log as far as it makes sense; never raises for what is in it.

    Args:
        path: The log.
        segment: What it speaks of: from a log larger than all batches of that need, no more is read.

    Raises:
        OSError: The file can't be read.
        StoreError: One of the two is a link, or anything else that isn't a file.
    """
    files = files_of(path)
    size = files.size(path)
    if size <= _ALWAYS:
        return _read(path, path.read_bytes())
    try:
        described = files.size(segment)  # after the log's: the data of what is committed are there before
    except FileNotFoundError:
        described = 0
    most = _ALWAYS + described // _SMALLEST * _RECORD.size
    with files.open(path) as file:
        log = _read(path, file.read_at(0, min(size, most)))
    if size <= most:
        return log
    what = f"a log of {size:,} bytes; of a segment of {described:,} bytes, {most:,} are read"
    return replace(log, problems=(*log.problems, damage(path, most, what)))


def _read(path: Place, content: bytes) -> CommitLog:
    if len(content) < len(MAGIC):
        started = MAGIC.startswith(content)
        found = uncommitted(path, 0, "an unfinished log") if started else damage(path, 0, "not a commit log")
        return CommitLog(problems=(found,))
    if not content.startswith(MAGIC):
        return CommitLog(problems=(damage(path, 0, "not a commit log"),))
    return _parse(path, content)


def _parse(path: Place, content: bytes) -> CommitLog:
    commits: list[Commit] = []
    end, offset = 0, len(MAGIC)
    while offset + _RECORD.size <= len(content):
        *fields, crc = _RECORD.unpack_from(content, offset)
        commit = Commit(*fields)
        if zlib.crc32(content[offset : offset + _BODY.size]) != crc:
            return CommitLog(tuple(commits), None, (damage(path, offset, "a damaged record in the log"),))
        if commit.end <= end:
            what = f"a commit that ends at byte {commit.end}, before the one ahead of it at {end}"
            return CommitLog(tuple(commits), None, (damage(path, offset, what),))
        offset += _RECORD.size
        if commit.rows == SEALED:
            more = len(content) - offset
            problems = (damage(path, offset, f"{more} bytes after the seal"),) if more else ()
            return CommitLog(tuple(commits), commit, problems)
        commits.append(commit)
        end = commit.end
    torn = len(content) - offset
    problems = (uncommitted(path, offset, f"{torn} bytes of a record"),) if torn else ()
    return CommitLog(tuple(commits), None, problems)
