"""How much of its labels a model explains, and how much of them its inputs can be seen to tell.

Both on one scale: 0 is what one answer for all rows gets, 1 is everything. The second is found without any model, by
the labels of the nearest of the recorded inputs: a floor that a model which learns should be above.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from truetap.diagnosis.features import features, nearest
from truetap.diagnosis.sampled import sampled

if TYPE_CHECKING:
    from truetap.diagnosis.evidence import Evidence
    from truetap.diagnosis.output import OutputEvidence
    from truetap.diagnosis.rows import Rows

__all__ = ["best_skill", "neighbours_skill", "skill"]

Array = npt.NDArray[Any]

_FEWEST = 30
_NEIGHBOURS = 5


def skill(output: OutputEvidence, rows: Rows) -> float | None:
    """What the outputs of some rows explain of their labels; None where that can't be told.

    Of classes and of yes or no, the share of those that the commonest class leaves open; of numbers, the share of
    their variance, as of shares between 0 and 1 under a cross-entropy; of several yes or no at once, the mean over
    those that vary.
    """
    truth = rows.y_true
    if truth is None or rows.truth is None or rows.truth.nonfinite or rows.pred.nonfinite or len(rows) < _FEWEST:
        return None
    classes = rows.true_classes
    if output.meant in ("classes", "binary") and classes is not None and classes.shape == rows.pred_classes.shape:
        kept = np.ones(classes.shape, bool) if rows.mask is None else _as(rows.mask, classes.shape)
        return None if kept is None else _of_classes(classes[kept], rows.pred_classes[kept])
    pred = np.asarray(rows.y_pred, np.float64).reshape(len(rows), -1)
    truth = np.asarray(truth, np.float64).reshape(len(rows), -1)
    if truth.shape != pred.shape:
        return None
    if output.meant == "labels":
        middle = 0.5 if rows.pred.unit_interval else 0.0
        each = [_of_classes(one, other) for one, other in zip(truth.T, (pred > middle).T, strict=True)]
        known = [one for one in each if one is not None]
        return float(np.mean(known)) if known else None
    shares = output.meant == "binary" and not rows.truth.binary and output.probabilities  # soft labels, pictures
    return _of_numbers(truth, pred) if output.meant == "regression" or shares else None


def best_skill(evidence: Evidence) -> float | None:
    """The most that any output explains of the rows of the last epoch, in training or, without dropout, validation."""
    found = []
    for output in evidence.labelled or ():
        for rows in (output.last, output.val_last):
            value = None if rows is None else skill(output, rows)
            if value is not None:
                found.append(value)
    return max(found, default=None)


def neighbours_skill(evidence: Evidence, output: OutputEvidence) -> float | None:
    """What the labels of the five nearest of the other recorded inputs explain; None where there is no distance."""
    found = _inputs_with_labels(evidence, output)
    if found is None:
        return None
    x, y = found
    others = y[nearest(x, _NEIGHBOURS)]
    if output.meant in ("classes", "binary"):
        if y.shape[1] != 1:
            return None
        kinds, codes = np.unique(y, return_inverse=True)
        codes = codes.reshape(len(y))
        votes = np.stack([(others[..., 0] == kind).sum(axis=1) for kind in kinds], axis=1)
        return _of_classes(codes, votes.argmax(axis=1))
    return _of_numbers(y, others.mean(axis=1)) if output.meant == "regression" else None


def _of_classes(true: Array, said: Array) -> float | None:
    _, counts = np.unique(true, return_counts=True)
    if len(counts) < 2:
        return None
    most = counts.max() / counts.sum()
    return float((np.mean(true == said) - most) / (1 - most))


def _of_numbers(true: Array, said: Array) -> float | None:
    whole = float(((true - true.mean(axis=0)) ** 2).sum())
    return 1 - float(((true - said) ** 2).sum()) / whole if whole > 0 else None


def _as(mask: Array, shape: tuple[int, ...]) -> Array | None:
    if mask.shape == (*shape, 1):
        mask = mask[..., 0]
    return mask.astype(bool) if mask.shape == shape else None


def _inputs_with_labels(evidence: Evidence, output: OutputEvidence) -> tuple[Array, Array] | None:
    """Features of one input, and their labels, shape (n, k)."""
    inputs = sampled(evidence)
    places = inputs[0].labels(output.first) if len(inputs) == 1 else None
    vectors = features(inputs[0]) if places is not None else None
    if places is None or vectors is None or len(places[0]) < _FEWEST:
        return None
    classes = output.first.true_classes
    whole = output.first.y_true if output.meant == "regression" or classes is None else classes
    labels = np.asarray(whole, np.float64).reshape(len(output.first), -1)[places[1]]
    return (vectors[places[0]], labels) if np.isfinite(labels).all() else None
