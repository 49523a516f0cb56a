"""The `queues.*` endpoints, and those by which a task gets into a queue and out of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any, Final

from atrains._local import query, queues
from atrains._local.records import Record, now
from atrains._local.services import status
from atrains._local.store import Store
from atrains.types import TaskStatusEnum

_MINIMUM_NAME: Final = 3
_DEVELOPMENT: Final = "development"
_DEFAULT: Final = "default"
"""The system tag of the queue that is meant when none is named."""
_FIELDS: Final = frozenset({"id", "name", "user", "company", "created", "last_update", "tags", "system_tags", "entries", "metadata"})


def create(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Make a queue. Server: 400/800 for a short name, 400/801 when it is taken."""
    name = query.take(request, "name", str).strip()
    if len(name) < _MINIMUM_NAME:
        raise query.refuse(
            800, f"Data validation error: a queue's name needs at least {_MINIMUM_NAME} characters, {name!r} has {len(name)}"
        )
    tags = {field: query.take_strings(request, field) or [] for field in ("tags", "system_tags")}
    with store.change() as connection:
        if queues.queue_named(connection, name) is not None:
            raise query.refuse(801, f"Value combination already exists: name={name}")
        return {"id": queues.create_queue(connection, name, **tags)}


def get_all(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Answer the queues that match, by name unless ordered otherwise."""
    predicates = [*query.text_filters(request, ("name",)), *query.list_filters(request, ("id", "tags", "system_tags"))]
    order, fields = query.order_of(request, _FIELDS), query.only_fields_of(request, _FIELDS)
    with store.read() as connection:
        found = [queue for queue in queues.all_queues(connection) if all(accepts(queue) for accepts in predicates)]
    query.sort(found, order)
    page = query.page_of(found, request)
    return {"queues": page if fields is None else [query.project_fields(queue, fields) for queue in page]}


def get_by_id(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Answer one queue with its entries. Server: 400/701 when there is none."""
    return {"queue": _queue(store, request)}


def get_default(store: Store, _: Mapping[str, Any]) -> dict[str, Any]:
    """Answer the queue that is meant when none is named. Server: 400/707 when there is none."""
    with store.read() as connection:
        queue = queues.queue_by_id(connection, _default(connection)) or {}
    return {"id": queue["id"], "name": queue["name"]}


def peek_task(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Answer the first task of a queue, which stays in it. Server: the answer of an empty queue is empty."""
    entries = _queue(store, request)["entries"]
    return {"task": entries[0]["task"]} if entries else {}


def get_num_entries(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Answer how many tasks stand in a queue."""
    return {"num": len(_queue(store, request)["entries"])}


def get_next_task(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Take the first task out of a queue. Server: the answer of an empty queue is empty; the task stays `queued` until it is started."""
    queue = str(_queue(store, request)["id"])
    with store.change() as connection:
        entry = queues.pop(connection, queue)
    if entry is None:
        return {}
    if not query.take(request, "get_task_info", bool, False):
        return {"entry": entry}
    record = store.record(entry["task"])
    return {"entry": entry, "task_info": {"company": record["company"], "user": record["user"]}}


def remove_task(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Take a task out of a queue, whatever becomes of its status. Server: 400/703 when it is not in it."""
    queue, task = str(_queue(store, request)["id"]), query.take(request, "task", str)
    with store.change() as connection:
        if queues.queue_of(connection, task) != queue:
            raise query.refuse(703, f"Task not in queue: task={task}, queue={queue}")
        queues.drop(connection, task)
    return {"removed": 1}


def delete(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Delete a queue. Server: 400/702 while tasks stand in it, unless with `force`."""
    queue = _queue(store, request)
    if queue["entries"] and not query.take(request, "force", bool, False):
        raise query.refuse(702, f"Queue not empty: queue={queue['id']}, {len(queue['entries'])} tasks stand in it; use force")
    with store.change() as connection:
        connection.execute("DELETE FROM entries WHERE queue = ?", [queue["id"]])
        connection.execute("DELETE FROM queues WHERE id = ?", [queue["id"]])
    return {"deleted": 1}


def _queue(store: Store, request: Mapping[str, Any]) -> queues.Queue:
    queue = query.take(request, "queue", str)
    with store.read() as connection:
        found = queues.queue_by_id(connection, queue)
    if found is None:
        raise query.refuse(701, f"Invalid queue id: id={queue}")
    return found


def enqueue(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Put a task into a queue, by the queue's id or name (made when there is none of that name), else into the default one.

    Server: the `development` tag goes; 400/706 when it stands there already, 400/707 without a default queue.
    """
    task, force = query.take(request, "task", str), query.take(request, "force", bool, False)
    said = {name: query.take(request, name, str, "") for name in ("status_reason", "status_message")}
    with store.change() as connection:
        record = store.record(task)
        queue = _chosen(connection, request)
        if queues.queue_of(connection, task) == queue:
            raise query.refuse(706, f"Task already queued: task={task}, queue={queue}")
        before = record["status"]
        if before != "queued":
            status.check(record, "queued", force=force)
            record["enqueue_status"] = before
        changed = {"status": "queued", "status_changed": now(), "last_update": now(), **said}
        record.update(changed)
        record["system_tags"] = [tag for tag in record.get("system_tags", []) if tag != _DEVELOPMENT]
        _set_queue(record, queue)
        queues.append(connection, queue, task)
        store.save(connection, record)
    answer: dict[str, Any] = {"queued": 1, "updated": 1, "fields": {**changed, "execution.queue": queue}}
    if query.take(request, "verify_watched_queue", bool, False):
        answer["queue_watched"] = any(queue in worker.queues for worker in store.workers.all())
    return answer


def _chosen(connection: sqlite3.Connection, request: Mapping[str, Any]) -> str:
    queue: str | None = query.take(request, "queue", str, None)
    name: str | None = query.take(request, "queue_name", str, None)
    if queue:
        if queues.queue_by_id(connection, queue) is None:
            raise query.refuse(701, f"Invalid queue id: id={queue}")
        return queue
    if name:
        return queues.queue_named(connection, name) or queues.create_queue(connection, name)
    return _default(connection)


def _default(connection: sqlite3.Connection) -> str:
    default = next((found["id"] for found in queues.all_queues(connection) if _DEFAULT in found["system_tags"]), None)
    if default is None:
        raise query.refuse(707, "No default queue: name one with queue or queue_name")
    return str(default)


def dequeue(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Take a task out of its queue; it is what it was before. Server: a running task becomes a draft, any other is left as it is.

    With `new_status` it gets that one: an agent takes out what it has begun to execute, and which goes on running.
    """
    task = query.take(request, "task", str)
    said = {name: query.take(request, name, str, "") for name in ("status_reason", "status_message")}
    new_status: str | None = query.take(request, "new_status", str, None)
    if new_status and new_status not in TaskStatusEnum.__members__:
        raise query.refuse(12, f"Validation error: new_status must be a status of a task, not {new_status!r}")
    with store.change() as connection:
        record = store.record(task)
        before = record["status"]
        if before not in {"queued", "in_progress"}:
            return {"dequeued": 1, "updated": 0, "fields": {}}
        changed = {**leave_queue(connection, record, new_status), **said}
        record.update(said)
        store.save(connection, record)
    return {"dequeued": 1, "updated": 1, "fields": {**changed, "execution.queue": None}}


def leave_queue(connection: sqlite3.Connection, record: Record, new_status: str | None = None) -> dict[str, Any]:
    """Take a task out of its queue, in its record too, and return the fields that changed. Call with the writer lock held."""
    queues.drop(connection, record["id"])
    before = record.pop("enqueue_status", "created")
    target = new_status or (before if record["status"] == "queued" else "created")
    changed = {"status": target, "status_changed": now(), "last_update": now()}
    record.update(changed)
    _set_queue(record, None)
    return changed


def _set_queue(record: Record, queue: str | None) -> None:
    execution = {**record.get("execution", {})}
    execution.pop("queue", None)
    record["execution"] = execution if queue is None else {**execution, "queue": queue}
