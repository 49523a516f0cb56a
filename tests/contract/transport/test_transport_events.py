"""What every home does with events: stores each span once, keeps the metrics, and reads everything back."""

from __future__ import annotations

import asyncio
import hashlib
from array import array
from collections.abc import Sequence
from typing import Any

import pytest

from atrains._transport.base import Transport
from atrains._wire import endpoints
from atrains._wire.events import SINGLE_VALUE_ITERATION, EventBlock, EventKind, RecordBlock, ScalarBlock, Span
from atrains._wire.json_lines import LARGEST_FLOAT
from atrains.errors import ServerError

T0 = 1_700_000_000.0


async def new_task(transport: Transport) -> str:
    task: str = (await transport.call(endpoints.TASKS_CREATE, {"name": "a task", "type": "training"}))["id"]
    return task


async def record_of(transport: Transport, task: str) -> dict[str, Any]:
    record: dict[str, Any] = (await transport.call(endpoints.TASKS_GET_BY_ID, {"task": task}))["task"]
    return record


def curve(task: str, first: int, points: Sequence[tuple[int, float]], name: tuple[str, str] = ("loss", "train")) -> ScalarBlock:
    iterations, values = array("q", [point[0] for point in points]), array("d", [point[1] for point in points])
    return ScalarBlock(task, Span("j", f"{name}", first, first + len(points)), [name], None, iterations, T0 + first, values)


def lines(task: str, first: int, stamps: Sequence[int]) -> RecordBlock:
    events = [{"timestamp": stamp, "level": "info", "msg": f"line {first + place}", "worker": "w"} for place, stamp in enumerate(stamps)]
    return RecordBlock(task, Span("j", "logs", first, first + len(stamps)), EventKind.LOGS, events)


async def store(transport: Transport, *blocks: EventBlock) -> int:
    """Have blocks stored, and return how many of their events the home took."""
    refused = await transport.add_events(blocks)
    return sum(map(len, blocks)) - sum(refusal.count for refusal in refused.values())


async def points_of(transport: Transport, task: str) -> list[tuple[tuple[str, str], int, float, float]]:
    found = []
    async for block in transport.scalars(task):
        series = [0] * len(block) if block.series is None else block.series
        times = [block.times] * len(block) if isinstance(block.times, float) else block.times
        found += [(block.names[s], i, t, v) for s, i, t, v in zip(series, block.iterations, times, block.values, strict=True)]
    return found


async def test_points_come_back_exactly_as_stored(transport: Transport) -> None:
    task = await new_task(transport)
    names = [("loss", "train"), ("loss", "val"), ("unused", "never")]
    series, iterations = array("I", [0, 1, 0, 1]), array("q", [5, -(2**63), 2**63 - 1, 5])
    times, values = array("d", [1.5, 2.5, 3.5, 4.5]), array("d", [0.1, -1e-300, 1.7e308, -0.0])
    block = ScalarBlock(task, Span("j", "s", 0, 4), names, series, iterations, times, values)
    assert await store(transport, block) == 4
    assert await store(transport, curve(task, 0, [(7, 0.25)])) == 1
    if not transport.keeps_spans:
        values[2] = LARGEST_FLOAT  # a server stores 32 bits, and fails for what is larger
    expected = [(names[s], i, t, v) for s, i, t, v in zip(series, iterations, times, values, strict=True)]
    assert await points_of(transport, task) == [*expected, (("loss", "train"), 7, T0, 0.25)]


async def test_a_span_that_is_sent_again_is_stored_once(transport: Transport) -> None:
    task, other = await new_task(transport), await new_task(transport)
    blocks = [curve(task, first, [(first + step, float(step)) for step in range(10)]) for first in (20, 0, 10)]
    for block in [*blocks, *blocks]:
        assert await store(transport, block) == 10
    assert sorted(point[1] for point in await points_of(transport, task)) == list(range(30))
    # The span of a journal may hold points of several tasks: it is known per task.
    assert await store(transport, curve(other, 0, [(step, 1.0) for step in range(10)])) == 10
    assert len(await points_of(transport, other)) == 10
    metrics = (await record_of(transport, task))["last_metrics"]
    (entry,) = [entry for by_series in metrics.values() for entry in by_series.values()]
    if transport.keeps_spans:  # a server counts points again that are sent again
        assert entry["count"] == 30


