"""What a task is called and labelled with, where its files go, and what its run begins with."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from atrains.errors import ConfigurationError, NotFoundError, StorageError, TaskStatusError, UsageError, ValidationError

World = Any

ADD = """
import sys
from atrains import Task
task = Task.get_task(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for number in range(10):
    task.add_tags([f"{sys.argv[2]}-{number}"])
"""


def adder(task_id: str, name: str) -> subprocess.Popen[str]:
    """A process that adds ten tags of this name once it is told to."""
    process = subprocess.Popen([sys.executable, "-c", ADD, task_id, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


async def a_task(world: World, name: str = "a task", project: str = "project") -> Any:
    return await world(world.Task.create(project, name))


# ---- tags


async def test_processes_that_add_tags_at_once_lose_none(world: World) -> None:
    task = await a_task(world)
    await world(task.set_tags("first"))
    adding = [adder(task.id, name) for name in ("left", "right")]
    for process in adding:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    await world(task.add_tags(["here"]))
    for process in adding:
        process.communicate(timeout=60)
        assert process.returncode == 0
    await world(task.reload())
    assert sorted(task.get_tags()) == sorted(["first", "here", *(f"{name}-{number}" for name in ("left", "right") for number in range(10))])


async def test_tags_are_added_to_those_that_the_task_has_now(world: World) -> None:
    task = await a_task(world)
    other = await world(world.Task.get_task(task.id))
    await world(task.add_tags("one two"))
    await world(other.add_tags(["three", "one"]))
    assert other.get_tags() == ["one", "two", "three"]
    await world(task.reload())
    assert task.get_tags() == ["one", "two", "three"]
    await world(task.set_tags(["only"]))
    assert task.get_tags() == ["only"]


async def test_system_tags_are_apart(world: World) -> None:
    task = await a_task(world)
    await world(task.set_system_tags(["mine"]))
    await world(task.add_tags(["good"]))
    await world(task.set_tags(["better"]))
    assert (task.get_tags(), task.get_system_tags()) == (["better"], ["mine"])


# ---- project, name


async def test_a_task_moves_to_another_project(world: World) -> None:
    task, other = await a_task(world), await a_task(world, project="another project")
    await world(task.set_project(project_id=other.project))
    assert (task.project, await world(task.get_project_name())) == (other.project, "another project")
    await world(task.set_project(project_name="a new project"))
    assert await world(task.get_project_name()) == "a new project"
    found = await world(world.Task.get_task(task.id))
    assert (found.project, await world(found.get_project_name())) == (task.project, "a new project")
    with pytest.raises(NotFoundError):
        await world(task.set_project(project_id="f" * 32))
    for wrong in ({}, {"project_id": other.project, "project_name": "another project"}):
        with pytest.raises(UsageError, match="not both"):
            await world(task.set_project(**wrong))
    with pytest.raises(ValidationError, match="3 characters"):
        await world(task.set_project(project_name="x"))


async def test_a_task_is_found_by_its_name_alone(world: World) -> None:
    task = await a_task(world, "a name of its own (1)")
    await a_task(world, "a name of its own (1), and more")
    assert (await world(world.Task.get_by_name("a name of its own (1)"))).id == task.id
    with pytest.raises(NotFoundError, match="a name of"):
        await world(world.Task.get_by_name("a name of"))
    with pytest.raises(UsageError):
        await world(world.Task.get_by_name(""))


# ---- where files go


async def test_the_destination_can_be_set_while_the_task_runs(world: World, tmp_path: Path) -> None:
    task = await world(world.Task.init("project", "a run", reuse_last_task_id=False))
    assert (task.output_uri, task.get_output_destination()) == (None, None)
    place = tmp_path / "not made yet" / "place"
    await world(task.set_output_uri(place))
    assert place.is_dir()
    assert task.output_uri == f"file://{place}"
    await world(task.upload_artifact("table", {"a": 1}))
    assert task.artifacts["table"].url.startswith(f"file://{place}/project/")
    found = await world(world.Task.get_task(task.id))
    assert found.get_output_destination() == f"file://{place}"
    assert found.get_output_destination("models/best") == f"file://{place}/models/best"
    assert found.get_output_destination(extra_path="/models") == f"file://{place}/models"
    await world(task.set_output_uri(None))
    assert task.output_uri is None
    await world(found.reload())
    assert found.get_output_destination() is None
    await world(task.close())


async def test_a_task_without_destination(world: World, caplog: pytest.LogCaptureFixture) -> None:
    task = await a_task(world)
    assert task.get_output_destination("models", default="file:///default") == "file:///default"
    assert task.get_output_destination(log_on_error=True) is None
    assert "no output destination" in caplog.text
    with pytest.raises(NotFoundError, match=task.id):
        task.get_output_destination(raise_on_error=True)
    with pytest.raises(ValidationError, match="'raise'"):
        task.get_output_destination(**{"raise": True})


async def test_a_place_is_looked_at_before_it_is_set(world: World, tmp_path: Path) -> None:
    task = await a_task(world)
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        await world(task.set_output_uri(tmp_path / "file" / "below"))
    with pytest.raises(ConfigurationError, match="carrier-pigeon"):
        await world(task.set_output_uri("carrier-pigeon://nest"))
    assert task.output_uri is None
    with pytest.raises(StorageError, match="cannot be written"):
        await world(world.Task.init("project", "a run", reuse_last_task_id=False, output_uri=tmp_path / "file" / "below"))
    await world(task.mark_started())
    await world(task.mark_stopped())
    with pytest.raises(TaskStatusError, match="stopped"):
        await world(task.set_output_uri(tmp_path / "place"))


async def test_each_task_has_a_cache_folder_of_its_own(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINS_CACHE_DIR", str(tmp_path / "cache"))
    one, other = await a_task(world), await a_task(world)
    assert (one.cache_dir.name, other.cache_dir.name) == (one.id, other.id)
    assert isinstance(one.cache_dir, Path)
    assert not one.cache_dir.exists()


# ---- the seed


async def test_a_run_seeds_the_generators_only_if_it_is_asked_to(world: World) -> None:
    numpy = pytest.importorskip("numpy")
    assert world.Task.get_random_seed() is None
    try:
        before = random.getstate()
        await world((await world(world.Task.init("project", "unseeded", reuse_last_task_id=False))).close())
        assert random.getstate() == before
        world.Task.set_random_seed(42)
        assert world.Task.get_random_seed() == 42
        assert random.getstate() == before, "the next run is seeded, not this moment"
        drawn = []
        for _ in range(2):
            await world((await world(world.Task.init("project", "seeded", reuse_last_task_id=False))).close())
            drawn.append((random.random(), float(numpy.random.random())))
        random.seed(42)
        numpy.random.seed(42)
        assert drawn == [(random.random(), float(numpy.random.random()))] * 2
        for wrong in (-1, 1 << 32, "7", True, 1.5):
            with pytest.raises(ValidationError, match="seed"):
                world.Task.set_random_seed(wrong)
        assert world.Task.get_random_seed() == 42
    finally:
        world.Task.set_random_seed(None)
    assert world.Task.get_random_seed() is None
