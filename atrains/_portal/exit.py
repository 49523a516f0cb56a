"""The end of the process: every run that is still open is closed with the right status.

Installed at the first run; nothing about how a run is closed.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import sys
import threading
from types import TracebackType
from typing import Any, Final

from atrains._config import settings
from atrains._engine.endings import Ending, ending_of
from atrains._engine.notices import say
from atrains._engine.process import OpenRun, process
from atrains._portal.portal import portal, running_portal

EXIT_BUDGET: Final = 10.0
"""Seconds for all open runs together; what is not delivered by then stays in the journal."""
_PATIENCE: Final = 0.5
"""Seconds after which a line says what is awaited."""


class ExitWatch:
    """Notices how the process ends, and closes what is open then."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._error: BaseException | None = None
        self._done = False
        self._hook = sys.excepthook
        self._installed_hook = self._note_error
        sys.excepthook = self._installed_hook
        import concurrent.futures.thread  # registers its own hook first, so that ours runs before it

        self._pool_exit: Any = getattr(concurrent.futures.thread, "_python_exit", None)
        # Runs before the interpreter joins other threads and before `atexit`: the last moment at which everything still works.
        register: Any = getattr(threading, "_register_atexit", atexit.register)
        register(self.close_all)
        if register is not atexit.register:
            atexit.register(self.close_all)

    def _note_error(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        self._error = error
        self._hook(kind, error, trace)

    def close_all(self) -> None:
        """Close every open run; once."""
        if self._done or self._pid != os.getpid():
            return
        self._join_others()
        self._done = True
        runs = list(process().open_runs.values())
        if runs:
            ending = ending_of(self._error)
            told = threading.Timer(_PATIENCE, self._tell, [[run.id for run in runs]])
            told.daemon = True
            with contextlib.suppress(RuntimeError):  # no thread can be started any more: then nobody is told
                told.start()
            # Whatever goes wrong now must not keep the process from ending with its own exit code.
            try:
                portal().run(lambda: _close(runs, ending))
            except Exception as error:  # noqa: BLE001
                say(settings(), f"closing at exit failed ({error}); what was reported is kept in the journal")
            told.cancel()
        self._flush_rest()
        running = running_portal()
        if running is not None:
            running.stop()
        if sys.excepthook is self._installed_hook:
            sys.excepthook = self._hook

    def _join_others(self) -> None:
        """Wait for the threads that the interpreter would wait for next: they may still report."""
        if self._pool_exit is not None:
            self._pool_exit()
        for thread in threading.enumerate():
            if not thread.daemon and thread is not threading.main_thread() and thread is not threading.current_thread():
                thread.join()

    def _flush_rest(self) -> None:
        """Deliver what was reported to tasks that this process did not run, and close their journals."""
        for channel in list(process().channels.values()):
            if channel.outlet is not None:
                with contextlib.suppress(Exception):  # it stays in the journal
                    portal().run(channel.shut)

    def _tell(self, tasks: list[str]) -> None:
        say(settings(), f"waiting up to {EXIT_BUDGET:g} s until {', '.join(tasks)} is stored; Ctrl-C leaves the rest in the journal")


async def _close(runs: list[OpenRun], ending: Ending) -> None:
    async with asyncio.timeout(EXIT_BUDGET):
        for run in reversed(runs):
            await run.end(ending)


_watch: ExitWatch | None = None


def install() -> None:
    """Watch for the end of this process, from the first run on."""
    global _watch  # the one place that sets it  # noqa: PLW0603
    if _watch is None or _watch._pid != os.getpid():  # one module  # noqa: SLF001
        _watch = ExitWatch()
