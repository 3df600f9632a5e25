"""The loss that is wrapped: a name, a `keras.losses.Loss`, its class, or a function; and what its last axis is.

Keras' regression and binary losses average elements over the last axis, so that a mask or weight of a single
element comes too late. Those are computed element by element, by giving each an axis of its own (of size 1) to
average over; the mean of all is the same. The last axis of the cross-entropies, of KL divergence and cosine
similarity is the classes of one position, and stays whole. Of another's function nothing is known
unless it is said.
"""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from truetap.backends.keras_private import as_loss, changed_alike, keras_mask
from truetap.errors import LossError, near_names
from truetap.loss_context import Around
from truetap.losses.base import PerSampleLoss, both, over
from truetap.sample_loss import reduces_itself

__all__ = ["Inner", "LastAxis", "aligned", "inner_loss"]


class LastAxis(enum.Enum):
    """What the last axis of `y_pred` is to a loss."""

    ELEMENTS = "averaged"
    CLASSES = "classes of one position"
    UNKNOWN = "not known"


_ELEMENTS = (
    "mean_squared_error",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_logarithmic_error",
    "huber",
    "log_cosh",
    "hinge",
    "squared_hinge",
    "poisson",
    "binary_crossentropy",
    "binary_focal_crossentropy",
)
_CLASSES = (
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "categorical_generalized_cross_entropy",
    "categorical_hinge",
    "cosine_similarity",
    "kl_divergence",
    "sparse_categorical_crossentropy",
)


@dataclass(frozen=True, slots=True)
class Inner:
    """A wrapped loss.

    Attributes:
        given: As the user gave it, for the configuration.
        name: What it is called.
        loss: It, as a `keras.losses.Loss`.
        values: Gives values before reduction.
        last_axis: What its last axis is.
        wrapped: The loss itself, if it is one of those here.
    """

    given: Any
    name: str
    loss: Any
    values: Callable[[Any, Any], Any]
    last_axis: LastAxis
    wrapped: PerSampleLoss | None = None

    @property
    def takes_sample_weight(self) -> bool:
        """Whether the sample weights are used inside."""
        return self.wrapped is not None and self.wrapped.takes_sample_weight

    def aligned(self, y_true: Any, y_pred: Any) -> tuple[Any, Any]:
        """Labels and output in ranks that belong together: (n,) with (n, 1) becomes (n, 1) with (n, 1).

        Raises:
            LossError: Elements would be broadcast.
        """
        return aligned(y_true, y_pred, self.last_axis, self.name)

    def unreduced(self, y_true: Any, y_pred: Any, around: Around) -> tuple[Any, Any]:
        """Values and which of them count, as `PerSampleLoss.unreduced`."""
        if self.wrapped is not None:
            return self.wrapped.unreduced(y_true, y_pred, around)
        y_true, y_pred = self.aligned(y_true, y_pred)
        of = tuple(y_pred.shape)
        if self.last_axis is LastAxis.ELEMENTS:
            y_true = ops.expand_dims(y_true, -1)
            y_pred = changed_alike(y_pred, lambda value: ops.expand_dims(value, -1))
        values = self.values(y_true, y_pred)
        self._check(values, y_pred, of)
        mask, own = around.mask, keras_mask(values)
        valid = both(
            None if mask is None else over(mask, values, "The mask", self.name),
            None if own is None else over(ops.cast(own, "bool"), values, "The mask", self.name),
            self.name,
        )
        return values, valid

    def _check(self, values: Any, y_pred: Any, of: tuple[int | None, ...]) -> None:
        trouble = reduces_itself(self, values, y_pred)
        if trouble is None and self.last_axis is LastAxis.ELEMENTS and len(values.shape) != len(of):
            trouble = (
                f"The loss {self.name!r} was said to be elementwise, and gave values of shape {tuple(values.shape)} "
                f"for {of} elements, each with an axis of its own. Expected: a function that averages over axis=-1."
            )
        if trouble is not None:
            raise LossError(trouble)


