"""The `models.*` endpoints. What tasks say of models is in `parts`; what becomes of models with their task is in `outputs`."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any, Final

from atrains._local import models, query
from atrains._local.projects import new_id, project_by_id
from atrains._local.records import INNER, Record, now
from atrains._local.services import outputs, status
from atrains._local.services.changes import require_status
from atrains._local.store import Store
from atrains.errors import ServerError

_EDITABLE: Final[Mapping[str, type[Any]]] = {
    "name": str, "uri": str, "comment": str, "framework": str, "project": str, "parent": str, "task": str,
    "design": dict, "labels": dict, "tags": list, "system_tags": list, "ready": bool,
}  # fmt: skip
_UPDATABLE: Final = ("name", "comment", "tags", "project", "labels")
"""What `models.update_for_task` and `models.update` take."""
FIELDS: Final = frozenset({*_EDITABLE, "id", "user", "company", "created", "last_update"})
"""What `only_fields` and `order_by` may name."""
_MINIMUM_NAME: Final = 3
_ARCHIVED: Final = "archived"


def create(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Make a model. Server: `uri` and `name` are required, `ready` is true unless the request says otherwise; uris are not checked."""
    given = _fields(request)
    for name in ("uri", "name"):
        query.take(request, name, str)
    with store.change() as connection:
        record = _blank(**{"ready": True, **given})
        _settle(connection, record, given)
        models.save_model(store, connection, record)
        _count_iteration(connection, record.get("task"), request)
    return {"id": record["id"], "created": True}


