"""The `workers.*` endpoints: what agents say of themselves, and who asks which there are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from atrains._local import query, queues
from atrains._local.records import now
from atrains._local.store import Store
from atrains._local.workers import USUAL_TIMEOUT, Worker
from atrains.errors import ServerError

_LONGEST_SILENCE: Final = 3600
"""Server: seconds after which `get_all` leaves a worker out, unless told otherwise; 0 leaves out none."""


def register(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Note that a worker is there and which queues it serves. Server: as often as it likes; the queues are not checked."""
    name, timeout = _name(request), query.take(request, "timeout", int, USUAL_TIMEOUT)
    if timeout < 1:
        raise query.refuse(12, f"Validation error: timeout must be at least 1 second, not {timeout}")
    served, tags, system_tags = (tuple(query.take_strings(request, field) or ()) for field in ("queues", "tags", "system_tags"))
    store.workers.hear(name, lambda worker: replace(worker, timeout=timeout, queues=served, tags=tags, system_tags=system_tags))
    return {}


def unregister(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Forget a worker. Server: 400/1004 when it is not known."""
    name = _name(request)
    if not store.workers.forget(name):
        raise query.refuse(1004, f"Worker is not registered: worker={name}")
    return {}


def status_report(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Note what a worker does; one that was not registered is from now on. Server: only queues that it names replace those before.

    Its task, if it has one, is alive. What it says of its machine is not kept.
    """
    name, task = _name(request), query.take(request, "task", str, None)
    query.take(request, "timestamp", int)
    query.take(request, "machine_stats", dict, None)
    served = tuple(query.take_strings(request, "queues") or ())
    tags = query.take_strings(request, "tags")
    queue = query.take(request, "queue", str, None)
    moment = now()
    if task:
        with store.change() as connection:
            record = store.record(task)
            record.update(last_worker=name, last_worker_report=moment, last_update=moment)
            store.save(connection, record)

    def change(worker: Worker) -> Worker:
        return replace(
            worker,
            task=task or None,
            queue=queue or None,
            reported=moment,
            queues=served or worker.queues,
            tags=worker.tags if tags is None else tuple(tags),
        )

    store.workers.hear(name, change)
    return {}


def get_all(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Answer the workers that were heard of within `last_seen` seconds, by name."""
    silence = query.take(request, "last_seen", int, _LONGEST_SILENCE)
    pattern = query.take(request, "worker_pattern", str, None)
    accepts = query.list_filters(request, ("tags", "system_tags"))
    edge = (datetime.now(UTC) - timedelta(seconds=silence)).isoformat(timespec="microseconds") if silence > 0 else ""
    found = []
    for worker in store.workers.all():
        shown = _shown(store, worker)
        named = pattern is None or re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), worker.id)
        if worker.active >= edge and named and all(accept(shown) for accept in accepts):
            found.append(shown)
    return {"workers": found}


def _name(request: Mapping[str, Any]) -> str:
    name: str = query.take(request, "worker", str)
    if not name:
        raise query.refuse(12, "Validation error: field worker must not be empty")
    return name


def _shown(store: Store, worker: Worker) -> dict[str, Any]:
    nobody = {"id": "local", "name": "local"}
    shown: dict[str, Any] = {
        "id": worker.id, "user": nobody, "company": nobody, "tags": [*worker.tags], "system_tags": [*worker.system_tags],
        "register_time": worker.registered, "register_timeout": worker.timeout, "last_activity_time": worker.active,
        "last_report_time": worker.reported or worker.active, "queues": [],
    }  # fmt: skip
    with store.read() as connection:
        known = {queue["id"]: queue for queue in queues.all_queues(connection)}
    for queue in worker.queues:
        waiting = [entry["task"] for entry in known.get(queue, {}).get("entries", [])]
        name = known.get(queue, {}).get("name", queue)
        shown["queues"].append({"id": queue, "name": name, "next_task": waiting[0] if waiting else None, "num_tasks": len(waiting)})
    if worker.queue:
        shown["queue"] = {"id": worker.queue, "name": known.get(worker.queue, {}).get("name", worker.queue)}
    if worker.task:
        shown["task"], shown["project"] = _task_of(store, worker.task)
    return shown


def _task_of(store: Store, task: str) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        record = store.record(task)
    except ServerError:  # it was deleted while it ran
        return {"id": task, "name": task}, {}
    project = record.get("project")
    return {"id": task, "name": record["name"]}, {"id": project, "name": record.get("project_name") or project} if project else {}
