"""The container of a task at servers of any age, which know one text of it before 2.13: `atrains serve`, asked as one of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from atrains import Task
from atrains.testing import RunningServer


@pytest.fixture
def speak(atrains_server: RunningServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Go to the server, and speak no version above the one that is given."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ATRAINS_API_HOST")
    for name, value in atrains_server.environment.items():
        monkeypatch.setenv(name, value)
    return lambda version: monkeypatch.setenv("ATRAINS_FORCE_MAX_API_VERSION", version)


@pytest.mark.parametrize("version", ["2.2", "2.8", "2.9", "2.12", "2.13"])
def test_the_container_is_stored_where_an_old_server_has_it(
    version: str, atrains_server: RunningServer, speak: Callable[[str], None]
) -> None:
    speak(version)
    with Task.init("project", "in a container") as task:
        task.set_parameter("lr", 0.5)
        task.set_base_docker("image:tag --ipc=host -e A=b")
        assert task.get_base_docker() == "image:tag --ipc=host -e A=b"
        assert Task.get_task(task.id).get_base_docker() == "image:tag --ipc=host -e A=b"
        task.set_base_docker("other")
        task.set_parameter("batch", 8)
    found = Task.get_task(task.id)
    assert found.get_base_docker() == "other"
    assert found.get_parameters_as_dict()["General"] == {"lr": "0.5", "batch": "8"}
    is_new = tuple(map(int, version.split("."))) >= (2, 13)
    edits = [body for endpoint, _, body in atrains_server.requests if endpoint == "tasks.edit"]
    assert any("container" in body for body in edits) == is_new
    assert any("docker_cmd" in body.get("execution", {}) for body in edits) != is_new


@pytest.mark.parametrize("version", ["2.5", "2.12", "2.13"])
def test_a_run_is_handed_over_at_an_old_server(version: str, speak: Callable[[str], None]) -> None:
    speak(version)
    task = Task.init("project", "handed over")
    copy = task.execute_remotely("default", clone=True, exit_process=False)
    assert copy is not None
    with pytest.raises(SystemExit):
        task.execute_remotely("default")
    assert [Task.get_task(each.id).status for each in (task, copy)] == ["queued", "queued"]
