"""A real `clearml-agent` serves a queue of `atrains serve`: what was handed over runs, and everything comes back; one run is aborted."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.interop.conftest import make_venv

if TYPE_CHECKING:
    from tests.interop.conftest import Peer, Place

pytestmark = pytest.mark.xdist_group("agents")  # one server and its agents for all of them

EXAMPLES: Final = Path(__file__).parents[2] / "examples"
LONG: Final = os.environ.get("ATRAINS_SOAK") == "1"
PATIENCE: Final = 120.0
"""Seconds that a task may take from the queue to its end."""

IN_GIT = """
import argparse
import helper
from atrains import Task

parser = argparse.ArgumentParser()
parser.add_argument("--rate", type=float, default=0.1)
arguments = parser.parse_args()
task = Task.init("agents", "from git")
settings = task.connect({"layers": 3})
task.execute_remotely("default")
print("rate is", arguments.rate, "layers are", settings["layers"], helper.where())
task.get_logger().report_scalar("loss", "train", 0.5, 1)
"""
ALONE = """
import time
from atrains import Task

task = Task.init("agents", "a script")
settings = task.connect({"seconds": 0.0})
task.execute_remotely("default")
task.register_abort_callback(lambda: print("saved before the end", flush=True))
print("seconds are", settings["seconds"], flush=True)
task.get_logger().report_scalar("loss", "train", 0.25, 1)
time.sleep(settings["seconds"])
"""
CONTROL = """
import base64, json, os, sys, time, urllib.request
from atrains import Task

from_git, alone = (Task.get_task(id) for id in sys.argv[1:3])
patience = float(sys.argv[3])

def ended(task, *statuses):
    task.wait_for_status(statuses, check_interval_sec=0.5, timeout=patience)
    task.reload()
    console = "".join(task.get_reported_console_output(1000))
    return {"status": task.status, "console": console, "scalars": task.get_reported_scalars(), **task.data}

edited = Task.clone(from_git, name="edited")
edited.set_parameters({"Args/rate": 0.7, "General/layers": 9})
aborted = Task.clone(alone, name="aborted")
aborted.set_parameter("General/seconds", patience)
for task in (edited, aborted):
    Task.enqueue(task, queue_name="default")
found = {"from git": ended(from_git, "completed"), "alone": ended(alone, "completed")}
aborted.wait_for_status("in_progress", check_interval_sec=0.5, timeout=patience)
until = time.monotonic() + patience
while "seconds are" not in "".join(aborted.get_reported_console_output(1000)):
    assert time.monotonic() < until, "the script of the task that is to be aborted does not run"
    time.sleep(0.5)
pair = ":".join(os.environ["CLEARML_API_" + name] for name in ("ACCESS_KEY", "SECRET_KEY"))
headers = {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode(), "Content-Type": "application/json"}
url, body = os.environ["CLEARML_API_HOST"] + "/v2.13/tasks.stop", json.dumps({"task": aborted.id}).encode()
with urllib.request.urlopen(urllib.request.Request(url, body, headers)) as answer:
    assert json.load(answer)["data"]["fields"]["status_message"] == "stopping"
found |= {"edited": ended(edited, "completed"), "aborted": ended(aborted, "stopped")}
print(json.dumps(found))
"""
MAKE_QUEUE = """
import asyncio, sys
from atrains import AsyncTask
from atrains._wire import endpoints

async def main():
    task = await AsyncTask.create("agents", "makes a queue")
    await task._channel.transport.call(endpoints.QUEUES_CREATE, {"name": sys.argv[1]})

asyncio.run(main())
"""
WAIT = """
import json, sys
from atrains import Task

(task,) = Task.get_tasks(project_name="agents", task_name=sys.argv[1], task_filter={"status": ["queued", "in_progress", "completed"]})[:1]
task.wait_for_status(("completed", "failed", "stopped"), None, check_interval_sec=1, timeout=float(sys.argv[2]))
task.reload()
print(json.dumps({"console": "".join(task.get_reported_console_output(1000)), **task.data}))
"""
FAILED = """
from atrains import Task

for task in Task.get_tasks(task_filter={"status": ["failed"]}):
    print(repr(task), *task.get_reported_console_output(1000), sep="\\n")