async def test_a_span_that_was_cut_anew_is_refused(transport: Transport) -> None:
    if not transport.keeps_spans:
        pytest.skip("a server keeps no account of spans")
    task = await new_task(transport)
    await store(transport, curve(task, 0, [(1, 1.0)] * 10))
    (refusal,) = (await transport.add_events([curve(task, 5, [(1, 1.0)] * 10)])).values()
    assert "overlap" in refusal.reason
    assert refusal.count == 10
    assert len(await points_of(transport, task)) == 10


async def test_the_record_shows_the_last_metrics(transport: Transport) -> None:
    task = await new_task(transport)
    before = (await record_of(transport, task))["last_update"]
    await store(transport, curve(task, 0, [(10, 3.0), (20, -1.0), (30, 2.0)]))
    await store(transport, curve(task, 3, [(5, 7.0), (6, -1.0)]))
    record = await record_of(transport, task)
    keys = [hashlib.md5(name, usedforsecurity=False).hexdigest() for name in (b"loss", b"train")]
    assert record["last_metrics"][keys[0]][keys[1]] == {
        "metric": "loss", "variant": "train", "count": 5,
        "value": -1.0, "value_iteration": 6, "first_value": 3.0, "first_value_iteration": 10,
        "min_value": -1.0, "min_value_iteration": 20, "max_value": 7.0, "max_value_iteration": 5,
    }  # fmt: skip
    assert record["last_iteration"] == 30
    assert record["last_update"] > before
    listed = (await transport.call(endpoints.TASKS_GET_ALL, {"id": [task], "only_fields": ["last_metrics", "last_iteration"]}))["tasks"][0]
    assert listed == {name: record[name] for name in ("id", "last_metrics", "last_iteration")}


async def test_last_iteration_ignores_machine_metrics_single_values_and_the_past(transport: Transport) -> None:
    task = await new_task(transport)
    await store(transport, curve(task, 0, [(-5, 1.0)]))
    await store(transport, curve(task, 0, [(999, 1.0)], (":monitor:machine", "cpu")))
    await store(transport, curve(task, 0, [(SINGLE_VALUE_ITERATION, 1.0)], ("Summary", "best")))
    assert (await record_of(transport, task))["last_iteration"] == 0
    plot = {"timestamp": 1, "metric": "roc", "variant": "val", "iter": 40, "plot_str": "{}"}
    await store(transport, RecordBlock(task, Span("j", "plots", 0, 1), EventKind.PLOTS, [plot]))
    await store(transport, curve(task, 1, [(12, 1.0)]))
    assert (await record_of(transport, task))["last_iteration"] == 40


@pytest.mark.parametrize("status", ["unknown", "published"])
async def test_a_task_that_takes_no_events_says_so_for_good(transport: Transport, status: str) -> None:
    task = "0" * 32
    if status == "published":
        task = await new_task(transport)
        for endpoint in (endpoints.TASKS_STARTED, endpoints.TASKS_COMPLETED, endpoints.TASKS_PUBLISH):
            await transport.call(endpoint, {"task": task})
    block = curve(task, 0, [(1, 1.0)])
    refused = await transport.add_events([block])
    assert refused.keys() == {block.span}
    assert refused[block.span].count == 1
    assert "Invalid task id" in refused[block.span].reason


@pytest.mark.parametrize("status", [endpoints.TASKS_COMPLETED, endpoints.TASKS_FAILED, endpoints.TASKS_STOPPED])
async def test_late_events_of_an_ended_run_are_kept(transport: Transport, status: endpoints.Endpoint) -> None:
    task = await new_task(transport)
    await transport.call(endpoints.TASKS_STARTED, {"task": task})
    await transport.call(status, {"task": task})
    assert await store(transport, curve(task, 0, [(1, 1.0)])) == 1


