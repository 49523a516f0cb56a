"""Handing a run over to an agent: its task, or a copy, goes into a queue, and the program ends. A part of AsyncTask."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Final, Self, cast

from atrains._async import capturing
from atrains._async.base import call
from atrains._async.lifecycle import Lifecycle
from atrains._async.queueing import Queueing, queue_named
from atrains._config.env import tasks_of_masters
from atrains._engine.disabled import DisabledChannel
from atrains._engine.endings import Ending
from atrains._engine.notices import say
from atrains._engine.process import process
from atrains._wire import endpoints
from atrains.errors import AtrainsError, TransportError, UsageError, ValidationError, WaitTimeoutError
from atrains.types import TaskStatusEnum

if TYPE_CHECKING:
    from atrains._async.task import AsyncTask

_HANDED_OVER: Final = Ending(TaskStatusEnum.created, "handed over by execute_remotely")
_DEVELOPMENT: Final = "development"


class Remote(Lifecycle, Queueing):
    """Running elsewhere what was begun here."""

    async def execute_remotely(
        self,
        queue_name: str | None = None,
        clone: bool = False,  # documented
        exit_process: bool = True,
    ) -> Self | None:
        """Have an agent execute the task, or a copy of it, instead of this process. Under an agent it does nothing: the program goes on.

        The queue is looked up first: where there is none of that name, the run goes on. What was reported is delivered and the program is
        recorded before anything is handed over.

        Args:
            queue_name: The exact name of the queue. None leaves the task, or the copy, as a draft.
            clone: Hand over a copy, and leave this task as it is. False ends this run and resets the task, which becomes a draft without
                what it reported, and hands that over.
            exit_process: Leave the process with exit code 0, by a SystemExit that is raised here. A notebook's kernel goes on.

        Returns:
            None under an agent, and with atrains disabled. Otherwise, where the process goes on, the task that was handed over.

        Raises:
            SystemExit: all is done, and the process is to end.
            ValidationError: neither a copy nor the end of the process is wanted: two would work on one task.
            NotFoundError: there is no such queue; the message lists those that there are.
            UsageError: this process only reports to the run, which belongs to the one that started it: only a copy can be handed over.
            TaskStatusError: the task cannot be reset: it was published. The run has ended.
            TransportError: the home cannot be reached.

        Example:
            >>> task = Task.init("project", "name")
            >>> task.execute_remotely("default")  # here the program ends, and under an agent it goes on
        """
        task, leaves = await self._hand_over(queue_name, clone=clone, exit_process=exit_process)
        if leaves:
            sys.exit(0)
        return task

    async def _hand_over(self, queue_name: str | None, *, clone: bool, exit_process: bool) -> tuple[Self | None, bool]:
        """All but the end of the process: the task that was handed over, and whether the process is to end."""
        if self._takes_values_from_home:
            return None, False
        if not (clone or exit_process):
            raise ValidationError(
                f"execute_remotely(clone=False, exit_process=False) would leave task {self.id} to an agent and to this process at once; "
                "hand over a copy (clone=True), or let the process end"
            )
        if isinstance(self._channel, DisabledChannel):
            return None, False
        queue = await self._find_queue(queue_name)
        if not clone:
            self._check_is_ours()
        await self._deliver_whole()
        handed = await type(self).clone(cast("AsyncTask", self)) if clone else self
        if not clone:
            await self._become_draft()
        await handed._wait_for_agent(queue)  # noqa: SLF001  # one class
        where = "is a draft" if queue is None else f"waits in queue {queue_name!r}"
        say(self._settings, f"task {handed.id} {where}: {handed.get_output_log_web_page()}")
        return handed, exit_process and not self._stays_in_kernel()

    async def _find_queue(self, name: str | None) -> str | None:
        """The id of the queue; without one, whether the home is there at all."""
        if name is None:
            await self._channel.transport.probe()
            return None
        if not isinstance(name, str) or not name:
            raise ValidationError(f"execute_remotely of task {self.id} needs the name of a queue, or None for none, not {name!r}")
        return await queue_named(self._channel, name, f"cannot execute task {self.id} remotely")

    def _check_is_ours(self) -> None:
        joined = self.reported_as in process().inherited_runs or self.id in tasks_of_masters()
        if joined or (self._owns_run and not self.begun_here):
            raise UsageError(
                f"the run of task {self.id} belongs to the process that started this one: call execute_remotely there, "
                "or hand over a copy with clone=True"
            )

    async def _deliver_whole(self) -> None:
        """Have the home know what an agent needs, and what was reported."""
        await capturing.settle(self)
        receipt = await self.flush()
        if self._is_ahead:
            raise WaitTimeoutError(
                f"task {self.id} is not handed over: its home does not have it all yet ({receipt.error or 'edits wait'}); try again later"
            )

    async def _become_draft(self) -> None:
        """End the run, and have nothing left of it but what it takes to run again."""
        await self._channel.cancel_uploads(self.reported_as)  # what would be recorded of them is reset
        await self.end(_HANDED_OVER)
        if self._status_job:  # it waits in the journal, and may not come once an agent runs the task
            raise TransportError(
                f"task {self.id} is not handed over: it could not be reset now, and becomes a draft once its home can be reached; "
                "enqueue it then with Task.enqueue"
            )
        try:
            if await self.get_status() != TaskStatusEnum.created:  # it is no run of this process, or was refused
                await self._call(endpoints.TASKS_RESET, "reset")
        except AtrainsError:
            if self._owns_run:
                with contextlib.suppress(AtrainsError):  # it ended before; what counts is why it could not be reset
                    await self._call(endpoints.TASKS_STOPPED, "stop", status_reason="could not be handed over")
            raise

    async def _wait_for_agent(self, queue: str | None) -> None:
        """Be put into a queue; without one be a draft that is no longer being developed, so that no run reuses it."""
        if queue is not None:
            await self._call(endpoints.TASKS_ENQUEUE, "enqueue", queue=queue)
        await self._fetch()
        if _DEVELOPMENT in self.get_system_tags():
            tags = [tag for tag in self.get_system_tags() if tag != _DEVELOPMENT]
            await call(self._channel, endpoints.TASKS_EDIT, f"cannot tag task {self.id}", task=self.id, system_tags=tags, force=True)
            self._record["system_tags"] = tags

    def _stays_in_kernel(self) -> bool:
        from atrains._capture.defaults import ipython_shell, is_kernel

        if stays := is_kernel(ipython_shell()):
            say(self._settings, "the kernel of this notebook goes on: what was handed over runs elsewhere")
        return stays
