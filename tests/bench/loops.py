"""What reporting costs the event loop beside it: how late a 1 ms ticker is, and the longest callback of a task's whole life."""

from __future__ import annotations

import asyncio
import threading
import time
from array import array
from asyncio import events
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from figures import RATE, TICK, Figures, Pace, Report, empty, percentiles, produce, tick

from atrains import Task


def _produce_in_thread(report: Report, count: int) -> None:
    pace, done = Pace(RATE), 0
    while done < count:
        goal = min(pace.due(), count)
        for i in range(done, goal):
            report("train", "loss", 0.25, i)
        done = max(done, goal)
        time.sleep(TICK)


async def _tick_beside(report: Report, seconds: float, *, thread: bool) -> list[float]:
    count = int(seconds * RATE)
    if thread:
        producer = threading.Thread(target=_produce_in_thread, args=(report, count))
        producer.start()
        late = await tick(seconds)
        await asyncio.to_thread(producer.join)
        return late
    late, _ = await asyncio.gather(tick(seconds), produce(report, count))
    return late


def ticker_in_loop(scale: float) -> Figures:
    """The ticker beside a producer in the same loop, with an AsyncTask; before that, with an empty function."""

    async def main() -> Figures:
        seconds = max(6 * scale, 0.1)
        bare = await _tick_beside(empty, seconds, thread=False)
        async with Task.ainit("benchmark", "ticker") as task:
            late = await _tick_beside(task.get_logger().report_scalar, seconds, thread=False)
        return percentiles(bare, "bare") | percentiles(late, "late")

    return asyncio.run(main())


def ticker_beside_thread(scale: float) -> Figures:
    """The ticker beside a thread that reports, with the blocking Task; before that, with an empty function."""
    seconds = max(6 * scale, 0.1)
    bare = asyncio.run(_tick_beside(empty, seconds, thread=True))
    with Task.init("benchmark", "ticker") as task:
        late = asyncio.run(_tick_beside(task.get_logger().report_scalar, seconds, thread=True))
    return percentiles(bare, "bare") | percentiles(late, "late")


@dataclass
class Callbacks:
    """What was seen of the callbacks of every loop."""

    count: int = 0
    longest: float = 0.0
    name: str = ""


@contextmanager
def timed_callbacks() -> Iterator[Callbacks]:
    """Time every callback of every loop, task steps included, from here on.

    The loop's own slow-callback warning needs its debug mode, which makes all of them slow.
    """
    seen = Callbacks()
    run = events.Handle._run  # the one place that every callback passes

    def timed(handle: events.Handle) -> None:
        begin = time.perf_counter()
        run(handle)
        took = time.perf_counter() - begin
        seen.count += 1
        if took > seen.longest:
            owner = getattr(getattr(handle, "_callback", None), "__self__", None)  # of a step: its task
            seen.longest, seen.name = took, repr(owner if isinstance(owner, asyncio.Task) else handle)

    events.Handle._run = timed  # type: ignore[assignment]
    try:
        yield seen
    finally:
        events.Handle._run = run  # type: ignore[method-assign]


def longest_callback(scale: float) -> Figures:
    """The longest callback while a task is opened, reports in every way, uploads, is read back and closed; before that, of an idle loop.

    What the caller does in one piece itself (a million values in one `report_scalars`) is done in a thread.
    """

    async def bare() -> None:
        await produce(empty, count)

    async def life() -> None:
        async with Task.ainit("benchmark", "a whole life") as task:
            log = task.get_logger()
            await produce(log.report_scalar, count)
            await asyncio.to_thread(log.report_scalars, "train", "arrays", values=values, iterations=iterations)
            for i in range(1000):
                log.report_text(f"line {i}", print_console=False)
                await asyncio.sleep(0)
            await task.upload_artifact("weights", {"weights": list(range(1000))})
            await task.flush(timeout=60)
            await task.get_last_scalar_metrics()
            await task.get_reported_scalars()
            await task.reload()

    count = max(int(400_000 * scale), 1000)
    values, iterations = array("d", bytes(8 * count)), array("q", range(count))
    figures: Figures = {}
    for name, main in (("bare", bare), ("life", life)):
        with timed_callbacks() as seen:
            asyncio.run(main())
        figures[name] = seen.longest
        print(f"longest of {seen.count} callbacks, {name}: {seen.longest * 1e3:.2f} ms in {seen.name}")
    return figures
