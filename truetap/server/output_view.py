"""The view of one output, from its index alone: what `samples.evaluate()` says exactly comes later, behind the page."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import duckdb
import numpy as np
from sklearn.metrics import precision_recall_curve

from truetap.report import charts
from truetap.report.content import Chart, Column, Part, Section, Table, Value
from truetap.report.outputs import precision_recall, reliability
from truetap.server.classes import MOST_OF_MATRIX, counts_of, matrix
from truetap.server.index import Index
from truetap.server.meaning import Kind
from truetap.server.plain import section_json
from truetap.tasks import Task

__all__ = ["output_view"]

_BINS, _MOST_POINTS, _HISTOGRAM = 15, 1_500, 40
_WORDS = {
    Kind.CLASSES: "one class a sample",
    Kind.LABELS: "several labels a sample",
    Kind.POSITIONS: "a class at each position of a sample",
    Kind.NUMBERS: "numbers",
    Kind.LOSSES: "losses alone",
}


def output_view(cursor: duckdb.DuckDBPyConnection, index: Index) -> dict[str, Any]:
    """What is drawn of an output.

    Returns:
        kind; classes: how many there are; names: some of them, for a matrix to begin with; section: its parts;
        matrix: of few classes; all as plain data.
    """
    found: dict[str, Any] = index.once("view", lambda: _view(cursor, index))
    return found


def _view(cursor: duckdb.DuckDBPyConnection, index: Index) -> dict[str, Any]:
    kind, meaning = index.meaning.kind, index.meaning
    task = f"A {meaning.task.task} output" if meaning.task is not None else "An output"
    said = [f"{task}, {_WORDS[kind]}; {index.rows:,} samples."]
    said += [meaning.why] if meaning.why else []
    parts = list(_parts(cursor, index))
    drawn = None
    classes = meaning.classes
    if kind in (Kind.CLASSES, Kind.POSITIONS):
        counts = counts_of(cursor, index)
        classes = counts.classes
        if 1 <= classes <= MOST_OF_MATRIX:
            drawn = matrix(counts, index, list(range(classes)), "Confusion matrix")
    section = section_json(Section("output", "What came out", tuple(said), tuple(parts)))
    return {"kind": str(kind), "classes": classes, "matrix": drawn, "section": section, "opens": index.whole}


def _parts(cursor: duckdb.DuckDBPyConnection, index: Index) -> Iterable[Part]:
    kind = index.meaning.kind
    yield _metrics(cursor, index)
    if kind is Kind.CLASSES:
        bins = _reliability(cursor, index)
        if bins is not None:
            yield bins
        if index.meaning.binary:
            curve = _precision_recall(cursor, index)
            if curve is not None:
                yield curve
    if kind is Kind.NUMBERS:
        yield from _numbers(index)
    if index.steps is not None:
        yield from _timesteps(index)


def _metrics(cursor: duckdb.DuckDBPyConnection, index: Index) -> Table:
    kind = index.meaning.kind
    asked = {"mean loss": "avg(loss::DOUBLE) filter (where not isnan(loss))"}
    if kind is Kind.CLASSES:
        asked |= {"accuracy": "avg((not wrong)::INTEGER)", "wrong": "count(*) filter (where wrong)"}
        asked |= {"without a label": "count(*) filter (where wrong is null)"}
        asked |= {"mean confidence": "avg(confidence::DOUBLE) filter (where not isnan(confidence))"}
    elif kind in (Kind.LABELS, Kind.POSITIONS):
        unit = "labels" if kind is Kind.LABELS else "positions"
        asked |= {"all right": "avg((not wrong)::INTEGER)", "with an error": "count(*) filter (where wrong)"}
        asked |= {f"wrong {unit}": "sum(wrongs)"}
    elif kind is Kind.NUMBERS:
        asked |= {"mean absolute error": "avg(error) filter (where not isnan(error))", "largest error": "max(error)"}
    row = cursor.execute(f"select {', '.join(asked.values())} from {index.table}").fetchone()
    assert row is not None
    pairs = list(zip(asked, row, strict=True))
    shown = [
        (name, _plain(value)) for name, value in pairs if value is not None and (name != "without a label" or value)
    ]
    return Table("At a glance", (Column("metric", "text"), Column("value")), tuple(shown))


def _plain(value: Any) -> Value:
    return float(value) if not isinstance(value, int) else value


def _reliability(cursor: duckdb.DuckDBPyConnection, index: Index) -> Chart | None:
    """Bins of equal width, closed on the right, as `samples.evaluate()` has them."""
    rows = cursor.execute(
        f"""select least(greatest(ceil(confidence::DOUBLE * {_BINS}) - 1, 0), {_BINS - 1})::INTEGER as bin,
        count(*), avg(confidence::DOUBLE), avg((not wrong)::INTEGER) from {index.table}
        where wrong is not null and not isnan(confidence) group by 1 order by 1"""
    ).fetchall()
    if not rows:
        return None
    _, count, confidence, right = (np.asarray(column, np.float64) for column in zip(*rows, strict=True))
    error = float((np.abs(right - confidence) * count).sum() / count.sum())
    return reliability(confidence, right, count, error)


def _precision_recall(cursor: duckdb.DuckDBPyConnection, index: Index) -> Chart | None:
    query = f"select true_label, score from {index.table} where wrong is not null and not isnan(score)"
    found = cursor.execute(query).fetchnumpy()
    true, score = np.asarray(found["true_label"]), np.asarray(found["score"])
    if not len(true) or not true.any():
        return None
    precision, recall, _ = precision_recall_curve(true, score, drop_intermediate=True)
    return precision_recall(precision, recall, len(true), float(true.mean()), index.meaning.named(1))


def _numbers(index: Index) -> Iterable[Part]:
    values = index.values
    if values is None or not values.count:
        return
    true, pred = values.drawn
    some = slice(None)
    if len(true) > _MOST_POINTS:
        some = np.sort(np.random.default_rng(0).choice(len(true), _MOST_POINTS, replace=False))  # type: ignore[assignment]
    words = f"{_drawn(len(true[some]), values.count)}; on the dashed line they would be equal."
    yield Chart("Predicted against true", words, charts.scatter(true[some], pred[some]))
    residual = pred - true
    counts, edges = np.histogram(residual, _HISTOGRAM)
    quantiles = ", ".join(f"{at:.0%}: {np.quantile(residual, at):.4g}" for at in (0.05, 0.25, 0.5, 0.75, 0.95))
    words = f"Prediction minus truth, of {_drawn(len(residual), values.count)}. Quantiles: {quantiles}."
    yield Chart("Residuals", words, charts.bars(edges, counts, "prediction minus truth"))
    rows = values.rows()
    if len(rows) <= 100:
        columns = (Column("dimension"), *(Column(name) for name in ("mae", "rmse", "r2", "bias")))
        yield Table("Dimensions of the output", columns, tuple(rows))


def _drawn(some: int, count: int) -> str:
    return f"{some:,} of {count:,} values, drawn at random" if some < count else f"{count:,} values"


def _timesteps(index: Index) -> Iterable[Part]:
    assert index.steps is not None
    steps = index.steps.rows()
    if not steps:
        return
    assert index.meaning.task is not None
    name = "mae" if index.meaning.task.task is Task.REGRESSION else "accuracy"
    at = np.asarray([step.step for step in steps], np.float64)
    values = np.asarray([getattr(step, name) for step in steps], np.float64)
    finite = values[np.isfinite(values)]
    ends = f": {finite[0]:.4g} at the first, {finite[-1]:.4g} at the last" if len(finite) else ""
    kept = charts.thinned(values)
    words = f"{name} at each of {len(steps):,} timesteps{ends}."
    spec = charts.lines({name: (at[kept], values[kept])}, "timestep", name, log=False, points=len(kept) < 60)
    yield Chart("By timestep", words, spec)
    if len(steps) <= 500:
        rows = tuple((step.step, step.count, _or_none(getattr(step, name))) for step in steps)
        yield Table("Timesteps", (Column("step"), Column("count"), Column(name)), rows)


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None
