"""What a task needs to run again, and having it run elsewhere, in each world and home."""

from __future__ import annotations

import os
import sys
from typing import Any

import pytest

from atrains.errors import AtrainsError, NotFoundError, TaskClosedError, TaskStatusError, ValidationError
from tests.conformance.conftest import make_queue, own


@pytest.fixture(autouse=True)
def capture(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Record the program, which the other cases do without."""
    monkeypatch.delenv("ATRAINS_CAPTURE")


async def script_of(world: Any, task: Any) -> dict[str, Any]:
    found = await world(world.Task.get_task(task.id))
    script: dict[str, Any] = found.data["script"]
    return script


async def test_the_program_is_recorded(world: Any) -> None:
    """Under pytest it is pytest, with what it has imported; of a process of pytest-xdist it is the text that it was started with."""
    async with world.run_of("execution", "recorded") as task:
        pass
    script = await script_of(world, task)
    assert ("command" if "PYTEST_XDIST_WORKER" in os.environ else "pytest") in script["entry_point"]
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


async def begin(world: Any, name: str) -> Any:
    """A run that has reported something, and that no block of code ends."""
    task = await world(world.Task.init("execution", name, reuse_last_task_id=False))
    await world(task.set_parameter("lr", 0.5))
    task.get_logger().report_scalar("loss", "train", 1.0, 7)
    return task


async def test_a_run_is_handed_over(world: Any) -> None:
    """It ends here, as a task that waits with its parameters and its program, and without what it reported."""
    name = own("a queue")
    await make_queue(world, name)
    task = await begin(world, "handed over")
    with pytest.raises(SystemExit) as left:
        await world(task.execute_remotely(name))
    assert left.value.code == 0
    assert world.Task.current_task() is None
    found = await world(world.Task.get_task(task.id))
    assert await world(found.get_status()) == "queued"
    assert found.get_system_tags() == []
    assert found.data["script"]["entry_point"]
    assert await world(found.get_parameter("lr")) == "0.5"
    assert await world(found.get_reported_scalars()) == {}
    with pytest.raises(TaskClosedError):
        task.get_logger()
    answer = await world(world.Task.dequeue(found))
    assert answer["dequeued"] == 1


@pytest.mark.parametrize("leaves", [False, True])
async def test_a_copy_is_handed_over(world: Any, leaves: bool) -> None:
    """This run goes on as if nothing had happened."""
    name = own("a queue")
    await make_queue(world, name)
    task = await begin(world, name)
    if leaves:
        with pytest.raises(SystemExit) as left:
            await world(task.execute_remotely(name, clone=True))
        assert left.value.code == 0
    else:
        returned = await world(task.execute_remotely(name, clone=True, exit_process=False))
    task.get_logger().report_scalar("loss", "train", 0.5, 8)
    assert await world(task.get_status()) == "in_progress"
    await world(task.close())
    assert await world(task.get_status()) == "completed"
    assert (await world(task.get_reported_scalars()))["loss"]["train"]["y"] == [1.0, 0.5]
    (copy,) = [found for found in await world(world.Task.get_tasks(task_name=name)) if found.id != task.id]
    assert leaves or copy.id == returned.id
    assert await world(copy.get_status()) == "queued"
    assert copy.parent == task.id
    assert copy.data["script"]["entry_point"] == task.data["script"]["entry_point"]
    assert await world(copy.get_parameter("lr")) == "0.5"
    await world(world.Task.dequeue(copy))


@pytest.mark.parametrize("clone", [False, True])
async def test_an_unknown_queue_leaves_the_run_alone(world: Any, clone: bool) -> None:
    async with world.run_of("execution", "goes on") as task:
        with pytest.raises(NotFoundError, match=r"there is no queue 'nowhere to be found'.*there are: "):
            await world(task.execute_remotely("nowhere to be found", clone=clone))
        with pytest.raises(ValidationError, match="name of a queue"):
            await world(task.execute_remotely("", clone=clone))
        task.get_logger().report_scalar("loss", "train", 1.0, 1)
        assert await world(task.get_status()) == "in_progress"
    assert await world(task.get_status()) == "completed"
    assert (await world(task.get_reported_scalars()))["loss"]["train"]["y"] == [1.0]


async def test_two_cannot_work_on_one_task(world: Any) -> None:
    async with world.run_of("execution", "goes on") as task:
        with pytest.raises(ValidationError, match="hand over a copy"):
            await world(task.execute_remotely("default", clone=False, exit_process=False))
        assert await world(task.get_status()) == "in_progress"


async def test_without_a_queue_it_is_a_draft(world: Any) -> None:
    """One that no later run reuses."""
    task = await begin(world, "a draft")
    copy = await world(task.execute_remotely(clone=True, exit_process=False))
    with pytest.raises(SystemExit):
        await world(task.execute_remotely())
    for left in (task, copy):
        found = await world(world.Task.get_task(left.id))
        assert await world(found.get_status()) == "created"
        assert found.get_system_tags() == []


async def test_a_task_that_never_ran_is_handed_over(world: Any) -> None:
    name = own("a queue")
    await make_queue(world, name)
    task = await world(world.Task.create("execution", "a draft"))
    with pytest.raises(SystemExit):
        await world(task.execute_remotely(name))
    assert await world(task.get_status()) == "queued"
    await world(world.Task.dequeue(task))


async def test_a_published_task_is_not_handed_over(world: Any) -> None:
    name = own("a queue")
    await make_queue(world, name)
    async with world.run_of("execution", "published") as task:
        pass
    await world(task.publish())
    with pytest.raises(TaskStatusError, match="cannot reset"):
        await world(task.execute_remotely(name))
    assert await world(task.get_status()) == "published"


async def test_a_run_whose_model_is_published_is_not_handed_over(world: Any) -> None:
    """What others may use by now is not thrown away: the run ends as stopped, and an error says why it could not be reset."""
    name = own("a queue")
    await make_queue(world, name)
    task = await begin(world, "with a model")
    await world(task.update_output_model("file:///elsewhere/model.pt", name="a model"))
    await world(task.output_model.publish())
    with pytest.raises(AtrainsError, match="cannot reset"):
        await world(task.execute_remotely(name))
    assert await world(task.get_status()) == "stopped"


async def test_base_docker(world: Any) -> None:
    task = await world(world.Task.create("execution", "in a container"))
    assert task.get_base_docker() is None
    for given, kept in (
        ("python:3.12", "python:3.12"),
        ("  image   --ipc=host -e A=b ", "image --ipc=host -e A=b"),
        (None, None),
        ("again", "again"),
        ("", None),
    ):
        await world(task.set_base_docker(given))
        found = await world(world.Task.get_task(task.id))
        assert (task.get_base_docker(), found.get_base_docker()) == (kept, kept)
    await world(task.set_base_docker("image --gpus all"))
    assert (await world(world.Task.clone(task))).get_base_docker() == "image --gpus all"
    with pytest.raises(ValidationError, match="base docker"):
        await world(task.set_base_docker(3))


async def test_the_base_docker_of_a_run_that_ended_stays(world: Any) -> None:
    async with world.run_of("execution", "in a container") as task:
        await world(task.set_base_docker("image"))
    ended = await world(world.Task.get_task(task.id))
    with pytest.raises(TaskStatusError, match="base docker"):
        await world(ended.set_base_docker("another"))
    assert ended.get_base_docker() == "image"
