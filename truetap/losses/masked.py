"""A loss of what counts: masked elements add nothing to it, to its gradient, or to what it is divided by.

    loss = sum(mask * weight * values) / sum(mask)                          normalize="batch"
    loss = mean over samples of sum(mask * values) / sum(mask)              normalize="sample"

A label that is missing, NaN or a class of its own never reaches the wrapped loss: multiplying by 0, or one
`where` behind the loss, leaves a NaN in the gradient (0 * NaN). So label and prediction are replaced by
harmless numbers ahead of the loss and its value by 0 behind it, the "double where".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import keras
from keras import ops

from truetap.backends.keras_private import changed_alike
from truetap.errors import LossError
from truetap.loss_context import Around
from truetap.losses.base import PerSampleLoss, both, over
from truetap.losses.inner import LastAxis, inner_loss
from truetap.losses.masks import mask_of_value
from truetap.losses.signature import asked
from truetap.sample_loss import lies_over

__all__ = ["Masked"]

_HARMLESS_LABEL, _HARMLESS_OUTPUT = 0.0, 0.5  # finite in the loss and its gradient: logarithms, roots, softmax


@keras.saving.register_keras_serializable("truetap")
class Masked(PerSampleLoss):
    """A loss over what counts alone; the mean is over what counts.

    What counts is what all of these say: Keras' own mask of the output (`Masking`, `mask_zero`),
    `mask_value`, `mask`. Sample weights multiply what counts and don't change what is divided by, as in Keras.
    A batch in which nothing counts has loss 0 and gradient 0.

    Keras averages batches by their number of samples, so the loss that `fit` shows for an epoch still depends
    on how the elements that count fall into batches; `tt.EpochLoss` gives the epoch's own.

    Args:
        loss: A name that `compile` takes, a `keras.losses.Loss`, or a function of y_true and y_pred that gives
            a value per sample or element.
        mask_value: The label that stands for a missing one, such as -1 or `float("nan")`. Of one-hot labels it
            stands in all classes.
        mask: A function of `y_true`, or of `y_true, y_pred`, and by name of `x`, `mask` (Keras' own, or
            None), `sample_weight`, `ids`; or `tt.losses.from_x(key)`. Returns True (or not 0) where an element
            counts: shape (n,), or more of the leading axes of `y_pred`.
        normalize: "batch" divides by all that counts in the batch; "sample" takes each sample's mean over
            what counts of it, and of these the mean over the samples of which something counts.
        elementwise: Whether the loss averages elements over its last axis, so that one may be masked. Known of
            Keras' losses; say True of a function such as `mean(f(y_true, y_pred), axis=-1)`, and False
            of one whose last axis is classes.
        reduction: As for `keras.losses.Loss`.
        name: Of the loss.
        dtype: In which it is computed.

    Raises:
        LossError: The mask doesn't fit the loss, or the loss has no values that could be masked.

    Example:
        >>> import numpy as np
        >>> loss = Masked("mae", mask_value=-1)
        >>> y_true = np.array([[1.0, -1.0], [-1.0, -1.0], [2.0, 4.0]], "float32")
        >>> float(loss(y_true, np.zeros((3, 2), "float32")))  # (1 + 2 + 4) / 3
        2.3333332538604736
    """

    def __init__(
        self,
        loss: Any,
        *,
        mask_value: float | None = None,
        mask: Callable[..., Any] | None = None,
        normalize: Literal["batch", "sample"] = "batch",
        elementwise: bool | None = None,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(reduction, name, dtype)
        if normalize not in ("batch", "sample"):
            raise LossError(f"Received: normalize={normalize!r}. Expected: 'batch' or 'sample'.")
        if mask_value is not None and not hasattr(mask_value, "__float__"):
            raise LossError(f"Received: mask_value={mask_value!r}. Expected: a number, or float('nan').")
        if mask is not None and hasattr(mask, "shape"):
            raise LossError(
                "Received: an array as mask, which would lie over every batch alike. Expected: a function of y_true, "
                "or tt.losses.from_x(key) for a mask that travels with the batch in x."
            )
        self.inner = inner_loss(loss, elementwise, reduction)
        self.mask_value = None if mask_value is None else float(mask_value)
        self.mask = mask
        self.normalize = normalize
        self.elementwise = elementwise
        self._asked = None if mask is None else asked(mask, "The mask", least=1)

    @property
    def takes_sample_weight(self) -> bool:
        return self.inner.takes_sample_weight

    @property
    def wraps(self) -> Any:
        return self.inner.loss

    @property
    def last_axis(self) -> LastAxis:
        """What the last axis of `y_pred` is to the loss."""
        return LastAxis.UNKNOWN if self.normalize == "sample" else self.inner.last_axis

    def unreduced(self, y_true: Any, y_pred: Any, around: Around) -> tuple[Any, Any]:
        y_true, y_pred = self.inner.aligned(y_true, y_pred)
        mask = both(around.mask, self._own(y_true, y_pred, around), self.name)
        if mask is not None:
            y_true = _replaced(y_true, mask, _HARMLESS_LABEL)
            y_pred = changed_alike(y_pred, lambda value: _replaced(value, mask, _HARMLESS_OUTPUT))
        values, valid = self.inner.unreduced(y_true, y_pred, replace(around, mask=mask))
        if valid is not None:
            values = ops.where(valid, values, ops.zeros_like(values))
        if self.normalize == "sample" and len(values.shape) > 1:
            return _means(values, valid)
        return values, valid

    def _own(self, y_true: Any, y_pred: Any, around: Around) -> Any:
        last_axis = self.inner.last_axis
        by_value = None
        if self.mask_value is not None:
            by_value = mask_of_value(y_true, y_pred, self.mask_value, last_axis)
        if self._asked is None or self.lacks_mask(self._asked.names, around.mask):
            return by_value
        mask = ops.cast(self._asked(y_true, y_pred, lambda name: self.value_of(name, around)), "bool")
        if len(mask.shape) > 1 and mask.shape[-1] == 1 and not lies_over(mask, y_pred):
            mask = ops.squeeze(mask, -1)  # such as (n, 1), one for each sample
        whole = last_axis is LastAxis.CLASSES and len(mask.shape) == len(y_pred.shape)
        if whole or not (lies_over(mask, y_pred) or lies_over(mask, y_true)):
            raise LossError(
                f"The mask {self._asked.name!r} of the loss {self.name!r} has shape {tuple(mask.shape)}. Expected: the "
                f"leading axes of y_pred, whose shape is {tuple(y_pred.shape)}"
                + (", without the last one, which is the classes of one position." if whole else ".")
            )
        return both(by_value, mask, self.name)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "loss": keras.saving.serialize_keras_object(self.inner.given),
            "mask_value": self.mask_value,
            "mask": keras.saving.serialize_keras_object(self.mask),
            "normalize": self.normalize,
            "elementwise": self.elementwise,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Masked:
        restored = {name: keras.saving.deserialize_keras_object(config[name]) for name in ("loss", "mask")}
        return cls(**(config | restored))


def _replaced(value: Any, mask: Any, harmless: float) -> Any:
    if not lies_over(mask, value):  # the labels of a loss of the user's own may have other axes
        return value
    return ops.where(over(mask, value, "The mask", ""), value, ops.cast(harmless, value.dtype))


def _means(values: Any, valid: Any) -> tuple[Any, Any]:
    """Each sample's mean over what counts of it, and whether anything does."""
    axes = tuple(range(1, len(values.shape)))
    if valid is None:
        return ops.mean(values, axis=axes), None
    count = ops.sum(ops.cast(valid, values.dtype), axis=axes)
    return ops.divide_no_nan(ops.sum(values, axis=axes), count), ops.any(valid, axis=axes)
