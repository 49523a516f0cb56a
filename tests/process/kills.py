"""What the tests of killed processes share."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conftest import User


SOAK = os.environ.get("ATRAINS_SOAK") == "1"


@pytest.fixture(name="processes")
def processes_to_end() -> Iterator[list[subprocess.Popen[str]]]:
    """Processes to end after the test, whatever became of it."""
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def sync(user: User, *arguments: str) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "atrains", "sync", "--json", *arguments],
        env=user.environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout)
