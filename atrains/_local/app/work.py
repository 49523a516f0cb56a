"""The threads in which a server works: whatever touches the disk or takes long, so that its loop only moves bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

T = TypeVar("T")

_THREADS: Final = 8


class Work:
    """Runs functions in threads of its own; the loop's default ones may be taken by whoever shares the process."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="atrains-serve")

    async def run(self, work: Callable[[], T]) -> T:
        """Run a function in a thread and return what it returns."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def close(self) -> None:
        """Take no more work; what is under way is waited for."""
        self._threads.shutdown()
