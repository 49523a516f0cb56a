"""Processes that a run starts, by fork, spawn, pools, servers: what they report goes to the run, all of it, once; and only the run ends it.

`ATRAINS_SOAK=1` runs twenty times as many rounds. Each test prints its seed; `ATRAINS_SEED=<seed>` repeats it.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")

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

FORK = (
    COMMON
    + """
def child(task, who, manner):
    alone()
    assert Task.current_task() is task and Task.init("project", "whatever a child asks for") is task
    log = task.get_logger()
    if manner == "grandchild":
        grandchild = os.fork()
        if grandchild == 0:
            report(log, who + "+")
            os._exit(0)
    report(log, who)
    if manner == "grandchild":
        assert os.waitpid(grandchild, 0)[1] == 0
    if manner == "blocking":
        began = time.monotonic()
        receipt = task.flush(timeout=20)
        points, rows, lines = plan(seed, who)
        assert receipt and receipt.scalars.acknowledged == points + rows and receipt.logs.acknowledged == lines, receipt
        assert task.status == "in_progress"
        assert task.stats().scalars.reported == points + rows
        assert who in task.get_reported_scalars() or not points + rows
        task.close()
        task.close()
        assert time.monotonic() - began < 20
        assert Task.current_task() is None
    if manner == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if manner == "terminated":
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)
    if manner == "end of the interpreter":
        sys.exit(0)
    os._exit(0)

manners = ["blocking", "killed", "terminated", "end of the interpreter", "grandchild", "at once"]
chance = random.Random(seed)
task = Task.init("project", "fork")
busy = Busy(task)
names, codes = [], {}
children = {}
def reap(wait):
    for pid, (name, manner) in list(children.items()):
        found, status = os.waitpid(pid, 0 if wait else os.WNOHANG)
        if found:
            codes[name] = [manner, os.waitstatus_to_exitcode(status)]
            del children[pid]
for number in range(rounds):
    name, manner = f"child {number}", manners[number % len(manners)]
    names += [name, name + "+"] if manner == "grandchild" else [name]
    pid = os.fork()
    if pid == 0:
        child(task, name, manner)
    children[pid] = name, manner
    if chance.random() < 0.5:
        time.sleep(chance.random() * 0.05)
    while len(children) > 3:
        reap(False)
        time.sleep(0.002)
reap(True)
others = busy.end()
status = task.status
tell(task, names, others, codes=codes, status=status)
if chance.random() < 0.5:
    task.close()
"""
)

PROCESSES = (
    COMMON
    + """
import concurrent.futures, multiprocessing

def work(who):
    alone()
    before = Task.current_task()
    task = Task.init("another project", "another name", Task.TaskTypes.testing)
    report(task.get_logger(), who)
    if plan(seed, who)[1] % 3 == 0:
        assert task.flush(timeout=30), task.flush(timeout=1)
    return [task.id, before.id if before else None, task.status]

def main():
    kind, method = sys.argv[3:]
    context = multiprocessing.get_context(method)
    names = [f"child {number}" for number in range(rounds)]
    with Task.init("project", kind) as task:
        busy = Busy(task)
        if kind == "Process":
            answers = []
            for first in range(0, rounds, 3):
                group = [context.Process(target=work, args=[name]) for name in names[first : first + 3]]
                for process in group:
                    process.start()
                for process in group:
                    process.join(100)
                    answers.append(process.exitcode)
        elif kind == "Pool":
            with context.Pool(3, maxtasksperchild=4) as pool:
                answers = pool.map_async(work, names, chunksize=1).get(500)
                if plan(seed, "end")[1] % 2:  # else its workers are terminated
                    pool.close()
                    pool.join()
        else:
            with concurrent.futures.ProcessPoolExecutor(3, context) as pool:
                answers = list(pool.map(work, names, timeout=500))
        others = busy.end()
        tell(task, names, others, answers=answers, status=task.status)

if __name__ == "__main__":
    main()
"""
)

PREFORK = (
    COMMON
    + """
manners = ["closes", "returns", "terminated", "killed"]

def worker(number):
    alone()
    task = Task.init("project", "service", reuse_last_task_id=False)
    report(task.get_logger(), f"worker {number}")
    manner = manners[number % len(manners)]
    say({"worker": number, "manner": manner, "task": task.id})
    if manner == "closes":
        task.close()
    elif manner == "terminated":
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)
    elif manner == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    sys.exit(0)

task = Task.init("project", "service") if sys.argv[3] == "after" else None
busy = Busy(task) if task else None
for first in range(0, rounds, 4):
    pids = []
    for number in range(first, min(first + 4, rounds)):
        pid = os.fork()
        if pid == 0:
            worker(number)
        pids.append(pid)
    for pid in pids:
        os.waitpid(pid, 0)
if task:
    others = busy.end()
    tell(task, [f"worker {number}" for number in range(rounds)], others, status=task.status)
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


