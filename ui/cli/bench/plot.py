"""Line charts as SVG, with logarithmic axes, readable on light and on dark pages."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

__all__ = ["Chart", "svg_of"]

_WIDTH, _HEIGHT, _COLUMNS = 440, 300, 2
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 40, 36, 48
_COLOURS = ("#2f7ed8", "#e07b00", "#2a9d55", "#c0479b", "#7a6ff0")
"""Colours of medium lightness: their contrast is at least 3 to 1 against white and against near black."""

_STYLE = """
    svg { color: #1c1c1c; background: #ffffff; font: 12px system-ui, sans-serif }
    @media (prefers-color-scheme: dark) { svg { color: #e8e8e8; background: #16181c } }
    text { fill: currentColor } .title { font-weight: 600 }
    .frame { fill: none; stroke: currentColor; opacity: .5 } .grid { stroke: currentColor; opacity: .15 }
    .line { fill: none; stroke-width: 2 }
"""


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart. `lines` has the points (x, y), both above 0, of each line by its name; `x` and `y` label the axes."""

    title: str
    x: str
    y: str
    lines: Mapping[str, Sequence[tuple[float, float]]]


@dataclass(frozen=True, slots=True)
class _Axis:
    """An axis of whole decades, 10**`low` to 10**`high`, drawn from pixel `start` to pixel `stop`."""

    low: int
    high: int
    start: float
    stop: float

    @classmethod
    def over(cls, values: Sequence[float], start: float, stop: float) -> _Axis:
        low = math.floor(math.log10(min(values)) + 1e-9)
        return cls(low, max(math.ceil(math.log10(max(values)) - 1e-9), low + 1), start, stop)

    def place(self, value: float) -> float:
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return round(self.start + share * (self.stop - self.start), 1)

    @property
    def ticks(self) -> list[float]:
        return [10.0**exponent for exponent in range(self.low, self.high + 1)]


def svg_of(charts: Sequence[Chart]) -> str:
    """Draw charts side by side as one SVG document; points that are not above 0 are left out."""
    rows = -(-len(charts) // _COLUMNS)
    width, height = _WIDTH * min(len(charts), _COLUMNS), _HEIGHT * rows
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img"><style>{_STYLE}</style>'
    ]
    for number, chart in enumerate(charts):
        x, y = number % _COLUMNS * _WIDTH, number // _COLUMNS * _HEIGHT
        parts += [f'<g transform="translate({x} {y})">', *_drawn(chart), "</g>"]
    return "\n".join([*parts, "</svg>\n"])


def _drawn(chart: Chart) -> list[str]:
    lines = {
        name: [(x, y) for x, y in points if x > 0 and y > 0]
        for name, points in chart.lines.items()
        if any(x > 0 and y > 0 for x, y in points)
    }
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts = [f'<text class="title" x="{middle}" y="18" text-anchor="middle">{escape(chart.title)}</text>']
    if not lines:
        return parts
    across = _Axis.over([x for points in lines.values() for x, _ in points], _LEFT, _WIDTH - _RIGHT)
    up = _Axis.over([y for points in lines.values() for _, y in points], _HEIGHT - _BOTTOM, _TOP)
    parts += _axes(chart, across, up, middle)
    for number, (name, points) in enumerate(lines.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        places = [(across.place(x), up.place(y)) for x, y in points]
        drawn = " ".join(f"{x},{y}" for x, y in places)
        parts.append(f'<polyline class="line" stroke="{colour}" points="{drawn}"/>')
        for (x, y), (true_x, true_y) in zip(places, points, strict=True):
            label = escape(f"{name}: {true_y:,.4g} at {true_x:,.0f}")
            parts.append(f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"><title>{label}</title></circle>')
        key_y = _TOP + 14 + 16 * number
        parts.append(f'<rect x="{_LEFT + 8}" y="{key_y - 9}" width="10" height="10" fill="{colour}"/>')
        parts.append(f'<text x="{_LEFT + 23}" y="{key_y}">{escape(name)}</text>')
    return parts


def _axes(chart: Chart, across: _Axis, up: _Axis, middle: float) -> list[str]:
    bottom = _HEIGHT - _BOTTOM
    parts = [
        f'<rect class="frame" x="{_LEFT}" y="{_TOP}" width="{_WIDTH - _LEFT - _RIGHT}" height="{bottom - _TOP}"/>',
        f'<text x="{middle}" y="{_HEIGHT - 10}" text-anchor="middle">{escape(chart.x)}</text>',
        f'<text transform="translate(14 {(_TOP + bottom) / 2}) rotate(-90)" text-anchor="middle">{escape(chart.y)}'
        "</text>",
    ]
    for tick in across.ticks:
        x = across.place(tick)
        parts.append(f'<line class="grid" x1="{x}" y1="{_TOP}" x2="{x}" y2="{bottom}"/>')
        parts.append(f'<text x="{x}" y="{bottom + 16}" text-anchor="middle">{tick:,.10g}</text>')
    for tick in up.ticks:
        y = up.place(tick)
        parts.append(f'<line class="grid" x1="{_LEFT}" y1="{y}" x2="{_WIDTH - _RIGHT}" y2="{y}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4}" text-anchor="end">{tick:,.10g}</text>')
    return parts
