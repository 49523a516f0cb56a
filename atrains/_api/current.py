"""Which task is the current one: of this asyncio context, else of the process. Nothing but that question."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import TYPE_CHECKING

from atrains._config import Mode, Settings
from atrains._config.env import leave_task_for_children, take_back_task_from_children, tasks_of_masters
from atrains._engine.places import is_elsewhere, place_of

if TYPE_CHECKING:
    from atrains._api.task import TaskBase


class _Opened:
    """A task and the asyncio task that opened it; neither once the task is closed, since copies of the context live on in timers."""

    __slots__ = ("owner", "task")

    def __init__(self, task: TaskBase | None, owner: object) -> None:
        self.task = task
        self.owner = owner


_context: ContextVar[tuple[_Opened, ...]] = ContextVar("atrains_current_task", default=())
"""The tasks that this context opened or inherited, the latest last; closed ones go as the next is opened."""
_main: list[TaskBase | None] = [None]
"""The main task, as the only element. A forked child keeps it: it reports to the task of its parent."""


def current_task() -> TaskBase | None:
    """The open task of this context, else the process's main task, else None."""
    # Asked twice for each line that is printed, so without a call for each question.
    opened = _context.get()
    if opened:
        task = opened[-1].task
        if task is not None and not task._closed:  # noqa: SLF001  # what `is_closed` says
            return task
        for one in reversed(opened):
            task = one.task
            if task is not None and not task._closed:  # noqa: SLF001
                return task
    task = _main[0]
    return task if task is not None and not task._closed else None  # noqa: SLF001


def context_task() -> TaskBase | None:
    """The open task that this context opened or inherited; None in a context that has none of its own, as in a plain thread."""
    tasks = (opened.task for opened in reversed(_context.get()))
    return next((task for task in tasks if task is not None and not task.is_closed), None)


def open_task_at(settings: Settings) -> TaskBase | None:
    """The current task among those in the home that the settings choose: `credentials` may have chosen another one for some."""
    candidates = (*reversed([opened.task for opened in _context.get()]), main_task())
    return next((task for task in candidates if task is not None and _is_open_at(task, settings)), None)


def main_task() -> TaskBase | None:
    """The process's main task while it is open."""
    task = _main[0]
    return task if task is not None and not task.is_closed else None


def offer_main(task: TaskBase) -> None:
    """Make a task the process's main task if there is none, or only one that a block of `credentials` opened in another home.

    Child processes that are started from now on report to it as well, unless it is in such a home, which they do not know.
    """
    main, chosen = main_task(), task._settings  # noqa: SLF001
    elsewhere = is_elsewhere(chosen)
    if main is not None and (elsewhere or not is_elsewhere(main._settings)):  # noqa: SLF001
        return
    _main[0] = task
    if _is_ours(task) and chosen.mode is Mode.ACTIVE and not elsewhere:
        leave_task_for_children(task.id)


def unset_main(task: TaskBase) -> None:
    """Start no more child processes that report to a task, if it is the main task: its run ends."""
    if _main[0] is task and _is_ours(task):
        take_back_task_from_children()


def _is_ours(task: TaskBase) -> bool:
    """Whether this process began the run of a task, or an agent did so by starting this process."""
    is_agents = task.id == task._settings.remote_task_id  # noqa: SLF001
    return task.begun_here or (is_agents and task.id not in tasks_of_masters())


def opened_here(settings: Settings) -> TaskBase | None:
    """The open task that this very asyncio task opened in the home that the settings choose.

    One that a parent opened and this one only inherited does not count.
    """
    owner = _owner()
    mine = (opened.task for opened in reversed(_context.get()) if opened.owner is owner)
    return next((task for task in mine if task is not None and _is_open_at(task, settings)), None)


def enter(task: TaskBase) -> None:
    """Make a task the current one of this context. Call it where the user's code runs: what is set on another thread's loop stays there."""
    opened = task._opened = _Opened(task, _owner())  # noqa: SLF001
    others = (other for other in _context.get() if (its := other.task) is not None and not its.is_closed)
    _context.set((*others, opened))


def leave(task: TaskBase) -> None:
    """Have no context hold a task that is closed."""
    opened, task._opened = task._opened, None  # noqa: SLF001
    if opened is not None:
        opened.task = opened.owner = None


def forget() -> None:
    """Start again without a current and a main task. For tests: a process that runs one after the other."""
    _context.set(())
    _main[0] = None
    take_back_task_from_children()


def _owner() -> object:
    try:
        return asyncio.current_task()
    except RuntimeError:  # no loop on this thread: the thread's own context
        return None


def _is_open_at(task: TaskBase, settings: Settings) -> bool:
    return not task.is_closed and place_of(task._settings) == place_of(settings)  # noqa: SLF001  # its channel's, which nothing else is asked for
