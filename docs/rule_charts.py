"""A picture of two trainings: the loss of each step, and beside it a quantity that a rule reads.

SVG by vl-convert, in the report's colours. Text has the colour of the text around it (`currentColor`), which is grey
where the file stands alone: legible on light and dark.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import vl_convert

from truetap.report.charts import config

__all__ = ["Line", "Panel", "svg"]

Array = npt.NDArray[Any]
Spec = dict[str, Any]
Line = tuple[Any, Any]  # places (numbers or names) and values

RUNS = ("broken", "mended")
_GREY = "#7a7a7a"  # of one contrast, 4.3, on white and on the dark pages
_TEXT = "#010203"  # set by Vega, and made currentColor
_MOST = 60  # points of a line
_FAR = 50.0  # ratio of highest to lowest from which a scale is logarithmic
_SIZE = {"width": 250, "height": 165}


@dataclass(frozen=True)
class Panel:
    """One chart.

    Attributes:
        x: What stands from left to right.
        y: What is drawn: the title.
        of: Of each run its lines by name; "" of a single one.
        mark: Lines, steps (histograms) or bars.
        limit: The rule's threshold, a dashed line.
    """

    x: str
    y: str
    of: Mapping[str, Mapping[str, Line]]
    mark: Literal["line", "steps", "bars"] = "line"
    limit: float | None = None


def svg(loss: Panel, quantity: Panel) -> str:
    """Two charts beside each other as SVG."""
    base = config()
    axis = base["axis"] | {"labelColor": _TEXT, "titleColor": _TEXT, "gridColor": _GREY, "gridOpacity": 0.25}
    legend = base["legend"] | {"labelColor": _TEXT, "columns": 4}
    title = {"color": _TEXT, "fontSize": 12, "fontWeight": "normal", "anchor": "start"}
    spec = {
        "config": base | {"axis": axis, "legend": legend, "title": title, "concat": {"spacing": 34}},
        "hconcat": [_chart(loss), _chart(quantity)],
        "padding": 4,
    }
    text: str = vl_convert.vegalite_to_svg(spec)
    text = text.replace(_TEXT, "currentColor").replace("<svg ", f'<svg color="{_GREY}" ', 1)
    return _smaller(text) + "\n"


def _smaller(text: str) -> str:
    """Without what draws nothing, and with tenths of a pixel."""
    text = re.sub(r'<path class="(background|foreground)"[^>]*/>', "", text)
    text = re.sub(r' (aria-[a-z]+|role|class|pointer-events|stroke-miterlimit|font-family)="[^"]*"', "", text)
    text = re.sub(r' opacity="1"', "", text)
    text = re.sub(r'(?<= d=")[^"]+|(?<= transform=")[^"]+', lambda found: re.sub(r"(\d\.\d)\d+", r"\1", found[0]), text)
    text = re.sub(r"<g>(<[a-z]+ [^>]*/>)</g>", r"\1", re.sub(r"<g></g>", "", text))
    text = text.replace('fill="black" fill-opacity="1"', 'stroke="currentColor"')  # dashes of a legend, left without
    return text.replace("<svg ", '<svg role="img" font-family="system-ui, sans-serif" ', 1)


def _chart(panel: Panel) -> Spec:
    rows = [row for run, lines in panel.of.items() for name, line in lines.items() for row in _rows(run, name, line)]
    numbers = np.asarray([row["y"] for row in rows if row["y"] is not None], float)
    named = any(isinstance(row["x"], str) for row in rows)
    parts = list(dict.fromkeys(row["p"] for row in rows))
    bars = panel.mark == "bars"
    x: Spec = {"field": "x", "type": "nominal" if bars or named else "quantitative", "title": panel.x, "sort": None}
    x["axis"] = {"grid": False, "labelAngle": -30 if (bars or named) and not _short(rows) else 0, "labelLimit": 110}
    if not bars and not named:
        x["scale"] = {"nice": False, "zero": False}
        whole = all(float(row["x"]).is_integer() for row in rows)
        x["axis"] |= {"format": "d", "tickCount": 5, "tickMinStep": 1} if whole else {"format": ".3~g", "tickCount": 5}
    scale = _scale(numbers, bars)
    y = {"field": "y", "type": "quantitative", "title": None, "scale": scale, "axis": _ticks(numbers, scale)}
    colour = {"field": "r", "type": "nominal", "scale": {"domain": list(RUNS), "range": ["#c8661b", "#3b7fc4"]}}
    encoding: Spec = {"x": x, "y": y, "color": colour}
    width = {"condition": {"test": "datum.r == 'broken'", "value": 3.2}, "value": 1.4}  # both are seen where they meet
    encoding |= {} if bars else {"strokeWidth": width}
    mark: Spec = {"type": "line"}
    if bars:
        encoding["xOffset"] = {"field": "r", "type": "nominal", "sort": list(RUNS)}
        mark = {"type": "point", "filled": True, "size": 60} if scale.get("type") == "log" else {"type": "bar"}
    elif panel.mark == "steps":
        mark["interpolate"] = "step-after"
    elif len(rows) <= 40:
        mark["point"] = {"size": 20}
    if len(parts) > 1:
        encoding["strokeDash"] = {"field": "p", "type": "nominal", "sort": parts, "title": None}
        encoding["strokeDash"]["legend"] = {"symbolStrokeColor": _GREY, "symbolStrokeWidth": 1.5}
    layers: list[Spec] = [{"data": {"values": rows}, "mark": mark, "encoding": encoding}]
    layers += _broken(panel, encoding)
    if panel.limit is not None:
        rule = {"type": "rule", "strokeDash": [2, 3], "color": _GREY, "strokeWidth": 1.2}
        encoding = {"y": {"field": "limit", "type": "quantitative"}}
        layers.append({"data": {"values": [{"limit": panel.limit}]}, "mark": rule, "encoding": encoding})
    return {"title": panel.y, "layer": layers, **_SIZE}


def _rows(run: str, name: str, line: Line) -> list[Spec]:
    places, values = list(line[0]), np.asarray(line[1], float)
    keep = range(len(values)) if len(values) <= _MOST else _peaks(values)
    return [
        {"x": places[at] if isinstance(places[at], str) else _short_number(places[at]), "y": _finite(values[at])}
        | {"r": run, "p": name}
        for at in keep
    ]


def _peaks(values: Array) -> list[int]:
    """The lowest and the highest of each stretch."""
    kept: set[int] = set()
    for part in np.array_split(np.arange(len(values)), _MOST // 2):
        here = np.nan_to_num(values[part], nan=0.0)
        kept |= {int(part[here.argmin()]), int(part[here.argmax()])}
    return sorted(kept)


def _broken(panel: Panel, encoding: Spec) -> list[Spec]:
    """Words where a line is no number from some place on."""
    said = []
    for run, lines in panel.of.items():
        for places, values in lines.values():
            lost = np.flatnonzero(~np.isfinite(np.asarray(values, float)))
            if len(lost) and panel.mark == "line":
                said.append({"r": run, "t": f"{run}: no number from step {list(places)[lost[0]]} on"})
    if not said:
        return []
    text = {"type": "text", "align": "right", "x": _SIZE["width"] - 4, "y": 10, "fontSize": 11}
    return [
        {"data": {"values": said[:1]}, "mark": text, "encoding": {"text": {"field": "t"}, "color": encoding["color"]}}
    ]


def _scale(numbers: Array, bars: bool) -> Spec:
    if not len(numbers):
        return {"zero": True}
    low, high = float(numbers.min()), float(numbers.max())
    if low > 0 and high / low > _FAR:
        return {"type": "log"}
    size = float(np.median(np.abs(numbers)))
    if low < 0 and max(-low, high) > _FAR * max(size, 1e-9):
        return {"type": "symlog"}
    return {"zero": bars or low >= 0}


def _ticks(numbers: Array, scale: Spec) -> Spec:
    if scale.get("type") == "log":
        low, high = int(np.floor(np.log10(numbers.min()))), int(np.ceil(np.log10(numbers.max())))
        return {"format": ".4~g", "values": [10.0**each for each in range(low, high + 1, max(1, (high - low) // 5))]}
    if scale.get("type") == "symlog":
        most = int(np.floor(np.log10(np.abs(numbers).max())))
        return {"format": ".4~g", "values": [sign * 10.0**each for sign in (-1, 1) for each in range(0, most + 1, 2)]}
    return {"format": ".4~g", "tickCount": 5}


def _short(rows: list[Spec]) -> bool:
    names = dict.fromkeys(str(row["x"]) for row in rows)
    return sum(map(len, names)) <= 30


def _short_number(value: Any) -> float | int:
    return int(value) if float(value).is_integer() else float(f"{float(value):.4g}")


def _finite(value: float) -> float | None:
    return float(f"{value:.4g}") if np.isfinite(value) else None
