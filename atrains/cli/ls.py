"""`atrains ls`: the tasks of a home, those that changed last first."""

from __future__ import annotations

import argparse
import json
from typing import Any, Final

from atrains._wire import endpoints
from atrains.cli.home import Home, opened
from atrains.cli.output import STATUS_STYLES, Output, Part, age, clean
from atrains.types import TaskStatusEnum

SUMMARY: Final = "List the tasks of the home, those that changed last first."

_FIELDS: Final = ("id", "name", "status", "project", "type", "tags", "last_iteration", "created", "started", "completed", "last_update")
_SHORTEST_ID: Final = 8


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.add_argument("--project", metavar="NAME", help="only tasks of this project and of those below it")
    statuses = [status.value for status in TaskStatusEnum]
    parser.add_argument("--status", metavar="STATUS", choices=statuses, help=f"only tasks of this status: {', '.join(statuses)}")
    parser.add_argument("--limit", metavar="N", type=_count, default=20, help="how many at most (default: %(default)s)")
    parser.add_argument("--archived", action="store_true", help="archived tasks too")


async def run(options: argparse.Namespace) -> None:
    """Print the list."""
    async with opened(options.home) as home:
        # One more than asked for shows whether there are more.
        found = await _tasks(home, options, options.limit + 1)
    tasks = found[: options.limit]
    if options.json:
        print(json.dumps(tasks, indent=2))
        return
    output = Output()
    if not tasks:
        output.line("no tasks" if not (options.project or options.status) else "no such tasks")
        return
    length = _id_length([task["id"] for task in tasks])
    header: list[Part] = [(title, "dim") for title in ("ID", "STATUS", "PROJECT", "NAME", "ITERATION", "UPDATED")]
    output.table([header, *(_row(task, length) for task in tasks)], cut=[3, 2])
    if len(found) > len(tasks):
        output.line((f"more than {options.limit}: see the rest with --limit", "dim"))


async def _tasks(home: Home, options: argparse.Namespace, limit: int) -> list[dict[str, Any]]:
    request: dict[str, Any] = {"only_fields": list(_FIELDS), "order_by": ["-last_update"]}
    if options.project:
        request["project"] = await home.find_projects(options.project)
    if options.status:
        request["status"] = [options.status]
    if not options.archived:
        request["system_tags"] = ["-archived"]
    tasks = await home.all_of(endpoints.TASKS_GET_ALL, "cannot list the tasks", most=limit, **request)
    names = await home.project_names({task["project"] for task in tasks if task.get("project")})
    return [{name: task.get(name) for name in _FIELDS} | {"project": names.get(task.get("project", ""))} for task in tasks]


def _row(task: dict[str, Any], id_length: int) -> list[Part]:
    status = str(task["status"])
    return [
        task["id"][:id_length],
        (status, STATUS_STYLES.get(status, "")),
        clean(task["project"] or "-"),
        clean(task["name"] or "-"),
        str(task["last_iteration"] or 0),
        age(task["last_update"]),
    ]


def _id_length(ids: list[str]) -> int:
    """How much of each id is shown: as much as tells these apart."""
    length = _SHORTEST_ID
    while len({task_id[:length] for task_id in ids}) < len(ids):
        length += 1
    return length


def _count(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of tasks; give 1 or more")
    return number
