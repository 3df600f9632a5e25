"""Line charts as SVG: no script, in the colour of the text around; in words, too, for who can't see them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from truetap.notebook.html import Html, text
from truetap.showing import number

__all__ = ["Line", "chart"]

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 420, 200, 52, 10, 26, 34
_COLOURS = ("#4f8fd9", "#d9822b", "#3a9d6e", "#a463b0", "#c9524f", "#8a7f2d")
_MOST_DECADES = 3  # of one scale; beyond, it is logarithmic


@dataclass(frozen=True, slots=True)
class Line:
    """A course of numbers.

    Attributes:
        name: What it is called.
        points: x and y, by x; values that aren't finite are gaps.
        faint: Whether it stands behind the others.
    """

    name: str
    points: Sequence[tuple[float, float]]
    faint: bool = False


@dataclass(frozen=True, slots=True)
class _Scale:
    """How values become places between two ends."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high, at = (math.log10(each) if self.log else each for each in (self.low, self.high, value))
        return self.start + (self.end - self.start) * ((at - low) / (high - low) if high > low else 0.5)

    def ticks(self) -> list[float]:
        """Round values between the ends: 1, 2 or 5 of a power of ten; of a logarithmic scale powers alone."""
        if self.log:
            first, last = math.ceil(math.log10(self.low)), math.floor(math.log10(self.high))
            return [10.0**power for power in range(first, last + 1, max(1, (last - first) // 4))]
        span = self.high - self.low
        if span <= 0:
            return [self.low]
        power = 10 ** math.floor(math.log10(span / 4))
        step = next(each * power for each in (1, 2, 5, 10) if span / (each * power) <= 5)
        return [step * at for at in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]


def chart(title: str, lines: Sequence[Line], across: str = "step") -> Html:
    """A chart with axes and a legend; nothing where no line has a finite value."""
    points = [(x, y) for line in lines for x, y in line.points if math.isfinite(y)]
    if not points:
        return Html("")
    xs, ys = [x for x, _ in points], [y for _, y in points]
    log = min(ys) > 0 and max(ys) > min(ys) * 10**_MOST_DECADES
    x_scale = _Scale(min(xs), max(xs), _LEFT, _WIDTH - _RIGHT)
    y_scale = _Scale(min(ys), max(ys), _HEIGHT - _BOTTOM, _TOP, log)
    drawn = [_drawn(line, _COLOURS[at % len(_COLOURS)], x_scale, y_scale) for at, line in enumerate(lines)]
    said = "; ".join(f"{line.name}: {_course(line)}" for line in lines if line.points)
    heading = f'<text x="{_LEFT}" y="12" font-weight="600">{text(title)}{" (log scale)" if log else ""}</text>'
    return Html(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" '
        f'height="{_HEIGHT}" role="img" aria-label="{text(f"{title}. {said}")}" fill="currentColor" '
        f'font-size="11" font-family="sans-serif">{heading}{_axes(x_scale, y_scale, across)}{"".join(drawn)}'
        f"{_legend(lines)}</svg>"
    )


def _drawn(line: Line, colour: str, x_scale: _Scale, y_scale: _Scale) -> str:
    finite = [(x, y) for x, y in line.points if math.isfinite(y)]
    if len(finite) == 1:
        return f'<circle cx="{x_scale(finite[0][0]):.1f}" cy="{y_scale(finite[0][1]):.1f}" r="3" fill="{colour}"/>'
    path, pen = [], "M"
    for x, y in line.points:
        if not math.isfinite(y):
            pen = "M"
            continue
        path.append(f"{pen}{x_scale(x):.1f} {y_scale(y):.1f}")
        pen = "L"
    look = 'stroke-width="1" opacity=".55"' if line.faint else 'stroke-width="1.8"'
    return f'<path d="{"".join(path)}" fill="none" stroke="{colour}" stroke-linejoin="round" {look}/>'


def _axes(x_scale: _Scale, y_scale: _Scale, across: str) -> str:
    parts = []
    for value in y_scale.ticks():
        at = y_scale(value)
        parts.append(f'<path d="M{_LEFT} {at:.1f}H{_WIDTH - _RIGHT}" stroke="currentColor" opacity=".15"/>')
        parts.append(f'<text x="{_LEFT - 5}" y="{at + 4:.1f}" text-anchor="end" opacity=".75">{number(value)}</text>')
    for value in x_scale.ticks():
        if value == int(value):
            place = f'x="{x_scale(value):.1f}" y="{_HEIGHT - _BOTTOM + 13}"'
            parts.append(f'<text {place} text-anchor="middle" opacity=".75">{int(value)}</text>')
    words = f'x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 4}" text-anchor="end" opacity=".75"'
    return "".join([*parts, f"<text {words}>{text(across)}</text>"])


def _legend(lines: Sequence[Line]) -> str:
    parts, x = [], float(_LEFT)
    for at, line in enumerate(lines):
        colour = _COLOURS[at % len(_COLOURS)]
        parts.append(f'<rect x="{x:.0f}" y="{_HEIGHT - 11}" width="12" height="3" fill="{colour}"/>')
        parts.append(f'<text x="{x + 16:.0f}" y="{_HEIGHT - 4}">{text(line.name)}</text>')
        x += 30 + 6.2 * len(line.name)
    return "".join(parts)


def _course(line: Line) -> str:
    (first, begin), (last, end) = line.points[0], line.points[-1]
    return f"{number(begin)} at {first:g}, {number(end)} at {last:g}"
