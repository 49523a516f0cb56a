"""The third home of the conformance suite, a server that the environment names: here `atrains serve` in a process of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import User

ROOT = Path(__file__).resolve().parents[2]
CASES = ("test_main_job.py", "test_finding.py", "test_statuses.py")
NAMES = {
    "HOST": "API_HOST",
    "FILES_HOST": "FILES_HOST",
    "WEB_HOST": "WEB_HOST",
    "ACCESS_KEY": "API_ACCESS_KEY",
    "SECRET_KEY": "API_SECRET_KEY",
}


@pytest.fixture
def given(user: User) -> Iterator[dict[str, str]]:
    """The variables that name a server to the conformance suite."""
    command = [sys.executable, "-m", "atrains", "serve", "--home", str(user.home), "--port", "0", "--json"]
    with subprocess.Popen(command, env=user.environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        try:
            of_clients = json.loads(server.stdout.readline())["environment"]
            yield {f"ATRAINS_CONFORMANCE_{ours}": of_clients[f"TRAINS_{theirs}"] for ours, theirs in NAMES.items()}
            server.send_signal(signal.SIGTERM)
            assert server.wait(20) == 0
        finally:
            server.kill()


@pytest.mark.timeout(300)
def test_the_suite_passes_on_a_server_that_the_environment_names(user: User, given: dict[str, str]) -> None:
    cases = [f"tests/conformance/{name}" for name in CASES]
    command = [sys.executable, "-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider", "-k", "given", *cases]
    variables = user.environment(PYTHONWARNINGS="default", **given)
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout, done.stdout
    assert "skipped" not in done.stdout, done.stdout
