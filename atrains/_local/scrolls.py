"""Walks through all events of one kind, page by page: exactly what was there when the walk began, each event once. No state is kept.

Server: an event is known by title, series and iteration, and one that was reported again has replaced the earlier one; console lines are
always new.
"""

from __future__ import annotations

import os
from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from atrains._local import chunks, query
from atrains._wire.events import EventKind
from atrains._wire.frames import Frame

Row = dict[str, Any]
Name = tuple[str, str]
Wanted = Callable[[Name], bool]

_PLANS: Final = 16


class Position(NamedTuple):
    """Where a walk stands.

    Attributes:
        file: The identity of the file; another one is there once the task was reset.
        end: How much of the file the walk covers: what came later is not seen.
        row: The row that comes next, counted from the walk's beginning.
    """

    file: int
    end: int
    row: int

    def as_text(self) -> str:
        """The `scroll_id` of a request."""
        return ".".join(f"{part:x}" for part in self)


def parse_position(text: str) -> Position:
    """The position that a `scroll_id` stands for.

    Raises:
        ServerError: 400/12, it was not given by this server.
    """
    try:
        return Position(*(int(part, 16) for part in text.split(".", 2)))
    except (ValueError, TypeError) as error:
        raise query.refuse(12, f"Validation error: {text[:100]!r} is no scroll_id of this server; begin again without one") from error


@dataclass(slots=True, eq=False, repr=False)
class Plan:
    """Which rows of a file count, and where.

    Attributes:
        starts: Where each frame begins.
        rows: How many rows all frames up to and with each one have.
        replaced: The rows that a later one replaces, in order.
        counts: How many events of each title and series count; empty for console lines.
    """

    starts: array[int] = field(default_factory=lambda: array("q"))
    rows: array[int] = field(default_factory=lambda: array("q"))
    replaced: array[int] = field(default_factory=lambda: array("q"))
    counts: dict[Name, int] = field(default_factory=dict)

    @property
    def all_rows(self) -> int:
        """Rows in the file."""
        return self.rows[-1] if self.rows else 0

    @property
    def total(self) -> int:
        """Events that count."""
        return self.all_rows - len(self.replaced)


def begin(path: Path) -> Position:
    """The beginning of a walk over what a file holds now."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return Position(0, 0, 0)
    return Position(status.st_ino, status.st_size, 0)


def plan_of(path: Path, kind: EventKind, position: Position) -> Plan:
    """The plan of a walk; empty when its file is gone. Reads the whole file once; the last few plans are kept."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return Plan()
    if status.st_ino != position.file or status.st_size < position.end:
        return Plan()
    return _plan(os.fspath(path), kind, position.file, position.end)


@lru_cache(_PLANS)
def _plan(path: str, kind: EventKind, file: int, end: int) -> Plan:  # noqa: ARG001  # the identity is part of the key
    plan, identities = Plan(), _Identities(kind)
    for frame in _frames(Path(path), end):
        plan.starts.append(frame.start)
        plan.rows.append(plan.all_rows + frame.header["rows"])
        identities.add(frame)
    plan.replaced, plan.counts = identities.replaced(), identities.counts()
    return plan


def _frames(path: Path, end: int) -> Iterator[Frame]:
    with path.open("rb") as file:
        for found in chunks.read_whole(path, file):
            if found.end > end:
                return
            yield found


class _Identities:
    """Finds the rows that a later one replaces. A series whose iterations only rise, the rule, costs two numbers."""

    def __init__(self, kind: EventKind) -> None:
        self._kind = kind
        self._rows = 0
        self._replaced: list[int] = []
        self._series: dict[tuple[str, ...], _Rising] = {}

    def add(self, frame: Frame) -> None:
        if self._kind is EventKind.SCALARS:
            block = chunks.decode_scalars("", frame)
            held = [self._series.setdefault(name, _Rising()) for name in block.names]
            numbers = block.series if block.series is not None else bytes(4 * len(block))
            numbers = memoryview(numbers).cast("B").cast("I")
            for row, (number, iteration) in enumerate(zip(numbers, block.iterations, strict=True), self._rows):
                held[number].add(row, iteration, self._replaced)
        elif self._kind is not EventKind.LOGS:
            for row, event in enumerate(chunks.decode_records(frame), self._rows):
                self._series.setdefault(_identity(event), _Rising()).add(row, event["iter"], self._replaced)
        self._rows += frame.header["rows"]

    def replaced(self) -> array[int]:
        return array("q", sorted(self._replaced))

    def counts(self) -> dict[Name, int]:
        found: Counter[Name] = Counter()
        for name, series in self._series.items():
            found[name[0], name[1]] += len(series)
        return dict(found)


