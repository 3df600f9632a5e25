"""What the values of an output mean, told from the first rows of an epoch: enough to make an index of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from truetap import rows
from truetap.errors import TaskError
from truetap.samples import Samples
from truetap.tasks import Hint, OutputTask, Task
from truetap.tasks.labels import class_name
from truetap.tasks.task import Family

__all__ = ["LOOKED_AT", "Kind", "Meaning", "meaning_of"]

LOOKED_AT = 10_000  # rows


class Kind(StrEnum):
    """What is kept of a sample."""

    CLASSES = "classes"  # one true class, one predicted
    LABELS = "labels"  # several labels at once
    POSITIONS = "positions"  # a class at each step or pixel
    NUMBERS = "numbers"
    LOSSES = "losses"  # nothing can be said of the values, or there are no labels


@dataclass(frozen=True)
class Meaning:
    """How an output is read.

    Attributes:
        kind: What is kept.
        task: As `samples.task()` has it; None where predictions are class indices already, or nothing is known.
        classes: How many classes or labels there are; 0 where that isn't known before all were seen.
        names: Names of the classes.
        why: Why nothing can be said of the values.
    """

    kind: Kind
    task: OutputTask | None = None
    classes: int = 0
    names: tuple[str, ...] | None = None
    why: str = ""

    @property
    def binary(self) -> bool:
        """Whether there is one score, of the second class."""
        return self.kind is Kind.CLASSES and self.task is not None and self.task.task is Task.BINARY

    def named(self, label: int) -> str:
        """The name of a class."""
        return class_name(self.names, label)


def meaning_of(view: Samples, hint: Hint) -> Meaning:
    """What the values of an output mean.

    Args:
        view: The samples of one output.
        hint: What the model says of it.
    """
    columns = rows.column_names(view.record_batches)
    if not {"y_true", "y_pred"} <= set(columns):
        missing = [name for name in ("y_true", "y_pred") if name not in columns]
        return Meaning(Kind.LOSSES, why=f"{' and '.join(missing)} were not recorded in this phase.")
    first = _beginning(view)
    names = view.class_names
    true, pred = (np.asarray(first[:1].y_true), np.asarray(first[:1].y_pred))
    whole = true.ndim == pred.ndim == 1 and {true.dtype.kind, pred.dtype.kind} <= {"i", "u"}
    if whole and hint.family in (Family.CATEGORICAL, Family.BINARY):
        return Meaning(Kind.CLASSES, classes=0 if names is None else len(names), names=names)
    try:
        task = first.task()
    except TaskError as error:
        return Meaning(Kind.LOSSES, why=str(error))
    if names is not None and len(names) != task.classes:
        names = None
    if task.task is Task.REGRESSION:
        return Meaning(Kind.NUMBERS, task)
    if task.positions:
        return Meaning(Kind.POSITIONS, task, task.classes, names)
    kind = Kind.LABELS if task.task is Task.MULTILABEL else Kind.CLASSES
    return Meaning(kind, task, task.classes, names)


def _beginning(view: Samples) -> Samples:
    """Its first rows."""
    batches, count = [], 0
    for batch in view.record_batches:
        batches.append(batch.slice(0, LOOKED_AT - count))
        count += len(batches[-1])
        if count >= LOOKED_AT:
            break
    return Samples(batches, view.about)
