"""An Evaluation as plain text, as HTML for notebooks, and for rich.

All three are made from the same few tables of strings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from truetap.notebook import html
from truetap.showing import Table, as_rich_parts, as_text_parts, printable

if TYPE_CHECKING:
    from truetap.evaluation.result import Evaluation

_MOST_ROWS = 10


def tables(evaluation: Evaluation) -> list[Table]:
    """What there is to show, in the order of interest."""
    metrics = dict(evaluation.metrics)
    if evaluation.loss is not None:
        metrics = {"loss": evaluation.loss, **metrics}
    shown = [Table("Metrics", ("metric", "value"), tuple((name, _number(v)) for name, v in metrics.items()))]
    if evaluation.residual_quantiles:
        cells = tuple((f"{at:.0%}", _number(v)) for at, v in evaluation.residual_quantiles.items())
        shown.append(Table("Residuals (prediction minus target)", ("quantile", "value"), cells))
    if evaluation.per_class:
        worst = sorted(evaluation.per_class, key=lambda row: _first(row.f1))[:_MOST_ROWS]
        few = len(worst) == len(evaluation.per_class)
        more = len(evaluation.per_class) - len(worst)
        title = "Classes" if few else f"Classes: the {_MOST_ROWS} of lowest F1, {more:,} more"
        rows = evaluation.per_class if few else tuple(worst)
        names = ("precision", "recall", "f1", "support", "roc_auc", "average_precision", "iou")
        shown.append(_of_rows(title, "name", names, rows))
    if evaluation.per_output:
        shown.append(_of_rows("Outputs", "name", ("mae", "rmse", "r2", "bias"), evaluation.per_output))
    if evaluation.confusion is not None and len(evaluation.confusion) <= _MOST_ROWS:
        shown.append(_confusion(evaluation))
    if evaluation.per_timestep:
        steps = evaluation.per_timestep
        more = len(steps) - _MOST_ROWS
        title = "Timesteps" if more <= 0 else f"Timesteps: the first {_MOST_ROWS}, {more:,} more"
        shown.append(_of_rows(title, "step", ("count", "accuracy", "mae"), steps[:_MOST_ROWS]))
    if evaluation.slices:
        shown.append(_slices(evaluation))
    return shown


def as_text(evaluation: Evaluation) -> str:
    """Plain text without any escape codes."""
    return as_text_parts(_headline(evaluation), tables(evaluation), evaluation.notes)


def as_html(evaluation: Evaluation) -> str:
    """HTML for a notebook."""
    return html.page(_headline(evaluation), *tables(evaluation), notes=evaluation.notes)


def as_rich(evaluation: Evaluation) -> Any:
    """A renderable for rich."""
    return as_rich_parts(_headline(evaluation), tables(evaluation), evaluation.notes)


def _headline(evaluation: Evaluation) -> str:
    text = f"Evaluation: {evaluation.task}, {evaluation.num_samples:,} samples"
    return (
        text if evaluation.num_samples == evaluation.num_valid else f"{text}, {evaluation.num_valid:,} valid positions"
    )


def _of_rows(title: str, key: str, names: tuple[str, ...], rows: Sequence[Any]) -> Table:
    """A table of dataclass rows, without the columns that hold nothing."""
    names = tuple(name for name in names if any(not math.isnan(getattr(row, name)) for row in rows))
    cells = ((str(getattr(row, key)), *(_number(getattr(row, name)) for name in names)) for row in rows)
    return Table(title, (key, *names), tuple((printable(first), *rest) for first, *rest in cells))


def _confusion(evaluation: Evaluation) -> Table:
    assert evaluation.confusion is not None
    names = [printable(row.name) for row in evaluation.per_class]
    rows = tuple(
        (name, *map(_number, counts)) for name, counts in zip(names, evaluation.confusion.tolist(), strict=True)
    )
    return Table("Confusion (rows: true, columns: predicted)", ("", *names), rows)


def _slices(evaluation: Evaluation) -> Table:
    names = tuple(evaluation.metrics)[:4]
    rows = tuple(
        (printable(name), f"{part.num_samples:,}", *(_number(part.metrics.get(metric, np.nan)) for metric in names))
        for name, part in evaluation.slices.items()
    )
    return Table("Slices", ("slice", "n", *names), rows)


def _number(value: float) -> str:
    if math.isnan(value):
        return "n/a"
    if math.isfinite(value) and value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}" if abs(value) > 1 else f"{int(value)}"
    return f"{value:.4g}"


def _first(f1: float) -> float:
    return math.inf if math.isnan(f1) else f1