async def test_a_curve_shows_the_last_report_of_each_iteration(transport: Transport) -> None:
    task = await new_task(transport)
    assert await transport.call(endpoints.EVENTS_SCALAR_HISTOGRAM, {"task": task}) == {}
    await store(transport, curve(task, 0, [(2, 9.0), (1, 1.0)]))
    await store(transport, curve(task, 2, [(2, 2.0), (SINGLE_VALUE_ITERATION, 5.0)]))
    await store(transport, curve(task, 0, [(1, 0.5)], ("acc", "val")))
    answer = await transport.call(endpoints.EVENTS_SCALAR_HISTOGRAM, {"task": task, "key": "iter"})
    assert answer == {
        "loss": {"train": {"name": "train", "x": [1, 2], "y": [1.0, 2.0]}},
        "acc": {"val": {"name": "val", "x": [1], "y": [0.5]}},
    }
    one = {"task": task, "metrics": [{"metric": "acc"}], "key": "timestamp"}
    answer = await transport.call(endpoints.EVENTS_SCALAR_HISTOGRAM, one)
    assert answer == {"acc": {"val": {"name": "val", "x": [int(T0 * 1000)], "y": [0.5]}}}
    one["key"] = "iso_time"
    assert (await transport.call(endpoints.EVENTS_SCALAR_HISTOGRAM, one))["acc"]["val"]["x"] == ["2023-11-14T22:13:20.000000+00:00"]


