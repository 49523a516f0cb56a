"""Fixtures that every test sees. What belongs to one folder of tests lives in that folder."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from atrains import Task, _config
from atrains._engine.process import process
from atrains._portal.portal import portal

if TYPE_CHECKING:
    from atrains.testing import RunningServer

pytest_plugins = ["atrains.testing"]


def pytest_configure() -> None:
    """Take Ctrl-C as any program does: the workers of pytest-xdist ignore it, and what they start would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


TOGETHER: Final = ("tests/interop/", "tests/process/test_cli.py", "tests/process/test_endings.py", "tests/process/test_examples.py")
"""Files whose tests share what their module makes: programs that run, servers, official clients. Every process would make it anew."""


def group_of(nodeid: str) -> str:
    """The name that tests have in common which one process has to run, in their order; of most tests it is their own."""
    file, _, name = nodeid.partition("::")
    if (file.startswith("tests/conformance/") and "served" in name) or file == "tests/interop/test_schemas.py":
        return "served"  # what is sent to served homes is checked afterwards
    return file if file.startswith(TOGETHER) else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Where several processes run the suite, hand out groups, the largest first: the marks of pytest-xdist 3.8 do nothing on pytest 9.2.

    See https://github.com/pytest-dev/pytest-xdist/issues/1386.
    """
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    return Groups(config, log)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Async tests and fixtures run on asyncio, the one backend that atrains has."""
    return "asyncio"


@dataclass(frozen=True)
class Finished:
    """A process that ended."""

    stdout: str
    stderr: str
    code: int

    @property
    def task_ids(self) -> list[str]:
        """The ids in the lines that say which task was created, reused or continued."""
        words = [line.split() for line in self.stderr.splitlines() if line.startswith(("atrains: created task", "atrains: reusing task"))]
        return [line[3] for line in words]


@dataclass(frozen=True)
class User:
    """Somebody with an empty home directory, no configuration, and nothing in the environment but where runs are kept.

    Attributes:
        home: The local home.
        directory: The home directory, and the working directory of every process.
        variables: What else is in the environment, such as the way to a server.
    """

    home: Path
    directory: Path
    variables: Mapping[str, str] = field(default_factory=dict)

    def environment(self, **variables: str) -> dict[str, str]:
        """The environment of a process that this user starts."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ATRAINS_", "CLEARML_", "TRAINS_"))}
        own = {"HOME": str(self.directory), "ATRAINS_HOME": str(self.home), "PYTHONWARNINGS": "error"}
        own["ATRAINS_MONITOR"] = "no"  # or the points that a test expects would depend on whether the machine is slow
        return {**kept, **own, **self.variables, **variables}

    def start(self, script: str, *arguments: str, name: str = "script.py", **variables: str) -> subprocess.Popen[str]:
        """Write a script and run it in a process of its own, with pipes on its streams."""
        path = self.directory / name
        written = path.with_name(f".{name}.written")
        written.write_text(script, encoding="utf-8")
        written.replace(path)  # whole at once: a process that was started with it before may be about to read it
        return subprocess.Popen(
            [sys.executable, str(path), *arguments],
            cwd=self.directory,
            env=self.environment(**variables),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, script: str, *arguments: str, name: str = "script.py", **variables: str) -> Finished:
        """Write a script, run it in a process of its own, and wait for its end."""
        return finish(self.start(script, *arguments, name=name, **variables))


def finish(process: subprocess.Popen[str]) -> Finished:
    """Wait for the end of a process."""
    with process:
        try:
            stdout, stderr = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return Finished(stdout, stderr, process.returncode)


@pytest.fixture
def user(atrains_home: Path, tmp_path: Path) -> User:
    """A user whose runs go to the home of this test."""
    directory = tmp_path / "user"
    directory.mkdir()
    return User(atrains_home, directory)


@pytest.fixture(params=["local", "served"])
def somebody(user: User, request: pytest.FixtureRequest) -> User:
    """A user with the local home, or with a server."""
    if request.param == "local":
        return user
    server: RunningServer = request.getfixturevalue("atrains_server")
    return replace(user, variables=server.environment)


@pytest.fixture
def run_script(user: User) -> Callable[..., Finished]:
    """Run the text of a script in a real process: `run_script(text, *arguments, name="script.py", VARIABLE="value")`."""
    return user.run


@pytest.fixture
def read_task(user: User) -> Callable[..., Any]:
    """Read a task in a second process, by id or by project and name, as a dict (None when there is no such task).

    The second process is this one, which has nothing open while it asks and forgets everything afterwards: a new one would take a quarter
    of a second for each look, hundreds of times.
    """

    def read(*names: str) -> Any:
        assert not process().channels, "what a test has open itself may be read without a fixture"
        with pytest.MonkeyPatch.context() as patch:
            for name in list(os.environ):
                patch.delenv(name)
            for name, value in user.environment(ATRAINS_QUIET="1").items():
                patch.setenv(name, value)
            _config.reset()
            try:
                found = Task.get_task(names[0]) if len(names) == 1 else Task.get_task(project_name=names[0], task_name=names[1])
                return found and json.loads(json.dumps(contents_of(found)))
            finally:
                portal().run(close_channels)
                _config.reset()

    return read


async def close_channels() -> None:
    """Close every connection of this process."""
    for channel in list(process().channels.values()):
        await channel.aclose()
    process().channels.clear()


def contents_of(task: Task) -> dict[str, Any]:
    """What is kept of a run."""
    return {
        "id": task.id,
        "status": task.status,
        "reason": task.data.get("status_reason"),
        "parameters": task.get_parameters_as_dict(),
        "tags": task.get_tags(),
        "scalars": task.get_reported_scalars(),
        "single_values": task.get_reported_single_values(),
        "console": task.get_reported_console_output(1000),
        "last_iteration": task.get_last_iteration(),
        "artifacts": {name: artifact.url for name, artifact in task.artifacts.items()},
    }
