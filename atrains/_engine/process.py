"""What this process holds once: worker threads, channels and runtimes.

All of it sits in one object, which a forked child replaces whole.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING, Final, ParamSpec, Protocol, TypeVar

from atrains._config import Settings, reset_in_child
from atrains._engine import forks  # its hook is there before any other of ours, and so the last one before a fork  # noqa: F401
from atrains._engine.disabled import DisabledChannel
from atrains._engine.endings import Ending
from atrains._engine.held import reentrant_lock
from atrains._engine.notices import hide_warnings
from atrains._engine.workers import DaemonExecutor

if TYPE_CHECKING:
    from atrains._engine.channel import Channel
    from atrains._engine.console import Console
    from atrains._engine.runtime import Runtime

_LAST_WORDS: Final = 0.5
"""Seconds of the last budget that are kept for what is to be done and said after the wait."""
P = ParamSpec("P")
T = TypeVar("T")


class Budget:
    """Seconds that something may take; as the process ends never more than it has left for everything, but for a moment to say so."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """What is left of it."""
        end, last = self._end, process().ends_at
        return max(0.0, (end if last is None else min(end, last - _LAST_WORDS)) - time.monotonic())


class OpenRun(Protocol):
    """A task whose run was begun and not ended."""

    @property
    def id(self) -> str:
        """The task's id."""

    @property
    def reported_as(self) -> str:
        """The id under which this process reports to it."""

    async def end(self, ending: Ending, *, at_exit: bool = False) -> None:
        """End the run as the process ends."""


class CurrentWorkers(Executor):
    """The worker threads of whatever process this is now: what holds on to these finds living threads in a forked child, too."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Queue a call."""
        return process().workers.submit(fn, *args, **kwargs)


WORKERS: Final = CurrentWorkers()


class ProcessState:
    """Everything that a fork must not inherit.

    Attributes:
        opening: Held while the main task is opened, so that threads that begin together get the same one.
        stamping: Held for the moment in which a console line gets its time.
        channels: The open channels by target and credentials; a forked child goes on with those of its parent, made fit for it.
        runtimes: The runtime of each event loop that is not closed.
        open_runs: The open runs by the id that they report under, in the order they were opened; closed at exit.
        transfers: Uploads of no run that nobody waits for; the end of the process does.
        ending: How every run that ends from now on ends, once a signal ends the process; None before.
        is_ending: Whether the process closes what is open, as the last thing that it does.
        ends_at: When that must be over, by the monotonic clock; None before.
        signals_handled: Whether such a signal is noticed.
        leave: Ends the program as an exit of its main thread with that code would, from any thread; None where nobody watches for its end.
        is_left: Whether it was called: the program ends, and its child processes with it.
        when_idle: Called after the last open run has ended, on any thread.
        inherited_runs: The tasks of those that were open in the process that this one was forked from: it may report to them.
        console: The capture of the standard streams, once a run wanted it; a forked child goes on with it.
    """

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.lock = reentrant_lock()
        self.opening = threading.RLock()
        self.stamping = reentrant_lock()
        self.channels: dict[Hashable, Channel] = {}
        self.runtimes: dict[asyncio.AbstractEventLoop, Runtime] = {}
        self.open_runs: dict[str, OpenRun] = {}
        self.transfers: set[asyncio.Task[None]] = set()
        self.ending: Ending | None = None
        self.is_ending = False
        self.ends_at: float | None = None
        self.signals_handled = False
        self.leave: Callable[[int], None] | None = None
        self.is_left = False
        self.when_idle: Callable[[], None] = lambda: None
        self.inherited_runs: tuple[str, ...] = ()
        self.console: Console | None = None
        self._disabled: DisabledChannel | None = None
        self._workers: DaemonExecutor | None = None

    def run_ended(self, run: OpenRun) -> None:
        """Forget a run that has ended."""
        if self.open_runs.get(run.reported_as) is run:
            del self.open_runs[run.reported_as]
            if not self.open_runs:
                self.when_idle()

    @property
    def workers(self) -> DaemonExecutor:
        """The worker threads, started at first use."""
        with self.lock:
            if self._workers is None:
                self._workers = DaemonExecutor()
            return self._workers

    def disabled(self, settings: Settings) -> DisabledChannel:
        """The channel of a process in which atrains is switched off."""
        if self._disabled is None or self._disabled.settings is not settings:
            hide_warnings()
            self._disabled = DisabledChannel(settings)
        return self._disabled


_state = ProcessState()


def process() -> ProcessState:
    """The state of this process."""
    return _state


def _replace_in_child() -> None:
    global _state  # the one place that replaces it
    parent, _state = _state, ProcessState()
    reset_in_child()
    _state.inherited_runs = (*parent.inherited_runs, *parent.open_runs)
    _state.console = parent.console
    if _state.console is not None:
        _state.console.reset_in_child()
    _state.channels.update(parent.channels)
    for channel in _state.channels.values():
        channel.reset_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_replace_in_child)
