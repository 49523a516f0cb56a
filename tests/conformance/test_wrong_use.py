"""Wrong uses of a task: each raises an error of our tree that says what happened, to which task, and what to do.

Where the home refuses, its own words are in the message, with the endpoint that was called.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import pytest

from atrains import AsyncTask, Task, TaskParameters
from atrains._portal.portal import portal
from atrains._wire import endpoints
from atrains.errors import (
    AtrainsError,
    NotFoundError,
    SyncInAsyncError,
    TaskClosedError,
    TaskStatusError,
    UnsupportedTypeError,
    UsageError,
    ValidationError,
)

World = Any
NOBODY: Final = "f" * 32
"""An id that no task has."""


@dataclass(frozen=True)
class Misuse:
    """One wrong use.

    Attributes:
        of: The task: a `draft`, an `ended`, `published` or `closed` run, or a `deleted` draft.
        call: Does it, with the world and the task.
        error: What is raised.
        advice: The next step, as the message says it.
        endpoint: What the home was asked, where it is the home that refuses.
        words: What the home said.
        names: The id in the message: that of the task, or another.
    """

    of: str
    call: Callable[[World, Any], Any]
    error: type[AtrainsError]
    advice: str
    endpoint: str = ""
    words: str = ""
    names: str = ""


CASES: Final[dict[str, Misuse]] = {
    # after close
    **{
        f"{name} after close": Misuse("closed", call, TaskClosedError, "open it again with Task.get_task(")
        for name, call in {
            "get_logger": lambda _, task: task.get_logger(),
            "connect": lambda _, task: task.connect({"lr": 1}),
            "set_name": lambda _, task: task.set_name("another name"),
            "set_comment": lambda _, task: task.set_comment("late"),
            "add_tags": lambda _, task: task.add_tags(["late"]),
            "set_tags": lambda _, task: task.set_tags(["late"]),
            "set_parent": lambda _, task: task.set_parent(None),
            "reset": lambda _, task: task.reset(),
            "upload_artifact": lambda _, task: task.upload_artifact("late", {}),
        }.items()
    },
    # a wrong type or value
    "connect of a number": Misuse("draft", lambda _, task: task.connect(42), UnsupportedTypeError, "pass a dict"),
    "an artifact of a function": Misuse(
        "draft", lambda _, task: task.upload_artifact("it", len), UnsupportedTypeError, "upload one of: dict"
    ),
    "an offset that is text": Misuse("draft", lambda _, task: task.set_initial_iteration("3"), ValidationError, "give an int"),
    "an unknown x axis": Misuse("draft", lambda _, task: task.get_reported_scalars(x_axis="epoch"), ValidationError, "use one of iter"),
    "less than no samples": Misuse("draft", lambda _, task: task.get_reported_scalars(-1), ValidationError, "0 for all"),
    "less than one report": Misuse("draft", lambda _, task: task.get_reported_console_output(0), ValidationError, "1 or more"),
    "a negative iteration": Misuse("draft", lambda _, task: task.set_last_iteration(-1), ValidationError, "0 or more"),
    "an iteration of more than 64 bits": Misuse("draft", lambda _, task: task.set_last_iteration(2**63), ValidationError, "0 or more"),
    "an offset of more than 64 bits": Misuse("draft", lambda _, task: task.set_initial_iteration(2**63), ValidationError, "give an int"),
    "tags that are a number": Misuse("draft", lambda _, task: task.add_tags(5), ValidationError, "a list of texts"),
    "tags that are bytes": Misuse("draft", lambda _, task: task.add_tags(b"ab"), ValidationError, "a list of texts"),
    "tags of nothing": Misuse("draft", lambda _, task: task.add_tags([None]), ValidationError, "a list of texts"),
    "a section that is a number": Misuse(
        "draft", lambda _, task: task.connect(TaskParameters(), name=5), ValidationError, "a text, not 5"
    ),
    "a parameter that is a number": Misuse(
        "draft", lambda _, task: task.set_parameter(5, 1), ValidationError, "a text such as", names="5"
    ),
    "a parameter of nothing": Misuse("draft", lambda _, task: task.get_parameter(None), ValidationError, "a text such as", names="None"),
    "a configuration that is a number": Misuse(
        "draft", lambda _, task: task.set_configuration_object("General", config_dict=5), UnsupportedTypeError, "a text or a dictionary"
    ),
    "a file of it that is a number": Misuse("draft", lambda _, task: task.update_model_desc(5), ValidationError, "the path of a file"),
    "a file for it that is none": Misuse(
        "draft", lambda _, task: task.save_exec_model_design_file(None), ValidationError, "the name of a file"
    ),
    "a label of more than 64 bits": Misuse(
        "draft", lambda _, task: task.set_model_label_enumeration({"it": 2**63}), ValidationError, "use a smaller one", names="it"
    ),
    "no tags": Misuse("draft", lambda _, task: task.set_tags(None), ValidationError, "a list of texts"),
    "no system tags": Misuse("draft", lambda _, task: task.set_system_tags(None), ValidationError, "a list of texts"),
    "no parent, of a task that somebody deleted": Misuse(
        "deleted", lambda _, task: task.set_parent(None), NotFoundError, "check the task id", "tasks.get_by_id", "nvalid task id"
    ),
    "a name that is too short": Misuse("draft", lambda _, task: task.set_name("x"), ValidationError, "at least 3 characters"),
    "a status that there is not": Misuse(
        "draft", lambda _, task: task.wait_for_status("finished"), ValidationError, "the statuses are created"
    ),
    "no status": Misuse("draft", lambda _, task: task.wait_for_status(None), ValidationError, "the statuses are created"),
    "none of no statuses": Misuse(
        "draft", lambda _, task: task.wait_for_status((), raise_on_status=None, timeout=0.1), ValidationError, "name one of created"
    ),
    **{
        f"an interval of {interval!r} seconds": Misuse(
            "draft", lambda _, task, interval=interval: task.wait_for_status("queued", check_interval_sec=interval, timeout=0.1),
            ValidationError, "more than 0",
        )
        for interval in (0, -1.0, float("nan"), "1", None)
    },
    "a timeout that is text": Misuse(
        "draft", lambda _, task: task.wait_for_status("queued", timeout="1"), ValidationError, "None for ever"
    ),
    "ids that are a number": Misuse("draft", lambda world, _: world.Task.get_tasks(5), ValidationError, "a list of ids", names="5"),
    "its own parent": Misuse("draft", lambda _, task: task.set_parent(task), ValidationError, "name another task"),
    "a parent that is a number": Misuse("draft", lambda _, task: task.set_parent(42), ValidationError, "a task or the id of one"),
    "a queue and its id": Misuse("draft", lambda world, task: world.Task.enqueue(task, "default", NOBODY), UsageError, "not both"),
    "no queue": Misuse("draft", lambda world, task: world.Task.enqueue(task), UsageError, "the queue_name or the queue_id"),
    # an unknown name or id
    "a task that there is not": Misuse(
        "draft", lambda world, _: world.Task.get_task(NOBODY), NotFoundError, "check the task id",
        "tasks.get_by_id", "nvalid task id", NOBODY,
    ),
    "one of several": Misuse(
        "draft", lambda world, task: world.Task.get_tasks([task.id, NOBODY]), NotFoundError, "check the task id",
        "tasks.get_by_id", "nvalid task id", NOBODY,
    ),
    "a copy of nothing": Misuse(
        "draft", lambda world, _: world.Task.clone(NOBODY), NotFoundError, "check the task id", "tasks.get_by_id", "nvalid task id", NOBODY
    ),
    "a copy in a project that there is not": Misuse(
        "draft", lambda world, task: world.Task.clone(task, project=NOBODY), ValidationError, "the id of the project",
        "tasks.clone", "nvalid",
    ),
    "a parent that there is not": Misuse(
        "draft", lambda _, task: task.set_parent(NOBODY), NotFoundError, "check the task id", "tasks.edit", "nvalid"
    ),
    "a queue that there is not": Misuse(
        "draft", lambda world, task: world.Task.enqueue(task, "no such queue"), NotFoundError, "there are: '"
    ),
    "an id of a queue that there is not": Misuse(
        "draft", lambda world, task: world.Task.enqueue(task, queue_id=NOBODY), NotFoundError, "check the queue",
        "tasks.enqueue", "nvalid queue",
    ),
    "a run of a task that there is not": Misuse(
        "draft", lambda world, _: world.Task.init("project", "a run", continue_last_task=NOBODY), NotFoundError, "check the id",
        names=NOBODY,
    ),
    # a status that does not allow it
    "a draft that completes": Misuse(
        "draft", lambda _, task: task.completed(ignore_errors=False), TaskStatusError, "look at task.status", "tasks.completed", "created"
    ),
    "a draft that is stopped": Misuse(
        "draft", lambda _, task: task.mark_stopped(), TaskStatusError, "look at task.status", "tasks.stopped", "created"
    ),
    "a draft that is published": Misuse("draft", lambda _, task: task.publish(), TaskStatusError, "end the run first"),
    "a run that starts again": Misuse(
        "published", lambda _, task: task.mark_started(), TaskStatusError, "look at task.status", "tasks.started", "published"
    ),
    "an ended run that waits": Misuse(
        "ended", lambda world, task: world.Task.enqueue(task, "default"), TaskStatusError, "reset the task", "tasks.enqueue", "completed"
    ),
    "parameters of an ended run": Misuse("ended", lambda _, task: task.connect({"lr": 1}), TaskStatusError, "clone or reset the task"),
    "an artifact of an ended run": Misuse("ended", lambda _, task: task.upload_artifact("it", {}), TaskStatusError, "clone the task"),
    # a task that somebody deleted
    **{
        f"{name} of a deleted task": Misuse("deleted", call, NotFoundError, "check the task id", endpoint, "nvalid task id")
        for name, call, endpoint in (
            ("reload", lambda _, task: task.reload(), "tasks.get_by_id"),
            ("set_name", lambda _, task: task.set_name("another name"), "tasks.edit"),
            ("reset", lambda _, task: task.reset(), "tasks.reset"),
            ("mark_started", lambda _, task: task.mark_started(), "tasks.started"),
            ("completed", lambda _, task: task.completed(ignore_errors=False), "tasks.completed"),
            ("set_tags", lambda _, task: task.set_tags(["late"]), "tasks.edit"),
            ("clone", lambda world, task: world.Task.clone(task), "tasks.get_by_id"),
            ("enqueue", lambda world, task: world.Task.enqueue(task, "default"), "tasks.enqueue"),
            ("dequeue", lambda world, task: world.Task.dequeue(task), "tasks.dequeue"),
            ("get_reported_scalars", lambda _, task: task.get_reported_scalars(), "events."),
            ("get_last_scalar_metrics", lambda _, task: task.get_last_scalar_metrics(), "tasks.get_by_id"),
            ("get_reported_console_output", lambda _, task: task.get_reported_console_output(), "events.get_task_log"),
            ("upload_artifact", lambda _, task: task.upload_artifact("it", {}), "tasks.get_by_id"),
        )
    },
    **{
        f"{name} of a deleted task": Misuse("deleted", call, NotFoundError, "Task.get_tasks", "tasks.get_all", "no task of that id")
        for name, call in {
            "get_status": lambda _, task: task.get_status(),
            "status": lambda _, task: task.status,
            "wait_for_status": lambda _, task: task.wait_for_status(timeout=5),
            "get_last_iteration": lambda _, task: task.get_last_iteration(),
        }.items()
    },
    # the order of things
    "another run in this one": Misuse(
        "closed", lambda world, _: _another_run(world), UsageError, "close it first", names=" "
    ),
    "credentials that come too late": Misuse(
        "draft", lambda world, _: world.Task.set_credentials(api_host="http://localhost:8008"), UsageError, "before Task.init", names=" "
    ),
}  # fmt: skip


async def _another_run(world: World) -> None:
    await world(world.Task.init("project", "a run"))
    await world(world.Task.init("project", "another run"))


async def make(world: World, kind: str) -> Any:
    task = await world(world.Task.create("project", "a task"))
    if kind in {"ended", "closed", "published"}:
        await world(task.mark_started())
        await world(task.mark_completed(ignore_errors=False))
    if kind == "closed":
        await world(task.close())
    if kind == "published":
        await world(task.publish(ignore_errors=False))
    if kind == "deleted":
        other = await world(world.Task.get_task(task.id))
        await delete(world, other)
    return task


async def delete(world: World, task: Any) -> None:
    channel = getattr(task, "_core", task)._channel

    async def call() -> None:
        await channel.transport.call(endpoints.TASKS_DELETE, {"task": task.id, "force": True})

    await world(call() if world.Task is AsyncTask else portal().run(call))


@pytest.mark.parametrize("name", list(CASES))
async def test_a_wrong_use_says_what_to_do(world: World, name: str) -> None:
    case = CASES[name]
    task = await make(world, case.of)
    with pytest.raises(case.error) as caught:
        await world(_done(case.call, world, task) if world.Task is AsyncTask else _blocking(case.call, world, task))
    said = str(caught.value)
    missing = [part for part in (task.id if not case.names else case.names, case.advice, case.endpoint, case.words) if part not in said]
    assert not missing, said
    if case.endpoint and case.words != "no task of that id":
        assert type(caught.value.__cause__).__name__ == "ServerError", "what was answered stays behind the error"


async def _done(call: Callable[[World, Any], Any], world: World, task: Any) -> Any:
    found = call(world, task)
    return await found if isinstance(found, Awaitable) else found


def _blocking(call: Callable[[World, Any], Any], world: World, task: Any) -> Any:
    found = call(world, task)
    if inspect.iscoroutine(found):
        world.run(found)
        return None
    return found


BLOCKING: Final[dict[str, Callable[[Any], Any]]] = {
    "get_status": lambda task: task.get_status(),
    "status": lambda task: task.status,
    "set_name": lambda task: task.set_name("another name"),
    "flush": lambda task: task.flush(),
    "close": lambda task: task.close(),
    "wait_for_status": lambda task: task.wait_for_status(timeout=1),
}


@pytest.mark.parametrize("name", list(BLOCKING))
def test_a_blocking_call_on_the_thread_that_would_serve_it(name: str) -> None:
    """A callback that runs on the portal's loop, of a blocking task."""
    task = Task.create("project", "a task")

    async def callback() -> None:
        BLOCKING[name](task)

    with pytest.raises(SyncInAsyncError, match=rf"use `await task\.{name}.*` on the async twin of task {task.id}"):
        portal().run(callback)
    assert task.get_status() == "created"


@pytest.mark.parametrize("name", list(BLOCKING))
def test_a_blocking_call_in_the_loop_of_its_own_run(name: str) -> None:
    async def main() -> None:
        async with Task.ainit("project", "a run") as run:
            twin = Task.current_task()
            assert twin is not None
            with pytest.raises(SyncInAsyncError, match=rf"use `await task\.{name}.*` on the async twin of task {run.id}"):
                BLOCKING[name](twin)
            assert await run.status == "in_progress"

    asyncio.run(main())


async def test_a_second_event_loop_is_no_wrong_use() -> None:
    """A task serves whichever loop asks: that of its run, one in another thread at the same time, and the next one of the process."""
    async with Task.ainit("project", "a run") as run:
        run.get_logger().report_scalar("a", "b", 1, 1)
        elsewhere = await asyncio.to_thread(lambda: asyncio.run(run.get_reported_scalars()))
        assert elsewhere == await run.get_reported_scalars() == {"a": {"b": {"x": [1], "y": [1.0]}}}
    assert await asyncio.to_thread(lambda: asyncio.run(run.get_status())) == "completed"
