"""Counting values by slot, for all elements at once or for each feature: one pass and one scatter, no sort."""

from __future__ import annotations

import math
from typing import Any

from keras import ops

from truetap.backends import current
from truetap.errors import TapError
from truetap.reducers.base import Axis

__all__ = ["MOST_SLOTS", "by_bits", "count_slots"]

MOST_SLOTS = 1 << 22  # of all features of a tensor together: 16 MB that leave the step


def by_bits(values: Any, places: int) -> Any:
    """The sign, the exponent and the first bits of the fraction of each value: its first `places` bits."""
    mask = (1 << places) - 1
    return ops.bitwise_and(ops.right_shift(current().bits(values), 32 - places), mask)


def count_slots(index: Any, size: int, axis: Axis, name: str) -> Any:
    """How many values fall in each slot.

    Args:
        index: int32, the slot of each value, in the shape of the values.
        size: The number of slots.
        axis: None: of all elements; 0: for each feature.
        name: The statistic's, for an error.

    Returns:
        int32 of shape (size,), or (features..., size).

    Raises:
        TapError: More slots than `MOST_SLOTS`, or features whose number isn't known while tracing.
    """
    if axis is None:
        return current().count(ops.reshape(index, (-1,)), size)
    features = tuple(index.shape[1:])
    if None in features or math.prod(features) * size > MOST_SLOTS:
        raise TapError(
            f"{name!r} counts values in {size:,} slots for each feature. Received: axis=0 and features of shape "
            f"{features}. Expected: at most {MOST_SLOTS // size:,} features of a known shape; take axis=None, or a "
            "Histogram of few edges."
        )
    number = math.prod(features)
    first = ops.reshape(ops.arange(number, dtype="int32") * size, features)
    counts = current().count(ops.reshape(index + first, (-1,)), number * size)
    return ops.reshape(counts, (*features, size))
