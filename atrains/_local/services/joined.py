"""The endpoints `*.get_all_ex`: lists in which the ids of other documents are the documents, and counts of what belongs to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from atrains._local import query
from atrains._local.projects import all_projects
from atrains._local.services import projects, queues, tasks
from atrains._local.store import Store

_JOINED: Final = ("project", "user", "parent")


def get_all_tasks(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Answer tasks as `tasks.get_all` does, with `project`, `user` and `parent` as documents of id and name."""
    asked = dict(request)
    if isinstance(request.get("only_fields"), list):
        # `project.name` stands in another document; the id is what leads there.
        only = [query.root_of(path) if isinstance(path, str) and query.root_of(path) in _JOINED else path for path in asked["only_fields"]]
        asked["only_fields"] = list(dict.fromkeys(only))
    found = tasks.get_all(store, asked)["tasks"]
    with store.read() as connection:
        names: dict[str, dict[Any, str]] = {
            "project": {project["id"]: project["name"] for project in all_projects(connection)},
            "parent": dict(connection.execute("SELECT id, name FROM tasks").fetchall()),
            "user": {},
        }
    for task in found:
        for field in _JOINED:
            if task.get(field):
                task[field] = {"id": task[field], "name": names[field].get(task[field], task[field])}
    return {"tasks": found}


def get_all_queues(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Answer queues as `queues.get_all` does, with the documents of the tasks that wait in them, and the workers that serve them."""
    found = queues.get_all(store, request)["queues"]
    waiting = [entry["task"] for queue in found for entry in queue.get("entries", [])]
    documents: dict[str, Any] = {}
    for place in range(0, len(waiting), query.PAGE_CAP):
        wanted = {"id": waiting[place : place + query.PAGE_CAP], "only_fields": ["name", "type", "status", "created", "project", "user"]}
        documents |= {task["id"]: task for task in get_all_tasks(store, wanted)["tasks"]}
    workers = store.workers.all()
    for queue in found:
        for entry in queue.get("entries", []):
            entry["task"] = documents.get(entry["task"], {"id": entry["task"]})
        queue["workers"] = [
            {"name": worker.id, "task": {"id": worker.task} if worker.task else None} for worker in workers if queue["id"] in worker.queues
        ]
    return {"queues": found}


def get_all_projects(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Answer projects as `projects.get_all` does. Server: with `include_stats` also how many tasks of each status they hold."""
    found = projects.get_all(store, request)
    if not query.take(request, "include_stats", bool, False):
        return found
    with store.read() as connection:
        rows = connection.execute("SELECT project, status, COUNT(*) FROM tasks GROUP BY project, status").fetchall()
    for project in found["projects"]:
        counts = {status: count for held, status, count in rows if held == project["id"]}
        project["stats"] = {"active": {"status_count": counts, "total_tasks": sum(counts.values())}}
    return found
