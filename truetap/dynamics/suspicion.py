"""How suspicious a label is, from what the counting epochs predicted on average. NumPy alone.

The margin by which another class beats the label is the evidence. How much of it is needed follows from how strong
strong contradictions are, and from how often learning overcame contradictions (`epoch_weights`). Of several classes
it also matters whether the large margins gather in few pairs of classes, as they do where people confuse these. If
so, and contradictions last, the share of a pair's samples that are strongly contradicted is what one expects of each
of them before its own margin is seen: log-odds that are added, by which a label can be flagged that the model learned
early. If not, a label that was never thought possible counts more than one that shares its probability with others:
margins are taken relative to both.

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
_PRIOR_COUNT = 10.0  # samples of an average pair that each pair is taken to have had before
_OF_STRONG = 0.35  # needed, of the log-odds of the median strong contradiction
_MOST_NEEDED = 0.9  # a margin
_HARD, _POWER = 0.2, 4  # the share overcome from which next to nothing is flagged, and how fast it comes near
_HARD_OF_TWO, _POWER_OF_TWO = 0.29, 2  # more: what leaves the other of two classes has only the label to go to
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
        suggested: The other class where it beats the label or the label is flagged, else the label.
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
    pairs = _Pairs.of(margin, found.other, labels, classes)
    relative = margin / np.maximum(found.both, _SMALL) ** (1 - pairs.gathered)
    lasting = np.clip((_PASSING - overcome) / (_PASSING - _LASTING), 0, 1)
    away = _odds(relative) + lasting * pairs.shifts - _needed(margin, classes, overcome)
    flagged = away > 0
    return Verdict(1 / (1 + np.exp(-away)), flagged, np.where(flagged | (margin > 0), found.other, labels))


def _odds(margin: Array) -> Array:
    """The log-odds of another class against the label."""
    return np.asarray(np.log((1 + margin + _SMALL) / (1 - np.minimum(margin, 1) + _SMALL)))


def _needed(margin: Array, classes: int, overcome: float) -> float:
    """Log-odds from which a label is flagged.

    Where wrong labels are not memorised the model is sure of them, and a small margin is that of a hard sample.
    """
    strong = margin[margin > _STRONG]
    typical = float(np.median(strong)) if len(strong) else _STRONG
    hard, power = (_HARD_OF_TWO, _POWER_OF_TWO) if classes <= 2 else (_HARD, _POWER)
    least, most = _odds(np.asarray([min((overcome / hard) ** power, _MOST_NEEDED), _MOST_NEEDED]))
    return float(min(max(_OF_STRONG * _odds(np.asarray(typical)), least), most))


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Pairs of classes (best other, given).

    Attributes:
        gathered: From 0, when all pairs have their share of the strong contradictions, towards 1 for few pairs.
        shifts: What each label gains by its pair, in log-odds, shape (n,).
    """

    gathered: float
    shifts: Array

    @classmethod
    def of(cls, margin: Array, other: Array, labels: Array, classes: int) -> _Pairs:
        """From all samples. Of two classes nothing is told: one that is predicted more often would look confused."""
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
