"""The compiled losses while Keras calls them: what they were given and what they gave, unreduced.

Nothing is computed twice: the values are those of the very call whose mean is minimised.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from keras import ops

from truetap.backends.keras_private import OutputLoss, keras_mask, watched_losses
from truetap.observe import replaced

__all__ = ["LossCall", "loss_calls", "share_of_samples"]


@dataclass(slots=True)
class LossCall:
    """One call of the loss of one output.

    Attributes:
        loss: The loss, with its output's path and weight.
        y_true: Labels as the loss got them, in the user's dtype.
        y_pred: The output.
        sample_weight: What Keras weighs it with, or None.
        values: The values before reduction, or None if the loss has no `call` of its own.
    """

    loss: OutputLoss
    y_true: Any
    y_pred: Any
    sample_weight: Any
    values: Any = None


@contextmanager
def loss_calls(model: Any) -> Iterator[list[LossCall]]:
    """Watches the model's compiled losses inside the block; yields a list that fills with their calls."""
    calls: list[LossCall] = []

    def watch(each: OutputLoss) -> Any:
        def watched(y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
            kept = None if sample_weight is None else ops.copy(sample_weight)  # torch: Keras masks it in place
            call = LossCall(each, y_true, y_pred, kept)
            if not hasattr(each.loss, "call"):
                value = each.loss(y_true, y_pred, sample_weight)
            else:
                unreduced = each.loss.call

                def keep(*args: Any, **kwargs: Any) -> Any:
                    call.values = unreduced(*args, **kwargs)
                    return call.values

                with replaced(each.loss, call=keep):
                    value = each.loss(y_true, y_pred, sample_weight)
            calls.append(call)
            return value

        return watched

    if getattr(model, "_compile_loss", None) is None:
        yield calls
        return
    with watched_losses(model, watch):
        yield calls


def share_of_samples(call: LossCall) -> tuple[Any, Any]:
    """The loss of every sample, and its share in the loss that Keras reports.

    Returns:
        `(loss, share)`, each of shape (n,): the mean over a sample's own elements that its mask leaves
        valid; and what Keras' reduction makes of it with weights and masks, times n, so that the mean
        of the shares is the reported loss of this output. The share is None where both are equal.

    Raises:
        ValueError: The loss has no value per sample, or weights or masks that don't fit.
    """
    values = call.values
    shape = tuple(values.shape)
    rows = call.y_pred.shape[0]
    if not shape or (shape[0] is not None and rows is not None and shape[0] != rows):
        raise ValueError(
            f"The loss {call.loss.loss.name!r} reduces the batch itself (it returned shape {shape} for outputs of "
            f"shape {tuple(call.y_pred.shape)}), so there is no loss per sample, and sample weights lose their "
            "meaning in it. Return one value per sample: average over axis=-1 only."
        )
    values = ops.stop_gradient(ops.convert_to_tensor(values))
    valid = None
    for mask in (keras_mask(call.y_pred), keras_mask(call.values)):
        if mask is not None:
            fitted = _fitted(ops.cast(mask, values.dtype), values)
            valid = fitted if valid is None else valid * fitted
    weight = None if call.sample_weight is None else _fitted(ops.cast(call.sample_weight, values.dtype), values)
    axes = tuple(range(1, len(shape)))
    if valid is None:
        loss = ops.mean(values, axis=axes) if axes else values
    else:
        loss = ops.divide_no_nan(_sum(values * valid, axes), _sum(valid, axes)) if axes else values * valid
    reduction = call.loss.loss.reduction
    averaged = reduction in ("sum_over_batch_size", "mean")
    if valid is None and weight is None and (averaged or reduction == "mean_with_sample_weight"):
        return loss, None
    return loss, _share(values, weight, valid, axes, reduction)


def _share(values: Any, weight: Any, valid: Any, axes: tuple[int, ...], reduction: str | None) -> Any:
    """As `keras.losses.Loss` reduces (Keras 3.15, `reduce_weighted_values`), before the sum over samples."""
    combined = weight
    if valid is not None:
        scaled = valid
        if reduction in ("sum_over_batch_size", "mean"):
            scaled = valid * ops.divide_no_nan(_size(valid), ops.sum(valid))
        combined = scaled if weight is None else weight * scaled
    weighted = values if combined is None else values * combined
    own = _sum(weighted, axes)
    if reduction in ("sum_over_batch_size", "mean"):
        divisor = _size(values)
    elif reduction == "mean_with_sample_weight" and combined is not None:
        divisor = ops.sum(combined)
    else:
        divisor = ops.ones((), values.dtype)
    return ops.divide_no_nan(own * ops.cast(ops.shape(values)[0], values.dtype), divisor)


def _sum(values: Any, axes: tuple[int, ...]) -> Any:
    return ops.sum(values, axis=axes) if axes else values


def _size(values: Any) -> Any:
    extents = ops.convert_to_tensor(ops.shape(values), dtype="int32")
    return ops.cast(ops.prod(extents), values.dtype)


def _fitted(factor: Any, values: Any) -> Any:
    """A mask or weight in the rank and shape of the values."""
    if len(factor.shape) == len(values.shape) + 1 and factor.shape[-1] == 1:
        factor = ops.squeeze(factor, axis=-1)
    if len(factor.shape) > len(values.shape):
        raise ValueError(
            f"A mask or weight of shape {tuple(factor.shape)} lies over losses of shape {tuple(values.shape)}, which "
            "were averaged before it could be applied: there is no loss per sample."
        )
    while len(factor.shape) < len(values.shape):
        factor = ops.expand_dims(factor, axis=-1)
    return ops.broadcast_to(factor, ops.shape(values))
