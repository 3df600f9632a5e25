"""Columns whose shape changes from batch to batch, kept from making a segment per batch.

Batches padded to their longest sample have another tensor shape every time, and so another schema.
A column whose shape changes once is stored with a shape per row from then on: one new segment for a
column, whatever comes.
"""

from __future__ import annotations

import pyarrow as pa

from truetap import columns


class ShapeTracker:
    """Remembers the tensor shapes of one table, and settles the columns that vary."""

    def __init__(self) -> None:
        self._last: dict[str, pa.FixedShapeTensorType] = {}
        self._varying: set[str] = set()

    def settle(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch, with the columns that have varied stored with a shape per row."""
        for index, field in enumerate(batch.schema):
            if isinstance(field.type, pa.FixedShapeTensorType):
                self._note(field)
                if field.name in self._varying:
                    batch = vary(batch, index)
        return batch

    def _note(self, field: pa.Field) -> None:
        last, now = self._last.get(field.name), field.type
        self._last[field.name] = now
        if last is None or last.value_type != now.value_type or len(last.shape) != len(now.shape):
            return
        if list(last.shape) != list(now.shape):
            self._varying.add(field.name)


def vary(batch: pa.RecordBatch, index: int) -> pa.RecordBatch:
    """The batch, with one tensor column stored with a shape per row."""
    name = batch.schema.field(index).name
    values = columns.decode(batch.column(index))
    encoded = columns.record_batch([(name, values)], variable=frozenset([name]))
    return batch.set_column(index, encoded.schema.field(0), encoded.column(0))
