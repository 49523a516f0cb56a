"""What a channel looks at every so often: things of the user's that change without a word. Run by a `Runtime`, one after the other."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import Protocol

_log = logging.getLogger("atrains")


class Looker(Protocol):
    """Something to look at."""

    @property
    def period(self) -> float:
        """Seconds between two looks."""
        ...

    async def look_quietly(self) -> None:
        """Look at it, and store what changed; on the loop that delivers. Nobody waits for it: what fails is logged."""
        ...


class Lookout:
    """When what is looked at. `run` belongs to one loop; `add` and `remove` may be called from any thread."""

    def __init__(self) -> None:
        self._due: dict[Looker, float] = {}
        self._wake = asyncio.Event()

    def __len__(self) -> int:
        return len(self._due)

    def add(self, looker: Looker, *, at_once: bool = True) -> None:
        """Look at it from now on, the first time at once, or after its period."""
        if at_once:
            self._due[looker] = 0.0
        else:
            self._due.setdefault(looker, time.monotonic() + looker.period)

    def remove(self, looker: Looker) -> None:
        """Look at it no more."""
        self._due.pop(looker, None)

    def wake(self) -> None:
        """Look at what is new; on the loop of `run`."""
        self._wake.set()

    async def run(self) -> None:
        """Look, as long as there is something to look at."""
        self._wake = asyncio.Event()
        while self._due:
            for looker, due in list(self._due.items()):
                now = time.monotonic()
                if due <= now and looker in self._due:
                    self._due[looker] = now + looker.period  # before the look: who adds it meanwhile wants another one
                    await self._look(looker)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, min(self._due.values(), default=0.0) - time.monotonic())):
                    await self._wake.wait()
            self._wake.clear()

    async def _look(self, looker: Looker) -> None:
        try:
            await looker.look_quietly()
        except Exception:  # a bug here must not end the delivery of this process, which shares the task group  # noqa: BLE001
            _log.exception("atrains: looking at %r failed", looker)