"""
"""Prints what the tasks printed that failed."""


@dataclass
class Machine:
    """A machine that knows of the server, with programs of its user on it."""

    directory: Path
    variables: dict[str, str]

    def run(self, script: Path | str, *arguments: str, seconds: float = 2 * PATIENCE) -> str:
        """Run a script, or a text, and return what it printed."""
        command = [sys.executable, "-c", script] if isinstance(script, str) else [sys.executable, str(script)]
        where = self.directory if isinstance(script, str) else script.parent
        done = subprocess.run(
            [*command, *arguments], cwd=where, env=self.variables, capture_output=True, text=True, timeout=seconds, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr + ("" if script == FAILED else self.run(FAILED))
        return done.stdout

    def hand_over(self, script: Path, *arguments: str) -> str:
        """Run a script that hands its run over, and return the id of its task."""
        assert self.run(script, *arguments) == "", "it ends where it hands over"
        found = "from atrains import Task; import sys; print(Task.get_tasks(project_name='agents', task_name=sys.argv[1])[0].id)"
        return self.run(found, {"train.py": "from git", "alone.py": "a script"}[script.name]).strip()


@pytest.fixture(scope="module")
def agent() -> Peer:
    """The official agent of today."""
    return make_venv("clearml_agent", sys.executable)


@pytest.fixture(scope="module")
def machine(place: Place) -> Machine:
    directory = place.directory / "user"
    directory.mkdir()
    return Machine(directory, variables_of(place, directory))


def variables_of(place: Place, home: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ATRAINS_", "CLEARML_", "TRAINS_", "PYTHON"))}
    return {**kept, "HOME": str(home), **place.variables, "ATRAINS_QUIET": "1", **more}


@contextmanager
def serving(agent: Peer, place: Place, name: str, configuration: str, *, queue: str = "default", **variables: str) -> Iterator[Path]:
    """An agent at work, as `clearml-agent daemon --queue default` on a machine of its own; ended with all that it started."""
    home = place.directory / name
    home.mkdir()
    (home / "clearml.conf").write_text(configuration)
    log = home / "agent.log"
    environment = variables_of(place, home, CLEARML_WORKER_NAME=name, **variables)
    command = [str(agent.python.with_name("clearml-agent")), "daemon", "--queue", queue, "--foreground", "--cpu-only"]
    with log.open("w") as output:
        process = subprocess.Popen(
            command, cwd=home, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        yield log
    finally:
        end_session(process)


def end_session(process: subprocess.Popen[bytes]) -> None:
    """End an agent and whatever it started; it takes no new task meanwhile."""
    import psutil

    children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)
    for child in children:
        if child.is_running():
            child.kill()


def prepared(place: Place, name: str) -> Path:
    """The Python that an agent runs tasks in: it sees what this one has, atrains among it, and what is installed there stays in it."""
    folder = place.directory / f"prepared-{name}"
    options = ["--without-pip"] if importlib.util.find_spec("pip") else []  # that of this one is seen as well
    subprocess.run([sys.executable, "-m", "venv", *options, str(folder)], check=True, capture_output=True)
    below = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    (below / "of_this_one.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def agents(agent: Peer, place: Place) -> Iterator[None]:
    """Two agents that run everything in a Python prepared for each: no environment is made for a task."""
    pythons = {name: prepared(place, name) for name in ("first", "second")}
    command = [str(pythons["first"]), "-c", "import pip; print(pip.__version__)"]
    pip = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    configuration = f'agent.package_manager.pip_version: "=={pip}"'  # else each would bring its own
    with ExitStack() as both:
        logs = [
            both.enter_context(serving(agent, place, name, configuration, CLEARML_AGENT_SKIP_PIP_VENV_INSTALL=str(python)))
            for name, python in pythons.items()
        ]
        yield
        said = "".join(log.read_text(encoding="utf-8", errors="replace") for log in logs)
    assert "Traceback" not in said, said


def make_repository(folder: Path) -> Path:
    """A repository with a script that needs what is not committed yet."""
    folder.mkdir()
    (folder / "train.py").write_text(IN_GIT)
    (folder / "helper.py").write_text("def where(): return 'committed'\n")
    git = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@example.com"]
    for command in (["init", "--quiet", "--initial-branch=main"], ["add", "."], ["commit", "--quiet", "-m", "first"]):
        subprocess.run([*git, *command], check=True, capture_output=True)
    (folder / "helper.py").write_text("def where(): return 'changed since'\n")
    return folder / "train.py"


def requirements_of(task: dict[str, Any]) -> str:
    packages = task["script"]["requirements"]["pip"]
    return "\n".join(packages) if isinstance(packages, list) else packages


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("agents")
def test_what_was_handed_over_runs_and_everything_comes_back(machine: Machine) -> None:
    from_git = machine.hand_over(make_repository(machine.directory / "repository"), "--rate", "0.2")
    alone = machine.directory / "alone.py"
    alone.write_text(ALONE)
    found = json.loads(machine.run(CONTROL, from_git, machine.hand_over(alone), str(PATIENCE)))

    assert {name: task["status"] for name, task in found.items()} == {
        "from git": "completed", "alone": "completed", "edited": "completed", "aborted": "stopped",
    }  # fmt: skip
    assert "rate is 0.2 layers are 3 changed since\n" in found["from git"]["console"]
    assert "seconds are 0.0\n" in found["alone"]["console"]
    assert "rate is 0.7 layers are 9 changed since\n" in found["edited"]["console"]
    assert found["edited"]["parent"] == from_git
    assert [name for name, task in found.items() if "saved before the end\n" in task["console"]] == ["aborted"]
    for name, value in (("from git", 0.5), ("alone", 0.25), ("edited", 0.5), ("aborted", 0.25)):
        assert found[name]["scalars"]["loss"]["train"]["y"] == [value], name
    for task in found.values():
        assert task["last_worker"].startswith(("first", "second"))
        assert task["last_worker"] in task["status_message"]
        # Those of the environment in which it ran, not just of what the program imports.
        assert "pytest==" in requirements_of(task)
        assert "execution.queue" not in task
    assert found["from git"]["script"]["repository"] == (machine.directory / "repository").as_uri()
    assert found["alone"]["script"]["diff"] == ALONE


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("agents")
def test_the_auto_ml_example_has_agents_run_its_copies(machine: Machine) -> None:
    """Copies of a template are edited, put into the queue and waited for; the best is found."""
    folder = machine.directory / "examples"
    folder.mkdir()
    for name in ("automl.py", "argparse_training.py"):
        shutil.copy(EXAMPLES / name, folder)
    choice = () if LONG else ("--learning-rates", "0.003", "0.3", "--hidden", "8")
    printed = machine.run(folder / "automl.py", "--queue", "default", *choice)
    table = [line.split() for line in printed.splitlines() if line.split()[-1:] == ["completed"]]
    assert sorted((rate, hidden) for rate, hidden, _, _ in table) == sorted(
        (rate, hidden) for rate in (("0.003", "0.03", "0.3") if LONG else ("0.003", "0.3")) for hidden in (("2", "8") if LONG else ("8",))
    )
    accuracies = [float(accuracy) for _, _, accuracy, _ in table]
    assert accuracies == sorted(accuracies, reverse=True)
    assert accuracies[0] > accuracies[-1], "the copies ran with their own arguments"


@pytest.mark.skipif(not LONG, reason="makes an environment for a task, with everything that is in it: ATRAINS_SOAK=1")
@pytest.mark.timeout(900)
def test_an_agent_makes_an_environment_in_which_atrains_comes_from_a_wheel(agent: Peer, place: Place, machine: Machine) -> None:
    """As on a machine that has nothing: what the run recorded is installed, atrains from a folder of wheels."""
    wheels, own = place.directory / "wheels", place.directory / "own"
    subprocess.run([sys.executable, "-m", "venv", str(own)], check=True, capture_output=True)
    pip = [str(own / "bin" / "python"), "-m", "pip", "--quiet"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", str(wheels), str(EXAMPLES.parent)], check=True, capture_output=True)
    (wheel,) = wheels.glob("atrains-*.whl")
    subprocess.run([*pip, "install", str(wheel)], check=True, capture_output=True)
    script = machine.directory / "whole" / "alone.py"
    script.parent.mkdir()
    script.write_text(ALONE.replace('"default"', '"whole"').replace('"a script"', '"a whole script"'))
    machine.run(MAKE_QUEUE, "whole")  # other agents serve the usual one
    done = subprocess.run([str(own / "bin" / "python"), str(script)], env=machine.variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with serving(agent, place, "whole", "", queue="whole", PIP_FIND_LINKS=str(wheels)) as log:
        printed = machine.run(WAIT, "a whole script", str(6 * PATIENCE), seconds=7 * PATIENCE)
        said = log.read_text(encoding="utf-8", errors="replace")
    found = json.loads(printed)
    assert found["status"] == "completed", said
    assert "seconds are 0.0\n" in found["console"]
    recorded = found["script"]["requirements"]
    assert f"atrains == {wheel.name.split('-')[1]}" in recorded["org_pip"], "what the run used"
    assert "aiohttp==" in requirements_of(found)
    assert "atrains" in requirements_of(found), "what the agent installed"
