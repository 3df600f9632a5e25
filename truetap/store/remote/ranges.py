"""Ranges of files in a store: as a file that seeks, for Parquet, and as the bytes of Arrow batches.

Of a record batch only the columns that are asked for are fetched: its head says where they lie, and what lies between
stays zero and is never looked at. Columns that lie close together are fetched in one go.
"""

from __future__ import annotations

import bisect
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa

from truetap.errors import StoreError
from truetap.store.remote.tails import End, Tails

if TYPE_CHECKING:
    from truetap.store.remote.path import RemotePath

__all__ = ["RangeFile", "RemoteBytes"]

_TRAILER = 8  # bytes: the footer's size, and Parquet's mark
_HEAD = 8 << 10  # where record batches say how they are laid out
_PREFIX = 8  # a mark of four bytes, and the length of what describes the message
_AHEAD = 32  # batches whose heads are fetched with the one that is asked for
_GAP = 64 << 10  # bytes that cost less than another request

_NOT_ARROW = (pa.ArrowException, OSError, ValueError, LookupError)
_TAILS = Tails()


def fetch(path: RemotePath, spans: Sequence[tuple[int, int]]) -> list[bytes]:
    """Ranges of a file, from start to end each, fetched at the same time.

    Raises:
        StoreError: The store refuses, or the file is gone.
    """
    return _in_words(repr(path.url), lambda: path.read_ranges(spans))


def _in_words(what: str, ask: Callable[[], list[bytes]]) -> list[bytes]:
    try:
        return ask()
    except FileNotFoundError as error:
        raise StoreError(
            f"{what} is gone. It was there when the run was opened: its rows may have moved to other files, or "
            "the run was removed. Open the run again."
        ) from error
    except OSError as error:
        raise StoreError(f"Could not read {what}: {error.strerror or error}.") from error


def expect(files: Sequence[tuple[RemotePath, int, int]]) -> None:
    """Fetch the footers of Parquet files that will be opened soon, all at the same time: path, size and crc32 of each.

    Raises:
        StoreError: The store refuses, or a file is gone.
    """
    ends = {End(path.url, size, crc): path for path, size, crc in files}

    def fetch_all(missing: list[End]) -> list[bytes]:
        paths = [ends[end] for end in missing]
        starts = [end.start for end in missing]
        one = f"One of {len(paths)} files, such as {paths[0].url!r},"
        return _in_words(one, lambda: paths[0].read_ranges_of(paths, starts, [end.size for end in missing]))

    _TAILS.expect(list(ends), fetch_all)


class RangeFile(io.RawIOBase):
    """A file of a store that reads what is asked for, and the end of a file that never changes once for all.

    Args:
        path: The file.
        size: Its size.
        version: Tells this content from any other that the name may have; then the end of the file is kept.
    """

    def __init__(self, path: RemotePath, size: int, version: int | None = None) -> None:
        super().__init__()
        self._path = path
        self._size = size
        self._end = None if version is None else End(path.url, size, version)
        self._at = 0
        self._held: list[tuple[int, bytes]] = []

    @contextmanager
    def holding(self, spans: Sequence[tuple[int, int]]) -> Iterator[Self]:
        """Inside, some ranges are at hand: all of them are fetched at the same time, those close together in one go."""
        joined = list(_joined(sorted(spans)))
        self._held = list(zip([begin for begin, _ in joined], fetch(self._path, joined), strict=True)) if joined else []
        try:
            yield self
        finally:
            self._held = []

    def read_at(self, start: int, size: int) -> bytes:
        """Some of its bytes; fewer where it ends."""
        end = min(start + size, self._size)
        if end <= start:
            return b""
        for begin, held in self._held:
            if begin <= start and end <= begin + len(held):
                return held[start - begin : end - begin]
        if self._end is not None and start >= self._end.start:
            first = self._end.start
            found = _TAILS.get(self._end, lambda: fetch(self._path, [(first, self._size)])[0])
            return found[start - first : end - first]
        return fetch(self._path, [(start, end)])[0]

    def read(self, size: int | None = -1, /) -> bytes:
        found = self.read_at(self._at, self._size - self._at if size is None or size < 0 else size)
        self._at += len(found)
        return found

    def readinto(self, buffer: Any, /) -> int:
        found = self.read(len(buffer))
        buffer[: len(found)] = found
        return len(found)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def size(self) -> int:
        """Its size."""
        return self._size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True


