"""One table of a run, as one worker writes it: a folder of segments."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from truetap.errors import StoreError
from truetap.store.gather import Gatherer
from truetap.store.ipc_message import EXTENSIONS
from truetap.store.kinds import DICTIONARY, refused_kind
from truetap.store.layout import segment_file
from truetap.store.parts import has_parts, newest_of, parts_of
from truetap.store.segment import SegmentWriter
from truetap.store.shapes import ShapeTracker


@dataclass(frozen=True)
class Finished:
    """A segment to which nothing is added any more: its number, rows and bytes, and each phase's newest epoch in it."""

    number: int
    rows: int
    nbytes: int
    newest: Mapping[str, int]


class TableWriter:
    """Appends batches to the segments of one table.

    Args:
        folder: Folder of this worker's segments, which must exist.
        segment_bytes: Size after which a segment is sealed.
        gather_bytes: Size from which a batch is worth a write of its own.
        announce: Called when a segment was created and before it holds a row.
        finished: Called with each segment that has ended.
        epoch_bytes: Size from which an epoch's end seals a segment; None: it never does.
        num_segments: How many segments were begun before; they are left alone.

    Attributes:
        num_segments: How many were begun.
        waiting_since: When the oldest rows came that are not written yet.
        segment_since: When the segment was begun that is being written.
    """

    def __init__(
        self,
        folder: Path,
        *,
        segment_bytes: int,
        gather_bytes: int,
        announce: Callable[[], None],
        finished: Callable[[Finished], None] | None = None,
        epoch_bytes: int | None = None,
        num_segments: int = 0,
    ) -> None:
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._gather_bytes = gather_bytes
        self._announce = announce
        self._finished = finished
        self._epoch_bytes = epoch_bytes
        self._shapes = ShapeTracker()
        self._gathered = Gatherer()
        self._segment: SegmentWriter | None = None
        self._newest: dict[str, int] = {}
        self._accepted: pa.Schema | None = None
        self.num_segments = num_segments
        self.waiting_since: float | None = None
        self.segment_since: float | None = None

    def accept(self, schema: pa.Schema) -> None:
        """Refuse a schema that can't be stored, before anything is taken over.

        Raises:
            StoreError: A column is dictionary-encoded.
        """
        if self._accepted is None or not self._accepted.equals(schema):
            _refuse_dictionaries(schema)
            self._accepted = schema

    def write(self, batch: pa.RecordBatch) -> None:
        """Append a batch: at once when it is big, with others when it is small."""
        batch = self._shapes.settle(batch)
        if not self._gathered.fits(batch.schema):
            self.flush()
        nbytes = batch.nbytes
        if nbytes >= self._gather_bytes:
            self.flush()
            self._append(batch)
            return
        self._gathered.add(batch, nbytes)
        if self.waiting_since is None:
            self.waiting_since = time.monotonic()
        if self._gathered.nbytes >= self._gather_bytes:
            self.flush()

    def flush(self) -> None:
        """Write and commit what was gathered."""
        self.waiting_since = None
        batch = self._gathered.take()
        if batch is not None:
            self._append(batch)

    def seal(self) -> None:
        """Finish the segment being written, if any; the next batch starts another."""
        segment = self._segment
        if segment is not None:
            try:
                segment.seal()
            finally:
                self._end(segment)

    @property
    def open_bytes(self) -> int:
        """Size of the segment being written."""
        return 0 if self._segment is None else self._segment.size

    @property
    def open_epochs(self) -> Mapping[str, int]:
        """By phase, the newest epoch in the segment being written."""
        return self._newest

    def _append(self, batch: pa.RecordBatch) -> None:
        newest = newest_of(part for _, _, part in parts_of(batch)) if has_parts(batch.schema) else {}
        later = any(epoch > self._newest.get(phase, epoch) for phase, epoch in newest.items())
        if later and self._epoch_bytes is not None and self.open_bytes >= self._epoch_bytes:
            self.seal()
        segment = self._segment_for(batch.schema)
        self._newest |= newest
        try:
            segment.write(batch)
        except BaseException:  # also Ctrl-C: half a batch may be in the file
            segment.abandon()
            self._end(segment)
            raise
        if segment.size >= self._segment_bytes:
            self.seal()

    def _end(self, segment: SegmentWriter) -> None:
        self._segment = self.segment_since = None
        newest, self._newest = self._newest, {}
        if self._finished is not None:
            self._finished(Finished(self.num_segments - 1, segment.rows, segment.size, newest))

    def _segment_for(self, schema: pa.Schema) -> SegmentWriter:
        if self._segment is not None and not self._segment.schema.equals(schema, check_metadata=True):
            self.seal()
        if self._segment is None:
            number, self.num_segments = self.num_segments, self.num_segments + 1
            segment = SegmentWriter(segment_file(self._folder, number), schema)
            try:
                self._announce()
            except StoreError:
                segment.abandon()
                raise
            self._segment = segment
            self.segment_since = time.monotonic()
        return self._segment


def _refuse_dictionaries(schema: pa.Schema) -> None:
    for field in schema:
        refused = _refused(field.type)
        if refused == DICTIONARY:
            raise StoreError(
                "Dictionary-encoded columns can't be stored: each batch must be readable by itself. "
                f"Received: column {field.name!r} of type {field.type}. Expected: plain values; "
                "call .dictionary_decode() on the column."
            )
        if refused:
            raise StoreError(
                f"A run holds no {refused}. Received: column {field.name!r} of type {field.type}. Expected: plain "
                "values; cast the column, such as to pa.string() or pa.list_(…), or give its storage."
            )


def _refused(kind: pa.DataType) -> str:
    if isinstance(kind, pa.BaseExtensionType):
        if kind.extension_name not in EXTENSIONS:
            return f"extension type {kind.extension_name!r}, which readers would need other code for"
        kind = kind.storage_type
    inner = (_refused(kind.field(index).type) for index in range(kind.num_fields))
    return refused_kind(kind) or next(filter(None, inner), "")
