"""Callbacks for runs that are stopped from outside, one body for both worlds; programs that are so ended are in tests/process."""

from __future__ import annotations

from typing import Any

import pytest

from atrains.errors import UsageError, ValidationError
from tests.conformance.conftest import own

World = Any


async def coroutine() -> None:
    """Nothing to call in a thread."""


@pytest.mark.parametrize(
    ("function", "timeout", "problem"),
    [
        (1, 1.0, "a plain function without arguments, not 1"),
        (coroutine, 1.0, "a plain function without arguments, not <function coroutine"),
        (print, 0, "a number of seconds above 0, not 0"),
        (print, "1", "a number of seconds above 0, not '1'"),
        (print, float("nan"), "a number of seconds above 0, not nan"),
        (print, True, "a number of seconds above 0, not True"),
    ],
)
async def test_what_is_no_abort_callback_is_refused(world: World, function: Any, timeout: Any, problem: str) -> None:
    async with world.run_of(own("stopping"), "refused") as task:
        with pytest.raises(ValidationError, match=problem):
            await world(task.register_abort_callback(function, timeout))


async def test_an_abort_callback_is_for_a_run_of_this_process(world: World) -> None:
    async with world.run_of(own("stopping"), "a run") as task:
        await world(task.register_abort_callback(print, callback_execution_timeout=1))
        await world(task.register_abort_callback(None))
    draft = await world(world.Task.create(own("stopping"), "a draft"))
    with pytest.raises(UsageError, match="register the abort callback where the run was begun"):
        await world(draft.register_abort_callback(print))
