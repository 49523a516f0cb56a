"""The cap on the journals: whatever happens at it, each event is stored, waiting, or dropped and counted, and the disk is not filled."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atrains._config.settings import Overflow
from atrains._engine.ledger import FULL
from atrains._engine.workers import DaemonExecutor
from atrains._wire.events import EventKind, ScalarBlock
from atrains.errors import AtrainsError, JournalFullError
from tests.unit.engine.capped import (
    CAP,
    POLICIES,
    Run,
    made_runs,  # noqa: F401  # a fixture
    said,
    worker_threads,  # noqa: F401  # a fixture
)


class AtOnce(Executor):
    """Runs a call where it is submitted: which segments exist does then not depend on how the threads of a busy machine take turns."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


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
