"""How many values are exactly zero, or not finite: told by their bits, since compiled code may take the
smallest numbers (denormals) for zeros, and not on every backend.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from truetap.backends import current
from truetap.reducers import passes
from truetap.reducers.base import Array, Axis, Reducer, State, mean_of

__all__ = ["NonFinite", "Zeros"]

_WITHOUT_SIGN = 0x7FFFFFFF
_EXPONENT = 0x7F800000  # all of its bits set: infinite or NaN


class Zeros(Reducer):
    """The fraction of values that are 0 (or -0): of a ReLU's outputs, how many units are off."""

    name = "zeros"

    def compute(self, values: Any, axis: Axis) -> dict[str, Any]:
        magnitude = ops.bitwise_and(current().bits(values), _WITHOUT_SIGN)
        zeros = ops.sum(ops.cast(magnitude == 0, "int32"), axis=axis)
        return {"count": passes.count(values, axis), "zeros": zeros}

    def result(self, state: State) -> Array:
        return mean_of(state["zeros"], state["count"])


class NonFinite(Reducer):
    """The number of values that are NaN or infinite."""

    name = "nonfinite"

    def compute(self, values: Any, axis: Axis) -> dict[str, Any]:
        exponent = ops.bitwise_and(current().bits(values), _EXPONENT)
        return {"nonfinite": ops.sum(ops.cast(exponent == _EXPONENT, "int32"), axis=axis)}

    def result(self, state: State) -> Array:
        return np.asarray(state["nonfinite"])
