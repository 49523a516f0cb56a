"""Task records: `task.json` in the task's folder, which is the truth, and its row in the index. What may be changed is for the services."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import orjson

Record = dict[str, Any]
"""A task as the server shows it."""

EMBEDDED: Final = frozenset({"script", "execution", "hyperparams", "configuration", "models", "container", "runtime", "output"})
"""Fields that only `task.json` holds; the rest of a record is in the index as well."""
DERIVED: Final = frozenset({"last_update", "last_iteration", "last_metrics"})
"""Fields that events change: kept in the index, rebuilt from the chunk files."""
INNER: Final = frozenset({"project_name", "iteration_set"})
"""Fields that `task.json` has for the home itself, and no answer."""
FIELDS: Final = frozenset(
    {
        "id", "name", "user", "company", "type", "status", "status_reason", "status_message", "status_changed", "comment", "report",
        "created", "started", "completed", "published", "active_duration", "parent", "project", "tags", "system_tags", "last_worker",
        "last_worker_report", "last_changed_by", "last_change", "unique_metrics", "metric_stats", *EMBEDDED, *DERIVED,
    }
)  # fmt: skip
"""What `only_fields` and `order_by` may name. Server: anything else is 400/14."""


def now() -> str:
    """The time as a home stores it: ISO 8601, UTC, microseconds, always of one length, so that text order is time order."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def read_record(folder: Path, name: str = "task.json") -> Record:
    """The record of a task folder, or of another one whose record has another name.

    Raises:
        FileNotFoundError: there is no such task.
        ValueError: the file is no JSON object.
    """
    record = orjson.loads((folder / name).read_bytes())
    if not isinstance(record, dict):
        raise ValueError(f"{folder / name} holds no JSON object")  # noqa: TRY004  # damage of a file, like text that is no JSON
    return record


def encode_record(record: Record) -> bytes:
    """The content of a `task.json`. Half characters in the record's texts become `?` before, as on the way to a server.

    Raises:
        TypeError: a field is no JSON.
    """
    options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    try:
        return orjson.dumps(record, option=options)
    except TypeError:
        record.update(_whole_characters(record))
        return orjson.dumps(record, option=options)


def _whole_characters(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_whole_characters(key): _whole_characters(item) for key, item in value.items()}
    return [_whole_characters(item) for item in value] if isinstance(value, list) else value


def write_record(folder: Path, text: bytes, name: str = "task.json") -> None:
    """Replace the record of a folder in one step; a process killed in it leaves the old one or the new one."""
    temporary = folder / f"{name}.tmp"  # one name is enough: the caller holds the home's writer lock
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_CLOEXEC", 0), 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(text)
    os.replace(temporary, folder / name)


def index_record(connection: sqlite3.Connection, record: Record) -> None:
    """Bring a task's row in the index to what its record says. What events add (`DERIVED`) only ever grows here."""
    brief = {key: value for key, value in record.items() if key not in EMBEDDED and key not in DERIVED and key not in INNER}
    row = [record.get(key) for key in ("id", "name", "project", "status", "type", "parent", "user", "created", "last_update")]
    connection.execute(
        """INSERT INTO tasks (id, name, project, status, type, parent, user, created, last_update, brief)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (id) DO UPDATE SET name = excluded.name, project = excluded.project, status = excluded.status, type = excluded.type,
            parent = excluded.parent, user = excluded.user, last_update = MAX(last_update, excluded.last_update), brief = excluded.brief""",
        [*row, orjson.dumps(brief).decode()],
    )


def with_derived(connection: sqlite3.Connection, record: Record) -> Record:
    """A record as the server answers it: with what the events have made of it."""
    row = connection.execute("SELECT last_update, last_iteration FROM tasks WHERE id = ?", [record["id"]]).fetchone()
    answer = {key: value for key, value in record.items() if key not in INNER}
    if row is not None:
        answer["last_update"], answer["last_iteration"] = row
    answer["last_metrics"] = last_metrics(connection, [record["id"]]).get(record["id"], {})
    return answer


def last_metrics(connection: sqlite3.Connection, tasks: Iterable[str]) -> dict[str, dict[str, dict[str, dict[str, Any]]]]:
    """`last_metrics` of each task that has any, in the server's form: keyed by the MD5 of title and series."""
    found: dict[str, dict[str, dict[str, dict[str, Any]]]] = {}
    rows = connection.execute(
        """SELECT task, title, series, last, last_iteration, min, min_iteration, max, max_iteration, first, first_iteration, count
        FROM metrics WHERE task IN (SELECT value FROM json_each(?))""",
        [orjson.dumps(list(tasks)).decode()],
    )
    for task, title, series, *numbers in rows:
        names = ("value", "min_value", "max_value", "first_value")
        entry: dict[str, Any] = {"metric": title, "variant": series}
        for place, name in enumerate(names):
            entry[name], entry[f"{name}_iteration"] = numbers[2 * place], numbers[2 * place + 1]
        entry["count"] = numbers[-1]
        found.setdefault(task, {}).setdefault(_hashed(title), {})[_hashed(series)] = entry
    return found


def _hashed(name: str) -> str:
    import hashlib  # 12 ms that the first call of a run does not need

    return hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()
