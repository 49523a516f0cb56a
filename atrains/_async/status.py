"""A task's status: read, signalled, waited for. A part of AsyncTask; which transition is allowed is in `_wire.status`."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import aclosing
from numbers import Real
from typing import Any, Final, TypedDict

from atrains._async import tables
from atrains._async.base import TaskPart
from atrains._async.pending import Pending
from atrains._engine.channel import Channel, names_of
from atrains._engine.disabled import DisabledChannel
from atrains._engine.notices import say
from atrains._engine.runtime import Runtime
from atrains._wire import endpoints
from atrains._wire.endpoints import Endpoint
from atrains.errors import (
    AccessError,
    AtrainsError,
    NotFoundError,
    ServerError,
    TaskFailedError,
    TaskStatusError,
    TransportError,
    ValidationError,
    WaitTimeoutError,
)
from atrains.types import TaskStatusEnum

_AFTER_UPLOADS: Final = frozenset({endpoints.TASKS_COMPLETED, endpoints.TASKS_FAILED, endpoints.TASKS_STOPPED, endpoints.TASKS_PUBLISH})
"""Changes after which no home takes an artifact."""
FLUSH_BUDGET: Final = 10.0
"""Seconds to wait for what was reported before a status is set."""
_log = logging.getLogger("atrains")


class StatusAnswer(TypedDict):
    """What a change of status answers: how many tasks were updated, and the fields that changed."""

    updated: int | None
    fields: dict[str, Any]


class StatusPart(TaskPart):
    """Status and everything that changes it."""

    @property
    def status(self) -> Pending[str]:
        """The task's status, fetched from the home: a string equal to a member of `TaskStatusEnum`."""
        return Pending("task.status", self.get_status)

    async def get_status(self) -> str:
        """The task's status, fetched without the rest of the record.

        Returns:
            A string equal to a member of `TaskStatusEnum`.

        Raises:
            NotFoundError: the task was deleted.
            TransportError: the home cannot be reached.
        """
        return str((await self._fetch_status())["status"])

    async def started(self, ignore_errors: bool = True, *, force: bool = False) -> StatusAnswer:  # documented
        """Signal that the task started.

        Args:
            ignore_errors: Log a refusal instead of raising it.
            force: Whatever the status is now.

        Returns:
            How many tasks were updated, and the fields that changed.

        Raises:
            TaskStatusError: the status does not allow it.
        """
        return await self._signal(endpoints.TASKS_STARTED, "start", ignore_errors=ignore_errors, force=force)

    async def stopped(self, ignore_errors: bool = True, *, force: bool = False) -> StatusAnswer:  # documented
        """Signal that the task was stopped before its end.

        Args:
            ignore_errors: Log a refusal instead of raising it.
            force: Whatever the status is now.

        Returns:
            How many tasks were updated, and the fields that changed.

        Raises:
            TaskStatusError: the status does not allow it.
        """
        return await self._signal(endpoints.TASKS_STOPPED, "stop", ignore_errors=ignore_errors, force=force)

    async def completed(self, ignore_errors: bool = True) -> StatusAnswer:  # documented
        """Signal that the task completed.

        Args:
            ignore_errors: Log a refusal instead of raising it.

        Returns:
            How many tasks were updated, and the fields that changed.

        Raises:
            TaskStatusError: the status does not allow it.
        """
        return await self._signal(endpoints.TASKS_COMPLETED, "complete", ignore_errors=ignore_errors, reason="completed")

    async def mark_started(self, *, force: bool = False) -> None:
        """Mark the task as started; a run that `init` began is.

        Args:
            force: Whatever the status is now.

        Raises:
            TaskStatusError: the status does not allow it.
        """
        await self.started(ignore_errors=False, force=force)
        await self.reload()

    async def mark_stopped(self, *, force: bool = False, status_message: str | None = None) -> None:
        """Deliver what was reported, then mark the task as stopped before its end.

        Args:
            force: Whatever the status is now.
            status_message: What the home shows beside the status.

        Raises:
            TaskStatusError: the status does not allow it.
        """
        await self._channel.flush(self.reported_as, FLUSH_BUDGET)
        await self._signal(endpoints.TASKS_STOPPED, "stop", ignore_errors=False, force=force, message=status_message)

    async def mark_completed(self, ignore_errors: bool = True, status_message: str | None = None) -> StatusAnswer:
        """Deliver what was reported, then mark the task as completed.

        Args:
            ignore_errors: Log a refusal instead of raising it.
            status_message: What the home shows beside the status.

        Returns:
            How many tasks were updated, and the fields that changed.

        Raises:
            TaskStatusError: the status does not allow it.
        """
        await self._channel.flush(self.reported_as, FLUSH_BUDGET)
        return await self._signal(
            endpoints.TASKS_COMPLETED, "complete", ignore_errors=ignore_errors, reason="completed", message=status_message
        )

    async def mark_failed(
        self,
        ignore_errors: bool = True,  # documented
        status_reason: str | None = None,
        status_message: str | None = None,
    ) -> StatusAnswer:
        """Mark the task as failed.

        Args:
            ignore_errors: Log a refusal instead of raising it.
            status_reason: Why, in a few words.
            status_message: What the home shows beside the status.

        Returns:
            How many tasks were updated, and the fields that changed.

        Raises:
            TaskStatusError: the status does not allow it.
        """
        return await self._signal(endpoints.TASKS_FAILED, "fail", ignore_errors=ignore_errors, reason=status_reason, message=status_message)

    async def publish(self, ignore_errors: bool = True) -> StatusAnswer:  # documented
        """Publish the task: what it holds can no longer be changed.

        Args:
            ignore_errors: Log a refusal of the home instead of raising it.

        Returns:
            How many tasks were updated, and the fields that changed.

        Raises:
            TaskStatusError: the task is neither stopped nor completed.
        """
        status = await self.get_status()
        if status not in {TaskStatusEnum.stopped, TaskStatusEnum.completed}:
            raise TaskStatusError(f"cannot publish task {self.id}: its status is {status}; end the run first (stopped or completed)")
        return await self._signal(endpoints.TASKS_PUBLISH, "publish", ignore_errors=ignore_errors)

    async def reset(self, set_started_on_success: bool = False, force: bool = False) -> None:  # documented
        """Clear what the task reported and produced; parameters, tags and names stay.

        Args:
            set_started_on_success: Start it again at once.
            force: Also while an agent executes it, where it otherwise does nothing.

        Raises:
            TaskStatusError: the task was published.
        """
        self._check_open()
        if not self.running_locally() and self.is_main_task() and not force:
            return
        await self._channel.flush(self.reported_as, FLUSH_BUDGET)
        async with self._channel.resetting(self.reported_as):
            await self._call(endpoints.TASKS_RESET, "reset", force=force)
        if isinstance(self._channel, Channel):
            self._channel.stops.expect(self.reported_as, TaskStatusEnum.created)
        self._uploads.clear()  # what they recorded is gone at home
        self._last_iteration = 0
        if set_started_on_success:
            await self.started()
        await self.reload()

    async def wait_for_status(
        self,
        status: Sequence[TaskStatusEnum | str] | TaskStatusEnum | str = (
            TaskStatusEnum.completed,
            TaskStatusEnum.stopped,
            TaskStatusEnum.closed,
        ),
        raise_on_status: Sequence[TaskStatusEnum | str] | TaskStatusEnum | str | None = (TaskStatusEnum.failed,),
        check_interval_sec: float = 60.0,
        *,
        timeout: float | None = None,
    ) -> None:
        """Wait until the task has one of some statuses; looks at once, then again and again.

        Args:
            status: What to wait for: one or several.
            raise_on_status: What to give up at: one, several or None.
            check_interval_sec: Seconds between two looks at most, more than 0; a home that is cheap to ask is asked more often.
            timeout: Seconds to wait at most; None for ever.

        Raises:
            TaskFailedError: the task has a status of `raise_on_status`; names task, status and reason.
            WaitTimeoutError: the time is up.
            ValidationError: an unknown status, or an interval or timeout that is none.
        """
        what = f"cannot wait for task {self.id}"
        wanted, refused = _statuses(status, what), _statuses(raise_on_status or (), what)
        if not wanted and not refused:
            raise ValidationError(f"{what}: no status is named, so this would never end; name one of {', '.join(TaskStatusEnum)}")
        if not (_is_number(check_interval_sec) and check_interval_sec > 0):
            raise ValidationError(f"{what}: check_interval_sec is a number of seconds, more than 0, not {check_interval_sec!r}")
        if not (timeout is None or _is_number(timeout)):
            raise ValidationError(f"{what}: timeout is a number of seconds, or None for ever, not {timeout!r}")
        if isinstance(self._channel, DisabledChannel):
            return  # nobody will ever change the status
        interval = min(check_interval_sec, self._channel.transport.status_poll_interval)
        began = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(None) as limit:

                def looked() -> None:
                    if timeout is not None:  # from the first look on: even who has no time to wait is told how it stands
                        limit.reschedule(began + timeout)

                await self._wait(wanted, refused, interval, looked)
        except TimeoutError as error:
            if isinstance(error, AtrainsError):
                raise
            raise WaitTimeoutError(
                f"task {self.id} is still {self._record.get('status')} after {timeout:g} s, not {' or '.join(sorted(wanted))}; "
                "wait longer, or look at its console"
            ) from error
        await self.reload()

    async def _wait(self, wanted: frozenset[str], refused: frozenset[str], interval: float, looked: Callable[[], None]) -> None:
        """Look, together with all who wait for this task, until its status is one of those."""
        told: set[str] = set()
        watching = Runtime.current().waits.watch((self._channel.transport.target, self.id), self._fetch_status, interval)
        async with aclosing(watching) as looks:
            async for found in looks:
                if isinstance(found, Exception):
                    if not isinstance(found, TransportError) or isinstance(found, AccessError | ServerError):
                        raise found
                    self._say_once(told, f"waiting for task {self.id} although its status cannot be read now ({found})")
                    looked()
                    continue
                self._record.update(found)
                status = str(found["status"])
                if status in refused:
                    detail = " ".join(str(found[key]) for key in ("status_reason", "status_message") if found.get(key)) or "no reason given"
                    raise TaskFailedError(f"task {self.id} {self.name!r} is {status}: {detail}")
                if status in wanted:
                    return
                looked()
                if status == TaskStatusEnum.published:
                    self._say_once(told, f"task {self.id} is published, and stays so unless somebody forces it: this wait may never end")

    @staticmethod
    def _say_once(told: set[str], text: str) -> None:
        if text.partition("(")[0] not in told:
            told.add(text.partition("(")[0])
            _log.warning("atrains: %s", text)

    async def _fetch_status(self) -> dict[str, Any]:
        if self._is_ahead:
            return self._record
        what = f"cannot read the status of task {self.id}"
        fields = ["status", "status_reason", "status_message"]
        found = await self._fetch_fields(what, fields)
        self._record.update(found)
        return found

    async def _signal(
        self,
        endpoint: Endpoint,
        verb: str,
        *,
        ignore_errors: bool,
        force: bool = False,
        reason: str | None = None,
        message: str | None = None,
        can_wait: bool = True,
    ) -> StatusAnswer:
        """Send a change of status, and remember what it became.

        Raises:
            WaitTimeoutError: files of the task are still on their way: no home takes them after such a change.
        """
        if can_wait and endpoint in _AFTER_UPLOADS:
            if (failure := await tables.look(self)) is not None:
                say(self._settings, f"task {self.id}: {tables.NOT_THE_LAST}: {failure}")
            left = await self._channel.finish_uploads(self.reported_as, stall=FLUSH_BUDGET)
            if left:
                raise WaitTimeoutError(
                    f"cannot {verb} task {self.id} while {names_of(left)} cannot be uploaded ({left[0].error or 'it does not get on'}): "
                    "try again later, or give it up with task.uploads[name].cancel()"
                )
        send = self._change if can_wait else self._call
        request = {key: value for key, value in (("status_reason", reason), ("status_message", message)) if value is not None}
        try:
            answer = await send(endpoint, verb, force=force, **request)
        except (TaskStatusError, NotFoundError, ServerError) as error:
            if not ignore_errors:
                raise
            _log.warning("atrains: %s", error)
            return {"updated": 0, "fields": {}}
        self._record.update(answer.get("fields", {}))
        if isinstance(self._channel, Channel):
            self._channel.stops.expect(self.reported_as, self._record.get("status"))
        return {"updated": answer.get("updated"), "fields": answer.get("fields", {})}


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not math.isnan(value)


def _statuses(given: Sequence[TaskStatusEnum | str] | TaskStatusEnum | str, what: str) -> frozenset[str]:
    several = list(given) if isinstance(given, Iterable) and not isinstance(given, str) else [given]
    unknown = [item for item in several if not isinstance(item, str) or item not in TaskStatusEnum.__members__]
    if unknown:
        raise ValidationError(f"{what}: unknown status {unknown[0]!r}; the statuses are {', '.join(TaskStatusEnum)}")
    return frozenset(str(item) for item in several)
