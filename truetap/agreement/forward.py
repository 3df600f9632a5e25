"""One forward pass of a step: its loss, the losses in it, and what each of them was given."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace
from typing import Any

import keras
from keras import ops

from truetap.agreement.batch import copied
from truetap.agreement.variant import Call, seen
from truetap.backends.comparing import Comparing
from truetap.capture.losses import loss_calls

__all__ = ["Forward", "forward", "forward_with_values", "takes_training"]

_TENSORS = ("y_true", "y_pred", "sample_weight", "values", "mask", "mask_of_values")


@dataclass(frozen=True)
class Forward:
    """A forward pass.

    Attributes:
        total: The loss.
        extra: The sum of `model.losses` in it.
        extras: How many those are.
        calls: The calls of compiled losses; None where one of them has no value per sample.
    """

    total: Any
    extra: Any
    extras: int
    calls: list[Call] | None


def takes_training(model: Any) -> bool:
    """Whether the model's call has a mode; Keras gives it one then, and otherwise none."""
    return "training" in inspect.signature(model.call).parameters


def forward(model: Any, batch: tuple[Any, ...], *, training: bool) -> Forward:
    """A forward pass as the step of `fit` makes it; inside a trace, or op by op."""
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(copied(batch))
    y_pred = model(x, training=training) if takes_training(model) else model(x)
    mode = {"training": True} if "training" in inspect.signature(model.compute_loss).parameters else {}
    with loss_calls(model) as found:
        total = model.compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, **mode)
    extra = sum((ops.sum(ops.cast(each, total.dtype)) for each in model.losses), ops.zeros((), total.dtype))
    try:
        calls = [seen(call) for call in found]
    except ValueError:  # a loss without a value per sample
        calls = None
    return Forward(total, extra, len(model.losses), calls)


def forward_with_values(model: Any, batch: tuple[Any, ...], steps: Comparing, *, training: bool) -> Forward:
    """A forward pass whose tensors have values, also where it is compiled."""
    made: list[Forward] = []

    def compute() -> list[Any]:
        made.append(forward(model, batch, training=training))
        calls = made[-1].calls or []
        return [made[-1].total, made[-1].extra, *(getattr(call, name) for call in calls for name in _TENSORS)]

    total, extra, *tensors = steps.forward(model, compute)
    given = iter(tensors)
    calls = made[-1].calls
    if calls is not None:
        calls = [replace(call, **{name: next(given) for name in _TENSORS}) for call in calls]
    return Forward(total, extra, made[-1].extras, calls)
