"""The cap on the journals: whatever happens at it, each event is stored, waiting, or dropped and counted, and the disk is not filled."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import signal
import tempfile
import threading
import time
from array import array
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atrains._api.logger import Logger
from atrains._config.settings import JournalSettings, Overflow
from atrains._engine import room
from atrains._engine.journal import Journal
from atrains._engine.ledger import FULL, LOST, Counts, Ledger
from atrains._engine.reader import JournalReader
from atrains._engine.workers import DaemonExecutor
from atrains._transport.base import Refusal
from atrains._wire.events import REPORTED, EventBlock, EventKind, ScalarBlock, Span
from atrains.errors import AtrainsError, JournalFullError

CAP = 16 << 10
POLICIES: tuple[Overflow, ...] = ("drop_oldest", "drop_new", "block", "raise")


@pytest.fixture(scope="module")
def threads() -> Iterator[DaemonExecutor]:
    executor = DaemonExecutor()
    yield executor
    executor.shutdown()


class AtOnce(Executor):
    """Runs a call where it is submitted: which segments exist does then not depend on how the threads of a busy machine take turns."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


class Run:
    """A journal with a cap, a logger that reports to it for each of two tasks, and a home that takes what `deliver` brings."""

    def __init__(self, parent: Path, threads: Executor, **chosen: Any) -> None:
        self.settings = JournalSettings(**{"max_bytes": CAP, **chosen})
        self.parent = parent
        self.stopped = self.settings.overflow != "block"
        self.journal = Journal(parent, target="t", worker="w", workers=threads, settings=self.settings, on_roll=self.wake)
        self.ledger = Ledger()
        self.reader = JournalReader(self.journal, self.ledger)
        outlet: Any = SimpleNamespace(journal=self.journal, ledger=self.ledger)
        options: Any = {"worker": "w", "wake": lambda: None, "largest": 1 << 20, "files": None}
        self.loggers = {task: Logger(task, outlet, **options) for task in ("one", "two")}
        self.called = dict.fromkeys([(task, kind) for task in self.loggers for kind in REPORTED], 0)
        self.taken: list[EventBlock] = []
        self.number = 0

    def wake(self) -> None:
        """Somebody waits for room: deliver at once, unless the home is to stay down."""
        if not self.stopped and not self.journal.scalars.is_held() and not self.journal.records.is_held():
            self.deliver()

    def report(self, task: str, count: int, kind: str) -> None:
        logger = self.loggers[task]
        for _ in range(count):
            self.number += 1
            of = EventKind.LOGS if kind == "text" else EventKind.SCALARS
            rows = 7 if kind == "array" else 1
            self.called[task, of] += rows
            try:
                if kind == "text":
                    logger.report_text(f"line {self.number}", print_console=False)
                elif kind == "array":
                    logger.report_scalars("a", "b", values=[0.5] * 7, iterations=range(7))
                else:
                    logger.report_scalar("t", str(self.number % 3), 0.5, self.number)
            except JournalFullError:
                assert self.settings.overflow == "raise"

    def deliver(self, *, refused: bool = False) -> bool:
        blocks = self.reader.read(large=False)
        self.reader.advance(blocks, {block.span: Refusal("no", len(block)) for block in blocks} if refused else {})
        self.taken += blocks
        return bool(blocks)

    def counts(self, task: str | None = None) -> dict[EventKind, Counts]:
        return self.reader.counts(task)

    def check(self) -> None:
        for (task, kind), called in self.called.items():
            counts = self.counts(task)[kind]
            assert counts.reported == called, (task, kind, counts)
        self.journal.room.give(0)

    def disk(self) -> int:
        size = 0
        for path in self.journal.folder.glob("*-*"):
            with contextlib.suppress(FileNotFoundError):  # a worker thread has just dropped it
                size += path.stat().st_size
        return size

    def iterations(self) -> list[int]:
        return [number for block in self.taken if isinstance(block, ScalarBlock) for number in block.iterations]


