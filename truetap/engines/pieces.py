"""The rows of one unit, read, and a source that gives their batches.

The batches are cut by the same code as arrays in memory, so a unit gives what a single process would
give at this place.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from truetap.data.arrays import ArraySource
from truetap.data.source import Drawn, Facts
from truetap.engines.units import Part, Unit
from truetap.structure import leaves, map_leaves

__all__ = ["Files", "FilesSource", "OneByOne", "Piece", "PieceSource", "facts_of", "sliced"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Piece:
    """The rows of one unit.

    Attributes:
        element: `(x, y[, sample_weight])` or a dict of columns, of arrays.
        ids: Names of the rows, shape (n,), or None.
        seconds: How long it took to read them.
    """

    element: Any
    ids: Array | Sequence[Any] | None = None
    seconds: float = 0.0

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(next(leaf for leaf in leaves(self.element) if leaf is not None))

    def only(self, keep: Array) -> Piece:
        """Some of the rows, chosen by a bool mask."""
        element = map_leaves(lambda leaf: None if leaf is None else leaf[keep], self.element)
        ids = None if self.ids is None else np.asarray(self.ids, dtype=object)[keep]
        return Piece(element, ids, self.seconds)


class Files(Protocol):
    """Data that lie in files, of which any rows can be read."""

    @property
    def kind(self) -> str:
        """What messages call them."""

    @property
    def parts(self) -> tuple[Part, ...]:
        """The files, in order of their paths."""

    @property
    def paths(self) -> Iterable[str]:
        """Every file that is read."""

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Names of the classes, when the files tell them."""

    def stretches(self, units: Sequence[Unit]) -> list[tuple[Unit, ...]]:
        """The units in the same order, those together that are best read in one go."""

    def read(self, stretch: Sequence[Unit]) -> Iterator[Piece]:
        """The rows of the units of a stretch, one after the other.

        Raises:
            DataError: The file can't be read, or isn't what it should be.
        """


class OneByOne(ABC):
    """What is the same for all `Files` of which any rows can be had alone."""

    def stretches(self, units: Sequence[Unit]) -> list[tuple[Unit, ...]]:
        """Each unit alone."""
        return [(unit,) for unit in units]

    def read(self, stretch: Sequence[Unit]) -> Iterator[Piece]:
        """The rows of the units."""
        return map(self.piece, stretch)

    @abstractmethod
    def piece(self, unit: Unit) -> Piece:
        """The rows of one unit."""


class PieceSource:
    """Batches of one piece.

    Args:
        piece: The rows.
        facts: What is known of the data that they are part of.
        batch_size: Rows per batch.
    """

    def __init__(self, piece: Piece, facts: Facts, batch_size: int) -> None:
        self._piece = piece
        self._facts = facts
        self._batch_size = batch_size

    @property
    def facts(self) -> Facts:
        """Those of the whole."""
        return self._facts

    def draw(self, limit: int | None) -> Iterator[Drawn]:
        """Slices of `batch_size` rows, the last one shorter."""
        ids = self._piece.ids
        for number, drawn in enumerate(ArraySource(self._piece.element, self._batch_size).draw(limit)):
            start = number * self._batch_size
            own = None if ids is None else ids[start : start + self._batch_size]
            yield Drawn(drawn.element, own, drawn.fingerprints)


class FilesSource:
    """Files as a source for a single process.

    Args:
        files: The files.
        units: Their rows, in the order in which they are read.
        batch_size: Rows per batch.
    """

    def __init__(self, files: Files, units: Sequence[Unit], batch_size: int) -> None:
        self._files = files
        self._units = units
        self._batch_size = batch_size

    @property
    def facts(self) -> Facts:
        """All is known of files but what is in them."""
        return facts_of(self._files, self._units, self._batch_size)

    def draw(self, limit: int | None) -> Iterator[Drawn]:
        """Batches of the files, one file after another."""
        left = limit
        for stretch in self._files.stretches(self._units):
            for piece in self._files.read(stretch):
                for drawn in PieceSource(piece, self.facts, self._batch_size).draw(left):
                    left = None if left is None else left - 1
                    yield drawn
                if left is not None and left <= 0:
                    return


def facts_of(files: Files, units: Sequence[Unit], batch_size: int) -> Facts:
    """What is known of files before they are read."""
    return Facts(
        kind=files.kind,
        num_batches=sum(-(-unit.rows // batch_size) for unit in units),
        num_samples=sum(unit.rows for unit in units),
        shuffles=False,
        fresh=True,
        class_names=files.class_names,
    )


def sliced(element: Any, start: int, stop: int) -> Any:
    """Some rows of every array of an element."""
    return map_leaves(partial(_rows, start, stop), element)


def _rows(start: int, stop: int, leaf: Any) -> Any:
    return None if leaf is None else leaf[start:stop]
