"""Vega-Lite specifications of the report's charts.

Fields and titles are ours: what users have named (metrics, layers, classes) stands in the values only, where it can't
be read as an expression. Colours are legible on light and dark; the page colours text and axes by its own style.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["bars", "config", "heat", "history", "lines", "reliability", "scatter", "thinned"]

Array = npt.NDArray[Any]
Spec = dict[str, Any]

_COLOURS = ("#3b7fc4", "#c8661b", "#3f9169", "#a65fb0", "#8c7a2b", "#c7527c", "#4f93a3", "#7c7c85")
_MOST_POINTS = 600  # buckets of a line: each keeps its lowest and its highest point
_FONT: Spec = {"labelFontSize": 11}
_STROKES: Spec = {"symbolType": "stroke", "symbolOpacity": 1}
_FIVE_TICKS: Spec = {"format": "~g", "tickCount": 5}
_FEW = 12  # places that each have a label
_LOG_FROM = 100.0  # ratio of highest to lowest from which a scale is logarithmic


def config() -> Spec:
    """What all charts have in common."""
    return {
        "background": None,
        "font": "system-ui, sans-serif",
        "range": {"category": list(_COLOURS)},
        "view": {"stroke": None},
        "axis": {
            "labelFontSize": 11,
            "titleFontSize": 11,
            "titleFontWeight": "normal",
            "domain": False,
            "ticks": False,
        },
        "legend": {
            "labelFontSize": 11,
            "orient": "top",
            "title": None,
            "labelLimit": 220,
            "symbolType": "stroke",
            "symbolOpacity": 1,
        },
    }


def thinned(values: Array) -> Array:
    """Positions of at most 1,200 points that keep every peak: the lowest and the highest of each stretch."""
    count = len(values)
    if count <= 2 * _MOST_POINTS:
        return np.arange(count)
    kept = []
    for part in np.array_split(np.arange(count), _MOST_POINTS):
        here = values[part]
        if np.isnan(here).all():
            kept.append(part[0])
            continue
        kept += [part[int(np.nanargmin(here))], part[int(np.nanargmax(here))]]
    return np.unique(kept)


def lines(
    series: Mapping[str, tuple[Array, Array]],
    x: str,
    y: str,
    *,
    faint: Iterable[str] = (),
    points: bool = False,
    log: bool | None = None,
) -> Spec:
    """Lines by name, each of places and values; faint ones lie thin beneath the others. Nothing of no finite values.

    Args:
        series: Places and values of each line.
        x: The title of the places.
        y: The title of the values.
        faint: Names of lines to be drawn thin.
        points: Whether each value has a point.
        log: Whether values stand on a logarithmic scale; None to decide by their range.
    """
    behind = set(faint)
    values = [
        {"x": _whole(place), "y": _finite(value), "s": name, "f": name in behind}
        for name, (places, numbers) in series.items()
        for place, value in zip(places.tolist(), numbers.tolist(), strict=True)
    ]
    numbers = np.asarray([row["y"] for row in values if row["y"] is not None], float)
    if not len(numbers):
        return {}
    if log is None:
        log = bool(numbers.min() > 0 and numbers.max() / numbers.min() > _LOG_FROM)
    scale = {"type": "log"} if log and numbers.min() > 0 else {"zero": False}
    encoding: Spec = {
        "x": {"field": "x", "type": "quantitative", "title": x, "axis": _whole_axis(values), "scale": {"nice": False}},
        "y": {"field": "y", "type": "quantitative", "title": y, "scale": scale, "axis": _FIVE_TICKS},
        "color": _colour(list(series)),
        "tooltip": [
            {"field": "s", "title": "line"},
            {"field": "x", "title": x},
            {"field": "y", "title": y, "format": ".4~g"},
        ],
    }
    layers: list[Spec] = [_layer("datum.f", {"type": "line", "strokeWidth": 1, "opacity": 0.45})] if behind else []
    layers.append(_layer("!datum.f", {"type": "line", "strokeWidth": 2, "point": {"size": 24} if points else False}))
    return _sized({"data": {"values": values}, "encoding": encoding, "layer": layers}, 220)


def reliability(confidence: Array, accuracy: Array, count: Array) -> Spec:
    """How often predictions of a confidence are right; the diagonal is what they should be."""
    rows = [
        {"x": float(x), "y": float(y), "n": float(n)}
        for x, y, n in zip(confidence, accuracy, count, strict=True)
        if n > 0
    ]
    unit = {"domain": [0, 1]}
    diagonal = {
        "data": {"values": [{"x": 0, "y": 0}, {"x": 1, "y": 1}]},
        "mark": {"type": "line", "strokeDash": [4, 4], "color": _COLOURS[7], "strokeWidth": 1},
        "encoding": {"x": {"field": "x", "type": "quantitative"}, "y": {"field": "y", "type": "quantitative"}},
    }
    tips = [
        {"field": "x", "title": "confidence", "format": ".3f"},
        {"field": "y", "title": "share that is right", "format": ".3f"},
        {"field": "n", "title": "predictions", "format": ",d"},
    ]
    x = {"field": "x", "type": "quantitative", "title": "confidence", "scale": unit}
    y = {"field": "y", "type": "quantitative", "title": "share that is right", "scale": unit}
    line = {"mark": {"type": "line", "color": _COLOURS[0], "strokeWidth": 2}, "encoding": {"x": x, "y": y}}
    size = {"field": "n", "type": "quantitative", "legend": None, "scale": {"range": [20, 300]}}
    dots = {
        "mark": {"type": "circle", "color": _COLOURS[0], "opacity": 0.9},
        "encoding": {"x": x, "y": y, "size": size, "tooltip": tips},
    }
    return _sized({"layer": [diagonal, {"data": {"values": rows}, "layer": [line, dots]}]}, 240)


def scatter(true: Array, pred: Array) -> Spec:
    """Predicted against true; the diagonal is what they should be."""
    rows = [{"x": float(x), "y": float(y)} for x, y in zip(true, pred, strict=True)]
    ends = [float(min(true.min(), pred.min())), float(max(true.max(), pred.max()))] if len(true) else [0.0, 1.0]
    x = {"field": "x", "type": "quantitative", "title": "true", "scale": {"zero": False}}
    y = {"field": "y", "type": "quantitative", "title": "predicted", "scale": {"zero": False}}
    diagonal = {
        "data": {"values": [{"x": end, "y": end} for end in ends]},
        "mark": {"type": "line", "strokeDash": [4, 4], "color": _COLOURS[7], "strokeWidth": 1},
        "encoding": {"x": x, "y": y},
    }
    tips = [{"field": "x", "title": "true", "format": ".4~g"}, {"field": "y", "title": "predicted", "format": ".4~g"}]
    dots = {
        "data": {"values": rows},
        "mark": {"type": "circle", "size": 22, "opacity": 0.55, "color": _COLOURS[0]},
        "encoding": {"x": x, "y": y, "tooltip": tips},
    }
    return _sized({"layer": [diagonal, dots]}, 280)


def bars(edges: Array, counts: Array, x: str) -> Spec:
    """A histogram whose bins are given."""
    rows = [
        {"a": float(low), "b": float(high), "n": int(count)}
        for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
    ]
    encoding = {
        "x": {"field": "a", "type": "quantitative", "title": x, "scale": {"zero": False}, "bin": {"binned": True}},
        "x2": {"field": "b"},
        "y": {"field": "n", "type": "quantitative", "title": "values", "axis": {"tickCount": 5}},
        "tooltip": [
            {"field": "a", "title": "from", "format": ".4~g"},
            {"field": "b", "title": "to", "format": ".4~g"},
            {"field": "n", "title": "values", "format": ",d"},
        ],
    }
    return _sized({"data": {"values": rows}, "mark": {"type": "bar", "color": _COLOURS[0]}, "encoding": encoding}, 220)


def heat(paths: Sequence[str], steps: Array, values: Array, title: str) -> Spec:
    """Values over steps (columns) and depth (rows, the first path on top), coloured by their logarithm.

    Args:
        paths: Names of the rows.
        steps: Steps of the columns, shape (s,).
        values: Shape (paths, s); what is zero, missing or not finite has no colour.
        title: What the values are.
    """
    rows = [
        {"p": path, "d": depth, "x": str(int(step)), "i": place, "y": float(value), "l": float(np.log10(value))}
        for depth, (row, path) in enumerate(zip(values, paths, strict=True))
        for place, (step, value) in enumerate(zip(steps, row, strict=True))
        if np.isfinite(value) and value > 0
    ]
    if not rows:
        return {}
    encoding = {
        "x": {"field": "x", "type": "ordinal", "title": "step", "sort": {"field": "i"}, "axis": _few_labels()},
        "y": {
            "field": "p",
            "type": "ordinal",
            "title": None,
            "sort": {"field": "d", "op": "min"},  # a list of the paths would become an expression
            "axis": {"labelLimit": 150},
        },
        "color": {
            "field": "l",
            "type": "quantitative",
            "title": f"log10 of {title}",
            "scale": {"scheme": "viridis"},
            "legend": {"orient": "bottom", "gradientLength": 160, "title": f"log10 of {title}", "titleLimit": 300},
        },
        "tooltip": [
            {"field": "p", "title": "of"},
            {"field": "x", "title": "step"},
            {"field": "y", "title": title, "format": ".3~g"},
        ],
    }
    spec = {"data": {"values": rows}, "mark": {"type": "rect"}, "encoding": encoding}
    return _sized(spec, 110 + 20 * len(paths))


def history() -> Spec:
    """A sample's losses over the epochs; the page puts in the values, named x and y."""
    encoding = {
        "x": {"field": "x", "type": "quantitative", "title": "epoch", "axis": {"tickMinStep": 1, "format": "d"}},
        "y": {"field": "y", "type": "quantitative", "title": "loss", "axis": {"tickCount": 4, "format": "~g"}},
    }
    mark = {"type": "line", "point": {"size": 30}, "color": _COLOURS[0], "strokeWidth": 2}
    return _sized({"data": {"values": []}, "mark": mark, "encoding": encoding}, 130)


def _layer(kept: str, mark: Spec) -> Spec:
    return {"transform": [{"filter": kept}], "mark": mark}


def _colour(names: list[str]) -> Spec:
    found: Spec = {"field": "s", "type": "nominal", "scale": {"domain": names}}
    if len(names) < 2:
        found["legend"] = None
    return found


def _whole_axis(values: list[Spec]) -> Spec:
    places = sorted({row["x"] for row in values})
    if not all(float(place).is_integer() for place in places):
        return {"format": "~g", "grid": False}
    return {"format": "d", "grid": False} | ({"values": places} if len(places) <= _FEW else {"tickMinStep": 1})


def _few_labels() -> Spec:
    return {"labelOverlap": "greedy", "labelAngle": 0}


def _sized(spec: Spec, height: int) -> Spec:
    return {**spec, "width": "container", "height": height, "autosize": {"type": "fit", "contains": "padding"}}


def _whole(value: float) -> float | int:
    return int(value) if float(value).is_integer() else float(value)


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
