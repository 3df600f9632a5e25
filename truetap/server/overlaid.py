"""Curves of several runs over each other: the loss of each step, and each metric by epoch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from truetap.report import charts
from truetap.report.content import Chart, Section
from truetap.server.moment import Moment
from truetap.server.plain import section_json

__all__ = ["overlaid"]

Array = npt.NDArray[Any]
_MOST_METRICS = 6
_RUNNING = "running/loss"


def overlaid(moments: Mapping[str, Moment]) -> dict[str, Any] | None:
    """A chart for each curve that more than nobody has, a line a run.

    Args:
        moments: The runs by the names that their lines get.
    """
    steps = {name: found for name, each in moments.items() if (found := _steps(each)) is not None}
    parts = []
    if steps:
        spec = charts.lines(steps, "step", "loss")
        ends = "; ".join(f"{name}: {values[-1]:.4g} at step {int(at[-1])}" for name, (at, values) in steps.items())
        parts.append(Chart("Loss over training steps (running mean)", f"{ends}.", spec))
    metrics: dict[str, dict[str, tuple[Array, Array]]] = {}
    for name, moment in moments.items():
        for metric, line in _epochs(moment).items():
            metrics.setdefault(metric, {})[name] = line
    for metric in sorted(metrics, key=lambda name: (-len(metrics[name]), "loss" not in name, name))[:_MOST_METRICS]:
        lines = metrics[metric]
        ends = "; ".join(f"{name}: {values[-1]:.4g}" for name, (_, values) in lines.items())
        spec = charts.lines(lines, "epoch", "value", points=True)
        parts.append(Chart(f"{metric} by epoch", f"At the last epoch {ends}.", spec))
    said = () if parts else ("None of them has recorded steps or epochs.",)
    return section_json(Section("overlaid", "Curves of all runs", said, tuple(parts)))


def _steps(moment: Moment) -> tuple[Array, Array] | None:
    if "scalars" not in moment.tables or not moment.reader.num_rows("scalars"):
        return None
    table = moment.scalars()
    table = table.filter(pc.equal(table.column("phase"), "train"))
    name = _RUNNING if _RUNNING in table.column_names else "loss"
    if not table.num_rows or name not in table.column_names:
        return None
    at, values = (np.asarray(table.column(column).to_numpy()).astype(np.float64) for column in ("step", name))
    if not np.isfinite(values).any():
        return None
    kept = charts.thinned(values)
    return at[kept], values[kept]


def _epochs(moment: Moment) -> dict[str, tuple[Array, Array]]:
    if "epochs" not in moment.tables or not moment.reader.num_rows("epochs"):
        return {}
    table = moment.epochs()
    epochs = table.column("epoch").to_numpy().astype(np.float64)
    found = {}
    for name in table.column_names:
        if name in ("phase", "epoch"):
            continue
        values = np.asarray(table.column(name).to_numpy()).astype(np.float64)
        known = np.isfinite(values)
        if known.any():
            found[name] = epochs[known], values[known]
    return found