def edit(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Set fields of a model. Server: of a ready one as well; an iteration counts for the `last_iteration` of the task that made it."""
    return _change(store, request, _fields(request))


def update(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Set the fields that say what a model is, not those that say where it comes from."""
    return _change(store, request, {name: value for name, value in _fields(request).items() if name in _UPDATABLE})


def _change(store: Store, request: Mapping[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    with store.change() as connection:
        record = models.read_model(store, query.take(request, "model", str))
        if given:
            record |= {**given, "last_update": now()}
            _settle(connection, record, given)
            models.save_model(store, connection, record)
        _count_iteration(connection, record.get("task"), request)
    return {"updated": 1, "fields": {**given, "last_update": record["last_update"]}} if given else {"updated": 0, "fields": {}}


def _fields(request: Mapping[str, Any]) -> dict[str, Any]:
    """The editable fields of a request; null means no change."""
    given = {name: value for name, kind in _EDITABLE.items() if (value := query.take(request, name, kind, None)) is not None}
    for name in ("tags", "system_tags"):
        query.take_strings(request, name)
    if "name" in given:
        given["name"] = given["name"].strip()
        if len(given["name"]) < _MINIMUM_NAME:
            text = f"a model's name needs at least {_MINIMUM_NAME} characters, {given['name']!r} has {len(given['name'])}"
            raise query.refuse(800, f"Data validation error: {text}")
    if not all(isinstance(value, int) and not isinstance(value, bool) for value in given.get("labels", {}).values()):
        raise query.refuse(12, "Validation error: field labels must map names to integers")
    return given


def _settle(connection: sqlite3.Connection, record: Record, given: Mapping[str, Any]) -> None:
    """Note the name of the project beside its id, as a model's folder needs it in another home."""
    if not given.get("project"):
        return
    project = project_by_id(connection, given["project"])
    if project is None:
        raise query.refuse(16, f"Invalid project id: id={given['project']}")
    record["project_name"] = project["name"]


def _blank(**fields: Any) -> Record:
    moment = now()
    return {
        "id": new_id(), "name": "", "uri": "", "user": "local", "company": "local", "created": moment, "last_update": moment,
        "comment": "", "tags": [], "system_tags": [], "labels": {}, "design": {}, **fields,
    }  # fmt: skip


def _count_iteration(connection: sqlite3.Connection, task: str | None, request: Mapping[str, Any]) -> None:
    iteration = query.take(request, "iteration", int, 0)
    if task and iteration > 0:
        connection.execute("UPDATE tasks SET last_iteration = MAX(last_iteration, ?) WHERE id = ?", [iteration, task])


def _answered(record: Record) -> Record:
    return {name: value for name, value in record.items() if name not in INNER}


def get_by_id(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Answer one model. Server: 400/201 when there is none."""
    return {"model": _answered(models.read_model(store, query.take(request, "model", str)))}


def get_all(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Answer the models that match, oldest first unless ordered otherwise; ids that are not there are left out."""
    lists = ("id", "uri", "task", "project", "framework", "parent", "user", "tags", "system_tags")
    several = {name: [request[name]] if isinstance(request.get(name), str) else request.get(name) for name in lists}
    predicates = [
        *query.text_filters(request, ("name", "comment")),
        *query.search_filter(request, ("id", "name", "comment")),
        *query.list_filters({**request, **several}, lists),
        *query.date_filters(request, ("created", "last_update")),
    ]
    ready = query.take(request, "ready", bool, None)
    order, chosen = query.order_of(request, FIELDS), query.only_fields_of(request, FIELDS)
    with store.read() as connection:
        found = [_answered(record) for record in models.all_models(connection)]
    found = [record for record in found if ready in {None, bool(record.get("ready"))} and all(accepts(record) for accepts in predicates)]
    query.sort(found, order)
    page = query.page_of(found, request)
    return {"models": page if chosen is None else [query.project_fields(record, chosen) for record in page]}


def update_for_task(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Give a task its output model: another one, or a new uri for the one that it has, which is made where there is none.

    Server: exactly one of `uri` and `override_model_id`; only of a task that is `created` or `in_progress`. A model that is made gets name,
    labels, design and parent of the task.
    """
    task_id, uri = query.take(request, "task", str), query.take(request, "uri", str, None)
    other = query.take(request, "override_model_id", str, None)
    if (uri is None) == (other is None):
        raise query.refuse(12, "Validation error: give exactly one of uri and override_model_id")
    given = {name: value for name, value in _fields(request).items() if name in {"name", "comment", "tags", "system_tags"}}
    with store.change() as connection:
        task = store.record(task_id)
        require_status(task, ("created", "in_progress"))
        held = task.get("models", {}).get("output", [])
        made = False
        if other is not None:
            models.read_model(store, other)
            model_id, entries = other, [{"name": "Output Model", "model": other}]
        elif held:
            model_id, entries = held[-1]["model"], held
            record = models.read_model(store, model_id) | {**given, "uri": uri, "last_update": now()}
            models.save_model(store, connection, record)
        else:
            record = _blank(**{**_inherited(task), **given, "uri": uri})
            models.save_model(store, connection, record)
            model_id, made = record["id"], True
            entries = [{"name": "Output Model", "model": model_id}]
        task["models"] = {**task.get("models", {}), "output": entries}
        task["last_update"] = now()
        store.save(connection, task)
        _count_iteration(connection, task_id, request)
    return {"id": model_id, "created": made, "updated": 0 if made else 1, "fields": {**given, **({"uri": uri} if uri is not None else {})}}


def _inherited(task: Mapping[str, Any]) -> dict[str, Any]:
    """What a model takes from the task that makes it."""
    configuration: dict[str, Any] = task.get("configuration") or {}
    chosen = configuration.get("General") or (next(iter(configuration.values())) if configuration else {})
    design = chosen.get("value")
    inputs = task.get("models", {}).get("input") or [{}]
    fields = {
        "name": task["name"], "comment": f"Created by task id: {task['id']}", "task": task["id"], "project": task.get("project"),
        "project_name": task.get("project_name"), "labels": task.get("execution", {}).get("model_labels") or {},
        "design": {"design": design} if design else {}, "framework": task.get("execution", {}).get("framework"),
        "parent": inputs[0].get("model"), "ready": False,
    }  # fmt: skip
    return {name: value for name, value in fields.items() if value is not None}


def set_ready(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Publish a model, and the task that made it if the request says so. Server: 400/203 when it is published already."""
    publish_task = query.take(request, "publish_task", bool, False)
    force = query.take(request, "force_publish_task", bool, False)
    with store.change() as connection:
        record = models.read_model(store, query.take(request, "model", str))
        if record.get("ready"):
            raise query.refuse(203, f"Model is already ready: model={record['id']}")
        answer: dict[str, Any] = {"updated": 1}
        if publish_task and record.get("task"):
            task = store.record(record["task"])
            if task["status"] != "published":
                changed = status.enter(task, "published", force=force)
                store.save(connection, task)
                answer["published_task"] = {"id": task["id"], "data": {"updated": 1, "fields": changed}}
        outputs.publish_model(store, connection, record)
    return answer


def delete(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Delete a model, and its file where that stands in this home. Server: a published one as well; answers where the file was."""
    with store.change() as connection:
        record = models.read_model(store, query.take(request, "model", str))
        models.remove_model(store, connection, record["id"])
        if query.take(request, "delete_external_artifacts", bool, True):
            models.remove_file(store, connection, record.get("uri"))
    return {"deleted": True, "url": record.get("uri")}


def archive_many(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Put models away: they get the system tag for it."""
    return _set_archived(store, request, archived=True)


def unarchive_many(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Take models out again."""
    return _set_archived(store, request, archived=False)


def _set_archived(store: Store, request: Mapping[str, Any], *, archived: bool) -> dict[str, Any]:
    name = "archived" if archived else "unarchived"
    succeeded: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    with store.change() as connection:
        for model_id in dict.fromkeys(query.take_strings(request, "ids") or []):
            try:
                record = models.read_model(store, model_id)
            except ServerError as error:
                failed.append({"id": model_id, "error": {"codes": [error.code, error.subcode], "msg": str(error), "data": {}}})
                continue
            tags = [tag for tag in record.get("system_tags", []) if tag != _ARCHIVED]
            record |= {"system_tags": [*tags, _ARCHIVED] if archived else tags, "last_update": now()}
            models.save_model(store, connection, record)
            succeeded.append({"id": model_id, name: True})
    return {"succeeded": succeeded, "failed": failed}
