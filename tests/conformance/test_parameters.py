"""What a run is configured with, one body for both worlds: connected, set, and read back by others."""

from __future__ import annotations

import argparse
import copy
import pickle
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import date
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from atrains import Receipt, TaskParameters, param, percent_param
from atrains.errors import TaskClosedError, TaskStatusError, UnsupportedTypeError, ValidationError

World = Any


class Color(Enum):
    RED = "r"


EVERYTHING = {
    "none": None, "empty": "", "yes": True, "no": False, "int": -7, "big": 2**80, "float": 1e-3, "inf": float("inf"),
    "text": "ünï 'x'\n\t€",
    "list": [1, None, "a", [True]], "no list": [], "tuple": (1, "b"), "no dict": {}, "enum": Color.RED, "path": Path("a/b.txt"),
    "date": date(2024, 5, 6), "a/b": "slash", "a.b": "dot", "$where": "dollar", "ключ": "Unicode", 3: "number", "in": "a word of databases",
    "nested": {"deep": {"er": 0.5, "list": [{"x": 1}]}},
}  # fmt: skip


async def other(world: World, task: Any) -> Any:
    """The task as somebody else sees it."""
    return await world(world.Task.get_task(task.id))


async def stored(world: World, task: Any) -> dict[str, str]:
    """What somebody else finds in it, once everything was sent."""
    assert await world(task.flush())
    found: dict[str, str] = (await other(world, task)).get_parameters()
    return found


# ---- connect


