"""SIGKILL at any moment: what a report call had taken is in the home in the end, once, and the run is known to have failed.

`ATRAINS_SOAK=1` makes fifty kills a thousand.
"""

from __future__ import annotations

import json
import mmap
import os
import random
import signal
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from atrains._local.store import Store, open_home
from atrains._local.streams import read_records
from atrains._wire.events import EventKind
from tests.process.kills import (
    SOAK,
    processes_to_end,  # noqa: F401  # a fixture
    sync,
)

if TYPE_CHECKING:
    from atrains.testing import RunningServer
    from tests.conftest import User

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")

KILLS = 1000 if SOAK else 50
THREADS = 2
KINDS = ("points", "arrays", "texts", "plots")
ROWS = 10

REPORT = """
import mmap, sys, threading, time
from atrains import Task
from atrains._engine import records, segments

records.FILE_BYTES, segments.SLOTS = 150_000, 20_000  # small, so that files are finished and deleted in the middle of the run
path, seconds, flushes, rest = sys.argv[1], float(sys.argv[2]), sys.argv[3] == "flushes", float(sys.argv[4])
with open(path, "r+b") as file:
    shared = mmap.mmap(file.fileno(), 4096)
counts = memoryview(shared).cast("Q")  # in one step, while `struct.pack_into` clears the place first: a kill can come between
task = Task.init("kills", "killed", reuse_last_task_id=False, auto_connect_streams=False)
shared[2048:2080] = task.id.encode()
logger = task.get_logger()
end = time.monotonic() + seconds

def report(thread):
    place, points, rounds = thread * 4, 0, 0
    while time.monotonic() < end:
        for _ in range(40):
            logger.report_scalar("points", str(thread), value=points / 2, iteration=points)
            points += 1
            counts[place] = points
        steps = range(rounds * 10, rounds * 10 + 10)
        logger.report_scalars("arrays", str(thread), values=[step / 4 for step in steps], iterations=steps)
        counts[place + 1] = rounds + 1
        logger.report_text(f"{thread} {rounds}", print_console=False)
        counts[place + 2] = rounds + 1
        logger.report_plotly("plots", str(thread), rounds, {"data": [{"y": [rounds]}]})
        counts[place + 3] = rounds + 1
        rounds += 1
        if rest:
            time.sleep(rest)

def flush():
    while time.monotonic() < end:
        logger.flush()
        time.sleep(0.03)

threads = [threading.Thread(target=report, args=(thread,)) for thread in range(2)]
threads += [threading.Thread(target=flush)] if flushes else []
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
shared[2100] = 1
task.close()
shared[2101] = 1
"""


@dataclass
class Reporting:
    """A process that reports, and what it counted."""

    process: subprocess.Popen[str]
    shared: mmap.mmap

    @property
    def task(self) -> str:
        return self.shared[2048:2080].rstrip(b"\0").decode()

    @property
    def has_reported(self) -> bool:
        return any(struct.unpack_from("8Q", self.shared))

    @property
    def is_reporting(self) -> bool:
        """Whether it stands between its first report and its last."""
        return self.has_reported and not self.shared[2100]

    @property
    def is_closing(self) -> bool:
        return bool(self.shared[2100])

    def counts(self) -> list[dict[str, int]]:
        """How many calls of each kind returned, by thread."""
        return [dict(zip(KINDS, struct.unpack_from("4Q", self.shared, thread * 32), strict=True)) for thread in range(THREADS)]


@dataclass
class Tally:
    """What was killed."""

    kills: int = 0
    while_reporting: int = 0
    while_recovering: int = 0
    killed: list[Reporting] = field(default_factory=list)


def recovered_by(process: subprocess.Popen[str], home: Path) -> Path | None:
    """The journal that a process recovers at this moment: the kernel knows who holds which lock."""
    with open("/proc/locks", encoding="ascii") as locks:
        fields = [line.split() for line in locks]
    held = {int(field[5].rpartition(":")[2]) for field in fields if (field[1], field[4]) == ("FLOCK", str(process.pid))}
    for folder in (home / "journals").glob("recovering-*") if held else ():
        try:
            if (folder / "lock").stat().st_ino in held:
                return folder
        except FileNotFoundError:
            continue
    return None


