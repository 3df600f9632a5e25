"""Layers over time and depth: statistics of activations, norms of gradients, how far updates moved the weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from truetap.errors import TruetapError
from truetap.report import charts
from truetap.report.content import Chart, Column, Part, Section, Table

if TYPE_CHECKING:
    from truetap.reading.recorded import Recorded
    from truetap.reading.recordings import Recordings
    from truetap.run import Run

__all__ = ["layers"]

Array = npt.NDArray[Any]
Series = tuple[Array, Array]  # steps, values

_MOST_LINES, _MOST_ROWS, _MOST_COLUMNS = 8, 60, 120
_SHOWN = ("mean", "std", "min", "max", "zeros", "dead", "nonfinite")


def layers(run: Run) -> Section:
    """The section; it says which taps are missing."""
    activations, gradients, updates = run.activations, run.gradients, run.updates
    parts: list[Part] = []
    said = []
    if len(activations):
        parts += _activations(activations)
    else:
        said.append(_without("Statistics of activations", 'tt.Activations("*", reduce=("mean", "std", "dead"))'))
    norms = _series(gradients, "norm")
    if norms:
        parts.append(_flow(norms, "Gradient norms over depth and steps", "norm of the gradient"))
    else:
        said.append(_without("Norms of gradients", 'tt.Gradients("*", reduce="norm")'))
    ratios = _series(updates, "ratio")
    if ratios:
        parts.append(_flow(ratios, "Updates relative to their weights, over depth and steps", "update over weight"))
    return Section("layers", "Layers", tuple(said), tuple(parts))


def _without(what: str, tap: str) -> str:
    return f'{what} were not recorded: taps=[…, {tap}] or taps="diagnose" gives them.'


def _activations(recordings: Recordings) -> list[Part]:
    made: list[Part] = []
    spread = _series(recordings, "std")
    if spread:
        shown = dict(list(spread.items())[-_MOST_LINES:])
        more = f" The last {_MOST_LINES} of {len(spread)} layers are drawn." if len(spread) > _MOST_LINES else ""
        spec = charts.lines(shown, "step", "standard deviation", points=True)
        ends = ", ".join(f"{path}: {each[1][0]:.3g} to {each[1][-1]:.3g}" for path, each in shown.items())
        made.append(Chart("Standard deviation of activations", f"From first to last step, {ends}.{more}", spec))
    rows, names = [], [name for name in _SHOWN if any(name in each.statistics for each in recordings.values())]
    for path, each in recordings.items():
        last = [_last(each, name) for name in names]
        if any(value is not None for value in last):
            rows.append((path, *last))
    if rows:
        columns = (Column("layer", "text"), *(Column(name) for name in names))
        made.append(Table("Activations at the last recorded step", columns, tuple(rows)))
    return made


def _last(recorded: Recorded, name: str) -> float | None:
    try:
        values = recorded.statistics[name]
    except TruetapError:  # not of this layer
        return None
    return float(np.mean(values[-1])) if len(values) else None


def _series(recordings: Recordings, name: str) -> dict[str, Series]:
    """A statistic of one number a step, by path, in the order of the model."""
    found = {}
    for path, each in recordings.items():
        try:
            values, steps = each.statistics[name], each.statistics.steps(name)
        except TruetapError:  # not of this path
            continue
        if values.ndim == 1 and len(values):
            found[path] = steps, values
    return found


def _flow(series: dict[str, Series], title: str, what: str) -> Chart:
    """Values by path and step as a heat map, and in words the least and the largest at the last step."""
    paths = list(series)[:_MOST_ROWS]
    steps = np.unique(np.concatenate([series[path][0] for path in paths]))
    if len(steps) > _MOST_COLUMNS:
        steps = steps[np.linspace(0, len(steps) - 1, _MOST_COLUMNS).round().astype(int)]
    values = np.full((len(paths), len(steps)), np.nan)
    for row, path in enumerate(paths):
        at, numbers = series[path]
        _, mine, theirs = np.intersect1d(steps, at, return_indices=True)
        values[row, mine] = numbers[theirs]
    last = {path: float(series[path][1][-1]) for path in paths}
    least, most = min(last, key=lambda path: last[path]), max(last, key=lambda path: last[path])
    words = (
        f"{len(paths):,} rows from the first layer to the last, {len(steps):,} steps. At the last one the least "
        f"{what} is {last[least]:.3g} ({least}), the largest {last[most]:.3g} ({most})."
    )
    more = f" {len(series) - len(paths):,} further rows are left out." if len(series) > len(paths) else ""
    return Chart(title, words + more, charts.heat(paths, steps, values, what))
