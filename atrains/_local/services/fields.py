"""The fields of a task that requests may set: their types, their rules, and how they are merged into a record."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any, Final

from atrains._local import query
from atrains._local.projects import project_by_id
from atrains._local.records import Record
from atrains.types import TaskTypes

_EDITABLE: Final[Mapping[str, type[Any]]] = {
    "name": str, "type": str, "comment": str, "parent": str, "project": str, "output_dest": str, "tags": list, "system_tags": list,
    "execution": dict, "script": dict, "output": dict, "models": dict, "hyperparams": dict, "configuration": dict,
    "container": dict, "runtime": dict,
}  # fmt: skip
_MERGED: Final = frozenset({"execution", "script", "output", "models"})
"""Embedded documents of which only the given keys change. Server: all other maps and lists are replaced."""
_MINIMUM_NAME: Final = 3
_TYPES: Final = frozenset({*TaskTypes.__members__, "report"})


def task_fields(request: Mapping[str, Any]) -> dict[str, Any]:
    """The editable fields of a request; null means no change, what is not editable is ignored as the server does.

    Raises:
        ServerError: 400/12 for a wrong type, 400/800 for a short name.
    """
    given = {name: value for name, kind in _EDITABLE.items() if (value := query.take(request, name, kind, None)) is not None}
    for name in ("tags", "system_tags"):
        query.take_strings(request, name)
    if "name" in given:
        given["name"] = given["name"].strip()
        if len(given["name"]) < _MINIMUM_NAME:
            raise query.refuse(
                800,
                f"Data validation error: a task's name needs at least {_MINIMUM_NAME} characters, "
                f"{given['name']!r} has {len(given['name'])}",
            )
    if "type" in given and given["type"] not in _TYPES:
        raise query.refuse(12, f"Validation error: invalid task type {given['type']!r}; the types are {', '.join(sorted(_TYPES))}")
    _check_shapes(given)
    return given


def _check_shapes(given: Mapping[str, Any]) -> None:
    """Refuse documents of another shape than every reader expects. Server: the rules of its database, 400/800."""
    artifacts = given.get("execution", {}).get("artifacts") or []
    groups = {
        "hyperparams": [*given.get("hyperparams", {}).values()],
        "configuration": [given.get("configuration", {})],
        "models": [_numbered(held) for held in given.get("models", {}).values() if held is not None],
        "execution.artifacts": [_numbered(artifacts)],
    }
    for name, group in groups.items():
        if not all(isinstance(items, Mapping) and all(isinstance(item, Mapping) for item in items.values()) for items in group):
            raise query.refuse(800, f"Data validation error: field {name} has another shape than that of a task")
    if not all(isinstance(artifact.get("key"), str) for artifact in artifacts):
        raise query.refuse(800, "Data validation error: each of execution.artifacts needs a key")


def _numbered(items: Any) -> Any:
    return dict(enumerate(items)) if isinstance(items, list) else items


def merge(connection: sqlite3.Connection, record: Record, given: Mapping[str, Any]) -> dict[str, Any]:
    """Put given fields into a record and return those that the answer names.

    Raises:
        ServerError: 400/16 for an unknown project, 400/101 for an unknown parent.
    """
    changed: dict[str, Any] = {}
    for name, value in given.items():
        if name == "output_dest":
            record["output"] = {**record.get("output", {}), "destination": value}
            changed["output"] = record["output"]
        elif name in _MERGED:
            record[name] = {**record.get(name, {}), **{key: part for key, part in value.items() if part is not None}}
            changed[name] = record[name]
        else:
            record[name] = changed[name] = value
    if "project" in given:
        project = project_by_id(connection, given["project"])
        if project is None:
            raise query.refuse(16, f"Invalid project id: id={given['project']}")
        record["project_name"] = project["name"]
    if given.get("parent") == "":  # Server: no task; here the one way to take a parent away
        record.pop("parent", None)
    elif "parent" in given and connection.execute("SELECT 1 FROM tasks WHERE id = ?", [given["parent"]]).fetchone() is None:
        raise query.refuse(101, f"Invalid task id: parent={given['parent']}")
    return changed


def check_hyperparams(sections: Mapping[str, Any]) -> None:
    """Refuse hyperparameters of a new task that are no strings. Server: 400/800."""
    for section, items in sections.items():
        for name, item in items.items() if isinstance(items, Mapping) else ():
            if not isinstance(item, Mapping) or not isinstance(item.get("value", ""), str):
                raise query.refuse(800, f"Data validation error: the value of hyperparameter {section}/{name} must be a string")
