"""Arguments of argparse, in both worlds and every home; what an agent makes of them is in tests/process/test_argparse.py."""

from __future__ import annotations

import argparse
from typing import Any

import pytest

World = Any
STORED = {"Args/rate": "0.5", "Args/names": '["a", "b"]'}


def make() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", type=float, default=0.1, help="step size")
    parser.add_argument("--names", nargs="+")
    return parser


LINE = ["--rate", "0.5", "--names", "a", "b"]


async def stored(world: World, task: Any) -> dict[str, str]:
    """What somebody else reads."""
    assert await world(task.flush())
    other = await world(world.Task.get_task(task.id))
    found: dict[str, str] = other.get_parameters()
    return found


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
async def test_what_is_parsed_is_stored(world: World, before: bool) -> None:
    options = make().parse_args(LINE) if before else None
    task = await world(world.Task.init("project", "a run"))
    options = options or make().parse_args(LINE)
    assert task.get_parameters() == STORED
    assert await stored(world, task) == STORED
    assert task.data["hyperparams"]["Args"]["rate"]["description"] == "step size"
    assert (options.rate, options.names) == (0.5, ["a", "b"])


async def test_what_is_not_to_be_connected_is_not_until_it_is_asked_for(world: World) -> None:
    parser = make()
    task = await world(world.Task.init("project", "a run", auto_connect_arg_parser={"names": False}))
    options = parser.parse_args(LINE)
    assert await stored(world, task) == {"Args/rate": "0.5"}
    assert await world(task.connect(options)) is options
    assert await stored(world, task) == STORED
    assert await world(task.connect(parser, name="Other")) is parser
    assert await stored(world, task) == STORED


async def test_parsers_can_be_connected_to_any_task(world: World) -> None:
    parser = make()
    draft = await world(world.Task.create("project", "a draft"))
    await world(draft.connect(parser))
    assert await stored(world, draft) == {"Args/rate": "0.1", "Args/names": ""}
    parser.parse_args(LINE)
    assert await stored(world, draft) == {"Args/rate": "0.1", "Args/names": ""}, "only the main task is told"
    await world(draft.connect(parser))
    assert await stored(world, draft) == STORED


async def test_nothing_is_connected_once_the_run_is_closed(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    await world(task.close())
    make().parse_args(LINE)
    await world(task.reload())
    assert task.get_parameters() == {}
