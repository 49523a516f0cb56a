"""The reporter: in order, nothing twice, nothing lost, whatever the home does."""

from __future__ import annotations

import asyncio
import time
from array import array
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from atrains._engine import reader as reading
from atrains._engine.journal import Journal
from atrains._engine.ledger import NOT_FINITE, REFUSED
from atrains._engine.reporter import Reporter
from atrains._engine.workers import DaemonExecutor
from atrains._local.transport import LocalTransport
from atrains._transport.base import Refusal, Transport
from atrains._wire import endpoints
from atrains._wire.endpoints import Endpoint
from atrains._wire.events import EventBlock, EventKind, RecordBlock, ScalarBlock, Span
from atrains.errors import HomeError, ServerError

Answer = Callable[[EventBlock], "Awaitable[None] | Refusal | None"]


def well(block: EventBlock) -> None:
    """Store it."""


def until(event: asyncio.Event) -> Answer:
    """Answer nothing before the event."""

    async def wait() -> None:
        await event.wait()

    return lambda _: wait()


class HandWritten:
    """A home that keeps what it is sent in a list, and answers as it is told."""

    target = "test:home"
    status_poll_interval = 0.05
    keeps_spans = True
    batch_rows = 1
    retry_interval = 0.2

    def __init__(self, answer: Answer | None = None) -> None:
        self.answer = answer or well
        self.sent: list[EventBlock] = []
        self.stored: list[EventBlock] = []
        self.times: list[float] = []

    async def call(self, endpoint: Endpoint, request: Mapping[str, Any]) -> dict[str, Any]:
        raise NotImplementedError

    async def add_events(self, blocks: Sequence[EventBlock]) -> Mapping[Span, Refusal]:
        refused: dict[Span, Refusal] = {}
        for block in blocks:
            self.sent.append(block)
            self.times.append(time.monotonic())
            wait = self.answer(block)
            if isinstance(wait, Refusal):
                refused[block.span] = wait
                continue
            if wait is not None:
                await wait
            if all(stored.span != block.span for stored in self.stored):
                self.stored.append(block)
        return refused

    async def probe(self) -> None:
        pass

    async def stored_spans(self, journal: str) -> Any:
        raise NotImplementedError

    def scalars(self, task: str) -> AsyncGenerator[ScalarBlock]:
        raise NotImplementedError(task)

    async def aclose(self) -> None:
        pass

    def iterations(self, task: str) -> list[int]:
        return [i for block in self.stored if isinstance(block, ScalarBlock) and block.task == task for i in block.iterations]

    def lines(self, task: str) -> list[object]:
        return [event["msg"] for block in self.stored if isinstance(block, RecordBlock) and block.task == task for event in block.events]


def failing(times: int, error: Exception) -> Answer:
    left = times

    def answer(block: EventBlock) -> None:
        nonlocal left
        if left:
            left -= 1
            raise error

    return answer


def report(journal: Journal, task: str, count: int, first: int = 0) -> None:
    series = journal.register_series(task, "loss", "train")
    for number in range(first, first + count):
        assert journal.scalars.append(series, number, number / 2)


def say(journal: Journal, task: str, text: str) -> None:
    event = {"timestamp": 1, "level": "info", "msg": text, "worker": "w"}
    journal.records.append({"kind": "logs", "task": task, "event": event})


@asynccontextmanager
async def running(journal: Journal, transport: Transport, workers: DaemonExecutor, period: float = 60.0) -> AsyncIterator[Reporter]:
    reporter = Reporter(journal, transport, workers=workers, period=period)
    task = asyncio.create_task(reporter.run())
    yield reporter
    alive = not task.done()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert alive, "the reporter has ended by itself"


