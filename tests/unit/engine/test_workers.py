"""The worker threads: what they run, how they fail, and that they never hold the process."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import time
import weakref
from concurrent.futures import Future

import pytest

from atrains._engine.workers import DaemonExecutor


def test_results_and_exceptions_come_back() -> None:
    executor = DaemonExecutor(2)
    assert executor.submit(pow, 2, 5).result(10) == 32
    assert executor.submit(int, "ff", base=16).result(10) == 255
    for error in (ValueError("bad"), SystemExit(3), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            executor.submit(_throw, error).result(10)
    assert executor.submit(pow, 3, 2).result(10) == 9, "a failed call must not cost a thread"
    executor.shutdown()


def _throw(error: BaseException) -> None:
    raise error


def test_after_the_shutdown_what_was_queued_is_done_and_nothing_more_is_taken() -> None:
    executor = DaemonExecutor(1)
    done: list[int] = []

    def work(number: int) -> None:
        time.sleep(0.01)
        done.append(number)

    futures = [executor.submit(work, number) for number in range(10)]
    executor.shutdown()
    assert done == list(range(10))
    assert all(future.done() for future in futures)
    with pytest.raises(RuntimeError, match="shut down"):
        executor.submit(print)
    executor.shutdown()


def test_no_job_falls_between_the_shutdown_and_the_end_of_the_threads() -> None:
    """Whoever awaited it would wait for ever."""
    for _ in range(30):
        executor = DaemonExecutor(1)
        futures: list[Future[int]] = []

        def submit(executor: DaemonExecutor = executor, futures: list[Future[int]] = futures) -> None:
            try:
                while True:
                    futures.append(executor.submit(int))
            except RuntimeError:
                return

        thread = threading.Thread(target=submit)
        thread.start()
        executor.shutdown()
        thread.join()
        assert all(future.done() for future in futures)


def test_a_cancelled_job_is_not_run() -> None:
    executor, ran = DaemonExecutor(1), list[int]()
    release = threading.Event()
    executor.submit(release.wait)
    cancelled = executor.submit(ran.append, 1)
    assert cancelled.cancel()
    release.set()
    executor.submit(ran.append, 2).result(10)
    assert ran == [2]
    executor.shutdown()


def test_an_idle_thread_keeps_nothing_alive() -> None:
    class Large:
        pass

    executor = DaemonExecutor(1)
    thing = Large()
    seen = weakref.ref(thing)
    executor.submit(lambda thing: thing, thing).result(10)
    del thing
    deadline = time.monotonic() + 5
    while seen() is not None and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.001)
    assert seen() is None
    executor.shutdown()


async def test_it_serves_an_event_loop() -> None:
    executor = DaemonExecutor(4)
    loop = asyncio.get_running_loop()
    assert await asyncio.gather(*(loop.run_in_executor(executor, pow, number, 2) for number in range(50))) == [n * n for n in range(50)]
    executor.shutdown()


def test_a_call_that_never_returns_does_not_hold_the_process() -> None:
    script = "import time; from atrains._engine.workers import DaemonExecutor; DaemonExecutor().submit(time.sleep, 600); print('end')"
    begin = time.monotonic()
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True).stdout == "end\n"
    assert time.monotonic() - begin < 30
