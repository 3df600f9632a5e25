"""The batches of a segment, mapped into memory one by one as they are asked for.

A batch's columns point into the mapped file: no copy, and no memory but the pages that are touched.
No file stays open; a mapping lives as long as a batch of it does.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from truetap.errors import DamagedRunError, StoreError
from truetap.store.files import Bytes, files_of
from truetap.store.ipc_message import check_batch, check_schema
from truetap.store.kinds import check_kinds
from truetap.store.parts import KEYS, Part, has_parts, part_at
from truetap.store.snapshot import Snapshot

_NOT_ARROW = (
    pa.ArrowException,
    OSError,
    EOFError,
    ValueError,
    IndexError,
    struct.error,
    MemoryError,
)  # what pyarrow raises on nonsense
_MAGIC_BYTES = 8  # an Arrow file is "ARROW1", two zeros, and from there on a stream


@dataclass(frozen=True)
class _Mapping:
    data: Bytes
    schema: pa.Schema
    first: int  # where the first batch begins


class MappedSegment:
    """The batches of a segment that were committed when its snapshot was taken.

    Args:
        snapshot: What of the segment can be read.
        check: Whether a batch's bytes are compared with their checksum before it is handed out.
    """

    def __init__(self, snapshot: Snapshot, *, check: bool = False) -> None:
        self._snapshot = snapshot
        self._check = check
        self._mapped: _Mapping | None = None
        self._pinned = False

    @property
    def num_rows(self) -> int:
        """Rows of all batches together."""
        return self._snapshot.num_rows

    @property
    def num_batches(self) -> int:
        """How many batches there are."""
        return len(self._snapshot.commits)

    def rows(self, number: int) -> int:
        """Rows of one batch."""
        return self._snapshot.commits[number].rows

    def part(self, number: int) -> Part | None:
        """Phase and epoch of one batch, told from its first row."""
        if not self.rows(number) or not has_parts(self._mapping().schema):
            return None
        return part_at(self.read(number, KEYS), 0)

    def schema(self) -> pa.Schema:
        """That of all batches."""
        return self._mapping().schema

    def pin(self) -> None:
        """Map the file now and for good: it can be read from then on although it be removed.

        Damage is left for those who read it.

        Raises:
            FileNotFoundError: It is gone already.
        """
        try:
            self._mapping()
        except DamagedRunError:
            return
        except StoreError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                raise FileNotFoundError(self._snapshot.path) from error
            raise
        self._pinned = True

    def release(self) -> None:
        """Forget the mapping, which batches that are in use keep."""
        if not self._pinned:
            self._mapped = None

    def read(self, number: int, columns: Sequence[str] | None) -> pa.RecordBatch:
        """One batch, or some columns of it.

        Raises:
            DamagedRunError: Its bytes are no record batch or, with `check`, not those written.
        """
        mapping = self._mapping()
        snapshot = self._snapshot
        commit = snapshot.commits[number]
        start = snapshot.commits[number - 1].end if number else mapping.first
        if self._check and number:  # the first was checked with the schema
            self._verify(snapshot, mapping.data, number)
        try:
            of_batch = mapping.data.of_columns(start, commit.end - start, mapping.schema, columns)
            message = pa.ipc.read_message(pa.BufferReader(of_batch))
            check_batch(message)
            batch = pa.ipc.read_record_batch(message, mapping.schema)
            if columns is not None:
                batch = batch.select(list(columns))  # the others need not have been read
            # In full, or a damaged string or list would be read from anywhere in memory; of
            # numbers, tensors included, this touches nothing.
            batch.validate(full=True)
        except StoreError:  # the store's: nothing is known of the bytes
            raise
        except _NOT_ARROW as error:
            raise _damaged(snapshot, start, f"holds no record batch ({error})") from error
        if batch.num_rows != commit.rows:
            what = f"holds {batch.num_rows} rows where {commit.rows} were committed"
            raise _damaged(snapshot, start, what)
        return batch

    def _mapping(self) -> _Mapping:
        if self._mapped is None:
            self._mapped = self._map(self._snapshot)
        return self._mapped

    def _map(self, snapshot: Snapshot) -> _Mapping:
        ends = [commit.end for commit in snapshot.commits]
        end = ends[-1]
        try:
            data = files_of(snapshot.path).mapped(snapshot.path, ends)
        except OSError as error:
            raise StoreError(f"Could not map {str(snapshot.path)!r}: {error.strerror or error}.") from error
        if data.size < end:
            raise _damaged(snapshot, data.size, f"ends, but {end} bytes were committed")
        if self._check:
            self._verify(snapshot, data, 0)
        try:
            stream = pa.BufferReader(data.head(_MAGIC_BYTES, snapshot.commits[0].end - _MAGIC_BYTES))
            message = pa.ipc.read_message(stream)
            check_schema(message)  # before Arrow makes types of it
            schema = pa.ipc.read_schema(message)
            check_kinds(schema)
        except StoreError:
            raise
        except _NOT_ARROW as error:
            raise _damaged(snapshot, _MAGIC_BYTES, f"holds no Arrow schema ({error})") from error
        return _Mapping(data, schema, _MAGIC_BYTES + stream.tell())

    def _verify(self, snapshot: Snapshot, data: Bytes, number: int) -> None:
        commit = snapshot.commits[number]
        start = snapshot.commits[number - 1].end if number else 0
        if zlib.crc32(data.slice(start, commit.end - start)) != commit.crc:
            raise _damaged(snapshot, start, f"differs from what was written, up to byte {commit.end}")


def _damaged(snapshot: Snapshot, offset: int, what: str) -> DamagedRunError:
    return DamagedRunError(
        f"{str(snapshot.path)!r} {what}, at byte {offset}. Restore the file from a copy; verify() lists "
        "all that is damaged, and the other batches can be read one by one."
    )
