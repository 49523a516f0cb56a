"""docs/format.md is true: the reader in it, which knows nothing of atrains, reads what atrains wrote."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, Final

import pytest

import atrains
from atrains._engine.journal import FORMAT_VERSION
from atrains._local.store import FORMAT

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "format.md"

RUN: Final = """
import os, signal, sys
from array import array
from atrains import Task

task = Task.init("format", "a run", auto_connect_streams=False)
log = task.get_logger()
for number in range(3000):
    log.report_scalar("loss", "train" if number % 2 else "größe", value=number / 4, iteration=number - 100)
for part in range(3):
    log.report_scalars("curve", "array", values=array("d", [part + 0.5] * 1000), iterations=range(part * 1000, part * 1000 + 1000))
for number in range(50):
    log.report_text(f"line {number}: ATF1 \\N{SNOWMAN}", print_console=False)
log.report_single_value("best", 0.25)
print(task.id, flush=True)
if sys.argv[1] == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
task.close()
"""


def reader_of_the_page() -> str:
    (code,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return str(code)


def run(home: Path, how: str) -> str:
    ours = ("ATRAINS_", "CLEARML_", "TRAINS_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    environment.update(ATRAINS_HOME=str(home), PYTHONPATH=str(Path(atrains.__file__).parents[1]))
    command = [sys.executable, "-c", RUN, how]
    done = subprocess.run(command, env=environment, cwd=home.parent, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == (-9 if how == "kill" else 0), done.stderr
    return done.stdout.strip()


def read(tmp_path: Path, *folders: Path) -> list[dict[str, Any]]:
    script = tmp_path / "read_run.py"
    script.write_text(reader_of_the_page(), encoding="utf-8")
    # Isolated and without site-packages: neither atrains nor anything else but the standard library is there.
    command = [sys.executable, "-I", "-S", str(script), *map(str, folders)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=60, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def key(event: dict[str, Any]) -> tuple[object, ...]:
    return (event["msg"],) if "msg" in event else (event["title"], event["series"], event["iteration"], event["value"])


REPORTED: Final = [
    *(("loss", "train" if number % 2 else "größe", number - 100, number / 4) for number in range(3000)),
    *(("curve", "array", number, number // 1000 + 0.5) for number in range(3000)),
    *((f"line {number}: ATF1 \N{SNOWMAN}",) for number in range(50)),
    ("Summary", "best", -(2**31), 0.25),
]


def test_the_reader_is_as_short_as_the_page_says_it_can_be() -> None:
    assert len([line for line in reader_of_the_page().splitlines() if line.strip()]) <= 40


def test_the_versions_of_the_page_are_those_of_the_files() -> None:
    """A change of a format is a change of this page."""
    text = PAGE.read_text(encoding="utf-8")
    assert f'`{{"format": {FORMAT}, "created"' in text
    assert f"| `format` | {FORMAT_VERSION}; a journal" in text


def test_a_closed_run_is_read_without_atrains(tmp_path: Path) -> None:
    task = run(tmp_path / "home", "close")
    events = read(tmp_path, tmp_path / "home" / "tasks" / task)
    assert Counter(map(key, events)) == Counter(REPORTED)
    assert {event["task"] for event in events} == {task}
    for title in ("loss", "curve"):
        own = [event["iteration"] for event in events if event.get("title") == title]
        assert own == sorted(own), "in the order of the reports"
    assert all(event["time"] > 1e9 for event in events if "time" in event)
    record = json.loads((tmp_path / "home" / "tasks" / task / "task.json").read_bytes())
    assert (record["status"], record["name"], record["project_name"]) == ("completed", "a run", "format")
    assert list((tmp_path / "home" / "journals").iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_killed_run_is_read_from_its_journal(tmp_path: Path) -> None:
    task = run(tmp_path / "home", "kill")
    (journal,) = (tmp_path / "home" / "journals").iterdir()
    events = read(tmp_path, journal)
    # What was delivered before the kill may be in both.
    delivered = read(tmp_path, tmp_path / "home" / "tasks" / task)
    assert set(map(key, events)) | set(map(key, delivered)) == set(REPORTED)
    assert {event["task"] for event in events} == {task}
    if not delivered:
        assert Counter(map(key, events)) == Counter(REPORTED)


def test_a_torn_end_and_a_damaged_place_cost_no_more_than_they_must(tmp_path: Path) -> None:
    task = run(tmp_path / "home", "close")
    file = tmp_path / "home" / "tasks" / task / "events" / "logs"
    whole = file.read_bytes()
    file.write_bytes(whole[:40] + b"?" + whole[41:] + whole + whole[:-3])
    lines = [event for event in read(tmp_path, tmp_path / "home" / "tasks" / task) if "msg" in event]
    assert Counter(map(key, lines)) == Counter(reported for reported in REPORTED if len(reported) == 1)
