"""The `tasks.*` endpoints that edit a task without changing its status."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from atrains._local import query, streams
from atrains._local.records import Record, now
from atrains._local.services import fields
from atrains._local.store import Store
from atrains.errors import ServerError

_PROPERTIES: Final = "properties"
"""The section that may be edited in every status."""
_ALWAYS_EDITABLE: Final = frozenset({"name", "comment", "tags", "system_tags", "project"})
_UNCHANGED: Final = {"updated": 0, "fields": {}}


def edit(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Set fields of a task. Server: without `force` only in status `created`, with it in any.

    Here the last iteration can be set as well. Server: no call sets it, and an edit ignores the field.
    """
    task_id, force = query.take(request, "task", str), query.take(request, "force", bool, False)
    given = fields.task_fields(request)
    last_iteration: int | None = query.take(request, "last_iteration", int, None)
    with store.change() as connection:
        record = store.record(task_id)
        require_status(record, ("created",), force=force)
        changed = fields.merge(connection, record, given)
        if last_iteration is not None:
            record["iteration_set"] = streams.iteration_mark(connection, store.task_folder(task_id), task_id, last_iteration)
            changed["last_iteration"] = last_iteration
        if not changed:
            return dict(_UNCHANGED)
        record["last_update"] = changed["last_update"] = now()
        store.save(connection, record)
        if last_iteration is not None:
            streams.settle_iteration(connection, store.task_folder(task_id), record)
    return {"updated": 1, "fields": changed}


def update(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Set what may be set in every status: name, comment, tags, project."""
    given = {name: value for name, value in fields.task_fields(request).items() if name in _ALWAYS_EDITABLE}
    with store.change() as connection:
        record = store.record(query.take(request, "task", str))
        changed = fields.merge(connection, record, given)
        if not changed:
            return dict(_UNCHANGED)
        record["last_update"] = changed["last_update"] = now()
        store.save(connection, record)
    return {"updated": 1, "fields": changed}


def update_tags(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Add tags to tasks and take tags away, whoever else does so at the time. Server: in every status."""
    tasks = query.take_strings(request, "ids") or []
    added, removed = (query.take_strings(request, name) or [] for name in ("add_tags", "remove_tags"))
    with store.change() as connection:
        records = [store.record(task) for task in dict.fromkeys(tasks)]  # all are there, before any is changed
        for record in records:
            tags = [tag for tag in record.get("tags", []) if tag not in removed]
            record["tags"] = list(dict.fromkeys([*tags, *added]))
            record["last_update"] = now()
            store.save(connection, record)
    return {"updated": len(records)}


def edit_hyper_params(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Merge hyperparameters into a task. Server: in `created`, in `in_progress` with `force`; section `properties` in any status."""
    task_id, force = query.take(request, "task", str), query.take(request, "force", bool, False)
    sections = _sections_of(query.take(request, "hyperparams", list))
    replace = query.take(request, "replace_hyperparams", str, "none")
    if replace not in {"none", "section", "all"}:
        raise query.refuse(12, f"Validation error: replace_hyperparams must be none, section or all, not {replace!r}")
    with store.change() as connection:
        record = store.record(task_id)
        if set(sections) != {_PROPERTIES}:
            require_status(record, ("created", "in_progress") if force else ("created",))
        held: dict[str, Any] = {} if replace == "all" else dict(record.get("hyperparams", {}))
        for section, items in sections.items():
            held[section] = items if replace == "section" else {**held.get(section, {}), **items}
        record["hyperparams"] = held
        record["last_update"] = now()
        store.save(connection, record)
    return {"updated": 1}


def _sections_of(items: list[Any]) -> dict[str, dict[str, Any]]:
    if not items:
        raise query.refuse(12, "Validation error: field hyperparams must not be empty")
    sections: dict[str, dict[str, Any]] = {}
    for item in items:
        if not isinstance(item, Mapping):
            raise query.refuse(12, "Validation error: each of hyperparams must be an object with section, name and value")
        section, name, _ = (query.take(item, part, str) for part in ("section", "name", "value"))
        if not section or not name:
            raise query.refuse(12, f"Validation error: section and name of a hyperparameter must not be empty ({section!r}, {name!r})")
        if section.lower() == _PROPERTIES:
            section = _PROPERTIES
        stored = {
            "section": section,
            **{part: item[part] for part in ("name", "value", "type", "description") if item.get(part) is not None},
        }
        sections.setdefault(section, {})[name] = stored
    return sections


def add_or_update_artifacts(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Add artifacts; one takes the place of that with its key and mode. Server: in `created` and `in_progress` only, `force` or not."""
    task_id = query.take(request, "task", str)
    artifacts = [_artifact_of(item) for item in query.take(request, "artifacts", list)]
    with store.change() as connection:
        record = store.record(task_id)
        require_status(record, ("created", "in_progress"))
        execution = {**record.get("execution", {})}
        held = {(artifact["key"], artifact.get("mode", "output")): artifact for artifact in execution.get("artifacts", [])}
        held.update({(artifact["key"], artifact["mode"]): artifact for artifact in artifacts})
        execution["artifacts"] = [held[key] for key in sorted(held)]
        record["execution"] = execution
        record["last_update"] = now()
        store.save(connection, record)
    return {"updated": 1}


_FIELDS_OF_AN_ARTIFACT: Final = {"uri": str, "hash": str, "content_size": int, "timestamp": int, "type_data": dict, "display_data": list}


def _artifact_of(item: object) -> dict[str, Any]:
    if not isinstance(item, Mapping):
        raise query.refuse(12, "Validation error: each of artifacts must be an object with key and type")
    for part in ("key", "type"):
        query.take(item, part, str)
    artifact = {name: value for name, value in item.items() if value is not None}
    artifact["mode"] = query.take(item, "mode", str, "output")
    if artifact["mode"] not in {"input", "output"}:
        raise query.refuse(12, f"Validation error: mode of artifact {item['key']!r} must be input or output, not {artifact['mode']!r}")
    if isinstance(artifact.get("timestamp"), float):
        artifact["timestamp"] = int(artifact["timestamp"])
    for part, kind in _FIELDS_OF_AN_ARTIFACT.items():
        query.take(artifact, part, kind, None)
    if not all(isinstance(pair, list | tuple) for pair in artifact.get("display_data", ())):
        raise query.refuse(12, f"Validation error: display_data of artifact {item['key']!r} must be a list of lists")
    return artifact


def ping(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Note that the task is alive. Server: an unknown id is no error."""
    task_id = query.take(request, "task", str)
    with store.change() as connection:
        try:
            record = store.record(task_id)
        except ServerError:
            return {}
        record["last_update"] = now()
        store.save(connection, record)
    return {}


def require_status(record: Record, allowed: tuple[str, ...], *, force: bool = False) -> None:
    """Refuse an edit of a task in another status than these.

    Raises:
        ServerError: 400/110.
    """
    if not force and record["status"] not in allowed:
        raise query.refuse(
            110, f"Invalid task status: task={record['id']}, current_status={record['status']}, expected={' or '.join(allowed)}"
        )
