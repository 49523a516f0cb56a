"""The lock that coroutines of several loops wait for, and what it is for: a task that several loops close at once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine

import pytest

from atrains import AsyncTask
from atrains._engine.turns import Turn


def in_loops_of_their_own(run: Callable[[], Coroutine[object, object, object]], count: int = 6) -> list[BaseException]:
    """Run a coroutine function in so many threads with a loop each, at once; what they raised."""
    raised: list[BaseException] = []
    together = threading.Barrier(count)

    def one() -> None:
        together.wait()
        try:
            asyncio.run(asyncio.wait_for(run(), 20))
        except BaseException as error:  # noqa: BLE001  # looked at by the test
            raised.append(error)

    threads = [threading.Thread(target=one) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


def test_one_at_a_time_has_the_turn_on_whichever_loop() -> None:
    turn = Turn()
    inside: list[int] = []
    seen: list[int] = []

    async def take() -> None:
        for _ in range(50):
            async with turn:
                inside.append(1)
                await asyncio.sleep(0)
                seen.append(len(inside))
                inside.pop()

    assert in_loops_of_their_own(take) == []
    assert seen == [1] * 300


async def test_who_is_cancelled_while_he_waits_leaves_the_turn_to_others() -> None:
    turn = Turn()
    got: list[str] = []

    async def take(name: str) -> None:
        async with turn:
            got.append(name)

    async with turn:
        waiting = [asyncio.create_task(take(name)) for name in "abc"]
        await asyncio.sleep(0)
        waiting[1].cancel()
        await asyncio.sleep(0)
    await asyncio.wait(waiting)
    assert sorted(got) == ["a", "c"]
    async with turn:
        pass
    with pytest.raises(RuntimeError, match="inside"):
        async with turn:
            raise RuntimeError("inside")
    async with turn:
        pass


async def test_a_task_is_closed_by_several_loops_at_once() -> None:
    task = await AsyncTask.init("project", "a run")
    task.get_logger().report_scalar("train", "loss", value=1, iteration=1)
    assert await asyncio.to_thread(in_loops_of_their_own, task.close) == []
    found = await AsyncTask.get_task(task.id)
    assert await found.status == "completed"
    assert await found.get_reported_scalars() == {"train": {"loss": {"x": [1], "y": [1.0]}}}
