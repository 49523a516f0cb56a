"""Programs that hand their run over to an agent: how they end, what is left, and that the agent's process goes on from there."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conftest import User

Read = Callable[[str], Any]

SCRIPT = """
import json, sys
from atrains import Task

task = Task.init("remote", "a script", auto_connect_streams=False)
values = task.connect({"lr": 0.1})
task.set_base_docker("python:3.12")
print(json.dumps(task.id), flush=True)
task.get_logger().report_scalar("loss", "train", values["lr"], 1)
left = task.execute_remotely(**json.loads(sys.argv[1]))
print(json.dumps([None if left is None else left.id, dict(values)]), flush=True)
"""
COROUTINES = """
import asyncio, json, sys
from atrains import Task

async def main():
    async with Task.ainit("remote", "a service") as task:
        print(json.dumps(task.id), flush=True)
        task.get_logger().report_scalar("loss", "train", 0.1, 1)
        try:
            left = await task.execute_remotely(**json.loads(sys.argv[1]))
            print(json.dumps([None if left is None else left.id, None]), flush=True)
        finally:
            print(json.dumps("cleaned up"), flush=True)

asyncio.run(main())
"""
READ = """
import json, sys
from atrains import Task

task = Task.get_task(sys.argv[1])
scalars = task.get_reported_scalars()
print(json.dumps({"status": task.status, "scalars": scalars, "data": task.data["script"].get("entry_point"),
                  "docker": task.get_base_docker(), "tags": task.get_system_tags(), "reason": task.data.get("status_reason")}))
"""
CHANGE = """
import sys
from atrains import Task

task = Task.get_task(sys.argv[1])
Task.dequeue(task)
task.set_parameter("lr", 0.7)
Task.enqueue(task, "default")
"""


@pytest.fixture
def read(somebody: User) -> Read:
    """What a second process sees of a task."""

    def read(task: str) -> Any:
        done = somebody.run(READ, task, name="read.py")
        assert done.code == 0, done.stderr
        return json.loads(done.stdout)

    return read


def printed(done: Any) -> list[Any]:
    """What a program printed; it ended well, and nothing went wrong on the way."""
    assert done.code == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_script_ends_and_its_agent_goes_on(somebody: User, read: Read) -> None:
    (task,) = printed(somebody.run(SCRIPT, '{"queue_name": "default"}'))
    found = read(task)
    assert (found["status"], found["scalars"], found["data"]) == ("queued", {}, "script.py")
    assert (found["docker"], found["tags"]) == ("python:3.12", [])
    printed(somebody.run(CHANGE, task, name="change.py"))
    again, went_on = printed(somebody.run(SCRIPT, '{"queue_name": "default"}', CLEARML_TASK_ID=task))
    assert (again, went_on) == (task, [None, {"lr": 0.7}])
    found = read(task)
    assert found["status"] == "in_progress", "how it ends is up to the agent"
    assert found["scalars"]["loss"]["train"]["y"] == [pytest.approx(0.7)]


def test_what_an_agent_takes_up_again_counts_on(somebody: User, read: Read) -> None:
    """What was reported before would be overwritten otherwise: a point is known by its iteration."""
    program = """
import subprocess, sys
from atrains import Task
task = Task.init(auto_connect_streams=False)
for iteration in range(2):
    task.get_logger().report_scalar("loss", sys.argv[1], 0.5, iteration)
