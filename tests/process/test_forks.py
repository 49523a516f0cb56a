"""Processes that a run starts, by fork, spawn, pools, servers: what they report goes to the run, all of it, once; and only the run ends it.

`ATRAINS_SOAK=1` runs twenty times as many rounds. Each test prints its seed; `ATRAINS_SEED=<seed>` repeats it.
"""

from __future__ import annotations

import os
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
