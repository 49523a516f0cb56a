"""Slots and their reader: whatever is claimed, filled late or never filled, each point that was stored is delivered once."""

from __future__ import annotations

import math
import struct
import tempfile
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atrains._engine import reader as reading
from atrains._engine import segments
from atrains._engine.journal import Journal
from atrains._engine.ledger import NOT_FINITE, Ledger
from atrains._engine.reader import JournalReader
from atrains._engine.segments import SLOT, Segment
from atrains._engine.workers import DaemonExecutor
from atrains._wire.events import EventBlock, EventKind, ScalarBlock

ReadAll = Callable[[JournalReader], list[EventBlock]]


@contextmanager
def small_segments() -> Iterator[None]:
    """Segments of a few slots, so that a few points fill several."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segments, "FIRST_SLOTS", 8)
        patch.setattr(segments, "SLOTS", 16)
        patch.setattr(reading, "SLICE", 5)
        yield


@pytest.fixture
def small() -> Iterator[None]:
    with small_segments():
        yield


@pytest.fixture(scope="module")
def threads() -> Iterator[DaemonExecutor]:
    executor = DaemonExecutor(1)
    yield executor
    executor.shutdown()


def points_of(blocks: list[EventBlock]) -> list[tuple[str, tuple[str, str], int, float]]:
    found = []
    for block in blocks:
        assert isinstance(block, ScalarBlock)
        series = [0] * len(block) if block.series is None else block.series
        found += [(block.task, block.names[s], i, v) for s, i, v in zip(series, block.iterations, block.values, strict=True)]
    return found


@dataclass
class Call:
    """A report call that was interrupted between claiming its slot and writing it."""

    segment: Segment
    index: int
    number: int

    def go_on(self, journal: Journal, series: int) -> bool:
        """Write the slot, and write again elsewhere if it was given up meanwhile; returns whether that was so."""
        SLOT.pack_into(self.segment.slots, self.index * SLOT.size, self.number, 1.5, self.number / 2, 0, series)
        if self.segment.retired:
            assert journal.scalars.append(series, self.number, self.number / 2)
        return self.segment.retired


def claim(journal: Journal, number: int) -> Call:
    while True:
        segment = journal.scalars._current
        index = segment.claim()
        if index < segment.capacity:
            return Call(segment, index, number)
        journal.scalars._roll(segment)


STEPS = st.lists(st.sampled_from(["report", "report", "report", "claim", "go on", "read", "read only"]), max_size=120)


@settings(max_examples=200, deadline=None)
@given(steps=STEPS, data=st.data())
def test_each_stored_point_is_delivered_once_in_whatever_order_slots_are_filled(
    threads: DaemonExecutor, read_all: ReadAll, steps: list[str], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as place, small_segments():
        journal = Journal(Path(place), target="t", worker="w", workers=threads)
        ids = [journal.register_series(task, "title", series) for task, series in (("one", "a"), ("two", "a"), ("one", "b"))]
        reader, delivered, reported, twice = JournalReader(journal, Ledger()), list[EventBlock](), set[int](), set[int]()
        interrupted: list[Call] = []
        for number, step in enumerate(steps):
            if step == "report":
                assert journal.scalars.append(ids[number % 3], number, number / 2)
                reported.add(number)
            elif step == "claim" and len(interrupted) < reading.SLICE - 1:
                interrupted.append(claim(journal, number))
            elif step == "go on" and interrupted:
                call = interrupted.pop(data.draw(st.integers(0, len(interrupted) - 1)))
                if call.go_on(journal, ids[call.number % 3]):
                    twice.add(call.number)
                reported.add(call.number)
            elif step.startswith("read"):
                blocks = reader.read(large=False)
                assert [block.span for block in reader.read(large=True)] == [block.span for block in blocks]
                if step == "read":
                    delivered += blocks
                    reader.advance(blocks)
        delivered += read_all(reader)
        points = points_of(delivered)
        counts = Counter(number for _, _, number, _ in points)
        assert set(counts) == reported
        assert all(count == 1 or number in twice for number, count in counts.items())
        for task, (_, series), number, value in points:
            assert (task, series, value) == (("one", "a"), ("two", "a"), ("one", "b"))[number % 3] + (number / 2,)
        check_spans(delivered, reader.position.slots)
        assert reader.pending(None)[EventKind.SCALARS] == 0
        assert not reader.has_unread()
        assert reader.abandoned <= len(interrupted) + len(twice)
        assert journal.scalars.claimed() == len(reported) + len(interrupted) + len(twice)
        journal.close(delivered=True)


def check_spans(blocks: list[EventBlock], end: int) -> None:
    covered: dict[str, list[tuple[int, int]]] = {}
    for block in blocks:
        covered.setdefault(block.span.stream, []).append((block.span.first, block.span.last))
    for spans in covered.values():
        spans.sort()
        assert all(first < last <= end for first, last in spans)
        assert all(one[1] <= other[0] for one, other in pairwise(spans))


@pytest.mark.usefixtures("small")
def test_a_slot_that_is_never_filled_is_given_up_with_its_segment_and_costs_nothing_else(journal: Journal, read_all: ReadAll) -> None:
    series = journal.register_series("task", "t", "s")
    reader = JournalReader(journal, Ledger())
    journal.scalars.append(series, 0, 0.0)
    claim(journal, 1)
    claim(journal, 2)
    first = journal.scalars.segments()[0]
    assert first.path is not None
    for number in range(3, 30):
        journal.scalars.append(series, number, 0.5)
    points = points_of(read_all(reader))
    assert [number for *_, number, _ in points] == [0, *range(3, 30)]
    read_all(reader)
    assert reader.abandoned == 2
    assert not first.path.exists()
    assert journal.scalars.claimed() == 30


@pytest.mark.usefixtures("small")
def test_a_slot_that_is_filled_after_it_was_passed_counts_as_pending_until_it_is_delivered(journal: Journal, read_all: ReadAll) -> None:
    series = journal.register_series("task", "t", "s")
    reader = JournalReader(journal, Ledger())
    held = claim(journal, 7)
    journal.scalars.append(series, 8, 0.0)
    assert [number for *_, number, _ in points_of(read_all(reader))] == [8]
    assert not reader.has_unread()
    held.go_on(journal, series)
    assert reader.has_unread(), "closing the journal now would lose a point"
    assert reader.pending("task")[EventKind.SCALARS] == 1
    assert [number for *_, number, _ in points_of(read_all(reader))] == [7]
    assert not reader.has_unread()


@pytest.mark.parametrize("iteration", [2**63, -(2**63) - 1, 10**30])
def test_an_iteration_of_more_than_64_bit_leaves_nothing_behind(journal: Journal, read_all: ReadAll, iteration: int) -> None:
    series = journal.register_series("task", "t", "s")
    reader = JournalReader(journal, Ledger())
    journal.scalars.append(series, 1, 0.5)
    with pytest.raises(struct.error):
        journal.scalars.append(series, iteration, 0.5)
    journal.scalars.append(series, 2, 0.5)
    assert reader.pending("task")[EventKind.SCALARS] == 2
    assert [number for *_, number, _ in points_of(read_all(reader))] == [1, 2]
    assert reader.abandoned == 0


FLOATS = st.sampled_from([math.nan, math.inf, -math.inf, 1.7e308, -1.7e308]) | st.floats()


@settings(max_examples=60, deadline=None)
@given(values=st.lists(st.tuples(st.integers(0, 2), FLOATS), max_size=40), columns=st.lists(FLOATS, max_size=40))
def test_values_that_are_not_finite_are_dropped_and_counted_and_all_others_delivered(
    threads: DaemonExecutor, read_all: ReadAll, values: list[tuple[int, float]], columns: list[float]
) -> None:
    with tempfile.TemporaryDirectory() as place, small_segments():
        journal, ledger = Journal(Path(place), target="t", worker="w", workers=threads), Ledger()
        names = [("one", "a"), ("two", "a"), ("one", "b")]
        ids = [journal.register_series(task, "t", series) for task, series in names]
        for number, (series, value) in enumerate(values):
            journal.scalars.append(ids[series], number, value)
        if columns:
            header = {"kind": "scalars", "task": "one", "title": "t", "series": "c", "time": 1.5, "rows": len(columns)}
            steps = array("q", range(len(columns)))
            journal.records.append(header, [memoryview(steps), memoryview(array("d", columns))])
        reader = JournalReader(journal, ledger)
        assert sum(counts.pending for counts in reader.counts(None).values()) == len(values) + len(columns)
        points = points_of(read_all(reader))
        everything = [(*names[series], number, value) for number, (series, value) in enumerate(values)]
        everything += [("one", "c", number, value) for number, value in enumerate(columns)]
        assert sorted((task, series, number, value) for task, (_, series), number, value in points) == sorted(
            point for point in everything if math.isfinite(point[3])
        )
        for task in ("one", "two"):
            counts = reader.counts(task)[EventKind.SCALARS]
            lost = sum(1 for point in everything if point[0] == task and not math.isfinite(point[3]))
            assert counts.dropped == ({NOT_FINITE: lost} if lost else {})
            assert counts.reported == sum(1 for point in everything if point[0] == task)
        journal.close(delivered=True)


def test_tasks_that_share_a_journal_get_their_own_points_in_their_order(journal: Journal, read_all: ReadAll) -> None:
    ids = {task: [journal.register_series(task, "t", str(series)) for series in range(3)] for task in ("a", "b", "c")}
    for number in range(3000):
        task = "abc"[number % 3]
        journal.scalars.append(ids[task][number // 3 % 3], number, number / 2)
        if number % 100 == 0:
            event = {"timestamp": number, "level": "info", "msg": str(number), "worker": "w"}
            journal.records.append({"kind": "logs", "task": task, "event": event})
    blocks = read_all(JournalReader(journal, Ledger()))
    for task, rest in (("a", 0), ("b", 1), ("c", 2)):
        points = points_of([block for block in blocks if isinstance(block, ScalarBlock) and block.task == task])
        assert [number for *_, number, _ in points] == list(range(rest, 3000, 3))
        assert all(series == str(number // 3 % 3) for _, (_, series), number, _ in points)
        lines = [event["msg"] for block in blocks if not isinstance(block, ScalarBlock) and block.task == task for event in block.events]
        assert lines == [str(number) for number in range(0, 3000, 100) if number % 3 == rest]


def test_a_slot_that_is_filled_while_its_segment_leaves_memory_counts(tmp_path: Path) -> None:
    """A writer that was held between getting hold of the mapping and writing to it."""
    segment = Segment.create(tmp_path, 0, 4)
    mapping = segment.slots
    for index in range(3):
        SLOT.pack_into(mapping, index * SLOT.size, 1, 0.0, 0.5, 0, 7)
    segment.unmap(held=False)
    SLOT.pack_into(mapping, 3 * SLOT.size, 1, 0.0, 0.5, 0, 7)
    segment.retired = True
    assert segment.counted() == Counter({7: 4})
    assert segment.path is not None
    segment.path.unlink()
    assert segment.counted() == Counter({7: 4}), "what was counted while the file was there"
