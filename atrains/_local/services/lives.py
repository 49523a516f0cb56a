"""The `tasks.*` endpoints by which tasks begin as copies of others, are asked to stop, are put away, and go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from atrains._local import query, queues
from atrains._local.projects import ensure_project, new_id
from atrains._local.records import Record, now, with_derived
from atrains._local.services import fields, images, outputs, status
from atrains._local.services.queues import leave_queue
from atrains._local.store import Store
from atrains.errors import ServerError

_SILENCE: Final = timedelta(seconds=600)
"""Server: after this long without a sign of its worker a task is stopped at once."""
_DEVELOPMENT: Final = "development"
_ARCHIVED: Final = "archived"
_COPIED: Final = (
    "name", "type", "comment", "tags", "script", "execution", "hyperparams", "configuration", "container", "project", "project_name",
)  # fmt: skip
_OVERRIDES: Final = {
    "new_task_name": "name", "new_task_comment": "comment", "new_task_tags": "tags", "new_task_system_tags": "system_tags",
    "new_task_parent": "parent", "new_task_project": "project", "new_task_hyperparams": "hyperparams",
    "new_task_configuration": "configuration", "new_task_container": "container", "execution_overrides": "execution",
}  # fmt: skip


def clone(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Make a draft of a task. Server: without what its run has left; an empty name or comment leaves the source's."""
    given = fields.task_fields({name: request.get(field) or None for field, name in _OVERRIDES.items()})
    project_name = query.take(request, "new_project_name", str, None)
    answer: dict[str, Any] = {}
    with store.change() as connection:
        source = store.record(query.take(request, "task", str))
        record = _draft_of(source)
        if project_name:
            given["project"] = ensure_project(connection, project_name)
            answer["new_project"] = {"id": given["project"], "name": project_name}
        inputs = query.take(request, "new_task_input_models", list, None)
        if inputs is not None:
            record["models"] = {**record["models"], "input": inputs}
        fields.merge(connection, record, given)
        store.save(connection, record)
    return {"id": record["id"], **answer}


def _draft_of(source: Record) -> Record:
    moment = now()
    record: Record = {name: source[name] for name in _COPIED if name in source}
    execution = {name: value for name, value in record.get("execution", {}).items() if name != "queue"}
    execution["artifacts"] = [artifact for artifact in execution.get("artifacts", []) if artifact.get("mode") == "input"]
    destination = source.get("output", {}).get("destination")
    return record | {
        "id": new_id(), "user": "local", "company": "local", "status": "created", "status_reason": "", "status_message": "",
        "status_changed": moment, "created": moment, "last_update": moment, "runtime": {}, "execution": execution,
        "system_tags": [tag for tag in source.get("system_tags", []) if tag not in {_DEVELOPMENT, _ARCHIVED}],
        "models": {"input": source.get("models", {}).get("input", []), "output": []},
        "output": {"destination": destination} if destination else {},
        "parent": source.get("parent") or source["id"],
    }  # fmt: skip


def stop(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Ask a task to stop. Server: one that runs on a worker is only told so, by its status message, and stops itself."""
    record = store.record(query.take(request, "task", str))
    with store.read() as connection:
        record = with_derived(connection, record)
    running = record["status"] == "in_progress" and _DEVELOPMENT not in record.get("system_tags", [])
    if not running or datetime.now(UTC) - datetime.fromisoformat(record["last_update"]) > _SILENCE:
        return status.stopped(store, request)
    changed = {"status_message": "stopping", "status_reason": query.take(request, "status_reason", str, "")}
    with store.change() as connection:
        record = store.record(record["id"])
        record.update(changed)
        store.save(connection, record)
    return {"updated": 1, "fields": changed}


def delete(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Delete a task with its events and files. Server: 400/123 unless it is a draft, or with `force`.

    Its models that are not published go with it, others stay. Here files that are in the task's folder go with it: who wants to keep them
    (`delete_external_artifacts` is false, or a model stays) is refused.
    """
    task, force = query.take(request, "task", str), query.take(request, "force", bool, False)
    drafts_go = query.take(request, "delete_output_models", bool, True)
    with store.change() as connection:
        record = store.record(task)
        if record["status"] != "created" and not force:
            raise query.refuse(123, f"Task cannot be deleted: task={task}, current_status={record['status']}; use force to delete it")
        if not query.take(request, "delete_external_artifacts", bool, True) and store.has_files(task):
            raise query.refuse(
                12, f"Task cannot be deleted without its files: task={task}, they are in its folder; copy them first, or archive the task"
            )
        outputs.check_removable(connection, task, force=force)
        outputs.check_files(store, connection, task, drafts_go=drafts_go)
        children = [str(child) for (child,) in connection.execute("SELECT id FROM tasks WHERE parent = ?", [task])]
        for child in children:
            orphan = store.record(child)
            orphan.pop("parent", None)
            store.save(connection, orphan)
        queues.drop(connection, task)
        deleted = outputs.remove_drafts(store, connection, task) if drafts_go else []
        shown = images.urls_of(store, task)
        kept = outputs.let_go(store, connection, task)
        store.remove(connection, task)
    answer: dict[str, Any] = {
        "deleted": True, "updated_children": len(children), "updated_models": kept, "deleted_models": len(deleted),
    }  # fmt: skip
    if query.take(request, "return_file_urls", bool, False):
        artifacts = record.get("execution", {}).get("artifacts", [])
        urls = [artifact["uri"] for artifact in artifacts if artifact.get("mode", "output") == "output" and artifact.get("uri")]
        answer["urls"] = {"artifact_urls": urls, "model_urls": deleted, "event_urls": shown}
    return answer


def archive(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Put tasks away: they get the system tag for it, and leave their queues. Server: so that no worker takes them."""
    return {"archived": _set_archived(store, query.take_strings(request, "tasks") or [], archived=True)}


def unarchive_many(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Take tasks out again. Server: each for itself; those that are not there are named."""
    succeeded: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    for task in dict.fromkeys(query.take_strings(request, "ids") or []):
        try:
            _set_archived(store, [task], archived=False)
        except ServerError as error:
            failed.append({"id": task, "error": {"codes": [error.code, error.subcode], "msg": str(error), "data": {}}})
        else:
            succeeded.append({"id": task, "unarchived": True})
    return {"succeeded": succeeded, "failed": failed}


def _set_archived(store: Store, tasks: Sequence[str], *, archived: bool) -> int:
    with store.change() as connection:
        records = [store.record(task) for task in dict.fromkeys(tasks)]  # all are there, before any is changed
        for record in records:
            tags = [tag for tag in record.get("system_tags", []) if tag != _ARCHIVED]
            record["system_tags"] = [*tags, _ARCHIVED] if archived else tags
            if archived and record["status"] == "queued":
                leave_queue(connection, record)
            record["last_update"] = now()
            store.save(connection, record)
    return len(records)
