"""The in-process transport: what is its own beyond the contract of every transport."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from array import array
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from atrains._local.store import Store
from atrains._local.transport import LocalTransport
from atrains._wire import endpoints
from atrains._wire.events import ScalarBlock, Span
from atrains.errors import HomeError


async def test_making_a_transport_touches_nothing_and_names_the_home(tmp_path: Path) -> None:
    transport = LocalTransport(tmp_path / "a" / ".." / "home")
    assert transport.target == f"local:{tmp_path / 'home'}"
    assert os.listdir(tmp_path) == []
    await transport.aclose()
    await transport.aclose()
    assert os.listdir(tmp_path) == []
    with pytest.raises(HomeError, match="closed"):
        await transport.call(endpoints.TASKS_GET_ALL, {})


async def test_an_unusable_place_is_told_at_the_first_call(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    transport = LocalTransport(tmp_path / "file")
    with pytest.raises(HomeError, match=r"file.*ATRAINS_HOME"):
        await transport.call(endpoints.TASKS_GET_ALL, {})
    await transport.aclose()


async def test_the_loop_runs_on_while_a_large_block_is_stored(store: Store, task: str) -> None:
    size = 2_000_000
    iterations, values = array("q", range(size)), array("d", bytes(8 * size))
    worst = 0.0

    async def tick() -> None:
        nonlocal worst
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.001)
            worst = max(worst, time.perf_counter() - before)

    with ThreadPoolExecutor(2) as workers:
        transport = LocalTransport(store.home, workers=workers)
        ticker = asyncio.create_task(tick())
        start = time.perf_counter()
        await transport.add_events([ScalarBlock(task, Span("j", "s", 0, size), [("a", "b")], None, iterations, 1.0, values)])
        taken = time.perf_counter() - start
        ticker.cancel()
        await transport.aclose()
    assert worst < max(0.05, taken)  # it was never held for the whole call


async def test_a_reader_cancelled_inside_a_chunk_is_just_cancelled(store: Store, task: str) -> None:
    size = 2_000_000
    block = ScalarBlock(task, Span("j", "s", 0, size), [("a", "b")], None, array("q", range(size)), 1.0, array("d", bytes(8 * size)))
    store.add_events(block)
    transport = LocalTransport(store.home)

    async def read_all() -> int:
        return sum([len(block) async for block in transport.scalars(task)])

    assert await read_all() == size
    for delay in range(12):
        reader = asyncio.create_task(read_all())
        await asyncio.sleep(delay / 1000)
        reader.cancel()
        (outcome,) = await asyncio.gather(reader, return_exceptions=True)
        assert outcome == size or isinstance(outcome, asyncio.CancelledError)
    await transport.aclose()


async def test_a_home_that_goes_away_is_an_error_of_the_next_call(tmp_path: Path) -> None:
    transport = LocalTransport(tmp_path / "home")
    await transport.call(endpoints.TASKS_CREATE, {"name": "a task", "type": "training"})
    shutil.rmtree(tmp_path / "home")
    with pytest.raises(HomeError, match="removed while it was in use"):
        await transport.call(endpoints.TASKS_GET_ALL, {})
    await transport.aclose()
