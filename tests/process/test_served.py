"""The main job on a server: `atrains serve` in a process of its own, an example in a second one, a reader in a third."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from atrains import AsyncTask, Task
from atrains.errors import WaitTimeoutError
from atrains.testing import RunningServer

QUICKSTART = Path(__file__).resolve().parents[2] / "examples" / "quickstart.py"

READER = """
import json, sys
from pathlib import Path
from atrains import AsyncTask, Task

task = Task.get_task(sys.argv[1])
files = {name: artifact.get_local_copy() for name, artifact in task.artifacts.items()}
print(json.dumps({
    "status": task.status,
    "project": task.get_project_name(),
    "parameters": task.get_parameters(),
    "last": task.get_last_scalar_metrics(),
    "scalars": task.get_reported_scalars(),
    "single": task.get_reported_single_values(),
    "console": task.get_reported_console_output(100),
    "artifacts": {name: artifact.get() for name, artifact in task.artifacts.items()},
    "bytes": {name: Path(path).read_bytes().hex() for name, path in files.items()},
}))
"""


def environment(folder: Path, **variables: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ATRAINS_", "CLEARML_", "TRAINS_"))}
    return {**kept, "HOME": str(folder), "USERPROFILE": str(folder), "PYTHONIOENCODING": "utf-8", **variables}


@pytest.fixture
def served(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """A server in a process of its own: its `url`, its `home`, and the variables that point a client at it."""
    folder = tmp_path / "server"
    folder.mkdir()
    command = [sys.executable, "-W", "error", "-m", "atrains", "serve", "--port", "0", "--json"]
    with subprocess.Popen(command, env=environment(folder), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())
            process.send_signal(signal.SIGTERM)
            _, stderr = process.communicate(timeout=20)
            assert (process.returncode, stderr) == (0, "")
        finally:
            process.kill()


def run(folder: Path, *command: str, **variables: str) -> str:
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-W", "error", *command],
        cwd=folder, env=environment(folder, **variables), capture_output=True, encoding="utf-8", timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_quickstart_unchanged_on_a_server(served: dict[str, Any], tmp_path: Path) -> None:
    printed = run(tmp_path / "client", str(QUICKSTART), **served["environment"])
    assert "'iris softmax' in project 'Examples', completed" in printed
    assert "equal to the trained weights" in printed
    (task,) = (Path(served["home"]) / "tasks").iterdir()
    client = tmp_path / "client" / ".atrains"
    assert not list(client.glob("tasks/*")), "the run belongs to the server, and to nobody else"
    assert not list(client.glob("journals/*")), "nothing is left to deliver"
    script = tmp_path / "reader.py"
    script.write_text(READER)
    # A third machine that knows nothing but the way to the server, and one that looks at the server's own folder.
    found, kept = (
        json.loads(run(tmp_path / name, str(script), task.name, **variables))
        for name, variables in (
            ("reader", served["environment"]),
            ("keeper", {"ATRAINS_HOME": served["home"], "ATRAINS_API_HOST": "local"}),
        )
    )
    assert found == kept
    assert found["status"] == "completed"
    assert found["parameters"]["General/epochs"] == "60"
    assert len(found["scalars"]["loss"]["train"]["x"]) == 60
    assert len(found["console"]) == 2
    assert set(found["bytes"]) == {"weights", "confusion"}
    assert f"{found['single']['test accuracy']:.4f}" in printed
    assert not list((tmp_path / "reader" / ".atrains").glob("tasks/*"))


def test_commands_look_at_a_server(served: dict[str, Any], tmp_path: Path) -> None:
    run(tmp_path / "client", str(QUICKSTART), **served["environment"])
    (listed,) = json.loads(run(tmp_path / "other", "-m", "atrains", "ls", "--json", **served["environment"]))
    shown = json.loads(run(tmp_path / "other", "-m", "atrains", "show", listed["id"][:8], "--json", **served["environment"]))
    assert (shown["id"], shown["name"], shown["status"]) == (listed["id"], "iris softmax", "completed")
    assert shown["last_iteration"] == 59
    assert "iris softmax" in run(tmp_path / "other", "-m", "atrains", "show", listed["id"], **served["environment"])


async def test_a_server_hears_that_a_silent_task_is_alive(
    atrains_server: RunningServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "atrains.conf").write_text("sdk.development.worker.ping_period_sec = 1")
    monkeypatch.delenv("ATRAINS_API_HOST")
    for name, value in atrains_server.environment.items():
        monkeypatch.setenv(name, value)
    async with Task.ainit("project", "silent") as task:
        await asyncio.sleep(2.5)
        pings = [body for endpoint, _, body in atrains_server.requests if endpoint == "tasks.ping"]
    assert 1 <= len(pings) <= 3
    assert pings[0] == {"task": task.id}


async def test_a_hundred_waiters_ask_once_an_interval_and_the_last_one_is_told(
    atrains_server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ATRAINS_API_HOST")
    for name, value in atrains_server.environment.items():
        monkeypatch.setenv(name, value)
    task = await AsyncTask.create("project", "waited for")
    await task.mark_started()
    others = [await AsyncTask.get_task(task.id) for _ in range(4)]
    before, began = len(atrains_server.requests), time.monotonic()
    waiters = [asyncio.create_task(others[number % 4].wait_for_status(check_interval_sec=0.2)) for number in range(100)]
    await asyncio.sleep(1.5)
    took = time.monotonic() - began
    looks = [body for endpoint, _, body in atrains_server.requests[before:] if endpoint == "tasks.get_all"]
    assert 3 <= len(looks) <= took / 0.2 + 2
    assert all(look["only_fields"] == ["status", "status_reason", "status_message"] for look in looks), "and reads nothing else"
    for waiter in waiters[1:]:
        waiter.cancel()
    await asyncio.wait(waiters[1:])
    await task.mark_completed(ignore_errors=False)
    await asyncio.wait_for(waiters[0], 5)
    assert others[0].data["status"] == "completed"
    assert not [left for left in asyncio.all_tasks() if left.get_name() == "atrains-status"]


def test_a_hundred_waiting_threads_ask_once_an_interval_and_the_last_one_is_told(
    atrains_server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ATRAINS_API_HOST")
    for name, value in atrains_server.environment.items():
        monkeypatch.setenv(name, value)
    task = Task.create("project", "waited for")
    task.mark_started()

    def looks() -> int:
        return sum(endpoint == "tasks.get_all" for endpoint, _, _ in atrains_server.requests)

    with ThreadPoolExecutor(100) as threads:
        before, began = looks(), time.monotonic()
        last = threads.submit(task.wait_for_status, check_interval_sec=0.2, timeout=60)
        others = [threads.submit(task.wait_for_status, check_interval_sec=0.2, timeout=1.5) for _ in range(99)]
        assert all(isinstance(other.exception(30), WaitTimeoutError) for other in others)
        assert 3 <= looks() - before <= (time.monotonic() - began) / 0.2 + 2
        assert not last.done()
        before, began = looks(), time.monotonic()
        time.sleep(0.7)
        assert 1 <= looks() - before <= (time.monotonic() - began) / 0.2 + 2
        task.mark_completed(ignore_errors=False)
        last.result(5)
    assert task.data["status"] == "completed"


async def test_a_wait_outlasts_an_outage_of_its_server(
    atrains_server: RunningServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("ATRAINS_API_HOST")
    for name, value in atrains_server.environment.items():
        monkeypatch.setenv(name, value)
    task = await AsyncTask.create("project", "waited for")
    waiting = asyncio.create_task(task.wait_for_status("in_progress", check_interval_sec=0.1))
    await asyncio.sleep(0.3)
    await asyncio.to_thread(atrains_server.stop)
    await asyncio.sleep(11)  # longer than a call tries by itself
    assert not waiting.done()
    await asyncio.to_thread(atrains_server.start)
    await task.mark_started()
    await asyncio.wait_for(waiting, 30)
    assert "although its status cannot be read now" in caplog.text
