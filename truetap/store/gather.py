"""Small batches of one table, gathered into one that is worth a write.

Writing rows one by one costs ten times the raw write; gathered to 1 MB it is next to nothing.
Small batches are copied when they come, so their arrays may be reused by whoever made them.
"""

from __future__ import annotations

import pyarrow as pa


class Gatherer:
    """Holds copies of small batches of one schema until they are taken."""

    def __init__(self) -> None:
        self._batches: list[pa.RecordBatch] = []
        self.nbytes = 0

    def fits(self, schema: pa.Schema) -> bool:
        """Whether a batch of this schema can join those held."""
        return not self._batches or bool(self._batches[0].schema.equals(schema, check_metadata=True))

    def add(self, batch: pa.RecordBatch, nbytes: int) -> None:
        """Hold a copy of the batch, whose size is `nbytes`."""
        # pyarrow copies when it concatenates, also with nothing.
        self._batches.append(pa.concat_batches([batch, batch.slice(0, 0)]))
        self.nbytes += nbytes

    def take(self) -> pa.RecordBatch | None:
        """What is held, as one batch, or None; nothing is held afterwards."""
        batches, self._batches, self.nbytes = self._batches, [], 0
        if len(batches) > 1:
            return pa.concat_batches(batches)
        return batches[0] if batches else None
