"""What a task becomes, one body for both worlds: statuses, and waiting for them. When a task is used again is in `test_init`."""

# files are looked at between the calls; nothing else runs on the loop of a test

from __future__ import annotations

import logging
import time
from typing import Any

import pytest

from atrains import TaskStatusEnum
from atrains.errors import (
    TaskFailedError,
    TaskStatusError,
    ValidationError,
    WaitTimeoutError,
)

World = Any

# ---- status


async def test_every_way_to_end_a_run(world: World) -> None:
    for mark, status in (("mark_completed", "completed"), ("mark_stopped", "stopped"), ("mark_failed", "failed")):
        task = await world(world.Task.init("project", f"to be {status}"))
        task.get_logger().report_scalar("a", "b", 1, 1)
        await world(getattr(task, mark)())
        assert await world(task.status) == status
        await world(task.close())
        assert await world(task.get_status()) == status, "close keeps a status that was marked"
        assert await world(task.get_last_iteration()) == 1


async def test_a_draft_is_started_and_ended_by_hand(world: World) -> None:
    draft = await world(world.Task.create("project", "a draft"))
    await world(draft.mark_started())
    assert await world(draft.get_status()) == "in_progress"
    answer = await world(draft.completed())
    assert answer["updated"] == 1
    assert answer["fields"]["status"] == "completed"
    await world(draft.publish())
    assert await world(draft.status) == TaskStatusEnum.published


async def test_a_signal_answers_what_became_of_the_task(world: World) -> None:
    draft = await world(world.Task.create("project", "a draft"))
    for status in ("in_progress", "stopped"):
        answer = await world((draft.started if status == "in_progress" else draft.stopped)(ignore_errors=False))
        assert (answer["updated"], answer["fields"]["status"]) == (1, status)
        assert await world(draft.get_status()) == status


async def test_a_failure_keeps_its_reason(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    await world(task.mark_failed(status_reason="out of memory", status_message="after 3 hours"))
    found = await world(world.Task.get_task(task.id))
    assert (found.data["status_reason"], found.data["status_message"]) == ("out of memory", "after 3 hours")


async def test_a_change_of_status_that_is_not_allowed(world: World, caplog: pytest.LogCaptureFixture) -> None:
    draft = await world(world.Task.create("project", "a draft"))
    with pytest.raises(TaskStatusError, match=f"{draft.id}.*created.*completed"):
        await world(draft.completed(ignore_errors=False))
    with caplog.at_level(logging.WARNING, logger="atrains"):
        assert (await world(draft.completed()))["updated"] == 0
    assert draft.id in caplog.text
    with pytest.raises(TaskStatusError, match="created"):
        await world(draft.publish())
    assert await world(draft.get_status()) == "created"


async def test_a_published_task_takes_no_parameters(world: World) -> None:
    async with world.run_of("project", "a run") as task:
        pass
    await world(task.publish())
    found = await world(world.Task.get_task(task.id))
    with pytest.raises(TaskStatusError, match=task.id):
        await world(found.connect({"lr": 1}))
    with pytest.raises(TaskStatusError, match=task.id):
        await world(found.reset())
    await world(found.set_comment("still allowed"))


async def test_a_reset_clears_the_results_and_keeps_what_describes_the_task(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    await world(task.connect({"lr": 0.1}))
    await world(task.set_tags(["mine"]))
    await world(task.upload_artifact("table", {"a": 1}))
    task.get_logger().report_scalar("a", "b", 1, 7)
    task.get_logger().report_text("hello", print_console=False)
    await world(task.reset())
    assert await world(task.get_status()) == "created"
    assert await world(task.get_reported_scalars()) == {}
    assert await world(task.get_reported_console_output(9)) == []
    assert (await world(task.get_last_iteration()), dict(task.artifacts)) == (0, {})
    assert (task.get_parameters_as_dict(), task.get_tags()) == ({"General": {"lr": "0.1"}}, ["mine"])
    await world(task.reset(set_started_on_success=True))
    assert await world(task.get_status()) == "in_progress"
    task.get_logger().report_scalar("a", "b", 2, 1)
    assert (await world(task.get_reported_scalars()))["a"]["b"] == {"x": [1], "y": [2.0]}


# ---- waiting


async def test_a_wait_ends_when_somebody_else_changes_the_status(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    waiting = await world(world.Task.get_task(task.id))

    async def end_it() -> None:
        await world.sleep(0.2)
        other = await world(world.Task.get_task(task.id))
        await world(other.mark_stopped())

    other = world.beside(end_it)
    begin = time.monotonic()
    await world(waiting.wait_for_status(timeout=20))
    assert 0.1 < time.monotonic() - begin < 5
    assert waiting.data["status"] == "stopped"
    if hasattr(other, "join"):
        other.join()
    else:
        await other


async def test_a_wait_knows_its_limits(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    await world(task.wait_for_status("in_progress", timeout=5))
    await world(task.wait_for_status([TaskStatusEnum.in_progress, "queued"], raise_on_status=None, timeout=5))
    begin = time.monotonic()
    with pytest.raises(WaitTimeoutError, match=f"{task.id}.*in_progress.*0.2 s"):
        await world(task.wait_for_status("completed", timeout=0.2))
    assert time.monotonic() - begin < 2
    with pytest.raises(TimeoutError):
        await world(task.wait_for_status("completed", timeout=0))
    with pytest.raises(ValidationError, match=r"'finished'.*completed"):
        await world(task.wait_for_status("finished", timeout=1))
    await world(task.mark_failed(status_reason="a bad day"))
    with pytest.raises(TaskFailedError, match=f"{task.id}.*failed: a bad day") as error:
        await world(task.wait_for_status(timeout=5))
    assert isinstance(error.value, RuntimeError)
    await world(task.wait_for_status("failed", raise_on_status=(), timeout=5))


# ---- the same task again


async def test_the_default_of_the_world(world: World) -> None:
    first = await world(world.Task.init("project", "again"))
    await world(first.close())
    second = await world(world.Task.init("project", "again"))
    # A script is run again and again and means the same task; a service opens many tasks of one name.
    assert (second.id == first.id) is (world.Task.__name__ == "Task")
