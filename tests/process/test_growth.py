"""Many runs in one process: nothing grows with how many there were, and nothing of them is left behind but their tasks.

`ATRAINS_SOAK=1` makes sixty runs a thousand, and twenty-five at once five hundred.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from atrains._local.store import open_home
from atrains._local.streams import read_records
from atrains._wire.events import EventKind

if TYPE_CHECKING:
    from tests.conftest import User

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="cannot tell which descriptors are open")

SOAK: Final = os.environ.get("ATRAINS_SOAK") == "1"
RUNS: Final = 1000 if SOAK else 60
WARM: Final = RUNS // 5
"""Runs after which everything that is made once has been made."""
AT_ONCE: Final = 500 if SOAK else 25
ROUNDS: Final = 4
POINTS: Final = 5

COMMON = """
import asyncio, collections, contextlib, gc, json, os, pathlib, resource, statistics, sys, threading, time
from atrains import Task
from atrains._local import connections
from atrains._portal.portal import running_portal

runs, warm, points = (int(argument) for argument in sys.argv[1:4])
marks = []

def report(task, number):
    log = task.get_logger()
    for step in range(points):
        log.report_scalar("loss", "train", value=number + step, iteration=step)
    log.report_text(f"run {number}", print_console=False)

async def forget_timers():
    "Have asyncio forget the timers that were cancelled, of which it keeps up to 100 and half of all, each with its context."
    loop = asyncio.get_running_loop()
    for timer in [loop.call_later(3600, int) for _ in range(1000)]:
        timer.cancel()
    await asyncio.sleep(0)

def fill_pools():
    "Have each home hold as many connections to its index as it keeps for the next calls, however many of them met so far."
    for pool in [held for held in gc.get_objects() if isinstance(held, connections.Connections) and not held._closed]:
        with contextlib.ExitStack() as lent:
            for _ in range(connections._KEPT_IDLE):
                lent.enter_context(pool.use())

def mark():
    "What this process holds."
    time.sleep(0.1)  # a worker thread that has just done its work still holds it for a moment
    if running_portal():
        asyncio.run_coroutine_threadsafe(forget_timers(), running_portal().loop).result()
    fill_pools()
    gc.collect()
    kinds = collections.Counter(f"{type(one).__module__}.{type(one).__qualname__}" for one in gc.get_objects())
    del kinds["weakref.ReferenceType"]  # a connection of sqlite3 keeps up to 200 of cursors that are gone
    descriptors = []
    for name in os.listdir("/proc/self/fd"):
        try:
            descriptors.append(os.readlink(f"/proc/self/fd/{name}"))
        except FileNotFoundError:
            pass  # the one that listed them
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[1])
    marks.append({
        "ours": {kind: count for kind, count in kinds.items() if kind.startswith("atrains.")},
        "objects": sum(kinds.values()),
        "blocks": sys.getallocatedblocks(),
        "descriptors": collections.Counter(descriptors),
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "jobs": len(asyncio.all_tasks(running_portal().loop)) if running_portal() else 0,
        "bytes": pages * resource.getpagesize(),
        "journals": [path.name for path in pathlib.Path(os.environ["ATRAINS_HOME"]).glob("journals/*")],
    })

def look_at_program(service):
    "Have it recorded now for a run that stays open, which is else done a moment later, in the midst of what is measured."
    capturing = getattr(getattr(service, "_core", service), "_capturing", None)
    if capturing is not None:  # a program that is switched off has none
        capturing.start().result()

def tell(seconds, **more):
    print(json.dumps({"marks": marks, "seconds": seconds, **more}))

def in_turn(run):
    "One run after the other, with marks after the first few and after the last; returns what each cost in processor time."
    seconds = []
    for number in range(runs):
        began = time.process_time()
        run(number)
        seconds.append(time.process_time() - began)
        if number + 1 in (warm, runs):
            mark()
    return seconds
"""

SCRIPTS: Final = {
    "closed": """
