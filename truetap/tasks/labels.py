"""True labels, predicted labels and probabilities from the values of an output.

Every function takes values of any number of samples and an `OutputTask`; cost: one pass over the
values. Arrays come out in one canonical shape whatever the encoding was, so that true and predicted
labels compare element by element: a (n,) never meets a (n, 1).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from truetap.errors import TaskError
from truetap.tasks.links import floating, sigmoid, softmax
from truetap.tasks.task import Array, OutputTask, Task


def class_name(names: Sequence[str] | None, label: int) -> str:
    """The name of a class; its number where it has none.

    Example:
        >>> class_name(("cat", "dog"), 1), class_name(("cat", "dog"), -1), class_name(None, 3)
        ('dog', '-1', '3')
    """
    return names[label] if names is not None and 0 <= label < len(names) else str(label)


def true_labels(y_true: Array, spec: OutputTask) -> Array:
    """Labels of any encoding as class indices.

    Args:
        y_true: Labels, shape (n, ...): sparse integers, one-hot or soft rows, 0/1 or -1/1.
        spec: What the output's values mean.

    Returns:
        int64 of shape (n,), or (n, T), (n, H, W) for sequences and images; for multi-label outputs
        uint8 of shape (n, ..., labels). Where a one-hot row is all zeros the label is -1: no class.
        Sparse labels that mean "ignore" (-1, 255) stay as they are.

    Raises:
        TaskError: The output has no labels (regression), or the shape isn't one of the encodings.

    Example:
        >>> one_hot = np.array([[0, 0, 1], [1, 0, 0]])
        >>> true_labels(one_hot, OutputTask(Task.MULTICLASS, logits=False, classes=3))
        array([2, 0])
    """
    spec = _with_labels(spec)
    y_true = np.asarray(y_true)
    if spec.task is Task.BINARY:
        return (_ranked(y_true, 1 + spec.positions, spec) >= 0.5).astype(np.int64)
    if spec.task is Task.MULTILABEL:
        return (_ranked(y_true, 2 + spec.positions, spec) >= 0.5).astype(np.uint8)
    units = spec.classes if spec.by_index else spec.classes - 1
    if y_true.ndim == 2 + spec.positions and y_true.shape[-1] == units:
        if not spec.by_index:
            return np.asarray((y_true >= 0.5).sum(axis=-1, dtype=np.int64))
        return np.where(y_true.any(axis=-1), y_true.argmax(axis=-1), -1).astype(np.int64)
    index = _ranked(y_true, 1 + spec.positions, spec)
    return index.astype(np.int64) if index.dtype.kind in "biu" else np.rint(index).astype(np.int64)


def pred_labels(y_pred: Array, spec: OutputTask) -> Array:
    """The labels that scores stand for: the highest class, or every label at its threshold.

    Args:
        y_pred: Scores, shape (n, ...).
        spec: What the output's values mean.

    Returns:
        Same shape and dtype as `true_labels` gives for the same samples. An ordinal prediction is
        the number of leading thresholds passed.

    Raises:
        TaskError: The output has no labels (regression), or the shape contradicts `spec`.

    Example:
        >>> logits = np.array([[-2.0], [0.3]])
        >>> pred_labels(logits, OutputTask(Task.BINARY, logits=True, classes=2))
        array([0, 1])
    """
    scores = canonical(y_pred, _with_labels(spec))
    if spec.by_index:
        return np.asarray(scores.argmax(axis=-1), np.int64)
    passed = scores >= spec.threshold
    if spec.task is Task.BINARY:
        return passed.astype(np.int64)
    if spec.task is Task.MULTILABEL:
        return passed.astype(np.uint8)
    return np.asarray(np.logical_and.accumulate(passed, axis=-1).sum(axis=-1, dtype=np.int64))


def probabilities(y_pred: Array, spec: OutputTask) -> Array | None:
    """Scores as probabilities: softmax or sigmoid of logits, else as they are.

    Args:
        y_pred: Scores, shape (n, ...).
        spec: What the output's values mean.

    Returns:
        float32, or float64 for float64 scores: shape (n, ..., classes); for binary outputs (n, ...),
        the probability of class 1. None where scores are no probabilities: regression and hinge.

    Example:
        >>> probabilities(np.array([[0.0]]), OutputTask(Task.BINARY, logits=True, classes=2))
        array([0.5])
    """
    if spec.task is Task.REGRESSION or spec.margins:
        return None
    scores = canonical(y_pred, spec)
    if not spec.logits:
        return scores
    return softmax(scores) if spec.by_index else sigmoid(scores)


def canonical(values: Array, spec: OutputTask) -> Array:
    """Scores, or targets of a regression, in the one shape that the rest works with.

    Returns:
        float32 or float64 of shape (n, ...) for binary outputs and (n, ..., units) for all others.

    Raises:
        TaskError: The shape contradicts `spec`.
    """
    scores = _ranked(floating(np.asarray(values)), (1 if spec.task is Task.BINARY else 2) + spec.positions, spec)
    units = {Task.BINARY: None, Task.REGRESSION: None, Task.ORDINAL: spec.classes - spec.cumulative}
    expected = units.get(spec.task, spec.classes)
    if expected is not None and scores.shape[-1] != expected:
        raise TaskError(
            f"These scores don't belong to this output. Received: scores of shape {values.shape}. "
            f"Expected: a last axis of {expected}, for {spec.classes} {spec.task} classes."
        )
    return scores


def _with_labels(spec: OutputTask) -> OutputTask:
    if spec.task is Task.REGRESSION:
        raise TaskError(
            "Labels were asked for. Received: an output whose task is regression. Expected: a "
            "classification. If it is one, say so: task='binary', 'multiclass', 'multilabel' or "
            "'ordinal'."
        )
    return spec


def _ranked(values: Array, rank: int, spec: OutputTask) -> Array:
    """The values with a trailing axis of one taken off or put on, to get to a rank."""
    if values.ndim == rank:
        return values
    if values.ndim == rank + 1 and values.shape[-1] == 1:
        return values[..., 0]
    if values.ndim == rank - 1 and spec.task is not Task.BINARY:
        return values[..., None]
    raise TaskError(
        f"These values don't belong to this output. Received: shape {values.shape}. Expected: "
        f"{rank} axes, for a {spec.task} output with {spec.positions} axes of positions. Call infer "
        "again on these values, or pass task=."
    )
