"""TaskPart: what every themed part of AsyncTask stands on, the calls to the home and their errors. No documented member lives here."""

from __future__ import annotations

from typing import Any, Final

from atrains._api.task import TaskBase
from atrains._engine.channel import Channel
from atrains._engine.disabled import DisabledChannel
from atrains._engine.notices import say
from atrains._engine.outbox import Outbox
from atrains._wire import edits, endpoints
from atrains._wire.endpoints import Endpoint
from atrains._wire.refusals import as_public_error
from atrains.errors import AccessError, ServerError, TaskStatusError, TransportError, WaitTimeoutError
from atrains.types import TaskStatusEnum

_ALWAYS_EDITABLE: Final = frozenset({"name", "project", "comment", "tags", "system_tags", "runtime"})
READ_BUDGET: Final = 30.0
"""Seconds that a read waits for what this process reported to be stored, so that it is seen."""
_EDITABLE_STATUS: Final = frozenset({TaskStatusEnum.created, TaskStatusEnum.in_progress})


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
        return await call(self._channel, endpoint, f"cannot {what} task {self.id}", task=self.id, **request)

    async def _change(self, endpoint: Endpoint, what: str, **request: Any) -> dict[str, Any]:
        """Edit this task; while its home is away, the edit of a run of this process waits in the journal, and is made in its turn."""
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

    async def _deliver_first(self) -> None:
        """Have what this process reported stored, so that a read sees it.

        Raises:
            WaitTimeoutError: it is not stored within the time that a read waits.
        """
        receipt = await self._channel.flush(self.reported_as, READ_BUDGET)
        if receipt.error is not None and (receipt.scalars.pending or receipt.logs.pending or receipt.plots.pending):
            raise WaitTimeoutError(f"what was reported to task {self.id} is not stored yet ({receipt.error}); it is kept: read it later")

    async def _edit(self, what: str, **fields: Any) -> None:
        """Change fields of the record, here and at home.

        Raises:
            TaskStatusError: the run has ended, and the fields are not among those that may change then.
        """
        self._check_open()
        status = self._record.get("status")
        if not set(fields) <= _ALWAYS_EDITABLE and status not in _EDITABLE_STATUS:
            raise TaskStatusError(
                f"cannot {what} task {self.id}: its status is {status}, and this may change only while it is created or in_progress; "
                "clone or reset the task"
            )
        await self._change(endpoints.TASKS_EDIT, what, force=True, **fields)
        await self.reload()

    async def reload(self) -> None:
        """Fetch the record again, with whatever others changed. While edits wait for a home that is away, the record stays as they left it.

        Raises:
            NotFoundError: the task was deleted.
        """
        if self._is_ahead:
            return
        answer = await self._call(endpoints.TASKS_GET_BY_ID, "read")
        self._record = answer["task"]
