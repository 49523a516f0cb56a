"""What a captured line costs, and what reports cost while the console is captured and the machine watched. Both are on in every run."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from figures import Figures, Report, empty, percentiles, produce, tick
from loops import timed_callbacks

from atrains import Task

LINE = "x" * 60
EVERY = 1_000
"""Reports from one printed line to the next: a hundred lines a second beside 100,000 points."""


@contextmanager
def _printing_to(path: Path | str) -> Iterator[None]:
    """Standard output is a file, as that of a job; what it is at last is for the figures."""
    with open(path, "w", encoding="utf-8") as file:
        before, sys.stdout = sys.stdout, file
        try:
            yield
        finally:
            sys.stdout = before


@contextmanager
def _watching_all_the_time() -> Iterator[None]:
    """The machine is looked at ten times as often as usual, so that a measurement of some seconds sees what happens in a minute."""
    chosen = {"ATRAINS_MONITOR_FIRST_REPORT": "0.5", "ATRAINS_MONITOR_REPORT_PERIOD": "3", "ATRAINS_MONITOR_SAMPLE_PERIOD": "0.2"}
    os.environ.update(chosen)
    try:
        yield
    finally:
        for name in chosen:
            del os.environ[name]


def _print_lines(count: int) -> array[int]:
    """How long each `print` took, in nanoseconds."""
    took = array("q", bytes(8 * count))
    clock = time.perf_counter_ns
    for i in range(count):
        before = clock()
        print(LINE)
        took[i] = clock() - before
    return took


def printed_line(scale: float) -> Figures:
    """`print` of 60 characters, captured, to the null device and into a file; before that, without a run."""
    count = max(int(200_000 * scale), 1000)
    figures: Figures = {}
    with TemporaryDirectory(dir=os.environ["ATRAINS_HOME"]) as folder:
        for name, path in (("null", os.devnull), ("file", Path(folder, "output"))):
            with _printing_to(path):
                bare = percentiles(_print_lines(count), f"{name} bare", 1e-9)
                with Task.init("benchmark", f"lines, {name}", reuse_last_task_id=False) as task:
                    took = percentiles(_print_lines(count), f"{name} line", 1e-9)
                    receipt = task.flush(timeout=600)
            if not receipt or receipt.logs.acknowledged != count:
                raise SystemExit(f"printed {count} lines, and the home has: {receipt}")
            figures |= bare | took
            figures |= {f"{name} above {rank}": took[f"{name} line {rank}"] - bare[f"{name} bare {rank}"] for rank in ("p50", "p99")}
    return figures


def _time_calls(report: Report, count: int) -> array[int]:
    """How long each call took, in nanoseconds, with a line printed in between now and then."""
    took = array("q", bytes(8 * count))
    clock = time.perf_counter_ns
    for i in range(count):
        if not i % EVERY:
            print(LINE)
        before = clock()
        report("train", "loss", 0.25, i)
        took[i] = clock() - before
    return took


def watched_latency(scale: float) -> Figures:
    """A report call at full speed among printed lines, while the machine is watched; before that, an empty function."""
    count = max(int(4_000_000 * scale), 1000)
    with _watching_all_the_time(), _printing_to(os.devnull):
        bare = percentiles(_time_calls(empty, count), "bare", 1e-9)
        with Task.init("benchmark", "latency, watched") as task:
            took = percentiles(_time_calls(task.get_logger().report_scalar, count), "call", 1e-9)
            if not task.flush(timeout=600):
                raise SystemExit("not everything was delivered")
    return bare | took


def _among_lines(report: Report) -> Report:
    def reported(title: str, series: str, value: float, iteration: int) -> None:
        if not iteration % EVERY:
            print(LINE)
        report(title, series, value, iteration)

    return reported


def watched_ticker(scale: float) -> Figures:
    """A 1 ms ticker in a loop that reports and prints, while the machine is watched; before that, with an empty function."""

    async def beside(report: Report, seconds: float) -> list[float]:
        late, _ = await asyncio.gather(tick(seconds), produce(_among_lines(report), int(seconds * 100_000)))
        return late

    async def main() -> Figures:
        seconds = max(10 * scale, 0.1)
        bare = percentiles(await beside(empty, seconds), "bare")
        async with Task.ainit("benchmark", "ticker, watched") as task:
            late = await beside(task.get_logger().report_scalar, seconds)
        return bare | percentiles(late, "late")

    with _watching_all_the_time(), _printing_to(os.devnull):
        return asyncio.run(main())


def watched_callback(scale: float) -> Figures:
    """The longest callback of a task's life in a loop that reports and prints, while the machine is watched; before that, without."""

    async def bare() -> None:
        await produce(_among_lines(empty), count)

    async def life() -> None:
        async with Task.ainit("benchmark", "a whole life, watched") as task:
            await produce(_among_lines(task.get_logger().report_scalar), count)
            await task.flush(timeout=60)

    count = max(int(600_000 * scale), 1000)
    figures: Figures = {}
    with _watching_all_the_time():
        for name, main in (("bare", bare), ("life", life)):
            with _printing_to(os.devnull), timed_callbacks() as seen:
                asyncio.run(main())
            figures[name] = seen.longest
            print(f"longest of {seen.count} callbacks, {name}: {seen.longest * 1e3:.2f} ms in {seen.name}")
    return figures
