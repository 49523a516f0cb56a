"""Events between the reporter and a home: blocks of columns for scalars, lists for the rest.

Pure; no encoding of a transport lives here.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from operator import index, itemgetter
from typing import Final, NamedTuple, SupportsIndex, TypeAlias, TypeVar

SINGLE_VALUE_ITERATION: Final = -(2**31)
"""The iteration that a server keeps for single values (`Logger.report_single_value`); excluded from curves."""
SINGLE_VALUE_TITLE: Final = "Summary"
MONITOR_TITLES: Final = frozenset({":monitor:machine", ":monitor:gpu"})
"""Titles whose iterations do not count towards `last_iteration`. Server: `events.add_batch`."""

Integers: TypeAlias = "array[int] | memoryview"
Floats: TypeAlias = "array[float] | memoryview[float]"
Column: TypeAlias = "Integers | Floats"
N = TypeVar("N", int, float)


def whole_number(value: SupportsIndex) -> int | None:
    """Return an integer of Python, NumPy or a tensor as the former; None for anything else, a bool too, and for more than 64 bits."""
    try:
        number = index(value)
    except TypeError:
        return None
    return None if isinstance(value, bool) or not -(2**63) <= number < 2**63 else number


class EventKind(StrEnum):
    """The kinds of events that a home tells apart."""

    SCALARS = "scalars"
    LOGS = "logs"
    PLOTS = "plots"
    IMAGES = "images"
    VECTORS = "vectors"
    """Of clients that speak the protocol by themselves: no logger makes them (`report_vector` makes a plot)."""


REPORTED: Final = (EventKind.SCALARS, EventKind.LOGS, EventKind.PLOTS, EventKind.IMAGES)
"""The kinds that are reported here, and counted."""


class Span(NamedTuple):
    """Where a block came from: a half-open range of one stream of one journal. A home stores a span once, however often it is sent."""

    journal: str
    stream: str
    first: int
    last: int


@dataclass(slots=True)
class ScalarBlock:
    """Points of one task, in the order of their reports.

    Attributes:
        task: The task's id.
        span: The range of the journal that the block stands for.
        names: `(title, series)` of every series in the block.
        series: For each point the index into `names`, unsigned 32 bit; None when all points are of `names[0]`.
        iterations: For each point the iteration, signed 64 bit.
        times: For each point the time of the report in seconds since the epoch, double; a plain float when it is one for all.
        values: For each point the value, double; finite.
    """

    task: str
    span: Span
    names: Sequence[tuple[str, str]]
    series: Integers | None
    iterations: Integers
    times: Floats | float
    values: Floats

    def __len__(self) -> int:
        return len(self.values)


@dataclass(slots=True)
class RecordBlock:
    """Console lines, plots or images of one task, in the order of their reports.

    Attributes:
        kind: LOGS, PLOTS or IMAGES.
        events: For a console line `timestamp` (integer milliseconds), `level` (lower case), `msg` and `worker`; for a plot `timestamp`,
            `metric`, `variant`, `iter` and `plot_str`; for an image (or another file that is shown) `key` and `url` in place of the last.
            Server: the fields of `events.add_batch`, without `type` and `task`.
    """

    task: str
    span: Span
    kind: EventKind
    events: Sequence[Mapping[str, object]]

    def __len__(self) -> int:
        return len(self.events)


EventBlock: TypeAlias = "ScalarBlock | RecordBlock"


def places_by_series(series: Column, names: int) -> list[list[int]]:
    """For each series of a block where its points are: one pass, whatever the number of series."""
    places: list[list[int]] = [[] for _ in range(names)]
    for place, number in enumerate(memoryview(series).tolist()):
        places[number].append(place)
    return places


def pick(column: Sequence[N], places: Sequence[int]) -> Sequence[N]:
    """The numbers at some places of a column, at C speed."""
    if len(places) == 1:  # for one place `itemgetter` gives no tuple
        return [column[places[0]]]
    picked: Sequence[N] = itemgetter(*places)(column)
    return picked
