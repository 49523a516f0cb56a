"""The pytest plugin as a project uses it: its suite in a process of its own, and the homes of its tests looked at from another one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

CONFTEST = 'pytest_plugins = ["atrains.testing"]\n'
SUITE = """
import asyncio, os, threading
from pathlib import Path

import pytest
from atrains import Task


@pytest.fixture(autouse=True)
def nothing_is_left_from_the_test_before(atrains_home):
    assert Task.current_task() is None
    assert not atrains_home.exists()
    assert Path(os.environ["ATRAINS_HOME"]) == atrains_home
    assert [name for name in os.environ if name.startswith(("TRAINS_", "CLEARML_"))] == []


def leave_open(name):
    task = Task.init("project", name)
    task.get_logger().report_scalar("a", "b", 1, 1)


def test_blocking():
    leave_open("blocking")


def test_beside_another_task():
    leave_open("main")
    other = Task.create("project", "draft")
    other.get_logger().report_scalar("a", "b", 1, 1)


def test_in_a_thread():
    thread = threading.Thread(target=leave_open, args=["thread"])
    thread.start()
    thread.join()


def test_on_a_loop_that_is_gone():
    async def begin():
        task = await Task.ainit("project", "gone")
        task.get_logger().report_scalar("a", "b", 1, 1)

    asyncio.run(begin())


@pytest.fixture(scope="module")
def runner():
    with asyncio.Runner() as runner:
        yield runner


@pytest.mark.parametrize("turn", [1, 2])
def test_on_a_loop_that_only_stopped(runner, turn):
    async def begin():
        task = await Task.ainit("project", "stopped")
        task.get_logger().report_scalar("a", "b", 1, 1)

    runner.run(begin())


async def test_async():
    task = await Task.ainit("project", "async")
    task.get_logger().report_scalar("a", "b", 1, 1)


class TestOneLoop:
    @pytest.fixture(scope="class")
    async def shared(self):
        yield

    @pytest.mark.parametrize("turn", [1, 2, 3])
    async def test_turn(self, shared, turn):
        task = await Task.ainit("project", "one loop")
        task.get_logger().report_scalar("a", "b", turn, 0)
        task.get_logger().report_scalar("a", "b", turn, 1)
        if turn == 2:
            assert await task.get_last_iteration() == 1


def test_a_setting_of_its_own(monkeypatch, capsys):
    monkeypatch.setenv("ATRAINS_QUIET", "0")
    leave_open("loud")
    assert "created task" in capsys.readouterr().err


def test_switched_off(monkeypatch, atrains_home):
    monkeypatch.setenv("ATRAINS_MODE", "disabled")
    leave_open("off")
    assert not atrains_home.exists()
"""
RUN = """
import sys, pytest
from pathlib import Path

Path("conftest.py").write_text(sys.argv[1])
Path("test_suite.py").write_text(sys.argv[2])
options = ["-q", "-o", "anyio_mode=auto", "-W", "error", "-p", "no:cacheprovider", "--basetemp", sys.argv[3]]
sys.exit(pytest.main(options))
"""
LOOK = """
import json
from pathlib import Path
from atrains import Task

tasks = [Task.get_task(folder.name) for folder in Path(__import__("os").environ["ATRAINS_HOME"], "tasks").iterdir()]
print(json.dumps([[task.name, task.status, task.get_reported_scalars()["a"]["b"]["x"]] for task in tasks]))
"""


def test_every_test_has_its_own_home_and_what_it_left_open_is_stored(run_script: Callable[..., Any], tmp_path: Path) -> None:
    base = tmp_path / "base"
    finished = run_script(
        RUN, CONFTEST, SUITE, str(base), TRAINS_API_HOST="http://192.0.2.1:8008", CLEARML_TASK_ID="1" * 32, ATRAINS_MODE="active"
    )
    assert finished.code == 0, finished.stdout + finished.stderr
    assert re.search(r"\b12 passed", finished.stdout), finished.stdout
    seen = []
    for home in (home for home in base.glob("*/atrains") if not home.parent.is_symlink()):
        assert not list((home / "journals").iterdir()), home
        looked = run_script(LOOK, ATRAINS_HOME=str(home))
        assert looked.code == 0, looked.stderr
        seen += json.loads(looked.stdout)
    names = ["async", "blocking", "gone", "loud", "main", "stopped", "stopped", "thread"]
    expected = [
        *([name, "completed", [1]] for name in names),
        *(["one loop", "completed", [0, 1]] for _ in range(3)),
        ["draft", "created", [1]],
    ]
    assert sorted(seen) == sorted(expected)


SERVED = """
import pytest
from atrains import Task


@pytest.mark.parametrize("turn", [1, 2])
def test_a_run_on_a_server(atrains_server, monkeypatch, turn):
    monkeypatch.delenv("ATRAINS_API_HOST")
    for name, value in atrains_server.environment.items():
        monkeypatch.setenv(name, value)
    task = Task.init("project", "served")
    task.get_logger().report_scalar("a", "b", 1, 1)
    task.flush()
    assert (atrains_server.home / "tasks" / task.id).is_dir()
    started = [body["task"] for endpoint, version, body in atrains_server.requests if endpoint == "tasks.started"]
    assert started == [task.id]
    atrains_server.restart()
    task.get_logger().report_scalar("a", "b", 2, 2)  # and left open: closed before the server ends
"""


def test_a_server_for_a_test(run_script: Callable[..., Any], tmp_path: Path) -> None:
    base = tmp_path / "base"
    finished = run_script(RUN, CONFTEST, SERVED, str(base))
    assert finished.code == 0, finished.stdout + finished.stderr
    for home in base.glob("server*/home"):
        looked = run_script(LOOK, ATRAINS_HOME=str(home))
        assert json.loads(looked.stdout) == [["served", "completed", [1, 2]]], looked.stderr
