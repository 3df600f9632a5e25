"""Which task an output was trained for: the rules.

The loss' name speaks first, then the activation, then shapes and values. *c* is the length of the
last axis of the scores. "Classifying" means: a classification loss; a regression loss (mse) under
sigmoid or softmax; or another loss unless the activation is one of counts and magnitudes (relu, …).

| y_true against y_pred    | values of y_true              | and                             | task       |
|--------------------------|-------------------------------|---------------------------------|------------|
| one per score (c = 1)    | {0, 1} or {-1, 1}             | classifying                     | binary     |
|                          | two values in [0, 1]          | binary loss, or sigmoid         | binary     |
|                          | any in [0, 1]                 | binary loss, no other axis      | binary     |
|                          | outside [0, 1]                | loss of a classification        | error      |
|                          | anything else                 |                                 | regression |
| one per row of c scores  | integers in 0..c-1            | no regression loss, or softmax  | multiclass |
|                          | anything else                 |                                 | error      |
| same shape, c > 1        | one-hot                       | binary loss or sigmoid          | multilabel |
|                          | one-hot                       | classifying                     | multiclass |
|                          | one-hot or all-zero rows      | categorical loss or softmax     | multiclass |
|                          | soft rows that sum to 1       | categorical loss or softmax     | multiclass |
|                          | soft rows that sum to 1       | binary loss                     | multilabel |
|                          | rows 1 1 0 0 of several sums  | classifying, no softmax         | ordinal    |
|                          | {0, 1} or {-1, 1}             | classifying                     | multilabel |
|                          | two values in [0, 1]          | binary loss                     | multilabel |
|                          | outside [0, 1]                | loss of a classification        | error      |
|                          | anything else                 |                                 | regression |

A categorical loss outranks a sigmoid. An image or row of grey values under binary cross-entropy (an
autoencoder) falls to "anything else": regression. Negative sparse labels, 255 and the loss'
`ignore_class` mean "not labelled". A mask as long as the last axis of the scores makes that axis one
of positions (c = 1).

Scores are probabilities when the activation is softmax or sigmoid, whatever `from_logits` says; else
the loss' flag decides; else the values do: outside [0, 1], or rows of a multiclass output that don't
sum to 1, are logits.
"""

from __future__ import annotations

from collections.abc import Iterable

from truetap.errors import TaskError, near_names
from truetap.tasks.facts import Facts, Layout
from truetap.tasks.override import override
from truetap.tasks.task import Array, Family, Hint, OutputTask, Task

_MAGNITUDES = frozenset({"relu", "relu6", "softplus", "exponential", "leaky_relu", "elu", "gelu"})


def infer(
    chunks: Iterable[tuple[Array, Array] | tuple[Array, Array, Array | None]],
    hint: Hint | None = None,
    task: Task | str | None = None,
) -> OutputTask:
    """What an output's values mean, from one streaming pass over them.

    Args:
        chunks: Pairs `(y_true, y_pred)` of arrays (n, ...), n from chunk to chunk as it comes; or
            triples with a mask (n, ...) of the positions that count (None for all).
        hint: What the model and its loss say.
        task: The answer, when it is known: the values are only checked against it.

    Returns:
        The task and how to read its scores. The same for any division into chunks.

    Raises:
        TaskError: There are no samples, the values fit no task, or they contradict `task`.

    Example:
        >>> import numpy as np
        >>> y_true, y_pred = np.array([2, 0]), np.array([[0.1, 0.2, 0.7], [0.6, 0.3, 0.1]])
        >>> infer([(y_true, y_pred)]).task
        <Task.MULTICLASS: 'multiclass'>
    """
    hint, told = hint or Hint(), None if task is None else _task(task)
    facts = Facts(hint.ignore_class)
    for chunk in chunks:
        facts.add(*chunk)
    if not facts.samples:
        raise TaskError("A task was asked for. Received: no samples. Expected: at least one.")
    if told is not None:
        found, cumulative = override(facts, hint, told)
    else:
        found, cumulative = _find(facts, hint), True
    return _spec(facts, hint, found, cumulative)


def _task(name: Task | str) -> Task:
    if name not in list(Task):
        raise TaskError(f"Unknown task. Received: task={name!r}. {near_names(name, [known.value for known in Task])}")
    return Task(name)


