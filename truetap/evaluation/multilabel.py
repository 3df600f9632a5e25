"""The measure of multi-label outputs."""

from __future__ import annotations

from collections.abc import Sequence

from truetap.evaluation.classes import areas, class_rows, undefined
from truetap.evaluation.labelcounts import LabelCounts
from truetap.evaluation.measure import Options, Parts, Reducer, mean
from truetap.evaluation.ranking import HeldScores
from truetap.tasks.task import OutputTask


class Multilabel:
    """Independent yes/no labels."""

    def __init__(self, spec: OutputTask, options: Options) -> None:
        self.spec, self.options = spec, options
        self.counts = LabelCounts(spec.classes)
        self.held = HeldScores(spec, options.memory)
        self.reducers: Sequence[Reducer] = [self.counts, self.held]

    def result(self) -> Parts:
        """Whole rows, averages over labels, areas."""
        notes: list[str] = []
        rows = class_rows(self.counts, self.options, self.spec, self.held, notes)
        metrics = self.counts.metrics()
        found = areas(rows, self.held, binary=False)
        if found:
            metrics["roc_auc_macro"] = found["roc_auc_macro"]
            metrics["mean_average_precision"] = found["average_precision_macro"]
        if self.spec.positions >= 2:
            metrics["mean_iou"] = mean(row.iou for row in rows)
        return Parts(metrics=metrics, per_class=rows, notes=notes + undefined(metrics))
