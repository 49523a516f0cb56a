"""The portal: one background thread with an event loop, through which blocking code runs coroutines. Knows nothing about tasks."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Final, Generic, TypeVar, cast

from atrains._engine.held import reentrant_lock
from atrains._engine.workers import replaced
from atrains.errors import SyncInAsyncError, UsageError

T = TypeVar("T")

STOP_BUDGET: Final = 2.0
"""Seconds to wait for the loop to end at exit."""


class Portal:
    """A loop in a daemon thread. One for the process; see `portal`.

    Attributes:
        due: What is to be done on the main thread when it comes by next, since only it may.
    """

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.due: Callable[[], None] | None = None
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="atrains-portal", daemon=True)
        self._thread.start()

    def run(
        self, make: Callable[[], Coroutine[Any, Any, T]], *, instead: str = "the coroutine of that name", timeout: float | None = None
    ) -> T:
        """Run a coroutine on the portal's loop and wait for it.

        Args:
            make: Makes the coroutine; called only if it will be run.
            instead: What to use where a blocking call is not possible, for the error.
            timeout: Seconds to wait at most, whatever the loop does.

        Raises:
            SyncInAsyncError: called on the portal's own thread.
            UsageError: the process ends, and the loop has ended.
            TimeoutError: the time is up.
        """
        if threading.current_thread() is self._thread:
            raise SyncInAsyncError(f"a blocking call on the thread that would have to serve it: use {instead}")
        if self.loop.is_closed():
            raise UsageError("the process ends, and what serves blocking calls has ended: do this before the exit handlers run")
        result = run_on(self.loop, make, timeout=timeout)
        if self.due is not None and threading.current_thread() is threading.main_thread():
            due, self.due = self.due, None
            due()
        return result

    def stop(self) -> None:
        """End the loop; what is still running there is cancelled. Bounded in time."""
        with contextlib.suppress(RuntimeError):  # closed already
            self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(STOP_BUDGET)

    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
            rest = asyncio.all_tasks(self.loop)
            for task in rest:
                task.cancel()
            if rest:
                self.loop.run_until_complete(asyncio.wait(rest, timeout=STOP_BUDGET))
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())  # connections to servers end with their loop
        finally:
            self.loop.close()


def run_on(loop: asyncio.AbstractEventLoop, make: Callable[[], Coroutine[Any, Any, T]], *, timeout: float | None = None) -> T:
    """Run a coroutine on the loop of another thread and wait for it.

    Interrupted by Ctrl-C or any other exception of the waiting thread, it cancels the coroutine and waits for its clean-up before it
    raises: a coroutine is never left running behind the caller's back. A second Ctrl-C ends the wait, and so does the end of `timeout`.
    """
    answer: _Answer[T] = _Answer()
    started: list[asyncio.Task[T]] = []

    def start() -> None:
        try:
            task = loop.create_task(make())
        except Exception as error:  # whatever it is belongs to the caller, who would wait for ever  # noqa: BLE001
            answer.give(error=error)
            return
        started.append(task)
        task.add_done_callback(lambda done: _settle(answer, done))

    loop.call_soon_threadsafe(start)
    try:
        with replaced():
            return answer.wait(timeout)
    except BaseException:  # whatever interrupts the wait, the coroutine must not run on behind the caller's back
        if not answer.is_there:
            loop.call_soon_threadsafe(lambda: [task.cancel() for task in started])
            # How the cancelled coroutine ended does not matter: the interruption is what is raised.
            with contextlib.suppress(Exception, asyncio.CancelledError):
                answer.wait(None if timeout is None else 0)
        raise


class _Answer(Generic[T]):
    """What became of a coroutine on another loop, for one thread that waits for it.

    A future has a lock, which the waiting thread may hold at the moment in which a signal interrupts it: then the loop that tells the
    future would wait for the signal's handler, and what the handler waits for for the loop. To tell this takes no lock.
    """

    def __init__(self) -> None:
        self._coming = threading.Lock()
        self._coming.acquire()  # let go of once the answer is there
        self._result: T | None = None
        self._error: BaseException | None = None
        self.is_there = False

    def give(self, result: T | None = None, *, error: BaseException | None = None) -> None:
        """Tell it; once."""
        self._result, self._error, self.is_there = result, error, True
        self._coming.release()

    def wait(self, timeout: float | None) -> T:
        """Wait until it is told, and return or raise it; at most `timeout` seconds."""
        if not self._coming.acquire(timeout=-1 if timeout is None else timeout):
            raise TimeoutError
        if self._error is not None:
            try:
                raise self._error
            finally:
                self._error = None  # or it and its traceback, which leads here, would keep each other
        return cast("T", self._result)


def _settle(answer: _Answer[T], done: asyncio.Task[T]) -> None:
    if done.cancelled():
        answer.give(error=asyncio.CancelledError())
    elif (error := done.exception()) is not None:
        answer.give(error=error)
    else:
        answer.give(done.result())


_lock = reentrant_lock()
_portal: Portal | None = None


def portal() -> Portal:
    """The portal of this process, started at first use; a forked child starts its own."""
    global _portal  # the one place that sets it  # noqa: PLW0603
    if _portal is not None:
        return _portal
    with _lock:
        if _portal is None:
            _portal = Portal()
        return _portal


def running_portal() -> Portal | None:
    """The portal of this process if it was started."""
    return _portal


def _forget_in_child() -> None:
    """Begin without the parent's portal, and with a lock that no thread holds which the child does not have."""
    global _portal, _lock  # the one place that replaces them
    _portal, _lock = None, reentrant_lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
