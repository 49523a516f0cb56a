"""What a user meets after a process was killed: the next run, `atrains sync`, reuse, and what goes on."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.process.kills import (
    SOAK,
    processes_to_end,  # noqa: F401  # a fixture
    sync,
)

if TYPE_CHECKING:
    from tests.conftest import User

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")

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
