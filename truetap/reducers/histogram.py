"""Counts of values between edges: powers of two when nothing is known of their range, or edges as given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from keras import ops

from truetap.backends import current
from truetap.errors import TapError
from truetap.reducers.base import Array, Axis, Reducer, State
from truetap.reducers.slots import by_bits, count_slots

__all__ = ["Histogram"]

_LOW, _HIGH = -40, 24  # powers of two from 1e-12 to 1.7e7: what isn't between is counted in the outer bins
_PLACES = 9  # sign and exponent of a float32


class Histogram(Reducer):
    """Counts of the finite values in bins that are the same for every step, so that histograms add up.

    Args:
        edges: Increasing edges of the bins, at least two, compared in float32. A value belongs to the bin
            whose left edge it has reached, the last bin has its right edge too, and values outside aren't
            counted, all as in `numpy.histogram`; begin with -inf and end with inf to count those. None:
            bins by sign and power of two: (-inf, -2**24), …, (-2**-40, 2**-40), …, [2**24, inf), where
            a negative value is counted as its mirror image.
        name: The statistic's name in tables.

    Attributes:
        edges: The edges, float64 of shape (k + 1,), where the result has shape (k,), or (features..., k).

    Example:
        >>> Histogram([0.0, 0.5, 1.0]).edges.tolist()
        [0.0, 0.5, 1.0]
    """

    def __init__(self, edges: Sequence[float] | npt.ArrayLike | None = None, name: str = "histogram") -> None:
        self.name = name
        self._given = edges is not None
        self.edges: npt.NDArray[np.float64] = _powers_of_two() if edges is None else _checked(edges)

    def compute(self, values: Any, axis: Axis) -> dict[str, Any]:
        if not self._given:
            return {"counts": count_slots(by_bits(values, _PLACES), 1 << _PLACES, axis, self.name)}
        edges = self.edges.astype(np.float32)
        flat = ops.reshape(values, (-1,))
        reached = current().bucket(flat, edges) - ops.cast(flat == edges[-1], "int32")  # the last bin is closed
        slot = ops.reshape(ops.where(ops.isfinite(flat), reached, 0), ops.shape(values))
        return {"counts": count_slots(slot, len(edges) + 1, axis, self.name)}

    def result(self, state: State) -> Array:
        counts = np.asarray(state["counts"])
        if self._given:
            return counts[..., 1:-1]
        magnitudes = counts.reshape(*counts.shape[:-1], 2, 1 << (_PLACES - 1))
        positive, negative = (_by_power(magnitudes[..., sign, :]) for sign in (0, 1))
        middle = positive[..., :1] + negative[..., :1]
        return np.concatenate([negative[..., :0:-1], middle, positive[..., 1:]], axis=-1)

    def __repr__(self) -> str:
        return f"Histogram({self.edges.tolist() if self._given else ''})"


def _by_power(counts: Array) -> Array:
    """Counts by exponent as counts of: below 2**_LOW, [2**e, 2**(e+1)) …, 2**_HIGH and more."""
    low, high = _LOW + 127, _HIGH + 127
    below = counts[..., :low].sum(axis=-1, keepdims=True)
    above = counts[..., high:255].sum(axis=-1, keepdims=True)  # 255 is what isn't finite
    return np.concatenate([below, counts[..., low:high], above], axis=-1)


def _powers_of_two() -> npt.NDArray[np.float64]:
    powers = np.ldexp(1.0, np.arange(_LOW, _HIGH + 1))
    return np.concatenate([[-np.inf], -powers[::-1], powers, [np.inf]])


def _checked(edges: Any) -> npt.NDArray[np.float64]:
    array = np.asarray(edges, np.float64)
    if array.ndim != 1 or len(array) < 2 or not (np.diff(array.astype(np.float32)) > 0).all():
        raise TapError(
            f"Histogram(edges) needs at least two increasing numbers, apart in float32. Received: {edges!r}. "
            "Expected: such as numpy.linspace(-1, 1, 21)."
        )
    return array
