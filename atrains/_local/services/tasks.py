"""The `tasks.*` endpoints that make tasks and read them. Those that change them are in `changes` and `status`."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from atrains._local import query
from atrains._local.projects import new_id
from atrains._local.records import DERIVED, EMBEDDED, FIELDS, INNER, Record, last_metrics, now, with_derived
from atrains._local.services import fields
from atrains._local.store import Store
from atrains._wire.names import TASK_ID
from atrains.errors import ServerError

_COLUMNS: Final = ("id", "user", "type", "status", "project", "parent")
"""Fields that are columns of the index, so that SQLite does the filtering."""
_DATES: Final = ("created", "started", "completed", "last_update", "status_changed")


def create(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Make a task in status `created`. Server: `id` and `status` of the request are ignored.

    Here a good `id` that no task has is kept: it is the one that a program chose, or under which a run began while its home was away.
    """
    given = fields.task_fields(request)
    for name in ("name", "type"):
        query.take(request, name, str)
    fields.check_hyperparams(given.get("hyperparams", {}))
    moment = now()
    record: Record = {
        "id": "", "name": "", "user": "local", "company": "local", "type": "",
        "status": "created", "status_reason": "", "status_message": "", "status_changed": moment,
        "comment": "", "created": moment, "last_update": moment, "tags": [], "system_tags": [],
        "script": {}, "execution": {"artifacts": []}, "hyperparams": {}, "configuration": {}, "models": {"input": [], "output": []},
        "container": {}, "runtime": {}, "output": {},
    }  # fmt: skip
    with store.change() as connection:
        record["id"] = _new_id(connection, request.get("id"))
        fields.merge(connection, record, given)
        store.save(connection, record)
    return {"id": record["id"]}


def _new_id(connection: sqlite3.Connection, wished: object) -> str:
    if not isinstance(wished, str) or not TASK_ID.fullmatch(wished):
        return new_id()
    taken = connection.execute("SELECT 1 FROM tasks WHERE id = ?", [wished]).fetchone() is not None
    return new_id() if taken else wished


def get_by_id(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Answer one whole task. Server: 400/101 when there is none."""
    task_id = query.take(request, "task", str)
    store.require_task(task_id)
    record = store.record(task_id)
    with store.read() as connection:
        return {"task": with_derived(connection, record)}


def get_all(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Answer the tasks that match, oldest first unless ordered otherwise; ids that are not there are left out."""
    predicates = [
        *query.text_filters(request, ("name", "comment")),
        *query.search_filter(request, ("id", "name", "comment")),
        *query.list_filters(request, ("tags", "system_tags")),
        *query.date_filters(request, _DATES),
    ]
    order, chosen = query.order_of(request, FIELDS), query.only_fields_of(request, FIELDS)
    asked = None if chosen is None else {query.root_of(path) for path in chosen}
    sorted_by = {query.root_of(path) for path, _ in order}
    searched = {query.root_of(path) for name in ("_any_", "_all_") for path in (request.get(name) or {}).get("fields") or []}
    with store.read() as connection:
        found = _select(connection, request)
        found = _complete(store, connection, found, searched)
        found = [record for record in found if all(accepts(record) for accepts in predicates)]
        found = _complete(store, connection, found, sorted_by)
        query.sort(found, order)
        page = _complete(store, connection, query.page_of(found, request), EMBEDDED | DERIVED if asked is None else asked)
    return {"tasks": page if chosen is None else [query.project_fields(record, chosen) for record in page]}


def _select(connection: sqlite3.Connection, request: Mapping[str, Any]) -> list[Record]:
    conditions, values = ["1"], list[str]()
    for name in _COLUMNS:
        # Server: `parent` is one id; a list is understood here as well.
        one = name == "parent" and isinstance(request.get(name), str)
        wanted = [request[name]] if one else query.take_strings(request, name) or []
        excluded = [item[1:] for item in wanted if item.startswith("-")]
        included = [item for item in wanted if not item.startswith("-")]
        if included:
            conditions.append(f'"{name}" IN (SELECT value FROM json_each(?))')  # noqa: S608
            values.append(orjson.dumps(included).decode())
        if excluded:
            conditions.append(f'"{name}" IS NULL OR "{name}" NOT IN (SELECT value FROM json_each(?))')  # noqa: S608
            values.append(orjson.dumps(excluded).decode())
    where = ") AND (".join(conditions)  # of names of columns alone: what a request brings is bound
    statement = f"SELECT brief, last_update, last_iteration FROM tasks WHERE ({where}) ORDER BY created, id"  # noqa: S608
    return [
        {**orjson.loads(brief), "last_update": update, "last_iteration": iteration}
        for brief, update, iteration in connection.execute(statement, values)
    ]


def _whole(store: Store, record: Record) -> Record | None:
    if not EMBEDDED.isdisjoint(record):
        return record
    try:
        whole = {**store.record(record["id"]), **record}
    except ServerError:  # its folder was removed by hand
        return None
    return {name: value for name, value in whole.items() if name not in INNER}


def _complete(store: Store, connection: sqlite3.Connection, records: Sequence[Record], wanted: frozenset[str] | set[str]) -> list[Record]:
    """Add what the brief records of the index lack, if it is wanted."""
    completed = list(records)
    if not EMBEDDED.isdisjoint(wanted):
        completed = [whole for record in records if (whole := _whole(store, record)) is not None]
    if "last_metrics" in wanted:
        metrics = last_metrics(connection, [record["id"] for record in completed])
        for record in completed:
            record["last_metrics"] = metrics.get(record["id"], {})
    return completed
