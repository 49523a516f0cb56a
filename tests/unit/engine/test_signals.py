"""A signal handler that reports, at any moment: also in the middle of the very call that it interrupted."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import orjson
import pytest

from atrains._engine import frame_files, records, segment, segments
from atrains._engine.journal import Journal
from atrains._engine.ledger import Ledger
from atrains._engine.reader import JournalReader
from atrains._wire.events import REPORTED, EventBlock, ScalarBlock

ReadAll = Callable[[JournalReader], list[EventBlock]]


class Reports:
    """Reports points, series and lines, and knows what it reported."""

    def __init__(self, journal: Journal, name: str) -> None:
        self.journal, self.name = journal, name
        self.points: list[tuple[str, int]] = []
        self.lines: list[str] = []

    def report(self) -> None:
        number = len(self.points)
        series = f"{self.name} {number // 10}"
        assert self.journal.scalars.append(self.journal.register_series("task", "t", series), number, 0.5)
        self.points.append((series, number))
        text = f"{self.name} line {number}"
        self.journal.records.append({"kind": "logs", "task": "task", "event": {"msg": text}})
        self.lines.append(text)

    def print(self) -> None:
        """Lines as they are printed, in windows, among others and some that do not fit there."""
        number = len(self.lines)
        text = f"{self.name} line {number}" + ("." * 200 if not number % 10 else "")
        record = {"kind": "logs", "task": "task", "event": {"msg": text}}
        if number % 5:
            assert self.journal.records.append_printed(("task", "logs"), orjson.dumps(record))
        else:
            assert self.journal.records.append(record)
        self.lines.append(text)


def check(journal: Journal, read_all: ReadAll, *all_reports: Reports) -> None:
    points, lines = list[tuple[str, int]](), list[str]()
    reader = JournalReader(journal, Ledger())
    for block in read_all(reader):
        if isinstance(block, ScalarBlock):
            series = [0] * len(block) if block.series is None else block.series
            points += [(block.names[s][1], i) for s, i in zip(series, block.iterations, strict=True)]
        else:
            lines += [str(event["msg"]) for event in block.events]
    assert Counter(points) == Counter(point for reports in all_reports for point in reports.points)
    for reports in all_reports:
        assert [line for line in lines if line.startswith(reports.name)] == reports.lines
    assert len(lines) == sum(len(reports.lines) for reports in all_reports)
    assert journal.scalars.claimed() == len(points)
    assert reader.abandoned == 0


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes that make segments and files roll all the time."""
    monkeypatch.setattr(segments, "FIRST_SLOTS", 4)
    monkeypatch.setattr(segments, "SLOTS", 8)
    monkeypatch.setattr(records, "FILE_BYTES", 400)


