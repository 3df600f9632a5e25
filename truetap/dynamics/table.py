"""`run.dynamics`: how each sample was learned, in one pass over the record.

Definitions are in the docstrings of the classes below, which sum up one visit at a time. What a step
recorded precedes that step's update: of the first epoch it is what a model says of samples that it
never saw.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from truetap.dynamics.accumulate import Events, Last, Sum, Times
from truetap.dynamics.scores import class_scores, residual_scores
from truetap.dynamics.subject import Subject
from truetap.dynamics.visits import Stream, Visits
from truetap.tasks import OutputTask, Task

__all__ = ["OfClasses", "OfLosses", "OfNumbers", "dynamics", "summed_up"]


class Statistics(Protocol):
    """Columns of the table, from visits."""

    def add(self, visits: Visits) -> None:
        """Takes in visits."""

    def columns(self, labels: Any, visits: Any) -> dict[str, Any]:
        """The columns: `labels` and the number of `visits` of each sample, shape (n,)."""


class OfClasses:
    """Statistics of samples with classes, over their visits.

    - `confidence`, `variability`: mean and standard deviation of the probability of the given label;
      `correctness`: the share of visits at which it was predicted. (Swayamdipta et al., "Dataset
      Cartography", EMNLP 2020.)
    - `forgetting`: how often it was predicted at a visit and not at the next; `first_learned`: the epoch in
      which it was first predicted, null for never. (Toneva et al., "An Empirical Study of Example Forgetting",
      ICLR 2019; who count a sample that was never learned as forgotten without end.)
    - `aum`: the mean of the label's logit minus the highest other one. (Pleiss et al., "Identifying Mislabeled
      Data using the Area Under the Margin Ranking", NeurIPS 2020.) Of probabilities the difference of
      logarithms is the same number, as far as they are not rounded to 0 or 1.
    - `el2n`: the mean Euclidean distance of the probabilities from the one-hot label. (Paul et al., "Deep
      Learning on a Data Diet", NeurIPS 2021; there a mean over several trainings at one early epoch.)

    Of a multi-label output they are means over its labels; `el2n` is the distance over all of them,
    `forgetting` the sum, and `first_learned` the first epoch with all of them right.
    """

    def __init__(self, task: OutputTask) -> None:
        self._task = task
        self._confidence, self._margin, self._distance, self._right = Sum(squares=True), Sum(), Sum(), Sum()
        self._events = Events()

    def add(self, visits: Visits) -> None:
        assert visits.y_pred is not None
        assert visits.labels is not None
        found = class_scores(visits.y_pred, visits.labels, self._task)
        self._confidence.add(visits.rows, found.confidence)
        self._margin.add(visits.rows, found.margin)
        self._distance.add(visits.rows, found.distance)
        right = found.right.reshape(len(visits.rows), -1).mean(axis=1)
        self._right.add(visits.rows, right)
        self._events.add(visits.rows, found.right, visits.epoch)

    def columns(self, labels: Any, visits: Any) -> dict[str, Any]:
        first = self._events.first(len(visits))
        found = {} if self._task.task is Task.MULTILABEL else {"label": labels}
        return found | {
            "confidence": self._confidence.mean(visits),
            "variability": self._confidence.spread(visits),
            "correctness": self._right.mean(visits),
            "forgetting": self._events.events(len(visits)),
            "first_learned": pa.array(first.astype(np.int32), mask=first < 0),
            "aum": self._margin.mean(visits),
            "el2n": self._distance.mean(visits),
        }


class OfNumbers:
    """Statistics of samples with numbers to predict, from the residual: prediction minus truth.

    - `mean_residual`, `mean_absolute_residual`: means over visits, and over the sample's values.
    - `variability`: the standard deviation over visits of the mean absolute residual.
    - `sign_consistency`: from 0 to 1: how far the mean residual had one sign at all visits. Near 1 and a large
      residual together are what a wrong number looks like.
    """

    def __init__(self, task: OutputTask) -> None:
        self._task = task
        self._residual, self._size, self._sign = Sum(), Sum(squares=True), Sum()

    def add(self, visits: Visits) -> None:
        residual, size = residual_scores(visits.y_pred, visits.y_true, self._task)  # type: ignore[arg-type]
        self._residual.add(visits.rows, residual)
        self._size.add(visits.rows, size)
        self._sign.add(visits.rows, np.sign(residual))

    def columns(self, labels: Any, visits: Any) -> dict[str, Any]:
        return {
            "mean_residual": self._residual.mean(visits),
            "mean_absolute_residual": self._size.mean(visits),
            "variability": self._size.spread(visits),
            "sign_consistency": np.abs(self._sign.mean(visits)),
        }


class OfLosses:
    """The loss of a sample without weights: `mean_loss` over its visits, `last_loss` at the last of them."""

    def __init__(self) -> None:
        self._sum, self._last = Sum(), Last()

    def add(self, visits: Visits) -> None:
        self._sum.add(visits.rows, visits.loss)
        self._last.add(visits.rows, visits.loss)

    def columns(self, labels: Any, visits: Any) -> dict[str, Any]:
        return {"mean_loss": self._sum.mean(visits), "last_loss": self._last.value(len(visits))}


def dynamics(subject: Subject) -> pa.Table:
    """A row for each sample; see `Run.dynamics`.

    Raises:
        TaskError: The rows have no labels, or they are of a kind that has no dynamics.
    """
    task = subject.task()
    of_task = OfNumbers(task) if task.task is Task.REGRESSION else OfClasses(task)
    losses = [OfLosses()] if "loss" in subject.columns else []
    return summed_up(Stream(subject.samples, task), [of_task, *losses])


def summed_up(stream: Stream, statistics: list[Statistics]) -> pa.Table:
    """One pass: sample_id, epochs, visits, and the columns of each kind of statistics."""
    times = Times()
    for visits in stream:
        times.add(visits.rows, visits.epoch)
        for each in statistics:
            each.add(visits)
    stream.say_what_was_seen(above=4)
    size = len(stream.roster)
    counts = times.visits(size)
    columns: dict[str, Any] = {"sample_id": stream.roster.ids}
    for each in statistics:
        columns |= each.columns(stream.roster.labels, counts)
    columns |= {"epochs": times.epochs(size).astype(np.int32), "visits": counts}
    return pa.table(columns)
