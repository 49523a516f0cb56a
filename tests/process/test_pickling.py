"""Tasks and loggers that are handed to other processes in pickles: they report to the same task, and nothing is lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

RunScript = Callable[..., Any]
ReadTask = Callable[..., Any]

SPAWN = """
import multiprocessing, pickle, sys
from atrains import Task

def child(task, log, number):
    for step in range(100):
        task.get_logger().report_scalar("from the task", str(number), value=step, iteration=step)
        log.report_scalar("from the logger", str(number), value=step, iteration=step)
    task.add_tags(f"child-{number}")
    assert Task.init("project", "spawned") is task, "the run of the parent, which is here already"

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    with Task.init("project", "spawned") as task:
        children = [context.Process(target=child, args=(task, task.get_logger(), number)) for number in range(2)]
        for each in children:
            each.start()
        for each in children:
            each.join()
            assert each.exitcode == 0
        assert task.status == "in_progress", "a child ends no run"
        print(task.id)
"""
POOL = """
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from atrains import Task

def work(task):
    task.get_logger().report_scalar("loss", "pool", value=1, iteration=1)
    task.flush()
    return task

if __name__ == "__main__":
    task, other = Task.init("project", "pooled"), Task.create("project", "other")
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        assert pool.submit(work, task).result(60) is task
        assert pool.submit(work, other).result(60).id == other.id
    assert other.get_reported_scalars() == task.get_reported_scalars() == {"loss": {"pool": {"x": [1], "y": [1.0]}}}
    print(task.id)
"""
WRITE = """
import pickle, sys
from atrains import Task

task = Task.init("project", "written")
task.upload_artifact("numbers", {"x": 1})
with open("pickle", "wb") as file:
    pickle.dump([task, task.get_logger(), task.artifacts], file)
print(task.id)
"""
READ = """
import pickle
from atrains.errors import UsageError

with open("pickle", "rb") as file:
    try:
        task, log, artifacts = pickle.load(file)
    except UsageError as error:
        print(error)
        raise SystemExit(3)
assert artifacts["numbers"].get() == {"x": 1}
assert task.status == "completed"
log.report_scalar("loss", "late", value=1, iteration=1)
assert log.flush() is not None
print(task.id)
"""
READ_ASYNC = """
import asyncio, pickle
from atrains import AsyncTask, Task

async def hand_over():
    async with Task.ainit("project", "async") as task:
        open("pickle", "wb").write(pickle.dumps(task))
        assert pickle.load(open("pickle", "rb")) is task
    found = pickle.load(open("pickle", "rb"))
    assert (type(found), found.id) == (AsyncTask, task.id)
    await found.reload()
    assert (found.name, await found.status) == ("async", "completed")
    print(found.id)

asyncio.run(hand_over())
"""


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_started_process_reports_to_the_task_that_it_is_given(run_script: RunScript, read_task: ReadTask, method: str) -> None:
    finished = run_script(SPAWN, method)
    assert finished.code == 0, finished.stderr
    found = read_task(finished.stdout.split()[-1])
    steps = list(range(100))
    for title in ("from the task", "from the logger"):
        assert {series: curve["y"] for series, curve in found["scalars"][title].items()} == {"0": steps, "1": steps}
    assert (found["status"], sorted(found["tags"])) == ("completed", ["child-0", "child-1"])


def test_a_pool_takes_a_task_and_gives_it_back(run_script: RunScript, read_task: ReadTask) -> None:
    finished = run_script(POOL)
    assert finished.code == 0, finished.stderr
    assert read_task(finished.stdout.split()[-1])["status"] == "completed"


def test_a_later_process_opens_what_an_earlier_one_wrote(run_script: RunScript, read_task: ReadTask) -> None:
    written = run_script(WRITE)
    assert written.code == 0, written.stderr
    found = run_script(READ)
    assert (found.code, found.stdout) == (0, written.stdout), found.stderr
    assert read_task(found.stdout.split()[-1])["scalars"] == {"loss": {"late": {"x": [1], "y": [1.0]}}}


def test_another_home_refuses_it_and_names_both(run_script: RunScript, tmp_path: Any) -> None:
    written = run_script(WRITE)
    refused = run_script(READ, ATRAINS_HOME=str(tmp_path / "another"))
    assert refused.code == 3, refused.stderr
    assert written.stdout.split()[-1] in refused.stdout
    assert "another is in use here" in refused.stdout
    switched_off = run_script("import pickle; print(pickle.load(open('pickle', 'rb'))[0].id)", ATRAINS_MODE="disabled")
    assert (switched_off.code, switched_off.stdout) == (0, written.stdout), switched_off.stderr


def test_an_async_task_is_loaded_when_it_is_reloaded(run_script: RunScript) -> None:
    finished = run_script(READ_ASYNC)
    assert finished.code == 0, finished.stderr
    assert len(finished.stdout.split()) == 1
