"""Which task is the current one: of this asyncio context, else of the process. Nothing but that question."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import TYPE_CHECKING, NamedTuple

from atrains._config import Mode, settings
from atrains._config.env import leave_task_for_children, take_back_task_from_children

if TYPE_CHECKING:
    from atrains._api.task import TaskBase


class _Opened(NamedTuple):
    """A task and the asyncio task that opened it."""

    task: TaskBase
    owner: object


_context: ContextVar[_Opened | None] = ContextVar("atrains_current_task", default=None)
_main: list[TaskBase | None] = [None]
"""The main task, as the only element. A forked child keeps it: it reports to the task of its parent."""


def current_task() -> TaskBase | None:
    """The open task of this context, else the process's main task, else None."""
    opened = _context.get()
    if opened is not None and not opened.task.is_closed:
        return opened.task
    return main_task()


def main_task() -> TaskBase | None:
    """The process's main task while it is open."""
    task = _main[0]
    return task if task is not None and not task.is_closed else None


def set_main(task: TaskBase) -> None:
    """Make a task the process's main task, to which child processes that are started from now on report as well."""
    _main[0] = task
    if task.begun_here and settings().mode is Mode.ACTIVE:
        leave_task_for_children(task.id)


def unset_main(task: TaskBase) -> None:
    """Start no more child processes that report to a task, if it is the main task: its run ends."""
    if _main[0] is task and task.begun_here:
        take_back_task_from_children()


def opened_here() -> TaskBase | None:
    """The open task that this very asyncio task opened: one that a parent opened and this one only inherited does not count."""
    opened = _context.get()
    if opened is not None and not opened.task.is_closed and opened.owner is _owner():
        return opened.task
    return None


def enter(task: TaskBase) -> None:
    """Make a task the current one of this context. Call it where the user's code runs: what is set on another thread's loop stays there."""
    _context.set(_Opened(task, _owner()))


def forget() -> None:
    """Start again without a current and a main task. For tests: a process that runs one after the other."""
    _context.set(None)
    _main[0] = None
    take_back_task_from_children()


def _owner() -> object:
    try:
        return asyncio.current_task()
    except RuntimeError:  # no loop on this thread: the thread's own context
        return None
