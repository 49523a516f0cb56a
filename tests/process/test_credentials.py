"""Several servers from one process: `Task.set_credentials` for all of it, `atrains.credentials` for a block. Real servers, real clients."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import atrains
from atrains import AsyncTask, Task
from atrains._config import settings
from atrains._engine.process import process
from atrains.errors import ConfigurationError, NotFoundError, UsageError, ValidationError
from atrains.testing import RunningServer

RunScript = Callable[..., Any]


@pytest.fixture
def east(atrains_server: RunningServer) -> RunningServer:
    return atrains_server


@pytest.fixture
def west(tmp_path: Path, atrains_server: RunningServer) -> Iterator[RunningServer]:
    del atrains_server  # closes what is open, before this one ends
    server = RunningServer(tmp_path / "west")
    server.start()
    yield server
    from atrains import testing

    testing._close_what_is_open()
    server.stop()


def at(server: RunningServer) -> Any:
    return atrains.credentials(
        api_host=server.url, web_host=server.url, files_host=server.url, key=server.access_key, secret=server.secret_key
    )


def tasks_of(server: RunningServer) -> list[str]:
    """The tasks that a server keeps, read by a process that knows no other one."""
    script = "from atrains import Task; print(*sorted(task.name for task in Task.get_tasks()))"
    environment = {"ATRAINS_HOME": str(server.home.parent / "reader"), **server.environment}
    found = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    return found.stdout.split()


def points(task: Any) -> list[float]:
    values: list[float] = task["loss"]["train"]["y"]
    return values


def test_a_script_talks_to_three_homes(east: RunningServer, west: RunningServer) -> None:
    here = Task.init("project", "here")
    with at(east):
        there = Task.init("project", "there")
        assert Task.init("project", "there") is there, "the run of this home, not the one that began first"
        assert Task.get_task(project_name="project", task_name="here") is None
        with at(west):
            nested = Task.create("project", "nested")
            assert [task.name for task in Task.get_tasks()] == ["nested"]
        assert {task.name for task in Task.get_tasks()} == {"there"}
        with atrains.credentials(api_host="local"):
            assert [task.id for task in Task.get_tasks()] == [here.id]
    assert [task.id for task in Task.get_tasks()] == [here.id]
    for task in (here, there, nested):  # each belongs to where it came from
        task.get_logger().report_scalar("loss", "train", value=len(task.name), iteration=1)
        task.set_comment(task.name)
        assert task.flush()
        task.reload()
        assert (task.comment, points(task.get_reported_scalars())) == (task.name, [len(task.name)])
    there.close()
    assert there.status == "completed"
    assert (tasks_of(east), tasks_of(west)) == (["there"], ["nested"])
    assert Task.init("project", "here") is here
    assert here.is_main_task()


def test_a_task_has_a_page_where_only_the_api_server_is_named(east: RunningServer) -> None:
    with atrains.credentials(api_host=east.url, key=east.access_key, secret=east.secret_key):
        task = Task.create("project", "a task")
    assert task.get_output_log_web_page() == f"{east.url}/projects/{task.project}/experiments/{task.id}/output/log"
    assert f'"{east.url}/projects/' in str(task._repr_html_())


async def test_coroutines_talk_to_several_servers_at_once(east: RunningServer, west: RunningServer) -> None:
    together = asyncio.Barrier(3)

    async def run(name: str, block: Any) -> str:
        async with block:
            task = await Task.ainit("project", name)
            await together.wait()
            for step in range(1_000):
                task.get_logger().report_scalar("loss", "train", value=step, iteration=step)
            await asyncio.sleep(0)
            assert AsyncTask.current_task() is task
            assert [found.name for found in await AsyncTask.get_tasks()] == [name]
        await task.close()
        assert points(await task.get_reported_scalars()) == list(range(1_000))
        return task.get_output_log_web_page()

    pages = await asyncio.gather(run("east", at(east)), run("west", at(west)), run("home", atrains.credentials(api_host="local")))
    assert pages[0].startswith(east.url)
    assert pages[1].startswith(west.url)
    assert pages[2].startswith("file://")
    assert len(process().channels) == 3, "one channel, and so one journal and reporter, for each"
    later = await Task.ainit("project", "later")
    assert later.get_output_log_web_page().startswith("file://")
    await later.close()
    assert (tasks_of(east), tasks_of(west)) == (["east"], ["west"])


async def test_what_is_begun_in_the_block_inherits_it_and_nobody_else(east: RunningServer) -> None:
    entered, done = asyncio.Event(), asyncio.Event()

    async def inside() -> list[Any]:
        async with at(east):
            await AsyncTask.create("project", "inside")
            entered.set()
            await done.wait()
            return await asyncio.create_task(AsyncTask.get_tasks())

    beside = asyncio.create_task(inside())
    await entered.wait()
    assert await AsyncTask.get_tasks() == []
    assert settings().target.kind == "local"
    done.set()
    assert [task.name for task in await beside] == ["inside"]


def test_threads_talk_to_different_servers(east: RunningServer, west: RunningServer) -> None:
    block = {"east": at(east), "west": at(west)}

    def work(number: int) -> None:
        name = ("east", "west")[number % 2]
        with block[name]:  # one object, used by eight threads
            task = Task.create("project", f"{name}-{number}")
            task.get_logger().report_scalar("loss", "train", value=number, iteration=1)
            assert all(found.name.startswith(name) for found in Task.get_tasks())
        assert settings().target.kind == "local"
        assert points(task.get_reported_scalars()) == [number]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(16)))
    assert tasks_of(east) == sorted(f"east-{number}" for number in range(0, 16, 2))
    assert tasks_of(west) == sorted(f"west-{number}" for number in range(1, 16, 2))


def test_a_task_that_is_passed_decides_where_its_queue_is(east: RunningServer) -> None:
    with at(east):
        task = Task.create("project", "passed")
    assert Task.enqueue(task, queue_name="default").queued == 1
    assert Task.dequeue(task).dequeued == 1
    copy = Task.clone(task, name="copy")
    with at(east):
        assert Task.get_task(copy.id).name == "copy"
    with pytest.raises(NotFoundError):
        Task.get_task(copy.id)


def test_create_takes_no_project_of_another_server(east: RunningServer) -> None:
    with Task.init("project", "here"), at(east), pytest.raises(UsageError, match="needs project_name"):
        Task.create(task_name="there")


def test_keys_go_to_no_other_server(east: RunningServer, west: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ATRAINS_API_HOST")
    for name, value in east.environment.items():
        monkeypatch.setenv(name, value)
    atrains._config.reset()
    Task.create("project", "default")
    with atrains.credentials(api_host=west.url):
        api = settings().api
        assert (api.access_key, api.secret_key, api.auth_token) == (None, None, None)
        assert api.files_host != east.url
        with pytest.raises(ConfigurationError):
            Task.get_tasks()
    assert west.requests == []
    with atrains.credentials(web_host="http://shown"):
        assert settings().api.access_key is not None
        assert [task.name for task in Task.get_tasks()] == ["default"]


def test_a_wrong_secret_is_not_remembered(east: RunningServer) -> None:
    with atrains.credentials(api_host=east.url, key=east.access_key, secret="wrong"), pytest.raises(ConfigurationError):
        Task.get_tasks()
    with at(east):
        assert Task.get_tasks() == []


def test_the_block_wins_over_files_and_environment(east: RunningServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("ATRAINS_API_HOST")
    (tmp_path / "atrains.conf").write_text('api.api_server: "http://nowhere.invalid:8008"', encoding="utf-8")
    monkeypatch.setenv("CLEARML_API_ACCESS_KEY", "another")
    monkeypatch.setenv("CLEARML_AUTH_TOKEN", "another")
    atrains._config.reset()
    with at(east):
        Task.create("project", "wins")
    assert tasks_of(east) == ["wins"]


@pytest.mark.parametrize("given", [{"api_host": "localhost"}, {"host": 8008}, {"key": "k"}, {"secret": "s"}, {"key": 1, "secret": "s"}])
def test_what_cannot_be_meant_is_refused_at_once(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"atrains\.credentials"):
        atrains.credentials(**given)


def test_keys_without_a_server_are_refused_on_entering() -> None:
    with pytest.raises(UsageError, match="give api_host"), atrains.credentials(key="k", secret="s"):
        raise AssertionError("entered")


def test_host_overrides_api_host(east: RunningServer) -> None:
    with atrains.credentials(api_host="http://one:8008", host="http://api.two.example"):
        api = settings().api
        assert (api.api_host, api.web_host, api.files_host) == (
            "http://api.two.example",
            "http://app.two.example",
            "http://files.two.example",
        )


def test_a_block_that_is_left_elsewhere_changes_nothing_there(east: RunningServer) -> None:
    block = at(east)
    block.__enter__()
    other = threading.Thread(target=lambda: block.__exit__(None, None, None))
    other.start()
    other.join()
    assert settings().target.kind == "server"
    block.__exit__(None, None, None)
    block.__exit__(None, None, None)
    assert settings().target.kind == "local"


def test_set_credentials_comes_too_late_once_a_task_was_opened_but_not_after_a_block(east: RunningServer, west: RunningServer) -> None:
    with at(east):
        Task.create("project", "in a block")
    Task.set_credentials(key="k", secret="s")
    task = Task.init("project", "begun")
    with pytest.raises(UsageError, match=r"set_credentials.*connected to local:.*before Task\.init.*atrains\.credentials"):
        Task.set_credentials(api_host=west.url)
    assert Task.current_task() is task


CHILD = "from atrains import Task; print(Task.init('project', 'child').id)"
PARENT = f"""
import subprocess, sys
import atrains
from atrains import Task