@pytest.fixture
def run(tmp_path: Path, threads: DaemonExecutor) -> Iterator[Callable[..., Run]]:
    runs: list[Run] = []

    def make(*, workers: Executor = threads, **chosen: Any) -> Run:
        runs.append(Run(tmp_path / "journals", workers, **chosen))
        return runs[-1]

    yield make
    for made in runs:
        made.journal.close(delivered=True)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["report"] * 4 + ["deliver", "fail", "refuse", "check"]),
        st.sampled_from(["one", "two"]),
        st.integers(1, 150),
        st.sampled_from(["point", "point", "text", "array"]),
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(
    steps=STEPS,
    policy=st.sampled_from(POLICIES),
    durability=st.sampled_from(["process", "process", "memory"]),
    cap=st.sampled_from([1, 4 << 10, CAP, 1 << 20]),
)
def test_every_event_is_stored_waiting_or_dropped_whatever_the_policy(
    threads: DaemonExecutor, steps: list[tuple[str, str, int, str]], policy: Overflow, durability: str, cap: int
) -> None:
    with tempfile.TemporaryDirectory() as place:
        run = Run(Path(place), threads, overflow=policy, durability=durability, max_bytes=cap)
        for step, task, count, kind in steps:
            if step == "report":
                run.report(task, count, kind)
            elif step == "fail":
                run.reader.read(large=True)
            elif step == "check":
                run.check()
            else:
                run.deliver(refused=step == "refuse")
        run.check()
        claimed = run.journal.scalars.claimed()
        assert run.disk() <= cap
        while run.deliver() or run.reader.has_unread():
            run.check()
        run.check()
        counts = run.counts()
        assert counts[EventKind.SCALARS].pending == counts[EventKind.LOGS].pending == 0
        assert run.reader.abandoned == run.journal.scalars.abandoned == 0
        assert claimed == run.journal.scalars.claimed() <= sum(run.called.values())
        run.journal.close(delivered=True)
        assert os.listdir(place) == []


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_the_oldest_go_first_and_the_newest_are_kept(run: Callable[..., Run], caplog: pytest.LogCaptureFixture) -> None:
    made = run(workers=AtOnce())
    made.report("one", 5000, "point")
    made.report("two", 3, "text")
    made.check()
    while made.deliver():
        pass
    kept = made.iterations()
    assert kept[-64:] == list(range(5001 - 64, 5001))
    assert kept == sorted(set(kept))
    assert kept[0] > 5000 - CAP // 32  # at most the one behind what is being delivered is missing in between
    assert CAP // 2 < len(kept) * 32 <= CAP
    assert made.counts("one")[EventKind.SCALARS].dropped == {FULL: 5000 - len(kept)}
    assert made.counts("two")[EventKind.SCALARS].dropped == {}
    assert made.counts("two")[EventKind.LOGS].acknowledged == 3
    (line,) = said(caplog)
    assert "16,384 bytes" in line
    assert "oldest" in line
    assert "ATRAINS_JOURNAL_MAX_BYTES" in line


def test_what_is_being_delivered_does_not_go(run: Callable[..., Run]) -> None:
    made = run()
    made.report("one", 100, "point")
    blocks = made.reader.read(large=True)  # on its way to the home
    made.report("one", 5000, "point")
    made.check()
    assert made.reader.read(large=True) is blocks
    while made.deliver():
        pass
    assert made.iterations()[: len(blocks[0])] == list(range(1, 1 + len(blocks[0])))
    made.check()


def test_records_and_points_make_room_for_each_other(run: Callable[..., Run]) -> None:
    made = run()
    made.report("one", 2000, "point")
    made.report("two", 2000, "text")
    assert made.counts("one")[EventKind.SCALARS].dropped[FULL] > 1500
    made.report("one", 2000, "point")
    assert made.counts("two")[EventKind.LOGS].dropped[FULL] > 1500
    made.check()
    assert made.disk() <= CAP


def test_new_events_are_dropped_until_something_is_delivered(run: Callable[..., Run], caplog: pytest.LogCaptureFixture) -> None:
    made = run(overflow="drop_new")
    made.report("one", 2000, "point")
    first = made.counts()[EventKind.SCALARS]
    assert first.pending > CAP // 32 // 2
    assert first.dropped == {FULL: 2000 - first.pending}
    while made.deliver():
        pass
    assert made.iterations() == list(range(1, first.pending + 1))
    made.report("one", 10, "point")
    assert made.counts()[EventKind.SCALARS].pending == 10
    (line,) = said(caplog)
    assert "new events are dropped until there is room" in line


def test_a_report_call_raises_what_where_and_what_to_do(run: Callable[..., Run], caplog: pytest.LogCaptureFixture) -> None:
    made = run(overflow="raise")
    logger = made.loggers["one"]

    def report_many(call: Callable[[int], None]) -> None:
        for number in range(2000):
            call(number)

    with pytest.raises(JournalFullError, match=r"1 of scalars of task one.*16,384 bytes.*ATRAINS_JOURNAL_MAX_BYTES") as caught:
        report_many(lambda number: logger.report_scalar("t", "s", 0.5, number))
    assert isinstance(caught.value, AtrainsError)
    assert str(made.parent) in str(caught.value)
    with pytest.raises(JournalFullError, match="logs"):
        report_many(lambda number: logger.report_text(str(number), print_console=False))
    counts = made.counts("one")
    assert counts[EventKind.SCALARS].dropped == counts[EventKind.LOGS].dropped == {FULL: 1}
    assert len(said(caplog)) == 1


