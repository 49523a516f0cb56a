"""Waits for a status: one look at a task at a time on a loop, however many wait. What a status means is up to those who wait."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

Fields = dict[str, Any]
Look = Callable[[], Awaitable[Fields]]


class _Shared:
    """The looks at one task that all who wait for it share."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.waiters = 0
        self.seen: Fields | None = None
        self.at = -math.inf
        self.next: asyncio.Future[Fields] = loop.create_future()
        self.timer: asyncio.TimerHandle | None = None
        self.looking: asyncio.Task[None] | None = None

    def arm(self, look: Look, due: float) -> None:
        """See to it that there is a look at `due` at the latest."""
        if self.looking is not None or (self.timer is not None and self.timer.when() <= due):
            return
        if self.timer is not None:
            self.timer.cancel()
        self.timer = self.loop.call_at(due, self._start, look)

    def _start(self, look: Look) -> None:
        self.timer = None
        self.looking = self.loop.create_task(self._look(look), name="atrains-status")

    async def _look(self, look: Look) -> None:
        try:
            self.seen = await look()
        except Exception as error:  # whatever it is belongs to those who wait  # noqa: BLE001
            self.seen = None
            self._answer().set_exception(error)
        else:
            self._answer().set_result(self.seen)

    def _answer(self) -> asyncio.Future[Fields]:
        answer, self.next = self.next, self.loop.create_future()
        self.at, self.looking = self.loop.time(), None
        return answer

    def end(self) -> None:
        """Look no more: nobody waits."""
        if self.timer is not None:
            self.timer.cancel()
        if self.looking is not None:
            self.looking.cancel()
        self.next.cancel()


class StatusWaits:
    """The waits of one event loop."""

    def __init__(self) -> None:
        self._shared: dict[object, _Shared] = {}

    async def watch(self, key: object, look: Look, interval: float) -> AsyncGenerator[Fields | Exception]:
        """Yield what each look at a task finds, or why it found nothing, as long as somebody asks; the first at once.

        Args:
            key: What is looked at. Those with the same key share their looks.
            look: Looks once.
            interval: Seconds between two looks at most; the shortest of those who wait counts.
        """
        loop = asyncio.get_running_loop()
        shared = self._shared.setdefault(key, _Shared(loop))
        shared.waiters += 1
        known = loop.time() - interval  # what somebody saw since then is as good as a look of our own
        try:
            while True:
                if shared.seen is None or shared.at <= known:
                    shared.arm(look, max(loop.time(), shared.at + interval))
                    try:
                        await asyncio.shield(shared.next)
                    except Exception as error:  # as in `_look`: for who waits to judge  # noqa: BLE001
                        known = shared.at
                        yield error
                        continue
                assert shared.seen is not None
                known = shared.at
                yield shared.seen
        finally:
            shared.waiters -= 1
            if not shared.waiters:
                del self._shared[key]
                shared.end()
