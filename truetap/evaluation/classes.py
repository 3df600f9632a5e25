"""The table of classes, each against the rest, and the notes on what is undefined in it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from truetap.evaluation.confusion import Confusion
from truetap.evaluation.labelcounts import LabelCounts
from truetap.evaluation.measure import Options, mean, no_room
from truetap.evaluation.ranking import HeldScores
from truetap.evaluation.result import ClassRow
from truetap.tasks.task import OutputTask, Task


def class_rows(
    counts: Confusion | LabelCounts,
    options: Options,
    spec: OutputTask,
    held: HeldScores | None,
    notes: list[str],
) -> tuple[ClassRow, ...]:
    """One row per class; what is left out or undefined is said in `notes`."""
    nothing = [math.nan] * spec.classes
    curves = [(math.nan, math.nan)] * spec.classes
    if held is not None and held.dropped:
        notes.append(no_room("ROC AUC and average precision", "scores", held))
    elif held is not None:
        curves = held.areas()
    iou = counts.iou().tolist() if spec.positions >= 2 else nothing
    precision, recall, f1, support = (column.tolist() for column in counts.per_class())
    rows = tuple(
        ClassRow(k, options.name(k), precision[k], recall[k], f1[k], support[k], *curves[k], iou[k])
        for k in range(spec.classes)
    )
    if spec.task is not Task.BINARY:
        notes += _gaps(rows, areas_held=held is not None and not held.dropped)
    return rows


def areas(rows: Sequence[ClassRow], held: HeldScores, *, binary: bool) -> dict[str, float]:
    """ROC AUC and average precision: of class 1, or the mean over classes where they are defined."""
    if held.dropped:
        return {}
    if binary:
        return {"roc_auc": rows[1].roc_auc, "average_precision": rows[1].average_precision}
    return {
        "roc_auc_macro": mean(row.roc_auc for row in rows),
        "average_precision_macro": mean(row.average_precision for row in rows),
    }


def _gaps(rows: Sequence[ClassRow], *, areas_held: bool) -> list[str]:
    notes = []
    absent = [row.name for row in rows if not row.support]
    if absent:
        notes.append(f"{_names(absent)} not among the true labels: recall is undefined there.")
    never = [row.name for row in rows if row.support and math.isnan(row.precision)]
    if never:
        notes.append(f"{_names(never)} never predicted: precision is undefined there, 0 in macro averages.")
    lost = [row.name for row in rows if math.isnan(row.roc_auc)] if areas_held else []
    if lost:
        notes.append(f"{_names(lost)} left out of macro ROC AUC: it needs positives and negatives.")
    return notes


def _names(names: list[str]) -> str:
    shown = ", ".join(map(repr, names[:5]))
    return f"Classes {shown}" + (f" and {len(names) - 5:,} more" if len(names) > 5 else "") + ":"


def undefined(metrics: dict[str, float]) -> list[str]:
    """A note for every metric of classes that is NaN."""
    reasons = {
        "precision": "class 1 was never predicted",
        "recall": "there is no true class 1",
        "f1": "there is no true or predicted class 1",
        "roc_auc": "it needs both classes among the true labels",
        "average_precision": "there is no true class 1",
        "precision_micro": "no label was predicted",
        "recall_micro": "there is no true label",
        "f1_micro": "there is no true or predicted label",
        "roc_auc_macro": "no label has positives and negatives",
        "mean_average_precision": "no label has positives",
    }
    gone = [name for name in metrics if name in reasons and math.isnan(metrics[name])]
    return [f"{name} is undefined: {reasons[name]}, or scores are NaN." for name in gone]
