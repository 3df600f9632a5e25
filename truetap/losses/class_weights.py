"""The weight of each element, from its label and the weights of classes.

classes, label c                  w[c]
classes, one-hot or soft label y  sum_c y[c] w[c]
binary, label y in 0..1           (1 - y) w[0] + y w[1]
multilabel, column l              w[l]; of a pair (negative, positive): (1 - y[l]) w[l][0] + y[l] w[l][1]
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from keras import ops

from truetap.errors import LossError, near_names
from truetap.losses.inner import LastAxis

__all__ = ["Labels", "as_weights", "labels_kind", "weights_of"]

Array = npt.NDArray[np.float32]


class Labels(enum.Enum):
    """What the labels are."""

    CLASSES = "classes"
    BINARY = "binary"
    MULTILABEL = "multilabel"


def as_weights(class_weight: Any) -> Array:
    """Weights as an array (classes,), or (labels, 2) of pairs.

    Raises:
        LossError: A class without weight, or something that is no weight.
    """
    if isinstance(class_weight, Mapping):
        wrong = [key for key in class_weight if not _is_class(key)]
        missing = [] if wrong else sorted(set(range(max(class_weight, default=0) + 1)) - set(class_weight))
        if wrong or missing:
            what = f"the classes {wrong}" if wrong else f"no weight for {missing}"
            raise LossError(
                f"class_weight has {what}. Expected: a weight for every class, numbered from 0, such as "
                "{0: 1.0, 1: 20.0}."
            )
        class_weight = [class_weight[key] for key in sorted(class_weight)]
    try:
        weights = np.asarray(class_weight, np.float32)
    except (TypeError, ValueError):
        raise LossError(
            f"class_weight={class_weight!r} isn't a list of numbers, or of pairs (negative, positive)."
        ) from None
    if weights.ndim not in (1, 2) or weights.size == 0 or (weights.ndim == 2 and weights.shape[1] != 2):
        raise LossError(
            f"class_weight has shape {weights.shape}. Expected: (classes,), or (labels, 2) of pairs (negative, "
            "positive)."
        )
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise LossError(f"class_weight={weights.tolist()} has values that are no weights. Expected: numbers from 0 on.")
    return weights


def labels_kind(said: str | None, weights: Array, y_true: Any, y_pred: Any, last_axis: LastAxis, loss: str) -> Labels:
    """What the labels are: as said, or told by the loss and the shapes.

    Raises:
        LossError: It can't be told, or the number of weights isn't that of the classes.
    """
    last = y_pred.shape[-1] if len(y_pred.shape) > 1 else 1
    if said is not None:
        kind = Labels(said)
    elif weights.ndim == 2:
        kind = Labels.MULTILABEL
    elif last_axis is LastAxis.CLASSES or _indices(y_true, y_pred):
        kind = Labels.CLASSES
    elif last_axis is LastAxis.ELEMENTS and len(weights) == 2 and last != 2:
        kind = Labels.BINARY
    elif last_axis is LastAxis.ELEMENTS and len(weights) == last != 2:
        kind = Labels.MULTILABEL
    else:
        raise LossError(
            f"What the {len(weights)} classes of the loss {loss!r} are can't be told from y_true of shape "
            f"{tuple(y_true.shape)} and y_pred of shape {tuple(y_pred.shape)}. Say labels='classes' (class indices, or "
            "one-hot), labels='binary' (each element is 0 or 1) or labels='multilabel' (a weight for each column)."
        )
    expected = 2 if kind is Labels.BINARY else last
    if (expected is not None and len(weights) != expected) or (weights.ndim == 2) > (kind is Labels.MULTILABEL):
        raise LossError(
            f"The loss {loss!r} has {expected} classes (labels={kind.value!r}, y_pred of shape {tuple(y_pred.shape)}) "
            f"and class_weight is of shape {weights.shape}. Expected: a weight for each."
        )
    return kind


def weights_of(kind: Labels, weights: Array, y_true: Any, y_pred: Any) -> Any:
    """The weight of every element, or position: float, with the axes of `y_true` that are no classes.

    A label that is no class has weight NaN: what the loss gives for it is no number to train on.
    """
    table = ops.convert_to_tensor(weights)
    if kind is Labels.CLASSES:
        if not _indices(y_true, y_pred):
            return ops.sum(y_true * table, axis=-1)
        labels = ops.cast(y_true, "int32")
        inside = ops.logical_and(labels >= 0, labels < len(weights))
        found = ops.take(table, ops.clip(labels, 0, len(weights) - 1), axis=0)
        return ops.where(inside, found, ops.full_like(found, float("nan")))
    positive = ops.clip(y_true, 0.0, 1.0)  # hinge losses take -1 for 0
    if kind is Labels.BINARY:
        return table[0] + (table[1] - table[0]) * positive
    if weights.ndim == 2:
        return table[:, 0] + (table[:, 1] - table[:, 0]) * positive
    return table * ops.ones_like(y_true)


def known_kind(labels: str | None) -> str | None:
    """What the user says the labels are.

    Raises:
        LossError: There is no such kind.
    """
    kinds = [each.value for each in Labels]
    if labels is not None and labels not in kinds:
        raise LossError(f"Received: labels={labels!r}. {near_names(str(labels), kinds)}")
    return labels


def _indices(y_true: Any, y_pred: Any) -> bool:
    return len(y_true.shape) == len(y_pred.shape) - 1 and y_pred.shape[-1] != 1


def _is_class(key: Any) -> bool:
    return isinstance(key, int | np.integer) and not isinstance(key, bool) and int(key) >= 0
