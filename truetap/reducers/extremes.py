"""The smallest and the largest value."""

from __future__ import annotations

from typing import Any

import numpy as np

from truetap.reducers import passes
from truetap.reducers.base import Array, Axis, Reducer, State

__all__ = ["Max", "Min"]


class _Extreme(Reducer):
    """The count tells the extreme of nothing from an infinite value."""

    def result(self, state: State) -> Array:
        return np.where(state["count"] > 0, state["extreme"], np.nan)


class Min(_Extreme):
    """The smallest value; NaN if a value is, and of nothing."""

    name = "min"

    def compute(self, values: Any, axis: Axis) -> dict[str, Any]:
        return {"count": passes.count(values, axis), "extreme": passes.smallest(values, axis)}

    def merge(self, one: State, other: State) -> State:
        extreme = np.asarray(np.minimum(one["extreme"], other["extreme"]))
        return {"count": np.asarray(one["count"] + other["count"]), "extreme": extreme}


class Max(_Extreme):
    """The largest value; NaN if a value is, and of nothing."""

    name = "max"

    def compute(self, values: Any, axis: Axis) -> dict[str, Any]:
        return {"count": passes.count(values, axis), "extreme": passes.largest(values, axis)}

    def merge(self, one: State, other: State) -> State:
        extreme = np.asarray(np.maximum(one["extreme"], other["extreme"]))
        return {"count": np.asarray(one["count"] + other["count"]), "extreme": extreme}
