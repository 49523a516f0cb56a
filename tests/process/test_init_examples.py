"""The examples of the reference for `Task.init`, `Task.create` and `Task.get_task`, run as a user runs them and seen from another process.

Their text is that of the reference but for the name of the package in the import.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

RunScript = Callable[..., Any]
ReadTask = Callable[..., Any]

IMPORT = "from atrains import Task\n"
MY_TASK = IMPORT + "task = Task.init('myProject', 'myTask')\n"
MY_OTHER_TASK = """
from atrains import Task

task = Task.init('myProject', 'myOtherTask')

d = {'a': '1'}
task.upload_artifact('myArtifact', d)
"""
TRAINING = """
from atrains import Task

# initialize the training Task
task = Task.init('myProject', 'training')

# do some training
"""
TESTING = """
from atrains import Task

# initialize the testing Task
task = Task.init('myProject', 'testing')

# get the training Task
train_task = Task.get_task(project_name='myProject', task_name='training')

# report metrics in the training Task
for x in range(10):
    train_task.get_logger().report_scalar('title', 'series', value=x * 2, iteration=x)
"""
CHANGE = IMPORT + "import sys\ntask = Task.get_task(sys.argv[1])\n"
REPORTED = {"title": {"series": {"x": list(range(10)), "y": [2.0 * x for x in range(10)]}}}


@pytest.fixture
def ran(run_script: RunScript) -> Callable[..., str]:
    """Run a script to its good end, and return the id of the task that it ran as."""

    def run(script: str, *arguments: str, **options: str) -> str:
        finished = run_script(script, *arguments, **options)
        assert (finished.code, finished.stdout) == (0, ""), finished.stderr
        task: str = finished.task_ids[0] if finished.task_ids else ""
        return task

    return run


def test_the_first_run_creates_a_task_that_ends_completed(ran: RunScript, read_task: ReadTask) -> None:
    task = ran(MY_TASK)
    found = read_task(task)
    assert (found["id"], found["status"]) == (task, "completed")
    assert read_task("myProject", "myTask") == found


def test_the_second_run_is_the_same_task_completed_again(ran: RunScript, read_task: ReadTask) -> None:
    first = ran(MY_TASK)
    assert ran(MY_TASK) == first
    assert read_task(first)["status"] == "completed"


def test_a_published_task_is_left_alone(ran: RunScript, read_task: ReadTask) -> None:
    first = ran(MY_TASK)
    ran(CHANGE + "task.publish()\n", first)
    second = ran(MY_TASK)
    assert second != first
    assert (read_task(first)["status"], read_task(second)["status"]) == ("published", "completed")
    assert ran(MY_TASK) == second


def test_an_archived_task_is_left_alone(ran: RunScript, read_task: ReadTask) -> None:
    first = ran(MY_TASK)
    ran(CHANGE + "task.set_system_tags([*task.get_system_tags(), 'archived'])\n", first)
    second = ran(MY_TASK)
    assert second != first
    assert read_task("myProject", "myTask")["id"] == second
    assert ran(MY_TASK) == second


def test_a_task_with_an_artifact_is_a_new_one_every_time(ran: RunScript, read_task: ReadTask) -> None:
    tasks = [ran(MY_OTHER_TASK) for _ in range(3)]
    assert len(set(tasks)) == 3
    for task in tasks:
        found = read_task(task)
        assert (found["status"], list(found["artifacts"])) == ("completed", ["myArtifact"])


def test_a_new_task_can_be_forced(ran: RunScript, read_task: ReadTask) -> None:
    forced = MY_TASK.replace("'myTask')", "'myTask', reuse_last_task_id=False)")
    first, second = ran(forced), ran(forced)
    assert first != second
    assert [read_task(task)["status"] for task in (first, second)] == ["completed", "completed"]
    assert ran(MY_TASK) == second, "the last one is the one to be used again"


def test_a_task_of_another_name_or_project_is_another_task(ran: RunScript) -> None:
    first = ran(MY_TASK)
    assert ran(MY_TASK.replace("myProject", "another project")) != first
    assert ran(MY_TASK.replace("myTask", "another task")) != first
    assert ran(MY_TASK) == first


def test_default_names_are_those_of_the_script(ran: RunScript, read_task: ReadTask) -> None:
    task = ran(IMPORT + "task = Task.init()\n", name="train_net.py")
    assert read_task("Untitled", "train_net")["id"] == task


def test_a_task_that_is_reused_says_what_was_cleared(run_script: RunScript, read_task: ReadTask) -> None:
    report = MY_TASK + "task.get_logger().report_scalar('a', 'b', 1, 41)\ntask.connect({'lr': 1})\n"
    first = run_script(report)
    assert first.stderr.startswith(f"atrains: created task {first.task_ids[0]} 'myTask'")
    assert f"atrains show {first.task_ids[0]}" in first.stderr
    second = run_script(MY_TASK)
    line = next(line for line in second.stderr.splitlines() if "reusing task" in line)
    assert "cleared" in line
    assert "41" in line
    assert "parameters" in line
    found = read_task(first.task_ids[0])
    assert (found["scalars"], found["parameters"]) == ({}, {})


def test_a_created_task_stays_a_draft_beside_its_main_task(ran: RunScript, read_task: ReadTask) -> None:
    main = ran(MY_TASK + "task = Task.create('myProject', 'a sub task')\ntask.get_logger().report_scalar('a', 'b', 1, 1)\n")
    draft = read_task("myProject", "a sub task")
    assert draft["id"] != main
    assert draft["status"] == "created"
    assert draft["scalars"] == {"a": {"b": {"x": [1], "y": [1.0]}}}
    assert read_task(main)["status"] == "completed"


def test_another_script_reports_to_the_training_task_while_it_runs(user: Any, ran: RunScript, read_task: ReadTask) -> None:
    training = user.start(TRAINING + "print(task.id, flush=True)\ninput()\n", name="training.py")
    with training:
        task = training.stdout.readline().strip()
        testing = ran(TESTING, name="testing.py")
        assert testing not in {"", task}
        found = read_task(task)
        assert (found["status"], found["scalars"], found["last_iteration"]) == ("in_progress", REPORTED, 9)
        assert read_task(testing)["status"] == "completed"
        assert read_task(testing)["scalars"] == {}
        training.communicate("\n", timeout=60)
    assert training.returncode == 0
    found = read_task(task)
    assert (found["status"], found["scalars"]) == ("completed", REPORTED)


def test_another_script_reports_to_the_training_task_after_its_end(ran: RunScript, read_task: ReadTask) -> None:
    task = ran(TRAINING, name="training.py")
    ran(TESTING, name="testing.py")
    found = read_task(task)
    assert (found["status"], found["scalars"], found["last_iteration"]) == ("completed", REPORTED, 9)


def test_a_failed_run_says_why_and_keeps_its_exit_code(run_script: RunScript, read_task: ReadTask) -> None:
    finished = run_script(MY_TASK + "task.get_logger().report_scalar('a', 'b', 1, 1)\nraise ValueError('no data')\n")
    assert finished.code == 1
    assert "ValueError: no data" in finished.stderr
    found = read_task(finished.task_ids[0])
    assert (found["status"], found["reason"], found["last_iteration"]) == ("failed", "ValueError: no data", 1)


def test_a_script_on_standard_input_and_one_on_the_command_line_get_valid_names(user: Any) -> None:
    script = IMPORT + "print(Task.init().name)\n"
    for arguments, given in (([], script), (["-c", script], None)):
        done = subprocess.run(
            [sys.executable, *arguments],
            input=given,
            env=user.environment(),
            cwd=user.directory,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert len(done.stdout.strip()) >= 3
