"""`atrains serve` as a user starts it: what it prints, how it ends, and that it runs beside scripts that record to the same home."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ENDS_WITHIN = 5.0


def environment(home: Path, **variables: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("ATRAINS_", "CLEARML_", "TRAINS_"))}
    return inherited | {"HOME": str(home.parent), "ATRAINS_HOME": str(home), "PYTHONWARNINGS": "error"} | variables


def atrains(home: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "atrains", *arguments]
    return subprocess.run(command, env=environment(home, **variables), capture_output=True, text=True, timeout=60, check=False)


@contextmanager
def serving(home: Path, *arguments: str, **variables: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    command = [sys.executable, "-m", "atrains", "serve", "--port", "0", "--json", *arguments]
    with subprocess.Popen(
        command, env=environment(home, **variables), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield process, json.loads(process.stdout.readline())
        finally:
            if process.poll() is None:
                process.kill()


def call(variables: dict[str, str], endpoint: str, **body: Any) -> Any:
    keys = f"{variables['CLEARML_API_ACCESS_KEY']}:{variables['CLEARML_API_SECRET_KEY']}"
    headers = {"Authorization": "Basic " + base64.b64encode(keys.encode()).decode(), "Content-Type": "application/json"}
    request = urllib.request.Request(f"{variables['CLEARML_API_HOST']}/{endpoint}", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)["data"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_cleanly_and_soon_at_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    with serving(tmp_path / "home") as (process, printed):
        assert printed["environment"]["TRAINS_API_HOST"] == printed["url"]
        call(printed["environment"], "tasks.create", name="a task", type="training")
        begun = time.monotonic()
        process.send_signal(number)
        _, stderr = process.communicate(timeout=30)
        assert (process.returncode, stderr) == (0, "")
        assert time.monotonic() - begun < ENDS_WITHIN
    assert not (tmp_path / "home" / "serving.json").exists()


def test_the_variables_can_be_asked_for_from_a_second_shell(tmp_path: Path) -> None:
    home = tmp_path / "home"
    refused = atrains(home, "serve", "--env")
    assert refused.returncode == 1
    assert "atrains serve" in refused.stderr
    assert not home.exists()
    with serving(home) as (_, printed):
        asked = atrains(home, "serve", "--env", "--json")
        assert json.loads(asked.stdout)["environment"] == printed["environment"]
        shell = subprocess.run(
            ["sh", "-c", f'eval "$({sys.executable} -m atrains serve --env)"; echo "$CLEARML_API_SECRET_KEY"'],
            env=environment(home), capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
        assert shell.stdout.strip() == printed["environment"]["CLEARML_API_SECRET_KEY"]
        with serving(home) as (second, _):  # of the same home, and ends before the first
            second.terminate()
            assert second.wait(30) == 0
        # And a server can be asked about in a shell that these variables were set in.
        again = atrains(home, "serve", "--env", "--json", **printed["environment"])
        assert json.loads(again.stdout)["environment"] == printed["environment"]


def test_other_machines_are_let_in_with_keys_of_ones_own_alone(tmp_path: Path) -> None:
    refused = atrains(tmp_path / "home", "serve", "--host", "0.0.0.0", "--port", "0")
    assert refused.returncode == 1
    assert "ATRAINS_SERVE_ACCESS_KEY" in refused.stderr
    assert refused.stderr.count("\n") == 1
    half = atrains(tmp_path / "home", "serve", ATRAINS_SERVE_ACCESS_KEY="mine")
    assert half.returncode == 1
    assert "both" in half.stderr
    keys = {"ATRAINS_SERVE_ACCESS_KEY": "mine", "ATRAINS_SERVE_SECRET_KEY": "a secret"}
    with serving(tmp_path / "home", "--host", "0.0.0.0", **keys) as (_, printed):
        variables = printed["environment"]
        assert (variables["CLEARML_API_ACCESS_KEY"], variables["CLEARML_API_SECRET_KEY"]) == ("mine", "a secret")
        assert call(variables, "tasks.get_all") == {"tasks": []}
        without = atrains(tmp_path / "home", "serve", "--env")
        assert "KEY=" not in without.stdout
        assert "keys of its own" in without.stdout


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    with serving(tmp_path / "home") as (_, printed):
        taken = atrains(tmp_path / "home", "serve", "--port", printed["url"].rpartition(":")[2])
    assert taken.returncode == 1
    assert "choose another --port" in taken.stderr


RUN = """
import os, signal, sys
from atrains import Task

task = Task.init("project", "beside")
logger = task.get_logger()
for step in range(1000):
    logger.report_scalar("loss", "train", step, step)
if "kill" in sys.argv:
    os.kill(os.getpid(), signal.SIGKILL)
task.close()
"""


def test_scripts_record_to_the_same_home_beside_it(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with serving(home) as (_, printed):
        subprocess.run([sys.executable, "-c", RUN], env=environment(home), check=True, timeout=60, capture_output=True)
        (found,) = call(printed["environment"], "tasks.get_all", only_fields=["status", "last_iteration"])["tasks"]
        assert (found["status"], found["last_iteration"]) == ("completed", 999)


def test_what_a_killed_process_left_is_delivered_at_its_start(tmp_path: Path) -> None:
    home = tmp_path / "home"
    killed = subprocess.run([sys.executable, "-c", RUN, "kill"], env=environment(home), check=False, timeout=60, capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    with serving(home) as (_, printed):
        deadline = time.monotonic() + 30
        while True:
            (found,) = call(printed["environment"], "tasks.get_all", only_fields=["status", "last_iteration"])["tasks"]
            if found["status"] == "failed" or time.monotonic() > deadline:
                break
            time.sleep(0.1)
        assert (found["status"], found["last_iteration"]) == ("failed", 999)


def test_a_run_that_nobody_hears_of_is_stopped_and_a_silent_one_that_lives_is_not(tmp_path: Path) -> None:
    home = tmp_path / "home"
    script = "import sys, time; from atrains import Task; print(Task.init('watchdog', 'alive').id, flush=True); sys.stdin.read()"
    with serving(home, "--watchdog", "1.5") as (process, printed):
        variables = printed["environment"]
        gone = call(variables, "tasks.create", name="gone", type="training")["id"]
        draft = call(variables, "tasks.create", name="a draft", type="training")["id"]
        call(variables, "tasks.started", task=gone)
        with subprocess.Popen(
            [sys.executable, "-c", script], env=environment(home), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as living:
            assert living.stdin is not None
            assert living.stdout is not None
            alive = living.stdout.readline().strip()
            until = time.monotonic() + 20
            while (found := call(variables, "tasks.get_by_id", task=gone)["task"])["status"] == "in_progress" and time.monotonic() < until:
                time.sleep(0.2)
            assert (found["status"], found["status_reason"]) == ("stopped", "Forced stop (non-responsive)")
            time.sleep(3)  # the other one has said nothing for longer than that
            assert call(variables, "tasks.get_by_id", task=alive)["task"]["status"] == "in_progress"
            living.stdin.close()
        assert call(variables, "tasks.get_by_id", task=alive)["task"]["status"] == "completed"
        assert call(variables, "tasks.get_by_id", task=draft)["task"]["status"] == "created"
        process.terminate()
        assert process.wait(ENDS_WITHIN * 2) == 0
        assert process.stderr is not None
        assert f"task {gone} was stopped: nobody has heard of it for 1.5 s" in process.stderr.read()
