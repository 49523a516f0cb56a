"""Delivery to a home that cannot tell what it has, as a server cannot: nothing lost, no console line twice, edits in their order."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atrains._engine import sender
from atrains._engine.journal import Journal
from atrains._engine.recovery import Recovered, recover
from atrains._engine.reporter import Reporter
from atrains._engine.sent import Sent, SentMark, read
from atrains._engine.workers import DaemonExecutor
from atrains._local.streams import read_records
from atrains._local.transport import LocalTransport
from atrains._transport.base import Refusal
from atrains._wire import endpoints
from atrains._wire.endpoints import Endpoint
from atrains._wire.events import EventBlock, EventKind, Span
from atrains._wire.json_lines import log_parts
from atrains.errors import ServerError, TransportError

# ---- the mark


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 2**62))))
def test_a_mark_reads_back_as_it_was_left(tmp_path_factory: pytest.TempPathFactory, notes: list[tuple[bool, int]]) -> None:
    folder = tmp_path_factory.mktemp("journal")
    mark = SentMark(folder)
    sent = acknowledged = 0
    for is_sent, position in notes:
        if is_sent:
            mark.note_sent(position)
            sent = max(sent, position)
        else:
            mark.note_acknowledged(position)
            acknowledged = max(acknowledged, position)
            sent = max(sent, acknowledged)
        assert mark.noted == Sent(acknowledged, sent) == read(folder / "sent") if notes else Sent()
    mark.close()
    assert SentMark(folder).noted == Sent(acknowledged, sent)


@given(st.binary(max_size=40))
def test_a_damaged_mark_says_that_anything_may_have_been_sent(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("journal") / "sent"
    path.write_bytes(content)
    found = read(path)
    assert found.acknowledged == 0
    assert found.sent > 2**60


# ---- a server


@pytest.fixture(autouse=True)
def _settles_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server of these tests has stored what it stores when it answers, or does not."""
    monkeypatch.setattr(sender, "SETTLE", 0.0)


class ServerLike(LocalTransport):
    """A real home behind a connection that breaks, and that keeps no account of spans: what is sent twice is stored twice."""

    keeps_spans = False
    batch_rows = 1000
    retry_interval = 0.05

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.faults: Callable[[], str] = lambda: ""
        self.is_away = False
        self.requests: list[list[str]] = []
        self.calls: list[str] = []
        self._spans = itertools.count()

    async def call(self, endpoint: Endpoint, request: Mapping[str, Any]) -> dict[str, Any]:
        await self.probe()
        self.calls.append(endpoint.name)
        return await super().call(endpoint, request)

    async def probe(self) -> None:
        if self.is_away:
            raise TransportError("nobody is there")

    async def add_events(self, blocks: Sequence[EventBlock]) -> Mapping[Span, Refusal]:
        await self.probe()
        fault = self.faults()
        if fault == "refused connection":
            raise TransportError("the connection was refused")
        if fault == "lost request":
            raise TransportError("the connection was reset", outcome_unknown=True)
        self.requests.append([block.task for block in blocks])
        taken = blocks[: len(blocks) // 2] if fault == "half stored" else blocks
        renamed = {Span("http", "all", number, number + 1): block for number, block in zip(self._spans, taken, strict=False)}
        refused = await super().add_events([replace(block, span=span) for span, block in renamed.items()])
        if fault in {"lost answer", "half stored"}:
            raise TransportError("the connection was reset", outcome_unknown=True)
        return {renamed[span].span: refusal for span, refusal in refused.items()}

    async def stored_spans(self, journal: str) -> tuple[Span, ...]:
        del journal
        return ()

    def lines(self, task: str) -> list[str]:
        return [event["msg"] for event in read_records(self.store.task_folder(task), EventKind.LOGS)]

    async def new_task(self) -> str:
        return str((await super().call(endpoints.TASKS_CREATE, {"name": "a task", "type": "training"}))["id"])

    async def points(self, task: str) -> Counter[int]:
        return Counter([step async for block in self.scalars(task) for step in block.iterations])


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ServerLike]:
    made = ServerLike(tmp_path / "server")
    yield made
    await made.aclose()


def say(journal: Journal, task: str, number: int, stamp: int | None = None) -> None:
    event = {"timestamp": number if stamp is None else stamp, "level": "info", "msg": f"line {number}", "worker": "host"}
    journal.records.append({"kind": "logs", "task": task, "event": event})


