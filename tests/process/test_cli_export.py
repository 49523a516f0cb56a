"""`atrains export` as a user runs it: the scalars of other processes' runs, as files that other programs read."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conftest import User

RECORD = """
from atrains import Task

for name in ("first", "second"):
    task = Task.create("project", name)
    task.mark_started()
    for step in range(3):
        task.get_logger().report_scalar('a "title", with a comma', "train", value=step / 4, iteration=step)
    task.get_logger().report_scalar("loss", "täst", value=1e-7, iteration=-5)
    task.get_logger().report_scalar("loss", "täst", value=2.5, iteration=-5)
    task.get_logger().report_single_value("best", 1.0)
    task.flush()
    print(task.id)
"""
COLUMNS = ["task", "title", "series", "iteration", "timestamp", "value"]


@pytest.fixture
def tasks(user: User) -> list[str]:
    """The ids of two recorded tasks."""
    finished = user.run(RECORD)
    assert finished.code == 0, finished.stderr
    return finished.stdout.split()


def export(user: User, *arguments: str, encoding: str = "utf-8") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "atrains", "export", *arguments]
    environment = user.environment(PYTHONIOENCODING=encoding)
    return subprocess.run(command, env=environment, cwd=user.directory, capture_output=True, encoding="utf-8", timeout=60, check=False)


def expected(task: str) -> list[list[Any]]:
    title = 'a "title", with a comma'
    return [[task, title, "train", step, step / 4] for step in range(3)] + [[task, "loss", "täst", -5, 2.5]]


def checked(rows: list[list[Any]]) -> list[list[Any]]:
    """The rows without their times, which are those of this test."""
    for row in rows:
        moment = datetime.fromisoformat(row.pop(4))
        assert moment.utcoffset() == UTC.utcoffset(None)
        assert abs((datetime.now(UTC) - moment).total_seconds()) < 120
    return rows


def test_csv(user: User, tasks: list[str]) -> None:
    done = export(user, *tasks, encoding="ascii")  # a table is for programs: UTF-8, whatever a terminal could show
    assert (done.returncode, done.stderr) == (0, "")
    header, *rows = csv.reader(io.StringIO(done.stdout))
    assert header == COLUMNS
    typed = [[*row[:3], int(row[3]), row[4], float(row[5])] for row in rows]
    assert checked(typed) == [*expected(tasks[0]), *expected(tasks[1])]


@pytest.mark.parametrize("way", [["--format", "jsonl"], ["--json"]], ids=" ".join)
def test_json_lines(user: User, tasks: list[str], way: list[str]) -> None:
    done = export(user, *way, tasks[1][:12])
    assert (done.returncode, done.stderr) == (0, "")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [list(row) for row in rows] == [COLUMNS] * 4
    assert checked([list(row.values()) for row in rows]) == expected(tasks[1])


def test_parquet(user: User, tasks: list[str]) -> None:
    import pandas as pd

    done = export(user, "--output", "points.parquet", tasks[1], tasks[0])  # the name says what is to be in it
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    frame = pd.read_parquet(user.directory / "points.parquet")
    assert list(frame.columns) == COLUMNS
    rows = frame.assign(timestamp=frame["timestamp"].map(lambda moment: moment.isoformat())).to_numpy().tolist()
    assert checked(rows) == [*expected(tasks[1]), *expected(tasks[0])]


def test_what_cannot_be_done_is_said_in_a_line(user: User, tasks: list[str]) -> None:
    for arguments, words in (
        (["--format", "parquet", tasks[0]], "--output"),
        (["--output", "no/such/folder.csv", tasks[0]], "no/such/folder.csv"),
        (["0" * 32], "0" * 32),
    ):
        done = export(user, *arguments)
        assert (done.returncode, done.stdout) == (1, ""), arguments
        assert len(done.stderr.splitlines()) == 1
        assert words in done.stderr