class _Rising:
    """The last row of each iteration of one series: as long as they rise, columns do; a dictionary once one comes again or late."""

    __slots__ = ("_iterations", "_latest", "_rows")

    def __init__(self) -> None:
        self._iterations = array("q")
        self._rows = array("q")
        self._latest: dict[int, int] | None = None

    def __len__(self) -> int:
        return len(self._iterations if self._latest is None else self._latest)

    def add(self, row: int, iteration: int, replaced: list[int]) -> None:
        if self._latest is None:
            if not self._iterations or iteration > self._iterations[-1]:
                self._iterations.append(iteration)
                self._rows.append(row)
                return
            self._latest = dict(zip(self._iterations, self._rows, strict=True))
            self._iterations, self._rows = array("q"), array("q")
        earlier = self._latest.get(iteration)
        if earlier is not None:
            replaced.append(earlier)
        self._latest[iteration] = row


def page(
    path: Path, plan: Plan, kind: EventKind, position: Position, count: int, *, wanted: Wanted | None = None, newest_first: bool = False
) -> tuple[list[Row], Position]:
    """The next `count` events of a walk, and where it goes on.

    Args:
        path: The file.
        plan: Of this walk.
        kind: Of the events.
        position: Where the walk stands.
        count: How many events at most; fewer only at the end.
        wanted: Of which series; None for all. Console lines have none.
        newest_first: Whether the walk goes backwards.
    """
    found: list[Row] = []
    row = position.row
    if row >= plan.all_rows:
        return found, position
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        while row < plan.all_rows and len(found) < count:
            number = bisect_right(plan.rows, plan.all_rows - 1 - row if newest_first else row)
            first, last = plan.rows[number - 1] if number else 0, plan.rows[number]
            frame = chunks.read_frame(file, Frame({}, memoryview(b""), plan.starts[number], size))
            events = _decode(frame, kind, wanted) if frame is not None else None
            behind = plan.all_rows - first if newest_first else last
            if events is None:  # nothing of what is wanted
                row = behind
                continue
            gone = set(plan.replaced[bisect_left(plan.replaced, first) : bisect_left(plan.replaced, last)])
            while row < behind and len(found) < count:
                place = plan.all_rows - 1 - row if newest_first else row
                if place not in gone and (event := events(place - first)) is not None:
                    found.append(event)
                row += 1
    return found, position._replace(row=row)


def _decode(frame: Frame, kind: EventKind, wanted: Wanted | None) -> Callable[[int], Row | None] | None:
    """Gives the event at a place of a frame, None for one that is not wanted."""
    if kind is not EventKind.SCALARS:
        records = chunks.decode_records(frame)
        if wanted is None:
            return records.__getitem__
        return lambda place: event if wanted(_name(event := records[place])) else None
    block = chunks.decode_scalars("", frame)
    chosen = [wanted is None or wanted(name) for name in block.names]

    def event(place: int) -> Row | None:
        number = block.series[place] if block.series is not None else 0
        if not chosen[number]:
            return None
        moment = block.times if isinstance(block.times, float | int) else block.times[place]
        title, series = block.names[number]
        stamp, iteration, value = round(moment * 1000), block.iterations[place], block.values[place]
        return {"timestamp": stamp, "iter": iteration, "metric": title, "variant": series, "value": value}

    return event if any(chosen) else None


def _name(event: Row) -> Name:
    return event["metric"], event["variant"]


def _identity(event: Row) -> tuple[str, ...]:
    """What tells an event from others of its iteration. Server: of images the path takes part."""
    return (*_name(event), event["key"]) if "key" in event else _name(event)
