"""Which runs of a channel are watched for being stopped from outside, and when one is. What follows from it is decided in `_async`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from atrains._wire import endpoints
from atrains._wire.status import STOPPING, is_stop
from atrains.errors import AtrainsError
from atrains.types import TaskStatusEnum

if TYPE_CHECKING:
    from atrains._engine.channel import Channel

Stop: TypeAlias = Callable[[str], Coroutine[Any, Any, None]]
"""Stops a run; told the status that it was given, or `STOPPING` where it was asked to stop itself."""
_PATIENCE: Final = 5.0
"""Seconds that a home has for its answer; one that says nothing stops nobody."""
_MOST: Final = 200
"""Runs that are asked for at once."""
_LOOKS: Final = 2
"""Looks that have to show the same status: one that this program is just setting itself is not from outside."""
_LOOKS_AT_RESET: Final = 4
"""The same for a task that was reset, which may be about to begin again."""


@dataclass(slots=True)
class _Watched:
    stop: Stop
    expected: str = ""
    seen: str = ""
    times: int = 0

    def judge(self, status: str, message: str) -> str | None:
        """What stops the run, once that is certain."""
        if status == TaskStatusEnum.in_progress and STOPPING in message:
            return STOPPING
        if status == self.expected or not is_stop(status, message):
            self.times = 0
            return None
        self.times = self.times + 1 if status == self.seen else 1
        self.seen = status
        return status if self.times >= (_LOOKS_AT_RESET if status == TaskStatusEnum.created else _LOOKS) else None


class Stops:
    """Looks at the status of runs, one question for all of a channel. `watch` and the like may be called from any thread."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._runs: dict[str, _Watched] = {}
        self._stopping: set[asyncio.Task[None]] = set()

    @property
    def period(self) -> float:
        """Seconds between two looks."""
        reporting = self._channel.settings.reporting
        return max(0.5, min(reporting.ping_period, reporting.flush_period))

    def watch(self, run: str, stop: Stop) -> None:
        """Look whether a run is stopped, from now on."""
        if run not in self._runs:
            self._runs[run] = _Watched(stop)
            self._channel.look_out(self, at_once=False)

    def watch_no_more(self, run: str) -> None:
        """Look at a run no more: it ends."""
        if self._runs.pop(run, None) is not None and not self._runs:
            self._channel.look_no_more(self)

    def expect(self, run: str, status: object) -> None:
        """Note a status that this program has set itself."""
        if (watched := self._runs.get(run)) is not None:
            watched.expected = str(status)

    async def look_quietly(self) -> None:
        """Look at all of them, and begin to stop those that are to stop."""
        aliases, outlet = self._channel.aliases, self._channel.outlet
        runs = {aliases.get(run, run): run for run in list(self._runs) if outlet is None or not outlet.outbox.holds(run)}
        asked = list(runs)
        for place in range(0, len(asked), _MOST):
            answer: dict[str, Any] = {}
            request = {"id": asked[place : place + _MOST], "only_fields": ["status", "status_message"]}
            with contextlib.suppress(AtrainsError, TimeoutError):  # it looks again
                async with asyncio.timeout(_PATIENCE):
                    answer = await self._channel.transport.call(endpoints.TASKS_GET_ALL, request)
            for task in answer.get("tasks", ()):
                self._judge(runs[task["id"]], str(task.get("status")), str(task.get("status_message") or ""))

    def _judge(self, run: str, status: str, message: str) -> None:
        watched = self._runs.get(run)
        if watched is not None and (signal := watched.judge(status, message)) is not None:
            self.watch_no_more(run)
            stopping = asyncio.create_task(watched.stop(signal), name="atrains-stop")
            self._stopping.add(stopping)  # a loop holds its tasks weakly
            stopping.add_done_callback(self._stopping.discard)