def inner_loss(loss: Any, elementwise: bool | None, reduction: str | None) -> Inner:
    """The loss to wrap.

    Args:
        loss: A name that `compile` takes, a `keras.losses.Loss`, its class, or a function of y_true and y_pred.
        elementwise: What the user says of the last axis: True, it is averaged over; False, it is classes.
        reduction: The wrapper's, which takes the place of the loss's own.

    Raises:
        LossError: It is none of these, reduces otherwise than the wrapper, or compares samples.
    """
    found = _resolved(loss)
    function = getattr(found, "fn", found)
    name = str(getattr(function, "__name__", None) or getattr(found, "name", type(found).__name__))
    last_axis = _last_axis(found, function, elementwise)
    if isinstance(found, PerSampleLoss):
        if found.over_outputs:
            raise LossError(
                f"The loss {name!r} is one over all outputs, and can't stand inside another. Let its function do it."
            )
        if elementwise is not None:
            raise LossError(
                f"elementwise={elementwise} belongs to the innermost loss. Received: a {type(found).__name__}. "
                "Give elementwise=… to it."
            )
        last_axis = getattr(found, "last_axis", LastAxis.UNKNOWN)
    if isinstance(found, keras.losses.Loss):
        own = found.reduction
        if own not in (None, "none", "sum_over_batch_size", "mean", reduction):
            raise LossError(
                f"The loss {name!r} has reduction={own!r}, and the loss around it reduction={reduction!r}, which is "
                f"the one that counts. Give reduction={own!r} to the outer one."
            )
        wrapped = found if isinstance(found, PerSampleLoss) else None
        return Inner(loss, name, found, found.call, last_axis, wrapped)
    return Inner(loss, name, as_loss(found), found, last_axis)


def _resolved(loss: Any) -> Any:
    if isinstance(loss, str):
        try:
            loss = keras.losses.get(loss)
        except ValueError:
            known = sorted({*_ELEMENTS, *_CLASSES, "mse", "mae", "mape", "msle", "kld", "bce"})
            raise LossError(f"Keras has no loss {loss!r}. {near_names(loss, known)}") from None
    if inspect.isclass(loss):
        loss = loss()
    if isinstance(loss, keras.losses.Loss) and type(loss).call is keras.losses.Loss.call:
        raise LossError(
            f"The loss {loss.name!r} has no method call(y_true, y_pred), which gives its values before they are "
            "reduced. Write call in the place of __call__."
        )
    if not callable(loss):
        raise LossError(
            f"Received: loss={loss!r}. Expected: a name such as 'mae', a keras.losses.Loss, or a function of y_true "
            "and y_pred."
        )
    if getattr(loss, "fn", loss) is keras.losses.circle:
        raise LossError(
            "Circle compares the samples of a batch with each other, so none of them can be weighted or left out "
            "after it. Leave them out of the batch."
        )
    return loss


def _last_axis(loss: Any, function: Any, elementwise: bool | None) -> LastAxis:
    if elementwise is not None:
        return LastAxis.ELEMENTS if elementwise else LastAxis.CLASSES
    own = isinstance(loss, keras.losses.Loss) and not type(loss).__module__.startswith("keras.")
    if own or getattr(loss, "axis", -1) != -1:
        return LastAxis.UNKNOWN
    if any(function is getattr(keras.losses, name) for name in _ELEMENTS):
        return LastAxis.ELEMENTS
    if any(function is getattr(keras.losses, name) for name in _CLASSES):
        return LastAxis.CLASSES
    return LastAxis.UNKNOWN


def aligned(y_true: Any, y_pred: Any, last_axis: LastAxis, name: str) -> tuple[Any, Any]:
    """Labels and output in ranks that belong together; see `Inner.aligned`."""
    ranks = len(y_true.shape), len(y_pred.shape)
    if last_axis is LastAxis.CLASSES:
        if ranks[0] == ranks[1] and y_true.shape[-1] == 1 != y_pred.shape[-1]:
            y_true = ops.squeeze(y_true, -1)  # class indices (n, 1)
        return y_true, y_pred
    if ranks[0] == ranks[1] - 1 and y_pred.shape[-1] == 1:
        y_true = ops.expand_dims(y_true, -1)
    elif ranks == (2, 1) and y_true.shape[-1] == 1:
        y_pred = ops.expand_dims(y_pred, -1)
    elif ranks[0] == ranks[1] + 1 and y_true.shape[-1] == 1:
        y_true = ops.squeeze(y_true, -1)
    if last_axis is LastAxis.ELEMENTS and not _same_extents(y_true, y_pred):
        raise LossError(
            f"The loss {name!r} compares element with element. Received: y_true of shape {tuple(y_true.shape)}, "
            f"y_pred of shape {tuple(y_pred.shape)}, which would be broadcast. Expected: the same shape."
        )
    return y_true, y_pred


def _same_extents(first: Any, second: Any) -> bool:
    extents = zip(first.shape, second.shape, strict=False)
    return len(first.shape) == len(second.shape) and all(None in (a, b) or a == b for a, b in extents)
