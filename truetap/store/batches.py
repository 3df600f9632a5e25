"""The record batches of a table, mapped into memory one by one as they are asked for.

A batch's columns point into the mapped file: no copy, and no memory but the pages that are touched.
No file stays open; a mapping lives as long as a batch of it does, and a few are kept for the next.
"""

from __future__ import annotations

import bisect
import zlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import overload

import pyarrow as pa

from truetap.errors import DamagedRunError, StoreError
from truetap.store.snapshot import Snapshot

_KEPT = 4
_NOT_ARROW = (pa.ArrowException, OSError, EOFError, ValueError, IndexError)  # what pyarrow raises on nonsense
_MAGIC_BYTES = 8  # an Arrow file is "ARROW1", two zeros, and from there on a stream


@dataclass(frozen=True)
class _Mapping:
    data: pa.Buffer
    schema: pa.Schema
    first: int  # where the first batch begins


class Batches(Sequence[pa.RecordBatch]):
    """The batches of a table that were committed when this was made. Batches may differ in schema.

    Args:
        snapshots: The segments, in order.
        check: Whether a batch's bytes are compared with their checksum before it is handed out.
    """

    def __init__(self, snapshots: Sequence[Snapshot], *, check: bool = False) -> None:
        self._snapshots = [snapshot for snapshot in snapshots if snapshot.commits]
        self._ends = list(accumulate(len(snapshot.commits) for snapshot in self._snapshots))
        self._check = check
        self._mappings: OrderedDict[int, _Mapping] = OrderedDict()

    @property
    def num_rows(self) -> int:
        """Rows of all batches together."""
        return sum(snapshot.num_rows for snapshot in self._snapshots)

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, index: int) -> pa.RecordBatch: ...
    @overload
    def __getitem__(self, index: slice) -> list[pa.RecordBatch]: ...
    def __getitem__(self, index: int | slice) -> pa.RecordBatch | list[pa.RecordBatch]:
        """One batch, or a list of those in a slice.

        Raises:
            IndexError: There is no such batch.
            DamagedRunError: Its bytes are no record batch or, with `check`, not those written.
        """
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        place = index + len(self) if index < 0 else index
        if not 0 <= place < len(self):
            raise IndexError(f"There are {len(self)} batches. Received: index {index}.")
        segment = bisect.bisect_right(self._ends, place)
        return self._read(segment, place - (self._ends[segment - 1] if segment else 0))

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return (self[index] for index in range(len(self)))

    def _read(self, segment: int, number: int) -> pa.RecordBatch:
        mapping = self._mapping(segment)
        snapshot = self._snapshots[segment]
        commit = snapshot.commits[number]
        start = snapshot.commits[number - 1].end if number else mapping.first
        if self._check and number:  # the first was checked with the schema
            self._verify(snapshot, mapping.data, number)
        try:
            message = pa.ipc.read_message(pa.BufferReader(mapping.data.slice(start, commit.end - start)))
            batch = pa.ipc.read_record_batch(message, mapping.schema)
            # In full, or a damaged string or list would be read from anywhere in memory; of
            # numbers, tensors included, this touches nothing.
            batch.validate(full=True)
        except _NOT_ARROW as error:
            raise _damaged(snapshot, start, f"holds no record batch ({error})") from error
        if batch.num_rows != commit.rows:
            what = f"holds {batch.num_rows} rows where {commit.rows} were committed"
            raise _damaged(snapshot, start, what)
        return batch

    def _mapping(self, segment: int) -> _Mapping:
        mapping = self._mappings.get(segment)
        if mapping is None:
            mapping = self._mappings[segment] = self._map(self._snapshots[segment])
            if len(self._mappings) > _KEPT:
                self._mappings.popitem(last=False)
        self._mappings.move_to_end(segment)
        return mapping

    def _map(self, snapshot: Snapshot) -> _Mapping:
        end = snapshot.commits[-1].end
        try:
            with pa.memory_map(str(snapshot.path)) as file:  # the buffer keeps the mapping, not the file
                data = file.read_buffer(end)
        except OSError as error:
            raise StoreError(f"Could not map {str(snapshot.path)!r}: {error.strerror or error}.") from error
        if data.size < end:
            raise _damaged(snapshot, data.size, f"ends, but {end} bytes were committed")
        if self._check:
            self._verify(snapshot, data, 0)
        try:
            stream = pa.BufferReader(data.slice(_MAGIC_BYTES, snapshot.commits[0].end - _MAGIC_BYTES))
            schema = pa.ipc.read_schema(stream)
            _look_at_names(schema)
        except _NOT_ARROW as error:
            raise _damaged(snapshot, _MAGIC_BYTES, f"holds no Arrow schema ({error})") from error
        return _Mapping(data, schema, _MAGIC_BYTES + stream.tell())

    def _verify(self, snapshot: Snapshot, data: pa.Buffer, number: int) -> None:
        commit = snapshot.commits[number]
        start = snapshot.commits[number - 1].end if number else 0
        if zlib.crc32(data.slice(start, commit.end - start)) != commit.crc:
            raise _damaged(snapshot, start, f"differs from what was written, up to byte {commit.end}")


def _look_at_names(fields: Iterable[pa.Field]) -> None:
    """Raise now for names that aren't UTF-8: pyarrow decodes a name only when it is asked for."""
    for field in fields:
        _ = field.name
        kind = field.type.storage_type if isinstance(field.type, pa.BaseExtensionType) else field.type
        _look_at_names(kind.field(index) for index in range(kind.num_fields))


def _damaged(snapshot: Snapshot, offset: int, what: str) -> DamagedRunError:
    return DamagedRunError(
        f"{str(snapshot.path)!r} {what}, at byte {offset}. Restore the file from a copy; verify() lists "
        "all that is damaged, and the other batches can be read one by one."
    )
