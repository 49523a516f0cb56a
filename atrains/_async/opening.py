"""How a run begins: which project and task it is, whether an earlier task is reused, and what is said about it.

The members that use it are in `lifecycle`.
"""

from __future__ import annotations

import getpass
import re
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

from atrains._api.task import TaskBase
from atrains._async.base import call
from atrains._capture.host import host_name
from atrains._config import Settings
from atrains._config.env import process_variables
from atrains._engine import sessions
from atrains._engine.channel import Channel
from atrains._engine.disabled import DisabledChannel
from atrains._wire import endpoints
from atrains._wire.names import validate_name, validate_task_id, validate_task_type
from atrains.errors import AtrainsError, ConfigurationError, NotFoundError, UsageError
from atrains.types import TaskTypes

AnyChannel = Channel | DisabledChannel


class Origin(Enum):
    """Where the record of an opened run comes from."""

    CREATED = "created"
    REUSED = "reused"
    CONTINUED = "continued"


class Wish(NamedTuple):
    """What `init` was asked for, with names filled in and checked.

    Attributes:
        reuse: True for the last task of the name, False for a new one, a text for the task of that id.
        continued: Keep what the reused task holds, and go on behind its last iteration.
    """

    project: str
    name: str
    type: TaskTypes
    reuse: bool | str
    output_uri: str | None
    continued: bool


class Opened(NamedTuple):
    """A run that was begun: its record, where it came from, and what a reuse cleared."""

    record: dict[str, Any]
    origin: Origin
    cleared: str = ""
    first_iteration: int = 0


def check_wish(
    project_name: str | None,
    task_name: str | None,
    task_type: TaskTypes | str | None,
    *,
    reuse: bool | str,
    output_uri: str | Path | None,
    continued: bool | str,
) -> Wish:
    """Fill in default names and refuse what no home would take, before anything is opened.

    Raises:
        ValidationError: a name under 3 characters, an unknown task type, a bad id.
    """
    from atrains._capture.defaults import default_project_name, default_task_name

    if isinstance(continued, str):
        reuse, continued = continued, True
    if isinstance(reuse, str) and reuse:
        reuse = validate_task_id(reuse)
    return Wish(
        project=validate_name(project_name, what="project") if project_name is not None else default_project_name(process_variables()),
        name=validate_name(task_name, what="task") if task_name is not None else default_task_name(process_variables()),
        type=validate_task_type(task_type),
        reuse=reuse or continued,
        output_uri=_destination(output_uri),
        continued=continued,
    )


def check_same(open_task: TaskBase, wish: tuple[str | None, str | None, TaskTypes | str | None]) -> None:
    """Refuse a second `init` that asks for another project, name or type than the open task has.

    Raises:
        UsageError: naming the field, what was asked for and what is open.
    """
    project_name, task_name, task_type = wish
    kind = None if task_type is None else str(validate_task_type(task_type))
    for field, asked, is_open in (
        ("project_name", project_name and project_name.strip(), open_task.known_project_name),
        ("task_name", task_name and task_name.strip(), open_task.name),
        ("task_type", kind, open_task.task_type),
    ):
        if asked is not None and is_open is not None and asked != is_open:
            raise UsageError(
                f"Task.init was asked for {field}={asked!r}, but task {open_task.id} is open with {is_open!r}: "
                "one script runs one main task; close it first, or use Task.create or Task.get_task for another one"
            )


async def open_run(channel: AnyChannel, wish: Wish) -> Opened:
    """Begin a run: reuse or create its task, and start it."""
    project = await project_id(channel, wish.project)
    candidate = await _candidate(channel, wish)
    if candidate is not None and wish.continued:
        opened = await _continue(channel, candidate)
    elif candidate is not None:
        opened = await _reuse(channel, candidate)
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
        key, window = _session_key(channel, wish), settings.task.reuse_window_hours
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


async def _candidate(channel: AnyChannel, wish: Wish) -> dict[str, Any] | None:
    """The record of the task to reuse, if there is one that may be."""
    settings = channel.settings
    if isinstance(channel, DisabledChannel) or settings.task.no_reuse or not wish.reuse:
        return None
    if isinstance(wish.reuse, str):
        return await _chosen(channel, wish.reuse)
    key, window = _session_key(channel, wish), settings.task.reuse_window_hours
    task = await channel.run(lambda: sessions.recall(settings.home.cache_dir, key, window_hours=window))
    if task is None:
        return None
    answer = await call(channel, endpoints.TASKS_GET_ALL, f"cannot look up task {task}", id=[task])
    if not answer["tasks"]:
        return None
    record: dict[str, Any] = answer["tasks"][0]
    same_project = record.get("project") == await find_project(channel, wish.project)
    renamed = (record.get("name"), record.get("type")) != (wish.name, str(wish.type))
    return None if renamed or not same_project or (not wish.continued and _why_kept(record)) else record


