"""Background work of a loop, in the midst of which a signal handler may raise."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


async def guarded(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Let what a signal handler raises go out of the loop once, by itself.

    Whoever awaits the task would raise it a second time: a task group does so while the loop that it has ended is cleaned up.
    """
    try:
        await work()
    except (SystemExit, KeyboardInterrupt) as error:
        asyncio.get_running_loop().call_soon(_raise, error)


def _raise(error: BaseException) -> None:
    raise error
