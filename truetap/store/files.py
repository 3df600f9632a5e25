"""What readers ask of the place where a run's files are: a folder of this machine, or one in an object store.

Readers name files by a `Place`, which a `pathlib.Path` is, and so is `store.remote.path.RemotePath`; what the two do
in different ways is in `Files`, of which `files_of` has the one that fits. On this machine files are mapped into memory
and nothing is copied; from a store come the ranges that are asked for, and no others.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from truetap.store.checked_parquet import CheckedParquet
from truetap.store.parquet_bounds import OpenFile
from truetap.store.plain import check_folder, plain_size

_CHUNK = 1 << 20


class Place(Protocol):
    """A file or folder, wherever it is."""

    @property
    def name(self) -> str:
        """The last part of its path."""

    @property
    def parent(self) -> Self:
        """The folder that it is in."""

    def __truediv__(self, key: str, /) -> Self:
        """What is below it."""

    def __fspath__(self) -> str:
        """Its path or URL."""

    def with_suffix(self, suffix: str, /) -> Self:
        """The file beside it with another ending."""

    def read_bytes(self) -> bytes:
        """All of a file."""

    def exists(self) -> bool:
        """Whether there is such a file."""


class Bytes(Protocol):
    """The bytes of an Arrow file, from its beginning."""

    @property
    def size(self) -> int:
        """How many there are."""

    def slice(self, start: int, length: int) -> pa.Buffer:
        """Some of them."""

    def head(self, start: int, length: int) -> pa.Buffer:
        """Those of a message, of which only what describes it need be there."""

    def of_columns(self, start: int, length: int, schema: pa.Schema, columns: Sequence[str] | None) -> pa.Buffer:
        """Those of a record batch, of which only some columns will be touched."""


class Files(Protocol):
    """Reads files. What goes wrong is an `OSError` whose `strerror` says it in words."""

    def names(self, folder: Place) -> list[str]:
        """What is in a folder; nothing when there is none."""

    def begun(self, listed: Iterable[int], counted: int) -> Iterable[int]:
        """Numbers of the segments to read, of those that a folder lists and as many as the manifest counts."""

    def check_folder(self, folder: Place) -> None:
        """Return when this is a folder, or there is nothing; a `StoreError` when it leads elsewhere."""

    def check_file(self, path: Place) -> None:
        """Return when this is a file; a `StoreError` when it leads elsewhere."""

    def size(self, path: Place) -> int:
        """Bytes of a file."""

    def total(self, folder: Place) -> int:
        """Bytes of all files below a folder; those that a writer moves meanwhile may be missed."""

    def stamp(self, path: Place) -> tuple[object, ...]:
        """Something that changes when a file is replaced."""

    def written(self, path: Place) -> float:
        """When a file was written, in seconds since 1970."""

    def open(self, path: Place) -> AbstractContextManager[OpenFile]:
        """A file, opened to read ranges of it."""

    def mapped(self, path: Place, ends: Sequence[int]) -> Bytes:
        """An Arrow file up to the last of the ends of its batches; it need not be read before it is touched."""

    def expect(self, files: Iterable[tuple[Place, int, int]]) -> None:
        """Parquet files will be opened soon: path, size and crc32 of each.

        Raises:
            StoreError: A store refuses.
        """

    def parquet(self, path: Place, size: int, crc: int) -> CheckedParquet:
        """A Parquet file of this size and checksum, opened."""


P = TypeVar("P", bound=Place)


class LocalFiles:
    """Files of this machine."""

    def names(self, folder: Place) -> list[str]:
        """What is in a folder; nothing when there is none."""
        check_folder(folder)
        try:
            with os.scandir(folder) as entries:
                return [entry.name for entry in entries]
        except FileNotFoundError:
            return []

    def begun(self, listed: Iterable[int], counted: int) -> Iterable[int]:
        """All that are there: one is announced after it was begun, and before it holds a row."""
        return listed

    def check_folder(self, folder: Place) -> None:
        """Refuses links."""
        check_folder(folder)

    def check_file(self, path: Place) -> None:
        """Refuses links, pipes and devices."""
        plain_size(path)

    def size(self, path: Place) -> int:
        """Bytes of a file."""
        return plain_size(path)

    def total(self, folder: Place) -> int:
        """Bytes of all files below a folder."""
        return sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())

    def written(self, path: Place) -> float:
        """When a file was written, in seconds since 1970."""
        return os.stat(path).st_mtime

    def stamp(self, path: Place) -> tuple[object, ...]:
        """When it was written, its size, and which file it is."""
        stat = os.stat(path)
        return (stat.st_mtime_ns, stat.st_size, stat.st_ino)

    def open(self, path: Place) -> _LocalFile:
        """A file, opened to read ranges of it."""
        return _LocalFile(path)

    def mapped(self, path: Place, ends: Sequence[int]) -> _Mapped:
        """An Arrow file, mapped: the buffer keeps the mapping, not the file."""
        with pa.memory_map(os.fspath(path)) as file:
            return _Mapped(file.read_buffer(ends[-1]))

    def expect(self, files: Iterable[tuple[Place, int, int]]) -> None:
        """Nothing is gained by it here."""

    def parquet(self, path: Place, size: int, crc: int) -> CheckedParquet:
        """A Parquet file, mapped."""
        return CheckedParquet(
            lambda _: self.open(path),
            plain_size(path),
            lambda: pq.ParquetFile(path, memory_map=True),
            lambda metadata: pq.ParquetFile(path, metadata=metadata, memory_map=True, pre_buffer=True),
        )


class _LocalFile:
    def __init__(self, path: Place) -> None:
        self._file = os.open(path, os.O_RDONLY)

    def read_at(self, start: int, size: int) -> bytes:
        return os.pread(self._file, size, start)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)


class _Mapped:
    def __init__(self, buffer: pa.Buffer) -> None:
        self.size: int = buffer.size
        self.slice = self.head = buffer.slice

    def of_columns(self, start: int, length: int, schema: pa.Schema, columns: Sequence[str] | None) -> pa.Buffer:
        return self.slice(start, length)


_LOCAL = LocalFiles()


def files_of(place: Place) -> Files:
    """What reads the files of a place: its own, or this machine's."""
    files: Files = _LOCAL if isinstance(place, Path) else getattr(place, "files", _LOCAL)
    return files


def crc_of(file: OpenFile, start: int, end: int) -> int:
    """The crc32 of a range of an open file, read in pieces."""
    crc = 0
    while start < end:
        piece = file.read_at(start, min(_CHUNK, end - start))
        if not piece:
            break  # shorter than it was; the sum won't fit
        crc = zlib.crc32(piece, crc)
        start += len(piece)
    return crc
