"""The `tasks.*` endpoints that change a task's status."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from atrains._local import query, queues, streams
from atrains._local.records import Record, now
from atrains._local.services import images, outputs
from atrains._local.store import LOCKED, Store
from atrains._wire.status import check_transition
from atrains.errors import TaskStatusError

_RUN_DATES: Final = ("started", "completed", "published")
_CLEARED: Final = ("script", "hyperparams", "configuration", "container")


def started(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Run the task; the first start's date stays."""
    answer = _change(store, request, "in_progress")
    return {**answer, "started": 1}


def stopped(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """End the run as stopped."""
    return _change(store, request, "stopped")


def completed(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """End the run as completed, and publish it if the request says so."""
    publishing = query.take(request, "publish", bool, False)
    answer = _change(store, request, *(("completed", "published") if publishing else ("completed",)))
    return {**answer, "published": 1} if publishing else answer


def failed(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """End the run as failed."""
    return _change(store, request, "failed")


def publish(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Publish the task: from now on it takes no events. Server: its last output model as well, unless `publish_model` is false."""
    return _change(store, request, "published")


def _change(store: Store, request: Mapping[str, Any], *targets: str) -> dict[str, Any]:
    task_id, force = query.take(request, "task", str), query.take(request, "force", bool, False)
    said = {name: query.take(request, name, str, "") for name in ("status_reason", "status_message")}
    changed: dict[str, Any] = {}
    with store.change() as connection:
        record = store.record(task_id)
        for target in targets:
            changed |= enter(record, target, force=force)
        record.update(said)
        store.save(connection, record)
        if targets[-1] == "published" and query.take(request, "publish_model", bool, True):
            outputs.publish_last(store, connection, record)
    return {"updated": 1, "fields": {**changed, **said}}


def check(record: Record, target: str, *, force: bool) -> None:
    """Refuse a change of status as the server does.

    Raises:
        ServerError: 400/110, naming both statuses.
    """
    try:
        check_transition(record["status"], target, force=force)
    except TaskStatusError as error:
        raise query.refuse(
            110, f"Invalid task status: task={record['id']}, current_status={record['status']}, new_status={target}; {error}"
        ) from error


def enter(record: Record, status: str, *, force: bool) -> dict[str, Any]:
    """Give a record another status, and return the fields that changed.

    Raises:
        ServerError: 400/110, naming both statuses.
    """
    check(record, status, force=force)
    moment = now()
    changed: dict[str, Any] = {"status": status, "status_changed": moment, "last_update": moment}
    if status == "in_progress":
        record.pop("completed", None)  # it runs again
        changed["started"] = record.get("started", moment)
    elif status == "published":
        changed["published"] = moment
    elif status in {"stopped", "completed", "failed"} and (status != record["status"] or "completed" not in record):
        changed["completed"] = moment  # a repeated call does not move the end of the run
    record.update(changed)
    return changed


def reset(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Put the task back to `created`, without what its run has left. Server: a published task only with `force`."""
    task_id, force = query.take(request, "task", str), query.take(request, "force", bool, False)
    with store.change() as connection:
        record = store.record(task_id)
        if record["status"] in LOCKED and not force:
            check(record, "created", force=False)
        outputs.check_removable(connection, task_id, force=force)
        changed = enter(record, "created", force=True) | {"status_reason": "", "status_message": ""}
        record.update(changed)
        _forget_run(record)
        if query.take(request, "clear_all", bool, False):
            record.update({name: {} for name in _CLEARED}, execution={"artifacts": record["execution"]["artifacts"]})
        # The record first: a task that still says `completed` must not have lost its events.
        store.save(connection, record)
        queues.drop(connection, task_id)
        shown = images.urls_of(store, task_id)
        images.remove_files(store, task_id)
        streams.remove_files(store.task_folder(task_id))
        streams.forget(connection, task_id)
        drafts = query.take(request, "delete_output_models", bool, True)
        deleted = outputs.remove_drafts(store, connection, task_id) if drafts else []
    answer = {"updated": 1, "fields": changed, "deleted_models": len(deleted)}
    if query.take(request, "return_file_urls", bool, False):
        answer["urls"] = {"artifact_urls": [], "model_urls": deleted, "event_urls": shown}
    return answer


def _forget_run(record: Record) -> None:
    for name in (*_RUN_DATES, "last_worker", "active_duration", "iteration_set"):
        record.pop(name, None)
    execution = {name: value for name, value in record.get("execution", {}).items() if name != "queue"}
    execution["artifacts"] = [artifact for artifact in execution.get("artifacts", []) if artifact.get("mode") == "input"]
    output = {name: value for name, value in record.get("output", {}).items() if name not in {"model", "result", "error"}}
    record.update(runtime={}, execution=execution, output=output, models={**record.get("models", {}), "output": []})
