"""Percentile bootstrap intervals of differences (Efron and Tibshirani 1993, An Introduction to the Bootstrap, ch. 13).

Samples are drawn with replacement, and with a sample all of its rows and steps. How often each was drawn is a row of
counts; the sums that metrics are made of are then one product of counts and a sparse matrix. Paired runs share their
counts. Cost: 6 s for a million samples of ten classes and 500 resamples, on two cores; counts are made for a few
thousand samples at a time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

__all__ = ["Interval", "counts", "interval", "resampled_sums"]

Array = npt.NDArray[Any]

_UNITS_AT_ONCE = 4096
_MOST_UNDEFINED = 0.05
_TAILS = (0.025, 0.975)


@dataclass(frozen=True, slots=True)
class Interval:
    """The ends of a 95% interval; NaN where there is none."""

    low: float = math.nan
    high: float = math.nan

    def __bool__(self) -> bool:
        return not math.isnan(self.low)


def counts(units: int, resamples: int, draws: int, rng: np.random.Generator) -> Iterator[tuple[slice, Array]]:
    """How often each unit was drawn in each resample.

    Args:
        units: How many there are.
        resamples: How many resamples.
        draws: How many are drawn in each.
        rng: Random numbers.

    Yields:
        Some units, and float64 (those units, resamples). Together multinomial, with the same chance for each unit.
    """
    starts = range(0, units, _UNITS_AT_ONCE)
    sizes = np.asarray([min(_UNITS_AT_ONCE, units - start) for start in starts])
    shares = rng.multinomial(draws, sizes / units, size=resamples)
    for number, (start, size) in enumerate(zip(starts, sizes.tolist(), strict=True)):
        drawn = np.empty((resamples, size))
        for each in range(resamples):
            drawn[each] = np.bincount(rng.integers(0, size, shares[each, number]), minlength=size)
        yield slice(start, start + size), np.ascontiguousarray(drawn.T)


def resampled_sums(matrices: Sequence[sparse.csr_array], resamples: int, rng: np.random.Generator) -> list[Array]:
    """Sums over the rows of matrices, as drawn; the same draws for all.

    Args:
        matrices: Shape (units, columns) each.
        resamples: How many.
        rng: Random numbers.

    Returns:
        float64 (resamples, columns) for each matrix.
    """
    units = matrices[0].shape[0]
    sums = [np.zeros((matrix.shape[1], resamples)) for matrix in matrices]
    for part, drawn in counts(units, resamples, units, rng):
        for total, matrix in zip(sums, matrices, strict=True):
            total += matrix[part].T @ drawn
    return [np.ascontiguousarray(total.T) for total in sums]


def interval(differences: Array, shift: float = 0.0) -> Interval:
    """The middle 95% of resampled differences.

    Args:
        differences: float64 (resamples,); NaN where a resample has no such number (no sample of a class).
        shift: Added to both ends.

    Returns:
        The ends; no interval where more than 5% are undefined.

    Example:
        >>> interval(np.arange(101.0))
        Interval(low=2.5, high=97.5)
    """
    defined = differences[np.isfinite(differences)]
    if len(defined) < (1 - _MOST_UNDEFINED) * len(differences) or not len(defined):
        return Interval()
    low, high = np.quantile(defined, _TAILS)
    return Interval(float(low + shift), float(high + shift))
