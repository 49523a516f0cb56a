"""The `projects.*` endpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from atrains._local import query
from atrains._local.projects import all_projects, ensure_project, project_by_id
from atrains._local.records import now
from atrains._local.store import Store

_MINIMUM_NAME: Final = 3
_MAXIMUM_DEPTH: Final = 10
_FIELDS: Final = frozenset(
    {
        "id", "name", "basename", "description", "user", "company", "created", "last_update", "tags", "system_tags", "parent", "path",
        "default_output_destination", "hidden",
    }
)  # fmt: skip


def get_all(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Answer the projects that match, by name unless ordered otherwise."""
    predicates = [
        *query.text_filters(request, ("name", "basename", "description")),
        *query.list_filters(request, ("id", "user", "tags", "system_tags", "parent")),
    ]
    order, fields = query.order_of(request, _FIELDS), query.only_fields_of(request, _FIELDS)
    with store.read() as connection:
        found = [project for project in all_projects(connection) if all(accepts(project) for accepts in predicates)]
    query.sort(found, order)
    page = query.page_of(found, request)
    return {"projects": page if fields is None else [query.project_fields(project, fields) for project in page]}


def get_by_id(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Answer one project. Server: 400/401 when there is none."""
    project_id = query.take(request, "project", str)
    with store.read() as connection:
        project = project_by_id(connection, project_id)
    if project is None:
        raise query.refuse(401, f"Invalid project id: id={project_id}")
    return {"project": project}


def create(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Make a project and the parents in its path. Server: 400/801 when the name is taken."""
    name = _checked_path(query.take(request, "name", str))
    fields = {
        "description": query.take(request, "description", str, ""),
        "tags": query.take_strings(request, "tags") or [],
        "system_tags": query.take_strings(request, "system_tags") or [],
    }
    destination = query.take(request, "default_output_destination", str, None)
    if destination:
        fields["default_output_destination"] = destination
    with store.change() as connection:
        if connection.execute("SELECT 1 FROM projects WHERE name = ?", [name]).fetchone() is not None:
            raise query.refuse(801, f"Value combination already exists: name={name}; get the project by its name instead")
        return {"id": ensure_project(connection, name, **fields)}


def update(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Set description, tags and destination of a project. Server: its path is changed by another call."""
    project_id = query.take(request, "project", str)
    changed: dict[str, Any] = {}
    for name in ("description", "default_output_destination"):
        value = query.take(request, name, str, None)
        if value is not None:
            changed[name] = value
    for name in ("tags", "system_tags"):
        tags = query.take_strings(request, name)
        if tags is not None:
            changed[name] = tags
    with store.change() as connection:
        project = project_by_id(connection, project_id)
        if project is None:
            raise query.refuse(401, f"Invalid project id: id={project_id}")
        changed["last_update"] = now()
        project.update(changed)
        connection.execute("UPDATE projects SET record = ? WHERE id = ?", [orjson.dumps(project).decode(), project_id])
    return {"updated": 1, "fields": changed}


def _checked_path(name: str) -> str:
    """A project's full name as it is stored: blanks around its parts removed.

    Raises:
        ServerError: 400/800 for a part under 3 characters, 400/409 for a path that is too deep.
    """
    parts = [part.strip() for part in name.split("/")]
    short = [part for part in parts if len(part) < _MINIMUM_NAME]
    if short:
        raise query.refuse(
            800,
            f"Data validation error: each part of a project's name needs at least {_MINIMUM_NAME} characters, "
            f"{short[0]!r} in {name!r} has {len(short[0])}",
        )
    if len(parts) > _MAXIMUM_DEPTH:
        raise query.refuse(409, f"Project path is too deep: {len(parts)} parts in {name!r}, at most {_MAXIMUM_DEPTH}")
    return "/".join(parts)
