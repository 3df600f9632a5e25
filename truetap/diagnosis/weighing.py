"""How much the samples of each class weigh: from what `fit` was given, or from the weights that the steps saw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from truetap.diagnosis.evidence import Evidence
from truetap.diagnosis.output import OutputEvidence

__all__ = ["ClassWeights", "class_weights"]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ClassWeights:
    """Of each class that there is: its label, how many samples it has, and what one of them weighs.

    Attributes:
        labels: Whole numbers, in order.
        counts: Samples of the first epoch.
        weights: The mean weight of a sample.
        by_class: Whether all samples of a class weigh the same.
    """

    labels: Array
    counts: Array
    weights: Array
    by_class: bool


def class_weights(evidence: Evidence, output: OutputEvidence) -> ClassWeights | None:
    """The weights by class of an output; None without weights, or of labels that are no classes of samples."""
    rows = output.first
    true = rows.true_classes
    if true is None or true.ndim != 1 or output.meant not in ("classes", "binary") or not len(true):
        return None
    labels, index, counts = np.unique(true, return_inverse=True, return_counts=True)
    if rows.weight is not None and len(rows.weight) == len(true):
        weight = np.asarray(rows.weight, np.float64).reshape(len(true), -1).mean(axis=1)
        means = np.bincount(index, weight) / counts
        even = np.allclose(weight, means[index], rtol=1e-3, atol=1e-9)
        return ClassWeights(labels, counts.astype(np.float64), means, bool(even)) if np.isfinite(means).all() else None
    given = None if evidence.fit is None else evidence.fit.class_weight
    if given is None:
        return None
    known = np.asarray([float(given.get(str(int(label)), 1.0)) for label in labels])
    return ClassWeights(labels, counts.astype(np.float64), known, True)
