"""The rows of the pass that just ended, found from the end of the table.

A run grows with every epoch; looking through all of it at each epoch's end would cost more and more.
Batches are mapped or read one at a time, when they are asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from truetap import rows
from truetap.columns import decode
from truetap.lazy import Lazy
from truetap.store import Batches, RunReader

__all__ = ["PassRows", "chunks"]

Array = npt.NDArray[Any]

_CHUNK_BYTES = 8 << 20
_CHUNK_ROWS = 4096


class PassRows(Lazy):
    """The rows of samples of one phase and epoch, in the order of the steps.

    Args:
        batches: Those of the table `samples`.
        places: Which of them.
        columns: The columns that are wanted; None for all.
    """

    def __init__(self, batches: Batches, places: Sequence[int], columns: Sequence[str] | None = None) -> None:
        self._batches = batches if columns is None else batches.select(columns)
        self._places = places
        self.column_names = list(columns or (self._batches[places[0]].schema.names if places else ()))

    @classmethod
    def last(cls, reader: RunReader, phase: str, epoch: int) -> PassRows:
        """The rows of the latest pass of a phase; rows of an earlier one end the search."""
        batches = reader.batches("samples") if "samples" in reader.tables else Batches([])
        kin = ("train", "val") if phase in ("train", "val") else (phase,)  # epochs of others count by themselves
        places: list[int] = []
        for place in range(len(batches) - 1, -1, -1):
            found = batches.part(place)
            if found == (phase, epoch):
                places.append(place)
            elif found is not None and found[0] in kin and found[1] < epoch:
                break
        return cls(batches, places[::-1])

    @property
    def num_rows(self) -> int:
        """Rows in all; nothing is read for it."""
        return sum(map(self._batches.rows, self._places))

    def steps(self) -> int:
        """Of how many steps there are rows."""
        found: set[int] = set()
        for part in rows.parts(self, "step"):
            found.update(np.unique(part).tolist())
        return len(found)

    def select(self, columns: Sequence[str]) -> Self:
        """The same with some columns only; of Parquet files only these are read."""
        return type(self)(self._batches, self._places, columns)

    def __len__(self) -> int:
        return len(self._places)

    def at(self, place: int) -> pa.RecordBatch:
        return self._batches[self._places[place]]


def chunks(batches: Sequence[pa.RecordBatch], *, whole: bool = False) -> Iterator[dict[str, Array]]:
    """The columns in chunks of one size, but for the last of a shape: what is compiled by shape is compiled once.

    Args:
        batches: Rows with the columns that are wanted.
        whole: Whether to make one chunk of all rows of a shape.

    Yields:
        Arrays of shape (rows, ...) by column.
    """
    kept: list[dict[str, Array]] = []
    for batch in rows.uniform(batches):
        piece = {name: decode(batch.column(name)) for name in batch.schema.names}
        if kept and _shapes(piece) != _shapes(kept[0]):
            yield _joined(kept)
            kept = []
        kept.append(piece)
        size = _rows_of_a_chunk(piece)
        if not whole and sum(map(_length, kept)) >= size:
            joined = _joined(kept)
            full = _length(joined) // size * size
            for start in range(0, full, size):
                yield {name: values[start : start + size] for name, values in joined.items()}
            rest = {name: values[full:] for name, values in joined.items()}
            kept = [rest] if _length(rest) else []
    if kept:
        yield _joined(kept)


def _rows_of_a_chunk(piece: dict[str, Array]) -> int:
    nbytes = sum(values[:1].nbytes for values in piece.values())
    return max(1, min(_CHUNK_ROWS, _CHUNK_BYTES // max(nbytes, 1)))


def _joined(pieces: list[dict[str, Array]]) -> dict[str, Array]:
    if len(pieces) == 1:
        return pieces[0]
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}


def _shapes(piece: dict[str, Array]) -> list[tuple[int, ...]]:
    return [values.shape[1:] for values in piece.values()]


def _length(piece: dict[str, Array]) -> int:
    return len(next(iter(piece.values())))
