"""Units of a layer over a batch: those that never fire, and those that only repeat their neighbour.

A unit is a place on the last axis: a neuron of a dense layer, a channel of a convolution.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from truetap.backends import current
from truetap.errors import TapError
from truetap.reducers import passes
from truetap.reducers.base import Array, Axis, Reducer, State, mean_of

__all__ = ["Dead", "NearOne", "NearZero", "Twins"]

_WITHOUT_SIGN = 0x7FFFFFFF
_NEAR = 0.01


class Dead(Reducer):
    """The share of units that are 0 for every sample of the batch and at every position, as of a dying ReLU.

    With axis=0, 1 for each feature that is 0 for every sample, else 0.
    """

    name = "dead"

    def compute(self, values: Any, axis: Axis) -> dict[str, Any]:
        on = ops.bitwise_and(current().bits(values), _WITHOUT_SIGN) != 0
        count = passes.count(values, axis)
        if axis == 0:
            return {"feature": ops.cast(ops.any(on, axis=0), "int32"), "count": count}
        return {"unit": ops.cast(ops.any(on, axis=_others(values)), "int32"), "count": count}

    def merge(self, one: State, other: State) -> State:
        merged = {key: np.maximum(one[key], other[key]) for key in one}
        return merged | {"count": np.asarray(one["count"] + other["count"])}

    def result(self, state: State) -> Array:
        dead = state["feature"] == 0 if "feature" in state else np.mean(state["unit"] == 0)
        return np.asarray(np.where(state["count"] > 0, dead, np.nan))


class Twins(Reducer):
    """The share of units that fire, and give the very values of the unit beside them, for every sample.

    Units that start with equal weights stay copies of each other. Over all elements only.
    """

    name = "twins"

    def compute(self, values: Any, axis: Axis) -> dict[str, Any]:
        if axis == 0:
            raise TapError("'twins' compares units with each other. Received: axis=0. Expected: axis=None.")
        if len(values.shape) < 2 or values.shape[-1] == 1:
            values = ops.stack([values, values + 1.0], axis=-1)  # one unit is nobody's twin
        others = _others(values)
        left, right = values[..., :-1], values[..., 1:]
        fires = ops.any(left != 0, axis=others)
        return {"differs": ops.cast(ops.any(left != right, axis=others), "int32"), "fires": ops.cast(fires, "int32")}

    def merge(self, one: State, other: State) -> State:
        return {key: np.maximum(one[key], other[key]) for key in one}

    def result(self, state: State) -> Array:
        twins = (state["differs"] == 0) & (state["fires"] > 0)
        return np.asarray(np.mean(twins) if twins.size else np.nan)


class NearOne(Reducer):
    """The share of values within 0.01 of 1 or -1, or beyond them: ends of tanh, the upper end of a sigmoid."""

    name = "near_one"

    def compute(self, values: Any, axis: Axis) -> dict[str, Any]:
        near = ops.sum(ops.cast(ops.abs(values) >= 1 - _NEAR, "int32"), axis=axis)
        return {"count": passes.count(values, axis), "near": near}

    def result(self, state: State) -> Array:
        return mean_of(state["near"], state["count"])


class NearZero(NearOne):
    """The share of values within 0.01 of 0: the lower end of a sigmoid."""

    name = "near_zero"

    def compute(self, values: Any, axis: Axis) -> dict[str, Any]:
        near = ops.sum(ops.cast(ops.abs(values) <= _NEAR, "int32"), axis=axis)
        return {"count": passes.count(values, axis), "near": near}


def _others(values: Any) -> tuple[int, ...]:
    """The axes over which a unit is one: all but the last; of values without units, (n,), all."""
    return tuple(range(max(len(values.shape) - 1, min(len(values.shape), 1))))
