"""How a run begins: its project and task found or created, started, and what is said about it. Whether a task is reused is in `reuse`.

The members that use it are in `lifecycle`.
"""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import uuid
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any, Final

from atrains._async import reuse
from atrains._async.base import call
from atrains._async.destination import check_place
from atrains._async.wish import Opened, Origin, Wish
from atrains._capture.host import host_name
from atrains._config import Settings
from atrains._engine import jobs, sessions
from atrains._engine.channel import Channel
from atrains._engine.disabled import DisabledChannel
from atrains._engine.notices import say
from atrains._storage.destinations import destination_url
from atrains._wire import endpoints
from atrains._wire.refusals import as_public_error
from atrains.errors import AccessError, AtrainsError, ConfigurationError, ServerError, TransportError
from atrains.types import TaskTypes

AnyChannel = Channel | DisabledChannel
UNDO_BUDGET: Final = 2.0
"""Seconds in which a run whose caller was cancelled is stopped again."""


async def open_run(channel: AnyChannel, wish: Wish) -> Opened:
    """Begin a run: reuse or create its task, and start it; all of that later, when its home is away."""
    wish = await _with_destination(channel, wish)
    new = uuid.uuid4().hex  # kept by homes of ours: if the answer to its making is lost, it is the same task that is made later
    try:
        await channel.transport.probe()  # within the time of one connection: a call would try for longer
        project = await project_id(channel, wish.project)
        async with reuse.deciding(channel, wish) as granted:
            candidate, new = await reuse.choose(channel, granted, project, new)
            return await _begin_whole(channel, _open_run(channel, granted, project, candidate, new))
    except (AccessError, ServerError):  # there, and not willing: waiting would change nothing
        raise
    except TransportError as error:
        return _open_later(channel, wish, new, error)


async def _with_destination(channel: AnyChannel, wish: Wish) -> Wish:
    """Fill in the destination of the settings, where there is one and none was asked for, and see that files can be put there."""
    url = wish.output_uri
    default = channel.settings.task.default_output_uri
    if url is None and default and not wish.continued:
        try:
            url = destination_url(default)
        except ConfigurationError as error:  # a file that the official clients read, too, may name a place that is not for us
            say(channel.settings, f"{error}; it is the default of this machine (default_output_uri): the run keeps its files in its home")
    if url:
        await check_place(channel, url)
    return wish._replace(output_uri=url or None)


async def _begin_whole(channel: AnyChannel, opening: Coroutine[Any, Any, Opened]) -> Opened:
    """Begin a run, or none: one whose caller is cancelled meanwhile is stopped again, for nobody else would ever end it."""
    if isinstance(channel, DisabledChannel):
        return await opening  # waits for nothing, perhaps without a loop
    begin = asyncio.create_task(opening, name="atrains-opening")
    try:
        return await asyncio.shield(begin)
    except asyncio.CancelledError:
        # It never began, or the home is away: then there is nothing to stop, or nobody to ask.
        with contextlib.suppress(AtrainsError, TimeoutError):
            async with asyncio.timeout(UNDO_BUDGET):
                opened = await begin
                if opened.origin is not Origin.CONTINUED:  # which may be in progress for somebody else, too
                    task = opened.record["id"]
                    await call(
                        channel, endpoints.TASKS_STOPPED, f"cannot stop task {task}", task=task, status_reason="cancelled while it began"
                    )
        raise


async def _open_run(channel: AnyChannel, wish: Wish, project: str, candidate: dict[str, Any] | None, new: str) -> Opened:
    if candidate is not None and wish.continued:
        opened = reuse.go_on(candidate)
    elif candidate is not None:
        opened = await reuse.reset_for_reuse(channel, candidate)
    else:
        opened = Opened({"id": await create_task(channel, wish.name, wish.type, project, new)}, Origin.CREATED)
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
    try:
        return await jobs.project_id(channel.transport, name)
    except ServerError as error:
        raise as_public_error(error, f"cannot create project {name!r}") from error


async def find_project(channel: AnyChannel, name: str) -> str | None:
    """The id of the project of exactly that name, or None."""
    try:
        return await jobs.find_project(channel.transport, name)
    except ServerError as error:
        raise as_public_error(error, f"cannot look up project {name!r}") from error


async def create_task(channel: AnyChannel, name: str, task_type: TaskTypes, project: str, task: str | None = None) -> str:
    """Create a task and return its id, which is the given one at homes of ours."""
    fields = _new_task(channel, name, task_type) | ({} if task is None else {"id": task})
    return str((await call(channel, endpoints.TASKS_CREATE, f"cannot create task {name!r}", project=project, **fields))["id"])


def _open_later(channel: AnyChannel, wish: Wish, task: str, error: TransportError) -> Opened:
    """Begin a run whose home is away: a task of its own, made there once the home is back.

    The id is kept by homes of ours; any other server gives the task one of its own, and then finds this one in the comment. An id that the
    user chose may be that of a task: it is asked for when the task is made, which gets it if it is free and the home keeps ids.
    """
    now = datetime.now(UTC).isoformat()
    fields = _new_task(channel, wish.name, wish.type)
    fields["comment"] += f" as {task}"
    if isinstance(wish.reuse, str) and wish.reuse != task:
        then = "this run is a task of its own" if wish.continued else "this run gets a task of its own, of that id if it is free then"
        say(channel.settings, f"whether there is a task {wish.reuse} is not known while its home is away: {then}")
        if not wish.continued:
            fields["id"] = wish.reuse
    destination = {}
    if wish.output_uri is not None:
        fields["output_dest"], destination = wish.output_uri, {"output": {"destination": wish.output_uri}}
    record = {**fields, **destination, "id": task, "status": "in_progress", "created": now, "started": now}
    return Opened(record, Origin.LATER, fields=fields, away=str(error))


def _new_task(channel: AnyChannel, name: str, task_type: TaskTypes) -> dict[str, Any]:
    """What a task is created with, but for its project."""
    return {
        "name": name,
        "type": str(task_type),
        "comment": f"created {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC by {_user()}@{host_name()}",
        "system_tags": ["development"] if channel.settings.remote_task_id is None else [],
        "input": {"view": {}},
    }


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container may run under a number that has no name
        return "unknown"


def start_lines(opened: Opened, settings: Settings, target: str) -> list[str]:
    """What is printed when a run begins: what happened, and where it is kept."""
    record = opened.record
    if opened.origin is Origin.LATER:
        return [
            f"created task {record['id']} {record.get('name')!r}, kept here until its home is back ({opened.away})",
            f"it goes to {target} ({settings.target.source}) then, in this run or with: atrains sync",
        ]
    how = {Origin.CREATED: "created", Origin.REUSED: "reusing", Origin.CONTINUED: "continuing"}[opened.origin]
    detail = f" (cleared: {opened.cleared})" if opened.cleared else ""
    if opened.origin is Origin.CONTINUED:
        detail = f" from iteration {opened.first_iteration} on"
    place = target.partition(":")[2] if settings.target.kind == "local" else target
    return [
        f"{how} task {record['id']} {record.get('name')!r}{detail}",
        f"kept in {place} ({settings.target.source}); see it with: atrains show {record['id']}",
    ]
