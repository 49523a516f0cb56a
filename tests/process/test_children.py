"""Programs that a run starts, and children that outlive it: what they report goes to the run, and only the run ends it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.process.forks import (
    COMMON,
    ROUNDS,
    ReadTask,
    Run,
    RunScript,
    check_stored,
    complaints,
    journals,
    planned,
    printed_seed,  # noqa: F401  # a fixture
    run_rounds,  # noqa: F401  # a fixture
)

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")


SUBPROCESSES = (
    COMMON
    + """
import subprocess

if len(sys.argv) > 3:  # a program of its own
    who = sys.argv[3]
    alone()
    assert Task.current_task() is None
    if who.endswith("async"):
        import asyncio
        async def main():
            async with Task.ainit("project", "another name", auto_connect_streams=False) as task:
                report(task.get_logger(), who)
            return task
        task = asyncio.run(main())
    else:
        task = Task.init("project", "another name", auto_connect_streams=False)
        assert Task.init("project", "a third name") is task is Task.current_task()
        report(task.get_logger(), who)
    say(task.id)
    if who.endswith("raises"):
        raise ValueError("a child's own trouble")
    if who.endswith("killed"):
        os.kill(os.getpid(), signal.SIGKILL)
    if who.endswith("terminated"):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)
    sys.exit(0)

