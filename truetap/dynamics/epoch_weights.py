"""Which epochs speak about labels, told from the predictions and the given labels alone.

At first a model predicts at random, at last it may know every label by heart: neither says anything of
a label. In between it holds wrong labels for another class, again and again. So an epoch counts by how many
samples are *steadily contradicted* in it: predicted as one and the same other class at three visits in a
row. Where nothing is memorised the share rises and stays, and all later epochs count; where labels are
memorised it falls to nothing, and so does the weight of those epochs.

How long contradictions last tells the other thing: of right labels that are only hard to learn, about
0.3 are overcome at the next visit; of wrong ones hardly any, until they are memorised. Both were found by
trial (`benchmarks/labels.py` measures what comes of it) and are no published method. Cost: one pass.
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


@dataclass(frozen=True, slots=True)
class EpochWeights:
    """How much each epoch counts.

    Attributes:
        weights: From 0.001 to 1, of the epochs in order.
        overcome: The share of steady contradictions that the next visit ended in favour of the label.
    """

    weights: Array
    overcome: float


class Steadiness:
    """Counts steady contradictions, epoch by epoch.

    Args:
        epochs: The epochs that will come, in order.

    Example:
        >>> steady = Steadiness([0, 1, 2])
        >>> for epoch in range(3):
        ...     steady.add(np.array([0, 1]), np.array([1, 0]), np.array([0, 0]), epoch)
        >>> steady.result().weights
        array([1., 1., 1.])
    """

    def __init__(self, epochs: Sequence[int]) -> None:
        self._place = {epoch: place for place, epoch in enumerate(epochs)}
        self._needed = min(_STEADY, len(epochs))
        self._last = np.zeros(0, np.int32)
        self._run = np.zeros(0, np.uint8)
        self._visits, self._steady, self._at_risk, self._ended = np.zeros((4, len(epochs)), np.int64)

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

    def result(self) -> EpochWeights:
        """The weights: squares of the shares, of which the highest is 1."""
        count = len(self._visits)
        shares = self._steady / np.maximum(self._visits, 1)
        middle = np.clip(np.arange(count) + 1, self._needed - 1, count - 1)  # of the visits before, at and after
        shares = shares[middle]
        highest = shares.max(initial=0)
        weights = np.ones(count) if not highest else np.maximum((shares / highest) ** 2, _LEAST)
        before = np.r_[weights[:1], weights[:-1]]
        risk = float(before @ self._at_risk)
        overcome = float(before @ self._ended) / risk if risk else _OF_HARD_SAMPLES
        return EpochWeights(weights, overcome)