async def test_a_long_curve_is_averaged_into_buckets(transport: Transport) -> None:
    task = await new_task(transport)
    names, size = [("a", "x"), ("a", "y")], 10_000
    block = ScalarBlock(
        task, Span("j", "s", 0, size), names, array("I", [0, 1] * (size // 2)), array("q", range(size)), T0, array("d", range(size))
    )
    await store(transport, block)
    answer = await transport.call(endpoints.EVENTS_SCALAR_HISTOGRAM, {"task": task, "samples": 100})
    for series, odd in (("x", 0), ("y", 1)):
        found = answer["a"][series]
        assert found["x"] == list(range(0, size, 100))
        assert found["y"] == [start + 49 + odd for start in range(0, size, 100)]
    for bad in ({"samples": 0}, {"samples": 6001}, {"key": "moon"}):
        with pytest.raises(ServerError) as caught:
            await transport.call(endpoints.EVENTS_SCALAR_HISTOGRAM, {"task": task, **bad})
        assert caught.value.subcode == 12


async def test_single_values_are_apart_from_curves(transport: Transport) -> None:
    task, empty = await new_task(transport), await new_task(transport)
    await store(transport, curve(task, 0, [(SINGLE_VALUE_ITERATION, 1.0)], ("Summary", "best")))
    await store(transport, curve(task, 1, [(SINGLE_VALUE_ITERATION, 2.0)], ("Summary", "best")))
    await store(transport, curve(task, 0, [(SINGLE_VALUE_ITERATION, 3.0), (4, 8.0)], ("Summary", "also a curve")))
    answer = await transport.call(endpoints.EVENTS_SINGLE_VALUES, {"tasks": [empty, task]})
    assert answer == {
        "tasks": [
            {
                "task": task,
                "task_name": "a task",
                "values": [
                    {"metric": "Summary", "variant": "also a curve", "value": 3.0, "timestamp": int(T0 * 1000)},
                    {"metric": "Summary", "variant": "best", "value": 2.0, "timestamp": int(T0 + 1) * 1000},
                ],
            }
        ]
    }
    curves = await transport.call(endpoints.EVENTS_SCALAR_HISTOGRAM, {"task": task})
    assert curves == {"Summary": {"also a curve": {"name": "also a curve", "x": [4], "y": [8.0]}}}


async def test_the_console_is_read_from_its_end_page_by_page(transport: Transport) -> None:
    task = await new_task(transport)
    assert await transport.call(endpoints.EVENTS_GET_TASK_LOG, {"task": task}) == {"events": [], "returned": 0, "total": 0}
    await store(transport, lines(task, 0, [10, 20, 30, 30]))
    await store(transport, lines(task, 4, [40, 50, 60]))
    await store(transport, lines(task, 7, [25, 45]))  # another process, behind in time

    async def messages(**query: Any) -> list[str]:
        answer = await transport.call(endpoints.EVENTS_GET_TASK_LOG, {"task": task, **query})
        assert (answer["returned"], answer["total"]) == (len(answer["events"]), 9)
        return [event["msg"].removeprefix("line ") for event in answer["events"]]

    assert await messages() == ["6", "5", "8", "4", "3", "2", "7", "1", "0"]
    assert await messages(batch_size=3) == ["6", "5", "8"]
    assert await messages(batch_size=3, order="asc") == ["8", "5", "6"]
    assert await messages(batch_size=2, from_timestamp=40) == ["3", "2"]
    assert await messages(batch_size=1, from_timestamp=40) == ["3", "2"]  # its millisecond is completed
    assert await messages(batch_size=2, from_timestamp=25, navigate_earlier=False) == ["2", "3"]
    assert await messages(batch_size=2, navigate_earlier=False, order="desc") == ["1", "0"]
    event = (await transport.call(endpoints.EVENTS_GET_TASK_LOG, {"task": task, "batch_size": 1}))["events"][0]
    assert event == {"timestamp": 60, "level": "info", "msg": "line 6", "worker": "w", "type": "log", "task": task}
    with pytest.raises(ServerError) as caught:
        await messages(batch_size=10_001)
    assert (caught.value.code, caught.value.subcode) == (500, 100)


async def test_a_reset_leaves_a_task_as_new_but_for_what_the_user_set(transport: Transport) -> None:
    task = await new_task(transport)
    edited = {"comment": "kept", "tags": ["kept"], "runtime": {"a": 1}, "hyperparams": {"Args": {}}, "execution": {"queue": "q"}}
    await transport.call(endpoints.TASKS_EDIT, {"task": task, **edited})
    artifacts = [{"key": "in", "type": "t", "mode": "input"}, {"key": "out", "type": "t"}]
    await transport.call(endpoints.TASKS_ADD_OR_UPDATE_ARTIFACTS, {"task": task, "artifacts": artifacts})
    await transport.call(endpoints.TASKS_STARTED, {"task": task, "status_reason": "r"})
    await store(transport, curve(task, 0, [(7, 1.0)]))
    await store(transport, lines(task, 0, [1]))
    await transport.call(endpoints.TASKS_COMPLETED, {"task": task})

    answer = await transport.call(endpoints.TASKS_RESET, {"task": task})
    assert (answer["updated"], answer["fields"]["status"]) == (1, "created")
    record = await record_of(transport, task)
    assert (record["status"], record["status_reason"], record["last_iteration"], record["last_metrics"]) == ("created", "", 0, {})
    assert (record["comment"], record["tags"], record["hyperparams"], record["runtime"]) == ("kept", ["kept"], {"Args": {}}, {})
    assert [artifact["key"] for artifact in record["execution"]["artifacts"]] == ["in"]
    assert not {"started", "completed"} & set(record)
    assert "queue" not in record["execution"]
    assert await points_of(transport, task) == []
    assert (await transport.call(endpoints.EVENTS_GET_TASK_LOG, {"task": task}))["total"] == 0
    # A span of the run that was reset is a new one now.
    assert await store(transport, curve(task, 0, [(3, 1.0)])) == 1
    assert (await record_of(transport, task))["last_iteration"] == 3


async def test_a_published_task_is_reset_only_by_force(transport: Transport) -> None:
    task = await new_task(transport)
    await transport.call(endpoints.TASKS_PUBLISH, {"task": task, "force": True})
    with pytest.raises(ServerError) as caught:
        await transport.call(endpoints.TASKS_RESET, {"task": task})
    assert (caught.value.code, caught.value.subcode) == (400, 110)
    assert (await transport.call(endpoints.TASKS_RESET, {"task": task, "force": True}))["fields"]["status"] == "created"


async def test_many_senders_at_once_mix_nothing_up(transport: Transport) -> None:
    tasks = [await new_task(transport) for _ in range(4)]

    async def send(task: str, sender: int) -> None:
        for first in range(0, 100, 20):
            points = [(step, float(sender)) for step in range(first, first + 20)]
            await store(transport, curve(task, first, points, ("t", f"s{sender}")))

    await asyncio.gather(*(send(task, sender) for task in tasks for sender in range(5)))
    for task in tasks:
        points = await points_of(transport, task)
        assert len(points) == 500
        for sender in range(5):
            assert [point[1] for point in points if point[0] == ("t", f"s{sender}")] == list(range(100))


async def test_a_reader_that_leaves_early_or_is_cancelled_leaves_nothing_open(transport: Transport) -> None:
    task = await new_task(transport)
    for first in range(20):
        await store(transport, curve(task, first, [(first, 1.0)]))
    stream = transport.scalars(task)
    assert len(await anext(aiter(stream))) >= 1
    await stream.aclose()  # type: ignore[attr-defined]  # an async generator, as the protocol allows

    async def read_all() -> None:
        async for _ in transport.scalars(task):
            await asyncio.sleep(0)

    reader = asyncio.create_task(read_all())
    await asyncio.sleep(0.002)
    reader.cancel()
    await asyncio.gather(reader, return_exceptions=True)
    assert len(await points_of(transport, task)) == 20