task.flush()
child = "from atrains import Task; print(Task.init().get_initial_iteration())"
print(task.get_initial_iteration(), subprocess.run([sys.executable, "-c", child], capture_output=True, text=True).stdout)
"""
    (task,) = printed(somebody.run("import json; from atrains import Task; print(json.dumps(Task.create('remote', 'goes on').id))"))
    agent = {"CLEARML_TASK_ID": task}
    assert somebody.run(program, "a", **agent).stdout.split() == ["0", "0"]
    again = somebody.run(program, "b", **agent)
    assert again.stdout.split() == ["2", "0"], "what the first process reported by now is of this run"
    assert f"task {task} goes on from iteration 2 on" in again.stderr
    assert somebody.run(program, "c", CLEARML_SET_ITERATION_OFFSET="1", **agent).stdout.split() == ["1", "1"]
    assert {series: curve["x"] for series, curve in read(task)["scalars"]["loss"].items()} == {"a": [0, 1], "b": [2, 3], "c": [1, 2]}
    somebody.run("import sys; from atrains import Task; Task.get_task(sys.argv[1]).reset(force=True)", task, name="reset.py")
    assert somebody.run(program, "d", **agent).stdout.split() == ["0", "0"]


def test_a_copy_is_handed_over_and_the_script_completes(somebody: User, read: Read) -> None:
    task, (copy, _) = printed(somebody.run(SCRIPT, '{"queue_name": "default", "clone": true, "exit_process": false}'))
    assert (read(task)["status"], read(copy)["status"]) == ("completed", "queued")
    assert (read(copy)["data"], read(copy)["docker"]) == ("script.py", "python:3.12")
    (task,) = printed(somebody.run(SCRIPT, '{"queue_name": "default", "clone": true}'))
    found = read(task)
    assert (found["status"], found["scalars"]["loss"]["train"]["y"]) == ("completed", [pytest.approx(0.1)])


def test_without_a_queue_the_script_leaves_a_draft(somebody: User, read: Read) -> None:
    (task,) = printed(somebody.run(SCRIPT, "{}"))
    found = read(task)
    assert (found["status"], found["tags"]) == ("created", [])
    (another,) = printed(somebody.run(SCRIPT, "{}"))
    assert another != task, "a draft that somebody made is not reused"


def test_an_unknown_queue_is_an_error_of_a_run_that_goes_on(somebody: User, read: Read) -> None:
    done = somebody.run(SCRIPT, '{"queue_name": "nowhere"}')
    assert done.code == 1
    assert "there is no queue 'nowhere'" in done.stderr
    assert "there are: 'default'" in done.stderr
    found = read(json.loads(done.stdout))
    assert found["status"] == "failed"
    assert found["reason"].startswith("NotFoundError: ")


def test_coroutines_are_left_by_an_exit_that_runs_their_clean_up(somebody: User, read: Read) -> None:
    task, cleaned_up = printed(somebody.run(COROUTINES, '{"queue_name": "default"}'))
    assert (read(task)["status"], cleaned_up) == ("queued", "cleaned up")
    task, (copy, _), _ = printed(somebody.run(COROUTINES, '{"queue_name": "default", "clone": true, "exit_process": false}'))
    assert (read(task)["status"], read(copy)["status"]) == ("completed", "queued")


def test_other_runs_of_the_process_end_as_ever(user: User, read_task: Any) -> None:
    script = """
from atrains import Task
main = Task.init("remote", "the main one")
draft = Task.create("remote", "a draft")
draft.execute_remotely("default")
"""
    done = user.run(script)
    assert done.code == 0, done.stderr
    assert (read_task("remote", "the main one")["status"], read_task("remote", "a draft")["status"]) == ("completed", "queued")


def test_a_child_hands_over_a_copy_only(user: User, read_task: Any) -> None:
    """The run belongs to the process that began it, and goes on there."""
    script = """
import os
from atrains import Task
from atrains.errors import UsageError
task = Task.init("remote", "a parent")
if os.fork() == 0:
    try:
        task.execute_remotely("default")
    except UsageError as error:
        assert "clone=True" in str(error)
        copy = task.execute_remotely("default", clone=True, exit_process=False)
        os._exit(0 if copy.status == "queued" else 2)
    os._exit(1)
assert os.wait()[1] == 0
assert task.status == "in_progress"
"""
    done = user.run(script)
    assert done.code == 0, done.stderr


def test_a_kernel_goes_on(user: User, read_task: Any) -> None:
    script = """
import sys, types
sys.modules["ipykernel"] = types.ModuleType("ipykernel")
sys.modules["IPython"] = shown = types.ModuleType("IPython")
shown.get_ipython = lambda: types.SimpleNamespace(kernel=object(), user_ns={}, history_manager=None)
from atrains import Task
task = Task.init("remote", "a notebook", auto_connect_streams=False)
assert task.execute_remotely("default") is task
assert task.status == "queued" and Task.current_task() is None
print("the next cell")
"""
    done = user.run(script)
    assert (done.code, done.stdout) == (0, "the next cell\n"), done.stderr
    assert "kernel" in done.stderr
    assert read_task("remote", "a notebook")["status"] == "queued"


def test_what_is_on_its_way_is_not_brought_back(user: User, read_task: Any) -> None:
    """Neither artifacts that are being uploaded nor points that were not delivered come after the reset."""
    script = """
from atrains import Task
task = Task.init("remote", "busy")
for i in range(200_000):
    task.get_logger().report_scalar("loss", "train", i, i)
task.upload_artifact("large", b"x" * 20_000_000)
task.execute_remotely("default")
"""
    done = user.run(script)
    assert done.code == 0, done.stderr
    another = user.run("from atrains import Task; Task.init('remote', 'another')", name="another.py")  # recovers what was left
    assert another.code == 0, another.stderr
    found = read_task("remote", "busy")
    assert found["status"] == "queued"
    assert not list((user.home / "journals").iterdir())


def test_the_container_that_the_program_names_wins(user: User) -> None:
    script = """
import time
from atrains import Task
task = Task.init("remote", "in a container")
task.set_base_docker("named:1 --ipc=host")
time.sleep(0.5)
task.close()
print(Task.get_task(task.id).get_base_docker())
"""
    done = user.run(script, CLEARML_DOCKER_IMAGE="from-outside:2")
    assert (done.code, done.stdout) == (0, "named:1 --ipc=host\n"), done.stderr


def test_a_disabled_program_goes_on(user: User) -> None:
    done = user.run(SCRIPT, '{"queue_name": "default"}', ATRAINS_MODE="disabled")
    assert printed(done)[1] == [None, {"lr": 0.1}]
