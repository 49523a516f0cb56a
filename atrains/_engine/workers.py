"""The worker threads that file, database and encoding work runs on. Daemon threads, all started at once; nothing about tasks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import SimpleQueue
from typing import Final, ParamSpec, TypeVar

from atrains._engine.held import reentrant_lock

P = ParamSpec("P")
T = TypeVar("T")

_THREADS: Final = 4


async def run_in(workers: Executor, call: Callable[[], T]) -> T:
    """Await a call that blocks (files, databases, encoding), made in a worker thread."""
    return await asyncio.get_running_loop().run_in_executor(workers, call)


class DaemonExecutor(Executor):
    """A small fixed pool of daemon threads.

    The pool of `concurrent.futures` joins its threads at interpreter exit, so one stuck look-up there holds the whole process; and from
    Python 3.12 on no thread can be started once the exit has begun, so all of these are started before they are needed.
    """

    def __init__(self, threads: int = _THREADS) -> None:
        self._jobs: SimpleQueue[tuple[Future[object], Callable[[], object]] | None] = SimpleQueue()
        self._closed = False
        self._closing = reentrant_lock()
        self._threads = [threading.Thread(target=self._serve, name=f"atrains-worker-{n}", daemon=True) for n in range(threads)]
        for thread in self._threads:
            thread.start()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Queue a call.

        Raises:
            RuntimeError: after `shutdown`.
        """
        future: Future[T] = Future()
        with self._closing:  # a job that is queued behind the end of the threads would never be done
            if self._closed:
                raise RuntimeError("these worker threads were shut down")
            self._jobs.put((future, lambda: fn(*args, **kwargs)))  # type: ignore[arg-type]  # one queue holds futures of every result type
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # the signature of Executor
        """Stop the threads once the queue is empty."""
        del cancel_futures
        with self._closing:
            self._closed = True
            for _ in self._threads:
                self._jobs.put(None)
        if wait:
            for thread in self._threads:
                thread.join()

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            future, call = job
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = call()
            except BaseException as error:  # whatever the call raised belongs to whoever waits for the future  # noqa: BLE001
                future.set_exception(error)
            else:
                future.set_result(result)
            # An idle thread must not keep the last call's arguments and result alive.
            del job, future, call
            result = None
