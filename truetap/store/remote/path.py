"""A file or folder in a store that fsspec reaches, named as a path of this machine is, and what reads it.

Each question goes to the store anew: nothing but the footers of Parquet files, which never change, is kept. Cost: a
request for each range that is read; ranges that are asked for together are fetched at the same time.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import importlib
import posixpath
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from truetap.errors import StoreError, near_names
from truetap.store.checked_parquet import CheckedParquet
from truetap.store.files import Bytes, Place
from truetap.store.parquet_bounds import OpenFile
from truetap.store.remote.ranges import FooterFile, RangeFile, RemoteBytes, expect
from truetap.store.remote.refusals import in_words

__all__ = ["RemoteFiles", "RemotePath", "connected"]

Given = TypeVar("Given")


class RemotePath:
    """A path in a store.

    Args:
        filesystem: That of fsspec.
        path: The path as the filesystem has it, without protocol.
        beginning: What stands before it in a URL, as "s3://".
    """

    def __init__(self, filesystem: Any, path: str, beginning: str) -> None:
        self.filesystem = filesystem
        self.path = path
        self.beginning = beginning
        self.files: RemoteFiles = RemoteFiles()

    @property
    def name(self) -> str:
        """The last part of the path."""
        return posixpath.basename(self.path)

    @property
    def parent(self) -> RemotePath:
        """The folder that it is in; of the uppermost, itself."""
        return self._at(posixpath.dirname(self.path))

    @property
    def url(self) -> str:
        """The whole URL."""
        return self.beginning + self.path

    @property
    def in_store(self) -> RemotePath:
        """The same path, with nothing of this machine before it."""
        return self

    def with_suffix(self, suffix: str, /) -> RemotePath:
        """The file beside it with another ending."""
        return self._at(posixpath.splitext(self.path)[0] + suffix)

    def ask(self, question: Callable[..., Given], /, *args: Any, **options: Any) -> Given:
        """Asks the filesystem.

        Raises:
            OSError: What it raised, in words.
        """
        try:
            return question(*args, **options)
        except Exception as error:  # each store has its own errors
            raise in_words(error, self.url) from error

    def read_bytes(self) -> bytes:
        """All of the file."""
        return bytes(self.ask(self.filesystem.cat_file, self.path))

    def read_ranges(self, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        """Ranges of the file, from start to end each, fetched at the same time."""
        if len(spans) == 1:
            return [bytes(self.ask(self.filesystem.cat_file, self.path, start=spans[0][0], end=spans[0][1]))]
        starts, ends = [list(each) for each in zip(*spans, strict=True)]
        return self.read_ranges_of([self] * len(spans), starts, ends)

    def read_ranges_of(self, files: Sequence[RemotePath], starts: Sequence[int], ends: Sequence[int]) -> list[bytes]:
        """A range of each of several files, fetched at the same time."""
        paths = [file.path for file in files]
        return list(self.ask(self.filesystem.cat_ranges, paths, list(starts), list(ends), on_error="raise"))

    def write(self, content: bytes) -> None:
        """Replace the file as a whole."""
        self.ask(self.filesystem.pipe_file, self.path, content)

    def create(self, content: bytes) -> None:
        """Write a file that isn't there yet; where the store can, it decides which of two who try at once succeeds.

        Raises:
            FileExistsError: It is there.
        """
        try:
            self.ask(self.filesystem.pipe_file, self.path, content, mode="create")
        except FileExistsError:
            raise
        except OSError as error:
            if self.exists():  # stores say it in many ways
                raise FileExistsError(errno.EEXIST, "it is there already", self.url) from error
            raise

    def take(self, file: Path) -> None:
        """Replace the file by one of this machine."""
        self.ask(self.filesystem.put_file, str(file), self.path)

    def give(self, file: Path) -> None:
        """Copy the file to this machine."""
        self.ask(self.filesystem.get_file, self.path, str(file))

    def remove(self) -> None:
        """Remove the file; nothing when there is none."""
        with contextlib.suppress(FileNotFoundError):
            self.ask(self.filesystem.rm_file, self.path)

    def remove_below(self, names: Sequence[str]) -> None:
        """Remove files of the folder, many with one request where the store can; those that are gone don't matter."""
        paths = [(self / name).path for name in names]
        try:
            if paths:
                self.ask(self.filesystem.rm, paths)
        except FileNotFoundError:
            for name in names:
                (self / name).remove()

    def exists(self) -> bool:
        """Whether there is such a file."""
        try:
            self.info()
        except FileNotFoundError:
            return False
        return True

    def info(self) -> Mapping[str, Any]:
        """What the store says of the file."""
        self.filesystem.invalidate_cache(self.parent.path)
        found: Mapping[str, Any] = self.ask(self.filesystem.info, self.path)
        return found

    def listed(self) -> list[Mapping[str, Any]]:
        """What the store says of everything in the folder; nothing when there is none."""
        self.filesystem.invalidate_cache(self.path)
        try:
            found = self.ask(self.filesystem.ls, self.path, detail=True)
        except FileNotFoundError:
            return []
        return [entry for entry in found if entry["name"].rstrip("/") != self.path]

    def __truediv__(self, key: str, /) -> RemotePath:
        return self._at(f"{self.path.rstrip('/')}/{key}")

    def __fspath__(self) -> str:
        return self.url

    def __str__(self) -> str:
        return self.url

    def __repr__(self) -> str:
        return f"RemotePath({self.url!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemotePath) and (self.url, self.filesystem) == (other.url, other.filesystem)

    def __hash__(self) -> int:
        return hash(self.url)

    def _at(self, path: str) -> RemotePath:
        return RemotePath(self.filesystem, path, self.beginning)


