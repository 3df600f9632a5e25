"""Mean and standard deviation, merged over batches by counts, means and squared deviations.

Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances"
(1979), equations 2.1: no difference of large sums, so nothing cancels. Welford's is the case of one
value.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from truetap.reducers import passes
from truetap.reducers.base import Array, Axis, Reducer, State, mean_of

__all__ = ["Mean", "Std"]


class Mean(Reducer):
    """The arithmetic mean; NaN if a value is, and of nothing."""

    name = "mean"

    def compute(self, values: Any, axis: Axis) -> dict[str, Any]:
        return {"count": passes.count(values, axis), "sum": passes.total(values, axis)}

    def result(self, state: State) -> Array:
        return mean_of(state["sum"], state["count"])


class Std(Reducer):
    """The population's standard deviation (divided by n, as NumPy's); NaN if a value isn't finite."""

    name = "std"

    def compute(self, values: Any, axis: Axis) -> dict[str, Any]:
        count = passes.count(values, axis)
        mean = passes.total(values, axis) / ops.cast(ops.maximum(count, 1), "float32")
        scale, squares = passes.scaled_squares(values, axis, centre=mean)
        return {"count": count, "mean": mean, "scale": scale, "squares": squares}

    def merge(self, one: State, other: State) -> State:
        first, second = one["count"], other["count"]
        count = first + second
        apart = other["mean"] - one["mean"]
        weight = np.divide(second, count, out=np.zeros_like(count), where=count > 0)
        squares = _squares(one) + _squares(other) + apart**2 * first * weight
        return {
            "count": np.asarray(count),
            "mean": np.asarray(one["mean"] + apart * weight),
            "scale": np.ones_like(squares),
            "squares": np.asarray(squares),
        }

    def result(self, state: State) -> Array:
        return np.asarray(np.sqrt(mean_of(_squares(state), state["count"])))


def _squares(state: State) -> Array:
    return np.asarray(state["squares"] * state["scale"] ** 2)