@pytest.fixture
def run(user: Any) -> Run:
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


@pytest.fixture
def seed() -> str:
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


def test_forked_children_report_to_the_run_of_their_parent(run: Run, run_script: RunScript, atrains_home: Path, seed: str) -> None:
    told, stderr = run(FORK, seed)
    exits = {"killed": -9, "terminated": -15}
    assert {name: code for name, (manner, code) in told["codes"].items() if code != exits.get(manner, 0)} == {}, stderr
    assert complaints(stderr) == []
    found = check_stored(run_script, told["task"], told["expected"])
    assert (told["status"], found["status"], found["reason"]) == ("in_progress", "completed", "completed")
    assert journals(atrains_home) == []


@pytest.mark.parametrize(
    ("kind", "method"),
    [
        ("Process", "fork"),
        ("Process", "spawn"),
        ("Process", "forkserver"),
        ("Pool", "fork"),
        ("Pool", "spawn"),
        ("ProcessPoolExecutor", "fork"),
        ("ProcessPoolExecutor", "forkserver"),
    ],
)
def test_processes_of_multiprocessing_report_to_the_run(
    kind: str, method: str, run: Run, run_script: RunScript, atrains_home: Path, seed: str
) -> None:
    told, stderr = run(PROCESSES, seed, kind, method)
    if kind == "Process":
        assert set(told["answers"]) == {0}, stderr
    else:
        inherited = told["task"] if method == "fork" else None
        # A worker that had a job before has its main task already.
        assert {(task, status) for task, _, status in told["answers"]} == {(told["task"], "in_progress")}
        assert {before for _, before, _ in told["answers"]} <= {inherited, told["task"]}
    assert complaints(stderr) == []
    found = check_stored(run_script, told["task"], told["expected"])
    assert (told["status"], found["status"], found["reason"]) == ("in_progress", "completed", "completed")
    assert journals(atrains_home) == []
    assert len(list((atrains_home / "tasks").iterdir())) == 1


def test_workers_forked_before_init_have_runs_of_their_own(run: Run, run_script: RunScript, read_task: ReadTask, seed: str) -> None:
    *workers, stderr = run(PREFORK, seed, "before")
    assert len({worker["task"] for worker in workers}) == ROUNDS
    run_script('from atrains import Task; Task.init("project", "the next run").close()')  # finds what the killed ones left
    endings = {"closes": "completed", "returns": "completed", "terminated": "stopped", "killed": "failed"}
    for worker in workers:
        name = f"worker {worker['worker']}"
        found = check_stored(run_script, worker["task"], {name: list(planned(seed, name))})
        assert found["status"] == endings[worker["manner"]], worker
    assert "Traceback" not in stderr


def test_workers_forked_after_init_report_to_the_run_of_their_server(
    run: Run, run_script: RunScript, atrains_home: Path, seed: str
) -> None:
    *workers, told, stderr = run(PREFORK, seed, "after")
    assert {worker["task"] for worker in workers} == {told["task"]}
    assert complaints(stderr) == []
    found = check_stored(run_script, told["task"], told["expected"])
    assert (told["status"], found["status"]) == ("in_progress", "completed")
    assert journals(atrains_home) == []


LOOP = (
    COMMON
    + """
import asyncio

async def main():
    ticks = []
    async with Task.ainit("project", "loop") as task:
        log = task.get_logger()
        loop = asyncio.get_running_loop()
        names = []
        async def tick():
            while True:
                ticks.append(loop.time())
                await asyncio.sleep(0.001)
        ticker = loop.create_task(tick())
        for number in range(rounds):
            name = f"child {number}"
            names.append(name)
            pid = os.fork()
            if pid == 0:
                alone()
                report(task.get_logger(), name)
                if number % 3 == 0:  # another loop, in the child
                    def other():
                        async def end():
                            assert await task.flush(timeout=20)
                            await task.close()
                        asyncio.run(end())
                    thread = threading.Thread(target=other)
                    thread.start()
                    thread.join()
                os._exit(0)
            report(log, f"parent {number}")
            names.append(f"parent {number}")
            _, status = await asyncio.to_thread(os.waitpid, pid, 0)
            assert status == 0, status
            before = len(ticks)
            assert await task.flush(timeout=30)
            await asyncio.sleep(0.01)
            assert len(ticks) > before
            process = await asyncio.create_subprocess_exec("true")
            assert await process.wait() == 0
        ticker.cancel()
        status = await task.status
    tell(task, names, status=status)

asyncio.run(main())
"""
)


def test_children_forked_in_a_running_loop_leave_it_alone(run: Run, run_script: RunScript, atrains_home: Path, seed: str) -> None:
    told, stderr = run(LOOP, seed)
    assert complaints(stderr) == []
    found = check_stored(run_script, told["task"], told["expected"])
    assert (told["status"], found["status"], found["reason"]) == ("in_progress", "completed", "completed")
    assert journals(atrains_home) == []


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