task = Task.init("project", "programs")
manners = ["returns", "async", "raises", "killed", "terminated"]
names = [f"{number} {manners[number % len(manners)]}" for number in range(rounds)]
for name in names:
    done = subprocess.run([sys.executable, __file__, seed, "0", name], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    codes = {"raises": 1, "killed": -signal.SIGKILL, "terminated": -signal.SIGTERM}
    assert done.returncode == codes.get(name.partition(" ")[2], 0), done
    assert json.loads(done.stdout) == task.id
    assert b"created" not in done.stderr and b"reusing" not in done.stderr, done.stderr
status = task.status
tell(task, names, status=status)
task.close()
assert not [name for name in os.environ if name.endswith("PROC_MASTER_ID")]
"""
)


def test_programs_that_a_run_starts_report_to_it(run: Run, run_script: RunScript, atrains_home: Path, seed: str) -> None:
    told, stderr = run(SUBPROCESSES, seed, rounds=max(5, ROUNDS // 4))
    assert complaints(stderr) == []
    found = check_stored(run_script, told["task"], told["expected"])
    assert (told["status"], found["status"], found["reason"]) == ("in_progress", "completed", "completed")
    assert journals(atrains_home) == []
    assert len(list((atrains_home / "tasks").iterdir())) == 1


OWN = 'from atrains import Task\nwith Task.init("project", "a child") as task:\n    print(task.id)\n'


@pytest.mark.parametrize("variable", ["TRAINS_PROC_MASTER_ID", "CLEARML_PROC_MASTER_ID", "ATRAINS_PROC_MASTER_ID"])
def test_a_program_joins_the_task_that_any_of_the_variables_names(variable: str, run_script: RunScript, read_task: ReadTask) -> None:
    task = run_script('from atrains import Task\nprint(Task.create("project", "a task of somebody else").id)').stdout.strip()
    joined = run_script(OWN, **{variable: f"1:{task}"})
    assert (joined.code, joined.stdout.strip(), joined.stderr) == (0, task, "")
    assert read_task(task)["status"] == "created"


@pytest.mark.parametrize("stale", ["1:0123456789abcdef0123456789abcdef", "1:", "nonsense", ":", "1:what ever"])
def test_a_program_whose_parent_recorded_elsewhere_has_a_run_of_its_own(stale: str, run_script: RunScript, read_task: ReadTask) -> None:
    finished = run_script(OWN, TRAINS_PROC_MASTER_ID=stale)
    assert finished.code == 0
    assert finished.stderr.count("of the process that started this one is not in") == (stale.startswith("1:") and len(stale) > 2)
    found = read_task("project", "a child")
    assert (found["id"], found["status"]) == (finished.stdout.strip(), "completed")


def test_a_program_that_replaced_itself_begins_again(run_script: RunScript, read_task: ReadTask) -> None:
    script = """
import os, sys
from atrains import Task
task = Task.init("project", sys.argv[1])
print(task.id, os.environ["TRAINS_PROC_MASTER_ID"] == f"{os.getpid()}:{task.id}", flush=True)
if sys.argv[1] == "first":
    task.close()
    os.environ["TRAINS_PROC_MASTER_ID"] = f"{os.getpid()}:{task.id}"  # as of a run that did not end
    os.execv(sys.executable, [sys.executable, __file__, "second"])
"""
    first, second = (line.split() for line in run_script(script, "first").stdout.splitlines())
    assert first[0] != second[0]
    assert first[1] == second[1] == "True"
    assert read_task(second[0])["status"] == "completed"


ORPHAN = (
    COMMON
    + """
manner, path = sys.argv[3:]
task = Task.init("project", "orphan")
reading, writing = os.pipe()
if os.fork() == 0:
    alone()
    os.close(writing)
    report(task.get_logger(), "child before")
    os.read(reading, 1)  # until the parent has ended
    report(task.get_logger(), "child behind")
    if manner == "lives on":
        deadline = time.monotonic() + 30
        while (now := task.stats()).scalars.pending or now.logs.pending:  # looking delivers nothing
            assert time.monotonic() < deadline, now
            time.sleep(0.1)
    elif manner == "closes":
        task.close()
    with open(path, "w") as file:
        file.write("ended")
    os._exit(0)
say(task.id)
"""
)


@pytest.mark.parametrize("manner", ["lives on", "closes", "ends at once"])
def test_a_child_that_outlives_the_run(manner: str, run: Run, run_script: RunScript, atrains_home: Path, tmp_path: Path, seed: str) -> None:
    mark = tmp_path / "mark"
    task, stderr = run(ORPHAN, seed, manner, str(mark))
    assert complaints(stderr) == []
    deadline = time.monotonic() + 30
    while not mark.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    if manner == "ends at once":
        time.sleep(0.2)
        again = run_script('from atrains import Task\nwith Task.init("project", "orphan") as task:\n    print(task.id)')
        assert again.stdout.strip() != task, "what the child left would be mixed with what the next run reports"
    expected = {name: list(planned(seed, name)) for name in ("child before", "child behind")}
    found = check_stored(run_script, task, expected)
    assert (found["status"], found["reason"]) == ("completed", "completed")
    if manner != "lives on":
        assert journals(atrains_home) == []


LEFT_ALIVE = """
import os, signal, sys, time
from atrains import Task

task = Task.init("project", "killed")
task.get_logger().report_scalar("a", "b", value=1, iteration=1)
print(task.id, flush=True)
if os.fork() == 0:
    os.closerange(0, 3)  # as a daemon does: who reads our output waits for its end
    while not os.path.exists(sys.argv[1]):
        time.sleep(0.01)
    os._exit(0)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_child_that_reports_nothing_does_not_keep_a_killed_run_from_being_recovered(
    run_script: RunScript, read_task: ReadTask, tmp_path: Path
) -> None:
    end = tmp_path / "end"
    try:
        task = run_script(LEFT_ALIVE, str(end)).stdout.strip()
        run_script('from atrains import Task; Task.init("project", "the next run").close()')
        found = read_task(task)
    finally:
        end.touch()
    assert (found["status"], found["reason"]) == ("failed", "process ended without closing")
    assert found["scalars"] == {"a": {"b": {"x": [1], "y": [1.0]}}}


NO_ROOM = (
    COMMON
    + """
task = Task.init("project", "no room")
log = task.get_logger()
log.report_text("parent line 0", print_console=False)
pid = os.fork()
if pid == 0:
    alone()
    journals = os.path.join(os.environ["ATRAINS_HOME"], "journals")
    os.rename(journals, journals + ".away")
    open(journals, "w").close()  # nobody can make a folder here
    report(log, "child")
    receipt = task.flush(timeout=20)
    os.unlink(journals)
    os.rename(journals + ".away", journals)
    assert receipt, receipt
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
tell(task, ["child"], {"parent": [0, 0, 1]})
"""
)


def test_a_child_that_can_make_no_journal_reports_from_memory(run: Run, run_script: RunScript, seed: str) -> None:
    told, stderr = run(NO_ROOM, seed)
    assert "Traceback" not in stderr
    check_stored(run_script, told["task"], told["expected"])
