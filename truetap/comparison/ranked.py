"""Metrics that need all scores in order: areas under curves, and the median error, resampled.

An order is found once; a resample changes how much each place in it weighs. That costs a pass over all scores for
each resample and class: of more than 100,000 scores a part of the samples is drawn, and resampled as often as all of
them would be: the bag of little bootstraps (Kleiner, Talwalkar, Sarkar and Jordan 2014) with one bag. Below 1,000
samples in it no interval is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from truetap.comparison.bootstrap import counts
from truetap.evaluation.chunk import Positions
from truetap.evaluation.confusion import ratio
from truetap.tasks.links import log_softmax
from truetap.tasks.task import OutputTask, Task

__all__ = ["Bag", "Ranked", "Ranking", "bag", "part_of", "resampled"]

Array = npt.NDArray[Any]

_MOST_SCORES = 100_000
_FEWEST = 1_000
_AT_ONCE = 4_000_000  # numbers of a block of resamples
_NAMES = {
    Task.BINARY: ("roc_auc", "average_precision"),
    Task.MULTICLASS: ("roc_auc_macro", "average_precision_macro"),
    Task.MULTILABEL: ("roc_auc_macro", "mean_average_precision"),
}


@dataclass(frozen=True, eq=False)
class Bag:
    """The samples that are resampled.

    Attributes:
        units: Their numbers, int64, ascending.
        draws: How many are drawn: as many samples as there are in all.
        numbered: How many samples of the run have a number.
    """

    units: Array
    draws: int
    numbered: int

    @property
    def whole(self) -> bool:
        """Whether these are all."""
        return len(self.units) == self.draws


def bag(units: Array, numbered: int, scores_each: int, rng: np.random.Generator) -> Bag | None:
    """All samples where their scores are few, else some of them; None where these would be too few.

    Args:
        units: The samples, ascending.
        numbered: How many samples have a number.
        scores_each: Scores of each: steps times classes.
        rng: Random numbers.
    """
    room = _MOST_SCORES // max(1, scores_each)
    if len(units) <= room:
        return Bag(units, len(units), numbered) if len(units) else None
    if room < _FEWEST:
        return None
    return Bag(np.sort(rng.choice(units, room, replace=False)), len(units), numbered)


def part_of(whole: Bag | None, units: Array) -> Bag | None:
    """The samples of a bag that are among others; None where they are too few to stand for them."""
    if whole is None or not len(units):
        return None
    some = np.intersect1d(whole.units, units)
    return Bag(some, len(units), whole.numbered) if whole.whole or len(some) >= _FEWEST else None


class Ranking:
    """Gathers the scores of some samples of one run.

    Args:
        spec: What they mean.
        kept: bool (samples,): of which.
    """

    def __init__(self, spec: OutputTask, kept: Array) -> None:
        self.spec, self.kept = spec, kept
        self._parts: list[tuple[Array, Array, Array]] = []

    def add(self, positions: Positions, unit: Array) -> None:
        """Takes in a chunk, whose rows are of the samples `unit` (rows,); -1 for none."""
        own = unit[positions.sample]
        chosen = (own >= 0) & self.kept[own]
        own, true, scores = own[chosen], positions.true[chosen], positions.scores[chosen]
        if self.spec.task is Task.REGRESSION:
            error = np.abs(positions.pred[chosen].astype(np.result_type(true, scores)) - true)
            own, scores, true = np.repeat(own, error.shape[1]), error.reshape(-1, 1), np.zeros((error.size, 0), bool)
        elif self.spec.task is Task.BINARY:
            scores, true = scores[:, None], (true == 1)[:, None]
        elif self.spec.task is Task.MULTICLASS:
            scores = log_softmax(scores.astype(np.float64)).astype(scores.dtype) if self.spec.logits else scores
            true = true[:, None] == np.arange(self.spec.classes)
        else:
            true = true == 1
        self._parts.append((own, scores, true))

    def result(self) -> Ranked:
        """What was gathered, in order."""
        if not self._parts:
            return Ranked(self.spec.task, np.zeros(0, np.int64), ())
        unit, scores, true = (np.concatenate(part) for part in zip(*self._parts, strict=True))
        limit = np.finfo(scores.dtype)
        scores = scores.clip(limit.min, limit.max)  # -inf is a legitimate logit
        orders = []
        for k in range(scores.shape[1]):
            descending = -scores[:, k] if true.shape[1] else scores[:, k]
            order = np.argsort(descending, kind="stable")
            ordered = descending[order]
            ends = np.flatnonzero(np.r_[ordered[1:] != ordered[:-1], True]) if len(ordered) else np.zeros(0, np.int64)
            orders.append(_Order(order, ends, true[order, k] if true.shape[1] else np.zeros(0, bool)))
        return Ranked(self.spec.task, unit, tuple(orders), scores[orders[0].order, 0] if not true.shape[1] else None)


@dataclass(frozen=True, eq=False)
class _Order:
    order: Array  # of the scores of a class, the highest first; of errors the lowest
    ends: Array  # the last place of each run of equal scores
    positive: Array  # in that order


@dataclass(frozen=True, eq=False)
class Ranked:
    """Scores of one output in order.

    Attributes:
        task: What they are scores of.
        unit: The sample of each position.
        orders: The order of each class.
        errors: Of a regression, absolute errors, ascending.
    """

    task: Task
    unit: Array
    orders: Sequence[_Order] = field(repr=False)
    errors: Array | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The metrics that come of it."""
        return _NAMES.get(self.task, ("median_absolute_error",))

    def metrics(self, drawn: Array, place: Array) -> dict[str, Array]:
        """Metrics of resamples.

        Args:
            drawn: How often each sample was drawn, float64 (samples, resamples).
            place: The sample in it of each position.

        Returns:
            float64 (resamples,) by name; NaN where undefined.
        """
        if self.errors is not None:
            return {self.names[0]: _median(self.errors, drawn[place[self.orders[0].order]])}
        areas = [_areas(each, drawn[place[each.order]]) for each in self.orders]
        return {name: _mean(np.stack([each[k] for each in areas])) for k, name in enumerate(self.names)}