class FooterFile(RangeFile):
    """A file of a store of which only the end is fetched: for a reader that looks at metadata, and at no row.

    Args:
        file: The file.
    """

    def __init__(self, file: RangeFile) -> None:
        super().__init__(file._path, file._size)
        self._file = file
        size = int.from_bytes(file.read_at(file._size - _TRAILER, 4), "little")
        self._first = max(0, file._size - _TRAILER - size)

    def read_at(self, start: int, size: int) -> bytes:
        """Its bytes from the first on that belongs to the footer; zeros before."""
        end = min(start + size, self._size)
        zeros = bytes(max(0, min(end, self._first) - start))
        return zeros + self._file.read_at(start + len(zeros), max(0, end - start - len(zeros)))


class RemoteBytes:
    """The bytes of an Arrow file in a store.

    Args:
        path: The file.
        ends: Where its batches end: the heads of several are fetched at the same time.
    """

    def __init__(self, path: RemotePath, ends: Sequence[int]) -> None:
        self._path = path
        self._ends = ends
        self._heads: dict[int, bytes] = {}
        self.size = ends[-1]

    def slice(self, start: int, length: int) -> pa.Buffer:
        """Some of them."""
        return pa.py_buffer(fetch(self._path, [(start, start + length)])[0] if length > 0 else b"")

    def head(self, start: int, length: int) -> pa.Buffer:
        """What describes the message that begins there, and perhaps more."""
        head = self._head(start)
        needed = _PREFIX + int.from_bytes(head[_PREFIX // 2 : _PREFIX], "little")
        if len(head) < needed <= length:
            head += fetch(self._path, [(start + len(head), start + needed)])[0]
        return pa.py_buffer(head[:length])

    def of_columns(self, start: int, length: int, schema: pa.Schema, columns: Sequence[str] | None) -> pa.Buffer:
        """The bytes of a record batch, with zeros in the place of columns that nobody asked for."""
        if columns is None or length <= _HEAD + _GAP:
            return self.slice(start, length)
        head = self.head(start, length)
        body = np.zeros(length, np.uint8)
        body[: head.size] = np.frombuffer(head, np.uint8)
        spans = _spans(pa.py_buffer(body), schema, columns)
        if spans is None or 2 * sum(end - begin for begin, end in spans) > length:
            return self.slice(start, length)
        spans = [(begin, end) for begin, end in spans if end > head.size]
        found = fetch(self._path, [(start + begin, start + end) for begin, end in spans]) if spans else []
        for (begin, _), part in zip(spans, found, strict=True):
            body[begin : begin + len(part)] = np.frombuffer(part, np.uint8)
        return pa.py_buffer(body)

    def _head(self, start: int) -> bytes:
        if start not in self._heads:
            following = bisect.bisect_left(self._ends, start)
            starts = dict.fromkeys([start, *self._ends[following : following + _AHEAD]])
            spans = [(begin, min(begin + _HEAD, self.size)) for begin in starts if begin < self.size]
            found = fetch(self._path, spans) if spans else []
            self._heads = dict(zip([begin for begin, _ in spans], found, strict=True))
        return self._heads.get(start, b"")  # a log may say what can't be


def _spans(batch: pa.Buffer, schema: pa.Schema, columns: Sequence[str]) -> list[tuple[int, int]] | None:
    """Where some columns of a record batch lie in its bytes, of which only the head need be there.

    Returns:
        Ranges in order, those with small gaps joined; None when it can't be told, as of one that is compressed.
    """
    try:
        read = pa.ipc.read_record_batch(pa.ipc.read_message(pa.BufferReader(batch)), schema)
        buffers = [part for name in columns for part in read.column(name).buffers() if part is not None and part.size]
    except _NOT_ARROW:  # damaged or compressed: read as a whole, or refused there
        return None
    found = sorted((part.address - batch.address, part.address - batch.address + part.size) for part in buffers)
    if any(begin < 0 or end > batch.size for begin, end in found):
        return None
    return list(_joined(found))


def _joined(spans: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    held: tuple[int, int] | None = None
    for begin, end in spans:
        if held is not None and begin <= held[1] + _GAP:
            held = (held[0], max(held[1], end))
        else:
            if held is not None:
                yield held
            held = (begin, end)
    if held is not None:
        yield held
