"""Projects in the index: rows, paths and parents. What the endpoints answer is in `services.projects`."""

from __future__ import annotations

import os
import sqlite3
from typing import Any

import orjson

from atrains._local.records import now

Project = dict[str, Any]


def new_id() -> str:
    """An id as the server makes them: 32 hexadecimal digits."""
    return os.urandom(16).hex()


def project_by_id(connection: sqlite3.Connection, project_id: object) -> Project | None:
    """The project with this id."""
    row = connection.execute("SELECT record FROM projects WHERE id = ?", [project_id]).fetchone() if isinstance(project_id, str) else None
    return orjson.loads(row[0]) if row else None


def all_projects(connection: sqlite3.Connection) -> list[Project]:
    """Every project, by name."""
    return [orjson.loads(text) for (text,) in connection.execute("SELECT record FROM projects ORDER BY name")]


def ensure_project(connection: sqlite3.Connection, name: str, project_id: str | None = None, **fields: object) -> str:
    """Return the id of the project with this name; if there is none, make it and the parents in its path.

    Args:
        connection: Of the index, with the writer lock held.
        name: The full path, parts separated by `/`.
        project_id: The id that a new project gets, unless another one has it.
        fields: Further fields of a new project.
    """
    row = connection.execute("SELECT id FROM projects WHERE name = ?", [name]).fetchone()
    if row is not None:
        return str(row[0])
    above, _, basename = name.rpartition("/")
    parent = project_by_id(connection, ensure_project(connection, above)) if above else None
    if project_id is None or project_by_id(connection, project_id) is not None:
        project_id = new_id()
    created = now()
    record: Project = {
        "id": project_id, "name": name, "basename": basename, "description": "", "user": "local", "company": "local",
        "created": created, "last_update": created, "tags": [], "system_tags": [],
        "path": [*parent["path"], parent["id"]] if parent else [], **fields,
    }  # fmt: skip
    if parent:
        record["parent"] = parent["id"]
    connection.execute("INSERT INTO projects VALUES (?, ?, ?)", [project_id, name, orjson.dumps(record).decode()])
    return project_id
