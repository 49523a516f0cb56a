"""Disks that are full, small, read-only or gone: the program ends with its own result, and every event is accounted for."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from atrains.testing import RunningServer
from tests.conftest import Finished, User, finish

REPORTING = """
import json, os, sys, time
from atrains import Task, errors

seconds, rest = map(float, sys.argv[1:])
task = Task.init("disks", "trouble", auto_connect_streams=False)
logger = task.get_logger()
points = lines = raised = 0


def report(count):
    global points, lines, raised
    for _ in range(count):
        points += 1
        try:
            logger.report_scalar("t", str(points % 3), points, points)
        except errors.JournalFullError:
            raised += 1
        if points % 100 == 0:
            try:
                lines += 1
                logger.report_text(f"line {lines}", print_console=False)
                points += 10
                logger.report_scalars("a", "b", values=[0.5] * 10, iterations=range(10))
            except errors.JournalFullError:
                raised += 1


def ledger(stats):
    return [[kind.acknowledged, kind.pending, dict(kind.dropped)] for kind in (stats.scalars, stats.logs)]


def show(**found):
    print(json.dumps({"points": points, "lines": lines, "raised": raised, **found}), flush=True)


def tell():
    stats = task.stats()
    show(ledger=ledger(stats), in_memory=stats.in_memory)


report(20_000)
tell()
sys.stdin.readline()
until = time.monotonic() + seconds
while time.monotonic() < until:
    report(1000)
    time.sleep(rest)
tell()
sys.stdin.readline()
receipt = task.flush(timeout=20)
show(ledger=ledger(receipt), error=receipt.error)
sys.exit(5)
"""
SOAK = bool(os.environ.get("ATRAINS_SOAK"))
SECONDS = "10" if SOAK else "0.7"


class Disk:
    """A file system of its own."""

    def __init__(self, place: Path, size: str) -> None:
        place.mkdir()
        self.path = place
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(place)], check=True, capture_output=True)

    def fill(self) -> None:
        with (self.path / "ballast").open("ab", buffering=0) as file, pytest.raises(OSError, match="No space"):
            file.writelines(bytes(4096) for _ in range(1_000_000))

    def clear(self) -> None:
        (self.path / "ballast").unlink()

    def forbid(self) -> None:
        """Let nothing be written any more."""
        subprocess.run(["mount", "-o", "remount,ro", str(self.path)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        pytest.skip("only root can mount a file system")
    try:
        made = Disk(tmp_path / "disk", "48m")
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("file systems cannot be mounted here")
    yield made
    subprocess.run(["umount", "-l", str(made.path)], check=True)


class Program:
    """The program above, step by step."""

    def __init__(self, user: User, home: Path, *, rest: float = 0.001, **variables: str) -> None:
        self.process = user.start(REPORTING, SECONDS, str(rest), ATRAINS_HOME=str(home), **variables)
        self.said = [self._read()]

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(finish(self.process))
        said: dict[str, Any] = json.loads(line)
        for events, (acknowledged, pending, dropped) in zip((said["points"], said["lines"]), said["ledger"], strict=True):
            assert acknowledged + pending + sum(dropped.values()) == events, said
        return said

    def go_on(self) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self.said.append(self._read())
        return self.said[-1]

    def end(self) -> Finished:
        finished = finish(self.process)
        assert finished.code == 5, finished
        assert "Traceback" not in finished.stderr
        return finished


def test_a_disk_that_fills_up_costs_nothing_once_it_has_room_again(user: User, disk: Disk) -> None:
    # Some hundred thousand points, however long it takes: more than the memory or this small disk has room for would have to be dropped.
    program = Program(user, disk.path / "home", rest=0.02 if SOAK else 0.001)
    disk.fill()
    said = program.go_on()
    assert said["in_memory"]
    disk.clear()
    said = program.go_on()
    assert said["error"] is None
    assert [kind[1:] for kind in said["ledger"]] == [[0, {}], [0, {}]]
    program.end()
    assert list((disk.path / "home" / "journals").iterdir()) == []


def test_a_disk_that_stays_full_ends_nothing_but_the_room(user: User, disk: Disk) -> None:
    program = Program(user, disk.path / "home")
    disk.fill()
    assert program.go_on()["in_memory"]
    assert "full" in program.go_on()["error"]
    finished = program.end()
    assert "not everything was stored" in finished.stderr
    disk.clear()
    synced = subprocess.run(
        [sys.executable, "-m", "atrains", "sync", "--json"],
        env=user.environment(ATRAINS_HOME=str(disk.path / "home")), capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert synced.returncode == 0, synced.stderr
    assert list((disk.path / "home" / "journals").iterdir()) == []


def size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # it has just been delivered
        return 0


QUOTAS = [
    (policy, size) for policy in ("drop_oldest", "drop_new", "block", "raise") for size in ("65536", *(("1", "1048576") if SOAK else ()))
]


@pytest.mark.parametrize(("policy", "size"), [*QUOTAS, *([] if SOAK else [("drop_oldest", "1")])])
def test_a_small_quota_is_kept_and_the_ledger_balances(user: User, atrains_home: Path, policy: str, size: str) -> None:
    if policy == "block" and size == "1":
        pytest.skip("it would wait for room that there never is")
    program = Program(user, atrains_home, ATRAINS_JOURNAL_MAX_BYTES=size, ATRAINS_JOURNAL_OVERFLOW=policy)
    program.go_on()
    (journal,) = (atrains_home / "journals").glob("[0-9]*")
    assert sum(map(size_of, journal.glob("*-*"))) <= int(size)
    said = program.go_on()
    dropped = [sum(kind[2].values()) for kind in said["ledger"]]
    assert {reason for kind in said["ledger"] for reason in kind[2]} <= {"journal full", "no room"}
    if policy == "block":
        assert dropped == [0, 0]
    if policy == "raise":
        assert (said["raised"] > 0) == (sum(dropped) > 0)
    program.end()


def test_a_home_that_is_removed_while_the_program_runs_ends_nothing(user: User, tmp_path: Path) -> None:
    program = Program(user, tmp_path / "gone")
    shutil.rmtree(tmp_path / "gone")
    assert program.go_on()["in_memory"]
    assert "removed" in program.go_on()["error"]
    finished = program.end()
    assert "not everything was stored" in finished.stderr
    assert not (tmp_path / "gone" / "journals").exists()


def test_journals_that_cannot_be_written_are_in_memory(user: User, disk: Disk, tmp_path: Path) -> None:
    (disk.path / "journals").mkdir()
    disk.forbid()
    program = Program(user, tmp_path / "writable", ATRAINS_JOURNAL_DIRECTORY=str(disk.path / "journals"))
    assert program.said[0]["in_memory"]
    program.go_on()
    said = program.go_on()
    assert said["error"] is None
    assert [kind[1:] for kind in said["ledger"]] == [[0, {}], [0, {}]]
    program.end()


CATCHING = """
import sys
from atrains import Task, errors

