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

if TYPE_CHECKING:
    from atrains.testing import RunningServer
    from tests.conftest import User

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")

SOAK = os.environ.get("ATRAINS_SOAK") == "1"
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


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[str]]]:
    """Processes to end after the test, whatever became of it."""
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


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


def sync(user: User, *arguments: str) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "atrains", "sync", "--json", *arguments],
        env=user.environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout)


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


# ---- what a user meets after a kill

KILLED = """
import os, signal, sys
from atrains import Task

task = Task.init("kills", "again", reuse_last_task_id=True, auto_connect_streams=False)
task.connect({"rate": 0.1})
logger = task.get_logger()
for number in range(100):
    logger.report_scalar("loss", "train", value=number, iteration=number)
logger.report_text("before the kill", print_console=False)
print(task.id, flush=True)
if "wait" in sys.argv:
    sys.stdin.readline()
if "completes" not in sys.argv:
    os.kill(os.getpid(), signal.SIGKILL)
"""


def journals_of(home: Path) -> list[Path]:
    return sorted((home / "journals").iterdir())


def test_a_killed_run_is_found_by_the_next_one(user: User, read_task: Any) -> None:
    killed = user.run(KILLED)
    assert killed.code == -signal.SIGKILL
    task = killed.stdout.strip()
    after = user.run(KILLED, "completes")
    assert after.code == 0, after.stderr
    assert after.stdout.strip() != task, "a run that was killed must not be overwritten by the next one"
    assert f"task {task} is not reused" in after.stderr
    read = read_task(task)
    assert (read["status"], read["reason"]) == ("failed", "process ended without closing")
    assert read["scalars"]["loss"]["train"]["x"] == list(range(100))
    assert read["console"] == ["before the kill"]
    assert journals_of(user.home) == []
    third = user.run(KILLED, "completes")
    assert third.stdout.strip() == after.stdout.strip(), "a run that completed is reused, as documented"


def test_sync_says_what_it_delivered_and_what_it_left(user: User, processes: list[subprocess.Popen[str]]) -> None:
    running = user.start(KILLED, "wait")
    processes.append(running)
    assert running.stdout is not None
    running.stdout.readline()
    killed = user.run(KILLED, name="killed.py").stdout.strip()
    foreign = user.home / "journals" / f"1-{'a' * 32}"
    foreign.mkdir()
    for name in ("lock", "series", "jobs"):
        (foreign / name).touch()
    description = {"format": 1, "journal": "a" * 32, "target": "me@https://api.elsewhere", "created": 1.0}
    (foreign / "journal.json").write_text(json.dumps(description))
    command = [sys.executable, "-m", "atrains", "sync", "--home", str(user.home)]
    said = subprocess.run(command, env=user.environment(ATRAINS_HOME="/nowhere"), capture_output=True, text=True, timeout=60, check=False)
    assert (said.returncode, said.stderr) == (0, ""), "running processes and other homes are no failure"
    lines = said.stdout.splitlines()
    assert lines[:3] == [
        "delivered 1 journal: 100 points, 1 console lines",
        f"task {killed} is now failed",
        f"left {foreign}: it belongs to me@https://api.elsewhere",
    ]
    assert len(lines) == 4
    assert "its process is still running" in lines[3]
    running.kill()
    running.wait()
    code, outcome = sync(user)
    assert (code, [left["reason"] for left in outcome["left"]]) == (0, ["foreign"])
    assert [*outcome["statuses"].values()] == ["failed"]
    assert (outcome["refused"], outcome["damaged"]) == ({}, [])


def test_sync_fails_when_something_stays_behind_that_should_not(user: User) -> None:
    task = user.run(KILLED).stdout.strip()
    events = user.home / "tasks" / task / "events"
    for path in events.iterdir():
        path.unlink()
    events.rmdir()
    events.write_text("in the way")
    code, outcome = sync(user)
    assert code == 1
    assert [left["reason"] for left in outcome["left"]] == ["not now"]
    assert outcome["journals"] == []
    events.unlink()
    events.mkdir()
    code, outcome = sync(user)
    assert (code, outcome["left"], outcome["events"]) == (0, [], {"scalars": 100, "logs": 1, "plots": 0, "images": 0})


def test_sync_without_anything_to_do_says_so(user: User) -> None:
    user.run(KILLED, "completes")
    command = [sys.executable, "-m", "atrains", "sync"]
    said = subprocess.run(command, env=user.environment(), capture_output=True, text=True, timeout=60, check=False)
    assert (said.returncode, said.stdout, said.stderr) == (0, "nothing was left behind\n", "")


