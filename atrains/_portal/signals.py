"""Signals that end the process: the runs are closed as stopped first. Set only where nobody else has, and given back on `restore`.

In a script the handler closes the runs itself and then lets the signal do what it does by default. In a program whose main thread runs an
event loop it must not wait there: it lets the loop raise SystemExit, and the exit hook closes what is open once the loop has ended.
Nor must it wait where the main thread was interrupted in the midst of a report, a fork, or an import of what those who deliver may import
as well, and holds what they need: it puts itself off until that has returned.
Faults (SIGSEGV, SIGABRT) are left alone: no Python code can run then, and recovery finds the run at the next start.
"""

from __future__ import annotations

import _thread
import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Final, NoReturn

from atrains._engine.endings import Ending
from atrains._engine.held import holds_lock
from atrains._engine.process import process
from atrains._portal import children
from atrains._portal.portal import portal
from atrains.types import TaskStatusEnum

HANDLED: Final = ("SIGTERM", "SIGHUP")
"""SIGINT is not among them: it is a KeyboardInterrupt, which the program may handle."""
_GRACE: Final = 30.0
"""Seconds that the program has for its end, where it is asked to leave."""
_PATIENCE: Final = 1.0
"""Seconds that a running loop has until it comes to the signal; then the main thread is interrupted wherever it is."""
_LONGEST_REPORT: Final = 1.0
"""Seconds after which a signal is put off no more: what takes longer may never end."""
_PACKAGES: Final = {"aiofiles", "aiohttp", "anyio", "atrains", "jwt", "orjson", "psutil", "pyhocon", "rich", "tenacity"}
_IMPORTED: Final = sys.stdlib_module_names | _PACKAGES
"""The packages that those who deliver may import: what else the main thread imports may take its time."""
_MACHINERY: Final = "importlib._bootstrap"


class EndingSignals:
    """Watches for the signals that end a process by default, from its making to `restore`.

    Args:
        close_all: Closes every open run with an ending, bounded in time.
    """

    def __init__(self, close_all: Callable[[Ending], None]) -> None:
        self._close_all = close_all
        self._handler = self._handle  # one object, so that it can be told from somebody else's
        self._set: list[int] = []
        self._left = self._nudged = self._is_put_off = False
        self._is_late = False
        self._code: int | None = None
        if threading.current_thread() is not threading.main_thread():
            return
        for name in HANDLED:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, self._handler)
                self._set.append(number)

    @property
    def are_set(self) -> bool:
        """Whether any handler is ours: none is where the program has its own, or the first run was opened outside the main thread."""
        return bool(self._set)

    def restore(self) -> None:
        """Give back every handler that is still ours; on the main thread."""
        for number in self._set:
            if signal.getsignal(number) is self._handler:
                signal.signal(number, signal.SIG_DFL)
        self._set.clear()

    def leave(self, code: int) -> None:
        """End the program by a SystemExit of its main thread, wherever that is, and its child processes with it; from any thread.

        Where the signals are not ours, and in notebooks, whose cell is ended rather than the kernel, it is a KeyboardInterrupt.
        """
        main = threading.main_thread().ident or 0
        is_kernel = "ipykernel" in sys.modules
        ours = [] if is_kernel else [number for number in self._set if signal.getsignal(number) is self._handler]
        if ours:
            self._code = code
        process().is_left = not is_kernel
        # A signal rather than `interrupt_main`: it wakes up what sleeps.
        signal.pthread_kill(main, ours[0] if ours else signal.SIGINT)
        if not is_kernel:
            threading.Thread(target=self._leave_late, args=(code,), name="atrains-leave", daemon=True).start()

    def _leave_late(self, code: int) -> None:
        """End a program that did not go: something keeps its main thread, or it has other ideas."""
        # Soon, since the program may wait for them. Those that it leaves behind are also looked for at its end.
        time.sleep(children.PATIENCE)
        children.end_all()
        time.sleep(_GRACE)
        if not process().is_ending:
            children.end_all()
            self._close_all(process().ending or Ending(TaskStatusEnum.stopped, "stopped from outside"))
            os._exit(code)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if _pid != os.getpid():  # a child in the midst of its fork, which still has what is its parent's, and nothing of its own
            _end_by(number)
        if self._code is not None:
            code, self._code = self._code, None
            if (around := asyncio._get_running_loop()) is None:  # noqa: SLF001  # as below
                raise SystemExit(code)
            around.call_soon_threadsafe(_raise, SystemExit(code))
            return
        first, nudged = process().ending is None or self._is_put_off, self._nudged
        ending = process().ending = Ending(TaskStatusEnum.stopped, signal.Signals(number).name)
        loop = asyncio._get_running_loop()  # noqa: SLF001  # documented as the fast and non-raising form
        if loop is not None and first:
            # Not raised here, in the middle of whatever the loop does: that may be half of something that its clean-up relies on.
            loop.call_soon_threadsafe(self._leave, number)
            waiting = portal().loop
            waiting.call_soon_threadsafe(waiting.call_later, _PATIENCE, self._nudge, number)
            return
        if loop is None and (first or nudged) and _is_in_the_midst(frame) and self._put_off(number, frame):
            return
        self._is_put_off = False
        signal.signal(number, signal.SIG_DFL)
        if loop is not None and nudged:
            raise SystemExit(128 + number)
        if first or nudged:
            self._close_all(ending)
        _end_by(number)

    def _put_off(self, number: int, frame: FrameType | None) -> bool:
        """See to the signal once that in which the main thread was interrupted has returned; False where that is not known."""
        caller, pid = _caller(frame), os.getpid()
        if caller is None or self._is_late:
            return False
        if not self._is_put_off:
            try:
                # That of `threading` takes a lock, which this thread may hold as well.
                _thread.start_new_thread(self._insist, (number,))
            except RuntimeError:  # the interpreter ends
                return False
        self._is_put_off = True

        def resume(here: FrameType, event: str, argument: object) -> None:
            del event, argument
            sys.settrace(None)
            caller.f_trace = None
            if os.getpid() != pid:  # a child that was forked meanwhile: nobody has sent it anything
                self._is_put_off = False
            elif self._is_put_off:
                self._handle(number, here)

        # Sent again by another thread it would, in a program that reports all the time, find it in the midst of a report each time: the
        # other thread comes to run while one writes.
        sys.settrace(lambda *_: None)
        caller.f_trace = resume
        return True

    def _insist(self, number: int) -> None:
        time.sleep(_LONGEST_REPORT)
        self._is_late = True
        signal.pthread_kill(threading.main_thread().ident or 0, number)

    def _leave(self, number: int) -> None:
        """Called by the loop: let it end in its own way."""
        self._left = True
        signal.signal(number, signal.SIG_DFL)
        raise SystemExit(128 + number)

    def _nudge(self, number: int) -> None:
        """The loop did not come to `_leave`: a coroutine keeps it busy, or it ended before. Interrupt the main thread where it is."""
        if not self._left:
            self._nudged = True
            signal.pthread_kill(threading.main_thread().ident or 0, number)


