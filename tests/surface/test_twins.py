"""The public surface: both worlds have the same members with the same words. What is documented of them is in `test_documented`."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import pytest

from atrains import (
    Artifact,
    AsyncArtifact,
    AsyncMetricsManager,
    AsyncStorageManager,
    AsyncTask,
    MetricsManager,
    StorageManager,
    Task,
    TaskStatusEnum,
    TaskTypes,
)
from atrains.errors import UsageError

PAIRS = [(AsyncTask, Task), (AsyncArtifact, Artifact), (AsyncMetricsManager, MetricsManager), (AsyncStorageManager, StorageManager)]
AWAITED = {
    AsyncTask: {"close", "flush", "connect", "get_status", "upload_artifact"},
    AsyncArtifact: {"get", "get_local_copy"},
    AsyncMetricsManager: {"get_summary", "get_titles", "get_series"},
    AsyncStorageManager: {"get_local_copy", "upload_file", "upload_folder", "download_file", "download_folder", "list", "exists_file"},
}
MADE_IN_CALLER = {"init"}
"""Written by hand in both worlds: their defaults and their words differ on purpose."""
ONE_WORLD = {
    "ainit": "the one name of the async world on Task; AsyncTask.init is the same coroutine",
    "open": "how Task.init opens a run; AsyncTask only",
    "end": "how the hooks of the process close a run; AsyncTask only",
    "known_project_name": "for the check of a second init; AsyncTask only",
    "begun_here": "for what only the process that began a run does; AsyncTask only",
}


def public(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


def members(core: type, twin: type) -> Iterator[tuple[str, Any, Any]]:
    """The members that both have, as they stand in the class."""
    for name in sorted(public(core) & public(twin) - MADE_IN_CALLER):
        yield name, inspect.getattr_static(core, name), inspect.getattr_static(twin, name)


def function(member: Any) -> Any:
    if isinstance(member, property):
        return member.fget
    return member.__func__ if isinstance(member, classmethod | staticmethod) else member


def parameters(member: Any) -> list[tuple[str, Any, Any]]:
    return [(each.name, each.kind, each.default) for each in inspect.signature(function(member)).parameters.values()]


@pytest.mark.parametrize(("core", "twin"), PAIRS, ids=["task", "artifact", "metrics", "storage"])
def test_the_twins_have_the_same_members(core: type, twin: type) -> None:
    assert public(core) ^ public(twin) <= set(ONE_WORLD)
    assert len(public(core)) > 5


@pytest.mark.parametrize(("core", "twin"), PAIRS, ids=["task", "artifact", "metrics", "storage"])
def test_the_twins_take_the_same_and_say_the_same(core: type, twin: type) -> None:
    for name, ours, theirs in members(core, twin):
        if isinstance(ours, type):  # the enumerations
            assert ours is theirs
            continue
        assert type(ours) is type(theirs), name
        assert parameters(ours) == parameters(theirs), name
        assert function(ours).__doc__ == function(theirs).__doc__, name
        assert function(ours).__doc__, f"{name} has no docstring"


@pytest.mark.parametrize(("core", "twin"), PAIRS, ids=["task", "artifact", "metrics", "storage"])
def test_one_of_them_waits_and_the_other_is_awaited(core: type, twin: type) -> None:
    assert not [name for name, _, theirs in members(core, twin) if inspect.iscoroutinefunction(function(theirs))]
    coroutines = {name for name, ours, _ in members(core, twin) if inspect.iscoroutinefunction(function(ours))}
    # What reports or looks at what is there already must never have to be awaited.
    plain = {"get_logger", "current_task", "get_parameters", "get_parameters_as_dict", "get_tags", "is_main_task", "set_initial_iteration"}
    assert not coroutines & (plain | {"id", "name", "status", "artifacts", "url", "hash"})
    assert AWAITED[core] <= coroutines


async def test_pending_starts_nothing_and_refuses_what_would_always_go_wrong() -> None:
    async with Task.ainit("project", "pending") as task:
        pending: Any = task.status
        for misuse in (
            lambda: pending == "in_progress",
            lambda: pending != "in_progress",
            lambda: bool(pending),
            lambda: pending[0],
            lambda: list(pending),
            lambda: len(pending),
            lambda: "in" in pending,
            lambda: {pending: 1},
            lambda: pending < "z",
        ):
            with pytest.raises(TypeError, match=r"await task\.status"):
                misuse()
        assert repr(pending) == "<Pending task.status: await it>"
        assert await pending == "in_progress"
        assert await pending == "in_progress", "it may be awaited again, and asks again"
        await task.mark_stopped()
        assert await pending == "stopped"


@pytest.mark.parametrize("kind", [Task, AsyncTask])
def test_twin_has_no_constructor(kind: Any) -> None:
    with pytest.raises(UsageError, match=r"Task\.ainit.*Task\.get_task"):
        kind()


def test_the_constructor_of_task_names_all_three_ways() -> None:
    with pytest.raises(UsageError, match=r"Task\.init .*Task\.ainit .*Task\.get_task"):
        Task()


def test_the_same_object_has_one_twin() -> None:
    task = Task.init("project", "twin")
    assert Task.current_task() is task
    assert Task.init("project", "twin") is task
    assert task.is_main_task()
    assert repr(task).startswith(f"<Task {task.id} 'twin' in_progress")


def test_a_script_reuses_and_a_service_does_not() -> None:
    default = {kind: inspect.signature(kind).parameters["reuse_last_task_id"].default for kind in (Task.init, AsyncTask.init, Task.ainit)}
    assert list(default.values()) == [True, False, False]
    both = [list(inspect.signature(kind).parameters) for kind in (Task.init, AsyncTask.init, Task.ainit)]
    assert both[0] == both[1] == both[2]


def test_the_enumerations_are_on_the_classes_and_equal_their_strings() -> None:
    for kind in (Task, AsyncTask):
        assert kind.TaskTypes is TaskTypes
        assert kind.TaskStatusEnum is TaskStatusEnum
    types = "training testing inference data_processing application monitor controller optimizer service qc custom"
    statuses = "created in_progress stopped closed failed completed queued published publishing unknown"
    assert " ".join(TaskTypes) == types
    assert sorted(TaskStatusEnum) == sorted(statuses.split())
    assert hash(TaskTypes.qc) == hash("qc")
