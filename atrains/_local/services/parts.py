"""The `tasks.*` endpoints for single parts of a task: parameters, configuration, requirements, artifacts, models."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from atrains._local import query
from atrains._local.records import Record, now
from atrains._local.services.changes import require_status
from atrains._local.store import Store

_PROPERTIES: Final = "properties"
_MODEL_TYPES: Final = frozenset({"input", "output"})


def set_requirements(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Say which packages a task needs, in any status. Server: 400/122 when the task has no script."""
    task, requirements = query.take(request, "task", str), query.take(request, "requirements", dict)
    with store.change() as connection:
        record = store.record(task)
        if not record.get("script"):
            raise query.refuse(122, f"Task is missing expected fields: task={task} has no script")
        record["script"] = {**record["script"], "requirements": requirements}
        record["last_update"] = now()
        store.save(connection, record)
    return {"updated": 1, "fields": {"script.requirements": requirements, "last_update": record["last_update"]}}


def get_hyper_params(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Answer the parameters of tasks as lists."""
    found = []
    for task in _tasks_of(request):
        sections = store.record(task).get("hyperparams", {})
        items = [item for section in sorted(sections) for _, item in sorted(sections[section].items())]
        found.append({"task": task, "hyperparams": items})
    return {"params": found}


def delete_hyper_params(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Remove parameters; without a name a whole section. Server: the rules of `tasks.edit_hyper_params`."""
    keys = [(query.take(item, "section", str), query.take(item, "name", str, None)) for item in _objects(request, "hyperparams")]

    def change(record: Record) -> int:
        held = {section: dict(items) for section, items in record.get("hyperparams", {}).items()}
        deleted = 0
        for section, name in keys:
            if name is None:
                deleted += len(held.pop(section, {}))
            elif held.get(section, {}).pop(name, None) is not None:
                deleted += 1
        record["hyperparams"] = {section: items for section, items in held.items() if items}
        return deleted

    free = {section.lower() for section, _ in keys} == {_PROPERTIES}
    return {"deleted": _edit(store, request, change, any_status=free)}


def get_configurations(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Answer the configuration objects of tasks as lists; with `names` only those."""
    names = query.take_strings(request, "names")
    found = []
    for task in _tasks_of(request):
        held = store.record(task).get("configuration", {})
        found.append({"task": task, "configuration": [item for name, item in sorted(held.items()) if not names or name in names]})
    return {"configurations": found}


def get_configuration_names(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Answer the names of the configuration objects of tasks. Server: empty ones are left out unless asked for."""
    skip = query.take(request, "skip_empty", bool, True)
    found = []
    for task in _tasks_of(request):
        held = store.record(task).get("configuration", {})
        found.append({"task": task, "names": sorted(name for name, item in held.items() if item.get("value") or not skip)})
    return {"configurations": found}


def edit_configuration(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Merge configuration objects into a task, or put them in place of all. Server: in `created`, in `in_progress` with `force`."""
    items: dict[str, Any] = {}
    for item in _objects(request, "configuration"):
        name = query.take(item, "name", str)
        for part in ("value", "type", "description"):
            query.take(item, part, str, None)
        items[name] = {part: item[part] for part in ("name", "value", "type", "description") if item.get(part) is not None}
    replace = query.take(request, "replace_configuration", bool, False)

    def change(record: Record) -> int:
        record["configuration"] = items if replace else {**record.get("configuration", {}), **items}
        return 1

    return {"updated": _edit(store, request, change)}


def delete_configuration(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Remove configuration objects by name."""
    names = set(query.take_strings(request, "configuration") or [])

    def change(record: Record) -> int:
        held = record.get("configuration", {})
        record["configuration"] = {name: item for name, item in held.items() if name not in names}
        return len(held) - len(record["configuration"])

    return {"deleted": _edit(store, request, change)}


def delete_artifacts(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Remove artifacts by key and mode; their files stay. Server: in `created` and `in_progress` only, `force` or not."""
    keys = {(query.take(item, "key", str), query.take(item, "mode", str, "output")) for item in _objects(request, "artifacts")}

    def change(record: Record) -> int:
        execution = record.get("execution", {})
        held = execution.get("artifacts", [])
        kept = [artifact for artifact in held if (artifact["key"], artifact.get("mode", "output")) not in keys]
        record["execution"] = {**execution, "artifacts": kept}
        return len(held) - len(kept)

    return {"deleted": _edit(store, {**request, "force": True}, change)}


def add_or_update_model(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Attach a model to a task under a name. Server: the model's id is not checked; an iteration counts for `last_iteration`."""
    task, kind = query.take(request, "task", str), query.take(request, "type", str)
    name, model = query.take(request, "name", str), query.take(request, "model", str)
    iteration = query.take(request, "iteration", int, 0)
    if kind not in _MODEL_TYPES:
        raise query.refuse(12, f"Validation error: type must be input or output, not {kind!r}")

    def change(record: Record) -> int:
        models = record.get("models", {})
        entry = {"name": name, "model": model, "updated": now()}
        kept = [held for held in models.get(kind, []) if held.get("name") != name]
        record["models"] = {**models, kind: [*kept, entry]}
        return 1

    updated = _edit(store, {**request, "force": True}, change)
    if iteration > 0:
        with store.change() as connection:
            connection.execute("UPDATE tasks SET last_iteration = MAX(last_iteration, ?) WHERE id = ?", [iteration, task])
    return {"updated": updated}


def delete_models(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Take models off a task by name and type; the models themselves stay."""
    keys = {(query.take(item, "type", str), query.take(item, "name", str)) for item in _objects(request, "models")}

    def change(record: Record) -> int:
        models = record.get("models", {})
        record["models"] = {kind: [held for held in models.get(kind, []) if (kind, held.get("name")) not in keys] for kind in _MODEL_TYPES}
        return 1

    return {"updated": _edit(store, {**request, "force": True}, change)}


def _edit(store: Store, request: Mapping[str, Any], change: Callable[[Record], int], *, any_status: bool = False) -> int:
    task, force = query.take(request, "task", str), query.take(request, "force", bool, False)
    with store.change() as connection:
        record = store.record(task)
        if not any_status:
            require_status(record, ("created", "in_progress") if force else ("created",))
        count = change(record)
        record["last_update"] = now()
        store.save(connection, record)
    return count


def _tasks_of(request: Mapping[str, Any]) -> Iterable[str]:
    tasks = query.take_strings(request, "tasks")
    if not tasks:
        raise query.refuse(12, "Validation error: field tasks is required")
    return dict.fromkeys(tasks)


def _objects(request: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    items: list[Any] = query.take(request, name, list)
    if not items or not all(isinstance(item, Mapping) for item in items):
        raise query.refuse(12, f"Validation error: field {name} must be a list of objects that is not empty")
    return items
