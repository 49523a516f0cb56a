"""How a run ended, in the terms of its status. Pure; who notices the end is in `_portal` and in the context managers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from atrains.types import TaskStatusEnum

_LONGEST_REASON: Final = 500


@dataclass(frozen=True, slots=True)
class Ending:
    """A final status and why."""

    status: TaskStatusEnum
    reason: str


UNCLOSED: Final = "process ended without closing"
"""The reason of a run that failed because nobody ended it."""
COMPLETED: Final = Ending(TaskStatusEnum.completed, "completed")


def ending_of(error: BaseException | None) -> Ending:
    """The ending of a run that an exception left, or that just ran to its end."""
    if error is None or (isinstance(error, SystemExit) and error.code in {None, 0}):
        return COMPLETED
    if isinstance(error, KeyboardInterrupt | asyncio.CancelledError):
        return Ending(TaskStatusEnum.stopped, "interrupted" if isinstance(error, KeyboardInterrupt) else "cancelled")
    if isinstance(error, SystemExit):
        return Ending(TaskStatusEnum.failed, f"exit code {error.code}")
    return Ending(TaskStatusEnum.failed, f"{type(error).__name__}: {error}"[:_LONGEST_REASON])