def run(number):
    task = Task.init("growth", f"run {number}", reuse_last_task_id=False)
    report(task, number)
    task.close()

tell(in_turn(run))
""",
    "in a block": """
def run(number):
    with Task.init("growth", f"run {number}") as task:
        report(task, number)

tell(in_turn(run))
""",
    "reused": """
def run(number):
    with Task.init("growth", "always the same") as task:
        report(task, number)

tell(in_turn(run))
""",
    "beside one that stays open": """
with Task.init("growth", "service") as service:
    look_at_program(service)
    service.flush()
    def run(number):
        with Task.create("growth", f"run {number}") as task:
            report(task, number)
    tell(in_turn(run))
""",
    "reused, beside one that stays open": """
service = Task.create("growth", "service")
report(service, 0)

def run(number):
    with Task.init("growth", "always the same") as task:
        report(task, number)

tell(in_turn(run))
service.close()
""",
    "each in a loop of its own": """
def run(number):
    async def main():
        async with Task.ainit("growth", f"run {number}") as task:
            report(task, number)
    asyncio.run(main())

tell(in_turn(run))
""",
}
LOOP = """
async def run(number):
    async with Task.ainit("growth", f"run {number}") as task:
        report(task, number)

async def in_turn():
    seconds, jobs = [], []
    for number in range(runs):
        began = time.process_time()
        await asyncio.create_task(run(number))  # as a server does for a request
        seconds.append(time.process_time() - began)
        if number + 1 in (warm, runs):
            await forget_timers()
            mark()
            jobs.append(len(asyncio.all_tasks()))
    tell(seconds, jobs=jobs)
"""
LOOPS: Final = {
    "in one loop": LOOP + "asyncio.run(in_turn())",
    "in one loop, beside one that stays open": LOOP
    + """
async def main():
    async with Task.ainit("growth", "service") as service:
        report(service, 0)
        await asyncio.to_thread(look_at_program, service)
        await service.flush()
        await in_turn()

asyncio.run(main())
""",
}

SIBLINGS = """
at_once, rounds = runs, int(sys.argv[4])

async def main():
    jobs, open_at_once = [], []
    for turn in range(rounds):
        everybody = asyncio.Barrier(at_once + 1)
        async def run(number):
            async with Task.ainit("growth", f"run {number}") as task:
                await everybody.wait()
                report(task, number)
                await everybody.wait()
        async with asyncio.TaskGroup() as group:
            for number in range(at_once):
                group.create_task(run(turn * at_once + number))
            await everybody.wait()
            open_at_once.append({
                "descriptors": len(os.listdir("/proc/self/fd")),
                "threads": threading.active_count(),
                "journals": len(os.listdir(os.environ["ATRAINS_HOME"] + "/journals")),
            })
            await everybody.wait()
        await forget_timers()
        mark()
        jobs.append(len(asyncio.all_tasks()))
    tell([], jobs=jobs, open_at_once=open_at_once)

