"""Queues in the index: which there are, and which tasks stand in them in which order. What the endpoints answer is in `services.queues`."""

from __future__ import annotations

import sqlite3
from typing import Any

import orjson

from atrains._local.projects import new_id
from atrains._local.records import now

Queue = dict[str, Any]


def all_queues(connection: sqlite3.Connection) -> list[Queue]:
    """Every queue with its entries, by name."""
    queues = {
        queue: {**orjson.loads(text), "entries": []} for queue, text in connection.execute("SELECT id, record FROM queues ORDER BY name")
    }
    for queue, task, added in connection.execute("SELECT queue, task, added FROM entries ORDER BY place"):
        if queue in queues:
            queues[queue]["entries"].append({"task": task, "added": added})
    return list(queues.values())


def queue_by_id(connection: sqlite3.Connection, queue: str) -> Queue | None:
    """The queue with this id."""
    return next((found for found in all_queues(connection) if found["id"] == queue), None)


def queue_named(connection: sqlite3.Connection, name: str) -> str | None:
    """The id of the queue with this name."""
    row = connection.execute("SELECT id FROM queues WHERE name = ?", [name]).fetchone()
    return None if row is None else str(row[0])


def create_queue(connection: sqlite3.Connection, name: str, **fields: object) -> str:
    """Make a queue and return its id. Call with the writer lock held."""
    queue, moment = new_id(), now()
    record = {
        "id": queue, "name": name, "user": "local", "company": "local", "created": moment, "last_update": moment,
        "tags": [], "system_tags": [], **fields,
    }  # fmt: skip
    connection.execute("INSERT INTO queues VALUES (?, ?, ?)", [queue, name, orjson.dumps(record).decode()])
    return queue


def append(connection: sqlite3.Connection, queue: str, task: str) -> None:
    """Put a task at the end of a queue, and out of any other. Call with the writer lock held."""
    drop(connection, task)
    connection.execute("INSERT INTO entries (queue, task, added) VALUES (?, ?, ?)", [queue, task, now()])


def queue_of(connection: sqlite3.Connection, task: str) -> str | None:
    """The queue that a task stands in."""
    row = connection.execute("SELECT queue FROM entries WHERE task = ?", [task]).fetchone()
    return None if row is None else str(row[0])


def drop(connection: sqlite3.Connection, task: str) -> bool:
    """Take a task out of its queue; False when it stands in none. Call with the writer lock held."""
    return connection.execute("DELETE FROM entries WHERE task = ?", [task]).rowcount > 0


def pop(connection: sqlite3.Connection, queue: str) -> dict[str, Any] | None:
    """Take the first task out of a queue: its entry. Call with the writer lock held: no two get the same one."""
    row = connection.execute("SELECT task, added FROM entries WHERE queue = ? ORDER BY place LIMIT 1", [queue]).fetchone()
    if row is None:
        return None
    drop(connection, row[0])
    return {"task": row[0], "added": row[1]}
