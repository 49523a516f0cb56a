"""The end of the process: every run that is still open is closed with the right status, within a budget.

Installed at the first run; how a run is closed is not here, how the program ended is in `exitcode` and `signals`.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import sys
import threading
import time
from typing import Any, Final

from atrains._config import settings
from atrains._engine.endings import Ending, ending_of
from atrains._engine.notices import say
from atrains._engine.process import OpenRun, process
from atrains._portal.exitcode import ProgramEnd
from atrains._portal.portal import portal, running_portal
from atrains._portal.signals import EndingSignals

EXIT_BUDGET: Final = 10.0
"""Seconds for all open runs together; what is not delivered by then stays in the journal."""
SIGNAL_BUDGET: Final = 6.0
"""The same when a signal ends the process: containers are killed 10 seconds after SIGTERM. Also in notebook kernels."""
_PATIENCE: Final = 0.5
"""Seconds after which a line says what is awaited."""


class ExitWatch:
    """Notices how the process ends, and closes what is open then."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._closing = threading.Lock()
        self._end = ProgramEnd()
        self.signals = EndingSignals(self._close_on_signal)
        import concurrent.futures.thread  # registers its own hook first, so that ours runs before it

        self._pool_exit: Any = getattr(concurrent.futures.thread, "_python_exit", None)
        # Runs before the interpreter joins other threads and before `atexit`: the last moment at which everything still works.
        register: Any = getattr(threading, "_register_atexit", atexit.register)
        register(self._close_at_exit)
        atexit.register(self._close_late)

    def close_all(self, ending: Ending, budget: float, *, last: bool) -> None:
        """End every open run and deliver what was reported, within the budget; the last time let go of the journals as well."""
        with self._closing:
            if self.pid != os.getpid():
                return
            runs = list(process().open_runs.values())
            deadline = time.monotonic() + budget
            told = threading.Timer(_PATIENCE, self._tell, [[run.id for run in runs], budget])
            told.daemon = True
            # No thread can be started any more in the last moments of the interpreter: then nobody is told.
            with contextlib.suppress(RuntimeError):
                told.start()
            try:
                if runs or any(channel.outlet is not None for channel in process().channels.values()):
                    portal().run(lambda: _close(runs, ending, deadline, last=last))
            except KeyboardInterrupt:
                say(settings(), "interrupted: what was not stored is kept in the journal")
            except Exception as error:  # noqa: BLE001  # whatever goes wrong now must not change how the process ends
                say(settings(), f"closing at exit failed ({str(error) or type(error).__name__}); what was reported is kept in the journal")
            finally:
                told.cancel()

    def _close_at_exit(self) -> None:
        if self.pid != os.getpid():
            return
        self._join_others()
        self.close_all(self._ending(), EXIT_BUDGET if "ipykernel" not in sys.modules else SIGNAL_BUDGET, last=False)

    def _close_late(self) -> None:
        """In the plain `atexit` pass: deliver what arrived after the runs were closed, and let go of everything."""
        if self.pid != os.getpid():
            return
        self.close_all(self._ending(), SIGNAL_BUDGET, last=True)
        running = running_portal()
        if running is not None:
            running.stop()
        self._end.restore()
        self.signals.restore()

    def _close_on_signal(self, ending: Ending) -> None:
        # Another thread, or this one below the handler, may be closing already: a second attempt would wait for it for ever.
        if not self._closing.locked():
            self.close_all(ending, SIGNAL_BUDGET, last=True)

    def _ending(self) -> Ending:
        return self.signals.ending or ending_of(self._end.settle())

    def _join_others(self) -> None:
        """Wait for the pools and threads that the interpreter would wait for next: they may still report."""
        if self._pool_exit is not None:
            self._pool_exit()
        for thread in threading.enumerate():
            if not thread.daemon and thread is not threading.main_thread() and thread is not threading.current_thread():
                thread.join()

    def _tell(self, tasks: list[str], budget: float) -> None:
        say(
            settings(),
            f"waiting up to {budget:g} s until {', '.join(tasks) or 'everything'} is stored; Ctrl-C leaves the rest in the journal",
        )


async def _close(runs: list[OpenRun], ending: Ending, deadline: float, *, last: bool) -> None:
    async with asyncio.timeout(max(deadline - time.monotonic(), 0.1)):
        for run in reversed(runs):
            await run.end(ending, at_exit=True)
        for channel in list(process().channels.values()):
            if channel.outlet is not None:
                await (channel.shut() if last else channel.flush(None, None))


_watch: ExitWatch | None = None


def install() -> None:
    """Watch for the end of this process, from the first run on."""
    global _watch  # noqa: PLW0603  # the one place that sets it
    if _watch is None or _watch.pid != os.getpid():
        _watch = ExitWatch()


def signals_are_set() -> bool:
    """Whether a signal that ends the process is noticed."""
    return _watch is not None and _watch.signals.is_set
