"""The examples of the reference, run as a user runs them, on both homes, and seen from another process.

Their text is that of the reference but for the name of the package in the import, and the addresses where one names a server. Where the
reference shows an answer, what comes back has its keys, its nesting and its types.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
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
ARGUMENTS = """
auto_connect_arg_parser={'do_not_include_me': False, }
"""
FRAMEWORKS = """
auto_connect_frameworks={'matplotlib': True, 'tensorflow': True, 'pytorch': True,
     'xgboost': True, 'scikit': True}
"""
CREDENTIALS = """
from atrains import Task

Task.set_credentials(api_host='http://localhost:8008', web_host='http://localhost:8080',
   files_host='http://localhost:8081',  key='optional_credentials',  secret='optional_credentials')
task = Task.init('project name', 'experiment name')
"""
ENQUEUED = """
{
       "queued": 1,
       "updated": 1,
       "fields": {
           "status": "queued",
           "status_reason": "",
           "status_message": "",
           "status_changed": "2020-02-24T15:05:35.426770+00:00",
           "last_update": "2020-02-24T15:05:35.426770+00:00",
           "execution.queue": "2bd96ab2d9e54b578cc2fb195e52c7cf"
           }
   }
"""
DEQUEUED = """
{
       "dequeued": 1,
       "updated": 1,
       "fields": {
           "status": "created",
           "status_reason": "",
           "status_message": "",
           "status_changed": "2020-02-24T16:43:43.057320+00:00",
           "last_update": "2020-02-24T16:43:43.057320+00:00",
           "execution.queue": null
           }
   }
