"""How a run ended, in the terms of its status. Pure; who notices the end is in `_portal` and in the context managers."""

from __future__ import annotations

import asyncio
from typing import Final, NamedTuple

from atrains.types import TaskStatusEnum

_LONGEST_REASON: Final = 500


class Ending(NamedTuple):
    """A final status and why."""

    status: TaskStatusEnum
    reason: str


UNCLOSED: Final = "process ended without closing"
"""The reason of a run that failed because nobody ended it."""
COMPLETED: Final = Ending(TaskStatusEnum.completed, "completed")
UNKNOWN_EXIT: Final = Ending(TaskStatusEnum.failed, "exit code unknown: it was raised as SystemExit, not by sys.exit")


def ending_of(error: BaseException | None) -> Ending:
    """The ending of a run that an exception left, or that just ran to its end."""
    if error is None:
        return COMPLETED
    if isinstance(error, SystemExit):
        return _ending_of_code(error.code)
    if isinstance(error, KeyboardInterrupt | asyncio.CancelledError):
        return Ending(TaskStatusEnum.stopped, "interrupted" if isinstance(error, KeyboardInterrupt) else "cancelled")
    return Ending(TaskStatusEnum.failed, f"{type(error).__name__}: {_text(error)}"[:_LONGEST_REASON])


def _ending_of_code(code: object) -> Ending:
    """What the interpreter makes of an exit code: what is no number is printed, and counts as 1."""
    if code is None or (isinstance(code, int) and code == 0):
        return COMPLETED
    reason = f"exit code {int(code)}" if isinstance(code, int) else f"exit code 1: {_text(code)}"
    return Ending(TaskStatusEnum.failed, reason[:_LONGEST_REASON])


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception:  # somebody's own `__str__` must not decide how a run ends  # noqa: BLE001
        return "(without a text)"
