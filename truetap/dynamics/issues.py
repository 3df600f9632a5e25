"""`run.label_issues`: the samples whose label is probably wrong, from two passes over the record.

The first pass finds which epochs count, the second averages their predictions, half as probabilities and half
as votes: votes are not moved by a class that is often confused with another. Memory: one number for each
class of each sample; of more than 2**27 in all, some samples at a time, with a pass for each.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from truetap.dynamics.epoch_weights import EpochWeights, Steadiness
from truetap.dynamics.scores import class_probabilities
from truetap.dynamics.subject import Subject
from truetap.dynamics.suspicion import Evidence, Verdict, evidence, judge
from truetap.dynamics.visits import Stream, Visits
from truetap.errors import DataWarning, TaskError
from truetap.tasks import OutputTask, Task

__all__ = ["label_issues"]

Array = npt.NDArray[Any]

_MOST_VALUES = 1 << 27  # float32: half a gigabyte
_FEW_EPOCHS = 3
_BEYOND_CHANCE = 3.0  # standard errors
_MANY = 0.1  # of all labels
_MOST = 0.5  # of all labels: beyond it nothing says which of two classes is the wrong one


def label_issues(subject: Subject) -> pa.Table:
    """A row for each label, the most suspicious first; see `Run.label_issues`.

    Raises:
        TaskError: The rows have no labels of classes.
    """
    task = subject.task()
    if task.task is Task.REGRESSION:
        raise TaskError(
            "Wrong labels are told where labels are classes. Received: a regression output. Expected: a "
            "classification. Of numbers, run.hardest(by='mean_absolute_residual') ranks the samples that were never "
            "fitted, and run.dynamics() has sign_consistency: a large residual of one sign in all epochs is what a "
            "wrong number looks like."
        )
    if len(subject.epochs) < _FEW_EPOCHS:
        warnings.warn(
            f"Labels are judged by predictions that are the same in several epochs. Received: {len(subject.epochs)} "
            f"of them. Expected: {_FEW_EPOCHS} at least. The order is that of the predictions there are, and only what "
            "is strongly contradicted is flagged.",
            DataWarning,
            stacklevel=3,
        )
    stream = Stream(subject.samples, task)
    classes = 2 if task.task is Task.MULTILABEL else task.classes
    steady = Steadiness(subject.epochs, classes)
    for visits in stream:
        for each in _items(visits, task):
            steady.add(each.items, each.scores.argmax(axis=1), each.labels, visits.epoch)
    stream.say_what_was_seen(above=3)
    weights = steady.result()
    found, labels = _evidence(subject, task, stream, weights)
    verdict = judge(found, labels, classes, weights.overcome)
    _doubt(weights, verdict)
    units = task.classes if task.task is Task.MULTILABEL else None
    return _table(stream.roster.ids, labels, verdict, units)


def _doubt(weights: EpochWeights, verdict: Verdict) -> None:
    """Says when flags may mean nothing: of labels without any relation to the inputs many are contradicted."""
    share = float(verdict.flagged.mean()) if len(verdict.flagged) else 0.0
    if share >= _MANY and weights.beyond_chance < _BEYOND_CHANCE:
        warnings.warn(
            "The labels may not follow from the inputs: don't trust the flags. Received: "
            f"{share:.0%} of the labels flagged, and predictions of the first epoch, made before the model learned "
            f"from a sample, that agree with the labels {weights.beyond_chance:.1f} standard errors above chance. "
            f"Expected: {_BEYOND_CHANCE:g} at least. Check that inputs and labels are paired as they should be. If the "
            "model merely learned nothing in that epoch, choose those from where it does: "
            "run.label_issues(epoch=[...]).",
            DataWarning,
            stacklevel=4,
        )
    elif share > _MOST:
        warnings.warn(
            f"More labels are flagged than not: don't trust the flags. Received: {share:.0%} of the labels flagged. "
            "Expected: a model that fits most of its labels, since what is wrong is told by what is right. Train for "
            "longer, or with a model that can learn more; the order of the samples may still be of use.",
            DataWarning,
            stacklevel=4,
        )


class _Items:
    """What is judged: samples, or each label of samples with several.

    Attributes:
        items: Numbers of them, shape (n,).
        labels: The class given to each.
        scores: The probability of each class, shape (n, classes).
    """

    __slots__ = ("items", "labels", "scores")

    def __init__(self, items: Array, labels: Array, scores: Array) -> None:
        self.items, self.labels, self.scores = items, labels, scores


def _items(visits: Visits, task: OutputTask) -> Iterator[_Items]:
    assert visits.y_pred is not None
    assert visits.labels is not None
    each = class_probabilities(visits.y_pred, task)
    if task.task is not Task.MULTILABEL:
        yield _Items(visits.rows, visits.labels, each)
        return
    for unit in range(task.classes):
        scores = np.stack([1 - each[:, unit], each[:, unit]], axis=1)
        yield _Items(visits.rows * task.classes + unit, visits.labels[:, unit].astype(np.int64), scores)


def _evidence(subject: Subject, task: OutputTask, first: Stream, weights: EpochWeights) -> tuple[Evidence, Array]:
    """Means over the epochs by their weights, some items at a time."""
    multilabel = task.task is Task.MULTILABEL
    classes = 2 if multilabel else task.classes
    count = len(first.roster) * (task.classes if multilabel else 1)
    labels = np.zeros(count, np.int64) if multilabel else first.roster.labels
    weight = dict(zip(subject.epochs, weights.weights.tolist(), strict=True))
    margins, both = np.zeros((2, count), np.float32)
    others = np.zeros(count, np.int32)
    size = max(1, _MOST_VALUES // classes)
    for start in range(0, count, size):
        stop = min(start + size, count)
        sums = np.zeros((stop - start, classes), np.float32)
        for visits in Stream(subject.samples, task, first.roster):
            for each in _items(visits, task):
                inside = slice(None) if size >= count else (each.items >= start) & (each.items < stop)
                at, scores = each.items[inside] - start, each.scores[inside]
                labels[each.items[inside]] = each.labels[inside]
                sums[at] += weight[visits.epoch] * scores.astype(np.float32)
                sums[at, scores.argmax(axis=1)] += weight[visits.epoch]
        sums /= sums.sum(axis=1, keepdims=True)
        found = evidence(sums, labels[start:stop])
        margins[start:stop], others[start:stop], both[start:stop] = found.margin, found.other, found.both
    return Evidence(margins, others, both), labels


def _table(ids: pa.Array, labels: Array, verdict: Verdict, units: int | None) -> pa.Table:
    order = np.argsort(-verdict.score, kind="stable")
    sample = order if units is None else order // units
    columns: dict[str, Any] = {"sample_id": ids.take(pa.array(sample))}
    if units is not None:
        columns["unit"] = (order % units).astype(np.int32)
    return pa.table(
        columns
        | {
            "label": labels[order],
            "suggested_label": verdict.suggested[order],
            "score": verdict.score[order],
            "flagged": verdict.flagged[order],
        }
    )