@pytest.fixture
def windowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes that make windows open and close all the time."""
    monkeypatch.setattr(records, "FILE_BYTES", 200_000)
    monkeypatch.setattr(records, "WINDOW_BYTES", 1_000)
    monkeypatch.setattr(records, "ONE_WRITE", 200)
    monkeypatch.setattr(records, "RETRY_SECONDS", 0)


@contextmanager
def ticking(handler: Callable[[], None]) -> Iterator[None]:
    inside = False

    def call(number: int, frame: FrameType | None) -> None:
        nonlocal inside
        if not inside:  # the reports below count for themselves, and would count wrong if they interrupted each other
            inside = True
            handler()
            inside = False

    before = signal.signal(signal.SIGVTALRM, call)
    signal.setitimer(signal.ITIMER_VIRTUAL, 0.0005, 0.0005)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@pytest.mark.usefixtures("small")
def test_a_handler_that_reports_loses_nothing_and_never_waits_for_itself(journal: Journal, read_all: ReadAll) -> None:
    main, handler = Reports(journal, "main"), Reports(journal, "handler")
    with ticking(handler.report):
        while len(handler.points) < 200:
            main.report()
    check(journal, read_all, main, handler)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("place", ["map_zeros", "write_once", "fstat", "writev", "open"])
def test_a_handler_at_the_worst_moment(journal: Journal, read_all: ReadAll, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """The handler runs before and after the system calls of making a segment and of writing a record, each time."""
    main, handler = Reports(journal, "main"), Reports(journal, "handler")
    owner: Any = {"map_zeros": segment, "write_once": frame_files.FrameFile}.get(place, os)
    original, inside = getattr(owner, place), False

    def interrupted(*arguments: object, **named: object) -> object:
        nonlocal inside
        if inside:
            return original(*arguments, **named)
        inside = True
        try:
            handler.report()
            result = original(*arguments, **named)
            handler.report()
        finally:
            inside = False
        return result

    journal.scalars.prepare = lambda _: None  # no segments ahead: each roll makes one, with the handler in the middle of it
    monkeypatch.setattr(owner, place, interrupted)
    for _ in range(100):
        main.report()
    monkeypatch.undo()
    assert handler.points
    check(journal, read_all, main, handler)


@pytest.mark.usefixtures("windowed")
@pytest.mark.parametrize("place", ["mmap", "write", "ftruncate", "writev", "open"])
def test_a_handler_that_prints_at_the_worst_moment(
    journal: Journal, read_all: ReadAll, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """The handler runs before and after the system calls of opening a window of a file, of closing it, and of writing without one."""
    main, handler = Reports(journal, "main"), Reports(journal, "handler")
    owner: Any = frame_files.mmap if place == "mmap" else os
    original, inside, calls, opened = getattr(owner, place), False, 0, 0

    def interrupted(*arguments: object, **named: object) -> object:
        nonlocal inside, calls
        calls += 1
        if inside or not calls % 3:
            return original(*arguments, **named)
        inside = True
        try:
            if place != "ftruncate":  # in front of that, as of any call into C, nothing is called any more
                handler.print()
            result = original(*arguments, **named)
            handler.print()
        finally:
            inside = False
        return result

    monkeypatch.setattr(owner, place, interrupted)
    for _ in range(600):
        main.print()
        opened += journal.records._files[-1].frames.window is not None
    monkeypatch.undo()
    assert handler.lines
    assert opened > 100
    check(journal, read_all, main, handler)


@pytest.mark.usefixtures("windowed")
def test_a_handler_that_prints_loses_nothing(journal: Journal, read_all: ReadAll) -> None:
    main, handler = Reports(journal, "main"), Reports(journal, "handler")
    with ticking(handler.print):
        while len(handler.lines) < 200:
            main.print()
    check(journal, read_all, main, handler)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("behind", [True, False], ids=["after the call", "before the call"])
@pytest.mark.parametrize("place", ["writev", "fstat", "map_zeros", "open"])
def test_an_interrupted_report_does_not_shift_those_behind_it(
    journal: Journal, read_all: ReadAll, monkeypatch: pytest.MonkeyPatch, place: str, behind: bool
) -> None:
    """Ctrl-C in the middle of a report, in a program that goes on: what is reported afterwards must still be found."""
    reports, calls = Reports(journal, "main"), 0
    owner: Any = segment if place == "map_zeros" else os
    original = getattr(owner, place)

    def interrupted(*arguments: object, **named: object) -> object:
        nonlocal calls
        calls += 1
        if calls % 7 == 0 and not behind:
            raise KeyboardInterrupt
        result = original(*arguments, **named)
        if calls % 7 == 0:
            raise KeyboardInterrupt
        return result

    journal.scalars.prepare = lambda _: None
    monkeypatch.setattr(owner, place, interrupted)
    interrupts = 0
    while len(reports.points) < 300:
        try:
            reports.report()
        except KeyboardInterrupt:
            interrupts += 1
            reports.points.append(("", 0))  # what the interrupted call had done is unknown: it counts as not reported
    monkeypatch.undo()
    assert interrupts > 3
    reader = JournalReader(journal, Ledger())
    points, lines = set[tuple[str, int]](), list[str]()
    for block in read_all(reader):
        if isinstance(block, ScalarBlock):
            series = [0] * len(block) if block.series is None else block.series
            points |= {(block.names[s][1], i) for s, i in zip(series, block.iterations, strict=True)}
        else:
            lines += [str(event["msg"]) for event in block.events]
    assert {point for point in reports.points if point[0]} <= points
    assert set(reports.lines) <= set(lines)
    assert len(lines) == len(set(lines))
    assert reader.pending("task") == dict.fromkeys(REPORTED, 0)
