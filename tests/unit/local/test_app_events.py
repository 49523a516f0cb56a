"""Batches of events over HTTP, and reading them back: what is stored, what is refused and in which words, page by page."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from atrains._local.services import raw
from atrains.testing import RunningServer

Calls = Callable[..., Any]
LINES = "application/json-lines"


@pytest.fixture
def task(call: Calls) -> str:
    return str(call("v2.13/tasks.create", {"name": "a task", "type": "training"}).data["id"])


@pytest.fixture
def add(call: Calls) -> Calls:
    def send(*events: Any, content_type: str = LINES, ending: bytes = b"\n") -> Any:
        lines = [event if isinstance(event, bytes) else json.dumps(event).encode() for event in events]
        return call("v2.13/events.add_batch", ending.join(lines), "POST", Content_Type=content_type)

    return send


def scalar(task: str, iteration: int = 1, value: Any = 0.5, **more: Any) -> dict[str, Any]:
    return {"type": "training_stats_scalar", "task": task, "metric": "a", "variant": "b", "iter": iteration, "value": value, **more}


def line(task: str, text: str = "text", stamp: int = 1000) -> dict[str, Any]:
    return {"type": "log", "task": task, "timestamp": stamp, "level": "info", "msg": text}


def plot(task: str, iteration: int = 1, variant: str = "v", text: str = "{}") -> dict[str, Any]:
    return {"type": "plot", "task": task, "timestamp": 7, "metric": "m", "variant": variant, "iter": iteration, "plot_str": text}


# ---- adding


def test_a_batch_of_several_tasks_and_types(call: Calls, add: Calls, task: str) -> None:
    other = call("v2.13/tasks.create", {"name": "another", "type": "training"}).data["id"]
    answer = add(
        scalar(task, 3), line(task), plot(other, 5), scalar(other, 1, 2, timestamp=1_700_000_000_123), {**line(task), "worker": "w"}
    )
    assert answer.data == {"added": 5, "errors": 0, "errors_info": {}}
    log = call("v2.13/events.get_task_log", {"task": task}, X_Clearml_Worker="ignored").data["events"]
    assert [event["worker"] for event in log] == ["w", "<unknown>"]
    assert call("v2.13/tasks.get_by_id", {"task": other}).data["task"]["last_iteration"] == 5
    curve = call("v2.13/events.scalar_metrics_iter_histogram", {"task": other, "key": "timestamp"}).data
    assert curve == {"a": {"b": {"name": "b", "x": [1_700_000_000_123], "y": [2.0]}}}


def test_the_worker_of_the_header_is_that_of_lines_without_one(call: Calls, task: str) -> None:
    call("events.add_batch", json.dumps(line(task)).encode(), "POST", Content_Type=LINES, X_Trains_Worker="from the header")
    assert call("events.get_task_log", {"task": task}).data["events"][0]["worker"] == "from the header"


@pytest.mark.parametrize(
    ("text", "content_type", "code"),
    [
        (b"{one}\n{two}", LINES, (200, 0)),
        (b"{one}\r\n{two}\n", LINES, (200, 0)),
        (b"{one}\n\n{two}", LINES, (400, 0)),
        (b"", LINES, (400, 17)),
        (b"{one}\n[1]", LINES, (400, 0)),
        (b"{one}\n{", LINES, (400, 0)),
        (b"{one}", "application/json", (200, 0)),
        (b"{one}\n{two}", "application/json", (400, 0)),
        (b"[{one}]", "application/json", (500, 0)),
        (b"{one}\n{two}", LINES + "; charset=utf-8", (400, 0)),
    ],
)
def test_the_framing(call: Calls, task: str, text: bytes, content_type: str, code: tuple[int, int]) -> None:
    body = text.replace(b"{one}", json.dumps(scalar(task)).encode()).replace(b"{two}", json.dumps(scalar(task, 2)).encode())
    assert call("v2.13/events.add_batch", body, "POST", Content_Type=content_type).code == code


def test_what_is_wrong_is_counted_by_its_reason(add: Calls, task: str) -> None:
    unknown = "0" * 32
    events = [
        scalar(task), {**scalar(task), "type": "zzz"}, {**scalar(task), "type": "zzz"}, {"task": task}, {"type": "log"}, scalar(unknown),
        {**scalar(task), "model_event": True},
    ]  # fmt: skip
    assert add(*events).data == {
        "added": 1,
        "errors": 6,
        "errors_info": {
            "Invalid event type zzz": 2, "Event must have a 'type' field": 1, "Event must have a 'task' field": 1,
            f"Invalid task id {unknown}": 1, "Events of models are not stored by this server": 1,
        },
    }  # fmt: skip


@pytest.mark.parametrize(
    "poison",
    [
        {"value": "1"}, {"value": None}, {"value": True}, {"value": [1]}, {"value": 1e39}, {"iter": 2**63}, {"iter": -(2**64)},
        {"iter": "x"}, {"iter": True}, {"metric": 3}, {"variant": ["b"]}, {"timestamp": "never"}, {"timestamp": 2**70},
        {"value": float("nan")}, {"value": float("-inf")},
    ],
)  # fmt: skip
def test_one_poisonous_event_is_refused_by_name_and_the_others_are_stored(call: Calls, add: Calls, task: str, poison: Any) -> None:
    answer = add(scalar(task, 1), {**scalar(task, 2), **poison}, scalar(task, 3)).data
    assert (answer["added"], answer["errors"]) == (2, 1)
    ((reason, count),) = answer["errors_info"].items()
    assert count == 1
    assert next(iter(poison)) in reason or "timestamp" in reason
    assert call("events.scalar_metrics_iter_histogram", {"task": task}).data["a"]["b"]["x"] == [1, 3]


def test_vectors_are_stored_and_their_values_are_called_value(call: Calls, add: Calls, task: str) -> None:
    """No logger makes them; clients of their own do, and the server takes them. A later one of a name and iteration replaces."""
    vector = {"type": "training_stats_vector", "task": task, "timestamp": 5, "metric": "m", "variant": "v", "iter": 4, "values": [1, 2.5]}
    answer = add(vector, {**vector, "type": "training stats vector", "iter": 9}, {**vector, "values": [3]}, scalar(task, 1))
    assert answer.data == {"added": 4, "errors": 0, "errors_info": {}}
    assert add(vector | {"values": [3]}).data == {"added": 1, "errors": 0, "errors_info": {}}
    for wrong in ("1", None, [1, "2"], [float("nan")]):
        refused = add({**vector, "values": wrong})
        assert refused.code == (400, 131)
        assert "value" in refused.json["meta"]["result_msg"]
    found = call("v2.13/events.get_task_events", {"task": task, "event_type": "training_stats_vector"}).data["events"]
    stored = {"type": "training_stats_vector", "task": task, "timestamp": 5, "metric": "m", "variant": "v"}
    found.sort(key=lambda event: event["iter"])
    assert found == [{**stored, "iter": 4, "value": [3.0]}, {**stored, "iter": 9, "value": [1.0, 2.5]}]
    assert call("v2.13/events.get_task_metrics", {"tasks": [task]}).data["metrics"][0]["metrics"] == ["a", "m"]
    assert call("v2.13/tasks.get_by_id", {"task": task}).data["task"]["last_iteration"] == 9
    assert call("v2.13/events.get_task_plots", {"task": task}).data["plots"] == []


def test_text_that_is_no_text_and_plots_that_are_none(call: Calls, add: Calls, task: str) -> None:
    answer = add(plot(task), {**plot(task), "plot_str": {}}, b'{"type":"log","task":"%s","msg":"\\ud800"}' % task.encode()).data
    assert (answer["added"], answer["errors"]) == (2, 1)
    assert call("events.get_task_log", {"task": task}).data["events"][0]["msg"] == "\\ud800"


def test_reasons_do_not_grow_without_end(add: Calls, task: str) -> None:
    answer = add(scalar(task), *[{**scalar(task), "metric": f"m{number}", "value": None} for number in range(300)]).data
    assert answer["errors"] == 300
    assert len(answer["errors_info"]) <= 101


def test_a_published_task_takes_none_whatever_the_event_says(call: Calls, add: Calls, task: str) -> None:
    call("tasks.publish", {"task": task, "force": True})
    refused = add(scalar(task, allow_locked=True))
    assert refused.code == (400, 131)
    assert task in refused.json["meta"]["result_msg"]


def test_neighbouring_batches_share_one_span_also_from_many_connections(server: RunningServer, add: Calls, task: str) -> None:
    from atrains._local.store import open_home

    threads = [threading.Thread(target=add, args=[scalar(task, number), scalar(task, number + 100)]) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(200, 250):
        add(scalar(task, number))
    store = open_home(server.home)
    with store.read() as connection:
        spans = connection.execute("SELECT first, last FROM spans WHERE task = ? ORDER BY first", [task]).fetchall()
    store.close()
    assert sum(last - first for first, last in spans) == 90
    assert len(spans) <= 20  # in order they are one; what came at the same time may be stored in another order
    assert spans[-1][1] - spans[-1][0] >= 50


def test_other_calls_are_answered_while_a_large_batch_is_taken(call: Calls, add: Calls, task: str) -> None:
    events = b"\n".join(json.dumps(scalar(task, number)).encode() for number in range(100_000))
    adding = threading.Thread(target=lambda: add(events))
    adding.start()
    answered = 0
    while adding.is_alive():
        call("tasks.get_all", {"id": [task], "only_fields": ["status"]})
        answered += 1
    assert answered >= 3  # the first may have come before the batch, the last behind it
    assert call("tasks.get_by_id", {"task": task}).data["task"]["last_iteration"] == 99_999


# ---- reading


def walk(call: Calls, endpoint: str, **body: Any) -> list[Any]:
    found, scroll = [], {}
    while True:
        answer = call(endpoint, {**body, **scroll}).data
        if not answer["returned"]:
            return found
        found.append(answer)
        scroll = {"scroll_id": answer["scroll_id"]}


def test_a_walk_sees_each_event_once_as_it_was_reported_last(call: Calls, add: Calls, task: str) -> None:
    add(*[scalar(task, number, number) for number in range(95)])
    add(scalar(task, 10, -1.0), scalar(task, -(2**31), 4.0))
    first = call("events.get_task_events", {"task": task, "event_type": "training_stats_scalar", "batch_size": 40}).data
    add(scalar(task, 500, 1.0))  # came later: not part of the walk
    pages = [
        first,
        *walk(call, "events.get_task_events", task=task, event_type="training_stats_scalar", batch_size=40, scroll_id=first["scroll_id"]),
    ]
    assert [page["returned"] for page in pages] == [40, 40, 16]
    assert {page["total"] for page in pages} == {96}
    points = {event["iter"]: event["value"] for page in pages for event in page["events"]}
    assert points == {**{number: float(number) for number in range(95)}, 10: -1.0, -(2**31): 4.0}
    assert {"type", "task", "timestamp", "metric", "variant", "iter", "value"} <= set(first["events"][0])


def test_a_walk_may_go_backwards_and_ends_when_the_task_is_reset(call: Calls, add: Calls, task: str) -> None:
    add(*[line(task, str(number), number) for number in range(10)])
    page = call("events.get_task_events", {"task": task, "event_type": "log", "batch_size": 4, "order": "desc"}).data
    assert [event["msg"] for event in page["events"]] == ["9", "8", "7", "6"]
    call("tasks.reset", {"task": task})
    rest = call("events.get_task_events", {"task": task, "event_type": "log", "scroll_id": page["scroll_id"]}).data
    assert (rest["events"], rest["returned"]) == ([], 0)
    assert call("events.get_task_events", {"task": task, "event_type": "log", "scroll_id": "../x"}).code == (400, 12)


def test_raw_points_of_one_title(call: Calls, add: Calls, task: str) -> None:
    add(*[scalar(task, number, 1, metric=metric, variant=variant) for number in range(5) for metric in "xy" for variant in "pq"])
    add(scalar(task, 2, 9, metric="x", variant="p"))
    pages = walk(call, "v2.16/events.scalar_metrics_iter_raw", task=task, metric={"metric": "x"}, batch_size=4, count_total=True)
    assert [page["returned"] for page in pages] == [4, 4, 2]
    assert pages[0]["total"] == 10
    found: dict[int, float] = {}
    for page in pages:
        columns = page["variants"].get("p", {"iter": [], "y": []})
        found.update(zip(columns["iter"], columns["y"], strict=True))
    assert found == {0: 1.0, 1: 1.0, 2: 9.0, 3: 1.0, 4: 1.0}
    one = call("v2.16/events.scalar_metrics_iter_raw", {"task": task, "metric": {"metric": "x", "variants": ["q"]}}).data
    assert list(one["variants"]) == ["q"]
    assert call("v2.13/events.scalar_metrics_iter_raw", {"task": task, "metric": {"metric": "x"}}).code == (404, 0)


def test_plots_of_the_last_iterations(call: Calls, add: Calls, task: str) -> None:
    add(*[plot(task, number, variant, f'{{"n": {number}}}') for number in range(4) for variant in "ab"])
    add(plot(task, 3, "a", '{"n": "again"}'))
    newest = call("events.get_task_plots", {"task": task}).data
    assert [(found["variant"], found["plot_str"]) for found in newest["plots"]] == [("a", '{"n": "again"}'), ("b", '{"n": 3}')]
    three = call("events.get_task_plots", {"task": task, "iters": 3, "no_scroll": True}).data
    assert [found["iter"] for found in three["plots"]] == [3, 3, 2, 2, 1, 1]
    assert (three["total"], three["scroll_id"]) == (6, None)


def test_many_plots_come_in_pages(call: Calls, add: Calls, task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw, "_PLOTS", 200)
    add(*[plot(task, 0, str(number)) for number in range(450)])
    assert [page["returned"] for page in _plot_pages(call, task)] == [200, 200, 50]
    monkeypatch.setattr(raw, "_PLOT_BYTES", 7)
    assert {page["returned"] for page in _plot_pages(call, task)} == {4, 2}, "at two bytes a plot"


def _plot_pages(call: Calls, task: str) -> list[Any]:
    pages, scroll = [], {}
    while (page := call("events.get_task_plots", {"task": task, **scroll}).data)["returned"]:
        pages.append(page)
        scroll = {"scroll_id": page["scroll_id"]}
    return pages


def test_what_was_reported_at_all(call: Calls, add: Calls, task: str) -> None:
    add(
        *[scalar(task, number, number, metric="x", variant="v") for number in range(200)],
        plot(task),
        scalar(task, -(2**31), 2, metric="Summary"),
    )
    assert call("events.get_task_metrics", {"tasks": [task], "event_type": "plot"}).data["metrics"] == [{"task": task, "metrics": ["m"]}]
    assert call("events.get_scalar_metrics_and_variants", {"task": task}).data["metrics"] == {"Summary": ["b"], "x": ["v"]}
    single = call("v2.20/events.get_task_single_value_metrics", {"tasks": [task]}).data["tasks"][0]
    assert (single["task_name"], single["values"][0]["value"]) == ("a task", 2.0)
    latest = call("events.get_task_latest_scalar_values", {"task": task}).data
    assert latest["metrics"] == [{"name": "x", "variants": [{"name": "v", "last_value": 199.0, "last_100_value": 149.5}]}]
    several = call("events.multi_task_scalar_metrics_iter_histogram", {"tasks": [task]}).data["metrics"]
    assert several["x"]["v"][task]["name"] == "a task"
    assert call("events.multi_task_scalar_metrics_iter_histogram", {"tasks": [task] * 101}).code == (400, 12)
    assert call("events.get_task_events", {"task": task, "event_type": "training_debug_image"}).data["events"] == []
    assert call("events.get_task_events", {"task": "0" * 32, "event_type": "log"}).code == (400, 101)
