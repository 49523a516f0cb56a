"""Many threads that report at once, through several segments: what arrives is what was reported."""

from __future__ import annotations

import threading
import time
from array import array
from collections import Counter
from collections.abc import Callable

import pytest

from atrains._engine import records
from atrains._engine.journal import Journal
from atrains._engine.ledger import Ledger
from atrains._engine.reader import JournalReader
from atrains._wire.events import EventBlock, EventKind, RecordBlock, ScalarBlock

ReadAll = Callable[[JournalReader], list[EventBlock]]
THREADS = 8
POINTS = 100_000
SERIES = 5


def report(journal: Journal, thread: int, start: threading.Barrier) -> None:
    append = journal.scalars.append
    start.wait()
    ids = [journal.register_series("task", f"thread {thread}", str(series)) for series in range(SERIES)]
    for number in range(POINTS):
        assert append(ids[number % SERIES], thread * POINTS + number, number / 2)


def run_threads(journal: Journal, work: Callable[[Journal, int, threading.Barrier], None], beside: Callable[[], None]) -> None:
    start = threading.Barrier(THREADS)
    threads = [threading.Thread(target=work, args=(journal, thread, start)) for thread in range(THREADS)]
    for one in threads:
        one.start()
    while any(one.is_alive() for one in threads):
        beside()
    for one in threads:
        one.join()


@pytest.mark.parametrize("concurrent", [True, False], ids=["read meanwhile", "read afterwards"])
def test_eight_threads_through_many_segments(journal: Journal, read_all: ReadAll, concurrent: bool) -> None:
    reader, found = JournalReader(journal, Ledger()), list[EventBlock]()
    run_threads(journal, report, lambda: found.extend(read_all(reader)) if concurrent else time.sleep(0.01))
    found += read_all(reader)
    delivered: dict[tuple[str, str], array[int]] = {}
    for block in found:
        assert isinstance(block, ScalarBlock)
        for place, (iteration, value) in enumerate(zip(block.iterations, block.values, strict=True)):
            assert value == iteration % POINTS / 2
            delivered.setdefault(block.names[block.series[place] if block.series else 0], array("q")).append(iteration)
    assert len(delivered) == THREADS * SERIES
    for (title, series), iterations in delivered.items():
        thread = int(title.split()[1])
        expected = range(thread * POINTS + int(series), (thread + 1) * POINTS, SERIES)
        assert len(iterations) == len(expected), "a point was lost, or delivered twice"
        assert sorted(iterations) == list(expected)
    assert reader.abandoned == 0
    assert journal.scalars.claimed() == THREADS * POINTS
    on_disk = list(journal.folder.glob("scalars-*"))
    assert len(on_disk) <= 3 if concurrent else THREADS * POINTS * 32 // (2 << 20), "what was delivered is to be deleted"


def test_records_from_eight_threads_through_many_files(journal: Journal, read_all: ReadAll, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "FILE_BYTES", 10_000)

    def write(journal: Journal, thread: int, start: threading.Barrier) -> None:
        start.wait()
        for number in range(2000):
            event = {"timestamp": number, "level": "info", "msg": f"{thread}:{number}", "worker": "w"}
            journal.records.append({"kind": "logs", "task": str(thread % 3), "event": event})

    reader, found = JournalReader(journal, Ledger()), list[EventBlock]()
    run_threads(journal, write, lambda: found.extend(read_all(reader)))
    found += read_all(reader)
    lines: dict[str, list[int]] = {}
    for block in found:
        assert isinstance(block, RecordBlock)
        for event in block.events:
            thread, number = str(event["msg"]).split(":")
            assert block.task == str(int(thread) % 3)
            lines.setdefault(thread, []).append(int(number))
    assert lines == {str(thread): list(range(2000)) for thread in range(THREADS)}


def test_series_that_many_threads_register_at_once_get_one_id_each(journal: Journal) -> None:
    found: list[tuple[int, str]] = []

    def register(journal: Journal, thread: int, start: threading.Barrier) -> None:
        start.wait()
        found.extend((journal.register_series("task", "t", str(series)), str(series)) for series in range(200))

    run_threads(journal, register, lambda: time.sleep(0.001))
    assert set(Counter(found).values()) == {THREADS}
    assert len({number for number, _ in found}) == 200
    assert all(journal.series(number) == ("task", "t", series) for number, series in found)


def test_a_count_taken_while_somebody_delivers_is_never_too_high(journal: Journal) -> None:
    """`task.stats()` asks from another thread: what was stored must not be counted as pending too."""
    series = journal.register_series("task", "t", "s")
    for number in range(200_000):
        journal.scalars.append(series, number, 0.5)
    reader = JournalReader(journal, Ledger())
    done = threading.Event()

    def deliver() -> None:
        while blocks := reader.read(large=False):
            reader.advance(blocks)
        done.set()

    thread = threading.Thread(target=deliver)
    thread.start()
    seen = []
    while not done.is_set():
        seen.append(reader.counts("task")[EventKind.SCALARS].reported)
    thread.join()
    assert set(seen) <= {200_000}
