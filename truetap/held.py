"""Batches held in memory as NumPy columns; made Arrow record batches when someone asks for one.

Making a record batch costs some 50 µs, as much as a small model's step; most collections are only
ever asked for whole columns, which need no Arrow at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from truetap.columns import concatenate, record_batch, storable

__all__ = ["Held"]

Array = npt.NDArray[Any]


class Held(Sequence[pa.RecordBatch]):
    """Rows in memory, batch by batch.

    Args:
        batches: Columns by name for each batch; the same names in each. Not copied.
    """

    def __init__(self, batches: Iterable[dict[str, Array]]) -> None:
        self._batches = [batch for batch in batches if len(next(iter(batch.values())))]

    @property
    def num_rows(self) -> int:
        """Rows in all."""
        return sum(len(next(iter(batch.values()))) for batch in self._batches)

    @property
    def column_names(self) -> list[str]:
        """The columns, in order."""
        return list(self._batches[0]) if self._batches else []

    def array(self, column: str) -> Array:
        """A whole column, in the dtype that a record batch would hold.

        The batches then become views of it, so that no value is held twice.
        """
        parts = [storable(np.asarray(batch[column])) for batch in self._batches]
        whole = concatenate(parts)
        if len(parts) > 1 and all(part.shape[1:] == whole.shape[1:] for part in parts):
            start = 0
            for batch, part in zip(self._batches, parts, strict=True):
                batch[column] = whole[start : start + len(part)]
                start += len(part)
        return whole

    def __len__(self) -> int:
        return len(self._batches)

    @overload
    def __getitem__(self, index: int) -> pa.RecordBatch: ...
    @overload
    def __getitem__(self, index: slice) -> Held: ...
    def __getitem__(self, index: int | slice) -> pa.RecordBatch | Held:
        if isinstance(index, slice):
            return Held(self._batches[index])
        return record_batch(self._batches[index].items())
