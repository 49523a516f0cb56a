"""Signals that end the process: the runs are closed as stopped first. Set only where nobody else has, and given back on `restore`.

In a script the handler closes the runs itself and then lets the signal do what it does by default. In a program whose main thread runs an
event loop it must not wait there: it raises SystemExit, so that the loop ends in its own way, and the exit hook closes what is open then.
Faults (SIGSEGV, SIGABRT) are left alone: no Python code can run then, and recovery finds the run at the next start.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Final

from atrains._engine.endings import Ending
from atrains.types import TaskStatusEnum

HANDLED: Final = ("SIGTERM", "SIGHUP")
"""SIGINT is not among them: it is a KeyboardInterrupt, which the program may handle."""


class EndingSignals:
    """Watches for the signals that end a process by default.

    Args:
        close_all: Closes every open run with an ending, bounded in time.
    """

    def __init__(self, close_all: Callable[[Ending], None]) -> None:
        self._close_all = close_all
        self._previous: dict[int, signal.Handlers] = {}
        self.ending: Ending | None = None
        if threading.current_thread() is not threading.main_thread():
            return
        for name in HANDLED:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, self._handle)
                self._previous[number] = signal.SIG_DFL

    @property
    def is_set(self) -> bool:
        """Whether any handler is ours; none is when the first run was opened outside the main thread."""
        return bool(self._previous)

    def restore(self) -> None:
        """Give back every handler that is still ours; on the main thread."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number, previous in self._previous.items():
            if signal.getsignal(number) == self._handle:
                signal.signal(number, previous)
        self._previous.clear()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del frame
        again = self.ending is not None
        self.ending = Ending(TaskStatusEnum.stopped, signal.Signals(number).name)
        signal.signal(number, signal.SIG_DFL)
        if asyncio._get_running_loop() is not None and not again:  # noqa: SLF001  # documented as the fast and non-raising form
            raise SystemExit(128 + number)
        if not again:
            self._close_all(self.ending)
        os.kill(os.getpid(), number)
        # Still here: the first process of a container has no default action for signals.
        os._exit(128 + number)
