"""A blocking loop over an async generator: its steps run where the object belongs, and it is closed however the loop is left."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import time
from collections.abc import AsyncGenerator, Generator

import pytest

from atrains._portal.portal import portal
from atrains._sync._base import Twin
from atrains.errors import SyncInAsyncError

pytestmark = pytest.mark.usefixtures("atrains_home")


class Core:
    """Counts, and notes where it did so and when it was closed."""

    def __init__(self) -> None:
        self.threads: set[str] = set()
        self.closed = 0

    async def count(self, end: int) -> AsyncGenerator[int]:
        try:
            for number in range(end):
                await asyncio.sleep(0)
                self.threads.add(threading.current_thread().name)
                yield number
            if end == 3:
                raise LookupError("no more than three")
        finally:
            await asyncio.sleep(0)
            self.closed += 1


def counting(core: Core, end: int = 10) -> Generator[int]:
    return Twin._iterate(core, lambda: core.count(end), "core.count")


def divide(core: Core) -> None:
    for number in counting(core):
        1 / (number - 3)


def test_every_item_comes_from_the_loop_of_the_portal() -> None:
    core = Core()
    assert list(counting(core)) == list(range(10))
    assert core.threads == {"atrains-portal"}
    assert core.closed == 1


def test_nothing_is_begun_before_the_first_item_is_asked_for() -> None:
    core = Core()
    counting(core).close()
    assert core.closed == 0
    assert core.threads == set()


def test_leaving_the_loop_closes_it_at_once() -> None:
    core = Core()
    for number in counting(core):
        if number == 2:
            break
    assert core.closed == 1
    with pytest.raises(ZeroDivisionError):
        divide(core)
    assert core.closed == 2


def test_what_goes_wrong_inside_comes_out_and_closes_it() -> None:
    core = Core()
    found = []
    with pytest.raises(LookupError, match="three"):
        found.extend(counting(core, 3))
    assert core.closed == 1


def test_a_loop_that_would_wait_for_itself_is_refused() -> None:
    core = Core()

    async def in_the_portal() -> None:
        next(counting(core))

    with pytest.raises(SyncInAsyncError, match=r"core\.count"):
        portal().run(in_the_portal)


def test_one_that_is_dropped_on_the_thread_that_serves_it_is_closed_by_its_loop() -> None:
    core = Core()
    held = [counting(core)]
    assert next(held[0]) == 0

    async def drop() -> None:
        held.clear()
        gc.collect()

    portal().run(drop)
    deadline = time.monotonic() + 5
    while not core.closed and time.monotonic() < deadline:
        time.sleep(0.01)
    assert core.closed == 1


def test_one_that_is_open_when_the_process_ends_says_nothing() -> None:
    code = """
from atrains import Task
task = Task.init("project", "left open")
task.get_logger().report_scalars("loss", "train", values=[0.5] * 200_000, iterations=range(200_000))
pieces = task.iter_reported_scalars()
print(len(next(pieces)))
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "65536\n"
    assert all(line.startswith("atrains:") for line in done.stderr.splitlines()), done.stderr