async def test_every_kind_of_value_is_stored_as_text_that_others_read(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    returned = await world(task.connect(EVERYTHING, name="Everything"))
    assert returned == EVERYTHING
    assert isinstance(returned, dict)
    found = await other(world, task)
    assert found.get_parameters() == {
        f"Everything/{name}": text
        for name, text in {
            "none": "", "empty": "", "yes": "True", "no": "False", "int": "-7", "big": str(2**80), "float": "0.001", "inf": "inf",
            "text": "ünï 'x'\n\t€", "list": '[1, null, "a", [true]]', "no list": "[]", "tuple": '[1, "b"]', "no dict": "{}", "enum": "RED",
            "path": "a/b.txt", "date": "2024-05-06", "a/b": "slash", "a.b": "dot", "$where": "dollar", "ключ": "Unicode", "3": "number",
            "in": "a word of databases", "nested/deep/er": "0.5", "nested/deep/list": '[{"x": 1}]',
        }.items()
    }  # fmt: skip
    read = found.get_parameters(cast=True)
    for name in ("none", "empty", "yes", "no", "int", "big", "float", "inf", "text", "list", "no list", "tuple", "no dict", "a/b", "ключ"):
        assert read[f"Everything/{name}"] == EVERYTHING[name], name
        assert type(read[f"Everything/{name}"]) is type(EVERYTHING[name]), name


async def test_sections_lie_beside_each_other(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    await world(task.connect({"rate": 0.1, "opt": {"name": "sgd"}}))
    await world(task.connect({"layers": 3}, name="Model"))
    await world(task.connect({"heads": 8}, name="Model/encoder"))
    expected = {"General": {"rate": "0.1", "opt": {"name": "sgd"}}, "Model": {"layers": "3", "encoder": {"heads": "8"}}}
    assert task.get_parameters_as_dict() == expected
    assert (await other(world, task)).get_parameters_as_dict() == expected


async def test_every_change_of_a_connected_dictionary_is_stored(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    given = {"a": 1, "n": {"x": 1, "y": [1]}, "gone": 0, "last": 0}
    values = await world(task.connect(given))
    values["a"] = 2
    values["n"]["x"] = 3
    values["new"] = {"deep": {}}
    values["new"]["deep"]["er"] = 4
    values.update({"u": 5}, v=6)
    values |= {"w": 7}
    assert values.setdefault("s", 8) == 8
    assert values.setdefault("s", 9) == 8
    assert values.pop("gone") == 0
    assert values.pop("gone", "default") == "default"
    del values["n"]["y"]
    assert values.popitem() == ("s", 8)
    expected = {"a": 2, "n": {"x": 3}, "last": 0, "new": {"deep": {"er": 4}}, "u": 5, "v": 6, "w": 7}
    assert values == expected
    flat = {"a": "2", "n/x": "3", "last": "0", "new/deep/er": "4", "u": "5", "v": "6", "w": "7"}
    assert task.get_parameters() == {f"General/{name}": text for name, text in flat.items()}, "seen here at once"
    assert await stored(world, task) == task.get_parameters()
    assert given == {"a": 1, "n": {"x": 1, "y": [1]}, "gone": 0, "last": 0}, "the passed dictionary is left alone"
    values["n"].clear()
    values["new"]["deep"] = {"other": 1, "names": 2}
    assert await stored(world, task) == {
        f"General/{name}": text
        for name, text in {
            "a": "2", "n": "{}", "last": "0", "new/deep/other": "1", "new/deep/names": "2", "u": "5", "v": "6", "w": "7",
        }.items()
    }  # fmt: skip
    values["n"]["again"] = 1
    assert (await stored(world, task))["General/n/again"] == "1"
    assert "General/n" not in task.get_parameters()
    values.clear()
    assert await stored(world, task) == {}


async def test_copies_of_a_connected_dictionary_are_plain(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    values = await world(task.connect({"a": [1], "n": {"x": 1}}))
    for plain in (copy.deepcopy(values), pickle.loads(pickle.dumps(values))):
        assert (type(plain), type(plain["n"])) == (dict, dict)
        assert plain == values
        plain["n"]["x"] = plain["b"] = 2
        plain["a"].append(2)
    assert (type(values.copy()), type(copy.copy(values)), type(values | {})) == (dict, dict, dict)
    inner = values.pop("n")
    inner["x"] = 3
    assert await stored(world, task) == {"General/a": "[1]"}


async def test_what_cannot_be_stored_changes_nothing(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    values = await world(task.connect({"a": 1, "n": {"x": 1}, "n/y": 1}))
    with pytest.raises(UnsupportedTypeError, match="General/o is of type object"):
        values["o"] = object()
    with pytest.raises(UnsupportedTypeError, match=r"General/n/o\['k'\]|General/n/o/k"):
        values["n"].update(x=2, o={"k": {1}})
    with pytest.raises(ValidationError, match="General/n/y"):
        values["n"]["y"] = 2
    with pytest.raises(KeyError):
        del values["missing"]
    with pytest.raises(KeyError):
        values.pop("missing")
    assert values == {"a": 1, "n": {"x": 1}, "n/y": 1}
    assert await stored(world, task) == {"General/a": "1", "General/n/x": "1", "General/n/y": "1"}


async def test_a_change_is_stored_before_what_is_done_after_it(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    values = await world(task.connect({"a": 1, "b": 1}))
    values["a"] = 2
    await world(task.set_parameter("General/a", 3))
    assert (await stored(world, task))["General/a"] == "3"
    values["b"] = 2
    await world(task.reload())
    assert task.get_parameter("b") == "2"
    values["b"] = 3
    await world(task.mark_stopped())
    assert (await stored(world, task))["General/b"] == "3"


async def test_a_change_that_the_home_refuses_shows_in_the_receipt(world: World, caplog: pytest.LogCaptureFixture) -> None:
    task = await world(world.Task.init("project", "a run"))
    values = await world(task.connect({"a": 1}))
    await world((await other(world, task)).mark_stopped())
    values["a"] = 2
    receipt: Receipt = await world(task.flush())
    assert not receipt
    assert "General/a" in receipt.refused[0]
    assert "General/a" in caplog.text
    assert (await other(world, task)).get_parameters() == {"General/a": "1"}


async def test_after_close_the_dictionary_is_a_plain_one(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    values = await world(task.connect({"a": 1}))
    values["a"] = 2
    await world(task.close())
    values["a"] = 3
    assert values == {"a": 3}
    assert (await other(world, task)).get_parameters() == {"General/a": "2"}
    with pytest.raises(TaskClosedError):
        await world(task.connect({"a": 1}))


@dataclass(frozen=True)
class Optimizer:
    name: str = "sgd"
    rate: float = 0.1


@dataclass
class Training:
    epochs: int = 3
    optimizer: Optimizer = field(default_factory=Optimizer)
    tags: list[str] = field(default_factory=list)
    callback: object = print


class Plain:
    batch = 32

    def __init__(self) -> None:
        self.rate = 0.1
        self.device = object()
        self._hidden = 1

    def method(self) -> None: ...


class Constants:
    SEED = 7
    NAME = "constants"


class MyParameters(TaskParameters):
    iterations = param(100, type=int, desc="how many iterations to run", range=(0, 100_000))
    target_accuracy = percent_param(desc="when to stop")
    optimizer = "adam"


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (Training, {"epochs": "3", "optimizer/name": "sgd", "optimizer/rate": "0.1", "tags": "[]"}),
        (Plain, {"batch": "32", "rate": "0.1"}),
        (lambda: Constants, {"SEED": "7", "NAME": "constants"}),
        (lambda: argparse.Namespace(rate=0.5, name=None), {"rate": "0.5", "name": ""}),
        (lambda: MyParameters(200), {"iterations": "200", "target_accuracy": "", "optimizer": "adam"}),
        (lambda: OrderedDict(b=1, a=2), {"b": "1", "a": "2"}),
    ],
    ids=["dataclass", "object", "class", "namespace", "TaskParameters", "OrderedDict"],
)
async def test_other_objects_can_be_connected(world: World, make: Any, expected: dict[str, str]) -> None:
    task = await world(world.Task.init("project", "a run"))
    given = make()
    returned = await world(task.connect(given, name="Some"))
    assert returned is given or returned == given
    assert await stored(world, task) == {f"Some/{name}": text for name, text in expected.items()}


async def test_descriptions_of_task_parameters_are_stored(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    await world(task.connect(MyParameters(target_accuracy=0.9)))
    items = (await other(world, task)).data["hyperparams"]["General"]
    assert (items["iterations"]["description"], items["iterations"]["type"]) == ("how many iterations to run", "int")
    assert (items["target_accuracy"]["description"], items["target_accuracy"]["value"]) == ("when to stop", "0.9")


@pytest.mark.parametrize("thing", [42, None, "text", [1], {1}, print, len, argparse, Color, object(), lambda: 0, ValueError("x")])
async def test_what_cannot_be_connected_is_refused_with_what_can(world: World, thing: object) -> None:
    task = await world(world.Task.init("project", "a run"))
    for error in (TypeError, ValueError):
        with pytest.raises(error, match="a dict, an argparse parser or namespace, TaskParameters"):
            await world(task.connect(thing))


async def test_a_dictionary_with_a_value_that_cannot_be_stored_is_refused_whole(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    with pytest.raises(UnsupportedTypeError, match="General/n/o"):
        await world(task.connect({"a": 1, "n": {"o": object()}}))
    assert await stored(world, task) == {}


# ---- set and get


async def test_one_parameter_is_set_and_got(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    await world(task.set_parameter("Args/lr", 0.1, "the rate"))
    await world(task.set_parameter("bare", True))
    await world(task.set_parameter("Args/lr", "0.2"))
    await world(task.set_parameter(name="typed", value="7", description=None, value_type=int))
    found = await other(world, task)
    assert found.get_parameter("Args/lr") == found.get_parameter("lr") == "0.2"
    assert found.get_parameter("General/bare") == "True"
    assert found.get_parameter("missing") is None
    assert found.get_parameter(name="Args/missing", default=3) == 3
    assert found.data["hyperparams"]["Args"]["lr"] == {
        "section": "Args", "name": "lr", "value": "0.2", "type": "float", "description": "the rate",
    }  # fmt: skip
    assert found.get_parameters(cast=True) == {"Args/lr": 0.2, "General/bare": True, "General/typed": 7}


async def test_a_bare_name_is_the_parameter_that_there_is(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    await world(task.set_parameters({"Args/lr": 1, "Args/both": 1, "Model/both": 2, "Model/a/b": 3}))
    await world(task.set_parameter("lr", 2))
    await world(task.update_parameters({"a/b": 4, "new": 5, "Other/x": 6}))
    expected = {"Args/lr": "2", "Args/both": "1", "Model/both": "2", "Model/a/b": "4", "General/new": "5", "Other/x": "6"}
    assert await stored(world, task) == expected
    with pytest.raises(ValidationError, match="Args/both, Model/both"):
        await world(task.set_parameter("both", 3))
    assert task.get_parameter("both", "unclear") == "unclear"
    for name in ("", "Args/", "/x", " "):
        with pytest.raises(ValidationError, match="empty"):
            await world(task.set_parameter(name, 1))
    assert await stored(world, task) == expected


async def test_all_parameters_or_some_are_set(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    await world(task.set_parameters({"a": 1, "Args/b": 2}, [("c", 3)], a=4))
    assert await stored(world, task) == {"General/a": "4", "Args/b": "2", "General/c": "3"}
    await world(task.update_parameters([("b", 5)], d={"x": [1]}))
    assert await stored(world, task) == {"General/a": "4", "Args/b": "5", "General/c": "3", "General/d": '{"x": [1]}'}
    await world(task.set_parameters({"e": None}))
    assert await stored(world, task) == {"General/e": ""}
    await world(task.set_parameters())
    assert await stored(world, task) == {}
    for bad in (42, "text", [1, 2]):
        with pytest.raises(ValueError, match="pairs"):
            await world(task.set_parameters(bad))


async def test_parameters_as_a_dictionary_are_set_as_they_were_got(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    await world(task.connect({"a": 1, "a/b": 2, "n": {"x": None, "t": (1, 2)}, "odd//name": 3}))
    await world(task.set_parameter("Args/lr", 0.1, "the rate"))
    before = (await other(world, task)).data["hyperparams"]
    await world(task.set_parameters_as_dict(task.get_parameters_as_dict()))
    assert (await other(world, task)).data["hyperparams"] == before
    await world(task.set_parameters_as_dict({"Model": {"layers": {"first": 3}}, "lr": 0.2, "n": 1}))
    found = await stored(world, task)
    assert found["Model/layers/first"] == "3"
    assert found["Args/lr"] == "0.2"
    assert found["General/n"] == "1"
    assert found["General/a/b"] == "2"
    with pytest.raises(ValidationError, match="takes a dictionary"):
        await world(task.set_parameters_as_dict([("a", 1)]))


async def test_parameters_of_a_draft_can_be_set_and_those_of_an_ended_run_cannot(world: World) -> None:
    draft = await world(world.Task.create("project", "a draft"))
    await world(draft.set_parameters({"a": 1}))
    values = await world(draft.connect({"b": 1}))
    values["b"] = 2
    assert await stored(world, draft) == {"General/a": "1", "General/b": "2"}
    await world(draft.mark_started())
    await world(draft.mark_stopped())
    with pytest.raises(TaskStatusError):
        await world(draft.set_parameter("a", 2))
    with pytest.raises(TaskStatusError):
        await world(draft.connect({"a": 3}))
    with pytest.raises(TaskStatusError):
        await world(draft.set_parameters({}))
    await world(draft.set_parameter("properties/owner", "somebody"))
    assert await stored(world, draft) == {"General/a": "1", "General/b": "2", "properties/owner": "somebody"}


async def test_what_others_set_meanwhile_stays(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    beside = await other(world, task)
    values = await world(task.connect({"a": 1}))
    await world(beside.update_parameters(b=1))
    values["a"] = 2
    await world(task.set_parameter("c", 1))
    await world(beside.set_parameter("d", 1))
    assert await stored(world, task) == {"General/a": "2", "General/b": "1", "General/c": "1", "General/d": "1"}
