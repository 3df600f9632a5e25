"""Record batches that are made, or read, when they are asked for."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, overload

import pyarrow as pa

__all__ = ["Lazy"]


class Lazy(Sequence[pa.RecordBatch]):
    """A sequence of record batches, each of which `at` gives."""

    @abstractmethod
    def at(self, place: int) -> pa.RecordBatch:
        """The batch in a place from 0 to `len(self) - 1`."""

    @overload
    def __getitem__(self, index: int) -> pa.RecordBatch: ...
    @overload
    def __getitem__(self, index: slice) -> list[pa.RecordBatch]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self.at(place) for place in range(len(self))[index]]
        place = index + len(self) if index < 0 else index
        if not 0 <= place < len(self):
            raise IndexError(f"There are {len(self)} batches. Received: index {index}.")
        return self.at(place)