def _end_by(number: int) -> NoReturn:
    """End the process by a signal, as it does by default."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    # Still here: the first process of a container has no default action for signals.
    os._exit(128 + number)


def _raise(error: SystemExit) -> None:
    raise error


def _caller(frame: FrameType | None) -> FrameType | None:
    """The innermost frame of the program around a report, a fork, an import, or a line for `logging`, in the midst of which it is."""
    begun = frame = _importer(frame) or frame
    while frame is not None and not _is_brief(frame):
        frame = frame.f_back
    while frame is not None and _is_brief(frame):
        frame = frame.f_back
    return frame if frame is not None or begun is None else begun.f_back


def _is_brief(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).startswith(("atrains.", "logging", _MACHINERY))


def _importer(frame: FrameType | None) -> FrameType | None:
    """The outermost frame of an import that other threads may wait for.

    They do for a module that they import as well; and for whatever it is as long as the machinery itself is at work, or looks for the
    module: it has one lock for that.
    """
    found, is_at_work = None, True
    while frame is not None:
        is_of_it = str(frame.f_globals.get("__name__")).startswith(_MACHINERY)
        is_at_work = is_at_work and is_of_it
        name = frame.f_code.co_name if is_of_it else ""
        is_shared = name == "_find_and_load" and str(frame.f_locals.get("name")).partition(".")[0] in _IMPORTED
        if is_at_work or is_shared or name == "_find_spec":
            found = frame
        frame = frame.f_back
    return found


def _is_in_the_midst(frame: FrameType | None) -> bool:
    """Whether the calling thread, interrupted there, holds what others may wait for."""
    return holds_lock() or _importer(frame) is not None or _is_logging(frame)


def _is_logging(frame: FrameType | None) -> bool:
    """Whether a thread is in the midst of `logging`, which has a lock for each handler."""
    while frame is not None:
        if frame.f_globals.get("__name__") == "logging":
            return True
        frame = frame.f_back
    return False


_pid = os.getpid()


def _note_child() -> None:
    """Note, after the hooks of everything that is imported here, that the child is fit to report."""
    global _pid  # the one place that sets it  # noqa: PLW0603
    _pid = os.getpid()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_child)
