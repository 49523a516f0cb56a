"""Curves drawn as SVG: axes, ticks, several series, a legend. Pure; no script, no asset from elsewhere."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from atrains._local.app.markup import number_text, text

_WIDTH: Final = 560
_HEIGHT: Final = 260
_LEFT: Final = 64
_RIGHT: Final = 12
_TOP: Final = 12
_BOTTOM: Final = 30
_COLOURS: Final = ("#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#ff8ab7", "#a463f2", "#97bbf5", "#9c6b4e", "#9498a0")
_MOST_SERIES: Final = 40
_TICKS: Final = 5
_IN_FULL: Final = 1e6
_DIGITS: Final = 12
"""Of a number at an axis, at most: there is no room for more."""


def draw(curves: Mapping[str, Mapping[str, Any]], last: Mapping[str, float] | None = None) -> str:
    """A chart of curves, each with `x` and `y` of one length; what is no finite number is left out.

    Args:
        curves: The curves by name; they may be samples, whose values are means.
        last: The last values of curves, as they were reported; of any other its last point is shown.
    """
    shown = dict(list(curves.items())[:_MOST_SERIES])
    points = {name: _finite(curve["x"], curve["y"]) for name, curve in shown.items()}
    every = [point for held in points.values() for point in held]
    if not every:
        return '<p class="none">no points</p>'
    across, up = _Axis([x for x, _ in every], _LEFT, _WIDTH - _RIGHT), _Axis([y for _, y in every], _HEIGHT - _BOTTOM, _TOP)
    parts = [f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{text(", ".join(shown))}">', _grid(across, up)]
    legend = []
    for number, (name, held) in enumerate(points.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        parts.append(_line(name, held, colour, across, up))
        value = (last or {}).get(name, held[-1][1] if held else None)
        shown_value = "-" if value is None else number_text(value)
        legend.append(f'<li><i style="background:{colour}"></i>{text(name) or "(no name)"} <b>{shown_value}</b></li>')
    more = f'<li class="none">and {len(curves) - len(shown)} more</li>' if len(curves) > len(shown) else ""
    return "".join([*parts, "</svg>", '<ul class="legend">', *legend, more, "</ul>"])


def _finite(x: Sequence[Any], y: Sequence[Any]) -> list[tuple[float, float]]:
    pairs = ((float(across), float(up)) for across, up in zip(x, y, strict=False) if across is not None and up is not None)
    return [(across, up) for across, up in pairs if math.isfinite(across) and math.isfinite(up)]


class _Axis:
    """Where values lie between two edges of the drawing, and which of them are marked."""

    def __init__(self, values: Sequence[float], first: float, last: float) -> None:
        low, high = min(values), max(values)
        if low == high:
            margin = abs(low) * 0.1 or 0.5
            low, high = low - margin, high + margin
        self._low, self._high, self._first, self._last = low, high, first, last

    def place(self, value: float) -> float:
        # Divided first: the span of two large values may be beyond a float.
        span = self._high / 2 - self._low / 2
        share = (value / 2 - self._low / 2) / span if span else 0.5
        return round(self._first + share * (self._last - self._first), 1)

    def ticks(self) -> list[tuple[float, str]]:
        step = _round_step(self._high / _TICKS - self._low / _TICKS)
        first = math.ceil(self._low / step)
        marks = [number * step for number in range(first, first + 2 * _TICKS + 2) if number * step <= self._high * (1 + 1e-12) + 1e-300]
        return [(self.place(mark), _label(mark, step)) for mark in marks if math.isfinite(mark)]


def _round_step(rough: float) -> float:
    """The next of 1, 2 and 5 times a power of ten."""
    if not rough > 0 or not math.isfinite(rough):
        return 1.0
    power: float = 10.0 ** math.floor(math.log10(rough)) or 1e-300
    return next((factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999), 10 * power)


def _label(mark: float, step: float) -> str:
    """A mark with as many digits as it takes to tell it from the next one; whole numbers in full where that is no longer."""
    if not mark or abs(mark) < step * 1e-6:
        return "0"  # the step is not exact in binary
    digits = math.floor(math.log10(abs(mark))) - math.floor(math.log10(step)) + 1
    in_full = f"{mark:.0f}"
    if step >= 1 and (abs(mark) < _IN_FULL or len(in_full) <= digits + len("e+09")):
        return in_full
    return f"{mark:.{min(max(digits, 4), _DIGITS)}g}"


def _grid(across: _Axis, up: _Axis) -> str:
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    parts = ['<g class="grid">']
    for place, label in up.ticks():
        parts.append(f'<path d="M{_LEFT} {place}H{right}"/><text x="{_LEFT - 6}" y="{place + 4}" text-anchor="end">{label}</text>')
    for place, label in across.ticks():
        parts.append(f'<path d="M{place} {_TOP}V{bottom}"/><text x="{place}" y="{bottom + 18}" text-anchor="middle">{label}</text>')
    parts.append(f'<path class="axis" d="M{_LEFT} {_TOP}V{bottom}H{right}"/></g>')
    return "".join(parts)


def _line(name: str, points: Sequence[tuple[float, float]], colour: str, across: _Axis, up: _Axis) -> str:
    places = [(across.place(x), up.place(y)) for x, y in points]
    title = f"<title>{text(name)}</title>"
    if len(places) < 2:
        return "".join(f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}">{title}</circle>' for x, y in places)
    path = "L".join(f"{x} {y}" for x, y in places)
    return f'<path class="line" d="M{path}" stroke="{colour}">{title}</path>'