try:
    Task.init("disks", "trouble", auto_connect_streams=False)
except errors.HomeError as error:
    print(error)
sys.exit(5)
"""


def test_a_home_that_cannot_be_written_from_the_start_is_named_and_can_be_caught(run_script: Callable[..., Finished], disk: Disk) -> None:
    disk.forbid()
    done = run_script(CATCHING, ATRAINS_HOME=str(disk.path / "home"))
    assert done.code == 5, done
    assert str(disk.path / "home") in done.stdout
    assert "ATRAINS_HOME" in done.stdout


SENDING = """
from atrains import Task

task = Task.init("disks", "trouble", auto_connect_streams=False)
task.get_logger().report_scalar("t", "s", 1.0, 1)
assert task.flush(timeout=10)
"""


@pytest.mark.parametrize("place", ["home", "a file/home"])
def test_a_machine_that_cannot_be_written_records_to_a_server(
    run_script: Callable[..., Finished], disk: Disk, atrains_server: RunningServer, place: str
) -> None:
    """A container with a read-only file system, and `Task.init` as every script has it."""
    (disk.path / "a file").touch()
    disk.forbid()
    done = run_script(SENDING, ATRAINS_HOME=str(disk.path / place), ATRAINS_API_HOST="", ATRAINS_QUIET="0", **atrains_server.environment)
    assert done.code == 0, done
    assert "a new task is made" in done.stderr


KILLED = """
import os, signal, sys, time
from atrains import Task

task = Task.init("disks", "memory", auto_connect_streams=False)
logger = task.get_logger()
time.sleep(0.3)
for number in range(1000):
    logger.report_scalar("t", "s", number, number)
    logger.report_text("a line", print_console=False)
