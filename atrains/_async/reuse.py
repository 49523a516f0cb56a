"""Reuse: whether the next run of a project, name and type takes over the last one's task, or that of an id, and what that clears.

Reuse never destroys what matters: a task that is published, archived, enqueued or has outputs is left alone, and so is one whose run is
going on, has not been delivered yet, or ended without a final status. Used by `opening`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from atrains._async.base import call
from atrains._async.wish import Opened, Origin, Wish
from atrains._engine import journals, sessions
from atrains._engine.channel import Channel
from atrains._engine.disabled import DisabledChannel
from atrains._engine.endings import UNCLOSED
from atrains._engine.notices import say
from atrains._storage.locks import FolderLock
from atrains._wire import endpoints
from atrains._wire.metrics import iteration_behind
from atrains.errors import HomeError, NotFoundError
from atrains.types import TaskStatusEnum

AnyChannel = Channel | DisabledChannel

LOCK_SECONDS: Final = 10.0
"""How long a run waits for another that is being opened in the same home."""
RECOVERY_SECONDS: Final = 5.0
"""How long a run that is to go on with the last one waits for what that one left; else it gets a task of its own."""


@asynccontextmanager
async def deciding(channel: AnyChannel, wish: Wish) -> AsyncIterator[Wish]:
    """Hold the lock under which it is decided, by one at a time in the home, who takes over a task; gives the wish that can be granted.

    Where the lock is not to be had, who would only have gone on with the last task of the names gets a task of its own.

    Raises:
        HomeError: the home cannot be written to, or somebody has held the lock for long, and a certain task was asked for.
    """
    if isinstance(channel, DisabledChannel) or not wish.reuse:  # a service that opens hundreds of tasks of its own need not wait
        yield wish
        return
    try:
        lock = await _locked(channel.settings.home.path)
    except HomeError as error:
        if wish.continued or isinstance(wish.reuse, str):
            raise
        say(channel.settings, f"a new task is made, and the last one of these names is not reused: {error}")
        yield wish._replace(reuse=False)
        return
    try:
        yield wish
    finally:
        lock.release()


def _lock_of(home: Path) -> FolderLock:
    """The lock of a home, not taken yet; to be released.

    Raises:
        HomeError: the home cannot be written to.
    """
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        return FolderLock(home / "reuse.lock")
    except OSError as error:
        raise HomeError(
            error.errno, f"cannot write to the home {home}: {error.strerror}; set ATRAINS_HOME to a folder that is writable"
        ) from error


async def _locked(home: Path) -> FolderLock:
    """Take the lock of a home; to be released.

    Raises:
        HomeError: the home cannot be written to, or somebody has held it for long.
    """
    lock = _lock_of(home)
    try:
        deadline = time.monotonic() + LOCK_SECONDS
        while not lock.acquire():
            if time.monotonic() > deadline:
                raise HomeError(f"another process has been opening a run in {home} for {LOCK_SECONDS:g} s; try again, or end that process")
            await asyncio.sleep(0.01)
    except BaseException:  # cancelled, or in vain: nobody else would let go of it
        lock.release()
        raise
    return lock


async def choose(channel: AnyChannel, wish: Wish, project: str, new: str) -> tuple[dict[str, Any] | None, str]:
    """The record of the task to reuse, if there is one that may be; else the id of the task to make.

    Args:
        channel: Where to look.
        wish: What was asked for.
        project: The id of its project.
        new: The id of a task to make, where none was asked for or the one asked for is taken.

    Raises:
        NotFoundError: there is no task of the id that was asked for, and the home makes ids itself, or the task was to be continued.
    """
    if isinstance(channel, DisabledChannel):
        return None, wish.reuse if isinstance(wish.reuse, str) else new
    if wish.continued:  # what was killed is to be gone on with: its status and its last iteration are known once it is recovered
        await channel.adopt(RECOVERY_SECONDS)
    if isinstance(wish.reuse, str):
        record = await _chosen(channel, wish.reuse, wish)
        if record is None:
            return None, wish.reuse
    else:
        record = await _last(channel, wish, project)
    if record is None or channel.settings.task.no_reuse:
        return None, new
    return await _unless_kept(channel, record, wish), new


async def _last(channel: Channel, wish: Wish, project: str) -> dict[str, Any] | None:
    """The record of the last task of these names in this home, if it is to be reused and still has them."""
    settings = channel.settings
    if settings.task.no_reuse or not wish.reuse:
        return None
    key, window = session_key(channel, wish), settings.task.reuse_window_hours
    task = await channel.run(lambda: sessions.recall(settings.home.cache_dir, key, window_hours=window))
    if task is None:
        return None
    answer = await call(channel, endpoints.TASKS_GET_ALL, f"cannot look up task {task}", id=[task])
    if not answer["tasks"]:
        return None
    record: dict[str, Any] = answer["tasks"][0]
    same_project = record.get("project") == project
    renamed = (record.get("name"), record.get("type")) != (wish.name, str(wish.type))
    return None if renamed or not same_project else record


async def _unless_kept(channel: Channel, record: dict[str, Any], wish: Wish) -> dict[str, Any] | None:
    """The record, unless something about its task forbids taking it over; then one line says what."""
    own = channel.outlet.journal if channel.outlet is not None else None
    held = await channel.run(partial(journals.holds, channel.journals, own, record["id"]))
    why = "its run is still going on, or was not delivered yet" if held else ""
    if not why and wish.continued and record.get("status") == TaskStatusEnum.in_progress:
        why = "its run is still going on"  # one that has just begun, or on another machine: no journal here tells of it
    elif not why:
        why = _why_locked(record) if wish.continued else _why_kept(record)
    if why:
        say(channel.settings, f"task {record['id']} is not {'continued' if wish.continued else 'reused'}: {why}")
        return None
    return record


async def _chosen(channel: Channel, task: str, wish: Wish) -> dict[str, Any] | None:
    """The task of an id that the user gave; None where there is none and a new one may have it."""
    answer = await call(channel, endpoints.TASKS_GET_ALL, f"cannot look up task {task}", id=[task])
    if answer["tasks"]:
        record: dict[str, Any] = answer["tasks"][0]
        return record
    missing = f"there is no task of that id in {channel.transport.target}"
    if wish.continued:
        raise NotFoundError(f"cannot continue task {task}: {missing}; check the id, or leave continue_last_task out")
    if not await channel.transport.keeps_task_ids():
        raise NotFoundError(
            f"cannot reuse task {task}: {missing}, and this server makes ids itself; check the id, or leave reuse_last_task_id out"
        )
    return None


def _why_locked(record: dict[str, Any]) -> str:
    """What about a task forbids running it at all: to start it would take it out of what is published, or out of its queue."""
    return f"it is {record['status']}" if record.get("status") in {"published", "publishing", "closed", "queued"} else ""


def _why_kept(record: dict[str, Any]) -> str:
    """What about a task forbids resetting it for another run; empty when nothing does.

    Server: the conditions of the reference client, under which an earlier task is left alone.
    """
    tags = record.get("system_tags") or []
    if locked := _why_locked(record):
        return locked
    if record.get("status") == TaskStatusEnum.in_progress or record.get("status_reason") == UNCLOSED:
        return "its run ended without a final status"
    if "archived" in tags:
        return "it is archived"
    if "development" not in tags:
        return "it was enqueued or cloned"
    if (record.get("output") or {}).get("model") or (record.get("models") or {}).get("output"):
        return "it has an output model"
    if (record.get("execution") or {}).get("artifacts"):
        return "it has artifacts"
    return ""


async def reset_for_reuse(channel: AnyChannel, record: dict[str, Any]) -> Opened:
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
    async with channel.resetting(task):
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


def go_on(record: dict[str, Any]) -> Opened:
    """Keep what a task holds, and go on behind its last iteration."""
    return Opened(record, Origin.CONTINUED, first_iteration=iteration_behind(record))


def session_key(channel: AnyChannel, wish: Wish) -> sessions.SessionKey:
    """Under which the last task of these names is remembered."""
    return sessions.SessionKey(channel.transport.target, wish.project, wish.name, str(wish.type))
