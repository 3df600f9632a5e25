"""How suspicious a label is, from what the counting epochs predicted on average. NumPy alone.

The margin by which another class beats the label is the evidence. How much of it is needed follows from how often
contradictions were overcome by learning (`epoch_weights`). Of several classes it also matters whether the large
margins gather in few pairs of classes, as they do where people confuse these. If so, and contradictions last, one in
such a pair counts more than one in a pair whose contradictions are weak. If not, a label that was never thought
possible counts more than one that shares its probability with others: margins are taken relative to both.

Confident learning (Northcutt et al., JAIR 2021) estimates which classes are confused for the same reason, from
predictions of models that didn't see the samples; the rules here were found by trial. Cost: a few passes over n
numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Evidence", "Verdict", "evidence", "judge"]

Array = npt.NDArray[Any]

_SMALL = 1e-3  # keeps the logarithm of a margin of 1 finite
_STRONG = 0.5  # a margin that says more than "hard"
_PRIOR_COUNT = 5.0  # contradictions of an average pair that each pair is taken to have had before
_NEEDED, _NEEDED_IN_PAIRS, _MOST_NEEDED = 0.35, 0.2, 0.9  # margins
_NEEDED_FOR_OVERCOME = 12.0  # times the square of the share that was overcome
_LASTING, _PASSING = 0.15, 0.25  # shares overcome up to which pairs count in full, and from which not at all


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was predicted of samples.

    Attributes:
        margin: The score of the best other class minus that of the label, from -1 to 1, shape (n,).
        other: The best other class, shape (n,).
        both: The scores of the label and of that class together, shape (n,).
    """

    margin: Array
    other: Array
    both: Array


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is thought of labels.

    Attributes:
        score: From 0 to 1; above 0.5 the label is flagged.
        flagged: bool.
        suggested: The other class where it beats the label, else the label.
    """

    score: Array
    flagged: Array
    suggested: Array


def evidence(scores: Array, labels: Array) -> Evidence:
    """The best other class and its margin.

    Args:
        scores: The mean score of each class, shape (n, classes), at least two; rows sum to 1.
        labels: The given classes, shape (n,).

    Example:
        >>> evidence(np.array([[0.25, 0.75]]), np.array([0]))
        Evidence(margin=array([0.5]), other=array([1]), both=array([1.]))
    """
    at = np.arange(len(labels))
    others = scores.copy()
    others[at, labels] = -np.inf
    other = others.argmax(axis=1)
    best, own = others[at, other], scores[at, labels]
    return Evidence(best - own, other, best + own)


def judge(found: Evidence, labels: Array, classes: int, overcome: float) -> Verdict:
    """Scores and flags.

    Args:
        found: The evidence.
        labels: The given classes, shape (n,).
        classes: How many there are.
        overcome: The share of steady contradictions that learning ended.
    """
    margin = np.asarray(found.margin, np.float64)
    contradicted = margin > 0
    pairs = _Pairs.of(margin[contradicted], found.other[contradicted], labels[contradicted], classes)
    relative = margin / np.maximum(found.both, _SMALL) ** (1 - pairs.gathered)
    odds = np.log((1 + relative + _SMALL) / (1 - np.minimum(relative, 1) + _SMALL))
    odds[contradicted] += pairs.shifts * np.clip((_PASSING - overcome) / (_PASSING - _LASTING), 0, 1)
    least = _NEEDED + (_NEEDED_IN_PAIRS - _NEEDED) * pairs.gathered
    needed = float(np.clip(_NEEDED_FOR_OVERCOME * overcome**2, least, _MOST_NEEDED))
    away = odds - np.log((1 + needed) / (1 - needed))
    flagged = contradicted & (away > 0)
    score = 1 / (1 + np.exp(-np.where(contradicted, away, np.minimum(away, 0))))
    return Verdict(score, flagged, np.where(contradicted, found.other, labels))


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Pairs of classes (predicted, given).

    Attributes:
        gathered: From 0, when all pairs have their share of the strong contradictions, towards 1 for few pairs.
        shifts: What each contradiction gains by its pair, in log-odds.
    """

    gathered: float
    shifts: Array

    @classmethod
    def of(cls, margin: Array, other: Array, labels: Array, classes: int) -> _Pairs:
        """From contradictions. Of two classes nothing is told: one that is predicted more often would look confused."""
        if classes <= 2 or not len(margin):
            return cls(0.0, np.zeros(len(margin)))
        _, pair = np.unique(other.astype(np.int64) * classes + labels, return_inverse=True)
        count = np.bincount(pair)
        strong = np.bincount(pair, margin > _STRONG)
        share = (strong.sum() + 1) / (count.sum() + 2)
        of_pair = (strong + _PRIOR_COUNT * share) / (count + _PRIOR_COUNT)
        shift = np.log(of_pair / (1 - of_pair)) - np.log(share / (1 - share))
        gathered = _gathered(strong, classes)
        return cls(gathered, np.asarray(gathered * shift[pair]))


def _gathered(strong: Array, classes: int) -> float:
    """One minus the share of pairs that take part in strong contradictions.

    Their number is the inverse of the chance that two strong contradictions are of one pair (Simpson, "Measurement
    of Diversity", Nature 1949), which small counts don't bias.
    """
    twice = float((strong * (strong - 1)).sum())
    if twice <= 0:
        return 0.0
    taking_part = float(strong.sum()) ** 2 / twice
    return 1 - min(1.0, taking_part / (classes * (classes - 1)))