if sys.argv[1] == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
assert task.flush(timeout=10)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
@pytest.mark.parametrize("durability", ["memory", "process"])
def test_what_is_only_in_memory_is_lost_with_the_process_and_its_run_is_ended_all_the_same(
    run_script: Callable[..., Finished], read_task: Callable[..., Any], durability: str
) -> None:
    killed = run_script(KILLED, "kill", ATRAINS_JOURNAL_DURABILITY=durability)
    assert killed.code == -signal.SIGKILL
    assert run_script("from atrains import Task; Task.init('disks', 'another').close()").code == 0
    task = read_task(*killed.task_ids)
    assert task["status"] == "failed"
    found = task["scalars"].get("t", {}).get("s", {}).get("x", [])
    assert len(found) == (1000 if durability == "process" else 0)
    whole = run_script(KILLED, "end", ATRAINS_JOURNAL_DURABILITY=durability)
    assert whole.code == 0, whole.stderr
    assert len(read_task(*whole.task_ids)["scalars"]["t"]["s"]["x"]) == 1000


POWER = """
import os, shutil, sys
from atrains import Task

task = Task.init("disks", "power", auto_connect_streams=False)
logger = task.get_logger()
task.flush(timeout=10)
print("ready", flush=True)
sys.stdin.readline()
for number in range(30_000):
    logger.report_scalar("t", "s", number, number)
for number in range(10):
    logger.report_text(f"a line {number}", print_console=False)
os.write(2, b"BEGIN")
receipt = task.flush(timeout=float(sys.argv[1]))
os.write(2, b"END")
stats = task.stats()
shutil.copytree(stats.journal, "snapshot", dirs_exist_ok=True)
print(receipt.scalars.acknowledged, receipt.scalars.pending, flush=True)
sys.stdin.readline()
"""

KILLED_IN_POWER = """
import os, signal
from atrains import Task

logger = Task.init("disks", "killed", auto_connect_streams=False).get_logger()
for number in range(1000):
    logger.report_scalar("t", "s", number, number)
os.kill(os.getpid(), signal.SIGKILL)
"""


SYNCS = frozenset({"fsync", "fdatasync"})


@dataclass(frozen=True)
class TracedCall:
    """A system call in a trace of strace: the lines at which it began and had ended, and the file (or the text) that it was about."""

    name: str
    text: str
    started: int
    ended: int

    @property
    def file(self) -> str:
        return Path(self.text).name


def traced_calls(trace: Path) -> list[TracedCall]:
    calls: list[TracedCall] = []
    open_calls: dict[str, tuple[str, str, int]] = {}
    for number, line in enumerate(trace.read_text(errors="replace").splitlines()):
        thread, _, rest = line.partition(" ")
        if re.match(r"\s*<\.\.\. \w+ resumed>", rest):
            if thread in open_calls:
                name, text, started = open_calls.pop(thread)
                calls.append(TracedCall(name, text, started, number))
            continue
        found = re.match(r"\s*(\w+)\((?:2<[^>]*>, (.*)|\d+<([^>]*)>|(.*))", rest)
        if found is None:
            continue
        name, text = found[1], found[2] or found[3] or found[4] or ""
        if rest.endswith("<unfinished ...>"):
            open_calls[thread] = (name, text, number)
        else:
            calls.append(TracedCall(name, text, number, number))
    return sorted(calls, key=lambda call: call.started)


def check_synced_before_let_go(calls: list[TracedCall]) -> None:
    """Whatever the home had taken by then was on its disk before a journal let go of its own copy."""
    gone = [call for call in calls if call.name == "unlink" and re.search(r"/journals/\S+/scalars-\d", call.text)]
    assert gone
    for unlink in gone:
        events = [call for call in calls if call.text.endswith("/events/scalars") and call.started < unlink.started]
        stored = [call for call in events if call.name in {"write", "writev"}]
        assert stored
        assert any(call.name in SYNCS and stored[-1].ended < call.started and call.ended < unlink.started for call in events), unlink


STRACE = ("strace", "-f", "-y", "-s", "4096", "-e", "trace=fdatasync,fsync,write,writev,unlink", "-o")
"""What was written to which file, and when which of them was synced."""


