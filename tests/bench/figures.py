"""What every measurement needs: pacing, a ticker, percentiles, and the memory and processor time of this process. Nothing about atrains."""

from __future__ import annotations

import asyncio
import resource  # noqa: TID253  # a benchmark runs where there is one
import time
from array import array
from collections.abc import Callable, Sequence

import psutil  # noqa: TID253  # before anything is measured

Figures = dict[str, float]
"""What one process measured: seconds, points per second, MiB, by name."""

TICK = 0.001
"""Seconds between two bursts of a paced producer."""
RATE = 100_000
"""Points a second of a producer beside a ticker."""
_BURST = 1_000
"""Calls that such a producer makes at once at most, however late it is: a client that cannot keep up is slower, not later and later."""

Report = Callable[[str, str, float, int], object]


def empty(title: str, series: str, value: float, iteration: int) -> None:
    """Do nothing: what a call costs before it does anything."""


def processor_seconds() -> float:
    """The processor time of this process, all its threads, and the children it waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def resident() -> tuple[float, float]:
    """The resident memory of this process in MiB, and that without the pages of mapped files where the system tells them apart."""
    memory = psutil.Process().memory_info()
    return memory.rss / (1 << 20), (memory.rss - getattr(memory, "shared", 0)) / (1 << 20)


def percentiles(sample: Sequence[float], prefix: str, unit: float = 1.0) -> Figures:
    """The figures of a distribution that the promises name, in seconds.

    Args:
        sample: What was measured; sorted here.
        prefix: What the names of the figures begin with.
        unit: Seconds of one unit of the sample.
    """
    ordered = sorted(sample)
    ranks = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999, "p99.99": 0.9999, "max": 1.0}
    return {f"{prefix} {name}": ordered[min(int(len(ordered) * rank), len(ordered) - 1)] * unit for name, rank in ranks.items()}


def time_calls(call: Callable[[str, str, float, int], object], count: int) -> array[int]:
    """How long each of `count` calls took, in nanoseconds, one call right behind the other."""
    took = array("q", bytes(8 * count))
    clock = time.perf_counter_ns
    for i in range(count):
        before = clock()
        call("train", "loss", 0.25, i)
        took[i] = clock() - before
    return took


def time_paced_calls(call: Callable[[str, str, float, int], object], count: int, rate: float) -> array[int]:
    """The same at a steady rate: a burst for every millisecond, then a sleep until the next is due."""
    took = array("q", bytes(8 * count))
    clock = time.perf_counter_ns
    pace = Pace(rate)
    done = 0
    while done < count:
        goal = min(pace.due(), count)
        for i in range(done, goal):
            before = clock()
            call("train", "loss", 0.25, i)
            took[i] = clock() - before
        done = max(done, goal)
        time.sleep(TICK)
    return took


class Pace:
    """How many calls of a steady stream are due."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._start = time.perf_counter()

    def due(self) -> int:
        """The calls due since the beginning, all that were made before included."""
        return int((time.perf_counter() - self._start) * self._rate)


async def tick(seconds: float, *, beside: asyncio.Future[object] | None = None) -> list[float]:
    """How late each tick of a 1 ms ticker was; one that is more than a period late is not made up for.

    Args:
        seconds: How long at most.
        beside: What it ends with.
    """
    late = []
    due = time.perf_counter()
    end = due + seconds
    while due < end and not (beside is not None and beside.done()):
        due = max(due + TICK, time.perf_counter())
        await asyncio.sleep(due - time.perf_counter())
        late.append(time.perf_counter() - due)
    return late


async def produce(report: Report, count: int, seconds: float = float("inf")) -> int:
    """Report at a steady rate from this loop, for some seconds at most; return how many points it were."""
    pace, done, end = Pace(RATE), 0, time.perf_counter() + seconds
    while done < count and time.perf_counter() < end:
        goal = min(pace.due(), count, done + _BURST)
        for i in range(done, goal):
            report("train", "loss", 0.25, i)
        done = max(done, goal)
        await asyncio.sleep(TICK)
    return done
