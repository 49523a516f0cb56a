"""TaskPart: what every themed part of AsyncTask stands on, the calls to the home and their errors. No documented member lives here."""

from __future__ import annotations

from typing import Any, Final

from atrains._api.task import TaskBase
from atrains._engine.channel import Channel
from atrains._engine.disabled import DisabledChannel
from atrains._wire import endpoints
from atrains._wire.endpoints import Endpoint
from atrains._wire.refusals import as_public_error
from atrains.errors import ServerError, TaskStatusError
from atrains.types import TaskStatusEnum

_ALWAYS_EDITABLE: Final = frozenset({"name", "project", "comment", "tags", "system_tags", "runtime"})
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
        await self._call(endpoints.TASKS_EDIT, what, force=True, **fields)
        await self.reload()

    async def reload(self) -> None:
        """Fetch the record again, with whatever others changed.

        Raises:
            NotFoundError: the task was deleted.
        """
        answer = await self._call(endpoints.TASKS_GET_BY_ID, "read")
        self._record = answer["task"]