def test_a_run_is_not_reused_while_its_process_lives(user: User, processes: list[subprocess.Popen[str]]) -> None:
    living = user.start(KILLED, "wait", "completes", name="living.py")
    processes.append(living)
    assert living.stdout is not None
    task = living.stdout.readline().strip()
    other = user.run(KILLED, "completes")
    assert other.stdout.strip() != task
    for choice, done in ((f"reuse_last_task_id='{task}'", "reused"), (f"continue_last_task='{task}'", "continued")):
        named = user.run(f"from atrains import Task\nprint(Task.init('kills', 'again', {choice}).id)")
        assert named.stdout.strip() != task
        assert f"task {task} is not {done}: its run is still going on" in named.stderr


def test_a_killed_run_can_be_gone_on_with_at_once(user: User, read_task: Any) -> None:
    task = user.run(KILLED).stdout.strip()
    script = """
from atrains import Task
task = Task.init("kills", "again", continue_last_task=True, auto_connect_streams=False)
task.get_logger().report_scalar("loss", "train", value=-1, iteration=0)
print(task.id)
"""
    continued = user.run(script)
    assert continued.stdout.strip() == task, continued.stderr
    read = read_task(task)
    assert read["scalars"]["loss"]["train"]["x"] == list(range(101))
    assert read["status"] == "completed"


@pytest.mark.parametrize("choice", ["reuse_last_task_id=True", "continue_last_task=True"])
def test_processes_that_start_together_never_take_the_same_task(user: User, processes: list[subprocess.Popen[str]], choice: str) -> None:
    user.run(KILLED, "completes")
    script = f"""
import sys
from atrains import Task
from atrains._config import settings
settings()
print(flush=True)
sys.stdin.readline()
print(Task.init("kills", "again", {choice}, auto_connect_streams=False).id, flush=True)
sys.stdin.readline()
"""
    for _ in range(10 if SOAK else 2):
        started = [user.start(script, name="together.py") for _ in range(6)]
        processes += started
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == "\n", process.communicate()[1]
        for process in started:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        tasks = Counter(process.stdout.readline().strip() for process in started if process.stdout is not None)
        assert set(tasks.values()) == {1}, tasks
        for process in started:
            process.communicate("\n", timeout=60)
            assert process.returncode == 0


@pytest.mark.parametrize("flushes", [True, False])
def test_what_was_reset_in_the_middle_of_a_run_stays_away_after_a_kill(user: User, read_task: Any, flushes: bool) -> None:
    script = f"""
import os, signal
from atrains import Task

task = Task.init("kills", "reset", reuse_last_task_id=False, auto_connect_streams=False)
logger = task.get_logger()

def report(numbers):
    for number in numbers:
        logger.report_scalar("loss", "train", value=number, iteration=number)
        logger.report_text(str(number), print_console=False)
    logger.report_scalars("array", "train", values=list(numbers), iterations=numbers)

report(range(100))
task.reset(set_started_on_success=True)
report(range(200, 250))
if {flushes}:
    assert task.flush()
    report(range(300, 310))
print(task.id, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = user.run(script)
    task = killed.stdout.strip()
    assert sync(user)[0] == 0
    read = read_task(task)
    later = [*range(200, 250), *(range(300, 310) if flushes else ())]
    assert read["scalars"]["loss"]["train"]["x"] == later
    assert read["scalars"]["array"]["train"]["x"] == later
    assert read["console"] == list(map(str, later))
    assert (read["status"], read["reason"]) == ("failed", "process ended without closing")


def test_a_task_that_its_own_process_reuses_does_not_get_its_past_back(user: User, read_task: Any) -> None:
    """The journal of a process that runs one task after the other holds what the earlier run had reported, too."""
    script = """
import os, signal
from atrains import Task

other = Task.create("kills", "beside")
other.get_logger().report_text("keeps the journal open", print_console=False)
for numbers in (range(100), range(200, 250)):
    task = Task.init("kills", "again and again", auto_connect_streams=False)
    for number in numbers:
        task.get_logger().report_scalar("loss", "train", value=number, iteration=number)
    if 0 in numbers:
        first = task.id
        task.close()
assert task.id == first
print(task.id, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    task = user.run(script).stdout.strip()
    assert sync(user)[0] == 0
    assert read_task(task)["scalars"]["loss"]["train"]["x"] == list(range(200, 250))
