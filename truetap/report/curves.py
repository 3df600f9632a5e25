"""Curves: the loss of each step by itself beside the running mean, metrics by epoch, the learning rate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from truetap.report import charts
from truetap.report.content import Chart, Column, Part, Section, Table

if TYPE_CHECKING:
    from truetap.run import Run

__all__ = ["curves"]

Array = npt.NDArray[Any]

_MOST_METRICS = 8
_RUNNING = "running/loss"


def curves(run: Run) -> Section | None:
    """The section; None where a run has neither steps nor epochs (one of `tt.collect`)."""
    parts: list[Part] = []
    said: list[str] = []
    if "scalars" in run.tables and run.reader.num_rows("scalars"):
        steps = run.scalars()
        training = steps.filter(pc.equal(steps.column("phase"), "train"))
        if training.num_rows:
            parts.append(_steps(training))
        rate = _rate(steps)
        if isinstance(rate, str):
            said.append(rate)
        elif rate is not None:
            parts.append(rate)
    if "epochs" in run.tables and run.reader.num_rows("epochs"):
        table = run.epochs()
        parts[1:1] = _by_epoch(table)
        parts.append(_numbers(table))
    return Section("curves", "Curves", tuple(said), tuple(parts)) if parts else None


def _steps(steps: pa.Table) -> Chart:
    at, loss = _column(steps, "step"), _column(steps, "loss")
    kept = charts.thinned(loss)
    lines = {"each step alone": (at[kept], loss[kept])}
    if _RUNNING in steps.schema.names:
        running = _column(steps, _RUNNING)
        kept = charts.thinned(running)
        lines["running mean (Keras' logs)"] = (at[kept], running[kept])
    return Chart(
        "Loss of each training step",
        _words("Loss ", at, loss, "step"),
        charts.lines(lines, "step", "loss", faint=["each step alone"]),
    )


def _rate(steps: pa.Table) -> Chart | str | None:
    """The learning rate: a sentence where it never changes."""
    if "learning_rate" not in steps.schema.names:
        return None
    at, rate = _column(steps, "step"), _column(steps, "learning_rate")
    known = np.isfinite(rate)
    at, rate = at[known], rate[known]
    if not len(rate):
        return None
    if np.ptp(rate) == 0:
        return f"The learning rate was {rate[0]:.4g} at every step."
    kept = charts.thinned(rate)
    spec = charts.lines({"learning rate": (at[kept], rate[kept])}, "step", "learning rate")
    return Chart("Learning rate", _words("Learning rate ", at, rate, "step"), spec)


def _by_epoch(table: pa.Table) -> list[Part]:
    """A chart for each metric, training and validation as lines of one."""
    made: list[Part] = []
    for name in _metrics(table)[:_MOST_METRICS]:
        lines, words = {}, []
        for title, column in (("training", name), ("validation", f"val_{name}")):
            if column not in table.schema.names:
                continue
            epochs, values = _column(table, "epoch"), _column(table, column)
            known = ~np.isnan(values)
            lines[title] = epochs[known], values[known]
            words.append(f"{title.capitalize()}: {_words('', epochs[known], values[known], 'epoch')}")
        made.append(Chart(f"{name} by epoch", " ".join(words), charts.lines(lines, "epoch", "value", points=True)))
    return made


def _metrics(table: pa.Table) -> list[str]:
    """Names of metrics, the loss first; those of validation stand with their own of training."""
    names = [name for name in table.schema.names if name not in ("phase", "epoch")]
    own = [name for name in names if not (name.startswith("val_") and name[4:] in names)]
    return sorted(own, key=lambda name: name != "loss")


def _numbers(table: pa.Table) -> Table:
    names = [name for name in table.schema.names if name not in ("phase", "epoch")]
    rows: dict[int, list[float | None]] = {}
    for row in table.to_pylist():
        line = rows.setdefault(row["epoch"], [None] * len(names))
        for place, name in enumerate(names):
            line[place] = row[name] if row[name] is not None else line[place]
    columns = (Column("epoch"), *(Column(name) for name in names))
    return Table("Each epoch in numbers", columns, tuple((epoch, *values) for epoch, values in rows.items()))


def _words(what: str, at: Array, values: Array, place: str) -> str:
    """What a line shows, for those who don't see it."""
    finite = np.isfinite(values)
    if not finite.any():
        return f"None of {len(values):,} values is finite."
    known, where = values[finite], at[finite]
    low, high = int(known.argmin()), int(known.argmax())
    broken = f" {int((~finite).sum()):,} values are not finite." if not finite.all() else ""
    return (
        f"{what}{known[0]:.4g} at {place} {int(where[0])}, {known[-1]:.4g} at {place} {int(where[-1])}; "
        f"lowest {known[low]:.4g} at {place} {int(where[low])}, highest {known[high]:.4g} at {place} "
        f"{int(where[high])}.{broken}"
    )


def _column(table: pa.Table, name: str) -> Array:
    return np.asarray(table.column(name).to_numpy()).astype(np.float64)
