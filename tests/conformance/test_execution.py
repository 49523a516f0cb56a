"""What a task needs to run again: the program and its packages, in each world and home."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from atrains.errors import ValidationError


async def script_of(world: Any, task: Any) -> dict[str, Any]:
    found = await world(world.Task.get_task(task.id))
    script: dict[str, Any] = found.data["script"]
    return script


async def test_the_program_is_recorded(world: Any) -> None:
    """Under pytest it is pytest, with what it has imported."""
    async with world.run_of("execution", "recorded") as task:
        pass
    script = await script_of(world, task)
    assert "pytest" in script["entry_point"]
    assert script["binary"] == f"python{sys.version_info.major}.{sys.version_info.minor}"
    lines = script["requirements"]["pip"].splitlines()
    assert lines[0].startswith("# Python 3.")
    assert f"pytest == {pytest.__version__}" in lines


async def test_add_requirements(world: Any, tmp_path: Any) -> None:
    """Before the run, and after it began; by name, with a version, with an operator, by a file."""
    file = tmp_path / "wanted.txt"
    file.write_text("from-a-file==1\n", encoding="utf-8")
    world.Task.add_requirements("orjson")
    world.Task.add_requirements("exactly", "1.2")
    world.Task.add_requirements("at-least", package_version=">=3")
    world.Task.add_requirements("nowhere-to-be-found")
    world.Task.add_requirements(str(file))
    async with world.run_of("execution", "packages") as task:
        world.Task.add_requirements("too-late", "4")
    lines = (await script_of(world, task))["requirements"]["pip"].splitlines()
    assert {"exactly == 1.2", "at-least >=3", "nowhere-to-be-found", "from-a-file==1", "too-late == 4"} <= set(lines)
    assert any(line.startswith("orjson == ") for line in lines)


async def test_only_names_can_be_added(world: Any) -> None:
    for wrong in ("", "  ", None, 3):
        with pytest.raises(ValidationError, match="add_requirements needs the name"):
            world.Task.add_requirements(wrong)


async def test_the_program_of_a_task_that_is_only_created_is_unknown(world: Any) -> None:
    task = await world(world.Task.create("execution", "draft"))
    assert not (await script_of(world, task)).get("entry_point")