class RemoteFiles:
    """Reads files of a store; every place given to it is a `RemotePath`."""

    def names(self, folder: Place) -> list[str]:
        """What is in a folder; nothing when there is none."""
        return [posixpath.basename(entry["name"].rstrip("/")) for entry in _remote(folder).listed()]

    def begun(self, listed: Iterable[int], counted: int) -> Iterable[int]:
        """Those that the manifest counts: others may have arrived in part."""
        return range(counted)

    def check_folder(self, folder: Place) -> None:
        """Stores have no links."""

    def check_file(self, path: Place) -> None:
        """Stores have no links."""

    def size(self, path: Place) -> int:
        """Bytes of a file."""
        return int(_remote(path).info()["size"])

    def total(self, folder: Place) -> int:
        """Bytes of all files below a folder."""
        place = _remote(folder)
        try:
            return int(place.ask(place.filesystem.du, place.path))
        except FileNotFoundError:
            return 0

    def written(self, path: Place) -> float:
        """When a file was written, in seconds since 1970."""
        place = _remote(path)
        when: datetime.datetime = place.ask(place.filesystem.modified, place.path)
        return when.timestamp()

    def stamp(self, path: Place) -> tuple[object, ...]:
        """What the store says of a file's version, or else its time and size."""
        info = _remote(path).info()
        told = next(
            (info[key] for key in ("ETag", "etag", "mtime", "LastModified", "created", "updated") if key in info), ""
        )
        return (str(told), info["size"])

    def open(self, path: Place) -> AbstractContextManager[OpenFile]:
        """A file, of which ranges are read."""
        return RangeFile(_remote(path), self.size(path))

    def mapped(self, path: Place, ends: Sequence[int]) -> Bytes:
        """An Arrow file; what is touched is fetched."""
        return RemoteBytes(_remote(path), ends)

    def expect(self, files: Iterable[tuple[Place, int, int]]) -> None:
        """Fetch the footers of Parquet files at the same time."""
        expect([(_remote(path), size, crc) for path, size, crc in files])

    def parquet(self, path: Place, size: int, crc: int) -> CheckedParquet:
        """A Parquet file, of which column chunks that are asked for together are fetched in one go."""
        file = RangeFile(_remote(path), size, crc)
        return CheckedParquet(
            file.holding,
            size,
            lambda: pq.ParquetFile(pa.PythonFile(file, mode="r")),
            lambda metadata: pq.ParquetFile(
                pa.PythonFile(FooterFile(file), mode="r"), metadata=metadata, pre_buffer=True
            ),
        )


def connected(url: str, options: Mapping[str, Any] | None = None) -> RemotePath:
    """A path in a store.

    Args:
        url: Any URL that fsspec knows, such as "s3://bucket/run".
        options: What the filesystem is made with, such as "endpoint_url"; the rest is taken from fsspec's own
            configuration and the store's environment variables.

    Raises:
        StoreError: A package is missing, there is no such protocol, or the options fit no filesystem.
    """
    protocol, _, rest = url.partition(":")
    protocol = protocol.lower()
    if not rest.startswith("//"):
        raise StoreError(
            f"A URL has two slashes. Received: {url!r}. Expected: {protocol + '://' + rest.lstrip('/')!r}."
        )
    known: list[str] = []
    try:
        fsspec = importlib.import_module("fsspec")
        known = fsspec.available_protocols()
        filesystem, path = fsspec.url_to_fs(url, **{"use_listings_cache": False, **(options or {})})
    except ImportError as error:
        ours = not known or protocol in ("s3", "s3a")  # of other stores fsspec names the package
        expected = 'pip install "truetap[s3]"' if ours else "that package, beside truetap[s3]"
        raise StoreError(
            f"What reads {protocol}:// is not installed. Received: {url!r} ({error}). Expected: {expected}."
        ) from error
    except ValueError as error:
        raise StoreError(
            f"fsspec can't reach this URL: {error}. Received: {url!r}. {near_names(protocol, known)}"
        ) from error
    except Exception as error:  # each filesystem refuses options, or credentials, in its own way
        raise StoreError(f"The store at {url!r} can't be opened: {in_words(error, url).strerror}.") from error
    path = path.rstrip("/")
    whole = filesystem.unstrip_protocol(path)
    return RemotePath(filesystem, path, whole[: len(whole) - len(path)])


def _remote(place: Place) -> RemotePath:
    assert isinstance(place, RemotePath), place
    return place