def wait_for(process: subprocess.Popen[str], condition: Any) -> bool:
    """Wait until something is so; False when the process ended before."""
    deadline = time.monotonic() + 60
    while process.poll() is None:
        if condition():
            return True
        assert time.monotonic() < deadline
        time.sleep(0.0005)
    return False


class Killer:
    """Starts processes and kills them at a moment that the random numbers choose."""

    def __init__(self, user: User, seed: int, processes: list[subprocess.Popen[str]]) -> None:
        self.user = user
        self.random = random.Random(seed)
        self.processes = processes
        self.tally = Tally()
        self.numbers = iter(range(1_000_000))

    def start(self, seconds: float) -> Reporting:
        path = self.user.directory / f"shared-{next(self.numbers)}"
        path.write_bytes(bytes(4096))
        with path.open("r+b") as file:
            shared = mmap.mmap(file.fileno(), 4096)
        flushes, rest = self.random.choice(["flushes", "waits"]), self.random.choice([0, 0, 0.0005])
        process = self.user.start(REPORT, str(path), str(seconds), flushes, str(rest))
        self.processes.append(process)
        return Reporting(process, shared)

    def kill(self, process: subprocess.Popen[str]) -> bool:
        process.send_signal(signal.SIGKILL)
        _, stderr = process.communicate()
        assert not any(word in stderr for word in ("Traceback", "Error", "no room")), stderr
        self.processes.remove(process)
        if process.returncode == -signal.SIGKILL:
            self.tally.kills += 1
        return process.returncode == -signal.SIGKILL

    def while_reporting(self) -> None:
        child = self.start(30)
        assert wait_for(child.process, lambda: child.has_reported)
        time.sleep(self.random.uniform(0, 0.3))
        self.finish(child)

    def near_the_end(self) -> None:
        child = self.start(0.1)
        assert wait_for(child.process, lambda: child.is_closing)
        time.sleep(self.random.uniform(0, 0.15))
        self.finish(child)

    def while_reporting_and_recovering(self) -> None:
        child = self.start(30)
        deadline = time.monotonic() + 1
        assert wait_for(child.process, lambda: recovered_by(child.process, self.user.home) or time.monotonic() > deadline)
        assert wait_for(child.process, lambda: child.has_reported)
        time.sleep(self.random.uniform(0, 0.02))
        self.finish(child)

    def while_syncing(self) -> None:
        process = subprocess.Popen(
            [sys.executable, "-m", "atrains", "sync"],
            env=self.user.environment(),
            cwd=self.user.directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        if wait_for(process, lambda: recovered_by(process, self.user.home)):
            time.sleep(self.random.uniform(0, 0.05))
        recovered = recovered_by(process, self.user.home)
        if self.kill(process):
            self.tally.while_recovering += recovered is not None

    def finish(self, child: Reporting) -> None:
        reporting, recovered = child.is_reporting, recovered_by(child.process, self.user.home)
        if self.kill(child.process):
            self.tally.while_reporting += reporting
            self.tally.while_recovering += recovered is not None
        self.tally.killed.append(child)


@contextmanager
def opened(home: Path) -> Iterator[Store]:
    store = open_home(home)
    yield store
    store.close()


class Homes:
    """Where what was reported is looked at: the home of the user, or that of the server which the user reports to."""

    def __init__(self, kind: str, user: User, server: RunningServer | None) -> None:
        self.keeps_spans = server is None
        self.path = user.home if server is None else server.home
        self.user = user if server is None else replace(user, variables=server.environment)
        self.kind = kind
        self.requests: list[Any] = [] if server is None else server.requests


@pytest.fixture(params=["local", "server"])
def homes(request: pytest.FixtureRequest, user: User) -> Homes:
    server = request.getfixturevalue("atrains_server") if request.param == "server" else None
    return Homes(request.param, user, server)


def stored(store: Store, task: str) -> dict[tuple[str, str], list[int]]:
    """The numbers that the home holds, by kind and thread, in order of their place there."""
    found: dict[tuple[str, str], list[int]] = {}
    for block in store.read_scalars(task):
        series = block.series if block.series is not None else [0] * len(block)
        for number, iteration, value in zip(series, block.iterations, block.values, strict=True):
            kind, thread = block.names[number]
            assert value == iteration / (2 if kind == "points" else 4), f"a point is not what was reported: {kind} {iteration} {value}"
            found.setdefault((kind, thread), []).append(iteration)
    folder = store.task_folder(task)
    for line in read_records(folder, EventKind.LOGS):
        thread, _, number = line["msg"].partition(" ")
        found.setdefault(("texts", thread), []).append(int(number))
    for plot in read_records(folder, EventKind.PLOTS):
        assert json.loads(plot["plot_str"])["data"] == [{"y": [plot["iter"]]}]
        found.setdefault(("plots", plot["variant"]), []).append(plot["iter"])
    return found


def check(store: Store, child: Reporting, *, once: bool) -> None:
    """Compare what a process counted with what is stored.

    Args:
        store: The home.
        child: The process.
        once: Whether everything is stored once; else that holds for console lines, and whatever else is there twice is the same event.
    """
    found = stored(store, child.task)
    if not once:
        found = {(kind, thread): numbers if kind == "texts" else [*dict.fromkeys(numbers)] for (kind, thread), numbers in found.items()}
    for thread, counts in enumerate(child.counts()):
        for kind, returned in counts.items():
            numbers = found.pop((kind, str(thread)), [])
            rows = ROWS if kind == "arrays" else 1
            where = f"{kind} of thread {thread} of task {child.task}"
            twice = sorted(number for number, times in Counter(numbers).items() if times > 1)
            assert not twice, f"{where}: {len(twice)} stored twice, {twice[0]} to {twice[-1]}"
            lost = sorted(set(range(returned * rows)) - set(numbers))
            assert not lost, f"{where}: {len(lost)} of {returned * rows} lost, {lost[0]} to {lost[-1]}"
            invented = sorted(set(numbers) - set(range((returned + 1) * rows)))
            assert not invented, f"{where}: {len(invented)} were never reported, {invented[0]} to {invented[-1]}"
            assert len(numbers) in {returned * rows, (returned + 1) * rows}, f"{where}: a part of a call"
            if kind != "points":  # of two threads that report, each keeps its order
                assert numbers == sorted(numbers), f"{where}: out of order"
    assert not found
    record = store.record(child.task)
    ending = (record["status"], record.get("status_reason"))
    if child.is_closing:
        assert ending in {("failed", "process ended without closing"), ("completed", "completed")}
    else:
        assert ending == ("failed", "process ended without closing")


@pytest.mark.timeout(3000)
@pytest.mark.skipif(not os.path.exists("/proc/locks"), reason="cannot tell when a process recovers")
def test_a_thousand_kills_lose_nothing_and_double_nothing(homes: Homes, processes: list[subprocess.Popen[str]]) -> None:
    user = homes.user
    seed = random.randrange(1 << 32)
    print("seed", seed)  # noqa: T201  # shown when it fails
    killer = Killer(user, seed, processes)
    plan = [killer.while_reporting] * 4 + [killer.near_the_end] + [killer.while_syncing] * 2 + [killer.while_reporting_and_recovering] * 5
    began = time.monotonic()
    while killer.tally.kills < KILLS:
        killer.random.shuffle(plan)
        for step in (killer.while_reporting, *plan):  # first something to recover
            step()
        code, outcome = sync(user)
        assert (code, outcome["left"], outcome["refused"]) == (0, [], {}), f"seed {seed}, {killer.tally.kills} kills"
        assert all(part["torn"] for part in outcome["damaged"]), f"seed {seed}, {killer.tally.kills} kills: {outcome['damaged']}"
        assert [*(user.home / "journals").iterdir()] == [], f"seed {seed}, {killer.tally.kills} kills"
        with opened(homes.path) as store:
            for child in killer.tally.killed:
                check(store, child, once=homes.keeps_spans)
                child.shared.close()
        killer.tally.killed.clear()
        homes.requests.clear()  # every event of every request is kept there: gigabytes, in a soak
    tally = killer.tally
    print(  # noqa: T201
        f"{tally.kills} kills, {tally.while_reporting} of them between the first report and the last, "
        f"{tally.while_recovering} in a recovery; {time.monotonic() - began:.0f} s"
    )
    assert tally.while_reporting >= tally.kills * 3 / 4
    assert tally.while_recovering >= tally.kills / 3
