"""What one visit says of a sample: how sure the model was of its label, by which margin, how far off.

Probabilities, logits, one unit or two: the numbers are the same, since a sigmoid of z is the softmax
of (0, z). Means over the visits of a sample are in `table`. Cost: a few passes over (n, classes).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from truetap.tasks import OutputTask, Task, pred_labels, probabilities
from truetap.tasks.labels import canonical

__all__ = ["ClassScores", "class_probabilities", "class_scores", "residual_scores"]

Array = npt.NDArray[Any]

_LEAST = float(np.finfo(np.float32).tiny)
_EPSILON = 2.0**-24  # half the distance from 1 to the float32 below it: what "1" of a sigmoid may hide


@dataclass(frozen=True, slots=True)
class ClassScores:
    """Of each visit; of a multi-label output means over the labels, but for `right` and `distance`.

    Attributes:
        confidence: The probability of the given label, float64 (n,).
        margin: The logit of the given label minus the highest other logit, float64 (n,).
        right: Whether the prediction is the given label, bool (n,), or (n, L) for each label.
        distance: The Euclidean distance of the probabilities from the one-hot label, float64 (n,).
    """

    confidence: Array
    margin: Array
    right: Array
    distance: Array


def class_probabilities(y_pred: Array, task: OutputTask) -> Array:
    """The probability of each class, float32 or float64 of shape (n, classes); of multi-label outputs of each label.

    Example:
        >>> class_probabilities(np.array([[0.25]]), OutputTask(Task.BINARY, logits=False, classes=2))
        array([[0.75, 0.25]])
    """
    found = probabilities(y_pred, task)
    assert found is not None  # regression and margins are refused before
    if task.task is Task.BINARY:
        return np.stack([1 - found, found], axis=-1)
    if task.task is Task.ORDINAL and task.cumulative:  # of "rank above k"
        above = np.concatenate([np.ones_like(found[:, :1]), found, np.zeros_like(found[:, :1])], axis=1)
        each = np.clip(above[:, :-1] - above[:, 1:], 0, None)
        return np.asarray(each / np.maximum(each.sum(axis=1, keepdims=True), _LEAST))
    return found


def class_scores(y_pred: Array, labels: Array, task: OutputTask) -> ClassScores:
    """What visits say of samples with classes.

    Args:
        y_pred: Predictions as they were recorded, shape (n, ...).
        labels: Class indices (n,), or a 0/1 matrix (n, L) of a multi-label output.
        task: What the values mean.
    """
    right = pred_labels(y_pred, task) == labels
    each = class_probabilities(y_pred, task)
    if task.task is Task.MULTILABEL:
        own = np.where(labels == 1, each, 1 - each).astype(np.float64)
        margins = _two_class_margin(y_pred, each, labels, task)
        distance = np.sqrt(((1 - own) ** 2).sum(axis=1))
        return ClassScores(own.mean(axis=1), margins.mean(axis=1), right, distance)
    at = np.arange(len(labels))
    own = each[at, labels].astype(np.float64)
    squares = np.einsum("nc,nc->n", each, each, dtype=np.float64)
    distance = np.sqrt(np.maximum(squares - 2 * own + 1, 0))
    if task.task is Task.BINARY:
        margin = _two_class_margin(y_pred, each[:, 1], labels, task)
    elif task.by_index and task.logits:
        margin = _margin(canonical(y_pred, task), labels)
    else:
        margin = _margin(np.log(np.maximum(each, _LEAST)), labels)
    return ClassScores(own, margin, right, distance)


def residual_scores(y_pred: Array, y_true: Array, task: OutputTask) -> tuple[Array, Array]:
    """The mean over a sample's values of prediction minus truth, and of its size; float64 (n,) each."""
    residual = canonical(y_pred, task).astype(np.float64) - canonical(y_true, task)
    flat = residual.reshape(len(residual), -1)
    return flat.mean(axis=1), np.abs(flat).mean(axis=1)


def _margin(logits: Array, labels: Array) -> Array:
    """The logit of the label minus the highest other one; differences of log-probabilities are those of logits."""
    at = np.arange(len(labels))
    own = logits[at, labels].astype(np.float64)
    others = logits.copy()
    others[at, labels] = -np.inf
    return np.asarray(own - others.max(axis=1))


def _two_class_margin(y_pred: Array, positive: Array, labels: Array, task: OutputTask) -> Array:
    """The logit of one unit, with the sign of its label."""
    if task.logits:
        logit = canonical(y_pred, task).astype(np.float64)
    else:
        inside = np.clip(positive.astype(np.float64), _EPSILON, 1 - _EPSILON)
        logit = np.log(inside) - np.log1p(-inside)
    return np.asarray(np.where(labels == 1, logit, -logit))
