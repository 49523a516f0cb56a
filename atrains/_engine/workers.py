"""The worker threads that file, database and encoding work runs on. Daemon threads, all started at once; nothing about tasks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Final, ParamSpec, TypeVar

from atrains._engine.held import reentrant_lock

P = ParamSpec("P")
T = TypeVar("T")

_THREADS: Final = 4


async def run_in(workers: Executor, call: Callable[[], T]) -> T:
    """Await a call that blocks (files, databases, encoding), made in a worker thread."""
    return await asyncio.get_running_loop().run_in_executor(workers, call)


@contextmanager
def replaced() -> Iterator[None]:
    """Have another thread do the work of the calling one, if that is a worker, while it waits in the block for what workers do.

    Functions of the user's run in worker threads, and may make calls that need one: as many of them as there are threads, made at once,
    would wait for each other for ever.
    """
    thread = threading.current_thread()
    pool = thread.pool if isinstance(thread, _Worker) else None
    if pool is None or not pool.grow():
        yield
        return
    try:
        yield
    finally:
        pool.shrink()


class DaemonExecutor(Executor):
    """A small pool of daemon threads.

    The pool of `concurrent.futures` joins its threads at interpreter exit, so one stuck look-up there holds the whole process; and from
    Python 3.12 on no thread can be started once the exit has begun, so all of these are started before they are needed.
    """

    def __init__(self, threads: int = _THREADS) -> None:
        self._jobs: SimpleQueue[tuple[Future[object], Callable[[], object]] | None] = SimpleQueue()
        self._closed = False
        self._closing = reentrant_lock()
        self._threads: list[_Worker] = []
        self._started = 0
        for _ in range(threads):
            self._start()

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

    def grow(self) -> bool:
        """Start one more thread; False where that cannot be any more."""
        with self._closing:
            if self._closed:
                return False
            try:
                self._start()
            except RuntimeError:  # the interpreter ends: whoever waits then waits for a bounded time
                return False
            return True

    def shrink(self) -> None:
        """End one thread, the first that has nothing to do."""
        self._jobs.put(None)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # the signature of Executor
        """Stop the threads once the queue is empty."""
        del cancel_futures
        with self._closing:
            self._closed = True
            threads = list(self._threads)
            for _ in threads:
                self._jobs.put(None)
        if wait:
            for thread in threads:
                thread.join()

    def _start(self) -> None:
        thread = _Worker(self, self._started)
        self._threads.append(thread)
        try:
            thread.start()
        except RuntimeError:
            self._threads.remove(thread)
            raise
        self._started += 1

    def serve(self, thread: _Worker) -> None:
        """Do what is queued, in a thread of the pool, until it is told to end."""
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
        with self._closing:
            self._threads.remove(thread)


class _Worker(threading.Thread):
    """A thread of a pool."""

    def __init__(self, pool: DaemonExecutor, number: int) -> None:
        super().__init__(name=f"atrains-worker-{number}", daemon=True)
        self.pool = pool

    def run(self) -> None:
        self.pool.serve(self)
