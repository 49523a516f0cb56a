"""A real server behind a proxy that breaks a third of all requests: nothing is lost or dropped, and what is said of outcomes is true."""

from __future__ import annotations

import asyncio
import random
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from atrains._transport.http import HttpTransport
from atrains._wire import endpoints
from atrains._wire.events import EventBlock, EventKind, RecordBlock, ScalarBlock, Span
from atrains.errors import TransportError
from atrains.testing import RunningServer
from tests.fault_proxy import ANSWERS, RESETS, FaultProxy, Request

Make = Callable[..., HttpTransport]
FAULTS = (*RESETS, *ANSWERS)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    server = RunningServer(tmp_path_factory.mktemp("served"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def proxy(served: RunningServer) -> Iterator[FaultProxy]:
    with FaultProxy(int(served.url.rpartition(":")[2])) as running:
        yield running


@pytest.fixture
def direct(served: RunningServer, connect: Make) -> HttpTransport:
    return connect(served.url, ATRAINS_API_ACCESS_KEY=served.access_key, ATRAINS_API_SECRET_KEY=served.secret_key)


@pytest.fixture
def faulty(served: RunningServer, proxy: FaultProxy, connect: Make) -> HttpTransport:
    keys = {"ATRAINS_API_ACCESS_KEY": served.access_key, "ATRAINS_API_SECRET_KEY": served.secret_key}
    return connect(proxy.url, http={"backoff_factor": 0.1}, **keys)


def sometimes(seed: int, faults: tuple[str, ...] = FAULTS) -> Callable[[Request], str]:
    choose = random.Random(seed)
    return lambda _: choose.choice(faults) if choose.random() < 1 / 3 else ""


def once(fault: str) -> Callable[[Request], str]:
    left = [fault]
    return lambda _: left.pop() if left else ""


async def failure_of(transport: HttpTransport, *blocks: EventBlock) -> TransportError | None:
    """Send blocks once; a fault of the connection drops none of them."""
    try:
        assert await transport.add_events(blocks) == {}
    except TransportError as error:
        return error
    return None


async def new_task(transport: HttpTransport) -> str:
    task: str = (await transport.call(endpoints.TASKS_CREATE, {"name": "a task", "type": "training"}))["id"]
    return task


@pytest.mark.parametrize("seed", range(4))
async def test_points_arrive_once_each_and_none_is_given_up(
    direct: HttpTransport, faulty: HttpTransport, proxy: FaultProxy, seed: int
) -> None:
    task = await new_task(direct)
    await faulty.client.version()
    proxy.plan = sometimes(seed)
    for first in range(0, 6_000, 300):
        columns = array("q", range(first, first + 300)), array("d", [row / 8 for row in range(first, first + 300)])
        block = ScalarBlock(task, Span("j", "s", first, first + 300), [("loss", "train")], None, columns[0], 1.5, columns[1])
        for _ in range(50):
            try:
                assert await faulty.add_events([block]) == {}
                break
            except TransportError:
                await asyncio.sleep(0.001)
    found = Counter[tuple[int, float]]()
    async for block in direct.scalars(task):
        found.update(zip(block.iterations, block.values, strict=True))
    assert found.keys() == {(row, row / 8) for row in range(6_000)}
    assert len(proxy.done) > 4


@pytest.mark.parametrize("seed", range(4))
async def test_a_line_that_is_said_to_be_surely_not_stored_is_not(
    direct: HttpTransport, faulty: HttpTransport, proxy: FaultProxy, seed: int
) -> None:
    task = await new_task(direct)
    await faulty.client.version()
    proxy.plan = sometimes(seed)
    sure = 0
    for number in range(40):
        event = {"timestamp": 1_700_000_000_000 + number, "level": "info", "msg": f"line {number}", "worker": "w"}
        block = RecordBlock(task, Span("j", "l", number, number + 1), EventKind.LOGS, [event])
        while True:
            error = await failure_of(faulty, block)
            if error is None:
                break
            answer = await direct.call(endpoints.EVENTS_GET_TASK_LOG, {"task": task, "batch_size": 1000})
            stored = any(found["msg"] == f"line {number}" for found in answer["events"])
            assert error.outcome_unknown or not stored, error
            sure += not error.outcome_unknown
            if stored:
                break
    answer = await direct.call(endpoints.EVENTS_GET_TASK_LOG, {"task": task, "batch_size": 1000})
    assert Counter(found["msg"] for found in answer["events"]) == {f"line {number}": 1 for number in range(40)}
    assert sure


@pytest.mark.parametrize("seed", range(4))
async def test_calls_get_through_and_nothing_is_created_twice(
    direct: HttpTransport, faulty: HttpTransport, proxy: FaultProxy, seed: int
) -> None:
    await faulty.client.version()
    proxy.plan = sometimes(seed, (*RESETS, "502", "503"))
    created = unknown = 0
    for number in range(15):
        name = f"task {seed} {number}"
        error = None
        try:
            await faulty.call(endpoints.TASKS_CREATE, {"name": name, "type": "training"})
            created += 1
        except TransportError as caught:
            error = caught
            unknown += 1
        assert error is None or error.outcome_unknown  # else it would have been tried again
        found = (await faulty.call(endpoints.TASKS_GET_ALL, {"name": f"^{name}$", "only_fields": ["id"]}))["tasks"]
        assert len(found) <= 1
    assert created + unknown == 15
    assert created > 3
    proxy.plan = lambda _: ""
    assert (await direct.call(endpoints.TASKS_GET_ALL, {"name": f"^task {seed} "}))["tasks"]


async def test_a_block_of_several_kinds_survives_any_single_fault(direct: HttpTransport, faulty: HttpTransport, proxy: FaultProxy) -> None:
    task = await new_task(direct)
    await faulty.client.version()
    column = array("q", range(10)), array("d", range(10))
    points = ScalarBlock(task, Span("j", "s", 0, 10), [("loss", "train")], None, column[0], 1.5, column[1])
    figure = {"timestamp": 1, "metric": "roc", "variant": "val", "iter": 0, "plot_str": "{}"}
    plots = RecordBlock(task, Span("j", "p", 0, 1), EventKind.PLOTS, [figure])
    for number, fault in enumerate(FAULTS):
        proxy.plan = once(fault)
        moved = replace(points, iterations=array("q", range(number * 10, number * 10 + 10)))
        error = await failure_of(faulty, moved, plots)
        assert error is None or not error.outcome_unknown  # there are no lines among them
        assert error is None or await failure_of(faulty, moved, plots) is None
    stored = [iteration async for block in direct.scalars(task) for iteration in block.iterations]
    assert sorted(set(stored)) == list(range(10 * len(FAULTS)))
