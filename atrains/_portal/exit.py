"""The end of the process: every run that is still open is closed with the right status, within a budget.

Watched for while a run is open; how a run is closed is not here, how the program ended is in `exitcode` and `signals`.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import sys
import threading
import time
from typing import Any, Final

from atrains._config import settings
from atrains._engine.channel import names_of
from atrains._engine.endings import COMPLETED, Ending, ending_of
from atrains._engine.notices import say
from atrains._engine.process import Budget, process
from atrains._portal import children
from atrains._portal.exitcode import ProgramEnd, remind_of_interrupt
from atrains._portal.portal import Portal, portal, running_portal
from atrains._portal.signals import EndingSignals

EXIT_BUDGET: Final = 10.0
"""Seconds for all open runs together; what is not delivered by then stays in the journal."""
SIGNAL_BUDGET: Final = 6.0
"""The same when a signal ends the process: containers are killed 10 seconds after SIGTERM. Also in notebook kernels."""
LATE_BUDGET: Final = 2.0
"""Seconds for what was reported after that, by exit handlers."""
_PATIENCE: Final = 0.5
"""Seconds after which a line says what is awaited."""
_GRACE: Final = 0.5
"""Seconds beyond a budget for what is cancelled then to end."""


class ExitWatch:
    """Notices how the process ends, and closes what is open then.

    Its hooks stay for the life of the process; what it wraps is wrapped while a run is open.
    """

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._closing = threading.Lock()
        self._wrapping = threading.Lock()
        self._program: ProgramEnd | None = None
        self._signals: EndingSignals | None = None
        self._ending: Ending | None = None
        self._interrupted = False
        self._gave_up = False
        import concurrent.futures.thread  # registers its own hook first, so that ours runs before it

        self._pool_exit: Any = getattr(concurrent.futures.thread, "_python_exit", None)
        # Runs before the interpreter joins other threads and before `atexit`: the last moment at which everything still works.
        register: Any = getattr(threading, "_register_atexit", atexit.register)
        register(self._close_at_exit)
        atexit.register(self._close_late)

    def begin(self) -> None:
        """Wrap what tells how the program ends, for a run that was opened."""
        with self._wrapping:
            self._program = self._program or ProgramEnd()
            if self._signals is None or not self._signals.are_set:
                self._signals = EndingSignals(self._close_on_signal)
            process().signals_handled = self._signals.are_set
            process().when_idle = self.release
            process().leave = self._signals.leave

    def release(self) -> None:
        """Give back what was wrapped, once no run is open any more."""
        # Never waits: whoever holds the lock opens a run, and may have been interrupted by the signal that closes this one.
        if self.pid != os.getpid() or not self._wrapping.acquire(blocking=False):
            return
        try:
            if process().open_runs or self._program is None or self._signals is None:
                return
            on_main = threading.current_thread() is threading.main_thread()
            if self._signals.are_set and not on_main:
                portal().due = self.release
                return
            self._signals.restore()
            self._program.restore()
            self._program = self._signals = process().leave = None
            process().signals_handled = False
        finally:
            self._wrapping.release()

    def close_all(self, ending: Ending, budget: float, *, last: bool) -> None:
        """End every open run and deliver what was reported, within the budget; the last time let go of the journals as well."""
        with self._closing:
            reported = any(channel.outlet is not None for channel in process().channels.values())
            if self._gave_up or not (process().open_runs or process().transfers or reported):
                return
            self._gave_up = True  # unless it ends well: what was in vain once is not tried again, the program wants to end
            try:
                portal().run(lambda: _close_all(ending, budget, last=last), timeout=budget + _GRACE)
            except TimeoutError:
                say(settings(), f"not everything could be stored within {budget:g} s; {_kept()}")
            except KeyboardInterrupt:
                say(settings(), f"interrupted; {_kept()}")
            except Exception as error:  # noqa: BLE001  # whatever goes wrong now must not change how the process ends
                say(settings(), f"closing at exit failed ({str(error) or type(error).__name__}); {_kept()}")
            else:
                self._gave_up = False

    def _close_at_exit(self) -> None:
        if self.pid != os.getpid():
            return
        self._ending = process().ending or (self._program.ending() if self._program is not None else COMPLETED)
        self._interrupted = self._program is not None and self._program.was_interrupted
        try:
            if process().is_left:
                children.end_all()
            self._join_others()
        except KeyboardInterrupt as error:  # the interpreter will not wait either
            self._ending = ending_of(error)
            raise
        finally:
            self.close_all(self._ending, EXIT_BUDGET if "ipykernel" not in sys.modules else SIGNAL_BUDGET, last=False)
            if self._interrupted:
                remind_of_interrupt()

    def _close_late(self) -> None:
        """In the plain `atexit` pass: deliver what arrived after the runs were closed, and let go of everything."""
        _end_capture()
        if self.pid != os.getpid():
            return
        self.close_all(self._ending or COMPLETED, LATE_BUDGET, last=True)
        running = running_portal()
        if running is not None and not self._gave_up:
            running.stop()
        if self._interrupted:
            remind_of_interrupt()

    def _close_on_signal(self, ending: Ending) -> None:
        # Another thread, or this one below the handler, may be closing already: a second attempt would wait for it for ever.
        if not self._closing.locked():
            _end_capture()
            self.close_all(ending, SIGNAL_BUDGET, last=True)

    def _join_others(self) -> None:
        """Wait for the pools and threads that the interpreter would wait for next: they may still report."""
        if self._pool_exit is not None:
            self._pool_exit()
        ours = (threading.main_thread(), threading.current_thread())
        while others := [thread for thread in threading.enumerate() if not thread.daemon and thread not in ours]:
            for thread in others:
                thread.join()


async def _close_all(ending: Ending, budget: float, *, last: bool) -> None:
    process().is_ending, process().ends_at = True, time.monotonic() + budget
    runs = list(process().open_runs.values())
    waiting = asyncio.get_running_loop().call_later(_PATIENCE, _tell, [run.id for run in runs], budget)
    try:
        async with asyncio.timeout(budget):
            ended = await asyncio.gather(*(run.end(ending, at_exit=True) for run in reversed(runs)), return_exceptions=True)
            here = asyncio.get_running_loop()
            await asyncio.gather(*(each for each in process().transfers if each.get_loop() is here), return_exceptions=True)
            for channel in list(process().channels.values()):
                outlet = channel.outlet
                if outlet is not None and last:
                    await channel.shut()
                    outlet.journal.reopen_on_report()
                elif outlet is not None:
                    await channel.flush(None, None)
                    await channel.finish_uploads(None, timeout=Budget(budget).left())
    finally:
        waiting.cancel()
    for outcome in ended:
        if outcome is not None:
            raise outcome


def _end_capture() -> None:
    """Nothing that is printed from now on is captured. A forked child, too, has lines that it did not end."""
    console = process().console
    if console is not None:
        console.end()


def _tell(tasks: list[str], budget: float) -> None:
    files = _names_of_uploads()
    what = f"{', '.join(tasks) or 'everything'} is stored{f' and {files} uploaded' if files else ''}"
    say(settings(), f"waiting up to {budget:g} s until {what}; Ctrl-C leaves the rest in the journal")


def _names_of_uploads() -> str:
    outlets = [channel.outlet for channel in process().channels.values()]
    return names_of([handle for outlet in outlets if outlet and outlet.uploads for handle in outlet.uploads.pending(None)])


def _kept() -> str:
    folders = sorted({str(channel.journals) for channel in process().channels.values()})
    files = _names_of_uploads()
    what = f"what was reported, and {files}, to be uploaded," if files else "what was reported"
    return f"{what} is kept in {', '.join(folders)} and stored at the next start"


_watch: ExitWatch | None = None


def watched_portal() -> Portal:
    """The portal of this process, at whose end what was reported is delivered.

    Started before it is needed there: once the interpreter ends, no thread can be started any more.
    """
    _watch_exit()
    return portal()


def install() -> None:
    """Watch for how this process ends, if a run is open."""
    if process().open_runs:
        watched_portal()
        _watch_exit().begin()


def _watch_exit() -> ExitWatch:
    global _watch  # noqa: PLW0603  # the one place that sets it
    if _watch is None or _watch.pid != os.getpid():
        _watch = ExitWatch()
    return _watch
