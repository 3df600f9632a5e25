"""The course of a training: where its loss began, how far it came, and how much there is to learn.

A loss means little by itself: it is measured against that of the best constant answer to the labels at hand, which
says how much a model has learnt at all. Cost: the rows of the first and last epoch, which are read once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from truetap.diagnosis.formulas import BINARY, CATEGORICAL, SPARSE
from truetap.diagnosis.rows import Rows

if TYPE_CHECKING:
    from truetap.diagnosis.evidence import Curve, Evidence
    from truetap.diagnosis.output import OutputEvidence

__all__ = ["Course", "Part", "explained", "least_constant"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Part:
    """Some successive steps of the curve.

    Attributes:
        mean: Of their losses that are finite; NaN of none.
        error: The standard error of that mean, by the losses' differences from step to step: a trend adds
            nothing to it.
        steps: How many there are.
    """

    mean: float
    error: float
    steps: int

    @classmethod
    def of(cls, losses: Array) -> Part:
        """The part with these losses."""
        finite = losses[np.isfinite(losses)]
        if not len(finite):
            return cls(np.nan, np.nan, 0)
        spread = np.mean(np.diff(finite) ** 2) / 2 if len(finite) > 1 else np.nan
        return cls(float(finite.mean()), float(np.sqrt(spread / len(finite))), len(finite))


class Course:
    """The course of the training loss.

    Args:
        evidence: Of a run, with a curve.
    """

    def __init__(self, evidence: Evidence) -> None:
        if evidence.curve is None:
            raise ValueError("There is no curve; rules that look at the course of training need one.")
        self.evidence = evidence
        self.curve: Curve = evidence.curve

    @cached_property
    def loss(self) -> Array:
        """The steps' losses, in order."""
        return np.asarray(self.curve.loss, np.float64)

    @property
    def start(self) -> float:
        """The loss of the first step, before any update; NaN where it isn't finite."""
        return float(self.loss[0]) if np.isfinite(self.loss[0]) else np.nan

    @cached_property
    def peak(self) -> float:
        """The highest finite loss of a step."""
        finite = self.loss[np.isfinite(self.loss)]
        return float(finite.max()) if len(finite) else np.nan

    @cached_property
    def first_broken(self) -> int | None:
        """The place in the curve of the first loss that isn't finite from where on none is; None without."""
        if self.curve.finite[-1]:
            return None
        finite = np.flatnonzero(self.curve.finite)
        return int(finite[-1]) + 1 if len(finite) else 0

    def part(self, begin: float, end: float) -> Part:
        """The steps between two shares of the run, from 0 to 1; at least one."""
        count = len(self.loss)
        low = min(int(begin * count), count - 1)
        return Part.of(self.loss[low : max(int(np.ceil(end * count)), low + 1)])

    @cached_property
    def late(self) -> Part:
        """The last tenth, at least ten steps."""
        return Part.of(self.loss[-max(10, len(self.loss) // 10) :])

    def slope(self, begin: float) -> tuple[float, float]:
        """The loss' slope a step from a share of the run on, by least squares, and its standard error.

        NaN where fewer than ten losses there are finite.
        """
        losses = self.loss[min(int(begin * len(self.loss)), max(0, len(self.loss) - 10)) :]
        finite = np.isfinite(losses)
        if finite.sum() < 10:
            return np.nan, np.nan
        time = np.flatnonzero(finite) - np.flatnonzero(finite).mean()
        slope = float(time @ losses[finite] / (time @ time))
        rest = losses[finite] - losses[finite].mean() - slope * time
        return slope, float(np.sqrt((rest @ rest) / (len(rest) - 2) / (time @ time)))

    # --- against the best constant ------------------------------------------------------------------

    @cached_property
    def constant(self) -> float | None:
        """The loss of the best constant answers, summed over outputs with their weights; None where it isn't known."""
        total = 0.0
        for output in self.evidence.labelled or ():
            least = least_constant(output, output.first)
            if least is None:
                return None
            weight = 1.0 if output.loss is None or output.loss.weight is None else output.loss.weight
            total += weight * least
        return total if self.evidence.labelled else None

    @cached_property
    def scale(self) -> float:
        """What counts as much for this loss: that of the best constant, else how far it has come."""
        if self.constant is not None and self.constant > 0:
            return self.constant
        finite = self.loss[np.isfinite(self.loss)]
        reach = float(np.ptp(finite)) if len(finite) else np.nan
        return max(abs(self.start), reach) if np.isfinite(self.start) else reach

    def learnt(self, phase: str = "train", epoch: int = -1) -> float | None:
        """What the outputs explain of the labels, 1 for all, 0 for what a constant does; None where it isn't known.

        The mean over outputs of `explained`.
        """
        found = []
        for output in self.evidence.labelled or ():
            rows = self.evidence.rows(output.name, phase, epoch)
            value = None if rows is None else explained(output, rows)
            if value is not None:
                found.append(value)
        return float(np.mean(found)) if found else None


def explained(output: OutputEvidence, rows: Rows) -> float | None:
    """The share of the best constant's loss that is gone: 1 - loss / constant, of absolute errors squared, as R² is.

    Without a formula for the loss: R² of outputs that are numbers, and of classes the share by which the accuracy is
    nearer to 1 than that of the commonest class. NaN counts as nothing learnt.

    Args:
        output: The output.
        rows: Some rows of it.
    """
    least = least_constant(output, rows)
    if least is not None and least > 0 and rows.loss is not None:
        mean = float(np.mean(np.asarray(rows.loss, np.float64)))
        share = mean / least
        return (
            1 - (share**2 if output.acting.name == "mean_absolute_error" else share) if np.isfinite(mean) else -np.inf
        )
    if rows.y_true is None:
        return None
    if output.meant == "regression" and rows.y_true.size == rows.y_pred.size:
        true = np.asarray(rows.y_true, np.float64).reshape(rows.y_pred.shape)
        spread = float(np.mean((true - true.mean(axis=0)) ** 2))
        error = float(np.mean((true - np.asarray(rows.y_pred, np.float64)) ** 2))
        return (1 - error / spread if np.isfinite(error) else -np.inf) if spread > 0 else None
    if output.meant in ("classes", "binary") and rows.accuracy is not None and rows.true_classes is not None:
        commonest = float(np.unique(rows.true_classes, return_counts=True)[1].max() / rows.true_classes.size)
        return (rows.accuracy - commonest) / (1 - commonest) if commonest < 1 else None
    return None


def least_constant(output: OutputEvidence, rows: Rows) -> float | None:
    """The mean loss of the best constant answer to the labels of some rows; None of losses whose formula isn't known.

    Entropies of the labels for cross-entropies, variances for squared errors, mean distances from the median for
    absolute ones.
    """
    if rows.y_true is None or rows.truth is None or rows.truth.nonfinite or rows.mask is not None:
        return None
    name, true = output.acting.name, np.asarray(rows.y_true, np.float64)
    if name == "mean_squared_error":
        return float(true.var(axis=0).mean())
    if name == "mean_absolute_error":
        return float(np.abs(true - np.median(true, axis=0)).mean())
    if name in SPARSE and rows.true_classes is not None:
        shares = np.unique(rows.true_classes, return_counts=True)[1] / rows.true_classes.size
        return float(-(shares * np.log(shares)).sum())
    if name in CATEGORICAL - {"categorical_focal_crossentropy"} and true.ndim > 1 and rows.truth.rows_sum_to_one:
        shares = true.reshape(-1, true.shape[-1]).mean(axis=0)
        return float(-(shares * np.log(np.maximum(shares, 1e-12))).sum())
    if name in BINARY - {"binary_focal_crossentropy"} and rows.truth.unit_interval:
        shares = np.clip(true.mean(axis=0), 1e-12, 1 - 1e-12)
        return float(-(shares * np.log(shares) + (1 - shares) * np.log(1 - shares)).mean())
    return None
