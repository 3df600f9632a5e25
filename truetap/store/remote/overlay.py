"""A run that this process is sending to a store, read: its newest files are still here, others are there already.

Whoever opens the run's URL in the process that records it sees all that is committed, not only what was sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeVar

from truetap.store.checked_parquet import CheckedParquet
from truetap.store.files import Bytes, LocalFiles, Place
from truetap.store.parquet_bounds import OpenFile
from truetap.store.remote.path import RemoteFiles, RemotePath

__all__ = ["OverlayPath", "being_sent", "no_longer_sent", "now_sent"]

Found = TypeVar("Found")

_HERE = LocalFiles()
_SENT: dict[str, OverlayPath] = {}  # by URL


class OverlayPath(RemotePath):
    """A path in a store, of which this machine may have the file.

    Args:
        here: Where this machine would have it.
        there: Where the store has it.
    """

    def __init__(self, here: Path, there: RemotePath) -> None:
        super().__init__(there.filesystem, there.path, there.beginning)
        self.here = here
        self._there = there
        self.files = OverlayFiles()

    @property
    def in_store(self) -> RemotePath:
        """The same path, with nothing of this machine before it."""
        return self._there

    @property
    def parent(self) -> OverlayPath:
        """The folder that it is in."""
        return OverlayPath(self.here.parent, self._there.parent)

    def with_suffix(self, suffix: str, /) -> OverlayPath:
        """The file beside it with another ending."""
        return OverlayPath(self.here.with_suffix(suffix), self._there.with_suffix(suffix))

    def read_bytes(self) -> bytes:
        """All of the file."""
        try:
            return self.here.read_bytes()
        except FileNotFoundError:
            return super().read_bytes()

    def read_ranges(self, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        """Ranges of the file."""
        try:
            with _HERE.open(self.here) as file:
                return [file.read_at(start, end - start) for start, end in spans]
        except FileNotFoundError:
            return super().read_ranges(spans)

    def exists(self) -> bool:
        """Whether there is such a file, here or there."""
        return self.here.exists() or super().exists()

    def __truediv__(self, key: str, /) -> OverlayPath:
        return OverlayPath(self.here / key, self._there / key)


class OverlayFiles(RemoteFiles):
    """Reads a file here if it is here, else there."""

    def names(self, folder: Place) -> list[str]:
        """What is in a folder, here and there."""
        here = _HERE.names(_overlay(folder).here)
        return list(dict.fromkeys([*here, *super().names(folder)]))

    def begun(self, listed: Iterable[int], counted: int) -> Iterable[int]:
        """Those that the manifest counts, which is the one here."""
        return range(counted)

    def size(self, path: Place) -> int:
        """Bytes of a file."""
        return _here_first(path, _HERE.size, super().size)

    def written(self, path: Place) -> float:
        """When a file was written, in seconds since 1970."""
        return _here_first(path, _HERE.written, super().written)

    def stamp(self, path: Place) -> tuple[object, ...]:
        """Something that changes when a file is replaced."""
        return _here_first(path, _HERE.stamp, super().stamp)

    def open(self, path: Place) -> AbstractContextManager[OpenFile]:
        """A file, opened to read ranges of it."""
        return _here_first(path, _HERE.open, super().open)

    def mapped(self, path: Place, ends: Sequence[int]) -> Bytes:
        """An Arrow file up to the last of the ends of its batches."""
        there = super().mapped
        return _here_first(path, lambda here: _HERE.mapped(here, ends), lambda place: there(place, ends))

    def expect(self, files: Iterable[tuple[Place, int, int]]) -> None:
        """Fetch the footers of Parquet files that are not here."""
        super().expect([file for file in files if not _overlay(file[0]).here.exists()])

    def parquet(self, path: Place, size: int, crc: int) -> CheckedParquet:
        """A Parquet file, opened."""
        there = super().parquet
        return _here_first(path, lambda here: _HERE.parquet(here, size, crc), lambda place: there(place, size, crc))


def _here_first(path: Place, here: Callable[[Path], Found], there: Callable[[Place], Found]) -> Found:
    """What is found here, or else there: what was sent may leave at any moment."""
    try:
        return here(_overlay(path).here)
    except FileNotFoundError:
        return there(path)


def now_sent(place: OverlayPath) -> None:
    """This process sends a run from here on."""
    _SENT[place.url] = place


def no_longer_sent(url: str) -> None:
    """All of it is in the store."""
    _SENT.pop(url, None)


def being_sent(url: str) -> OverlayPath | None:
    """The run of a URL, if this process sends it."""
    return _SENT.get(url)


def _overlay(place: Place) -> OverlayPath:
    assert isinstance(place, OverlayPath), place
    return place
