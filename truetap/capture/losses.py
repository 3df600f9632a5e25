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
from truetap.loss_context import UsesAround
from truetap.observe import replaced
from truetap.sample_loss import fitted, per_sample, reduces_itself

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
    trouble = reduces_itself(call.loss.loss, call.values, call.y_pred)
    if trouble is not None:
        raise ValueError(trouble)
    values = ops.stop_gradient(ops.convert_to_tensor(call.values))
    valid = None
    own = call.loss.loss if isinstance(call.loss.loss, UsesAround) else None  # its values have its whole mask on them
    for mask in (None if own is not None else keras_mask(call.y_pred), keras_mask(call.values)):
        if mask is not None:
            over = _over(mask, values)
            valid = over if valid is None else valid * over
    unweighted = call.sample_weight is None or (own is not None and own.takes_sample_weight)
    weight = None if unweighted else _over(call.sample_weight, values)
    axes = tuple(range(1, len(values.shape)))
    loss = per_sample(values, valid)
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


def _over(factor: Any, values: Any) -> Any:
    """A mask or weight in the rank and shape of the values."""
    over = fitted(ops.cast(factor, values.dtype), values)
    if over is None:
        raise ValueError(
            f"A mask or weight of shape {tuple(factor.shape)} lies over losses of shape {tuple(values.shape)}, which "
            "were averaged before it could be applied: there is no loss per sample."
        )
    return over
