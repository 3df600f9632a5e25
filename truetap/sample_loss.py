"""The loss of every sample, as the compiled loss computes it before it is reduced.

A sample's loss is the mean over its own elements (time steps, pixels) that the mask leaves valid;
weights are kept apart. So the mean over a batch without masks is the number Keras reports.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import keras
from keras import ops

from truetap.backends.keras_private import OutputLoss, keras_mask
from truetap.loss_context import Around, UsesAround
from truetap.structure import is_nested

__all__ = [
    "SampleLosses",
    "broadcast_said",
    "fitted",
    "lies_over",
    "per_sample",
    "reduces_itself",
    "sample_losses",
]


@dataclass(slots=True)
class SampleLosses:
    """Losses of a batch, as tensors of the backend.

    Attributes:
        total: Shape (n,), float: the sum over the outputs, times their `loss_weights`, without
            sample weights; None when a loss has no value per sample.
        weighted: The same with the sample weights applied; None without weights.
        outputs: The unweighted loss of each output by the path of its keys.
        said: What should be said about the losses.
        unaligned: Losses that met (n,) and (n, 1), with the rank of the labels; see `broadcast_said`.
    """

    total: Any = None
    weighted: Any = None
    outputs: dict[tuple[str | int, ...], Any] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    unaligned: list[tuple[Any, int]] = field(default_factory=list)


def sample_losses(losses: list[OutputLoss], y_true: Any, y_pred: Any, weights: Any, masks: Any) -> SampleLosses:
    """The loss of every sample.

    Args:
        losses: The compiled losses.
        y_true: Labels in the structure of `y_pred`, in the rank in which the user gave them.
        y_pred: The outputs.
        weights: Sample weights in the structure of `y_pred`, or None.
        masks: Masks of shape (n, T, ...) in the structure of `y_pred`, None where there is none.
    """
    found = SampleLosses()
    fits = weights is not None
    spoken: list[Any] = []
    for each in losses:
        name = "/".join(map(str, each.path))
        truth, pred, mask = (_at(part, each.path) for part in (y_true, y_pred, masks))
        if truth is None:
            continue
        weight = None if weights is None else _at(weights, each.path)
        if isinstance(each.loss, UsesAround):
            around = Around(weight, mask, pred, speaks=all(each.loss is not earlier for earlier in spoken))
            values, valid = _settled(each.loss, truth, pred, around)
            spoken.append(each.loss)
            weight = None if each.loss.takes_sample_weight else weight
        else:
            values, valid = _element_losses(each.loss, truth, pred, mask)
        if _unaligned(truth, pred):
            found.unaligned.append((each.loss, len(truth.shape)))
        trouble = reduces_itself(each.loss, values, pred)
        if trouble is not None:
            found.said.append(trouble)
            if len(values.shape) == 0 or values.shape[0] != pred.shape[0]:
                return SampleLosses(said=found.said)
        factor = 1.0 if each.weight is None else each.weight
        unweighted = per_sample(values, valid)
        found.outputs[each.path] = unweighted
        found.total = _plus(found.total, unweighted * factor)
        applied = None if weights is None else _weighted(values, valid, weight)
        if weight is not None and applied is None:
            found.said.append(
                f"The sample weights of output {name!r} have shape {tuple(weight.shape)}, and its loss has one "
                f"value per sample: no weighted loss can be computed. Expected: weights of shape (n,)."
            )
        fits = fits and applied is not None
        found.weighted = _plus(found.weighted, applied * factor) if fits and applied is not None else None
    return found


def _settled(loss: Any, y_true: Any, y_pred: Any, around: Around) -> tuple[Any, Any]:
    """The same of a loss that takes what is around it, and says itself which of its values count."""
    y_true = ops.convert_to_tensor(y_true, dtype=loss.dtype)
    values = loss.call(y_true, _keep_logits(y_pred, loss.dtype), around=around)
    mask = keras_mask(values)
    return values, None if mask is None else ops.cast(mask, values.dtype)


def _element_losses(loss: Any, y_true: Any, y_pred: Any, mask: Any) -> tuple[Any, Any]:
    """Unreduced values and the mask over them, as `keras.losses.Loss.__call__` prepares both."""
    in_mask = mask if mask is not None else keras_mask(y_pred)
    y_pred = keras.tree.map_structure(lambda v: _keep_logits(v, loss.dtype), y_pred)
    y_true = keras.tree.map_structure(lambda v: ops.convert_to_tensor(v, dtype=loss.dtype), y_true)
    if mask is not None and len(mask.shape) == len(y_true.shape):
        # Steps along the last axis, which a loss averages over: one at a time, so that padding doesn't count.
        if len(y_pred.shape) == len(y_true.shape) and y_pred.shape[-1] != 1:
            y_true, y_pred = ops.expand_dims(y_true, -1), ops.expand_dims(y_pred, -1)
        elif len(y_pred.shape) == len(y_true.shape) + 1 and y_pred.shape[-1] == 1 and hasattr(loss, "fn"):
            y_true = ops.expand_dims(y_true, -1)  # Keras would take the axis off y_pred
    values = loss.call(y_true, y_pred)
    out_mask = keras_mask(values)  # such as ignore_class
    valid = None
    for candidate in (in_mask, out_mask):
        mask = None if candidate is None else fitted(ops.cast(candidate, values.dtype), values)
        if mask is not None:
            valid = mask if valid is None else valid * mask
    return ops.convert_to_tensor(values), valid


def _keep_logits(value: Any, dtype: str) -> Any:
    """A conversion that returns the same tensor when nothing changes, with what Keras hung on it."""
    if keras.backend.standardize_dtype(value.dtype) == dtype:
        return value
    return ops.convert_to_tensor(value, dtype=dtype)


def lies_over(mask: Any, value: Any) -> bool:
    """Whether a mask lies over the leading axes of an output; unknown extents fit anything."""
    shape, extent = tuple(value.shape), tuple(mask.shape)
    if len(extent) > len(shape):
        return False
    return all(a is None or b is None or a == b for a, b in zip(extent, shape, strict=False))


def fitted(mask: Any, values: Any) -> Any:
    """The mask in the rank of the values, or None where the loss has already averaged over it."""
    if len(mask.shape) == len(values.shape) + 1 and mask.shape[-1] == 1:
        mask = ops.squeeze(mask, axis=-1)
    if len(mask.shape) > len(values.shape):
        return None
    while len(mask.shape) < len(values.shape):
        mask = ops.expand_dims(mask, axis=-1)
    return ops.broadcast_to(mask, ops.shape(values))


def per_sample(values: Any, valid: Any) -> Any:
    """The mean over each sample's own elements that are valid; shape (n,)."""
    if len(values.shape) == 1 and valid is None:
        return values
    axes = tuple(range(1, len(values.shape)))
    if valid is None:
        return ops.mean(values, axis=axes)
    if not axes:
        return values * valid
    return ops.divide_no_nan(ops.sum(values * valid, axis=axes), ops.sum(valid, axis=axes))


