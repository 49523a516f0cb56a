"""Scripts of the old package, run with it and, their import line changed, with atrains: on one server both store the same."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from atrains import Task
from tests.interop.conftest import Peer, Place

pytestmark = pytest.mark.timeout(1200)  # a venv may have to be made first

ROOT: Final = Path(__file__).resolve().parents[2]
SCRIPTS: Final = ROOT / "examples" / "migrated"
NAMES: Final = """
import json, PACKAGE
from PACKAGE import InputModel, Logger, OutputModel, Task
print(json.dumps([f"{kind.__name__}.{name}" for kind in (Task, Logger, InputModel, OutputModel) for name in dir(kind) if name[0] != "_"]))
"""


@pytest.mark.parametrize(
    ("script", "arguments", "count"),
    [
        ("artifacts", (), 1),
        ("cloning", (), 7),
        ("configuration", (), 1),
        ("parameters", ("mnist", "--lr", "0.1", "--layers", "8", "4"), 1),
        ("queues", (), 4),
    ],
)
def test_both_packages_store_the_same(
    script: str,
    arguments: tuple[str, ...],
    count: int,
    place: Place,
    trains_with_kinds: Peer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("ATRAINS_API_HOST")
    for name, value in place.variables.items():
        monkeypatch.setenv(name, value)
    found = {}
    for package, python in (("trains", str(trains_with_kinds.python)), ("atrains", sys.executable)):
        folder = tmp_path / f"with {package}"
        folder.mkdir()
        project = f"{package} {script}"  # one for each, so that neither finds what the other has stored
        text = (SCRIPTS / f"{script}.py").read_text(encoding="utf-8")
        text = text.replace("from atrains import", f"from {package} import").replace('"migrated', f'"{project}')
        printed = run(folder, python, script, text, arguments, place.variables)
        found[package] = stored(project) | {"printed": {"lines": printed}}
    assert len(found["trains"]) == count + 1
    assert found["atrains"] == found["trains"]


def test_the_list_of_what_only_trains_has_is_the_real_one(trains_with_kinds: Peer, tmp_path: Path) -> None:
    """Who comes from 0.16 can look up whether a member is there."""
    has = {}
    for package, python in (("trains", str(trains_with_kinds.python)), ("atrains", sys.executable)):
        folder = tmp_path / f"with {package}"
        folder.mkdir()
        has[package] = set(json.loads(run(folder, python, "names", NAMES.replace("PACKAGE", package), (), {})[-1]))
    text = (
        (ROOT / "docs" / "migrating.md")
        .read_text(encoding="utf-8")
        .partition("<!-- trains: begin -->")[2]
        .partition("<!-- trains: end -->")[0]
    )
    listed = re.findall(r"`([\w.]+)`", text)
    assert len(listed) == len(set(listed))
    assert set(listed) == has["trains"] - has["atrains"]


def run(folder: Path, python: str, script: str, text: str, arguments: tuple[str, ...], variables: dict[str, str]) -> list[str]:
    """Run a script in a folder that is the user's home directory as well, and return what it printed itself."""
    path = folder / f"{script}.py"
    path.write_text(text, encoding="utf-8")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ATRAINS_", "CLEARML_", "TRAINS_"))}
    environment = {**kept, "HOME": str(folder), "PYTHONPATH": "", "ATRAINS_MONITOR": "no", **variables}
    done = subprocess.run(
        [python, str(path), *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Action failed" not in done.stderr, done.stderr
    return [
        line
        for line in done.stdout.splitlines()
        if not line.startswith("TRAINS ") and " - INFO - " not in line and " - WARNING - " not in line
    ]


def stored(project: str) -> dict[str, dict[str, Any]]:
    """What matters of the tasks of a project and of those below it, by the names of both."""
    tasks = [task for task in Task.get_tasks() if (task.get_project_name() or "").split("/")[0] == project]
    names = {task.id: task.name for task in tasks}
    return {
        f"{(task.get_project_name() or '').removeprefix(project)}:{task.name}": {
            "type": task.task_type,
            "status": task.status,
            "reason": task.data.get("status_reason"),
            "parameters": task.get_parameters(),
            "scalars": task.get_reported_scalars(),
            "last metrics": task.get_last_scalar_metrics(),
            "last iteration": task.get_last_iteration(),
            "configurations": {name: value["value"].rstrip() for name, value in (task.data.get("configuration") or {}).items()},
            "labels": task.get_labels_enumeration(),
            "artifacts": {name: content(artifact) for name, artifact in sorted(task.artifacts.items())},
            "image": task.get_base_docker(),
            "parent": names.get(task.parent or ""),
            # A copy has the tags of its source in atrains; trains leaves them behind.
            "tags": set(task.get_tags()) - ({"template"} if task.parent else set()),
        }
        for task in tasks
    }


def content(artifact: Any) -> tuple[str, dict[str, str], str]:
    """The type of an artifact, its metadata, and what is in it."""
    if artifact.type in {"archive", "custom"}:
        copy = Path(artifact.get_local_copy())
        files = {path.name: path.read_bytes() for path in (sorted(copy.iterdir()) if copy.is_dir() else [copy])}
        return artifact.type, dict(artifact.metadata), repr(files)
    value = artifact.get()
    return artifact.type, dict(artifact.metadata), repr(value.tobytes() if artifact.type == "image" else value)
