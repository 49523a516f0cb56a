"""Curves: what stored points look like to who asks for them. Identity, order, windows, x axes; pure."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Final

from atrains._wire.events import SINGLE_VALUE_ITERATION, ScalarBlock
from atrains.types import ScalarCurve, XAxis

X_AXES: Final = ("iter", "timestamp", "iso_time")


@dataclass(slots=True)
class _Series:
    """The points of one series: in columns while iterations only rise, which is the rule; by iteration once one comes again or late."""

    iterations: array[int] = field(default_factory=lambda: array("q"))
    times: array[float] = field(default_factory=lambda: array("d"))
    values: array[float] = field(default_factory=lambda: array("d"))
    rising: bool = True


class CurveBuilder:
    """Collects blocks of stored points and gives curves.

    A point is known by title, series and iteration: one that was reported again replaces the earlier one. Server: an event's identity.
    """

    def __init__(self) -> None:
        self._series: dict[tuple[str, str], _Series] = {}

    def add(self, block: ScalarBlock) -> None:
        """Take the points of a block; blocks come in the order in which they were reported."""
        times = block.times if not isinstance(block.times, float) else array("d", [block.times]) * len(block)
        if block.series is None:
            self._extend(block.names[0], block.iterations, times, block.values)
            return
        rows: dict[int, tuple[list[int], list[float], list[float]]] = {}
        for number, iteration, moment, value in zip(block.series, block.iterations, times, block.values, strict=True):
            columns = rows.get(number)
            if columns is None:
                columns = rows[number] = ([], [], [])
            columns[0].append(iteration)
            columns[1].append(moment)
            columns[2].append(value)
        for number, (iterations, moments, values) in rows.items():
            self._extend(block.names[number], iterations, moments, values)

    def curves(self, x_axis: XAxis, *, start: float, max_samples: int = 0) -> dict[str, dict[str, ScalarCurve]]:
        """Every curve by title and series, without single values.

        Args:
            x_axis: What `x` holds.
            start: Seconds since the epoch that `timestamp` counts from.
            max_samples: Points of a curve at most, each the mean of a window of equally many; 0 for every point exactly.
        """
        found: dict[str, dict[str, ScalarCurve]] = {}
        for (title, name), series in sorted(self._series.items()):
            _sort(series)
            first = next((place for place, iteration in enumerate(series.iterations) if iteration != SINGLE_VALUE_ITERATION), None)
            if first is None:
                continue
            iterations, times, values = series.iterations[first:], series.times[first:], series.values[first:]
            if max_samples and len(values) > max_samples:
                iterations, times, values = (_windows(column, max_samples) for column in (iterations, times, values))
            found.setdefault(title, {})[name] = {"x": _axis(x_axis, iterations, times, start), "y": values.tolist()}
        return found

    def single_values(self) -> dict[str, dict[str, float]]:
        """The last single value of every title and name."""
        found: dict[str, dict[str, float]] = {}
        for (title, name), series in self._series.items():
            for iteration, value in zip(series.iterations, series.values, strict=True):
                if iteration == SINGLE_VALUE_ITERATION:
                    found.setdefault(title, {})[name] = value
        return found

    def _extend(self, name: tuple[str, str], iterations: Sequence[int], times: Sequence[float], values: Sequence[float]) -> None:
        series = self._series.setdefault(name, _Series())
        last = series.iterations[-1] if series.iterations else None
        if series.rising:
            series.rising = _rises(iterations, last)
        series.iterations.extend(iterations)
        series.times.extend(times)
        series.values.extend(values)


def _rises(iterations: Sequence[int], last: int | None) -> bool:
    if last is not None and iterations and iterations[0] <= last:
        return False
    return all(map(int.__lt__, iterations, _tail(iterations)))


def _tail(iterations: Sequence[int]) -> Iterator[int]:
    following = iter(iterations)
    next(following, None)
    return following


def _sort(series: _Series) -> None:
    """Bring a series into the order of its iterations, the last report of each."""
    if series.rising:
        return
    latest = dict(zip(series.iterations, range(len(series.iterations)), strict=True))
    order = [latest[iteration] for iteration in sorted(latest)]
    series.iterations = array("q", [series.iterations[place] for place in order])
    series.times = array("d", [series.times[place] for place in order])
    series.values = array("d", [series.values[place] for place in order])
    series.rising = True


def _windows(column: array[Any], count: int) -> array[Any]:
    """The means of `count` windows of as nearly equal length as can be."""
    bounds = [len(column) * number // count for number in range(count + 1)]
    means: Iterable[float] = (sum(column[begin:end]) / (end - begin) for begin, end in pairwise(bounds))
    return array(column.typecode, map(round, means)) if column.typecode == "q" else array("d", means)


def _axis(x_axis: XAxis, iterations: array[int], times: array[float], start: float) -> list[int] | list[float] | list[str]:
    if x_axis == "timestamp":
        return [moment - start for moment in times]
    if x_axis == "iso_time":
        return [datetime.fromtimestamp(moment, UTC).isoformat() for moment in times]
    return iterations.tolist()