async def test_a_run_arrives_in_the_local_home(tmp_path: Path, journal: Journal, workers: DaemonExecutor) -> None:
    home = LocalTransport(tmp_path / "home")
    tasks = [(await home.call(endpoints.TASKS_CREATE, {"name": "a task", "type": "training"}))["id"] for _ in range(3)]
    async with running(journal, home, workers) as reporter:
        for number in range(30_000):
            report(journal, tasks[number % 3], 1, number)
        for task in tasks:
            say(journal, task, f"line of {task}")
            header = {"kind": "scalars", "task": task, "title": "t", "series": "array", "time": 1.5, "rows": 1000}
            journal.records.append(header, [memoryview(array("q", range(1000))), memoryview(array("d", [0.5] * 1000))])
        assert await reporter.flush(30) is None
        for place, task in enumerate(tasks):
            counts = await reporter.counts(task)
            assert (counts[EventKind.SCALARS].acknowledged, counts[EventKind.SCALARS].pending) == (11_000, 0)
            assert counts[EventKind.LOGS].acknowledged == 1
            found: dict[tuple[str, str], list[int]] = {}
            async for block in home.scalars(task):
                assert block.series is None
                found.setdefault(block.names[0], []).extend(block.iterations)
            assert found == {("loss", "train"): list(range(place, 30_000, 3)), ("t", "array"): list(range(1000))}
        assert await reporter.is_empty()
    await home.aclose()


async def test_a_home_that_fails_gets_everything_once_and_in_order(
    journal: Journal, workers: DaemonExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "SLICE", 100)
    home = HandWritten(failing(5, HomeError("the disk is full")))
    async with running(journal, home, workers, period=0.01) as reporter:
        for part in range(20):
            report(journal, "one", 200, part * 200)
            report(journal, "two", 50, part * 50)
            say(journal, "one", str(part))
            await asyncio.sleep(0.005)
        assert await reporter.flush(30) is None
        assert home.iterations("one") == list(range(4000))
        assert home.iterations("two") == list(range(1000))
        assert home.lines("one") == [str(part) for part in range(20)]
        assert len(home.sent) == len(home.stored) + 5, "only what failed is sent again"
        counts = await reporter.counts(None)
        assert (counts[EventKind.SCALARS].acknowledged, counts[EventKind.LOGS].acknowledged) == (5000, 20)
        assert reporter.last_error is None


async def test_the_counts_add_up_in_the_middle_of_an_outage(journal: Journal, workers: DaemonExecutor) -> None:
    """One task's points are stored, the next one's not: they were read together, and are not to be counted twice."""

    def answer(block: EventBlock) -> None:
        if block.task == "two":
            raise HomeError("gone")

    home = HandWritten(answer)
    async with running(journal, home, workers) as reporter:
        report(journal, "one", 100)
        report(journal, "two", 100)
        assert await reporter.flush(0.3) == "gone"
        counts = (await reporter.counts(None))[EventKind.SCALARS]
        assert counts.reported == 200
        assert counts.pending >= 100
        home.answer = well
        assert await reporter.flush(10) is None
        counts = (await reporter.counts(None))[EventKind.SCALARS]
        assert (counts.acknowledged, counts.pending) == (200, 0)
        assert [block.task for block in home.sent].count("one") == 1