def resampled(
    ranked: Sequence[Ranked], chosen: Bag, resamples: int, rng: np.random.Generator
) -> list[tuple[dict[str, Array], dict[str, float]]]:
    """Metrics of resamples of a bag, of one run or of two whose samples are paired.

    Args:
        ranked: The scores of each run.
        chosen: The bag.
        resamples: How many.
        rng: Random numbers.

    Returns:
        For each run, resampled metrics by name, and those of the bag itself.
    """
    places = [_places(each.unit, chosen.units) for each in ranked]
    found: list[dict[str, list[Array]]] = [{name: [] for name in each.names} for each in ranked]
    size = max(1, _AT_ONCE // max(1, *map(len, places), len(chosen.units)))
    for start in range(0, resamples, size):
        block = min(size, resamples - start)
        drawn = np.zeros((len(chosen.units) + 1, block))  # the last is for samples that aren't in the bag
        for part, some in counts(len(chosen.units), block, chosen.draws, rng):
            drawn[part] = some
        for each, place, into in zip(ranked, places, found, strict=True):
            for name, values in each.metrics(drawn, place).items():
                into[name].append(values)
    once = np.ones((len(chosen.units) + 1, 1))
    once[-1] = 0
    own = [
        {name: float(values[0]) for name, values in each.metrics(once, place).items()}
        for each, place in zip(ranked, places, strict=True)
    ]
    joined = [{name: np.concatenate(values) for name, values in each.items()} for each in found]
    return list(zip(joined, own, strict=True))


def _places(unit: Array, units: Array) -> Array:
    """The place of each position's sample in a bag; behind its end for those that aren't in it."""
    at = np.searchsorted(units, unit)
    inside = units[np.minimum(at, len(units) - 1)] == unit
    return np.where(inside, at, len(units))


def _areas(order: _Order, weight: Array) -> tuple[Array, Array]:
    """ROC AUC and average precision of resamples (places, resamples), ties as one step of the curve."""
    positive = order.positive[:, None]
    hits = np.cumsum(np.where(positive, weight, 0), axis=0)[order.ends]
    misses = np.cumsum(np.where(positive, 0, weight), axis=0)[order.ends]
    if not len(hits):
        nothing = np.full(weight.shape[1], np.nan)
        return nothing, nothing
    all_hits, all_misses = hits[-1], misses[-1]
    before = np.vstack([np.zeros((1, hits.shape[1])), hits[:-1]])
    gained = hits - before
    missed = np.diff(misses, axis=0, prepend=0.0)
    area = ratio((missed * (hits + before) / 2).sum(axis=0), all_hits * all_misses)
    precision = np.nan_to_num(ratio(hits, hits + misses))
    return area, ratio((gained * precision).sum(axis=0), all_hits)


def _median(errors: Array, weight: Array) -> Array:
    """Medians of resamples (places, resamples) of errors in ascending order; of even numbers the mean of both."""
    reached = np.cumsum(weight, axis=0)
    total = reached[-1] if len(reached) else np.zeros(weight.shape[1])
    places = [(reached <= at).sum(axis=0).clip(0, max(0, len(errors) - 1)) for at in ((total - 1) // 2, total // 2)]
    if not len(errors):
        return np.full(weight.shape[1], np.nan)
    return np.where(total > 0, (errors[places[0]].astype(np.float64) + errors[places[1]]) / 2, np.nan)


def _mean(values: Array) -> Array:
    """Mean over classes (classes, resamples) of what is defined."""
    defined = ~np.isnan(values)
    return ratio(np.where(defined, values, 0).sum(axis=0), defined.sum(axis=0))
