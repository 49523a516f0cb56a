"""Summaries of scalar series: first, last, smallest and largest value of a block, and how they add up. Pure; the index is elsewhere."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

from atrains._transport.pace import rest
from atrains._wire.events import SINGLE_VALUE_ITERATION, Column, ScalarBlock, pick, places_by_series

_SLICE: Final = 8192
"""Points summed up in one go, in about half a millisecond. A C call over a whole block of a million would hold the interpreter for 20."""

_BETWEEN_RESTS: Final = 2 * _SLICE


@dataclass(slots=True)
class SeriesSummary:
    """What is known of a series without reading its points.

    Attributes:
        highest_iteration: The largest iteration; the others named `..._iteration` are those of the value beside them.
        single: The last value at the iteration that is kept for single values, and `single_time` when it was reported; else None.
    """

    title: str
    series: str
    count: int
    first: float
    first_iteration: int
    last: float
    last_iteration: int
    min: float
    min_iteration: int
    max: float
    max_iteration: int
    highest_iteration: int
    single: float | None = None
    single_time: float | None = None

    def extend(self, later: SeriesSummary) -> None:
        """Add the points that were reported after these; on equal values the earlier iteration stays."""
        self.count += later.count
        self.last, self.last_iteration = later.last, later.last_iteration
        if later.min < self.min:
            self.min, self.min_iteration = later.min, later.min_iteration
        if later.max > self.max:
            self.max, self.max_iteration = later.max, later.max_iteration
        self.highest_iteration = max(self.highest_iteration, later.highest_iteration)
        if later.single is not None:
            self.single, self.single_time = later.single, later.single_time

    def as_header(self) -> dict[str, str | int | float]:
        """The summary as it stands in a chunk's header."""
        return {name: value for name in _FIELDS if (value := getattr(self, name)) is not None}


_FIELDS: Final = tuple(field.name for field in fields(SeriesSummary))


def summarise(block: ScalarBlock) -> list[SeriesSummary | None]:
    """Sum up each series of a block; None for a name that has no point in it.

    Raises:
        ValueError: a value is not finite; no home keeps such a value.
    """
    numpy = sys.modules.get("numpy")  # used when the process has it anyway: importing it here would cost 100 ms
    if block.series is None and numpy is not None and hasattr(numpy, "frombuffer"):
        found: list[SeriesSummary | None] = [_summarise_with_numpy(numpy, block)]
    else:
        found = [None] * len(block.names)
        for start in range(0, len(block), _SLICE):
            _add_slice(found, block, start)
            if start % _BETWEEN_RESTS == _SLICE:
                rest()
    for summary in found:
        if summary is not None and not all(map(math.isfinite, (summary.first, summary.last, summary.min, summary.max))):
            raise ValueError(
                f"the block of task {block.task} holds a value of {summary.title}/{summary.series} that is not finite; "
                "drop it before it is stored"
            )
    return found


def _add_slice(found: list[SeriesSummary | None], block: ScalarBlock, start: int) -> None:
    # Lists, since min, max and index are two to three times as fast on them as on arrays and views.
    values: Sequence[float] = memoryview(block.values)[start : start + _SLICE].tolist()
    iterations: Sequence[int] = memoryview(block.iterations)[start : start + _SLICE].tolist()
    if block.series is None:
        _extend(found, 0, _summarise_points(block, 0, start, None, values, iterations))
        return
    for number, places in enumerate(places_by_series(memoryview(block.series)[start : start + _SLICE], len(block.names))):
        if places:
            _extend(found, number, _summarise_points(block, number, start, places, pick(values, places), pick(iterations, places)))


def _extend(found: list[SeriesSummary | None], number: int, later: SeriesSummary) -> None:
    known = found[number]
    if known is None:
        found[number] = later
    else:
        known.extend(later)


def _summarise_points(
    block: ScalarBlock, number: int, start: int, places: Sequence[int] | None, values: Sequence[float], iterations: Sequence[int]
) -> SeriesSummary:
    """Sum up some points of one series: those at `places` behind `start`, or all from there on."""
    smallest, largest = min(values), max(values)
    title, series = block.names[number]
    if not math.isfinite(smallest):  # NaN equals nothing, so that looking for its place would fail; `summarise` says what is wrong
        return SeriesSummary(title, series, len(values), 0.0, 0, 0.0, 0, smallest, 0, largest, 0, 0)
    summary = SeriesSummary(
        title, series, len(values),
        first=values[0], first_iteration=iterations[0],
        last=values[-1], last_iteration=iterations[-1],
        min=smallest, min_iteration=iterations[values.index(smallest)],
        max=largest, max_iteration=iterations[values.index(largest)],
        highest_iteration=max(iterations),
    )  # fmt: skip
    if SINGLE_VALUE_ITERATION in iterations:
        place = len(iterations) - 1 - iterations[::-1].index(SINGLE_VALUE_ITERATION)
        position = start + (place if places is None else places[place])
        summary.single, summary.single_time = values[place], _time_at(block.times, position)
    return summary


def _summarise_with_numpy(numpy: Any, block: ScalarBlock) -> SeriesSummary:
    values, iterations = numpy.frombuffer(block.values, "f8"), numpy.frombuffer(block.iterations, "i8")
    lowest, highest, earliest = int(values.argmin()), int(values.argmax()), int(iterations.argmin())
    summary = SeriesSummary(
        *block.names[0], len(block),
        first=float(values[0]), first_iteration=int(iterations[0]),
        last=float(values[-1]), last_iteration=int(iterations[-1]),
        min=float(values[lowest]), min_iteration=int(iterations[lowest]),
        max=float(values[highest]), max_iteration=int(iterations[highest]),
        highest_iteration=int(iterations[iterations.argmax()]),
    )  # fmt: skip
    if iterations[earliest] <= SINGLE_VALUE_ITERATION and (places := (iterations == SINGLE_VALUE_ITERATION).nonzero()[0]).size:
        place = int(places[-1])
        summary.single, summary.single_time = float(values[place]), _time_at(block.times, place)
    return summary


def _time_at(times: Column | float, position: int) -> float:
    return times if isinstance(times, float | int) else float(times[position])