async def test_what_is_refused_is_dropped_by_name_and_everything_else_delivered(
    journal: Journal, workers: DaemonExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    def answer(block: EventBlock) -> Refusal | None:
        return Refusal("Invalid task id", len(block)) if block.task == "deleted" else None

    home = HandWritten(answer)
    async with running(journal, home, workers) as reporter:
        for part in range(3):
            report(journal, "deleted", 10, part * 10)
            report(journal, "kept", 10, part * 10)
            say(journal, "deleted", "x")
            assert await reporter.flush(10) is None
        counts = await reporter.counts("deleted")
        assert counts[EventKind.SCALARS].dropped == {REFUSED: 30}
        assert counts[EventKind.LOGS].dropped == {REFUSED: 3}
        assert counts[EventKind.SCALARS].pending == counts[EventKind.SCALARS].acknowledged == 0
        assert (await reporter.counts("kept"))[EventKind.SCALARS].acknowledged == 30
        assert home.iterations("kept") == list(range(30))
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 1, "each drop is said once"
    assert "'task deleted'" in said[0]
    assert "Invalid task id" in said[0]


@pytest.mark.parametrize("code", [401, 403, 408, 429, 500, 503])
async def test_an_answer_that_may_pass_drops_nothing(journal: Journal, workers: DaemonExecutor, code: int) -> None:
    home = HandWritten(failing(2, ServerError("not now", code=code, subcode=0, endpoint="events.add_batch")))
    async with running(journal, home, workers) as reporter:
        report(journal, "task", 10)
        assert await reporter.flush(10) is None
        assert home.iterations("task") == list(range(10))
        assert (await reporter.counts("task"))[EventKind.SCALARS].dropped == {}


async def test_a_flush_whose_time_is_up_says_why(journal: Journal, workers: DaemonExecutor) -> None:
    home = HandWritten(failing(10**9, HomeError("the disk of the home is full")))
    async with running(journal, home, workers) as reporter:
        report(journal, "task", 10)
        assert await reporter.flush(0.2) == "the disk of the home is full"
        stuck = asyncio.Event()
        home.answer = until(stuck)
        reporter.last_error = None
        assert await reporter.flush(0.2) == "not everything could be stored within 0.2 s"
        home.answer = well
        stuck.set()
        assert await reporter.flush(10) is None
        assert home.iterations("task") == list(range(10))


async def test_tries_are_few_while_nobody_waits_and_quick_while_somebody_does(
    journal: Journal, workers: DaemonExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    home = HandWritten(failing(10**9, HomeError("gone")))
    async with running(journal, home, workers, period=0.01) as reporter:
        report(journal, "task", 10)
        await asyncio.sleep(1.5)
        gaps = [later - earlier for earlier, later in zip(home.times, home.times[1:], strict=False)]
        assert 4 <= len(home.times) <= 15
        assert max(gaps) < 0.4, "a home that came back would wait for too long"
        assert gaps[0] < gaps[-1]
        assert len(caplog.records) == 1
        waiting = asyncio.create_task(reporter.flush(20))
        await asyncio.sleep(0)
        home.answer = well
        begin = time.monotonic()
        assert await waiting is None
        assert time.monotonic() - begin < 1


async def test_a_bug_does_not_end_delivery_for_good(journal: Journal, workers: DaemonExecutor, caplog: pytest.LogCaptureFixture) -> None:
    home = HandWritten(failing(3, RuntimeError("nobody expected this")))
    async with running(journal, home, workers) as reporter:
        report(journal, "task", 10)
        assert await reporter.flush(0.1) == "RuntimeError: nobody expected this"
        assert await reporter.flush(20) is None
        assert home.iterations("task") == list(range(10))
    assert [bool(record.exc_info) for record in caplog.records] == [True], "said once, with its traceback"


async def test_a_flush_before_the_reporter_runs_is_answered_at_once(journal: Journal, workers: DaemonExecutor) -> None:
    home = HandWritten()
    reporter = Reporter(journal, home, workers=workers, period=60)
    report(journal, "task", 10)
    waiting = asyncio.create_task(reporter.flush(5))
    await asyncio.sleep(0)
    task = asyncio.create_task(reporter.run())
    assert await waiting is None
    assert home.iterations("task") == list(range(10))
    task.cancel()


async def test_a_reporter_that_is_cancelled_anywhere_leaves_all_to_the_last_delivery(
    journal: Journal, workers: DaemonExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "SLICE", 20)
    monkeypatch.setattr(reading, "LARGE_SLICE", 20)

    def answer(block: EventBlock) -> Awaitable[None]:
        return asyncio.sleep(0.0001)

    home = HandWritten(answer)
    reporter = Reporter(journal, home, workers=workers, period=0.001)
    reported = 0
    for attempt in range(15):
        task = asyncio.create_task(reporter.run())
        for _ in range(10):
            report(journal, "one", 30, reported)
            report(journal, "two", 30, reported)
            reported += 30
            await asyncio.sleep(0.0001 * (attempt % 7))
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await reporter.deliver_once()
        assert await reporter.is_empty()
    assert home.iterations("one") == home.iterations("two") == list(range(reported))
    counts = (await reporter.counts(None))[EventKind.SCALARS]
    assert (counts.acknowledged, counts.reported) == (2 * reported, 2 * reported)


async def test_a_value_that_is_not_finite_is_no_reason_to_try_again(journal: Journal, workers: DaemonExecutor) -> None:
    home = HandWritten(failing(2, HomeError("gone")))
    async with running(journal, home, workers) as reporter:
        series = journal.register_series("task", "loss", "train")
        for value in (1.0, float("nan"), 2.0, float("inf")):
            journal.scalars.append(series, 1, value)
        assert await reporter.flush(10) is None
        counts = (await reporter.counts("task"))[EventKind.SCALARS]
        assert (counts.acknowledged, counts.pending, counts.dropped) == (2, 0, {NOT_FINITE: 2})
