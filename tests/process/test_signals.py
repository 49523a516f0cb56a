"""A signal that ends the process in the midst of a report: the run is closed all the same, at once."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest

RunScript = Callable[..., Any]

REPORTING = """
import logging, os, signal, sys, time
from atrains import Task

task = Task.init("project", "a run")
log = task.get_logger()
root = logging.getLogger()
root.addHandler(logging.FileHandler(os.devnull))
WAYS = {
    "text": lambda n: log.report_text(f"line {n}", print_console=False),
    "print": lambda n: print(f"line {n}"),
    "logging": lambda n: root.warning("line %d", n),
    "scalars": lambda n: log.report_scalar("title", str(n % 5_000), value=n, iteration=n),
    "by two": lambda n: (log.report_text(f"line {n}", print_console=False), log.report_scalar("title", "series", value=n, iteration=n)),
}
report = WAYS[sys.argv[1]]
print("ready", task.id, file=sys.__stderr__, flush=True)
n = 0
while True:
    report(n)
    n += 1
"""


@pytest.mark.parametrize("way", ["text", "print", "logging", "scalars", "by two"])
def test_a_signal_in_the_midst_of_a_report_closes_the_run_at_once(way: str, user: Any, read_task: Callable[..., Any]) -> None:
    for _ in range(4):
        with user.start(REPORTING, way, ATRAINS_QUIET="0") as process:
            while not (line := process.stderr.readline()).startswith("ready"):
                pass
            time.sleep(random.SystemRandom().random() * 0.05)
            process.send_signal(signal.SIGTERM)
            try:
                _, stderr = process.communicate(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        assert process.returncode == -signal.SIGTERM, stderr
        assert "not everything could be stored" not in stderr
        found = read_task(line.split()[1])
        assert (found["status"], found["reason"]) == ("stopped", "SIGTERM"), stderr
