"""Norms of a tensor taken as one vector; never the norm of a matrix."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from truetap.reducers import passes
from truetap.reducers.base import Array, Axis, Reducer, State

__all__ = ["L1", "L2"]


class L1(Reducer):
    """The sum of absolute values."""

    name = "l1"

    def compute(self, values: Any, axis: Axis) -> dict[str, Any]:
        return {"sum": passes.total(ops.absolute(values), axis)}

    def result(self, state: State) -> Array:
        return np.asarray(state["sum"])


class L2(Reducer):
    """The root of the sum of squares, finite and not 0 for any float32 values that are; over several
    batches, of all their values together.

    Args:
        name: "l2", or "norm", which is the same.
    """

    def __init__(self, name: str = "l2") -> None:
        self.name = name

    def compute(self, values: Any, axis: Axis) -> dict[str, Any]:
        scale, squares = passes.scaled_squares(values, axis)
        return {"scale": scale, "squares": squares}

    def merge(self, one: State, other: State) -> State:
        squares = np.asarray(one["squares"] * one["scale"] ** 2 + other["squares"] * other["scale"] ** 2)
        return {"scale": np.ones_like(squares), "squares": squares}

    def result(self, state: State) -> Array:
        return np.asarray(np.sqrt(state["squares"]) * state["scale"])
