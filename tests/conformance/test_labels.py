"""The label enumeration of a task, one body for both worlds."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from atrains.errors import TaskClosedError, TaskStatusError, UnsupportedTypeError, ValidationError

World = Any


async def test_labels_are_stored_and_read_back(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    assert task.get_labels_enumeration() == task.get_label_num_description() == {}
    labels = {"background": 0, "person": 1, "a.b/ü $": 2, "people": 1}
    assert await world(task.connect_label_enumeration(labels)) is labels
    found = await world(world.Task.get_task(task.id))
    assert found.get_labels_enumeration() == labels == {"background": 0, "person": 1, "a.b/ü $": 2, "people": 1}
    assert found.get_label_num_description() == {0: "background", 1: "person,people", 2: "a.b/ü $"}
    assert list(found.get_label_num_description()) == [0, 1, 2]


async def test_setting_labels_takes_the_place_of_those_before(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    await world(task.upload_artifact("kept", {"a": 1}))
    await world(task.set_model_label_enumeration({"a": 0, "b": 1}))
    await world(task.set_model_label_enumeration({"c": 0}))
    found = await world(world.Task.get_task(task.id))
    assert found.get_labels_enumeration() == {"c": 0}
    await world(task.set_model_label_enumeration())
    await world(found.reload())
    assert found.get_labels_enumeration() == task.get_labels_enumeration() == {}
    assert list(found.artifacts) == ["kept"]


@pytest.mark.parametrize(
    ("labels", "classes", "warning"),
    [
        ({"background": 0, "person": 1, "car": 2}, 3, None),
        ({"person": 1, "car": 2}, 3, None),
        ({"background": 0}, 1, None),
        ({"background": 0, "car": 7}, 8, "highest number of a label is 7, but 1 labels"),
        ({"a": 1, "b": 1}, 2, "highest number of a label is 1, but 2 labels"),
        ({}, 0, "there are no labels"),
    ],
)
async def test_the_number_of_classes(
    world: World, caplog: pytest.LogCaptureFixture, labels: Any, classes: int, warning: str | None
) -> None:
    task = await world(world.Task.create("project", "a draft"))
    await world(task.set_model_label_enumeration(labels))
    with caplog.at_level(logging.WARNING, logger="atrains"):
        assert task.get_num_of_classes() == classes
    said = [record.getMessage() for record in caplog.records if "label" in record.getMessage()]
    assert said == [] if warning is None else warning in said[0] and task.id in said[0]


async def test_what_is_no_label_is_refused_by_name(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    for wrong, match in (
        ([("a", 1)], "label enumeration is a dict"),
        ({1: 1}, "label 1"),
        ({"car": "1"}, "'car'"),
        ({"car": True}, "'car'"),
    ):
        for member in (task.connect_label_enumeration, task.set_model_label_enumeration):
            with pytest.raises(UnsupportedTypeError, match=match):
                await world(member(wrong))
    with pytest.raises(UnsupportedTypeError, match="None"):
        await world(task.connect_label_enumeration(None))
    with pytest.raises(ValidationError, match="at least one character"):
        await world(task.set_model_label_enumeration({"": 1}))
    await world(task.close())
    with pytest.raises(TaskClosedError):
        await world(task.connect_label_enumeration({"a": 1}))
    found = await world(world.Task.get_task(task.id))
    with pytest.raises(TaskStatusError):
        await world(found.set_model_label_enumeration({"a": 1}))
