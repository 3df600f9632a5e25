"""Which epochs speak about labels, told from the predictions and the given labels alone.

At first a model predicts at random, at last it may know every label by heart: neither says anything of
a label. In between it holds wrong labels for another class, again and again. So an epoch counts by how many
samples are *steadily contradicted* in it: predicted as one and the same other class at three visits in a
row. Where nothing is memorised the share rises and stays, and all later epochs count; where labels are
memorised it falls to nothing, and so does the weight of those epochs. A model that still predicts
one class for all contradicts steadily, too: an epoch that agrees with the labels hardly more often than by
chance counts less.

How long contradictions last tells the other thing: of right labels that are only hard to learn, 0.2 to 0.3
are overcome at the next visit; of wrong ones hardly any, until they are memorised. All was found by
trial (`benchmarks/labels.py` measures what comes of it) and is no published method. Cost: one pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from truetap.dynamics.accumulate import grown

__all__ = ["EpochWeights", "Steadiness"]

Array = npt.NDArray[Any]

_STEADY = 3  # visits in a row
_LEAST = 1e-3  # of the highest weight: a sample that only came in epochs that don't count is still ranked
_OF_HARD_SAMPLES = 0.3  # contradictions of right labels that are overcome at a visit
_INFORMED = 0.5  # of the best agreement of any epoch: from there on an epoch counts in full


@dataclass(frozen=True, slots=True)
class EpochWeights:
    """How much each epoch counts.

    Attributes:
        weights: From 0.001 to 1, of the epochs in order.
        overcome: The share of steady contradictions that the next visit ended in favour of the label.
        beyond_chance: By how many standard errors the predictions of the first epoch, which the model made before
            it learned from a sample, agree with more labels than predictions that know nothing of the inputs.
    """

    weights: Array
    overcome: float
    beyond_chance: float


class Steadiness:
    """Counts steady contradictions, epoch by epoch.

    Args:
        epochs: The epochs that will come, in order.
        classes: How many classes there are.

    Example:
        >>> steady = Steadiness([0, 1, 2], classes=2)
        >>> for epoch in range(3):
        ...     steady.add(np.array([0, 1]), np.array([1, 0]), np.array([0, 0]), epoch)
        >>> steady.result().weights
        array([1., 1., 1.])
    """

    def __init__(self, epochs: Sequence[int], classes: int) -> None:
        self._place = {epoch: place for place, epoch in enumerate(epochs)}
        self._needed = min(_STEADY, len(epochs))
        self._classes = classes
        self._last = np.zeros(0, np.int32)
        self._run = np.zeros(0, np.uint8)
        self._visits, self._steady, self._at_risk, self._ended, self._agreed = np.zeros((5, len(epochs)), np.int64)
        self._predicted, self._given = np.zeros((2, len(epochs), classes), np.int64)

    def add(self, items: Array, predicted: Array, labels: Array, epoch: int) -> None:
        """Takes in visits, no two of one item.

        Args:
            items: Which samples, or labels of samples, int64 of shape (n,).
            predicted: The class predicted for each.
            labels: The class given to each.
            epoch: The epoch.
        """
        self._last, self._run = grown(self._last, items, -1), grown(self._run, items, 0)
        place, last, run = self._place[epoch], self._last[items], self._run[items]
        at_risk = (run >= self._needed) & (last != labels)
        self._at_risk[place] += int(at_risk.sum())
        self._ended[place] += int((at_risk & (predicted == labels)).sum())
        run = np.where(predicted == last, np.minimum(run + 1, _STEADY), 1).astype(np.uint8)
        self._run[items], self._last[items] = run, predicted
        self._visits[place] += len(items)
        self._steady[place] += int(((run >= self._needed) & (predicted != labels)).sum())
        self._agreed[place] += int((predicted == labels).sum())
        self._predicted[place] += np.bincount(predicted, minlength=self._classes)
        self._given[place] += np.bincount(labels, minlength=self._classes)

    def result(self) -> EpochWeights:
        """The weights: squares of the shares, of which the highest is 1."""
        count, visits = len(self._visits), np.maximum(self._visits, 1)
        middle = np.clip(np.arange(count) + 1, self._needed - 1, count - 1)  # of the visits before, at and after
        by_chance = (self._predicted / visits[:, None] * self._given / visits[:, None]).sum(axis=1)
        shares = (self._steady / visits)[middle] * self._informed(by_chance)
        highest = shares.max(initial=0)
        weights = np.ones(count) if not highest else np.maximum((shares / highest) ** 2, _LEAST)
        before = np.r_[weights[:1], weights[:-1]]
        risk = float(before @ self._at_risk)
        overcome = float(before @ self._ended) / risk if risk else _OF_HARD_SAMPLES
        return EpochWeights(weights, overcome, self._beyond(by_chance))

    def _informed(self, by_chance: Array) -> Array:
        """From 0 to 1 by Cohen's kappa (1960), the agreement beyond chance.

        Of two classes all epochs are taken as informed: trial found no gain in asking.
        """
        if self._classes <= 2:
            return np.ones(len(by_chance))
        agreed = self._agreed / np.maximum(self._visits, 1)
        kappa = np.clip((agreed - by_chance) / np.maximum(1 - by_chance, 1e-9), 0, 1)
        best = kappa.max(initial=0)
        return np.ones(len(kappa)) if not best else np.minimum(1, kappa / (_INFORMED * best))

    def _beyond(self, by_chance: Array) -> float:
        if not len(by_chance) or not self._visits[0]:
            return 0.0
        chance, count = float(by_chance[0]), int(self._visits[0])
        agreed = int(self._agreed[0]) / count
        return float((agreed - chance) / np.sqrt(max(chance * (1 - chance) / count, 1e-18)))
