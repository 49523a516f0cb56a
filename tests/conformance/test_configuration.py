"""What a run is configured with, one body for both worlds: dictionaries and files are stored as text and read back, by any other program.

What an agent makes of it is in tests/process, where there is one.
"""

# ruff: noqa: ASYNC240  # files are looked at between the calls; nothing else runs on the loop of a test

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from atrains.errors import (
    ConfigurationError,
    NotFoundError,
    StorageError,
    TaskClosedError,
    TaskStatusError,
    UnsupportedTypeError,
    UsageError,
    ValidationError,
)

World = Any

CONFIGURATION = {"model": {"layers": [64, 32], "dropout": None, "name": "a.b/ü"}, "rate": 0.1, "debug": False, "a.b": "x\ny", "": ""}


async def seen_by_others(world: World, task: Any) -> Any:
    """The task as another program finds it."""
    return await world(world.Task.get_task(task.id))


async def test_a_connected_dictionary_reads_back_equal(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    mine = dict(CONFIGURATION)
    assert await world(task.connect_configuration(mine)) == CONFIGURATION
    assert mine == CONFIGURATION
    found = await seen_by_others(world, task)
    assert await world(found.get_configuration_object_as_dict("General")) == CONFIGURATION
    assert found.data["configuration"]["General"]["type"] == "dictionary"


async def test_configurations_have_names_and_descriptions(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    await world(task.connect_configuration({"a": 1}, name="first", description="what it is for"))
    await world(task.connect_configuration({"b": 2}, name="a.second $1"))
    await world(task.connect_configuration({"a": 3}, name="first"))
    found = await seen_by_others(world, task)
    assert set(found.data["configuration"]) == {"first", "a.second $1"}
    assert found.data["configuration"]["first"]["description"] == "what it is for"
    assert found.get_configuration_object("first") == "a = 3\n"
    assert await world(found.get_configuration_object_as_dict("a.second $1")) == {"b": 2}
    assert found.get_configuration_object("General") is None
    assert await world(found.get_configuration_object_as_dict("General")) is None
    for name in ("", " "):
        with pytest.raises(ValidationError, match="at least one character"):
            await world(task.connect_configuration({"a": 1}, name=name))


@pytest.mark.parametrize("kind", [str, Path])
async def test_a_connected_file_is_stored_as_it_is(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any) -> None:
    monkeypatch.chdir(tmp_path)
    task = await world(world.Task.init("project", "a run"))
    text = "\ufeff# ü\r\nrate: 0.1\n"
    Path("conf.yaml").write_bytes(text.encode())
    given = kind("conf.yaml")
    assert await world(task.connect_configuration(given)) is given
    absolute = kind(str(tmp_path / "conf.yaml"))
    assert await world(task.connect_configuration(absolute, name="absolute")) is absolute
    Path("plain").write_text("")
    await world(task.connect_configuration(kind("plain"), name="plain"))
    found = await seen_by_others(world, task)
    assert found.get_configuration_object("General") == found.get_configuration_object("absolute") == text
    assert {name: item["type"] for name, item in found.data["configuration"].items()} == {
        "General": "yaml",
        "absolute": "yaml",
        "plain": "file",
    }
    assert Path("conf.yaml").read_bytes() == text.encode()


async def test_what_cannot_be_connected_is_refused(world: World, tmp_path: Path) -> None:
    task = await world(world.Task.init("project", "a run"))
    for unsupported in (42, None, [1], b"bytes", {1, 2}):
        with pytest.raises(UnsupportedTypeError, match=r"pass a dict, or a path"):
            await world(task.connect_configuration(unsupported))
    with pytest.raises(UnsupportedTypeError, match=r"a\.b"):
        await world(task.connect_configuration({"a": {"b": object()}}))
    (tmp_path / "binary").write_bytes(b"text \xff\xfe")
    for path, reason in (
        (tmp_path / "none.yaml", "No such file"),
        (tmp_path, "directory"),
        (tmp_path / "binary", "UTF-8"),
        ("a\0b", "null"),
    ):
        with pytest.raises(ValueError, match=reason) as caught:
            await world(task.connect_configuration(path))
        assert isinstance(caught.value, ValidationError)
    assert (await seen_by_others(world, task)).data.get("configuration", {}) == {}
    await world(task.close())
    with pytest.raises(TaskClosedError):
        await world(task.connect_configuration({"a": 1}))
    found = await seen_by_others(world, task)
    with pytest.raises(TaskStatusError):
        await world(found.connect_configuration({"a": 1}))


async def test_configuration_objects_are_set_one_by_one(world: World) -> None:
    task = await world(world.Task.create("project", "a draft"))
    await world(task.set_configuration_object("text", "a: 1", "described", "yaml"))
    await world(task.set_configuration_object("dictionary", config_dict={"a": 1}))
    await world(task.set_configuration_object("broken", config_text="a {"))
    found = await seen_by_others(world, task)
    assert found.data["configuration"]["text"] == {"name": "text", "value": "a: 1", "type": "yaml", "description": "described"}
    assert found.get_configuration_object("dictionary") == "a = 1\n"
    assert await world(found.get_configuration_object_as_dict("text")) == {"a": 1}
    with pytest.raises(ConfigurationError, match=rf"'broken' of task {task.id}, line 1"):
        await world(found.get_configuration_object_as_dict("broken"))
    for arguments in ({}, {"config_text": "", "config_dict": {}}):
        with pytest.raises(UsageError):
            await world(task.set_configuration_object("text", **arguments))


# ---- the design of the model


async def test_the_model_config_is_set_and_got(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    assert task.get_model_design() == ""
    with pytest.deprecated_call(match=r"get_model_config_text .* use Task\.connect_configuration"):
        assert task.get_model_config_text() == ""
    with pytest.deprecated_call(match=r"get_model_config_dict .* use Task\.connect_configuration"):
        assert await world(task.get_model_config_dict()) == {}

    with pytest.deprecated_call(match=r"set_model_config .* use Task\.connect_configuration"):
        await world(task.set_model_config(config_text="layers = 3"))
    found = await seen_by_others(world, task)
    assert found.get_model_design() == "layers = 3"
    with pytest.deprecated_call():
        assert found.get_model_config_text() == "layers = 3"
    with pytest.deprecated_call():
        assert await world(found.get_model_config_dict()) == {"layers": 3}

    with pytest.deprecated_call():
        await world(task.set_model_config(config_dict={"layers": {"first": 4}}))
    with pytest.deprecated_call():
        await world(task.set_model_config())
    found = await seen_by_others(world, task)
    with pytest.deprecated_call():
        assert await world(found.get_model_config_dict()) == {"layers": {"first": 4}}
    with pytest.deprecated_call(), pytest.raises(UsageError, match="not both"):
        await world(task.set_model_config("a", {"a": 1}))

    await world(task.connect_configuration({"other": 1}, name="Another"))
    assert task.get_model_design() == "layers {\n  first = 4\n}\n"


async def test_the_design_is_the_first_configuration_where_none_is_general(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    await world(task.connect_configuration({"b": 1}, name="B"))
    await world(task.connect_configuration({"a": 1}, name="A"))
    assert task.get_model_design() == "a = 1\n"
    with pytest.deprecated_call():
        assert await world(task.get_model_config_dict()) == {"a": 1}


async def test_the_design_is_taken_from_a_file(world: World, tmp_path: Path) -> None:
    task = await world(world.Task.init("project", "a run"))
    file = tmp_path / "model.txt"
    file.write_text("layer: 1\n")
    assert (await world(task.update_model_desc(str(file))))["updated"] == 1
    assert (await seen_by_others(world, task)).get_model_design() == "layer: 1\n"
    assert (await world(task.update_model_desc()))["updated"] == 0
    assert (await seen_by_others(world, task)).get_model_design() == "layer: 1\n"
    with pytest.raises(OSError, match=r"none\.txt"):
        await world(task.update_model_desc(tmp_path / "none.txt"))


async def test_the_design_is_saved_to_a_file(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    with pytest.raises(NotFoundError, match=task.id):
        await world(task.save_exec_model_design_file())
    await world(task.connect_configuration({"layers": 3}))
    path = await world(task.save_exec_model_design_file())
    assert (type(path), path) == (str, str(task.cache_dir / "model_design.txt"))
    assert Path(path).read_text() == "layers = 3\n"

    await world(task.connect_configuration({"layers": 4}))
    assert await world(task.save_exec_model_design_file(use_cache=True)) == path
    assert Path(path).read_text() == "layers = 3\n"
    assert await world(task.save_exec_model_design_file("model_design.txt")) == path
    assert Path(path).read_text() == "layers = 4\n"
    other = await world(task.save_exec_model_design_file("other.conf", True))
    assert (Path(other).name, Path(other).read_text()) == ("other.conf", "layers = 4\n")

    for outside in ("../x", "/x", "a/b", "..", ""):
        with pytest.raises(ValidationError, match="without folders"):
            await world(task.save_exec_model_design_file(outside))
    os.mkdir(task.cache_dir / "folder")
    with pytest.raises(StorageError, match="folder"):
        await world(task.save_exec_model_design_file("folder"))
    assert sorted(os.listdir(task.cache_dir)) == ["folder", "model_design.txt", "other.conf"]
