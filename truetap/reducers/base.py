"""The contract of a reducer: what leaves the step, how batches are merged, what it comes to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from keras import ops

__all__ = ["Array", "Axis", "Reducer", "State", "mean_of", "on_host"]

Array = npt.NDArray[Any]
Axis = Literal[0] | None
State = dict[str, Array]


class Reducer:
    """A statistic of a tensor: computed in the step, merged and finished on the host.

    Attributes:
        name: The statistic's name in the tables of a run.
    """

    name: str = ""

    def compute(self, values: Any, axis: Axis) -> dict[str, Any]:
        """The state of one batch, inside the (compiled) step.

        Args:
            values: float32 tensor of shape (n, ...), or () for axis=None; n may be 0. Without gradient.
            axis: None: over all elements; 0: for each feature, over the first axis.

        Returns:
            Tensors by name, float32 or int32, of shapes that follow from the shape of `values` alone:
            XLA compiles them. With axis=0 each begins or ends with the shape of a sample, as `result`
            expects it.
        """
        raise NotImplementedError(f"{type(self).__name__} needs compute(values, axis).")

    def merge(self, one: State, other: State) -> State:
        """The state of two batches together, on the host in float64; they may have different n.

        Unless overridden, the sum of each part.

        Args:
            one: The earlier: what `compute` gave, as arrays, or an earlier merge.
            other: The later.
        """
        return {key: np.asarray(one[key] + other[key]) for key in one}

    def result(self, state: State) -> Array:
        """What a state comes to, on the host.

        Args:
            state: That of a batch, or of several, merged.

        Returns:
            Shape (), or that of the features, or (k,), or both: (*features, k).
        """
        raise NotImplementedError(f"{type(self).__name__} needs result(state).")

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self.name!r})"


def on_host(state: Mapping[str, Any]) -> State:
    """A state as `merge` and `result` take it: NumPy arrays of float64."""
    return {key: np.asarray(ops.convert_to_numpy(value), np.float64) for key, value in state.items()}


def mean_of(total: Array, count: Array) -> Array:
    """A total by a count; NaN of nothing."""
    return np.asarray(np.divide(total, count, out=np.full(np.shape(total), np.nan), where=np.asarray(count) > 0))
