"""Counts of independent yes/no labels, and what follows from them."""

from __future__ import annotations

import math

import numpy as np

from truetap.evaluation.chunk import Positions
from truetap.evaluation.confusion import ratio
from truetap.tasks.task import Array


class LabelCounts:
    """Per label: true positives, count in the truth, count in the predictions; and whole-row hits."""

    def __init__(self, labels: int) -> None:
        self.hits, self.support, self.predicted = np.zeros(labels), np.zeros(labels), np.zeros(labels)
        self.weight = self._right_rows = self._wrong_labels = 0.0

    def add(self, positions: Positions) -> None:
        """Takes in one chunk."""
        true, pred, weights = positions.true, positions.pred, positions.weights
        wrong = true != pred
        self.hits += weights @ (true & pred)
        self.support += weights @ true
        self.predicted += weights @ pred
        self.weight += float(weights.sum())
        self._right_rows += float(weights @ ~wrong.any(axis=1))
        self._wrong_labels += float(weights @ wrong.mean(axis=1))

    def metrics(self) -> dict[str, float]:
        """Subset accuracy, Hamming loss, micro and macro precision, recall and F1.

        A label that is never predicted has precision 0 in the macro average, one that never occurs
        recall 0, as scikit-learn counts them with `zero_division=0`.
        """
        hits, support, predicted = self.hits, self.support, self.predicted
        return {
            "subset_accuracy": self._right_rows / self.weight,
            "hamming_loss": self._wrong_labels / self.weight,
            "precision_micro": _share(hits.sum(), predicted.sum()),
            "recall_micro": _share(hits.sum(), support.sum()),
            "f1_micro": _share(2 * hits.sum(), support.sum() + predicted.sum()),
            "precision_macro": float(np.nan_to_num(ratio(hits, predicted)).mean()),
            "recall_macro": float(np.nan_to_num(ratio(hits, support)).mean()),
            "f1_macro": float(np.nan_to_num(ratio(2 * hits, support + predicted)).mean()),
        }

    def per_class(self) -> tuple[Array, Array, Array, Array]:
        """Precision, recall, F1, support of every label; NaN where undefined."""
        hits, support, predicted = self.hits, self.support, self.predicted
        return ratio(hits, predicted), ratio(hits, support), ratio(2 * hits, support + predicted), support

    def iou(self) -> Array:
        """Intersection over union of every label; NaN for labels never met."""
        return ratio(self.hits, self.support + self.predicted - self.hits)


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole else math.nan
