"""Metrics of probabilities that add up sample by sample: log loss, Brier score, calibration, top-k.

Log loss comes from the logits where there are logits, so it is exact where the probability would
round to 0 or 1. Rows of probabilities that don't sum to 1 (sigmoid units under a categorical loss)
are divided by their sum, as Keras' losses do. Cost: one pass, fixed state.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from truetap.evaluation.chunk import Positions
from truetap.evaluation.confusion import ratio
from truetap.tasks.links import log_softmax, sigmoid, softmax
from truetap.tasks.task import Array, OutputTask, Task

_OVERSHOOT = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """How often predictions of a given confidence are right.

    Confidence is the probability of the predicted class. Bins are of equal width, closed on the
    right (Guo et al. 2017, "On Calibration of Modern Neural Networks", section 2).

    Attributes:
        edges: Limits of the bins, (bins + 1,).
        count: Positions, or weight, in each bin, (bins,).
        confidence: Mean confidence in each bin; NaN in empty ones.
        accuracy: Share of right predictions in each bin; NaN in empty ones.
    """

    edges: Array
    count: Array
    confidence: Array
    accuracy: Array

    @property
    def ece(self) -> float:
        """Expected calibration error: mean of |accuracy - confidence| over positions."""
        if not self.count.sum():
            return math.nan
        gaps = np.abs(self.accuracy - self.confidence)
        return float(np.nansum(gaps * self.count) / self.count.sum())


class Probabilities:
    """Log loss, Brier score and calibration of a binary or multiclass output.

    Attributes:
        proper: Whether all scores so far were probabilities, or logits.
        finite: Whether none was NaN or +inf.
    """

    def __init__(self, spec: OutputTask, bins: int) -> None:
        self.spec, self.bins = spec, bins
        self.proper = not spec.margins
        self.finite = True
        self._weight = self._log_loss = self._brier = 0.0
        self._edges = np.linspace(0, 1, bins + 1)
        self._in_bin = np.zeros((3, bins))

    def add(self, positions: Positions) -> None:
        """Takes in one chunk."""
        scores = positions.scores.astype(np.float64)
        if not len(scores) or not self.proper:
            return
        if not self.spec.logits and ((scores < -_OVERSHOOT) | (scores > 1 + _OVERSHOOT)).any():
            self.proper = False
            return
        if np.isnan(scores).any() or (scores == np.inf).any():
            self.finite = False
            return
        binary, tiny = self.spec.task is Task.BINARY, float(np.finfo(positions.scores.dtype).eps)
        read = self._read_binary if binary else self._read_rows
        losses, confidence = read(scores, positions.true, tiny)
        weights = positions.weights
        self._weight += weights.sum()
        self._log_loss += float(weights @ losses)
        if binary:
            likely = sigmoid(scores) if self.spec.logits else scores.clip(0, 1)
            self._brier += float(weights @ (likely - positions.true) ** 2)
        self._bin(confidence, positions.true == positions.pred, weights)

    def _read_binary(self, scores: Array, true: Array, tiny: float) -> tuple[Array, Array]:
        if self.spec.logits:
            likely = sigmoid(scores)
            return np.logaddexp(0, np.where(true == 1, -scores, scores)), np.maximum(likely, 1 - likely)
        likely = scores.clip(tiny, 1 - tiny)
        return -np.log(np.where(true == 1, likely, 1 - likely)), np.maximum(scores, 1 - scores)

    def _read_rows(self, scores: Array, true: Array, tiny: float) -> tuple[Array, Array]:
        rows = np.arange(len(true))
        if self.spec.logits:
            return -log_softmax(scores)[rows, true], softmax(scores).max(axis=1)
        sums = scores.sum(axis=1)
        likely = ratio(scores[rows, true], np.where(sums > 0, sums, 1))
        return -np.log(likely.clip(tiny, 1 - tiny)), scores.max(axis=1)

    def _bin(self, confidence: Array, right: Array, weights: Array) -> None:
        confidence = confidence.clip(0, 1)
        index = np.searchsorted(self._edges, confidence, side="left").clip(1, self.bins) - 1
        for row, values in enumerate((weights, weights * confidence, weights * right)):
            self._in_bin[row] += np.bincount(index, values, minlength=self.bins)

    @property
    def log_loss(self) -> float:
        """Mean negative log likelihood of the true class; NaN when it can't be had."""
        return self._log_loss / self._weight if self._usable else math.nan

    @property
    def brier(self) -> float:
        """Mean squared difference of probability and label (Brier 1950); NaN when it can't be had."""
        return self._brier / self._weight if self._usable else math.nan

    @property
    def calibration(self) -> Calibration | None:
        """The bins; None when it can't be had."""
        if not self._usable:
            return None
        count, confidence, right = self._in_bin
        return Calibration(self._edges, count, ratio(confidence, count), ratio(right, count))

    @property
    def _usable(self) -> bool:
        return bool(self.proper and self.finite and self._weight)


class TopK:
    """How often the true class is among the k highest scores; of equal scores the last class wins."""

    def __init__(self, k: int) -> None:
        self.k = k
        self._hits = self._weight = 0.0

    def add(self, positions: Positions) -> None:
        """Takes in one chunk."""
        scores, weights = positions.scores, positions.weights
        own = np.take_along_axis(scores, positions.true[:, None], axis=1)
        later = np.arange(scores.shape[1]) > positions.true[:, None]
        above = (scores > own).sum(axis=1) + ((scores == own) & later).sum(axis=1)
        hits = (above < self.k) & ~np.isnan(scores).any(axis=1)
        self._hits += float(weights @ hits)
        self._weight += float(weights.sum())

    @property
    def accuracy(self) -> float:
        """Share of positions whose true class is among the k."""
        return self._hits / self._weight if self._weight else math.nan
