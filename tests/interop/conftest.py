"""The official packages, unmodified, each in a venv of its own, and `atrains serve` in a process of its own.

The venvs are made from the package index when a test first needs them and kept below the temporary folder, or below the folder that
`ATRAINS_INTEROP_CACHE` names, so that the next run has them at once.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from tests.interpreters import candidates

HERE: Final = Path(__file__).parent
REQUIREMENTS: Final = {
    "clearml": ["clearml>=2.1,<2.2"],
    "clearml_agent": ["clearml-agent>=3.0,<3.1"],
    # Of its own time: newer PyJWT return text where it expects bytes, newer setuptools lack a module that it imports.
    "trains": ["trains==0.16.4", "PyJWT<2", "setuptools<70"],
}
OLDER: Final = ("3.11", "3.10", "3.9", "3.8")
"""Interpreters on which trains is looked for, where it does not run on this one."""
MINUTES: Final = 60.0
_VERSION: Final = "import importlib.metadata, sys; print(importlib.metadata.version(sys.argv[1].replace('_', '-')))"


@dataclass(frozen=True)
class Peer:
    """An official package.

    Attributes:
        package: Its name.
        python: The interpreter of its venv.
        version: As it says itself.
    """

    package: str
    python: Path
    version: str


class UnusableError(Exception):
    """A package does not run here; says why."""


def make_venv(package: str, interpreter: str, *beside: str) -> Peer:
    """The venv of a package, and of others beside it; made once, whole or not at all."""
    import fcntl

    options = ["install", "--quiet", "--no-compile", *REQUIREMENTS[package], *beside]
    version = _output([interpreter, "-c", "import sys; print('.'.join(map(str, sys.version_info[:3])))"])
    key = hashlib.sha256(json.dumps([options, version, interpreter]).encode()).hexdigest()[:12]
    cache = Path(os.environ.get("ATRAINS_INTEROP_CACHE") or Path(tempfile.gettempdir()) / f"atrains-interop-{os.getuid()}")
    folder = cache / f"{package}-{key}"
    python, complete = folder / "bin" / "python", folder / "complete"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two runs at once make one venv
        if not complete.exists():
            shutil.rmtree(folder, ignore_errors=True)
            _install(interpreter, folder, options)
            complete.write_text(_output([str(python), "-c", _VERSION, package]), encoding="utf-8")
    return Peer(package, python, complete.read_text(encoding="utf-8"))


def _install(interpreter: str, folder: Path, options: list[str]) -> None:
    """Make a venv, without a pip of its own where ours can fill it: half of the time would go into that, and into unread bytecode."""
    if interpreter == sys.executable and importlib.util.find_spec("pip") is not None:
        _output([interpreter, "-m", "venv", "--without-pip", str(folder)])
        _output([interpreter, "-m", "pip", "--python", str(folder / "bin" / "python"), *options], seconds=15 * MINUTES)
    else:  # our pip may be too new for it
        _output([interpreter, "-m", "venv", str(folder)])
        _output([str(folder / "bin" / "python"), "-m", "pip", *options], seconds=15 * MINUTES)


def _output(command: list[str], *, seconds: float = 5 * MINUTES) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnusableError(f"{' '.join(command)}: {error}") from error
    if done.returncode:
        raise UnusableError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip()[-1500:]}")
    return done.stdout.strip()


@pytest.fixture(scope="session")
def clearml() -> Peer:
    """The official package of today; without it the tests that want it fail."""
    return make_venv("clearml", sys.executable)


@pytest.fixture(scope="session")
def clearml_with_kinds() -> Peer:
    """The same beside the packages whose figures, data frames and images it takes."""
    return make_venv("clearml", sys.executable, "matplotlib", "pandas", "pillow", "plotly", "pyarrow", "pyyaml")


@pytest.fixture(scope="session")
def trains() -> Peer:
    """The official package of old, on this interpreter or on an older one that is installed."""
    return _old()


@pytest.fixture(scope="session")
def trains_with_kinds() -> Peer:
    """The same beside the packages of data frames and images."""
    return _old("pandas", "pillow")


def _old(*beside: str) -> Peer:
    reasons = []
    for interpreter in (sys.executable, *(path for version in OLDER for path in candidates(version))):
        try:
            return make_venv("trains", interpreter, *beside)
        except UnusableError as error:
            reasons.append(str(error))
    pytest.skip("trains 0.16.4 RUNS ON NO INTERPRETER HERE: " + " | ".join(reasons))


@dataclass
class Place:
    """A served home, and a machine that knows of nothing but it."""

    home: Path
    directory: Path
    variables: dict[str, str]
    stderr: Path

    def run(self, python: str | Path, script: str, *arguments: str, over_http: bool = True) -> Any:
        """Run a script of `peers` in a process of its own and return what it found; with `over_http` it knows the server, else the home."""
        outcome = Path(tempfile.mkdtemp(dir=self.directory)) / "outcome.json"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ATRAINS_", "CLEARML_", "TRAINS_"))}
        where = self.variables if over_http else {"ATRAINS_HOME": str(self.home), "ATRAINS_API_HOST": "local"}
        user = outcome.parent / "user"  # a home directory with no cache, and no configuration but one
        user.mkdir()
        for name in ("clearml.conf", "trains.conf"):  # a thread, and a forked process, were seen to write to a connection in use
            (user / name).write_text("sdk.development.vcs_repo_detect_async: false\nsdk.development.report_use_subprocess: false\n")
        # Outside of the checkout: the official packages record the state of the repository that a script is in, which may take a minute.
        copied = shutil.copy(HERE / "peers" / script, outcome.parent)
        done = subprocess.run(
            [str(python), copied, *arguments, str(outcome)],
            cwd=outcome.parent,
            env={**kept, "HOME": str(user), "PYTHONPATH": "", **where},
            capture_output=True,
            text=True,
            timeout=3 * MINUTES,
            check=False,
        )
        said = done.stdout + done.stderr
        assert done.returncode == 0, said
        assert "Action failed" not in said, said
        return json.loads(outcome.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A home that is served for the tests of a module, by the command."""
    directory = tmp_path_factory.mktemp("interop")
    home, stderr = directory / "home", directory / "stderr.txt"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ATRAINS_", "CLEARML_", "TRAINS_"))}
    with stderr.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "atrains", "serve", "--home", str(home), "--port", "0", "--json"],
            env={**kept, "HOME": str(directory)}, stdout=subprocess.PIPE, stderr=errors, text=True,
        )  # fmt: skip
    with process:
        assert process.stdout is not None
        yield Place(home, directory, json.loads(process.stdout.readline())["environment"], stderr)
        process.terminate()
        assert process.wait(30) == 0
    assert stderr.read_text() == ""  # no call of a client was a surprise to the server
