"""Copies of tasks, and the queues from which agents take them. A part of AsyncTask."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Self

from atrains._api import current
from atrains._async.base import call, connect
from atrains._async.finding import Finding
from atrains._engine.channel import Channel
from atrains._engine.disabled import DisabledChannel
from atrains._wire import endpoints
from atrains._wire.names import validate_name, validate_task_id
from atrains.errors import NotFoundError, UsageError, ValidationError
from atrains.types import Answer

if TYPE_CHECKING:
    from atrains._async.task import AsyncTask


class Queueing(Finding):
    """Cloning, enqueueing, dequeueing."""

    @classmethod
    async def clone(
        cls,
        source_task: AsyncTask | str | None = None,
        name: str | None = None,
        comment: str | None = None,
        parent: AsyncTask | str | None = None,
        project: str | None = None,
    ) -> Self:
        """Make a draft that is a copy of a task: with its code, parameters and configuration, and nothing of its run.

        Args:
            source_task: The task or its id; the current task by default.
            name: The copy's name; that of the source by default.
            comment: The copy's comment; that of the source by default.
            parent: The parent of the copy, a task or its id; by default that of the source, or the source itself where it has none.
            project: The id of the copy's project; that of the source by default.

        Returns:
            The copy, with status `created`.

        Raises:
            UsageError: no source was named, and there is no current task.
            NotFoundError: there is no such task.
            ValidationError: something that is neither a task nor an id; a name under 3 characters.
            TransportError: the home cannot be reached.
        """
        source = source_task if source_task is not None else current.current_task()
        if source is None:
            raise UsageError("Task.clone needs source_task when there is no current task: pass a task or its id")
        channel, runtime = await connect(source)
        task = _task_id(source, "source_task")
        await channel.send_edits(source.reported_as if isinstance(source, Finding) else task)  # what a connected dictionary holds by now
        record = (await call(channel, endpoints.TASKS_GET_BY_ID, f"cannot clone task {task}", task=task))["task"]
        request = {
            "new_task_name": None if name is None else validate_name(name, what="task"),
            "new_task_comment": comment,
            "new_task_parent": _task_id(parent, "parent") if parent is not None else record.get("parent") or task,
            "new_task_project": project,
        }
        given = {field: value for field, value in request.items() if value is not None}
        made = str((await call(channel, endpoints.TASKS_CLONE, f"cannot clone task {task}", task=task, **given))["id"])
        if comment == "":  # Server: an empty one leaves that of the source
            await call(channel, endpoints.TASKS_EDIT, f"cannot clone task {task}", task=made, comment="")
        return await cls._load(channel, runtime, made)

    @classmethod
    async def enqueue(cls, task: AsyncTask | str, queue_name: str | None = None, queue_id: str | None = None) -> Answer:
        """Put a task into a queue, from which an agent takes it to run it.

        Args:
            task: The task or its id.
            queue_name: The exact name of the queue; either this or `queue_id` has to be given.
            queue_id: The id of the queue.

        Returns:
            `{"queued": 1, "updated": 1, "fields": {"status": "queued", "status_reason": ..., "status_message": ..., "status_changed": ...,
            "last_update": ..., "execution.queue": <queue id>}}`, with its keys as attributes as well.

        Raises:
            UsageError: neither a queue's name nor its id was given, or both.
            NotFoundError: there is no such task or queue.
            TaskStatusError: a task of its status cannot be enqueued: one that completed has to be reset first.
            TransportError: the home cannot be reached.
        """
        named = _task_id(task, "task")
        if bool(queue_name) == bool(queue_id):
            raise UsageError(f"cannot enqueue task {named}: give the queue_name or the queue_id of the queue, and not both")
        channel, _ = await connect(task)
        queue = queue_id or await queue_named(channel, str(queue_name), f"cannot enqueue task {named}")
        answer = await call(channel, endpoints.TASKS_ENQUEUE, f"cannot enqueue task {named}", task=named, queue=queue)
        _note_fields(task, answer)
        return Answer(answer)

    @classmethod
    async def dequeue(cls, task: AsyncTask | str) -> Answer:
        """Take a task out of its queue.

        Args:
            task: The task or its id.

        Returns:
            `{"dequeued": 1, "updated": 1, "fields": {"status": "created", ..., "execution.queue": None}}`, with its keys as attributes as
            well; `updated` is 0 when the task was in no queue.

        Raises:
            NotFoundError: there is no such task.
            TransportError: the home cannot be reached.
        """
        channel, _ = await connect(task)
        named = _task_id(task, "task")
        answer = await call(channel, endpoints.TASKS_DEQUEUE, f"cannot dequeue task {named}", task=named)
        _note_fields(task, answer)
        return Answer(answer)

    async def set_parent(self, parent: AsyncTask | str | None) -> None:
        """Set the parent of this task.

        Args:
            parent: The task or its id; None for none, which only some homes can do.

        Raises:
            ValidationError: the task itself, or something that is no task.
            NotFoundError: there is no such task.
            UsageError: the server cannot take a parent away.
            TaskStatusError: the run has ended.
            TransportError: the home cannot be reached.
        """
        named = "" if parent is None else _task_id(parent, "parent", f"cannot set the parent of task {self.id}: ")
        if named == self.id:
            raise ValidationError(f"task {self.id} cannot be its own parent; name another task, or None for none")
        try:
            await self._edit("set the parent of", parent=named)
        except NotFoundError as error:  # Server: "" is no task, and null leaves the parent as it is; homes of ours take it away
            if parent is not None:
                raise
            await self.reload()  # is it the task that is not there?
            raise UsageError(f"task {self.id} keeps its parent {self.parent}: its server cannot take a parent away; set another") from error


def _task_id(task: object, argument: str, what: str = "") -> str:
    """The id of a task that was given as such, as a coroutine may have it from `Task.current_task()` too, or by its id."""
    given = getattr(task, "_core", task)  # a blocking task holds one of ours
    if isinstance(given, Finding):
        return given.id
    if isinstance(task, str):
        return validate_task_id(task)
    raise ValidationError(f"{what}{argument} is a task or the id of one, not {task!r}")


def _note_fields(task: object, answer: dict[str, Any]) -> None:
    """Remember what became of a task's status."""
    if isinstance(task, Finding):
        task._record.update({name: value for name, value in answer.get("fields", {}).items() if "." not in name})  # noqa: SLF001  # one class


async def queue_named(channel: Channel | DisabledChannel, name: str, what: str) -> str:
    """The id of the queue of exactly that name.

    Raises:
        NotFoundError: there is none; lists those that there are.
    """
    found = (await call(channel, endpoints.QUEUES_GET_ALL, what, name=f"^{re.escape(name)}$", only_fields=["id"]))["queues"]
    if not found:
        known = (await call(channel, endpoints.QUEUES_GET_ALL, what, only_fields=["id", "name"]))["queues"]
        names = ", ".join(repr(queue["name"]) for queue in known) or "none"
        raise NotFoundError(f"{what}: there is no queue {name!r} in {channel.transport.target}; there are: {names}")
    return str(found[0]["id"])
