"""Numbers of a regression, summed up as they come: errors by dimension, and some pairs drawn at random."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Values"]

Array = npt.NDArray[Any]

_MOST_KEPT = 50_000  # pairs


class Values:
    """Pairs of true and predicted numbers.

    Attributes:
        count: How many have come that are finite.
    """

    def __init__(self) -> None:
        self.count = 0
        self._rng = np.random.default_rng(0)
        self._kept: tuple[Array, Array, Array] = (np.zeros(0), np.zeros(0), np.zeros(0))  # keys, truth, prediction
        self._sums: Array | None = None

    def add(self, true: Array, pred: Array) -> None:
        """Takes in pairs, arrays of shape (n, dimensions)."""
        true, pred = np.asarray(true, np.float64), np.asarray(pred, np.float64)
        known = np.isfinite(true) & np.isfinite(pred)
        difference = np.where(known, pred - true, 0.0)
        held = np.where(known, true, 0.0)
        sums = np.stack(
            [each.sum(axis=0) for each in (known, np.abs(difference), difference**2, difference, held, held**2)]
        )
        self._sums = sums if self._sums is None else self._sums + sums
        self.count += int(known.sum())
        new = (self._rng.random(int(known.sum())), true[known], pred[known])
        keys, truth, predicted = (np.r_[old, each] for old, each in zip(self._kept, new, strict=True))
        if len(keys) > _MOST_KEPT:  # the smallest keys: every pair is as likely to stay as any other
            kept = np.sort(np.argpartition(keys, _MOST_KEPT)[:_MOST_KEPT])
            keys, truth, predicted = keys[kept], truth[kept], predicted[kept]
        self._kept = keys, truth, predicted  # at once: they may be looked at while more is coming

    @property
    def drawn(self) -> tuple[Array, Array]:
        """Truth and prediction of those that were kept: all where they are few."""
        return self._kept[1:]

    def rows(self) -> list[tuple[int, float, float, float, float]]:
        """Of each dimension its number, mean absolute error, root of the mean square, r2, bias."""
        if self._sums is None:
            return []
        n, absolute, square, difference, true, true_square = self._sums
        with np.errstate(invalid="ignore", divide="ignore"):
            spread = true_square - true**2 / n
            found = np.stack([absolute / n, np.sqrt(square / n), 1 - square / spread, difference / n])
        return [(place, *map(float, column)) for place, column in enumerate(found.T)]  # type: ignore[misc]
