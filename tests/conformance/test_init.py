"""How `Task.init` chooses its task: the last one of its names, one of an id, a new one; what makes it leave a task alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pytest

from atrains._storage.locks import FolderLock
from atrains._wire import endpoints
from atrains.errors import HomeError, NotFoundError, TaskStatusError, UsageError, ValidationError
from tests.conformance.conftest import ask_home, is_ours, make_queue, own

World = Any
NAMES: Final = ("reuse", "a run")


async def run(world: World, *arguments: Any, **options: Any) -> Any:
    """A run that reported one point and has ended."""
    task = await world(world.Task.init(*(arguments or NAMES), **options))
    task.get_logger().report_scalar("loss", "train", 0.5, 7)
    await world(task.close())
    return task


# ---- the last task of the names


async def test_the_last_task_of_the_names_is_reset_and_keeps_what_is_its_users(world: World) -> None:
    first = await world(world.Task.init(*NAMES, reuse_last_task_id=True))
    await world(first.connect({"rate": 0.1}))
    await world(first.set_tags(["mine"]))
    first.get_logger().report_scalar("loss", "train", 0.5, 7)
    first.get_logger().report_text("a line", print_console=False)
    await world(first.close())
    second = await world(world.Task.init(*NAMES, reuse_last_task_id=True))
    assert second.id == first.id
    assert await world(second.get_reported_scalars()) == {}
    assert await world(second.get_reported_console_output(10)) == []
    assert (second.get_parameters(), await world(second.get_last_iteration())) == ({}, 0)
    assert (second.get_tags(), second.get_system_tags()) == (["mine"], ["development"])
    assert await world(second.get_status()) == "in_progress"


async def test_a_service_makes_a_new_one_and_a_script_may(world: World) -> None:
    first = await run(world, reuse_last_task_id=False)
    assert (await run(world, reuse_last_task_id=False)).id != first.id


async def _enqueue(world: World, task: Any) -> None:
    await world(task.reset())
    await world(world.Task.enqueue(task, queue_id=await make_queue(world, own("a queue"))))


async def _move(world: World, task: Any) -> None:
    elsewhere = await world(world.Task.create("elsewhere", "a draft"))
    await _edit(world, task, project=elsewhere.project)


async def _edit(world: World, task: Any, **fields: Any) -> None:
    """Change a task as other clients do, by fields for which there is no member."""
    request = {"task": task.id, "force": True, **fields}
    await ask_home(world, task, lambda transport: transport.call(endpoints.TASKS_EDIT, request))


ARTIFACT: Final = {"key": "weights", "type": "custom", "uri": "file:///tmp/weights"}
Change = Callable[[World, Any], Awaitable[object]]
CHANGES: Final[dict[str, Change]] = {
    "published": lambda world, task: world(task.publish()),
    "archived": lambda world, task: world(task.set_system_tags(["development", "archived"])),
    "cloned or enqueued before": lambda world, task: world(task.set_system_tags([])),
    "renamed": lambda world, task: world(task.set_name("another name")),
    "with an artifact": lambda world, task: _edit(world, task, execution={"artifacts": [{**ARTIFACT, "mode": "output"}]}),
    "with an input artifact": lambda world, task: _edit(world, task, execution={"artifacts": [{**ARTIFACT, "mode": "input"}]}),
    "with an output model": lambda world, task: _edit(world, task, models={"input": [], "output": [{"name": "net", "model": "0f3a" * 8}]}),
    "enqueued": _enqueue,
    "in another project": _move,
}
"""What makes the next run leave a task alone."""


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_a_task_is_left_alone_that_somebody_needs(world: World, change: Change) -> None:
    first = await run(world, reuse_last_task_id=True)
    await change(world, await world(world.Task.get_task(first.id)))
    before = dict((await world(world.Task.get_task(first.id))).data)
    second = await run(world, reuse_last_task_id=True)
    assert second.id != first.id
    assert dict((await world(world.Task.get_task(first.id))).data) == before
    assert (await run(world, reuse_last_task_id=True)).id == second.id, "from now on it is the last one"


async def test_another_name_project_or_type_is_another_task(world: World) -> None:
    first = await run(world, reuse_last_task_id=True)
    for names in (("reuse", "another"), ("another", "a run"), (*NAMES, "testing")):
        assert (await run(world, *names, reuse_last_task_id=True)).id != first.id
    assert (await run(world, reuse_last_task_id=True)).id == first.id


async def test_a_script_begins_although_others_are_opening_their_runs(
    world: World, atrains_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As where many start at once, and the server is slow: all of them look for the last task, one after the other."""
    monkeypatch.delenv("ATRAINS_QUIET", raising=False)
    monkeypatch.setattr("atrains._async.reuse.LOCK_SECONDS", 0.2)
    first = await run(world, reuse_last_task_id=True)
    another = FolderLock(atrains_home / "reuse.lock")
    assert another.acquire()
    second = await run(world, reuse_last_task_id=True)
    assert second.id != first.id
    assert "is not reused: another process has been opening a run" in capsys.readouterr().err
    with pytest.raises(HomeError, match="another process"):  # who asks for a certain task gets no other one
        await world(world.Task.init(*NAMES, reuse_last_task_id=first.id))
    with pytest.raises(HomeError, match="another process"):
        await world(world.Task.init(*NAMES, continue_last_task=True))
    another.release()
    assert (await run(world, reuse_last_task_id=True)).id == second.id


