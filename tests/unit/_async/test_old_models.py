"""Models at servers of any age, which know one input and one output model of a task before 2.13: `atrains serve`, asked as one of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from atrains import InputModel, OutputModel, Task
from atrains.testing import RunningServer


@pytest.fixture(params=["2.2", "2.8", "2.9", "2.12", "2.13"])
def version(request: pytest.FixtureRequest, atrains_server: RunningServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The highest version that is spoken."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ATRAINS_API_HOST")
    for name, value in atrains_server.environment.items():
        monkeypatch.setenv(name, value)
    found: str = request.param
    monkeypatch.setenv("ATRAINS_FORCE_MAX_API_VERSION", found)
    return found


def record_of(server: RunningServer, task: Task) -> Any:
    """What the server holds, as the newest clients see it."""
    import orjson

    return orjson.loads((server.home / "tasks" / task.id / "task.json").read_bytes())


def test_models_are_stored_where_an_old_server_has_them(version: str, atrains_server: RunningServer) -> None:
    task = Task.init("project", "a run")
    Path("model.pt").write_bytes(b"weights")
    url = task.update_output_model_and_upload("model.pt", name="a model", iteration=3)
    first = task.output_model_id
    assert first is not None
    assert task.output_model.url == url
    assert Path(str(task.output_model.get_weights(raise_on_error=True))).read_bytes() == b"weights"
    task.update_output_model_and_upload("model.pt")
    assert task.output_model_id == first
    assert task.get_last_iteration() == 3
    assert [entry["model"] for entry in record_of(atrains_server, task)["models"]["output"]] == [first]
    asked = {tuple(map(int, spoken.split("."))) for endpoint, spoken, _ in atrains_server.requests if endpoint != "auth.login"}
    assert max(asked) <= tuple(map(int, version.split(".")))


def test_input_models_are_all_found_again(version: str, atrains_server: RunningServer) -> None:
    task = Task.init("project", "a run")
    models = [InputModel.import_model(f"file:///{name}.pt", name=f"model {name}", create_as_published=True) for name in "abc"]
    task.set_input_model(models[0].id)
    assert [entry["model"] for entry in record_of(atrains_server, task)["models"]["input"]] == [models[0].id]
    task.connect(models[1])
    assert f"Using model id: {models[1].id}" in task.comment
    task.set_input_model(model_name="model c")
    found = Task.get_task(task.id)
    assert found.input_model_id == models[2].id
    assert [model.id for model in found.get_models()["input"]] == [models[2].id, models[0].id, models[1].id]


def test_output_models_are_all_found_again_and_put_away(version: str) -> None:
    task = Task.init("project", "a run")
    Path("model.pt").write_bytes(b"weights")
    models = [OutputModel(task, name=name) for name in ("first", "second")]
    for model in models:
        model.update_weights("model.pt")
    assert [model.id for model in task.get_models()["output"]] == [model.id for model in models]
    assert task.output_model_id == models[-1].id
    task.set_output_model_id(models[0].id)
    task.reload()
    assert task.output_model_id == models[0].id
    models[0].archive()
    models[0].reload()
    tags = models[0].tags if version == "2.2" else models[0].system_tags  # of which the oldest servers have one list
    assert tags == ["archived"]
    models[0].unarchive()
    models[0].reload()
    assert models[0].tags == models[0].system_tags == []