def _find(facts: Facts, hint: Hint) -> Task:
    if hint.family is Family.PAIRLESS:
        raise _misfit(facts, hint, "a loss that compares y_true and y_pred one by one")
    if facts.layout is Layout.SCALAR:
        return _find_scalar(facts, hint)
    if facts.layout is Layout.INDEX:
        return _find_index(facts, hint)
    if facts.layout is Layout.SAME:
        return _find_same(facts, hint)
    raise _misfit(facts, hint, "labels of the shape of the scores, or without their last axis")


def _find_scalar(facts: Facts, hint: Hint) -> Task:
    target = facts.target
    if target.zero_one or target.plus_minus:
        return Task.BINARY if _classifying(facts, hint) else Task.REGRESSION
    if hint.family is Family.CATEGORICAL:
        raise _misfit(facts, hint, "one score per class: the output has a single unit")
    if hint.family is Family.BINARY:
        if not target.unit:
            raise _misfit(facts, hint, "labels 0 and 1")
        single = len(facts.pred_shape) <= 2
        return Task.BINARY if single or target.two_valued else Task.REGRESSION
    smoothed = hint.family is Family.UNKNOWN and hint.squashed and target.two_valued
    return Task.BINARY if smoothed else Task.REGRESSION


def _find_index(facts: Facts, hint: Hint) -> Task:
    target = facts.target
    if not target.integral:
        raise _misfit(facts, hint, "class indices, or targets of the shape of the scores")
    if hint.family is Family.REGRESSION and hint.squashed != "softmax":
        raise _misfit(facts, hint, f"targets of the shape of the scores, for the loss {hint.loss!r}")
    if target.high >= facts.units:
        raise _misfit(facts, hint, f"class indices from 0 to {facts.units - 1}")
    return Task.MULTICLASS


def _find_same(facts: Facts, hint: Hint) -> Task:
    target = facts.target
    categorical = hint.family is Family.CATEGORICAL
    choosing = categorical or hint.squashed == "softmax"
    if target.rows_one:
        if choosing:
            return Task.MULTICLASS
        if hint.family is Family.BINARY:
            return Task.MULTILABEL
        if target.zero_one and _classifying(facts, hint):
            return Task.MULTILABEL if hint.squashed else Task.MULTICLASS
    if target.zero_one and choosing and target.rows_one_or_none:
        return Task.MULTICLASS
    if target.zero_one or target.plus_minus:
        if not _classifying(facts, hint):
            return Task.REGRESSION
        return Task.ORDINAL if target.cumulative and not choosing else Task.MULTILABEL
    if not target.unit and (categorical or hint.family is Family.BINARY):
        raise _misfit(facts, hint, "labels from 0 to 1")
    if categorical:
        return Task.MULTICLASS
    return Task.MULTILABEL if hint.family is Family.BINARY and target.two_valued else Task.REGRESSION


def _classifying(facts: Facts, hint: Hint) -> bool:
    if hint.family is Family.REGRESSION:
        by_values = hint.activation is None and facts.scores_unit
        return hint.squashed is not None or (by_values and (facts.units == 1 or facts.scores_sum))
    return hint.family is not Family.UNKNOWN or hint.activation not in _MAGNITUDES


def _spec(facts: Facts, hint: Hint, task: Task, cumulative: bool) -> OutputTask:
    cumulative = cumulative if task is Task.ORDINAL else True
    classes = {Task.BINARY: 2, Task.REGRESSION: 0, Task.ORDINAL: facts.units + cumulative}
    by_index = task is Task.MULTICLASS or not cumulative
    rank, elementwise = len(facts.pred_shape), task is Task.BINARY and facts.units > 1
    logits = task is not Task.REGRESSION
    if hint.squashed or hint.hinge:
        logits = False
    elif hint.from_logits is not None:
        logits = logits and hint.from_logits
    else:
        logits = logits and not (facts.scores_unit and (facts.scores_sum or not by_index))
    return OutputTask(
        task,
        logits=logits,
        classes=classes.get(task, facts.units),
        positions=max(rank - 1 if elementwise else rank - 2, 0),
        margins=hint.hinge and not hint.squashed and task is not Task.REGRESSION,
        cumulative=cumulative,
        ignore_class=hint.ignore_class if task is Task.MULTICLASS else None,
    )


def _misfit(facts: Facts, hint: Hint, expected: str) -> TaskError:
    return TaskError(
        f"These values fit no task. Received: {facts.describe()}, loss {hint.loss!r}, activation "
        f"{hint.activation!r}. Expected: {expected}. Correct the labels or the loss, or say what they "
        "are: task='binary', 'multiclass', 'multilabel', 'ordinal' or 'regression'."
    )
