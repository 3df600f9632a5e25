"""Metrics of one part of the samples in both runs, with intervals of their differences.

The values are those of `samples.evaluate()`; the resamples are made here, from sums and from scores in order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from truetap.comparison.bootstrap import Interval, interval, resampled_sums
from truetap.comparison.derived import class_metrics, derived
from truetap.comparison.measured import Measured
from truetap.comparison.ranked import Bag, Ranked, resampled
from truetap.evaluation import Evaluation
from truetap.tasks.task import Task

__all__ = ["Drawing", "Part", "Value", "compare_part", "no_evaluation"]

Array = npt.NDArray[Any]

_LOWER_IS_BETTER = frozenset(
    ("loss", "log_loss", "brier", "ece", "hamming_loss", "mae", "mse", "rmse", "median_absolute_error")
)
_NEITHER = frozenset({"bias"})


@dataclass(frozen=True, slots=True)
class Value:
    """A number in both runs.

    Attributes:
        here: In the one run.
        there: In the other.
        interval: Of there minus here.
    """

    here: float
    there: float
    interval: Interval

    @property
    def difference(self) -> float:
        """There minus here."""
        return self.there - self.here

    def better(self, metric: str) -> str | None:
        """The run that is better by more than chance, "here" or "there"; None where that can't be said."""
        low, high = self.interval.low, self.interval.high
        if metric in _NEITHER or not self.interval or low <= 0 <= high:
            return None
        return "there" if (low > 0) != (metric in _LOWER_IS_BETTER) else "here"


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the samples in both runs.

    Attributes:
        counts: How many rows it has, here and there.
        metrics: By name.
        classes: By index of the class and name of the metric.
        supports: True rows of each class, here and there.
    """

    counts: tuple[int, int]
    metrics: Mapping[str, Value]
    classes: Mapping[tuple[int, str], Value] = field(default_factory=dict)
    supports: tuple[Sequence[float], Sequence[float]] = ((), ())


@dataclass(frozen=True, eq=False)
class Drawing:
    """How resamples are drawn.

    Attributes:
        paired: Whether both runs have the same samples.
        resamples: How many.
        seed: Of the random numbers; the same for the same question.
    """

    paired: bool
    resamples: int
    seed: tuple[int, ...]

    def generators(self) -> tuple[np.random.Generator, np.random.Generator]:
        """Random numbers for here and for there."""
        return np.random.default_rng((*self.seed, 0)), np.random.default_rng((*self.seed, 1))


def no_evaluation(measured: Measured, units: Array, rows: int) -> Evaluation:
    """What there is without labels: the mean loss."""
    totals = np.asarray(measured.sums.of(units).matrix.sum(axis=0))[None]
    loss = float(derived(measured.sums.named(totals), None)["loss"][0])
    return Evaluation(Task.REGRESSION, rows, 0, None if math.isnan(loss) else loss, {})


def compare_part(
    measured: tuple[Measured, Measured],
    evaluations: tuple[Evaluation, Evaluation],
    units: tuple[Array, Array],
    bags: tuple[Bag | None, Bag | None],
    drawing: Drawing,
    *,
    per_class: bool = False,
) -> Part:
    """Compares one part.

    Args:
        measured: The output in both runs.
        evaluations: The part, evaluated in both.
        units: The part's samples in both; the same where they are paired.
        bags: Those whose scores are resampled.
        drawing: How.
        per_class: Whether numbers of each class are wanted.
    """
    here, there = (_metrics(each) for each in evaluations)
    first, second = _drawn(measured, units, drawing)
    ranges = {
        name: interval(second[0][name] - first[0][name]) for name in here if name in first[0] and name in second[0]
    }
    ranges |= _of_ranked((measured[0].ranked, measured[1].ranked), (here, there), bags, drawing)
    metrics = {name: _value(here[name], there[name], ranges.get(name)) for name in here if name in there}
    counts = (evaluations[0].num_samples, evaluations[1].num_samples)
    return Part(counts, metrics, *(_classes(evaluations, first[1], second[1]) if per_class else ()))


def _classes(
    evaluations: tuple[Evaluation, Evaluation], first: Mapping[str, Array], second: Mapping[str, Array]
) -> tuple[dict[tuple[int, str], Value], tuple[list[float], list[float]]]:
    rows = list(zip(evaluations[0].per_class, evaluations[1].per_class, strict=True))
    found = {}
    for index, (one, other) in enumerate(rows):
        for name, resamples in first.items():
            if name in second:
                ends = interval(second[name][:, index] - resamples[:, index])
                found[index, name] = _value(getattr(one, name), getattr(other, name), ends)
    return found, ([one.support for one, _ in rows], [other.support for _, other in rows])


def _metrics(evaluation: Evaluation) -> dict[str, float]:
    loss = {} if evaluation.loss is None else {"loss": evaluation.loss}
    return {**loss, **evaluation.metrics}


def _value(here: float, there: float, found: Interval | None) -> Value:
    usable = found is not None and math.isfinite(here) and math.isfinite(there)
    return Value(here, there, found if found is not None and usable else Interval())


_Resampled = tuple[dict[str, Array], dict[str, Array]]


def _drawn(
    measured: tuple[Measured, Measured], units: tuple[Array, Array], drawing: Drawing
) -> tuple[_Resampled, _Resampled]:
    """Resampled metrics, and those of classes, here and there."""
    sums = [each.sums.of(part) for each, part in zip(measured, units, strict=True)]
    if not all(len(part) for part in units):
        return ({}, {}), ({}, {})
    first, second = drawing.generators()
    if drawing.paired:
        totals = resampled_sums([each.matrix for each in sums], drawing.resamples, first)
    else:
        totals = [
            *resampled_sums([sums[0].matrix], drawing.resamples, first),
            *resampled_sums([sums[1].matrix], drawing.resamples, second),
        ]
    found = []
    for each, side, total in zip(measured, sums, totals, strict=True):
        named = side.named(total)
        classes = {} if each.spec is None else class_metrics(named, each.spec)
        found.append((derived(named, each.spec), classes))
    return found[0], found[1]


def _of_ranked(
    ranked: tuple[Ranked | None, Ranked | None],
    metrics: tuple[Mapping[str, float], Mapping[str, float]],
    bags: tuple[Bag | None, Bag | None],
    drawing: Drawing,
) -> dict[str, Interval]:
    if ranked[0] is None or ranked[1] is None or bags[0] is None or bags[1] is None:
        return {}
    names = [name for name in ranked[0].names if name in ranked[1].names and all(name in each for each in metrics)]
    if not names:
        return {}
    first, second = drawing.generators()
    times = drawing.resamples
    if drawing.paired:
        here, there = resampled([ranked[0], ranked[1]], bags[0], times, first)
    else:
        (here,) = resampled([ranked[0]], bags[0], times, first)
        (there,) = resampled([ranked[1]], bags[1], times, second)
    found = {}
    for name in names:
        whole = metrics[1][name] - metrics[0][name]
        shift = 0.0 if bags[0].whole and bags[1].whole else whole - (there[1][name] - here[1][name])
        found[name] = interval(there[0][name] - here[0][name], shift)
    return found
