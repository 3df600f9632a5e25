"""Measures of outputs where each position has one class: binary, multiclass, ordinal."""

from __future__ import annotations

import math
from collections.abc import Sequence

from truetap.evaluation.classes import areas, class_rows, undefined
from truetap.evaluation.confusion import Confusion
from truetap.evaluation.measure import Options, Parts, Reducer, mean
from truetap.evaluation.probability import Probabilities, TopK
from truetap.evaluation.ranking import HeldScores
from truetap.tasks.task import OutputTask, Task

_TOP = 5


class Categorical:
    """Binary and multiclass outputs."""

    def __init__(self, spec: OutputTask, options: Options) -> None:
        self.spec, self.options = spec, options
        self.confusion = Confusion(spec.classes)
        self.probabilities = Probabilities(spec, options.bins)
        self.held = HeldScores(spec, options.memory)
        self.top = TopK(_TOP) if spec.classes > _TOP else None
        reducers: list[Reducer] = [self.confusion, self.probabilities, self.held]
        self.reducers: Sequence[Reducer] = reducers + ([self.top] if self.top else [])

    def result(self) -> Parts:
        """Accuracy, per-class numbers, areas, log loss and calibration."""
        notes: list[str] = []
        rows = class_rows(self.confusion, self.options, self.spec, self.held, notes)
        metrics = {
            "accuracy": self.confusion.accuracy(),
            "balanced_accuracy": self.confusion.balanced_accuracy(),
        }
        if self.spec.task is Task.BINARY:
            metrics |= {"precision": rows[1].precision, "recall": rows[1].recall, "f1": rows[1].f1}
        else:
            if self.top:
                metrics["top_5_accuracy"] = self.top.accuracy
            for average in ("macro", "weighted"):
                numbers = self.confusion.averages(average)
                metrics |= {
                    f"{name}_{average}": number
                    for name, number in zip(("precision", "recall", "f1"), numbers, strict=True)
                }
        metrics |= areas(rows, self.held, binary=self.spec.task is Task.BINARY)
        metrics |= self._likelihood(notes)
        if self.spec.positions >= 2:
            metrics["mean_iou"] = mean(row.iou for row in rows)
        if self.spec.task is Task.BINARY:
            notes += undefined(metrics)
        matrix = self.confusion.matrix()
        if matrix is None:
            notes.append(f"No confusion matrix: {self.spec.classes:,} classes; it is made up to 2,000.")
        return Parts(
            metrics=metrics,
            per_class=rows,
            confusion=matrix,
            calibration=self.probabilities.calibration,
            notes=notes,
        )

    def _likelihood(self, notes: list[str]) -> dict[str, float]:
        found, calibration = self.probabilities, self.probabilities.calibration
        if self.spec.margins:
            notes.append("No log loss and calibration: the scores of a hinge loss are no probabilities.")
            return {}
        if not found.proper:
            notes.append(
                "log_loss and ece are undefined: scores lie outside [0, 1], though the output or its loss "
                "takes them as probabilities. If they are logits, say from_logits=True to the loss."
            )
        metrics = {"log_loss": found.log_loss}
        if self.spec.task is Task.BINARY:
            metrics["brier"] = found.brier
        return metrics | {"ece": math.nan if calibration is None else calibration.ece}


class Ordinal:
    """Ranks."""

    def __init__(self, spec: OutputTask, options: Options) -> None:
        self.spec, self.options = spec, options
        self.confusion = Confusion(spec.classes)
        self.reducers: Sequence[Reducer] = [self.confusion]

    def result(self) -> Parts:
        """Accuracy, error in ranks, quadratic-weighted kappa."""
        notes: list[str] = []
        rows = class_rows(self.confusion, self.options, self.spec, None, notes)
        metrics = {
            "accuracy": self.confusion.accuracy(),
            "mae": self.confusion.rank_error(),
            "quadratic_weighted_kappa": self.confusion.kappa(),
        }
        if math.isnan(metrics["quadratic_weighted_kappa"]):
            notes.append("quadratic_weighted_kappa is undefined: all labels and predictions are one rank.")
        if self.spec.positions >= 2:
            metrics["mean_iou"] = mean(row.iou for row in rows)
        return Parts(metrics=metrics, per_class=rows, confusion=self.confusion.matrix(), notes=notes)