def test_a_report_call_waits_until_there_is_room_and_nothing_is_lost(run: Callable[..., Run], caplog: pytest.LogCaptureFixture) -> None:
    made = run(overflow="block")
    made.stopped = True
    reporting = threading.Thread(target=made.report, args=("one", 2000, "point"))
    reporting.start()
    reporting.join(0.3)
    assert reporting.is_alive()
    while reporting.is_alive():
        made.deliver()
    while made.deliver():
        pass
    assert made.iterations() == list(range(1, 2001))
    assert made.counts()[EventKind.SCALARS].dropped == {}
    assert len(said(caplog)) == 1


def test_ctrl_c_ends_the_wait(run: Callable[..., Run]) -> None:
    made = run(overflow="block")
    made.stopped = True
    timer = threading.Timer(0.3, signal.raise_signal, [signal.SIGINT])
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        made.report("one", 2000, "point")
    timer.join()
    made.stopped = False
    made.deliver()
    made.report("one", 10, "point")


def test_a_closed_journal_ends_the_wait(run: Callable[..., Run]) -> None:
    made = run(overflow="block")
    made.stopped = True
    for kind in ("point", "text"):
        threading.Timer(0.2, made.journal.seal).start()
        made.report("one", 2000, kind)
    made.check()


async def test_an_event_loop_is_not_held(run: Callable[..., Run]) -> None:
    made = run(overflow="block")
    made.stopped = True
    begin = time.monotonic()
    made.report("one", 2000, "point")
    assert time.monotonic() - begin < 1
    assert made.counts()[EventKind.SCALARS].dropped[FULL] > 0
    made.check()
    made.stopped = False
    await asyncio.get_running_loop().run_in_executor(None, made.report, "one", 2000, "point")
    assert made.counts()[EventKind.SCALARS].acknowledged > 1000
    made.check()


@pytest.mark.parametrize("policy", POLICIES)
def test_a_signal_handler_that_reports_at_the_cap_never_waits_for_itself(run: Callable[..., Run], policy: Overflow) -> None:
    made = run(overflow=policy)
    made.stopped = True
    done = threading.Event()
    delivering = threading.Thread(target=lambda: [made.deliver() for _ in iter(lambda: done.wait(0.0005), True)])
    delivering.start()
    inside = False

    def handler(number: int, frame: FrameType | None) -> None:
        nonlocal inside
        if not inside:
            inside = True
            made.report("two", 3, "point")
            made.report("two", 1, "text")
            inside = False

    before = signal.signal(signal.SIGVTALRM, handler)
    signal.setitimer(signal.ITIMER_VIRTUAL, 0.0005, 0.0005)
    try:
        until = time.monotonic() + 1
        while time.monotonic() < until:
            made.report("one", 50, "point")
            made.report("one", 20, "text")
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
        done.set()
        delivering.join()
    made.check()


@pytest.mark.parametrize("policy", ["drop_oldest", "drop_new"])
def test_the_ledger_balances_at_every_moment_under_threads(run: Callable[..., Run], policy: Overflow) -> None:
    made = run(overflow=policy, max_bytes=128 << 10)
    done = threading.Event()
    called = [0] * 4
    logger = made.loggers["one"]

    def work(thread: int) -> None:
        while not done.is_set():
            logger.report_scalar("t", str(thread), 0.5, called[thread])
            called[thread] += 1

    workers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    until = time.monotonic() + (20 if os.environ.get("ATRAINS_SOAK") else 1)
    while time.monotonic() < until:
        least = sum(called)
        found = made.counts("one")[EventKind.SCALARS].reported
        assert least - 8192 <= found <= sum(called) + 4  # a hole stands for a call that has not come back, and hides none behind it
        made.deliver()
    done.set()
    for worker in workers:
        worker.join()
    while made.deliver() or made.reader.has_unread():
        pass
    counts = made.counts("one")[EventKind.SCALARS]
    points = set(zip(made_series(made), made.iterations(), strict=True))
    twice = len(made.iterations()) - len(points)  # written again by a call that could not know whether it was in time: one point to a home
    assert counts.acknowledged == len(made.iterations())
    assert 0 <= counts.reported - sum(called) <= twice + made.journal.scalars.abandoned + made.reader.abandoned + 4
    assert counts.dropped[FULL] > 0
    assert counts.pending == 0
    dropped = sum(made.journal.scalars.gone.get(FULL, {}).values())
    assert made.journal.scalars.claimed() == counts.acknowledged + dropped + made.reader.abandoned + made.journal.scalars.abandoned


def made_series(made: Run) -> list[str]:
    found = []
    for block in made.taken:
        assert isinstance(block, ScalarBlock)
        found += [block.names[number][1] for number in ([0] * len(block) if block.series is None else block.series)]
    return found


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