asyncio.run(main())
"""

Measure = Callable[..., dict[str, Any]]


@pytest.fixture
def measure(user: User) -> Measure:
    """Run a script to its end and return what it told of itself."""

    def measure(script: str, *numbers: int, **variables: str) -> dict[str, Any]:
        with user.start(COMMON + script, *map(str, numbers), ATRAINS_QUIET="1", **variables) as process:
            try:
                stdout, stderr = process.communicate(timeout=1200 if SOAK else 120)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        assert (process.returncode, stderr) == (0, "")
        return dict(json.loads(stdout))

    return measure


def check_growth(before: dict[str, Any], after: dict[str, Any], runs: int) -> None:
    """Compare two marks with `runs` runs between them."""
    for held in ("descriptors", "threads", "jobs", "ours"):
        assert after[held] == before[held], held
    # Of everything else a little comes and goes: caches that fill, names that the interpreter keeps.
    assert after["objects"] - before["objects"] < 40 + runs / 10
    assert after["blocks"] - before["blocks"] < 800 + runs
    # SQLite keeps up to 2 MB of pages for each of its connections, and they fill as the index grows.
    assert after["bytes"] - before["bytes"] < (6 << 20)


def check_time(seconds: list[float]) -> None:
    """The last runs must not cost more than the first ones, whatever is in the home by then."""
    ten = len(seconds) // 10
    first, last = (sorted(part)[len(part) // 2] for part in (seconds[ten : 3 * ten], seconds[-2 * ten :]))
    assert last < 1.7 * first + 0.001, f"{1000 * first:.2f} ms of processor time became {1000 * last:.2f} ms"


def check_home(home: Path, expected: dict[str, int], status: str = "completed") -> None:
    """Every run is there, whole and with its status; beside the tasks nothing is left."""
    assert list((home / "journals").iterdir()) == []
    assert {path.name for path in home.iterdir()} <= {
        *("cache", "home.json", "index.db", "index.db-shm", "index.db-wal", "journals", "reuse.lock", "tasks", "writing")
    }
    store = open_home(home)
    found = {}
    for folder in (home / "tasks").iterdir():
        record = store.record(folder.name)
        number = expected.get(record["name"])
        if number is not None:
            assert record["status"] == status
            [block] = store.read_scalars(folder.name)
            assert list(block.values) == [number + step for step in range(POINTS)]
            assert [line["msg"] for line in read_records(folder, EventKind.LOGS)] == [f"run {number}"]
        found[record["name"]] = number
        assert {path.name for path in folder.iterdir()} == {"events", "files", "task.json"}
    store.close()
    assert {name: number for name, number in found.items() if number is not None} == expected
    assert not [path for path in (home / "cache").rglob("*") if path.is_file() and path.suffix != ".json"]


@pytest.mark.parametrize("manner", [*SCRIPTS, *LOOPS])
def test_runs_in_turn_leave_nothing_behind(manner: str, measure: Measure, atrains_home: Path) -> None:
    told = measure({**SCRIPTS, **LOOPS}[manner], RUNS, WARM, POINTS)
    before, after = told["marks"]
    check_growth(before, after, RUNS - WARM)
    check_time(told["seconds"])
    stays_open = manner.endswith("stays open")
    assert len(after["journals"]) == stays_open
    assert after["journals"] == before["journals"]
    if manner.startswith("reused"):
        check_home(atrains_home, {"always the same": RUNS - 1})
    else:
        drafts = manner == "beside one that stays open"  # what `create` makes stays one, whatever is reported to it
        check_home(atrains_home, {f"run {number}": number for number in range(RUNS)}, "created" if drafts else "completed")


@pytest.mark.parametrize("manner", ["in a block", "in one loop", "beside one that stays open"])
def test_runs_of_a_program_that_is_switched_off_leave_nothing_behind(manner: str, measure: Measure, atrains_home: Path) -> None:
    runs, warm = 1600, 400  # a multiple of what it remembers for who asks for the last ones
    told = measure({**SCRIPTS, **LOOPS}[manner], runs, warm, POINTS, ATRAINS_MODE="disabled")
    before, after = told["marks"]
    check_growth(before, after, runs - warm)
    check_time(told["seconds"])
    assert not atrains_home.exists()


@pytest.mark.timeout(1200)
def test_runs_at_once_share_what_they_hold_and_leave_nothing_behind(measure: Measure, atrains_home: Path) -> None:
    told = measure(SIBLINGS, AT_ONCE, 0, POINTS, ROUNDS)
    _, before, *_, after = told["marks"]
    check_growth(before, after, (ROUNDS - 2) * AT_ONCE)
    assert set(told["jobs"]) == {1}  # the main coroutine
    for held in told["open_at_once"]:
        assert held["journals"] == 1
        assert held["threads"] < 12
        assert held["descriptors"] < 40
    check_home(atrains_home, {f"run {number}": number for number in range(ROUNDS * AT_ONCE)})
