"""A lock that coroutines of several event loops may wait for; nothing about tasks."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from typing import Final


class Turn:
    """Who has it is alone, on whichever loop and thread: a lock of asyncio belongs to one loop, and its waiters on others never wake.

    A forked child needs a new one, since it may inherit one that is held by a thread which it does not have.
    """

    def __init__(self) -> None:
        self._held: Future[None] | None = None
        self._guard: Final = threading.Lock()

    async def __aenter__(self) -> None:
        mine: Future[None] = Future()
        mine.set_running_or_notify_cancel()  # who waits for it and is cancelled does not cancel it
        while (held := self._take(mine)) is not None:
            await asyncio.wrap_future(held)

    async def __aexit__(self, *_: object) -> None:
        with self._guard:
            mine, self._held = self._held, None
        if mine is not None:
            mine.set_result(None)

    def _take(self, mine: Future[None]) -> Future[None] | None:
        """Take it if it is free; else what is over when it may be."""
        with self._guard:
            held = self._held
            if held is None:
                self._held = mine
            return held
