"""Where a mask comes from: a value in the labels, a function, or a tensor that travels with the batch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from truetap.errors import LossError, near_names
from truetap.losses.inner import LastAxis

__all__ = ["from_x", "mask_of_value"]


def from_x(key: str | int | None = None) -> FromX:
    """A mask that is a part of x: for `Masked(…, mask=tt.losses.from_x("mask"))`.

    A model with a dict of inputs may be given more keys than it has inputs, as Keras allows. The tensor is True
    (or not 0) where an element counts.

    Args:
        key: The key of it in x, or its place in a list; None for x itself.

    Example:
        >>> from_x("mask")
        from_x('mask')
    """
    return FromX(key)


@keras.saving.register_keras_serializable("truetap")
class FromX:
    """See `from_x`."""

    def __init__(self, key: str | int | None) -> None:
        self.key = key

    def __call__(self, y_true: Any, *, x: Any) -> Any:
        """The mask of a batch."""
        if self.key is None:
            return x
        if isinstance(x, Mapping):
            if self.key not in x:
                raise LossError(
                    f"x has no {self.key!r} to take the mask from. {near_names(str(self.key), map(str, x))}"
                )
        elif not isinstance(x, list | tuple) or not isinstance(self.key, int) or self.key >= len(x):
            raise LossError(
                f"from_x({self.key!r}) takes the mask from a dict (or by its place from a list). Received: x of type "
                f"{type(x).__name__}."
            )
        return x[self.key]

    def __repr__(self) -> str:
        return f"from_x({'' if self.key is None else repr(self.key)})"

    def get_config(self) -> dict[str, Any]:
        return {"key": self.key}


def mask_of_value(y_true: Any, y_pred: Any, value: float, last_axis: LastAxis) -> Any:
    """True where a label isn't the value that stands for a missing one.

    Over classes it is one for each position, which has no label if all its numbers are the value, or if
    any is NaN.
    """
    missing = ops.isnan(y_true) if math.isnan(value) else ops.equal(y_true, ops.cast(value, y_true.dtype))
    if last_axis is LastAxis.CLASSES and len(y_true.shape) == len(y_pred.shape):
        missing = ops.any(missing, axis=-1) if math.isnan(value) else ops.all(missing, axis=-1)
    return ops.logical_not(missing)