def child():
    return subprocess.run([sys.executable, "-c", {CHILD!r}], check=True, capture_output=True, text=True).stdout.split()[-1]

host, key, secret = sys.argv[1:]
with atrains.credentials(api_host=host, key=key, secret=secret):
    there = Task.init("project", "there")
    assert child() != there.id, "children are at home where this process is"
assert there.is_main_task()
here = Task.init("project", "here")
assert (here.id != there.id, there.is_main_task(), here.is_main_task(), child()) == (True, False, True, here.id)
there.get_logger().report_scalar("loss", "train", value=1, iteration=1)
here.get_logger().report_scalar("loss", "train", value=2, iteration=1)
print(there.id, here.id)
"""


def test_a_process_closes_its_runs_at_every_server(run_script: RunScript, read_task: Callable[..., Any], east: RunningServer) -> None:
    finished = run_script(PARENT, east.url, east.access_key, east.secret_key, PYTHONWARNINGS="error")
    assert finished.code == 0, finished.stderr
    there, here = finished.stdout.split()
    found = read_task(here)
    assert (found["status"], points(found["scalars"])) == ("completed", [2])
    with at(east):
        task = Task.get_task(there)
        assert (task.status, points(task.get_reported_scalars())) == ("completed", [1])


TOO_LATE = """
from atrains import Task
from atrains.errors import UsageError

Task.set_credentials(api_host='{0}', web_host='{0}',
   files_host='{0}',  key='{1}',  secret='{2}')
task = Task.init('project name', 'experiment name')
print(task.get_output_log_web_page())
try:
    Task.set_credentials(api_host="http://localhost:1")
except UsageError as error:
    print(error)
"""


def test_the_example_of_the_reference(run_script: RunScript, east: RunningServer) -> None:
    finished = run_script(TOO_LATE.format(east.url, east.access_key, east.secret_key))
    assert finished.code == 0, finished.stderr
    page, error = finished.stdout.splitlines()
    assert page.startswith(east.url)
    assert "connected" in error
    assert len(tasks_of(east)) == 2, "one name of two words"