def _weighted(values: Any, valid: Any, weight: Any) -> Any:
    if weight is None:
        return per_sample(values, valid)
    weight = fitted(ops.cast(weight, values.dtype), values)
    return None if weight is None else per_sample(values * weight, valid)


def broadcast_said(loss: Any, true_rank: int) -> str | None:
    """What to say of a loss that lets (n,) and (n, 1) broadcast; None of one that aligns them.

    It is called with 2 labels and 3 outputs, which no other loss can do; so not from inside a trace.
    """
    true, pred = ((2,), (3, 1)) if true_rank == 1 else ((2, 1), (3,))
    try:
        loss.call(ops.ones(true, loss.dtype), ops.ones(pred, loss.dtype))
    except Exception:  # each backend has its own; that there is one is the answer
        return None
    true_text, pred_text = ("(n,)", "(n, 1)") if true_rank == 1 else ("(n, 1)", "(n,)")
    return (
        f"The loss {loss.name!r} broadcasts labels of shape {true_text} against outputs of shape {pred_text} to a "
        f"table of n by n, and training minimises that. Give the labels the shape {pred_text}, or make the loss a "
        "function, whose ranks Keras aligns."
    )


def _unaligned(y_true: Any, y_pred: Any) -> bool:
    by_rank = {len(value.shape): value for value in (y_true, y_pred)}
    return set(by_rank) == {1, 2} and by_rank[2].shape[-1] == 1


def reduces_itself(loss: Any, values: Any, y_pred: Any) -> str | None:
    """What to say of a loss that has no value per sample; None of one that has."""
    shape, pred_shape = tuple(values.shape), tuple(y_pred.shape)
    if len(shape) == 0 or (shape[0] is not None and pred_shape[0] is not None and shape[0] != pred_shape[0]):
        return (
            f"The loss {loss.name!r} reduces the batch itself (it returned shape {shape} for outputs of shape "
            f"{pred_shape}), so there is no loss per sample, and sample weights lose their meaning in it. "
            "Return one value per sample: average over axis=-1 only."
        )
    return None


def _plus(total: Any, value: Any) -> Any:
    return value if total is None else total + value


def _at(structure: Any, path: tuple[str | int, ...]) -> Any:
    for key in path:
        if not is_nested(structure):
            return structure
        structure = structure[key]
    return structure
