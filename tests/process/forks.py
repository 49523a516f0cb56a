"""What the tests of child processes share: what is reported by whom, and what a home has of it."""

from __future__ import annotations

import json
import os
import random
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

RunScript = Callable[..., Any]
ReadTask = Callable[..., Any]

SOAK = bool(os.environ.get("ATRAINS_SOAK"))
ROUNDS = 200 if SOAK else 10

WARNINGS = "error,ignore:This process:DeprecationWarning"
"""From Python 3.12 on the interpreter warns of forks in a process with threads, which is what is tested here."""

PLAN = """
import random

def plan(seed, who):
    "How many points, rows of an array and lines a process reports, the same wherever it is asked."
    chance = random.Random(f"{seed}/{who}")
    return chance.choice([0, 1, chance.randrange(300), chance.randrange(20_000)]), chance.randrange(50), chance.randrange(4)
"""


COMMON = (
    PLAN
    + """
import faulthandler, json, os, signal, sys, threading, time
from atrains import Task

seed, rounds = sys.argv[1], int(sys.argv[2])

def alone():
    "In a child: a hang is a traceback and an exit code."
    faulthandler.dump_traceback_later(60, exit=True)

def say(told):
    "Print a line in one piece, whatever other processes print."
    os.write(1, json.dumps(told).encode() + b"\\n")

def report(log, who):
    points, rows, lines = plan(seed, who)
    for step in range(points):
        log.report_scalar(who, "points", value=step, iteration=step)
    if rows:
        log.report_scalars(who, "rows", values=[float(row) for row in range(rows)], iterations=range(rows))
    for line in range(lines):
        log.report_text(f"{who} line {line}", print_console=False)

class Busy:
    "Threads that report to a task while its process forks."
    def __init__(self, task, threads=2):
        self.counts, self.stop = [0] * threads, threading.Event()
        self.threads = [threading.Thread(target=self.run, args=[task.get_logger(), n]) for n in range(threads)]
        for thread in self.threads:
            thread.start()
    def run(self, log, n):
        while not self.stop.is_set():
            log.report_scalar(f"busy {n}", "points", value=self.counts[n], iteration=self.counts[n])
            log.report_text(f"busy {n} line {self.counts[n]}", print_console=False)
            self.counts[n] += 1
            if self.counts[n] % 20 == 0:
                time.sleep(0.001)
    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join()
        return {f"busy {n}": [count, 0, count] for n, count in enumerate(self.counts)}

def tell(task, who, others=None, **more):
    planned = {name: plan(seed, name) for name in who}
    say({"task": task.id, "expected": planned | (others or {}), **more})
"""
)

COUNT = """
import asyncio, json, sys
from collections import Counter
from atrains import AsyncTask
from atrains._local import streams
from atrains._wire.events import EventKind

async def main():
    task = await AsyncTask.get_task(sys.argv[1])
    points = Counter()
    wrong = 0
    async for block in task._channel.transport.scalars(task.id):  # as stored, before a curve takes two points of an iteration for one
        for place, (iteration, value) in enumerate(zip(block.iterations, block.values)):
            points["/".join(block.names[block.series[place] if block.series is not None else 0]), iteration] += 1
            wrong += value != iteration
    curves = Counter(name for name, _ in points)
    print(json.dumps({
        "curves": curves,
        "twice": sum(count > 1 for count in points.values()),
        "wrong": wrong,
        "lines": [event["msg"] for event in streams.read_records(task._channel.transport.store.task_folder(task.id), EventKind.LOGS)],
        "status": await task.status,
        "reason": task.data.get("status_reason"),
    }))

asyncio.run(main())
"""

Run = Callable[..., tuple[Any, ...]]


@pytest.fixture(name="run")
def run_rounds(user: Any) -> Run:
    """Run a script for as many rounds as asked for, and return what it told, line by line, and its standard error."""

    def run(script: str, *arguments: str, rounds: int = ROUNDS) -> tuple[Any, ...]:
        variables = {"PYTHONWARNINGS": WARNINGS, "ATRAINS_QUIET": "0"}
        with user.start(script, arguments[0], str(rounds), *arguments[1:], **variables) as process:
            try:
                stdout, stderr = process.communicate(timeout=60 + 10 * rounds)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        assert process.returncode == 0, stderr
        return (*map(json.loads, stdout.splitlines()), stderr)

    return run


def planned(seed: str, who: str) -> tuple[int, int, int]:
    """What a process of that name reports: see `plan`."""
    names: dict[str, Any] = {}
    exec(PLAN, names)
    return names["plan"](seed, who)


@pytest.fixture(name="seed")
def printed_seed() -> str:
    chosen = os.environ.get("ATRAINS_SEED") or str(random.SystemRandom().randrange(10**9))
    print(f"ATRAINS_SEED={chosen}")  # shown when the test fails  # noqa: T201
    return chosen


def check_stored(run_script: RunScript, task: str, expected: dict[str, list[int]]) -> dict[str, Any]:
    """Compare what a home has of a task with what was reported to it: every point and line, once."""
    finished = run_script(COUNT, task, name="count.py")
    assert finished.code == 0, finished.stderr
    found = json.loads(finished.stdout)
    curves = {f"{who}/points": points for who, (points, _, _) in expected.items() if points}
    curves |= {f"{who}/rows": rows for who, (_, rows, _) in expected.items() if rows}
    assert found["curves"] == curves
    assert (found["twice"], found["wrong"]) == (0, 0)
    lines = Counter(f"{who} line {line}" for who, (_, _, count) in expected.items() for line in range(count))
    assert Counter(found["lines"]) == lines
    return dict(found)


def complaints(stderr: str) -> list[str]:
    """What stands on standard error beside what a run says at its beginning, and at its end if that takes long."""
    return [line for line in stderr.splitlines() if not line.startswith(("atrains: created task", "atrains: kept in", "atrains: waiting"))]


def journals(home: Path) -> list[str]:
    return [folder.name for folder in (home / "journals").iterdir()]
