"""`atrains rm` as a user runs it: what it deletes, what it asks, and what it refuses."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.process.test_cli import environment, listed, ok, record, refused, run

RECORD = """
from atrains import Task

for name in ("first", "second"):
    task = Task.init("project", name)
    task.get_logger().report_scalar("loss", "train", value=0.5, iteration=1)
    task.upload_artifact("table", {"a": 1})
    task.close()
elsewhere = Task.init("project", "elsewhere", output_uri="OUTSIDE")
elsewhere.upload_artifact("table", {"a": 1})
elsewhere.close()
Task.create("project", "running").mark_started()
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with two runs, one whose files are outside of it, and one that never ended."""
    record(tmp_path / "home", RECORD.replace("OUTSIDE", str(tmp_path / "outside")))
    return tmp_path / "home"


def ids(home: Path, *arguments: str) -> dict[str, str]:
    """The ids of the tasks by their names."""
    return {task["name"]: task["id"] for task in listed(home, *arguments)}


def on_a_terminal(home: Path, answer: str, *arguments: str) -> tuple[int, str, str]:
    """Exit code, output and errors of a command whose standard input is a terminal at which somebody types."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "atrains", "rm", *arguments]
    try:
        process = subprocess.Popen(
            command, env=environment(home), stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
        )
        os.write(ours, f"{answer}\n".encode())
        output, errors = process.communicate(timeout=60)
    finally:
        os.close(theirs)
        os.close(ours)
    return process.returncode, output, errors


def test_a_task_goes_with_its_folder(home: Path) -> None:
    known = ids(home)
    done = ok(home, "rm", known["first"][:12], "--yes")
    assert done == f"deleted {known['first']} first and 1 file\n"
    assert set(ids(home)) == {"second", "elsewhere", "running"}
    assert not (home / "tasks" / known["first"]).exists()
    assert known["first"] in refused(run(home, "show", known["first"]))


def test_several_tasks_in_json(home: Path, tmp_path: Path) -> None:
    known = ids(home)
    deleted = json.loads(ok(home, "rm", known["first"], known["second"], known["first"], "--yes", "--json"))["deleted"]
    assert [found["id"] for found in deleted] == [known["first"], known["second"]]
    assert [len(found["files"]) for found in deleted] == [1, 1]
    assert all((found["kept"], found["failed"]) == ([], {}) for found in deleted)
    assert set(ids(home)) == {"elsewhere", "running"}
    assert len([path for path in (tmp_path / "outside").rglob("*") if path.is_file()]) == 1


def test_files_outside_of_the_home_go_or_stay(home: Path, tmp_path: Path) -> None:
    task = ids(home)["elsewhere"]
    printed = ok(home, "rm", task, "--yes", "--keep-files").splitlines()
    (kept,) = [path for path in (tmp_path / "outside").rglob("*") if path.is_file()]
    assert printed == [f"deleted {task} elsewhere", f"  kept file://{kept}"]
    record(home, RECORD.replace("OUTSIDE", str(tmp_path / "second")))
    ok(home, "rm", ids(home)["elsewhere"], "--yes")
    assert [path for path in (tmp_path / "second").rglob("*") if path.is_file()] == []


def test_a_file_that_cannot_be_deleted(home: Path, tmp_path: Path) -> None:
    (place,) = [path for path in (tmp_path / "outside").rglob("*") if path.is_file()]
    place.unlink()
    (place / "a folder").mkdir(parents=True)
    done = run(home, "rm", ids(home)["elsewhere"], "--yes")
    assert done.returncode == 1
    assert f"not deleted file://{place}" in done.stdout
    assert "elsewhere" not in ids(home)


def test_without_a_terminal_it_has_to_be_said(home: Path) -> None:
    known = ids(home)
    assert "--yes" in refused(run(home, "rm", known["first"], known["second"]))
    assert ids(home) == known


def test_on_a_terminal_it_is_asked_first(home: Path) -> None:
    known = ids(home)
    for answer in ("n", "", "what?"):
        code, output, errors = on_a_terminal(home, answer, known["first"])
        assert (code, output) == (1, "")
        assert f"{known['first']} first (completed)" in errors
        assert "Delete 1 task for good from local:" in errors
    assert ids(home) == known
    code, output, _ = on_a_terminal(home, "y", known["first"])
    assert (code, output) == (0, f"deleted {known['first']} first and 1 file\n")
    assert "first" not in ids(home)


def test_what_runs_is_kept_and_so_is_everything_else(home: Path) -> None:
    known = ids(home)
    assert "it runs" in refused(run(home, "rm", known["first"], known["running"], "--yes"))
    assert "no task" in refused(run(home, "rm", known["first"], "f" * 32, "--yes"))
    assert ids(home) == known
    ok(home, "rm", known["running"], "--yes", "--force")
    assert "running" not in ids(home)


def test_tasks_are_put_away_and_taken_out(home: Path) -> None:
    known = ids(home)
    assert ok(home, "rm", "--archive", known["first"], known["running"]) == f"archived {known['first']}\narchived {known['running']}\n"
    assert set(ids(home)) == {"second", "elsewhere"}
    assert ids(home, "--archived") == known
    assert json.loads(ok(home, "rm", "--unarchive", "--json", known["first"])) == {"unarchived": [known["first"]]}
    assert set(ids(home)) == {"first", "second", "elsewhere"}
    both = run(home, "rm", "--archive", "--unarchive", known["first"])
    assert both.returncode == 2
    assert "not allowed with" in both.stderr