"""
LAST_METRICS = {"title": {"series": {"last": 0.5, "min": 0.1, "max": 0.9}}}
SCALARS = {"title": {"series": {"x": [0, 1, 2], "y": [10, 11, 12]}}}
WEB_PAGE = "https://demoapp.trains.allegro.ai/projects/216431/experiments/60763e04/output/log"
TASK_TYPES = "training testing inference data_processing application monitor controller optimizer service qc custom"
STATUSES = "created in_progress stopped closed failed completed queued published publishing unknown"

CHANGE = IMPORT + "import sys\ntask = Task.get_task(sys.argv[1])\n"
REPORTED = {"title": {"series": {"x": list(range(10)), "y": [2.0 * x for x in range(10)]}}}
SHOW = "import json\nprint(json.dumps({}))\n"


@pytest.fixture(params=["local", "served"], autouse=True)
def home(request: pytest.FixtureRequest) -> str:
    """Where the runs of this test go: into a folder of the user, or to a server."""
    return str(request.param)


@pytest.fixture
def user(user: Any, home: str, request: pytest.FixtureRequest) -> Any:
    if home == "local":
        return user
    return replace(user, variables=request.getfixturevalue("atrains_server").environment)


@pytest.fixture
def ran(run_script: RunScript) -> Callable[..., str]:
    """Run a script to its good end, and return the id of the task that it ran as."""

    def run(script: str, *arguments: str, **options: str) -> str:
        finished = run_script(script, *arguments, **options)
        assert (finished.code, finished.stdout) == (0, ""), finished.stderr
        task: str = finished.task_ids[0] if finished.task_ids else ""
        return task

    return run


@pytest.fixture
def asked(run_script: RunScript) -> Callable[..., Any]:
    """Run a script to its good end, and return what it printed as JSON in its last line."""

    def run(script: str, *arguments: str) -> Any:
        finished = run_script(script, *arguments)
        assert finished.code == 0, finished.stderr
        return json.loads(finished.stdout.splitlines()[-1])

    return run


def assert_same_shape(found: Any, shown: Any, at: str = "answer") -> None:
    """The same keys, and values of the same types, at every depth; a date for a date, an id for an id."""
    if isinstance(shown, dict):
        assert isinstance(found, dict), at
        assert set(found) == set(shown), at
        for key in shown:
            assert_same_shape(found[key], shown[key], f"{at}[{key!r}]")
    elif isinstance(shown, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT.*", shown):
        assert datetime.fromisoformat(found).utcoffset() == datetime.fromisoformat(shown).utcoffset(), at
        assert re.sub(r"\d", "0", found) == re.sub(r"\d", "0", shown), at
    elif isinstance(shown, str) and re.fullmatch(r"[0-9a-f]{32}", shown):
        assert re.fullmatch(r"[0-9a-f]{32}", found), at
    else:
        assert type(found) is type(shown), at


# ---- Task.init


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
    task = first.task_ids[0]
    assert first.stderr.startswith(f"atrains: created task {task} 'myTask'")
    assert f"atrains show {task}" in first.stderr
    second = run_script(MY_TASK)
    line = next(line for line in second.stderr.splitlines() if "reusing task" in line)
    assert "cleared" in line
    assert "41" in line
    assert "parameters" in line
    found = read_task(task)
    assert (found["scalars"], found["parameters"]) == ({}, {})


@pytest.mark.parametrize("argument", [ARGUMENTS, FRAMEWORKS], ids=["auto_connect_arg_parser", "auto_connect_frameworks"])
def test_what_is_connected_on_its_own_can_be_chosen(ran: RunScript, read_task: ReadTask, argument: str) -> None:
    task = ran(IMPORT + f"task = Task.init('myProject', 'myTask', {argument.strip()})\n")
    assert read_task(task)["status"] == "completed"


def test_the_folders_below_a_destination(user: Any, ran: RunScript, asked: Callable[..., Any], read_task: ReadTask) -> None:
    """The reference shows them as `<output destination name> / <project name> / <task name>.< Task ID>`."""
    shared = user.directory / "mnt" / "share" / "folder"
    task = ran(MY_OTHER_TASK.replace("'myOtherTask')", f"'myOtherTask', output_uri='{shared}')"))
    (stored,) = (path for path in shared.rglob("*") if path.is_file())
    assert stored.relative_to(shared).parts[:2] == ("myProject", f"myOtherTask.{task}")
    assert read_task(task)["artifacts"]["myArtifact"] == stored.as_uri()
    assert asked(CHANGE + SHOW.format("task.artifacts['myArtifact'].get()"), task) == {"a": "1"}


def test_every_type_of_the_list_is_taken(asked: Callable[..., Any]) -> None:
    script = IMPORT + "import json\nfrom atrains import TaskTypes\n"
    calls = ", ".join(f"Task.create('myProject', 'a {name}', TaskTypes.{name}).id" for name in TASK_TYPES.split())
    made = asked(script + f"print(json.dumps([{calls}]))\n")
    found = asked(script + "import sys\nprint(json.dumps([Task.get_task(id).task_type for id in sys.argv[1:]]))\n", *made)
    assert " ".join(found) == TASK_TYPES


def test_the_main_task_is_what_init_returns(asked: Callable[..., Any]) -> None:
    compared = "(Task.init() == task, task.is_main_task(), Task.current_task() == task, other.is_main_task())"
    assert asked(MY_TASK + "other = Task.create(task_name='another')\n" + SHOW.format(compared)) == [True, True, True, False]
    assert asked(IMPORT + SHOW.format("Task.current_task()")) is None


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


# ---- Task.set_credentials


@pytest.mark.parametrize("home", ["served"], indirect=True)
def test_a_server_is_named_in_the_script(user: Any, asked: Callable[..., Any]) -> None:
    server = user.variables
    named = CREDENTIALS
    for shown, name in (
        ("http://localhost:8008", "CLEARML_API_HOST"),
        ("http://localhost:8080", "CLEARML_WEB_HOST"),
        ("http://localhost:8081", "CLEARML_FILES_HOST"),
        ("key='optional_credentials'", "CLEARML_API_ACCESS_KEY"),
        ("secret='optional_credentials'", "CLEARML_API_SECRET_KEY"),
    ):
        assert shown in named
        named = named.replace(shown, shown.replace("optional_credentials", server[name]) if "=" in shown else server[name])
    finished = replace(user, variables={}).run(named)
    assert finished.code == 0, finished.stderr
    (task,) = finished.task_ids
    found = asked(CHANGE + SHOW.format("[task.status, task.get_project_name(), task.name, task.get_output_log_web_page()]"), task)
    assert found[:3] == ["completed", "project name", "experiment name"]
    assert found[3].startswith(server["CLEARML_WEB_HOST"])
    assert not (user.home / "tasks").exists(), "it went to the server, and nowhere else"


# ---- Task.create, Task.get_task, Task.get_all


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


def test_tasks_are_listed_by_the_filters_of_the_example(ran: RunScript, asked: Callable[..., Any]) -> None:
    """The reference writes them as `status='completed', 'search_text'='specific_word', 'user'='user_id', 'project'='project_id'`."""
    task = ran(MY_TASK + "task.set_comment('a specific_word')\n")
    ran(MY_TASK.replace("myTask", "another"))
    ran(IMPORT + "Task.create('myProject', 'a specific_word, but a draft')\n")
    user, project = asked(CHANGE + SHOW.format("[task.data['user'], task.project]"), task)
    filters = f"status='completed', search_text='specific_word', user='{user}', project='{project}'"
    listed = IMPORT + f"found = Task.get_all({filters})\n" + SHOW.format("[task['id'] for task in found.response.tasks]")
    assert asked(listed) == [task]
    assert asked(listed.replace(user, "f" * 32)) == []


# ---- Task.enqueue, Task.dequeue


def test_the_answers_of_enqueue_and_dequeue(asked: Callable[..., Any], read_task: ReadTask) -> None:
    task = asked(IMPORT + "import json\nprint(json.dumps(Task.create('myProject', 'to be run').id))\n")
    answer = asked(CHANGE + SHOW.format("Task.enqueue(task, queue_name='default')"), task)
    assert_same_shape(answer, json.loads(ENQUEUED))
    assert (answer["queued"], answer["updated"]) == (1, 1)
    assert (answer["fields"]["status"], answer["fields"]["status_reason"], answer["fields"]["status_message"]) == ("queued", "", "")
    assert read_task(task)["status"] == "queued"
    answer = asked(IMPORT + "import sys\n" + SHOW.format("Task.dequeue(sys.argv[1])"), task)
    assert_same_shape(answer, json.loads(DEQUEUED))
    assert (answer["dequeued"], answer["updated"], answer["fields"]["execution.queue"]) == (1, 1, None)
    assert read_task(task)["status"] == "created"


# ---- what was reported


def test_the_last_metrics_of_the_example(ran: RunScript, asked: Callable[..., Any]) -> None:
    task = ran(
        MY_TASK + "for step, value in enumerate((0.1, 0.9, 0.5)):\n    task.get_logger().report_scalar('title', 'series', value, step)\n"
    )
    assert asked(CHANGE + SHOW.format("task.get_last_scalar_metrics()"), task) == LAST_METRICS


def test_the_scalars_of_the_example(ran: RunScript, asked: Callable[..., Any]) -> None:
    task = ran(MY_TASK + "for step in range(3):\n    task.get_logger().report_scalar('title', 'series', step + 10, step)\n")
    assert asked(CHANGE + SHOW.format("task.get_reported_scalars()"), task) == SCALARS


def test_the_web_page_of_the_example(ran: RunScript, asked: Callable[..., Any], home: str) -> None:
    task = ran(MY_TASK)
    page, project = asked(CHANGE + SHOW.format("[task.get_output_log_web_page(), task.project]"), task)
    if home == "local":
        assert page.startswith("file://")
        assert page.endswith(f"/tasks/{task}")
    else:
        shown = WEB_PAGE.partition("/projects/")[2].replace("216431", project).replace("60763e04", task)
        assert page.partition("/projects/")[2] == shown


def test_every_status_of_the_list_is_one_of_the_enumeration(asked: Callable[..., Any]) -> None:
    script = IMPORT + "from atrains import TaskStatusEnum\n"
    values = ", ".join(f"Task.TaskStatusEnum('{name}')" for name in STATUSES.split())
    found = asked(script + f"assert Task.TaskStatusEnum is TaskStatusEnum and len(TaskStatusEnum) == 10\n{SHOW.format(f'[{values}]')}")
    assert " ".join(found) == STATUSES
