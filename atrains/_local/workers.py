"""The workers that serve queues of a home: each says what it does, and is forgotten when it has said nothing for its time.

Kept in memory, as a server keeps them: after a restart they come back with their next report. What the endpoints answer is in
`services.workers`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from atrains._local.records import now

USUAL_TIMEOUT: Final = 600
"""Seconds without a word after which a worker that named no other time is forgotten."""


@dataclass(frozen=True, slots=True)
class Worker:
    """What is known of a worker.

    Attributes:
        id: The name that it gave itself.
        timeout: Seconds without a word after which it is forgotten.
        queues: The ids of those that it takes tasks from.
        queue: The one that it took its task from.
        task: What it executes; None while it waits.
        tags: What it says of itself.
        system_tags: What its software does.
        registered: When it was first heard of, as a home stores times.
        active: When it was last heard of.
        reported: When it last reported.
        until: When it is forgotten, by the monotonic clock.
    """

    id: str
    timeout: int = USUAL_TIMEOUT
    queues: tuple[str, ...] = ()
    queue: str | None = None
    task: str | None = None
    tags: tuple[str, ...] = ()
    system_tags: tuple[str, ...] = ()
    registered: str = field(default_factory=now)
    active: str = field(default_factory=now)
    reported: str = ""
    until: float = 0.0


class Workers:
    """Those of one open home; from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, Worker] = {}

    def hear(self, worker: str, change: Callable[[Worker], Worker] = lambda known: known) -> Worker:
        """Note that a worker is there, and what it says; one that was not known is from now on."""
        with self._lock:
            self._forget_silent()
            changed = change(self._known.get(worker) or Worker(worker))
            changed = replace(changed, active=now(), until=time.monotonic() + changed.timeout)
            self._known[worker] = changed
            return changed

    def forget(self, worker: str) -> bool:
        """Forget a worker; False when it was not known."""
        with self._lock:
            return self._known.pop(worker, None) is not None

    def all(self) -> list[Worker]:
        """Those that are there, by name."""
        with self._lock:
            self._forget_silent()
            return [self._known[name] for name in sorted(self._known)]

    def _forget_silent(self) -> None:
        moment = time.monotonic()
        for name in [name for name, worker in self._known.items() if worker.until < moment]:
            del self._known[name]
