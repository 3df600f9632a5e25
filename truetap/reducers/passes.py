"""The passes over a tensor that reducers share.

Written so that the same statistic asked for twice is the same computation: compilers then do it once.
Squares are summed of values scaled by the largest of them, so that gradients of 1e-25 have a norm
and those of 1e25 a finite one: their squares are beyond float32.
"""

from __future__ import annotations

import math
from typing import Any

from keras import ops

from truetap.backends import current
from truetap.reducers.base import Axis

__all__ = ["count", "largest", "scaled_squares", "smallest", "total"]

_FAR = 1e30  # scales stay within: their inverses are float32 numbers too


def count(values: Any, axis: Axis) -> Any:
    """How many values each statistic is over, as an int32 scalar: all of them, or the rows.

    Args:
        values: The tensor that `compute` was given.
        axis: None or 0, as `compute` was given it.
    """
    sizes = ops.shape(values) if axis is None else ops.shape(values)[:1]
    known = [size for size in sizes if isinstance(size, int)]
    number = ops.convert_to_tensor(math.prod(known), dtype="int32")
    for size in sizes:
        if not isinstance(size, int):  # TensorFlow, where it isn't known while tracing
            number = number * ops.cast(size, "int32")
    return number


def total(values: Any, axis: Axis) -> Any:
    """The sum, float32."""
    return ops.sum(values, axis=axis)


def smallest(values: Any, axis: Axis) -> Any:
    """The minimum; NaN if a value is, inf of nothing."""
    return _or_nan(_smallest(values, axis), values, axis)


def largest(values: Any, axis: Axis) -> Any:
    """The maximum; NaN if a value is, -inf of nothing."""
    return _or_nan(_largest(values, axis), values, axis)


def _smallest(values: Any, axis: Axis) -> Any:
    return _extreme(ops.min, values, axis, math.inf)


def _largest(values: Any, axis: Axis) -> Any:
    return _extreme(ops.max, values, axis, -math.inf)


def _extreme(function: Any, values: Any, axis: Axis, of_nothing: float) -> Any:
    if 0 in values.shape:  # Keras on torch gives a scalar whatever the axis
        return ops.full(() if axis is None else values.shape[1:], of_nothing, dtype="float32")
    if None in values.shape:  # may turn out to be empty when the step runs
        return function(values, axis=axis, initial=of_nothing)
    return function(values, axis=axis)


def _or_nan(extreme: Any, values: Any, axis: Axis) -> Any:
    if current().extremes_keep_nan:
        return extreme
    return ops.where(ops.any(ops.isnan(values), axis=axis), math.nan, extreme)


def scaled_squares(values: Any, axis: Axis, centre: Any = None) -> tuple[Any, Any]:
    """A scale and the sum of ((values - centre) / scale)**2, both of shape () or of a sample.

    The scale is the largest magnitude among `values`, whatever the centre: passes that min and max share.
    NaN among the values shows in the sum.
    """
    magnitude = ops.maximum(_largest(values, axis), -_smallest(values, axis))
    scale = ops.clip(magnitude, 1 / _FAR, _FAR)
    scaled = (values if centre is None else values - centre) * (1 / scale)
    return scale, ops.sum(ops.square(scaled), axis=axis)
