"""Areas under curves, which need all scores at once: ROC AUC and average precision.

Scores are held as long as they fit into the memory given; after that they are dropped, and the areas
are left out with a note rather than estimated. For logits of several classes the logarithm of the
softmax is held: it ranks as the probability does, and doesn't round to ties near 0 and 1.
"""

from __future__ import annotations

import math

import numpy as np
from sklearn.metrics import auc, roc_curve

from truetap.evaluation.chunk import Positions
from truetap.tasks.links import log_softmax
from truetap.tasks.task import Array, OutputTask, Task


class HeldScores:
    """Scores and labels of all positions, within a limit of memory.

    Attributes:
        dropped: Whether the scores didn't fit.
        size: Bytes of scores met so far.
    """

    def __init__(self, spec: OutputTask, memory: int) -> None:
        self.spec, self.memory = spec, memory
        self.dropped, self.size = False, 0
        self._scores: list[Array] = []
        self._true: list[Array] = []
        self._weight: list[Array] = []
        self._weighted = False

    def add(self, positions: Positions) -> None:
        """Takes in one chunk."""
        self.size += positions.scores.nbytes
        if self.dropped or self.size > self.memory:
            self.dropped = True
            self._scores, self._true, self._weight = [], [], []
            return
        scores = positions.scores
        if self.spec.logits and self.spec.task is Task.MULTICLASS:
            scores = log_softmax(scores.astype(np.float64)).astype(scores.dtype)
        self._scores.append(scores)
        self._true.append(positions.true)
        self._weight.append(positions.weights)
        self._weighted |= positions.weight is not None

    def areas(self) -> list[tuple[float, float]]:
        """(ROC AUC, average precision) per class, one against the rest; NaN where undefined."""
        scores, true = np.concatenate(self._scores), np.concatenate(self._true)
        weight = np.concatenate(self._weight) if self._weighted else None
        if self.spec.task is Task.BINARY:
            return [area(true == 0, -scores, weight), area(true == 1, scores, weight)]
        if self.spec.task is Task.MULTILABEL:
            return [area(true[:, k] == 1, scores[:, k], weight) for k in range(self.spec.classes)]
        return [area(true == k, scores[:, k], weight) for k in range(self.spec.classes)]


def area(positive: Array, scores: Array, weight: Array | None = None) -> tuple[float, float]:
    """ROC AUC and average precision from one sort of the scores.

    Args:
        positive: bool (m,).
        scores: float (m,), higher means more probably positive.
        weight: float (m,), or None.

    Returns:
        Both areas, as scikit-learn's `roc_auc_score` and `average_precision_score` define them; NaN
        for both when a score is NaN or there are no positives, for ROC AUC when all are positive.

    Example:
        >>> area(np.array([False, True, True]), np.array([0.1, 0.4, 0.3]))
        (1.0, 1.0)
    """
    if weight is not None:
        counts = weight > 0
        positive, scores, weight = positive[counts], scores[counts], weight[counts]
    if not positive.any() or np.isnan(scores).any():
        return math.nan, math.nan
    if positive.all():
        return math.nan, 1.0
    limit = np.finfo(scores.dtype)
    scores = scores.clip(limit.min, limit.max)  # -inf is a legitimate logit
    false, true, _ = roc_curve(positive, scores, sample_weight=weight, drop_intermediate=False)
    weights = np.ones(len(positive)) if weight is None else weight
    hits = true * float(weights[positive].sum())
    misses = false * float(weights[~positive].sum())
    precision = hits[1:] / (hits + misses)[1:]
    return float(auc(false, true)), float(np.sum(np.diff(true) * precision))
