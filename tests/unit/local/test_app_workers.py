"""Queues and workers over HTTP: what an agent calls, and what others see of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

Calls = Callable[..., Any]


@pytest.fixture
def queue(call: Calls) -> str:
    made: str = call("v2.13/queues.create", {"name": "of a team"}).data["id"]
    return made


@pytest.fixture
def make(call: Calls) -> Calls:
    return lambda name="a task", **fields: call("v2.13/tasks.create", {"name": name, "type": "training", **fields}).data["id"]


@pytest.fixture
def workers(call: Calls) -> Calls:
    return lambda **asked: call("v2.13/workers.get_all", asked).data["workers"]


def test_a_worker_says_what_it_does_until_it_goes(call: Calls, queue: str, make: Calls, workers: Calls) -> None:
    task = make(project=call("v2.13/projects.create", {"name": "project"}).data["id"])
    call("v2.13/tasks.enqueue", {"task": task, "queue": queue})
    call("v2.13/workers.register", {"worker": "host:0", "queues": [queue], "timeout": 600, "tags": ["fast"]})
    (found,) = workers()
    assert (found["id"], found["tags"], found["register_timeout"]) == ("host:0", ["fast"], 600)
    assert found["queues"] == [{"id": queue, "name": "of a team", "next_task": task, "num_tasks": 1}]
    assert "task" not in found

    call("v2.13/tasks.started", {"task": task, "force": True})
    stats = {"cpu_usage": [5.5], "memory_used": 12}
    report = {"worker": "host:0", "timestamp": 1_700_000_000_000, "task": task, "queue": queue, "queues": [], "machine_stats": stats}
    call("v2.13/workers.status_report", report)
    (found,) = workers()
    assert found["task"] == {"id": task, "name": "a task"}
    assert found["project"]["name"] == "project"
    assert (found["queue"], [served["id"] for served in found["queues"]]) == ({"id": queue, "name": "of a team"}, [queue])
    assert call("v2.13/tasks.get_by_id", {"task": task}).data["task"]["last_worker"] == "host:0"

    call("v2.13/workers.status_report", {"worker": "host:0", "timestamp": 1_700_000_000_000, "queues": [queue]})
    assert "task" not in workers()[0]
    call("v2.13/workers.unregister", {"worker": "host:0"})
    assert workers() == []
    assert call("v2.13/workers.unregister", {"worker": "host:0"}).code == (400, 1004)


def test_a_report_registers_and_a_silent_worker_is_forgotten(call: Calls, workers: Calls) -> None:
    call("v2.13/workers.status_report", {"worker": "new", "timestamp": 1})
    call("v2.13/workers.register", {"worker": "brief", "timeout": 1})
    assert [worker["id"] for worker in workers()] == ["brief", "new"]
    assert [worker["id"] for worker in workers(worker_pattern="b*")] == ["brief"]
    time.sleep(1.1)
    assert [worker["id"] for worker in workers(last_seen=0)] == ["new"]
    assert workers(last_seen=1) == []


def test_what_is_no_report_is_refused(call: Calls) -> None:
    assert call("v2.13/workers.status_report", {"worker": "w"}).code == (400, 12)
    assert call("v2.13/workers.register", {"worker": ""}).code == (400, 12)
    assert call("v2.13/workers.register", {"worker": "w", "timeout": 0}).code == (400, 12)
    assert call("v2.13/workers.status_report", {"worker": "w", "timestamp": 1, "task": "0" * 32}).code == (400, 101)


def test_each_task_of_a_queue_is_given_to_one_worker(call: Calls, queue: str, make: Calls) -> None:
    tasks = [make(f"task {number}") for number in range(20)]
    for task in tasks:
        call("v2.13/tasks.enqueue", {"task": task, "queue": queue})
    assert call("v2.15/queues.peek_task", {"queue": queue}).data == {"task": tasks[0]}

    def work(_: int) -> list[str]:
        got = []
        while entry := call("v2.13/queues.get_next_task", {"queue": queue}).data.get("entry"):
            got.append(entry["task"])
        return got

    with ThreadPoolExecutor(4) as pool:
        given = [task for got in pool.map(work, range(4)) for task in got]
    assert sorted(given) == sorted(tasks)
    assert call("v2.15/queues.peek_task", {"queue": queue}).data == {}


def test_an_agent_takes_out_what_it_executes(call: Calls, queue: str, make: Calls) -> None:
    task = make()
    call("v2.13/tasks.enqueue", {"task": task, "queue": queue})
    assert call("v2.13/queues.get_next_task", {"queue": queue}).data["entry"]["task"] == task
    call("v2.13/tasks.started", {"task": task, "force": True})
    fields = call("v2.31/tasks.dequeue", {"task": task, "new_status": "in_progress"}).data["fields"]
    assert (fields["status"], fields["execution.queue"]) == ("in_progress", None)
    assert call("v2.31/tasks.dequeue", {"task": task, "new_status": "elsewhere"}).code == (400, 12)


def test_a_queue_is_shown_with_what_waits_and_who_serves_it(call: Calls, queue: str, make: Calls) -> None:
    task = make("waits", project=call("v2.13/projects.create", {"name": "project"}).data["id"])
    answer = call("v2.13/tasks.enqueue", {"task": task, "queue": queue, "verify_watched_queue": True}).data
    assert answer["queue_watched"] is False
    call("v2.13/workers.register", {"worker": "host:0", "queues": [queue]})
    (found,) = call("v2.13/queues.get_all_ex", {"id": [queue]}).data["queues"]
    (entry,) = found["entries"]
    assert (entry["task"]["name"], entry["task"]["project"]["name"], entry["task"]["status"]) == ("waits", "project", "queued")
    assert found["workers"] == [{"name": "host:0", "task": None}]
    call("v2.13/tasks.dequeue", {"task": task})
    assert call("v2.13/tasks.enqueue", {"task": task, "queue": queue, "verify_watched_queue": True}).data["queue_watched"] is True
    assert call("v2.13/queues.get_default", {}).data["name"] == "default"