async def deliver(reporter: Reporter) -> None:
    """Have everything delivered, whatever breaks on the way."""
    task = asyncio.create_task(reporter.run())
    assert await reporter.flush(20) is None
    task.cancel()
    await asyncio.wait([task])


@pytest.fixture(scope="module")
def threads() -> Iterator[DaemonExecutor]:
    """The worker threads of all examples of a property."""
    executor = DaemonExecutor()
    yield executor
    executor.shutdown()


FAULTS = ["", "refused connection", "lost request", "lost answer", "half stored"]


@settings(max_examples=40, deadline=None)
@given(
    faults=st.lists(st.sampled_from(FAULTS), max_size=12),
    steps=st.lists(st.tuples(st.sampled_from(["line", "point", "deliver", "cancel"]), st.integers(1, 40), st.integers(0, 1)), max_size=15),
)
async def test_no_line_is_lost_or_doubled_and_no_point_is_lost_whatever_the_connection_does(
    threads: DaemonExecutor,
    tmp_path_factory: pytest.TempPathFactory,
    faults: list[str],
    steps: list[tuple[str, int, int]],
) -> None:
    place = tmp_path_factory.mktemp("delivery")
    server, journal = ServerLike(place / "server"), Journal(place / "journals", target="test", worker="host", workers=threads)
    reporter = Reporter(journal, server, workers=threads, period=0.001)
    left = iter(faults)
    server.faults = lambda: next(left, "")
    tasks = [await server.new_task(), await server.new_task()]
    series = [journal.register_series(task, "a", "b") for task in tasks]
    numbers = itertools.count(1)
    lines: list[list[str]] = [[], []]
    points: list[list[int]] = [[], []]
    for kind, count, which in steps:
        if kind == "deliver":
            await deliver(reporter)
        elif kind == "cancel":
            running = asyncio.create_task(reporter.run())
            await asyncio.sleep(count / 4000)
            running.cancel()
            await asyncio.wait([running])
        for _ in range(count if kind in {"line", "point"} else 0):
            number = next(numbers)
            if kind == "line":
                say(journal, tasks[which], number)
                lines[which].append(f"line {number}")
            else:
                journal.scalars.append(series[which], number, 0.5)
                points[which].append(number)
    await deliver(reporter)
    for task, said, reported in zip(tasks, lines, points, strict=True):
        assert sorted(server.lines(task)) == sorted(said)
        assert set(await server.points(task)) == set(reported)
    counts = await reporter.counts(None)
    assert counts[EventKind.LOGS].acknowledged == sum(map(len, lines))
    assert counts[EventKind.SCALARS].acknowledged == sum(map(len, points))
    journal.close(delivered=True)
    await server.aclose()


