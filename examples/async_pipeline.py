"""Five million points from asyncio, without holding the event loop.

Run it from anywhere, with nothing configured::

    python examples/async_pipeline.py

A producer reports blocks of a signal with `report_scalars`, a plain call that writes to the journal and returns, while another
coroutine of the same loop ticks every millisecond and notes how late it comes: first in an idle loop, then beside the producer. The
lateness in the idle loop is the operating system's; the rest is what reporting and storing cost the neighbours. `flush` waits until
everything is stored, and its receipt says what became of every point.
"""

from __future__ import annotations

import asyncio
import math
import sys
import time
from array import array
from typing import Self

from atrains import Logger, Task

POINTS = 5_000_000
BLOCK = 5_000
SERIES = 4
TICK = 0.001
"""Seconds between two ticks."""


async def main(points: int) -> None:
    async with Task.ainit("Examples", "async pipeline") as task:
        async with Ticker() as idle:
            await asyncio.sleep(0.5)

        async with Ticker() as busy:
            began = time.perf_counter()
            await produce(task.get_logger(), points)
            reported = time.perf_counter()
            receipt = await task.flush(timeout=60)
            stored = time.perf_counter()

        counts = receipt.scalars
        dropped = dict(counts.dropped) or "none"
        print(f"receipt    {counts.acknowledged:,} of {counts.reported:,} points stored, {counts.pending:,} pending, dropped: {dropped}")
        print(f"reported   {points / (reported - began):,.0f} points/s")
        print(f"stored     {points / (stored - began):,.0f} points/s, from the first report until the last point was in the home")
        print(f"lateness   {idle.summary()}  (idle loop)")
        print(f"           {busy.summary()}  (reporting and storing)")
    print(f"look at it with: atrains show {task.id[:8]}")


async def produce(logger: Logger, points: int) -> None:
    """Report a wave as several curves, block by block; after each block the loop may serve others."""
    for start in range(0, points // SERIES, BLOCK):
        iterations = array("q", range(start, min(start + BLOCK, points // SERIES)))
        values = array("d", [math.sin(iteration / 50_000) for iteration in iterations])
        for number in range(SERIES):
            logger.report_scalars("signal", f"channel {number}", values=values, iterations=iterations)
            await asyncio.sleep(0)


class Ticker:
    """A coroutine that is due every millisecond, and how many seconds late it came each time."""

    def __init__(self) -> None:
        self.lateness = array("d")

    async def __aenter__(self) -> Self:
        self._running = asyncio.create_task(self._tick())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._running.cancel()
        await asyncio.wait({self._running})

    def summary(self) -> str:
        """The median, the 99th percentile and the worst, in milliseconds."""
        ordered = sorted(self.lateness) or [math.nan]
        p50, p99 = (ordered[int(len(ordered) * share)] for share in (0.5, 0.99))
        return f"p50 {p50 * 1e3:.2f} ms, p99 {p99 * 1e3:.2f} ms, max {ordered[-1] * 1e3:.2f} ms, of {len(self.lateness):,} ticks"

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + TICK
            await asyncio.sleep(TICK)
            self.lateness.append(loop.time() - due)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else POINTS))
