"""Quantiles within a relative error, from counts that add up: no sort, no sample, no range known before.

Values are counted by sign and logarithm, as in DDSketch (Masson, Rim and Lee, "DDSketch: a fast and
fully-mergeable quantile sketch with relative-error guarantees", 2019), with its linearly interpolated
logarithm: the exponent and the first bits of the fraction of a float32, taken from its bits. State:
64 KB at an error of 2 %, for each tensor, or for each feature of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from truetap.errors import TapError
from truetap.reducers.base import Array, Axis, Reducer, State
from truetap.reducers.slots import by_bits, count_slots

__all__ = ["Quantiles"]


class Quantiles(Reducer):
    """Quantiles of the finite values.

    Args:
        probabilities: Which, each from 0 to 1.
        relative_error: At most how far from the value at that rank, as a fraction of it: the value at index
            floor(q * (n - 1)) of the sorted ones (NumPy's method "lower"). Magnitudes below 1e-38 count as 0.
        name: The statistic's name in tables.

    The result has shape (k,), or (features..., k), in the order of `probabilities`; NaN of nothing.

    Example:
        >>> Quantiles([0.5], relative_error=0.01)
        Quantiles([0.5], relative_error=0.01)
    """

    def __init__(
        self,
        probabilities: Sequence[float] = (0.05, 0.25, 0.5, 0.75, 0.95),
        relative_error: float = 0.02,
        name: str = "quantiles",
    ) -> None:
        wanted = np.asarray(probabilities, np.float64)
        if wanted.ndim != 1 or not len(wanted) or not ((wanted >= 0) & (wanted <= 1)).all():
            raise TapError(f"Quantiles(probabilities) are numbers from 0 to 1. Received: {probabilities!r}.")
        if not 1e-3 <= relative_error <= 0.34:
            raise TapError(f"Quantiles(relative_error=…) is from 0.001 to 0.34. Received: {relative_error!r}.")
        self.name = name
        self.probabilities = wanted
        self.relative_error = relative_error
        # A bin [a, a + a/2**k) and its harmonic middle: an error of at most 1/(2**(k+1) + 1).
        fraction_bits = next(k for k in range(10) if 1 / (2 ** (k + 1) + 1) <= relative_error)
        self._places = 9 + fraction_bits

    def compute(self, values: Any, axis: Axis) -> dict[str, Any]:
        return {"counts": count_slots(by_bits(values, self._places), 1 << self._places, axis, self.name)}

    def result(self, state: State) -> Array:
        middles, order = _middles(self._places)
        counts = np.asarray(state["counts"])[..., order]
        reached = counts.cumsum(axis=-1)
        number = reached[..., -1:]
        ranks = np.floor(self.probabilities * np.maximum(number - 1, 0))
        flat = reached.reshape(-1, reached.shape[-1])
        pairs = zip(flat, ranks.reshape(len(flat), -1), strict=True)
        place = np.stack([np.searchsorted(row, rank, side="right") for row, rank in pairs]).reshape(ranks.shape)
        found = middles[np.minimum(place, len(middles) - 1)]
        return np.where(number > 0, found, np.nan)

    def __repr__(self) -> str:
        return f"Quantiles({self.probabilities.tolist()}, relative_error={self.relative_error})"


def _middles(places: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """The value that stands for each finite slot, increasing, and the slots in that order."""
    half = 1 << (places - 1)
    finite = np.arange(255 * (half >> 8))  # the exponent 255 is what isn't finite
    edges = np.append(finite, len(finite)).astype(np.uint32) << np.uint32(32 - places)
    bounds = edges.view(np.float32).astype(np.float64)
    bounds[-1] = 2.0**128
    low, high = bounds[:-1], bounds[1:]
    middles = 2 * low * high / (low + high)
    middles[: half >> 8] = 0.0  # denormals
    return np.concatenate([-middles[::-1], middles]), np.concatenate([half + finite[::-1], finite])
