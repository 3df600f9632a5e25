"""Counts of (true class, predicted class), and what follows from them.

Cells of the confusion matrix are kept sparse, so that 100,000 classes cost what their pairs cost.
scikit-learn then sees every cell as one sample with the cell's count as its weight: its own numbers,
at any number of samples.
"""

from __future__ import annotations

import math

import numpy as np
from sklearn.metrics import accuracy_score, cohen_kappa_score, precision_recall_fscore_support

from truetap.evaluation.chunk import Positions
from truetap.tasks.task import Array

_PENDING = 1 << 20
_DENSE_CLASSES = 2000


class Confusion:
    """Weighted counts of pairs of classes.

    Example:
        >>> counts = Confusion(2)
        >>> counts.add_labels(np.array([0, 1, 1]), np.array([0, 1, 0]), None)
        >>> counts.matrix().tolist()
        [[1.0, 0.0], [1.0, 1.0]]
    """

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self._codes: list[Array] = []
        self._sums: list[Array] = []
        self._pending = 0

    def add(self, positions: Positions) -> None:
        """Takes in one chunk."""
        self.add_labels(positions.true, positions.pred, positions.weight)

    def add_labels(self, true: Array, pred: Array, weight: Array | None) -> None:
        """Takes in true and predicted classes, int (m,), and weights (m,) or None."""
        codes, sums = self._count(true * self.classes + pred, weight)
        self._codes.append(codes)
        self._sums.append(sums)
        self._pending += len(codes)
        if self._pending > _PENDING:
            self._merge()
            self._pending = 0

    def _count(self, codes: Array, weight: Array | None) -> tuple[Array, Array]:
        if self.classes**2 <= 4 * len(codes):
            sums = np.bincount(codes, weight, minlength=self.classes**2)
            seen = np.flatnonzero(sums)
            return seen, sums[seen].astype(np.float64)
        seen, inverse = np.unique(codes, return_inverse=True)
        sums = np.bincount(inverse.ravel(), weight, minlength=len(seen)).astype(np.float64)
        return seen[sums != 0], sums[sums != 0]

    def _merge(self) -> None:
        seen, inverse = np.unique(np.concatenate(self._codes), return_inverse=True)
        sums = np.bincount(inverse.ravel(), np.concatenate(self._sums), minlength=len(seen))
        self._codes, self._sums = [seen], [sums]

    def cells(self) -> tuple[Array, Array, Array]:
        """True classes, predicted classes and counts of the cells that aren't empty."""
        if not self._codes:
            return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
        self._merge()
        codes, sums = self._codes[0], self._sums[0]
        return codes // self.classes, codes % self.classes, sums

    def matrix(self) -> Array | None:
        """float64 (classes, classes), rows are true classes; None above 2000 classes."""
        if self.classes > _DENSE_CLASSES:
            return None
        true, pred, sums = self.cells()
        matrix = np.zeros((self.classes, self.classes))
        matrix[true, pred] = sums
        return matrix

    def totals(self) -> tuple[Array, Array, Array]:
        """Per class: true positives, count as true class, count as predicted class."""
        true, pred, sums = self.cells()
        hit = true == pred
        return (
            np.bincount(true[hit], sums[hit], minlength=self.classes),
            np.bincount(true, sums, minlength=self.classes),
            np.bincount(pred, sums, minlength=self.classes),
        )

    def accuracy(self) -> float:
        """Share of positions predicted right."""
        true, pred, sums = self.cells()
        return float(accuracy_score(true, pred, sample_weight=sums))

    def balanced_accuracy(self) -> float:
        """Mean recall of the classes that occur."""
        hits, support, _ = self.totals()
        occurs = support > 0
        return float((hits[occurs] / support[occurs]).mean())

    def averages(self, average: str) -> tuple[float, float, float]:
        """Precision, recall, F1 over the classes that occur or are predicted; 0 where undefined."""
        true, pred, sums = self.cells()
        present = np.union1d(true, pred)
        numbers = precision_recall_fscore_support(
            true, pred, labels=present, average=average, sample_weight=sums, zero_division=0.0
        )
        return float(numbers[0]), float(numbers[1]), float(numbers[2])

    def per_class(self) -> tuple[Array, Array, Array, Array]:
        """Precision, recall, F1, support of every class; NaN where undefined."""
        hits, support, predicted = self.totals()
        return ratio(hits, predicted), ratio(hits, support), ratio(2 * hits, support + predicted), support

    def iou(self) -> Array:
        """Intersection over union of every class (Jaccard 1901); NaN for classes never met."""
        hits, support, predicted = self.totals()
        return ratio(hits, support + predicted - hits)

    def kappa(self) -> float:
        """Quadratic-weighted kappa (Cohen 1968); NaN when all is one class."""
        true, pred, sums = self.cells()
        if len(np.union1d(true[sums > 0], pred[sums > 0])) < 2:
            return math.nan
        labels = np.arange(self.classes)
        return float(cohen_kappa_score(true, pred, labels=labels, weights="quadratic", sample_weight=sums))

    def rank_error(self) -> float:
        """Mean absolute difference of class indices."""
        true, pred, sums = self.cells()
        return float(np.average(np.abs(true - pred), weights=sums))


def ratio(part: Array, whole: Array) -> Array:
    """Element by element, NaN where the whole is 0."""
    undefined = np.full(np.shape(whole), np.nan)
    return np.asarray(np.divide(part, whole, out=undefined, where=np.asarray(whole) != 0))
