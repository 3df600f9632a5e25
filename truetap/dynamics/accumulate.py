"""Numbers per sample, summed up visit by visit: means, spreads, counts, what came last.

Arrays grow with the samples that turn up. All take visits of which no two are of one sample.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Events", "Last", "Sum", "Times"]

Array = npt.NDArray[Any]


def grown(array: Array, rows: Array, fill: Any) -> Array:
    """The array, long enough for these rows."""
    needed = int(rows.max()) + 1 if len(rows) else 0
    if needed <= len(array):
        return array
    length = max(needed, len(array) * 3 // 2)
    new = np.full((length, *array.shape[1:]), fill, array.dtype)
    new[: len(array)] = array
    return new


class Sum:
    """Sums of a value, or of its square.

    Args:
        squares: Whether squares are summed too, for `spread`.
    """

    def __init__(self, *, squares: bool = False) -> None:
        self._sum = np.zeros(0)
        self._squares = np.zeros(0) if squares else None

    def add(self, rows: Array, values: Array) -> None:
        """One value for each of some samples."""
        self._sum = grown(self._sum, rows, 0)
        self._sum[rows] += values
        if self._squares is not None:
            self._squares = grown(self._squares, rows, 0)
            self._squares[rows] += np.square(values, dtype=np.float64)

    def total(self, size: int) -> Array:
        """The sums of the first so many samples."""
        return self._sum[:size]

    def mean(self, counts: Array) -> Array:
        """Means, over so many visits each."""
        return np.asarray(self._sum[: len(counts)] / counts)

    def spread(self, counts: Array) -> Array:
        """Standard deviations over visits, divided by their number rather than by one less."""
        assert self._squares is not None
        variance = self._squares[: len(counts)] / counts - self.mean(counts) ** 2
        return np.asarray(np.sqrt(np.maximum(variance, 0)))


class Times:
    """How often samples were visited, and in how many epochs."""

    def __init__(self) -> None:
        self._visits = np.zeros(0, np.int64)
        self._epochs = np.zeros(0, np.int64)
        self._last = np.zeros(0, np.int64)

    def add(self, rows: Array, epoch: int) -> None:
        """Visits of an epoch."""
        self._visits, self._epochs = grown(self._visits, rows, 0), grown(self._epochs, rows, 0)
        self._last = grown(self._last, rows, -1)
        self._visits[rows] += 1
        self._epochs[rows] += self._last[rows] != epoch
        self._last[rows] = epoch

    def visits(self, size: int) -> Array:
        """Visits of the first so many samples."""
        return self._visits[:size]

    def epochs(self, size: int) -> Array:
        """The epochs in which they were visited."""
        return self._epochs[:size]


class Last:
    """The value of a sample's last visit."""

    def __init__(self) -> None:
        self._value = np.zeros(0)

    def add(self, rows: Array, values: Array) -> None:
        self._value = grown(self._value, rows, np.nan)
        self._value[rows] = values

    def value(self, size: int) -> Array:
        """Of the first so many samples."""
        return self._value[:size]


class Events:
    """How often a sample that was predicted right was wrong at the next visit, and when it first was right."""

    def __init__(self) -> None:
        self._was: Array | None = None
        self._events = np.zeros(0, np.int64)
        self._first = np.zeros(0, np.int64)

    def add(self, rows: Array, right: Array, epoch: int) -> None:
        """What visits of an epoch say: bool (n,), or (n, L) for each label."""
        if self._was is None:
            self._was = np.zeros((0, *right.shape[1:]), bool)
        self._was = grown(self._was, rows, False)
        self._events, self._first = grown(self._events, rows, 0), grown(self._first, rows, -1)
        lost = self._was[rows] & ~right
        self._events[rows] += lost.reshape(len(rows), -1).sum(axis=1)
        self._was[rows] = right
        whole = right.reshape(len(rows), -1).all(axis=1)
        new = rows[whole & (self._first[rows] < 0)]
        self._first[new] = epoch

    def events(self, size: int) -> Array:
        """Of the first so many samples."""
        return self._events[:size]

    def first(self, size: int) -> Array:
        """The epoch in which each was first predicted right; -1 where it never was."""
        return self._first[:size]
