"""What reporting from one thread costs: the latency of a call, points per second, processor time and memory. With the blocking Task."""

from __future__ import annotations

import os
import time
from array import array
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from figures import Figures, empty, percentiles, processor_seconds, resident, time_calls, time_paced_calls

from atrains import Task

MILLION = 1_000_000


def _delivered(task: Any, points: int) -> None:
    """Wait until all of it is in the home; a figure for points that were lost would be worth nothing."""
    receipt = task.flush(timeout=600)
    if not receipt or receipt.scalars.acknowledged < points:  # more, where the run is long enough for the machine to be watched
        raise SystemExit(f"reported {points} points, and the home has: {receipt}")


def latency(scale: float) -> Figures:
    """A report call at full speed, beside an empty function in the same loop."""
    count = max(int(2 * MILLION * scale), 1000)
    bare = time_calls(empty, count)
    with Task.init("benchmark", "latency") as task:
        took = time_calls(task.get_logger().report_scalar, count)
        _delivered(task, count)
    return percentiles(bare, "bare", 1e-9) | percentiles(took, "call", 1e-9)


def latency_paced(scale: float) -> Figures:
    """A report call at 100,000 calls a second."""
    count = max(int(400_000 * scale), 1000)
    bare = time_paced_calls(empty, count, 100_000)
    with Task.init("benchmark", "latency at a rate") as task:
        took = time_paced_calls(task.get_logger().report_scalar, count, 100_000)
        _delivered(task, count)
    return percentiles(bare, "bare", 1e-9) | percentiles(took, "call", 1e-9)


def one_by_one(scale: float) -> Figures:
    """Points a second until the last call returned, and until they were all in the home; and the processor time they took."""
    count = max(int(3 * MILLION * scale), 1000)
    figures: Figures = {}
    with Task.init("benchmark", "one by one") as task:
        calls: dict[str, Callable[[str, str, float, int], object]] = {"bare": empty, "call": task.get_logger().report_scalar}
        for name, call in calls.items():
            used, begin = processor_seconds(), time.perf_counter()
            for i in range(count):
                call("train", "loss", 0.25, i)
            figures[f"{name} reported"] = count / (time.perf_counter() - begin)
            if name == "call":
                _delivered(task, count)
                figures["call stored"] = count / (time.perf_counter() - begin)
            figures[f"{name} cpu"] = (processor_seconds() - used) * MILLION / count
    figures["cpu above bare"] = figures["call cpu"] - figures["bare cpu"]
    return figures


def arrays(scale: float) -> Figures:
    """Points a second from arrays into the home, beside a plain write of as many bytes into one file."""
    figures: Figures = {}
    with Task.init("benchmark", "arrays") as task:
        points = 0
        for rows, total in ((1_000, 4 * MILLION), (MILLION, 20 * MILLION)):
            size = max(int(rows * min(scale * 10, 1)), 10) if rows == MILLION else rows
            repeats = max(int(total * scale) // size, 2)
            for name, values, iterations in _columns(size):
                used, begin = processor_seconds(), time.perf_counter()
                for _ in range(repeats):
                    task.get_logger().report_scalars("train", f"{name} {rows}", values=values, iterations=iterations)
                figures[f"{name} {rows} reported"] = size * repeats / (time.perf_counter() - begin)
                points += size * repeats
                _delivered(task, points)
                figures[f"{name} {rows} stored"] = size * repeats / (time.perf_counter() - begin)
                figures[f"{name} {rows} cpu"] = (processor_seconds() - used) * MILLION / (size * repeats)
            figures[f"write {rows}"] = _written(size, repeats)
    return figures


def _columns(size: int) -> list[tuple[str, Any, Any]]:
    columns: list[tuple[str, Any, Any]] = [("array", array("d", range(size)), array("q", range(size)))]
    if find_spec("numpy"):
        import numpy as np

        columns.append(("numpy", np.arange(size, dtype=np.float64), np.arange(size)))
    return columns


def _written(size: int, repeats: int) -> float:
    """Points a second when their 16 bytes are written and nothing else is done."""
    rows = bytes(16 * size)
    with TemporaryDirectory(dir=os.environ["ATRAINS_HOME"]) as folder:
        begin = time.perf_counter()
        with Path(folder, "points").open("wb", buffering=0) as file:
            file.writelines(rows for _ in range(repeats))
        return size * repeats / (time.perf_counter() - begin)


def memory(scale: float) -> Figures:
    """How far the resident memory grows over many points: at its highest, that without mapped files, and at the end, all delivered.

    Counted from a task that has reported a little before.
    """
    count, warm = max(int(10 * MILLION * scale), 100_000), 20_000
    with Task.init("benchmark", "memory") as task:
        report = task.get_logger().report_scalar
        for i in range(warm):
            report("train", "loss", 0.25, i)
        _delivered(task, warm)
        before, private_before = highest, private = resident()
        for first in range(0, count, 20_000):
            for i in range(first, min(first + 20_000, count)):
                report("train", "loss", 0.25, i)
            highest, private = map(max, (highest, private), resident())
        _delivered(task, count + warm)
        end, _ = resident()
        return {"highest": max(highest, end) - before, "private": private - private_before, "end": end - before, "before": before}
