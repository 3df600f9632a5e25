"""What training gained, how much of it holds in validation, and whether the answers are better than none at all."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from truetap.diagnosis.output import OutputEvidence
from truetap.diagnosis.rows import Rows

__all__ = ["beats_the_prior", "lost_in_validation"]

Array = npt.NDArray[np.float64]

_ERRORS = 4.0  # standard errors


def lost_in_validation(output: OutputEvidence) -> float | None:
    """Of what the loss fell by in training, the share that validation doesn't have in the last epoch.

    0: validation is as good; 1: no better than training was in its first epoch. 0 also where the difference is within
    four standard errors; None without losses, without validation, or where nothing was gained.
    """
    if output.val_last is None:
        return None
    first, last, val = (_losses(rows) for rows in (output.first, output.last, output.val_last))
    if first is None or last is None or val is None:
        return None
    gained = float(first.mean() - last.mean())
    missing = float(val.mean() - last.mean())
    error = float(np.sqrt(last.var() / len(last) + val.var() / len(val)))
    if missing < _ERRORS * error:
        return 0.0
    return missing / gained if gained > 0 else None


def beats_the_prior(rows: Rows) -> bool | None:
    """Whether answers are better than one and the same for all samples, by four standard errors; None if untold.

    Of classes: whether a class is said right more often than it would be if answers were exchanged between samples. Of
    numbers: whether outputs and labels are correlated.
    """
    true = rows.true_classes
    if true is not None and true.shape == rows.pred_classes.shape:
        answer, label = rows.pred_classes.ravel(), true.ravel()
        if len(label) < 2:
            return None
        right = float((answer == label).mean())
        kinds = np.union1d(answer, label)
        chance = float(sum((answer == each).mean() * (label == each).mean() for each in kinds))
        return bool(right - chance > _ERRORS * np.sqrt(max(chance * (1 - chance), 1e-12) / len(label)))
    if rows.y_true is None or rows.y_true.shape != rows.y_pred.shape or rows.y_true.dtype.kind not in "fiub":
        return None
    numbers, answers = (np.asarray(each, np.float64).reshape(len(rows), -1) for each in (rows.y_true, rows.y_pred))
    if not np.isfinite(numbers).all() or not np.isfinite(answers).all() or len(numbers) < 3:
        return None
    if not np.ptp(numbers, axis=0).any():
        return None
    spread = numbers.std(axis=0) * answers.std(axis=0)
    covered = ((numbers - numbers.mean(axis=0)) * (answers - answers.mean(axis=0))).mean(axis=0)
    told = spread > 0
    return bool(np.any(covered[told] > spread[told] * _ERRORS / np.sqrt(len(numbers))))


def _losses(rows: Rows) -> Array | None:
    if rows.loss is None or rows.loss.dtype.kind != "f" or not len(rows.loss):
        return None
    values = np.asarray(rows.loss, np.float64)
    return values if np.isfinite(values).all() else None
