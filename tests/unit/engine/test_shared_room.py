"""The room for journals: what other runs take of it, what others need of the disk, and journals that have none on it at all."""

from __future__ import annotations

import re
import threading
import time
from array import array
from collections.abc import Callable
from pathlib import Path

import pytest

from atrains._engine import room
from atrains._engine.journal import Journal
from atrains._engine.ledger import FULL, LOST, Counts, Ledger
from atrains._engine.reader import JournalReader
from atrains._engine.workers import DaemonExecutor
from atrains._wire.events import EventKind, Span
from atrains.errors import JournalFullError
from tests.unit.engine.capped import (
    CAP,
    POLICIES,
    Run,
    made_runs,  # noqa: F401  # a fixture
    said,
    worker_threads,  # noqa: F401  # a fixture
)


def test_the_journals_of_other_runs_count_and_are_named(run: Callable[..., Run], tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    left = tmp_path / "journals" / "1-dead"
    left.mkdir(parents=True)
    (left / "scalars-0").write_bytes(bytes(CAP))
    for policy in POLICIES:
        caplog.clear()
        made = run(overflow=policy)
        made.stopped = True
        if policy == "block":
            timer = threading.Timer(0.2, made.journal.seal)
            timer.start()
        made.report("one", 10, "point")
        assert made.disk() == 0
        (line,) = (message for message in said(caplog) if "other runs" in message)
        assert re.search(r"16,384 bytes, 1\d,\d\d\d bytes of them in \d of other runs \(`atrains sync`", line)
        assert str(tmp_path) in line
        if policy == "drop_oldest":  # it has nothing to drop: the home may be up, then nothing is lost
            assert "kept in memory" in line
            assert made.journal.in_memory
            assert made.counts()[EventKind.SCALARS].pending == 10
        made.check()
    (left / "scalars-0").unlink()


def test_room_that_others_gave_back_is_used(run: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "LOOK_SECONDS", 0.05)
    left = tmp_path / "journals" / "1-dead"
    left.mkdir(parents=True)
    (left / "scalars-0").write_bytes(bytes(CAP))
    made = run(overflow="drop_new")
    made.report("one", 10, "text")
    assert made.counts()[EventKind.LOGS].dropped == {FULL: 10}
    (left / "scalars-0").unlink()
    time.sleep(0.1)
    made.report("one", 10, "text")
    made.report("one", 10, "point")
    assert made.counts()[EventKind.LOGS].pending == made.counts()[EventKind.SCALARS].pending == 10


def test_the_disk_is_not_taken_below_what_is_left_to_others(
    run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(room, "_FREE_PART", 1.0)
    monkeypatch.setattr(room, "_FREE_BYTES", 1 << 60)
    made = run(overflow="drop_new")
    made.report("one", 10, "point")
    made.report("one", 10, "text")
    made.check()
    assert made.disk() == 0
    (line,) = said(caplog)
    assert "free" in line
    assert "left to others" in line


def test_nothing_of_events_is_on_disk_when_they_are_to_be_in_memory(run: Callable[..., Run]) -> None:
    made = run(durability="memory", max_bytes=1 << 30)
    made.report("one", 20_000, "point")
    made.report("one", 100, "text")
    made.report("two", 10, "array")
    assert made.journal.in_memory
    assert sorted(path.name for path in made.journal.folder.iterdir()) == ["jobs", "journal.json", "lock", "series"]
    assert (made.journal.folder / "series").stat().st_size == 0
    made.check()
    while made.deliver() or made.reader.has_unread():
        pass
    assert made.counts()[EventKind.SCALARS] == Counts(20_070)
    assert made.counts()[EventKind.LOGS] == Counts(100)
    assert made.iterations()[:20_000] != []


def test_a_journal_without_any_folder_delivers(tmp_path: Path, threads: DaemonExecutor) -> None:
    journal = Journal(tmp_path / "nowhere", target="t", worker="w", workers=threads, on_disk=False)
    number = journal.register_series("task", "t", "s")
    assert journal.scalars.append(number, 1, 0.5)
    assert journal.records.append({"kind": "logs", "task": "task", "event": {"msg": "x"}})
    journal.finish_job(journal.add_job("run", "task", {}))
    journal.sync()
    reader = JournalReader(journal, Ledger())
    assert [len(block) for block in reader.read(large=True)] == [1, 1]
    journal.close(delivered=False)
    assert not (tmp_path / "nowhere").exists()


def test_a_folder_that_somebody_removes_costs_its_unmapped_segments_by_name_and_number(
    run: Callable[..., Run], caplog: pytest.LogCaptureFixture
) -> None:
    import shutil

    made = run(max_bytes=1 << 20)
    made.report("one", 20_000, "point")
    made.report("one", 5, "text")
    while made.journal.scalars.segments()[-4].slots is not None:
        time.sleep(0.001)
    made.deliver()
    while made.parent.exists():  # a worker thread may write to a file, or make one, while the folder goes
        shutil.rmtree(made.parent, ignore_errors=True)
    assert made.journal.in_memory
    made.check()
    made.report("one", 20_000, "point")
    made.report("one", 5, "text")
    made.check()
    while made.deliver() or made.reader.has_unread():
        made.check()
    counts = made.counts("one")
    assert counts[EventKind.LOGS] == Counts(10)
    assert counts[EventKind.SCALARS].pending == 0
    assert set(counts[EventKind.SCALARS].dropped) <= {LOST, "no room"}
    assert 0 < counts[EventKind.SCALARS].dropped[LOST] < 20_000
    assert made.journal.scalars.abandoned == 0
    assert [line for line in said(caplog) if "was deleted before it was delivered" in line]


def test_a_report_larger_than_the_cap_costs_nothing_else(run: Callable[..., Run]) -> None:
    for policy in POLICIES:
        made = run(overflow=policy)
        made.report("one", 20, "point")
        made.called["one", EventKind.SCALARS] += 10_000
        try:
            made.loggers["one"].report_scalars("a", "b", values=array("d", bytes(80_000)), iterations=range(10_000))
        except JournalFullError as error:
            assert "larger than journal.max_bytes" in str(error)  # noqa: PT017  # one policy of several raises
        made.check()
        assert made.counts()[EventKind.SCALARS].pending in {20, 10_020}


def test_looks_at_the_folder_are_few_and_short(run: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(20):
        folder = tmp_path / "journals" / f"1-{number}"
        folder.mkdir(parents=True)
        for name in ("journal.json", "lock", "series", "jobs", "scalars-0", "records-0"):
            (folder / name).write_bytes(b"x")
    made = run(max_bytes=1 << 30)
    looks: list[float] = []
    look = made.journal.room._look

    def timed(folder: Path) -> None:
        begin = time.thread_time()  # what it costs, however busy the machine is
        look(folder)
        looks.append(time.thread_time() - begin)

    monkeypatch.setattr(made.journal.room, "_look", timed)
    begin = time.monotonic()
    made.report("one", 200_000, "point")
    made.report("one", 5_000, "text")
    seconds = time.monotonic() - begin
    assert len(looks) <= 5 + seconds / room.LOOK_SECONDS + 1
    assert min(looks) < 0.001
    assert isinstance(made.reader.read(large=True)[0].span, Span)
