"""A run that is stopped from outside: its callback is called, then the run ends, and with the main run the program. A part of AsyncTask."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import threading
from collections.abc import Callable
from math import isfinite
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from atrains._api import current
from atrains._async.base import TaskPart
from atrains._engine.channel import Channel
from atrains._engine.endings import Ending
from atrains._engine.notices import say
from atrains._engine.process import process
from atrains._wire.status import STOPPING
from atrains.errors import AtrainsError, UsageError, ValidationError
from atrains.types import TaskStatusEnum

if TYPE_CHECKING:
    from atrains._async.lifecycle import Lifecycle

GRACE: Final = 30.0
"""Seconds that a coroutine whose run was stopped has for its clean-up; then the run is closed under it."""
_TIMEOUT: Final = "_abort_callback_timeout"
_PERIOD: Final = "_abort_poll_freq"
_DONE: Final = "_abort_callback_completed"
"""Runtime properties by which an agent knows how long to wait for a callback, and that it is over."""
_EXIT_CODE: Final = 1
_EXIT_CODE_FOR_AGENTS: Final = 137
"""That of a killed process: an agent takes it for the end of an aborted one whose callback is over, and any other for a failure."""
_log = logging.getLogger("atrains")


class _Callback(NamedTuple):
    function: Callable[[], object]
    timeout: float


class Stopping(TaskPart):
    """Being stopped."""

    _abort_callback: _Callback | None = None

    async def register_abort_callback(
        self, callback_function: Callable[[], object] | None, callback_execution_timeout: float = 30.0
    ) -> None:
        """Have a function called when somebody stops the run from outside: from a web page, with another program, through an agent.

        It is called once, in a thread of its own, while the program still runs. Once it returns, or its time is over, the run ends as
        `stopped`, and with the main run the program. Ctrl-C and signals are not meant: a program sees those itself.

        Args:
            callback_function: A function without arguments; it takes the place of an earlier one. None for none.
            callback_execution_timeout: Seconds that it may take.

        Raises:
            ValidationError: what cannot be called, a time that is none.
            UsageError: the run is not one of this process.
            TransportError: an agent runs the task, and the home, which has to tell it, cannot be reached.

        Example:
            >>> task.register_abort_callback(lambda: save_checkpoint(model), callback_execution_timeout=60)
        """
        if callback_function is None:
            self._abort_callback = None
            return
        timeout = callback_execution_timeout
        if not callable(callback_function) or asyncio.iscoroutinefunction(callback_function):
            raise ValidationError(f"the abort callback of task {self.id} is a plain function without arguments, not {callback_function!r}")
        if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not isfinite(timeout) or timeout <= 0:
            raise ValidationError(f"callback_execution_timeout of task {self.id} must be a number of seconds above 0, not {timeout!r}")
        channel = self._channel
        is_ours = (self._owns_run and self.begun_here) or self._takes_values_from_home
        if not is_ours and isinstance(channel, Channel):
            raise UsageError(
                f"task {self.id} is no run of this process, which nobody stops with it: register the abort callback where the run was begun"
            )
        self._abort_callback = _Callback(callback_function, float(timeout))
        if self._takes_values_from_home and isinstance(channel, Channel):
            await self._tell_agent(**{_TIMEOUT: f"{timeout:g}", _PERIOD: f"{channel.stops.period:g}"})
            channel.stops.watch(self.reported_as, self._stop)

    async def _tell_agent(self, **properties: str) -> None:
        await self.reload()
        await self._edit("register the abort callback of", runtime={**(self._record.get("runtime") or {}), **properties})

    async def _stop(self, signal: str) -> None:
        """End the run, which was given another status, or was asked to stop itself."""
        asked = signal == STOPPING
        how = "asked to stop" if asked else f"set to {signal}" if signal != TaskStatusEnum.created else "reset"
        say(self._settings, f"task {self.id} was {how} from outside: its run ends")
        run = cast("Lifecycle", self)
        run._stopped_as = ending = Ending(TaskStatusEnum.stopped, f"{how} from outside")  # noqa: SLF001  # one class
        try:
            await self._run_callback()
            await self._channel.flush(self.reported_as, GRACE)
            if not asked:
                self._record["status"] = signal  # which is final: it is not set again
            await self._leave(run, ending)
        except AtrainsError as error:
            say(self._settings, f"task {self.id} was {how}, and its run could not be ended well: {error}")

    async def _run_callback(self) -> None:
        callback, self._abort_callback = self._abort_callback, None
        if callback is None:
            return
        loop = asyncio.get_running_loop()
        over = asyncio.Event()

        def call() -> None:
            try:
                callback.function()
            except Exception:  # the user's; the run ends all the same  # noqa: BLE001
                _log.exception("atrains: the abort callback of task %s failed", self.id)
            finally:
                with contextlib.suppress(RuntimeError):  # it took longer than it may, and the loop is closed
                    loop.call_soon_threadsafe(over.set)

        threading.Thread(target=call, name="atrains-abort-callback", daemon=True).start()
        try:
            await asyncio.wait_for(over.wait(), callback.timeout)
        except TimeoutError:
            say(self._settings, f"task {self.id}: its abort callback took longer than {callback.timeout:g} s; the run ends without it")
        if self._takes_values_from_home:
            await self._tell_agent(**{_DONE: "1"})

    async def _leave(self, run: Lifecycle, ending: Ending) -> None:
        """Have the program go: the coroutine that opened the run is cancelled; else, for the main run, the main thread exits."""
        owner: Any = None if self._opened is None else self._opened.owner
        leave = process().leave
        if "ipykernel" in sys.modules:  # the kernel goes on
            if leave is not None:
                leave(_EXIT_CODE)
        elif self._takes_values_from_home and leave is not None:
            process().ending = ending
            leave(_EXIT_CODE_FOR_AGENTS)
            return
        elif isinstance(owner, asyncio.Task) and not owner.done():
            owner.get_loop().call_soon_threadsafe(owner.cancel, ending.reason)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GRACE):
                    while not run.is_closed:  # on whichever loop, or at the end of the process  # noqa: ASYNC110
                        await asyncio.sleep(0.1)
        elif current.main_task() is self and leave is not None:
            process().ending = ending
            leave(_EXIT_CODE)
            return
        await run.end(ending)


def begin(task: TaskPart) -> None:
    """Stop the run when it is stopped from outside; not one that an agent runs, which sees to that itself, unless it has a callback."""
    channel = task._channel  # noqa: SLF001  # one package
    if not isinstance(channel, Channel) or not isinstance(task, Stopping) or not channel.settings.task.support_stopping:
        return
    if task._owns_run and task.begun_here:  # noqa: SLF001
        channel.stops.watch(task.reported_as, task._stop)  # noqa: SLF001


def end(task: TaskPart) -> None:
    """Look at it no more: its run ends."""
    channel = task._channel  # noqa: SLF001
    if isinstance(channel, Channel):
        channel.stops.watch_no_more(task.reported_as)
