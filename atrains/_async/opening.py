"""How a run begins: its project and task found or created, started, and what is said about it. Whether a task is reused is in `reuse`.

The members that use it are in `lifecycle`.
"""

from __future__ import annotations

import getpass
import re
from datetime import UTC, datetime

from atrains._async import reuse
from atrains._async.base import call
from atrains._async.wish import Opened, Origin, Wish
from atrains._capture.host import host_name
from atrains._config import Settings
from atrains._engine import sessions
from atrains._engine.channel import Channel
from atrains._engine.disabled import DisabledChannel
from atrains._wire import endpoints
from atrains.errors import AtrainsError
from atrains.types import TaskTypes

AnyChannel = Channel | DisabledChannel


async def open_run(channel: AnyChannel, wish: Wish) -> Opened:
    """Begin a run: reuse or create its task, and start it."""
    project = await project_id(channel, wish.project)
    async with reuse.deciding(channel, wish):
        return await _open_run(channel, wish, project)


async def _open_run(channel: AnyChannel, wish: Wish, project: str) -> Opened:
    candidate = await reuse.find_candidate(channel, wish, project)
    if candidate is not None and wish.continued:
        opened = reuse.go_on(candidate)
    elif candidate is not None:
        opened = await reuse.reset_for_reuse(channel, candidate)
    else:
        opened = Opened({"id": await create_task(channel, wish.name, wish.type, project)}, Origin.CREATED)
    task = opened.record["id"]
    if wish.output_uri is not None:
        await call(
            channel, endpoints.TASKS_EDIT, f"cannot set the destination of task {task}", task=task, force=True, output_dest=wish.output_uri
        )
    await call(channel, endpoints.TASKS_STARTED, f"cannot start task {task}", task=task, force=opened.origin is Origin.CONTINUED)
    record = (await call(channel, endpoints.TASKS_GET_BY_ID, f"cannot read task {task}", task=task))["task"]
    if isinstance(channel, Channel):
        settings = channel.settings
        key, window = reuse.session_key(channel, wish), settings.task.reuse_window_hours
        await channel.run(lambda: sessions.remember(settings.home.cache_dir, key, task, window_hours=window))
    return Opened(record, opened.origin, opened.cleared, opened.first_iteration)


async def project_id(channel: AnyChannel, name: str) -> str:
    """The id of a project, created when there is none of that name."""
    found = await find_project(channel, name)
    if found is not None:
        return found
    what = f"cannot create project {name!r}"
    try:
        return str((await call(channel, endpoints.PROJECTS_CREATE, what, name=name, description=""))["id"])
    except AtrainsError:
        # Somebody may have created it between our question and our request; if not, the refusal stands.
        found = await find_project(channel, name)
        if found is None:
            raise
        return found


async def find_project(channel: AnyChannel, name: str) -> str | None:
    """The id of the project of exactly that name, or None."""
    answer = await call(
        channel,
        endpoints.PROJECTS_GET_ALL,
        f"cannot look up project {name!r}",
        name=f"^{re.escape(name)}$",
        only_fields=["id"],
        search_hidden=True,
    )
    return str(answer["projects"][0]["id"]) if answer["projects"] else None


async def create_task(channel: AnyChannel, name: str, task_type: TaskTypes, project: str) -> str:
    """Create a task and return its id."""
    answer = await call(
        channel,
        endpoints.TASKS_CREATE,
        f"cannot create task {name!r}",
        name=name,
        type=str(task_type),
        project=project,
        comment=f"created {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC by {_user()}@{host_name()}",
        system_tags=["development"] if channel.settings.remote_task_id is None else [],
        input={"view": {}},
    )
    return str(answer["id"])


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container may run under a number that has no name
        return "unknown"


def start_lines(opened: Opened, settings: Settings, target: str) -> list[str]:
    """What is printed when a run begins: what happened, and where it is kept."""
    record = opened.record
    how = {Origin.CREATED: "created", Origin.REUSED: "reusing", Origin.CONTINUED: "continuing"}[opened.origin]
    detail = f" (cleared: {opened.cleared})" if opened.cleared else ""
    if opened.origin is Origin.CONTINUED:
        detail = f" from iteration {opened.first_iteration} on"
    place = target.partition(":")[2] if settings.target.kind == "local" else target
    return [
        f"{how} task {record['id']} {record.get('name')!r}{detail}",
        f"kept in {place} ({settings.target.source}); see it with: atrains show {record['id']}",
    ]
