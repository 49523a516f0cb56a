"""TaskPart: what every themed part of AsyncTask stands on, the calls to the home and their errors. No documented member lives here."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, Final, cast

from atrains._api.task import TaskBase
from atrains._config import Mode, mark_connected, process_settings, settings
from atrains._config.env import tasks_of_masters
from atrains._engine.channel import Channel
from atrains._engine.disabled import DisabledChannel
from atrains._engine.notices import say
from atrains._engine.outbox import Outbox
from atrains._engine.places import check_place, is_elsewhere
from atrains._engine.process import OpenRun, process
from atrains._engine.runtime import Runtime
from atrains._wire import edits, endpoints
from atrains._wire.endpoints import Endpoint
from atrains._wire.refusals import as_public_error
from atrains.errors import AccessError, NotFoundError, ServerError, TaskStatusError, TransportError, WaitTimeoutError
from atrains.types import TaskStatusEnum

_ALWAYS_EDITABLE: Final = frozenset({"name", "project", "comment", "tags", "system_tags", "runtime"})
READ_BUDGET: Final = 30.0
"""Seconds that a read waits for what this process reported to be stored, so that it is seen."""
_EDITABLE_STATUS: Final = frozenset({TaskStatusEnum.created, TaskStatusEnum.in_progress})


async def connect(to: object = None) -> tuple[Channel | DisabledChannel, Runtime | None]:
    """The channel that the settings choose: those of the `credentials` block that the caller is in, else those of the process.

    Args:
        to: If this is a task, the channel is the one of that task: objects belong to the home that they came from.
    """
    if isinstance(to, TaskPart) and to._is_loaded:  # noqa: SLF001  # one class
        channel = to._channel  # noqa: SLF001
        return channel, None if isinstance(channel, DisabledChannel) else Runtime.current()
    chosen = settings()
    if chosen.mode is Mode.DISABLED:
        return process().disabled(chosen), None
    runtime = Runtime.current()
    opened = await runtime.channel(chosen)
    if chosen is process_settings():
        mark_connected(opened.transport.target)
    return opened, runtime


async def call(channel: Channel | DisabledChannel, endpoint: Endpoint, what: str, **request: Any) -> dict[str, Any]:
    """Call the home; a refusal is raised as an error of our tree that begins with `what`."""
    try:
        return await channel.transport.call(endpoint, request)
    except ServerError as error:
        raise as_public_error(error, what) from error


class TaskPart(TaskBase):
    """The base of the parts that AsyncTask is composed of."""

    async def _call(self, endpoint: Endpoint, what: str, **request: Any) -> dict[str, Any]:
        """Call the home about this task."""
        self._check_there()
        return await call(self._channel, endpoint, f"cannot {what} task {self.id}", task=self.id, **request)

    async def _change(self, endpoint: Endpoint, what: str, **request: Any) -> dict[str, Any]:
        """Edit this task; while its home is away, the edit of a run of this process waits in the journal, and is made in its turn."""
        await self._channel.send_edits(self.reported_as)
        outbox = self._outbox
        if outbox is None or endpoint not in edits.CAN_WAIT:
            return await self._call(endpoint, what, **request)
        if not outbox.holds(self.reported_as):
            try:
                return await self._call(endpoint, what, **request)
            except (AccessError, ServerError):
                raise
            except TransportError as error:
                say(self._settings, f"cannot {what} task {self.id} now ({error}); it is done once its home can be reached")
        outbox.call(self.reported_as, endpoint, request)
        return {"updated": 1, "fields": edits.apply(self._record, endpoint, request)}

    @property
    def _outbox(self) -> Outbox | None:
        """Where edits wait while the home is away; None for a task whose run is not ours."""
        channel = self._channel
        outlet = channel.outlet if isinstance(channel, Channel) else None
        return outlet.outbox if outlet is not None and self._owns_run and self.begun_here else None

    @property
    def _is_ahead(self) -> bool:
        """Whether the record here holds edits that the home does not know yet."""
        return (outbox := self._outbox) is not None and outbox.holds(self.reported_as)

    @property
    def _takes_values_from_home(self) -> bool:
        """Whether an agent runs this task: what the code connects then takes the values at home, which its user may have changed there."""
        remote = self._settings.remote_task_id
        return remote is not None and (self.is_main_task() or self.id == remote)

    async def _deliver_first(self) -> None:
        """Have what this process reported stored, so that a read sees it.

        Raises:
            NotFoundError: this object deleted the task.
            WaitTimeoutError: it is not stored within the time that a read waits.
        """
        self._check_there()
        receipt = await self._channel.flush(self.reported_as, READ_BUDGET)
        if receipt.error is not None and any(kind.pending for kind in (receipt.scalars, receipt.logs, receipt.plots, receipt.images)):
            raise WaitTimeoutError(f"what was reported to task {self.id} is not stored yet ({receipt.error}); it is kept: read it later")

    def _editing(self) -> AbstractAsyncContextManager[object]:
        """Held while the record is edited or replaced: of threads that edit at once none undoes what another one did."""
        if isinstance(self._channel, DisabledChannel):  # its coroutines never suspend, and have no loop
            return nullcontext()
        return Runtime.current().lock((self._channel.transport.target, self.reported_as))

    async def _edit(self, what: str, **fields: Any) -> None:
        """Change fields of the record, here and at home.

        Raises:
            TaskStatusError: the run has ended, and the fields are not among those that may change then.
        """
        self._check_open()
        async with self._editing():
            status = self._record.get("status")
            if not set(fields) <= _ALWAYS_EDITABLE and status not in _EDITABLE_STATUS:
                raise TaskStatusError(
                    f"cannot {what} task {self.id}: its status is {status}, and this may change only while it is created or in_progress; "
                    "clone or reset the task"
                )
            await self._change(endpoints.TASKS_EDIT, what, force=True, **fields)
            await self._fetch()

    async def _fetch_fields(self, what: str, fields: Sequence[str]) -> dict[str, Any]:
        """Some fields of the record, as they are at home.

        Raises:
            NotFoundError: the task was deleted.
        """
        answer = await call(self._channel, endpoints.TASKS_GET_ALL, what, id=[self.id], only_fields=list(fields))
        if isinstance(self._channel, DisabledChannel) and not answer["tasks"]:
            return self._record  # which it has forgotten
        if not answer["tasks"]:
            raise NotFoundError(
                f"{what}: {self._channel.transport.target} has no task of that id any more ({endpoints.TASKS_GET_ALL.name} finds none): "
                "it was deleted; Task.get_tasks gives those that there are"
            )
        found: dict[str, Any] = answer["tasks"][0]
        return found

    async def reload(self) -> None:
        """Fetch the record again, with whatever others changed. While edits wait for a home that is away, the record stays as they left it.

        A task that was unpickled is loaded by this.

        Raises:
            NotFoundError: the task was deleted.
            UsageError: the task was unpickled where another home is in use.
        """
        if not self._is_loaded:
            await self._load_unpickled()
            return
        async with self._editing():
            await self._fetch()

    async def _fetch(self) -> None:
        """Replace the record by that of the home, unless ours is ahead of it."""
        await self._channel.send_edits(self.reported_as)
        if not self._is_ahead:
            self._record = (await self._call(endpoints.TASKS_GET_BY_ID, "read"))["task"]

    async def _load_unpickled(self) -> None:
        task, place, offset = self._unpickled
        check_place(settings(), place, f"task {task}")
        channel, runtime = await connect()
        record = (await call(channel, endpoints.TASKS_GET_BY_ID, f"cannot read task {task}", task=task))["task"]
        if self._is_loaded:  # by somebody who asked at the same time
            return
        self._attach(record, channel, runtime)
        self.set_initial_iteration(offset)
        if task in tasks_of_masters() and not is_elsewhere(settings()):
            self._join()

    def _join(self) -> None:
        """Report, from this process, to the run of the one that started it; how it ends is up to that one."""
        self.get_logger()
        if isinstance(self._channel, Channel):
            self._channel.hold(self.id)
            process().open_runs[self.reported_as] = cast("OpenRun", self)  # which it is once it is composed
