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
_LOOK: Final = 0.25
"""Seconds between two looks whether a loop of the program's still runs: it tells nobody that it ends."""


class LoopGoneError(Exception):
    """The loop ended, or stands still, before it began what it was asked for."""


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
        try:
            result = run_on(self.loop, make, timeout=timeout, is_gone=self.loop.is_closed)
        except LoopGoneError as error:
            raise UsageError("the process ends, and what serves blocking calls ended a moment ago") from error
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


def run_on(
    loop: asyncio.AbstractEventLoop,
    make: Callable[[], Coroutine[Any, Any, T]],
    *,
    timeout: float | None = None,
    is_gone: Callable[[], bool] = lambda: False,
) -> T:
    """Run a coroutine on the loop of another thread and wait for it.

    Interrupted by Ctrl-C or any other exception of the waiting thread, it cancels the coroutine and waits for its clean-up before it
    raises: a coroutine is never left running behind the caller's back. A second Ctrl-C ends the wait, and so does the end of `timeout`.

    Raises:
        LoopGoneError: `is_gone` says so, and nothing was begun.
        UsageError: the same, but it was begun.
    """
    call = _Call(loop, make)
    try:
        loop.call_soon_threadsafe(call.start)
    except RuntimeError as error:  # it was closed
        raise LoopGoneError from error
    try:
        with replaced():
            while not call.is_over(_LOOK if timeout is None else timeout) and not is_gone():
                if timeout is not None:
                    raise TimeoutError
    except BaseException:  # whatever interrupts the wait, the coroutine must not run on behind the caller's back
        with contextlib.suppress(RuntimeError):
            call.is_given_up = True
            loop.call_soon_threadsafe(call.cancel)
            # How the cancelled coroutine ended does not matter: the interruption is what is raised.
            while timeout is None and not call.is_over(_LOOK) and not is_gone():
                pass
        raise
    call.is_given_up = True
    return call.result()


class _Call(Generic[T]):
    """A coroutine on another loop, for one thread that waits for it.

    A future has a lock, which the waiting thread may hold at the moment in which a signal interrupts it: then the loop that tells the
    future would wait for the signal's handler, and what the handler waits for for the loop. To tell this takes no lock.

    Attributes:
        is_given_up: Whether it is not to be begun any more.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, make: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._loop = loop
        self._make = make
        self._task: asyncio.Task[T] | None = None
        self._running = threading.Lock()
        self._running.acquire()  # let go of once it is over
        self._result: T | None = None
        self._error: BaseException | None = None
        self._is_over = self.is_given_up = False

    def start(self) -> None:
        """Begin it; on its loop."""
        if self.is_given_up:
            return
        try:
            task = self._task = self._loop.create_task(self._make())
        except Exception as error:  # whatever it is belongs to the caller, who would wait for ever  # noqa: BLE001
            self._end(error=error)
            return
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # where its loop ends the caller is told  # noqa: SLF001
        task.add_done_callback(self._settle)

    def cancel(self) -> None:
        """Cancel it, after `start`; on its loop."""
        if self._task is not None:
            self._task.cancel()
        elif not self._is_over:
            self._end(error=asyncio.CancelledError())

    def is_over(self, timeout: float) -> bool:
        """Whether it is over, after so many seconds at most."""
        if not self._is_over and self._running.acquire(timeout=timeout):
            self._running.release()
        return self._is_over

    def result(self) -> T:
        """Return what it returned, or raise what it raised; errors as `run_on` says."""
        error, self._error = self._error, None  # or it and its traceback, which leads here, would keep each other
        task, self._task = self._task, None
        if not self._is_over and task is None:
            raise LoopGoneError
        if not self._is_over or isinstance(error, asyncio.CancelledError):
            raise UsageError("the event loop that served this call ended in the midst of it: look what became of it, and make it again")
        if error is not None:
            try:
                raise error
            finally:
                del error, task
        return cast("T", self._result)

    def _settle(self, done: asyncio.Task[T]) -> None:
        if done.cancelled():
            self._end(error=asyncio.CancelledError())
        elif (error := done.exception()) is not None:
            self._end(error=error)
        else:
            self._end(done.result())

    def _end(self, result: T | None = None, *, error: BaseException | None = None) -> None:
        self._result, self._error, self._is_over = result, error, True
        self._running.release()


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
