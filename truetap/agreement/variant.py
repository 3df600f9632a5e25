"""The loss of a step of `fit` with a mistake made on purpose: what each call of a compiled loss gives then.

The reduction is that of `keras.losses.Loss` (Keras 3.15): weighted values over their number, or over
the number of valid elements where there is a mask.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import ops

from truetap.backends.keras_private import keras_mask
from truetap.capture.losses import LossCall
from truetap.sample_loss import fitted

__all__ = ["Call", "CallFacts", "Variant", "data_loss", "facts_of", "seen", "weights_sum"]


@dataclass(frozen=True)
class Call:
    """One call of a compiled loss.

    Attributes:
        loss: The `keras.losses.Loss`.
        factor: The output's loss weight, or None.
        y_true: Labels as the loss got them.
        y_pred: The output.
        sample_weight: What Keras weighs it with, or None.
        values: The values before reduction.
        mask: What is valid of the output, or None.
        mask_of_values: The same of the values, such as by `ignore_class`.
    """

    loss: Any
    factor: float | None
    y_true: Any
    y_pred: Any
    sample_weight: Any
    values: Any
    mask: Any
    mask_of_values: Any


def seen(call: LossCall) -> Call:
    """A call that was watched, with its masks, which Keras hangs on its tensors.

    Raises:
        ValueError: The loss has no values before reduction.
    """
    if call.values is None:
        raise ValueError(f"The loss {call.loss.loss!r} has no values before reduction.")
    masks = keras_mask(call.y_pred), keras_mask(call.values)
    tensors = call.y_true, call.y_pred, call.sample_weight, call.values
    return Call(call.loss.loss, call.loss.weight, *tensors, *masks)


@dataclass(frozen=True, slots=True)
class Variant:
    """What a step does otherwise than `fit`; as it is here, nothing.

    Attributes:
        training: Whether the forward pass runs in training mode.
        ranks: "table": labels and outputs of unequal rank broadcast to a table, whose rows are outputs;
            "table by label": whose rows are labels; "aligned": they are given the same shape.
        weights: "left out", or "by sum": divided by the sum of weights.
        mask: "left out", or "over all": what is masked counts as 0 and is divided by.
        extra: Whether `model.losses` are added.
        loss_weights: Whether the weights of the outputs are.
        without: The position of a loss that is left out.
        arguments: "default": the loss function's own arguments; "swapped": y_pred in the place of y_true.
    """

    training: bool = True
    ranks: str = ""
    weights: str = ""
    mask: str = ""
    extra: bool = True
    loss_weights: bool = True
    without: int | None = None
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class CallFacts:
    """What is known of a call of a compiled loss.

    Attributes:
        name: The loss.
        y_true: Shape of the labels.
        y_pred: Shape of the output.
        values: How many loss values it has before reduction.
        average: Whether it is reduced to a mean.
        weight: The output's loss weight, or None.
        weighted: Whether there are sample weights.
        masked: Whether there is a mask.
        unequal: Whether labels and output differ by an axis of length 1 that would broadcast.
        arguments: Arguments of the loss function that aren't its defaults.
        swappable: Whether labels and output have one shape.
    """

    name: str
    y_true: tuple[int, ...]
    y_pred: tuple[int, ...]
    values: int
    average: bool
    weight: float | None
    weighted: bool
    masked: bool
    unequal: bool
    arguments: dict[str, Any]
    swappable: bool


def data_loss(calls: list[Call], variant: Variant) -> Any:
    """The sum over the calls; a scalar tensor.

    Raises:
        ValueError: Weights or masks that don't lie over the values of a loss.
    """
    total: Any = 0.0
    for position, call in enumerate(calls):
        if position == variant.without:
            continue
        part = _reduced(call, variant)
        if variant.loss_weights and call.factor is not None:
            part = part * call.factor
        total = total + part
    return total


def weights_sum(call: Call) -> Any:
    """The sum of the sample weights as they lie over the values; 0 without."""
    weight = _terms(call, Variant())[2]
    return ops.zeros(()) if weight is None else ops.sum(weight)


def facts_of(call: Call) -> CallFacts:
    """What can be told of a call from shapes and settings alone."""
    shapes = tuple(call.y_true.shape), tuple(call.y_pred.shape)
    values, mask, weight = _terms(call, Variant())
    return CallFacts(
        name=call.loss.name,
        y_true=shapes[0],
        y_pred=shapes[1],
        values=int(np.prod(tuple(values.shape))),
        average=call.loss.reduction != "sum",
        weight=call.factor,
        weighted=weight is not None,
        masked=mask is not None,
        unequal=_unequal(*shapes),
        arguments=_changed_arguments(call.loss),
        swappable=shapes[0] == shapes[1],
    )


def _unequal(true: tuple[int, ...], pred: tuple[int, ...]) -> bool:
    longer, shorter = (true, pred) if len(true) > len(pred) else (pred, true)
    if len(longer) != len(shorter) + 1 or longer[-1] != 1 or longer[:-1] != shorter:
        return False
    try:
        table = np.broadcast_shapes(true, pred)
    except ValueError:
        return False
    return int(np.prod(table)) > int(np.prod(longer))


def _changed_arguments(loss: Any) -> dict[str, Any]:
    """Arguments of a loss function that were set to something else than their defaults."""
    function = getattr(loss, "fn", None)
    if function is None:
        return {}
    config = loss.get_config()
    parameters = list(inspect.signature(function).parameters.values())[2:]
    named = [each for each in parameters if each.name in config and each.default is not inspect.Parameter.empty]
    return {each.name: config[each.name] for each in named if config[each.name] != each.default}


def _reduced(call: Call, variant: Variant) -> Any:
    """The loss of one call, as a variant reduces it."""
    values, mask, weight = _terms(call, variant)
    reduction = call.loss.reduction
    if len(values.shape) == 0 and (mask is not None or weight is not None):
        values = ops.broadcast_to(values, (mask if weight is None else weight).shape)
    factor = mask if weight is None else weight if mask is None else weight * mask
    total = ops.sum(values if factor is None else values * factor)
    if reduction == "sum":
        return total
    size = float(np.prod(tuple(values.shape)))
    by_weight = variant.weights == "by sum" or reduction == "mean_with_sample_weight"
    if by_weight and factor is not None:
        return ops.divide_no_nan(total, ops.sum(factor))
    if mask is None or variant.mask == "over all":
        return total / size
    return ops.divide_no_nan(total, ops.sum(mask))


def _terms(call: Call, variant: Variant) -> tuple[Any, Any, Any]:
    """Unreduced values, and the mask and weights over them, None where there are none."""
    values = _values(call, variant)
    mask, weight = None, None
    if variant.mask != "left out" and not variant.ranks.startswith("table"):
        for each in (call.mask, call.mask_of_values):
            if each is not None:
                over = _over(each, values)
                mask = over if mask is None else mask * over
    if variant.weights != "left out" and call.sample_weight is not None:
        weight = _over(call.sample_weight, values)
    return values, mask, weight


def _over(factor: Any, values: Any) -> Any:
    factor = ops.cast(factor, values.dtype)
    if len(values.shape) == 0:
        return factor
    over = fitted(factor, values)
    if over is None:
        raise ValueError(f"Weights of shape {tuple(factor.shape)} do not lie over losses of {tuple(values.shape)}.")
    return over


def _values(call: Call, variant: Variant) -> Any:
    loss = call.loss
    if not variant.ranks and not variant.arguments:
        return ops.convert_to_tensor(call.values, dtype=loss.dtype)
    y_true = ops.convert_to_tensor(call.y_true, dtype=loss.dtype)
    y_pred = ops.convert_to_tensor(call.y_pred, dtype=loss.dtype)
    if _unequal(tuple(y_true.shape), tuple(y_pred.shape)):
        y_true, y_pred = _shaped(y_true, y_pred, variant.ranks)
    if variant.arguments == "swapped":
        return ops.convert_to_tensor(loss.call(y_pred, y_true))
    if variant.arguments == "default" and _changed_arguments(loss):
        return ops.convert_to_tensor(loss.fn(y_true, y_pred))
    return ops.convert_to_tensor(loss.call(y_true, y_pred))


def _shaped(y_true: Any, y_pred: Any, ranks: str) -> tuple[Any, Any]:
    if ranks == "aligned":
        return ops.reshape(y_true, y_pred.shape), y_pred
    if not ranks:
        return y_true, y_pred
    table = np.broadcast_shapes(tuple(y_true.shape), tuple(y_pred.shape))
    y_true, y_pred = ops.broadcast_to(y_true, table), ops.broadcast_to(y_pred, table)
    flip = (len(y_true.shape) == 2) and (ranks == "table by label")
    return (ops.transpose(y_true), ops.transpose(y_pred)) if flip else (y_true, y_pred)
