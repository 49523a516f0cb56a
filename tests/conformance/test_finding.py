"""Finding tasks, copying them, and the queues that they wait in."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from atrains import AsyncOutputModel, AsyncTask, OutputModel, Task
from atrains.errors import NotFoundError, TaskStatusError, UsageError, ValidationError
from tests.conformance.conftest import is_ours, make_queue, own

World = Any


async def names_of(world: World, **wanted: Any) -> list[str]:
    return [task.name for task in await world(world.Task.get_tasks(**wanted))]


async def make(world: World, *names: str, project: str = "project") -> list[Any]:
    return [await world(world.Task.create(project, name)) for name in names]


# ---- get_tasks, get_all


async def test_tasks_by_id_come_in_the_order_that_was_asked_for(world: World) -> None:
    tasks = await make(world, "one", "two", "three")
    wanted = [tasks[2].id, tasks[0].id]
    assert [task.id for task in await world(world.Task.get_tasks(task_ids=wanted, project_name="ignored"))] == wanted
    assert [task.id for task in await world(world.Task.get_tasks(tasks[1].id))] == [tasks[1].id]
    with pytest.raises(NotFoundError, match="f" * 32):
        await world(world.Task.get_tasks([tasks[0].id, "f" * 32]))
    assert await world(world.Task.get_tasks([])) == []


async def test_tasks_by_part_of_a_name_or_a_pattern(world: World) -> None:
    project, train = own("project"), own("train")
    await make(world, f"{train} resnet", f"{train} vgg", "evaluate resnet", project=project)
    await make(world, f"{train} elsewhere", project=own("another project"))
    assert await names_of(world, project_name=project) == [f"{train} resnet", f"{train} vgg", "evaluate resnet"]
    assert await names_of(world, project_name=project, task_name="resnet") == [f"{train} resnet", "evaluate resnet"]
    assert await names_of(world, project_name=project, task_name="^train .*t$") == [f"{train} resnet"]
    assert await names_of(world, task_name=f"^{train}") == [f"{train} resnet", f"{train} vgg", f"{train} elsewhere"]
    assert await names_of(world, project_name=project, task_name="TRAIN") == []
    with pytest.raises(NotFoundError, match="no such project"):
        await world(world.Task.get_tasks(project_name="no such project"))
    with pytest.raises(ValidationError):
        await world(world.Task.get_tasks(project_name=project, task_name="(unclosed"))


async def test_a_filter_is_passed_on(world: World) -> None:
    project = own("project")
    tasks = await make(world, "one", "two", "three", project=project)
    await world(tasks[1].mark_started())
    await world(tasks[0].set_tags(["good"]))
    assert await names_of(world, project_name=project, task_filter={"status": ["created"], "order_by": ["-name"]}) == ["three", "one"]
    assert await names_of(world, project_name=project, task_filter={"tags": "good"}) == ["one"]
    assert await names_of(world, project_name=project, task_filter={"page": 1, "page_size": 2, "order_by": ["name"]}) == ["two"]
    with pytest.raises(ValidationError, match="no_such_field"):
        await world(world.Task.get_tasks(project_name=project, task_filter={"no_such_field": 1}))


async def test_lists_have_no_end_at_a_page(world: World) -> None:
    """A server gives 500 tasks at most, and does not say that there are more."""
    first = await world(world.Task.create(own("project"), "task 0"))
    for number in range(1, 510):
        await world(world.Task.clone(first, name=f"task {number}"))
    found = await world(world.Task.get_all(project=first.project, only_fields=["id"]))
    assert len({task["id"] for task in found.response.tasks}) == 510
    assert len((await world(world.Task.get_all(project=first.project, page=0, page_size=20))).response.tasks) == 20


async def test_records_are_listed_with_their_fields(world: World) -> None:
    two = own("two")
    tasks = await make(world, "one", two, project=own("project"))
    await world(tasks[0].mark_started())
    found = await world(world.Task.get_all(status="in_progress", only_fields=["id", "name"], project=[tasks[0].project]))
    assert found.ok()
    assert found.meta.result_code == 200
    assert found.response.tasks == found.response_data["tasks"] == [{"id": tasks[0].id, "name": "one"}]
    assert [task["id"] for task in (await world(world.Task.get_all(None, None, name=two[1:]))).response.tasks] == [tasks[1].id]
    with pytest.raises(ValueError, match="unsupported keyword 'colour'"):
        await world(world.Task.get_all(colour="blue"))


async def test_a_list_of_tasks_goes_without_one_that_is_deleted_meanwhile(world: World) -> None:
    project = own("project")
    tasks = await make(world, *(f"task {number}" for number in range(120)), project=project)

    async def others() -> None:
        for task in reversed(tasks[-20:]):
            await world(task.delete())

    deleting = world.beside(others)
    while len(found := await names_of(world, project_name=project)) > 100:
        assert found == [f"task {number}" for number in range(len(found))]
    await world(deleting if world.Task is AsyncTask else deleting.join())
    assert len(found) == 100


# ---- clone, set_parent


async def test_a_clone_is_a_draft_with_what_describes_the_task(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    await world(task.connect({"rate": 0.5}))
    await world(task.set_comment("what it is about"))
    await world(task.set_tags(["good"]))
    task.get_logger().report_scalar("loss", "train", 0.5, 1)
    await world(task.upload_artifact("table", {"a": 1}))
    copy = await world(world.Task.clone())
    assert copy.id != task.id
    assert (copy.name, copy.project, copy.comment, copy.get_tags()) == ("a run", task.project, "what it is about", ["good"])
    assert copy.get_parameters() == {"General/rate": "0.5"}
    assert await world(copy.get_status()) == "created"
    assert await world(copy.get_reported_scalars()) == {}
    assert dict(copy.artifacts) == {}
    assert "development" not in copy.get_system_tags()


async def test_what_was_changed_a_moment_ago_is_in_the_copy_and_in_what_is_looked_up(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    live = await world(task.connect({"rate": 0.5}))
    expected = {"General/rate": "0.5"}
    for number, take in enumerate(
        (lambda: world.Task.clone(task), lambda: world.Task.clone(task.id), lambda: world.Task.get_task(task.id))
    ):
        live[f"new {number}"] = number
        expected[f"General/new {number}"] = str(number)
        assert (await world(take())).get_parameters() == expected


async def test_the_four_parents_of_a_clone(world: World) -> None:
    source, other = await make(world, "source", "other")
    first = await world(world.Task.clone(source.id))
    assert first.parent == source.id, "the source, where it has no parent itself"
    assert (await world(world.Task.clone(first))).parent == source.id, "that of the source"
    assert (await world(world.Task.clone(first, parent=other))).parent == other.id
    assert (await world(world.Task.clone(first, parent=other.id))).parent == other.id


async def test_a_task_of_the_other_world_will_do(world: World) -> None:
    source, other = await make(world, "source", "other")
    given = Task._of(source) if world.Task is AsyncTask else source._core  # as `Task.current_task()` gives it to a coroutine
    copy = await world(world.Task.clone(given, parent=given))
    assert copy.parent == source.id
    await world(other.set_parent(given))
    assert other.parent == source.id
    assert (await world(world.Task.enqueue(given, "default")))["queued"] == 1
    assert (await world(world.Task.dequeue(given)))["dequeued"] == 1
    model = (AsyncOutputModel if world.Task is AsyncTask else OutputModel)(given, name="of the source")
    await world(model.update_weights(register_uri="file:///nowhere/model.pt"))
    await world(source.reload())
    assert len((await world(source.get_models()))["output"]) == 1


async def test_a_clone_takes_what_it_is_given(world: World) -> None:
    (source,) = await make(world, "source")
    (elsewhere,) = await make(world, "elsewhere", project="another project")
    await world(source.set_comment("old"))
    copy = await world(world.Task.clone(source, name="copy", comment="new", project=elsewhere.project))
    assert (copy.name, copy.comment, copy.project) == ("copy", "new", elsewhere.project)
    assert (await world(world.Task.clone(source, comment=""))).comment == ""
    with pytest.raises(UsageError, match="source_task"):
        await world(world.Task.clone())
    with pytest.raises(ValidationError, match="42"):
        await world(world.Task.clone(42))
    with pytest.raises(NotFoundError):
        await world(world.Task.clone("f" * 32))
    with pytest.raises(ValidationError, match="3 characters"):
        await world(world.Task.clone(source, name="x"))


async def test_a_parent_is_set_and_taken_away(world: World) -> None:
    task, parent = await make(world, "a task", "a parent")
    await world(task.set_parent(parent))
    assert (await world(world.Task.get_task(task.id))).parent == parent.id
    await world(parent.set_parent(task.id))
    assert parent.parent == task.id
    if await is_ours(world, task):
        await world(task.set_parent(None))
        assert (await world(world.Task.get_task(task.id))).parent is None
    else:
        with pytest.raises(UsageError, match="keeps its parent"):
            await world(task.set_parent(None))
    with pytest.raises(ValidationError, match="own parent"):
        await world(task.set_parent(task))
    with pytest.raises(NotFoundError):
        await world(task.set_parent("f" * 32))


# ---- queues


async def test_enqueue_and_dequeue_answer_as_documented(world: World) -> None:
    name = own("a queue")
    queue = await make_queue(world, name)
    (task,) = await make(world, "a task")
    answer = await world(world.Task.enqueue(task, queue_name=name))
    assert list(answer) == ["queued", "updated", "fields"]
    assert (answer["queued"], answer.updated) == (1, 1)
    assert set(answer.fields) == {"status", "status_reason", "status_message", "status_changed", "last_update", "execution.queue"}
    assert (answer.fields.status, answer["fields"]["execution.queue"]) == ("queued", queue)
    assert datetime.fromisoformat(answer.fields.status_changed).tzinfo is not None
    assert await world(task.get_status()) == "queued"
    with pytest.raises(AttributeError, match="dequeued"):
        _ = answer.dequeued
    answer = await world(world.Task.dequeue(task.id))
    assert (answer.dequeued, answer.updated, answer.fields["status"], answer.fields["execution.queue"]) == (1, 1, "created", None)
    assert await world(task.get_status()) == "created"
    assert (await world(world.Task.dequeue(task))).updated == 0
    assert (await world(world.Task.enqueue(task.id, queue_id=queue))).queued == 1


async def test_what_cannot_be_enqueued(world: World) -> None:
    name = own("a queue")
    await make_queue(world, name)
    (task,) = await make(world, "a task")
    for wrong in ({}, {"queue_name": name, "queue_id": "f" * 32}):
        with pytest.raises(UsageError, match="queue_name or the queue_id"):
            await world(world.Task.enqueue(task, **wrong))
    with pytest.raises(NotFoundError, match=f"no queue 'another one'.*'{name}'"):
        await world(world.Task.enqueue(task, queue_name="another one"))
    with pytest.raises(NotFoundError):
        await world(world.Task.enqueue(task, queue_id="f" * 32))
    with pytest.raises(NotFoundError):
        await world(world.Task.enqueue("f" * 32, queue_name=name))
    await world(task.mark_started())
    await world(task.mark_completed(ignore_errors=False))
    with pytest.raises(TaskStatusError, match=r"completed.*reset"):
        await world(world.Task.enqueue(task, queue_name=name))
    await world(task.reset())
    await world(world.Task.enqueue(task, queue_name=name))
    with pytest.raises(ValueError, match="already queued"):
        await world(world.Task.enqueue(task, queue_name=name))


async def test_a_queue_forgets_a_task_that_is_reset(world: World) -> None:
    name = own("a queue")
    await make_queue(world, name)
    (task,) = await make(world, "a task")
    await world(world.Task.enqueue(task, queue_name=name))
    await world(task.reset())
    assert await world(task.get_status()) == "created"
    assert (await world(world.Task.enqueue(task, queue_name=name))).queued == 1