async def test_blanks_around_the_parts_of_a_project_do_not_count(world: World) -> None:
    name = own("project")
    first = await world(world.Task.create(f"{name} / resnet", "a run"))
    for same in (f"{name} / resnet", f"{name}/resnet", f" {name}/ resnet "):
        again = await world(world.Task.create(same, "a run"))
        assert again.project == first.project
        assert {task.id for task in await world(world.Task.get_tasks(project_name=same))} >= {first.id, again.id}


async def test_the_environment_can_forbid_reuse(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINS_TASK_NO_REUSE", "1")
    first = await run(world, reuse_last_task_id=True)
    assert (await run(world, reuse_last_task_id=True)).id != first.id
    assert (await run(world, reuse_last_task_id=first.id)).id != first.id


# ---- a task of an id


async def test_an_id_that_no_task_has_is_that_of_the_new_task(world: World) -> None:
    if not await is_ours(world, await world(world.Task.create(*NAMES))):
        pytest.skip("a server that makes ids itself; its refusal is tested with one that notes what is asked of it")
    wanted = f"Nightly_2024-11-{uuid4().hex}"
    first = await world(world.Task.init(*NAMES, reuse_last_task_id=f" {wanted} "))
    assert first.id == wanted
    assert await world(first.get_project_name()) == "reuse"
    first.get_logger().report_scalar("loss", "train", 0.5, 7)
    await world(first.close())
    found = await world(world.Task.get_task(wanted))
    assert (found.name, await world(found.get_status())) == ("a run", "completed")
    assert await world(found.get_reported_scalars()) == {"loss": {"train": {"x": [7], "y": [0.5]}}}
    assert (await run(world, reuse_last_task_id=True)).id == first.id, "it is the last one of its names as well"
    again = await world(world.Task.init(*NAMES, reuse_last_task_id=first.id))
    assert again.id == first.id
    assert await world(again.get_reported_scalars()) == {}
    await world(again.upload_artifact("model", {"layers": 3}))
    assert (await world(again.artifacts["model"].get())) == {"layers": 3}
    await world(again.close())
    assert (await run(world, reuse_last_task_id=first.id)).id != first.id, "what has an artifact is left alone"


async def test_a_task_of_an_id_is_reused_under_its_own_names(world: World) -> None:
    first = await run(world)
    again = await world(world.Task.init("elsewhere", "another", reuse_last_task_id=first.id))
    assert (again.id, again.name, await world(again.get_project_name())) == (first.id, "a run", "reuse")
    assert await world(again.get_reported_scalars()) == {}


@pytest.mark.parametrize("wrong", ["../x", "a/b", "-x", "a.b", "x" * 65, "ö"])
async def test_what_cannot_be_an_id_is_refused_before_anything_is_made(world: World, wrong: str) -> None:
    name = own("a run")
    with pytest.raises(ValidationError, match="no task id"):
        await world(world.Task.init("reuse", name, reuse_last_task_id=wrong))
    assert await world(world.Task.get_tasks(task_name=name)) == []


# ---- going on


async def test_a_run_goes_on_behind_its_last_iteration(world: World) -> None:
    first = await run(world)
    for continued in (True, first.id):
        task = await world(world.Task.init(*NAMES, continue_last_task=continued))
        assert task.id == first.id
        assert await world(task.get_status()) == "in_progress"
        task.get_logger().report_scalar("loss", "train", 0.25, 0)
        await world(task.close())
    curve = (await world(first.get_reported_scalars()))["loss"]["train"]
    assert curve == {"x": [7, 8, 9], "y": [0.5, 0.25, 0.25]}


@pytest.mark.parametrize("change", [CHANGES["published"], CHANGES["enqueued"]], ids=["published", "enqueued"])
async def test_what_must_not_run_is_not_gone_on_with(world: World, change: Change) -> None:
    first = await run(world, reuse_last_task_id=True)
    await change(world, await world(world.Task.get_task(first.id)))
    before = await world(first.get_status())
    for continued in (True, first.id):
        task = await run(world, continue_last_task=continued)
        assert task.id != first.id
    assert await world(first.get_status()) == before


async def test_nothing_is_made_to_go_on_with(world: World) -> None:
    name = own("a run")
    with pytest.raises(NotFoundError, match="cannot continue task nobody"):
        await world(world.Task.init("reuse", name, continue_last_task="nobody"))
    assert await world(world.Task.get_tasks(task_name=name)) == []
    task = await world(world.Task.init("reuse", name, continue_last_task=True))
    assert task.get_initial_iteration() == 0, "there was no last one: this is the first"


# ---- create


async def test_a_created_task_needs_a_project(world: World) -> None:
    for error in (UsageError, ValueError):
        with pytest.raises(error, match="project_name"):
            await world(world.Task.create(task_name="a draft"))
    with pytest.raises(ValidationError, match="3 characters"):
        await world(world.Task.create("ab", "a draft"))


async def test_a_created_task_is_always_a_new_one_and_is_never_executed(world: World) -> None:
    main = await world(world.Task.init(*NAMES))
    drafts = [await world(world.Task.create(*NAMES)) for _ in range(2)]
    assert len({main.id, *(draft.id for draft in drafts)}) == 3
    for draft in drafts:
        assert (draft.task_type, draft.project, await world(draft.get_status())) == ("training", main.project, "created")
        assert not draft.is_main_task()
        with pytest.raises(TaskStatusError):
            await world(draft.publish())
    assert world.Task.current_task() is main