async def _chosen(channel: AnyChannel, task: str) -> dict[str, Any]:
    """The task of an id that the user gave, which must be there and free to be reused."""
    answer = await call(channel, endpoints.TASKS_GET_ALL, f"cannot look up task {task}", id=[task])
    if not answer["tasks"]:
        raise NotFoundError(
            f"cannot reuse task {task}: there is no task of that id in {channel.transport.target}; "
            "check it, or leave reuse_last_task_id out"
        )
    record: dict[str, Any] = answer["tasks"][0]
    return record


def _why_kept(record: dict[str, Any]) -> str:
    """What about a task forbids resetting it for another run; empty when nothing does.

    Server: the conditions of the reference client, under which an earlier task is left alone.
    """
    tags = record.get("system_tags") or []
    if record.get("status") in {"published", "publishing", "closed"}:
        return f"it is {record['status']}"
    if "archived" in tags:
        return "it is archived"
    if "development" not in tags:
        return "it was enqueued or cloned"
    if (record.get("output") or {}).get("model") or (record.get("models") or {}).get("output"):
        return "it has an output model"
    if (record.get("execution") or {}).get("artifacts"):
        return "it has artifacts"
    return ""


async def _reuse(channel: AnyChannel, record: dict[str, Any]) -> Opened:
    """Reset a task for another run. User tags, name, project and parent stay."""
    task = record["id"]
    what = f"cannot reset task {task}"
    cleared = [
        text
        for text, had in (
            (f"scalars up to iteration {record.get('last_iteration') or 0}", record.get("last_metrics")),
            ("parameters", record.get("hyperparams")),
            (f"status {record.get('status')}", True),
        )
        if had
    ]
    await call(channel, endpoints.TASKS_RESET, what, task=task, force=False)
    await call(
        channel,
        endpoints.TASKS_EDIT,
        what,
        task=task,
        force=True,
        system_tags=["development"],
        hyperparams={},
        configuration={},
        container={},
        models={"input": [], "output": []},
        script={
            "binary": "",
            "repository": "",
            "branch": "",
            "version_num": "",
            "entry_point": "",
            "working_dir": "",
            "diff": "",
            "requirements": {},
        },
        execution={"artifacts": [], "dataviews": [], "model_labels": {}, "parameters": {}},
        output_dest="",
    )
    return Opened(record, Origin.REUSED, ", ".join(cleared))


async def _continue(channel: AnyChannel, record: dict[str, Any]) -> Opened:
    del channel
    last = int(record.get("last_iteration") or 0)
    return Opened(record, Origin.CONTINUED, first_iteration=last + 1 if last or record.get("last_metrics") else 0)


def _session_key(channel: AnyChannel, wish: Wish) -> sessions.SessionKey:
    return sessions.SessionKey(channel.transport.target, wish.project, wish.name, str(wish.type))


def _destination(output_uri: str | Path | None) -> str | None:
    """A destination as a URL; a local folder becomes an absolute `file://` one."""
    if output_uri is None or output_uri == "":
        return None
    text = str(output_uri)
    scheme = text.partition("://")[0] if "://" in text else ""
    if not scheme:
        return f"file://{Path(text).expanduser().absolute()}"
    if scheme != "file":
        raise ConfigurationError(f"output_uri {text!r}: this version of atrains stores to local folders only; give a path or a file:// URL")
    return text.rstrip("/")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container may run under a number that has no name
        return "unknown"


def start_lines(opened: Opened, settings: Settings, target: str) -> list[str]:
    """What is printed when a run begins: what happened, and where it is kept."""
    record = opened.record
    how = {
        Origin.CREATED: "created task",
        Origin.REUSED: "reusing task",
        Origin.CONTINUED: f"continuing task from iteration {opened.first_iteration},",
    }[opened.origin]
    detail = f" (cleared: {opened.cleared})" if opened.cleared else ""
    place = target.partition(":")[2] if settings.target.kind == "local" else target
    return [
        f"{how} {record['id']} {record.get('name')!r}{detail}",
        f"kept in {place} ({settings.target.source}); see it with: atrains show {record['id']}",
    ]