@pytest.mark.parametrize("home_is_up", [True, False], ids=["delivered", "not delivered"])
@pytest.mark.skipif(shutil.which("strace") is None, reason="no strace")
def test_what_a_returned_flush_covered_is_on_the_disk(user: User, atrains_home: Path, home_is_up: bool) -> None:
    (user.directory / "power.py").write_text(POWER)
    trace = user.directory / "trace"
    command = [*STRACE, str(trace), sys.executable, "power.py", "20" if home_is_up else "1"]
    process = subprocess.Popen(
        command, cwd=user.directory, env=user.environment(ATRAINS_JOURNAL_DURABILITY="power"),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    with sqlite3.connect(atrains_home / "index.db", isolation_level=None) as index:
        if not home_is_up:
            index.execute("BEGIN EXCLUSIVE")
        process.stdin.write("\n")
        process.stdin.flush()
        acknowledged, pending = map(int, process.stdout.readline().split())
        if not home_is_up:
            index.execute("ROLLBACK")
    index.close()
    assert finish(process).code == 0
    assert acknowledged + pending == 30_000
    calls = traced_calls(trace)
    begin = next(call.started for call in calls if '"BEGIN"' in call.text)
    end = next(call.started for call in calls if '"END"' in call.text)
    synced = {call.file.rstrip("0123456789") for call in calls if call.name in SYNCS and begin < call.started and call.ended < end}
    if home_is_up:
        assert pending == 0
        assert {"scalars", "logs", "task.json", "events"} <= synced
        check_synced_before_let_go(calls)
        return
    assert pending == 30_000
    assert {"scalars-", "records-", "series", "jobs"} <= synced
    points = []
    for path in (user.directory / "snapshot").glob("scalars-*"):
        points += [number for number, *_, series in struct.iter_unpack("<qddII", path.read_bytes()) if series]
    assert sorted(points) == list(range(30_000))
    content = b"".join(path.read_bytes() for path in (user.directory / "snapshot").glob("records-*"))
    assert all(b"a line %d" % number in content for number in range(10))


@pytest.mark.skipif(shutil.which("strace") is None, reason="no strace")
def test_what_is_recovered_is_on_the_disk_before_its_journal_goes(user: User) -> None:
    power = {"ATRAINS_JOURNAL_DURABILITY": "power"}
    killed = user.run(KILLED_IN_POWER, **power)
    assert killed.code == -signal.SIGKILL
    trace = user.directory / "trace"
    command = [*STRACE, str(trace), sys.executable, "-m", "atrains", "sync"]
    subprocess.run(command, cwd=user.directory, env=user.environment(**power), capture_output=True, check=True, timeout=120)
    check_synced_before_let_go(traced_calls(trace))


STALLED = """
import asyncio, json, os, threading, time
from atrains import Task

slow = 0
real = os.fdatasync


def fdatasync(descriptor):
    global slow
    slow += 1
    time.sleep(0.3)  # a disk that takes its time; the interpreter is as free as it is in the real call
    real(descriptor)


async def main():
    async with Task.ainit("disks", "power") as task:
        logger = task.get_logger()
        ticks, points, done = [], [0], threading.Event()

        async def tick():
            while True:
                ticks.append(time.monotonic())
                await asyncio.sleep(0.001)

        def report():
            while not done.is_set():
                logger.report_scalar("t", "s", points[0], points[0])
                points[0] += 1
                time.sleep(0.0001)

        thread = threading.Thread(target=report)
        thread.start()
        await asyncio.sleep(0.1)
        os.fdatasync = fdatasync
        ticking = asyncio.create_task(tick())
        before, begin = points[0], time.monotonic()
        await task.flush(timeout=20)
        took, reported = time.monotonic() - begin, points[0] - before
        ticking.cancel()
        os.fdatasync = real
        done.set()
        thread.join()
        late = max(second - first for first, second in zip(ticks, ticks[1:]))
        print(json.dumps({"slow": slow, "took": took, "late": late, "reported": reported}))


asyncio.run(main())
"""


@pytest.mark.skipif(not hasattr(os, "fdatasync"), reason="no fdatasync")
def test_a_slow_disk_stalls_neither_the_loop_nor_other_threads(run_script: Callable[..., Finished]) -> None:
    done = run_script(STALLED, ATRAINS_JOURNAL_DURABILITY="power")
    assert done.code == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["slow"] >= 2
    assert said["took"] > 0.6
    assert said["late"] < 0.25, said
    assert said["reported"] > 500, said