@pytest.mark.parametrize("answered", [True, False])
async def test_a_recovery_sends_no_line_that_the_server_has(
    server: ServerLike, workers: DaemonExecutor, tmp_path: Path, answered: bool
) -> None:
    """A process is killed after a request: with its answer the lines are known to be stored, without it they are compared."""
    task = await server.new_task()
    journal = Journal(tmp_path / "journals", target=server.target, worker="host", workers=workers)
    reporter = Reporter(journal, server, workers=workers, period=60)
    for number in range(500):
        say(journal, task, number, stamp=1000 + number // 3)
    if answered:
        await reporter.deliver_once()
    else:
        server.faults = lambda: "lost answer"
        await reporter.deliver_once()
    server.faults = lambda: ""
    for number in range(500, 700):
        say(journal, task, number)
    kill(journal)
    server.calls.clear()
    outcome = await recover(tmp_path / "journals", server, workers)
    assert outcome.left == []
    assert sorted(server.lines(task)) == sorted(f"line {number}" for number in range(700))
    assert ("events.get_task_log" in server.calls) is not answered


def kill(journal: Journal) -> None:
    """Let go of a journal as the end of its process does."""
    journal.records.release_files()
    journal.scalars.release_files()
    assert journal._lock_file is not None
    journal._lock_file.release()


async def test_a_line_that_is_sent_in_another_form_is_compared_in_that_form(
    server: ServerLike, workers: DaemonExecutor, journal: Journal
) -> None:
    """A server gets no backspaces, its own words for levels, and a long line in parts."""
    task = await server.new_task()
    store = server.add_events

    async def add_as_sent(blocks: Sequence[EventBlock]) -> Mapping[Span, Refusal]:
        parts = [replace(block, events=[part for event in block.events for part in log_parts(event)]) for block in blocks]  # type: ignore[call-arg,union-attr]
        return await store(parts)

    server.add_events = add_as_sent  # type: ignore[method-assign]
    texts = ["50 %\b\b", "x" * (3 << 20), "plain"]
    for number, text in enumerate(texts):
        event = {"timestamp": number, "level": "INFO", "msg": text, "worker": "host"}
        journal.records.append({"kind": "logs", "task": task, "event": event})
    reporter = Reporter(journal, server, workers=workers, period=0.01)
    faults = iter(["lost answer"])
    server.faults = lambda: next(faults, "")
    await deliver(reporter)
    assert "".join(server.lines(task)) == "50 %" + texts[1] + "plain"
    assert len(server.lines(task)) == 5


async def test_a_recovery_that_breaks_again_and_again_doubles_nothing(server: ServerLike, workers: DaemonExecutor, tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)  # noqa: T201  # shown when it fails
    chance = random.Random(seed)
    server.batch_rows = 50
    tasks = [await server.new_task() for _ in range(3)]
    journal = Journal(tmp_path / "journals", target=server.target, worker="host", workers=workers)
    for number in range(3000):
        say(journal, tasks[number % 3], number)
    kill(journal)
    server.faults = lambda: chance.choice([*FAULTS, ""])
    outcome = Recovered()
    for _ in range(200):
        outcome = await recover(tmp_path / "journals", server, workers)
        if not outcome.left:
            break
    assert outcome.left == []
    for place, task in enumerate(tasks):
        assert sorted(server.lines(task)) == sorted(f"line {number}" for number in range(place, 3000, 3))


async def test_what_several_tasks_report_goes_out_in_one_request(server: ServerLike, workers: DaemonExecutor, journal: Journal) -> None:
    tasks = [await server.new_task() for _ in range(20)]
    reporter = Reporter(journal, server, workers=workers, period=60)
    for task in tasks:
        say(journal, task, 1)
        journal.scalars.append(journal.register_series(task, "a", "b"), 1, 0.5)
    await deliver(reporter)
    assert len(server.requests) == 1
    assert set(server.requests[0]) == set(tasks)


async def test_a_server_that_is_away_is_not_asked_more_often_because_more_is_reported(
    server: ServerLike, workers: DaemonExecutor, journal: Journal
) -> None:
    server.is_away = True
    server.retry_interval = 0.5
    asked = 0
    probe = server.probe

    async def count() -> None:
        nonlocal asked
        asked += 1
        await probe()

    server.probe = count  # type: ignore[method-assign]
    reporter = Reporter(journal, server, workers=workers, period=0.25)
    task = await server.new_task()
    running = asyncio.create_task(reporter.run())
    for number in range(200):
        say(journal, task, number)
        reporter.wake()
        await asyncio.sleep(0.01)
    assert asked <= 10
    server.is_away = False
    await asyncio.sleep(1)
    assert server.lines(task) == [f"line {number}" for number in range(200)], "it has to find out by itself that the server is back"
    running.cancel()
    await asyncio.wait([running])


async def test_a_journal_that_takes_the_place_of_another_has_a_mark_of_its_own(
    server: ServerLike, workers: DaemonExecutor, tmp_path: Path
) -> None:
    """As in a forked child: what it delivers must not count as delivered in the journal of its parent."""
    task = await server.new_task()
    journal = Journal(tmp_path / "journals", target=server.target, worker="host", workers=workers)
    reporter = Reporter(journal, server, workers=workers, period=60)
    say(journal, task, 1)
    await reporter.deliver_once()
    parents, noted = journal.folder, read(journal.folder / "sent")
    assert noted.acknowledged > 0
    journal.reopen_on_report()
    reporter = Reporter(journal, server, workers=workers, period=60)
    for number in range(2, 20):
        say(journal, task, number)
    await reporter.deliver_once()
    assert journal.folder != parents
    assert read(parents / "sent") == noted
    assert read(journal.folder / "sent").acknowledged > noted.acknowledged
    assert server.lines(task) == [f"line {number}" for number in range(1, 20)]
    journal.close(delivered=True)


# ---- the outbox


async def status_of(server: ServerLike, task: str) -> dict[str, Any]:
    found: dict[str, Any] = (await LocalTransport.call(server, endpoints.TASKS_GET_BY_ID, {"task": task}))["task"]
    return found


FIELDS = {"name": "begun away", "type": "training", "comment": "made as {}"}


@pytest.mark.parametrize("killed", [False, True], ids=["the server comes back", "killed before"])
async def test_a_task_begun_while_its_server_was_away_is_made_with_its_edits_and_events(
    server: ServerLike, workers: DaemonExecutor, tmp_path: Path, killed: bool
) -> None:
    server.is_away = True
    journal = Journal(tmp_path / "journals", target=server.target, worker="host", workers=workers)
    aliases: dict[str, str] = {}
    reporter = Reporter(journal, server, workers=workers, period=0.01, aliases=aliases)
    given = "0123456789abcdef0123456789abcdef"
    reporter.outbox.create(given, "a project", {**FIELDS, "comment": f"made as {given}"})
    for value in ("1", "2"):
        item = {"section": "General", "name": "rate", "value": value}
        reporter.outbox.call(given, endpoints.TASKS_EDIT_HYPER_PARAMS, {"hyperparams": [item], "force": True})
    journal.add_job("run", given, {})
    say(journal, given, 1)
    assert reporter.outbox.holds(given)
    await reporter.deliver_once()
    assert not await reporter.is_empty()
    server.is_away = False
    if killed:
        kill(journal)
        outcome = await recover(tmp_path / "journals", server, workers)
        assert outcome.left == []
        (task,) = outcome.statuses
    else:
        await deliver(reporter)
        task = aliases.get(given, given)
        assert await reporter.is_empty()
    record = await status_of(server, task)
    assert record["hyperparams"]["General"]["rate"]["value"] == "2"
    assert (record["name"], record["status"]) == ("begun away", "failed" if killed else "in_progress")
    assert server.lines(task) == ["line 1"]


async def test_a_task_whose_making_was_not_answered_is_made_once(server: ServerLike, workers: DaemonExecutor, journal: Journal) -> None:
    given = "0123456789abcdef0123456789abcdef"
    # As if the server had made it under an id of its own, and the answer was lost.
    made = (await server.call(endpoints.TASKS_CREATE, {**FIELDS, "comment": f"made as {given}"}))["id"]
    aliases: dict[str, str] = {}
    reporter = Reporter(journal, server, workers=workers, period=0.01, aliases=aliases)
    reporter.outbox.create(given, "a project", {**FIELDS, "comment": f"made as {given}"})
    say(journal, given, 1)
    await deliver(reporter)
    assert aliases == {given: made}
    assert server.lines(made) == ["line 1"]
    assert len((await server.call(endpoints.TASKS_GET_ALL, {}))["tasks"]) == 1


async def test_an_edit_that_is_refused_is_said_and_holds_nothing_up(
    server: ServerLike, workers: DaemonExecutor, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    reporter = Reporter(journal, server, workers=workers, period=0.01)
    task = await server.new_task()
    reporter.outbox.call("f" * 32, endpoints.TASKS_EDIT, {"name": "nobody"})
    reporter.outbox.call(task, endpoints.TASKS_EDIT, {"name": "a new name"})
    say(journal, task, 1)
    await deliver(reporter)
    assert (await status_of(server, task))["name"] == "a new name"
    assert server.lines(task) == ["line 1"]
    assert "f" * 32 in caplog.text


async def test_a_server_error_that_passes_does_not_lose_an_edit(server: ServerLike, workers: DaemonExecutor, journal: Journal) -> None:
    task = await server.new_task()
    reporter = Reporter(journal, server, workers=workers, period=0.01)
    call, left = server.call, 3

    async def fail(endpoint: Endpoint, request: Mapping[str, Any]) -> dict[str, Any]:
        nonlocal left
        if endpoint == endpoints.TASKS_EDIT and left:
            left -= 1
            raise ServerError("maintenance", code=503, subcode=0, endpoint=endpoint.name)
        return await call(endpoint, request)

    server.call = fail  # type: ignore[method-assign]
    reporter.outbox.call(task, endpoints.TASKS_EDIT, {"name": "a new name"})
    say(journal, task, 1)
    await deliver(reporter)
    assert server.lines(task) == ["line 1"], "an edit that fails holds up no event"
    while left:
        await deliver(reporter)
    await deliver(reporter)
    assert not reporter.outbox.holds(task)
    assert (await status_of(server, task))["name"] == "a new name"
