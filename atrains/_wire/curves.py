"""Curves: what stored points look like to who asks for them. Identity, order, windows, x axes; pure."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import compress, pairwise
from typing import Any, Final

from atrains._wire.events import SINGLE_VALUE_ITERATION, ScalarBlock, pick, places_by_series
from atrains.types import ScalarChunk, ScalarCurve, XAxis

X_AXES: Final = ("iter", "timestamp", "iso_time")


@dataclass(slots=True, eq=False, repr=False)
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
        for chunk in chunks(block, 0, len(block)):
            self.extend(chunk)

    def extend(self, chunk: ScalarChunk) -> None:
        """Take points of one series that were reported behind those that are here."""
        series = self._series.setdefault((chunk.title, chunk.series), _Series())
        last = series.iterations[-1] if series.iterations else None
        if series.rising:
            series.rising = _rises(chunk.iterations, last)
        series.iterations.extend(chunk.iterations)
        series.times.extend(chunk.times)
        series.values.extend(chunk.values)

    def columns(self) -> Iterator[ScalarChunk]:
        """Yield every series whole, by title and series, its points in the order of their iterations; no single values."""
        for (title, name), series in sorted(self._series.items()):
            _sort(series)
            whole = without_single_values(ScalarChunk(title, name, series.iterations, series.times, series.values))
            if whole.values:
                yield whole

    def curves(self, x_axis: XAxis, *, start: float, max_samples: int = 0) -> dict[str, dict[str, ScalarCurve]]:
        """Every curve by title and series, without single values.

        Args:
            x_axis: What `x` holds.
            start: Seconds since the epoch that `timestamp` counts from.
            max_samples: Points of a curve at most, each the mean of a window of equally many; 0 for every point exactly.
        """
        found: dict[str, dict[str, ScalarCurve]] = {}
        for curve in self.columns():
            columns: tuple[array[Any], ...] = (curve.iterations, curve.times, curve.values)
            if max_samples and len(curve) > max_samples:
                columns = tuple(_windows(column, max_samples) for column in columns)
            iterations, times, values = columns
            found.setdefault(curve.title, {})[curve.series] = {"x": _axis(x_axis, iterations, times, start), "y": values.tolist()}
        return found

    def single_values(self) -> dict[str, dict[str, float]]:
        """The last single value of every title and name."""
        found: dict[str, dict[str, float]] = {}
        for (title, name), series in self._series.items():
            for iteration, value in zip(series.iterations, series.values, strict=True):
                if iteration == SINGLE_VALUE_ITERATION:
                    found.setdefault(title, {})[name] = value
        return found


def chunks(block: ScalarBlock, begin: int, end: int) -> Iterator[ScalarChunk]:
    """Yield the points of a block from `begin` to `end`, one chunk for each series that has any there."""
    times = block.times
    columns: tuple[Any, ...] = (
        block.iterations[begin:end],
        times if isinstance(times, float) else times[begin:end],
        block.values[begin:end],
    )
    if block.series is None:
        yield ScalarChunk(*block.names[0], *map(_copied, "qdd", columns, [len(columns[0])] * 3))
        return
    for (title, series), places in zip(block.names, places_by_series(block.series[begin:end], len(block.names)), strict=True):
        if places:
            picked = (column if isinstance(column, float) else pick(column, places) for column in columns)
            yield ScalarChunk(title, series, *map(_copied, "qdd", picked, [len(places)] * 3))


def without_single_values(chunk: ScalarChunk) -> ScalarChunk:
    """The points of a curve, without those that belong to the whole run. Server: those are in no curve."""
    if SINGLE_VALUE_ITERATION not in chunk.iterations:
        return chunk
    kept = [iteration != SINGLE_VALUE_ITERATION for iteration in chunk.iterations]
    columns: tuple[array[Any], ...] = (chunk.iterations, chunk.times, chunk.values)
    return ScalarChunk(chunk.title, chunk.series, *(array(column.typecode, compress(column, kept)) for column in columns))


def _copied(code: str, column: Sequence[Any] | float, length: int) -> array[Any]:
    """A column as an array of its own; one number stands for as many as there are rows."""
    if isinstance(column, float):
        return array(code, [column]) * length
    copied: array[Any] = array(code)
    if isinstance(column, memoryview | array):
        copied.frombytes(memoryview(column).cast("B"))
    else:
        copied.extend(column)
    return copied


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
