"""What the documentation calls deprecated works, and warns at the line of the program that calls it, in both worlds."""

from __future__ import annotations

import inspect
import sys
import tomllib
import warnings
from pathlib import Path
from typing import Any, Final

import pytest

from atrains import Task

DOCUMENTED: Final[dict[str, dict[str, Any]]] = tomllib.loads(Path(__file__).with_name("documented.toml").read_text("utf-8"))["documented"]
DEPRECATED: Final = {
    name: member["deprecated"] for name, member in DOCUMENTED.items() if "deprecated" in member and "pending" not in member
}
ARGUMENTS: Final[dict[str, dict[str, Any]]] = {"set_model_config": {"config_text": "layers = 3"}}
"""What a member is called with that does nothing without."""


def check(caught: list[warnings.WarningMessage], name: str, line: int) -> None:
    """One warning, in words that tell what to change, at the line of this file that made the call."""
    since, instead = DEPRECATED[name]["since"], DEPRECATED[name]["instead"]
    assert [(warning.category, warning.filename, warning.lineno) for warning in caught] == [(DeprecationWarning, __file__, line)]
    for word in (f"Task.{name} ", since, f"Task.{instead}"):
        assert word in str(caught[0].message)


@pytest.mark.parametrize("name", DEPRECATED)
def test_a_blocking_call_warns_where_it_stands(name: str) -> None:
    task = Task.init("project", "deprecated")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        line, _ = sys._getframe().f_lineno, getattr(task, name)(**ARGUMENTS.get(name, {}))
    check(caught, name, line)


@pytest.mark.parametrize("name", DEPRECATED)
async def test_an_async_call_warns_where_it_stands_and_before_it_is_awaited(name: str) -> None:
    async with Task.ainit("project", "deprecated") as task:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            line, result = sys._getframe().f_lineno, getattr(task, name)(**ARGUMENTS.get(name, {}))
            check(caught, name, line)
            if inspect.isawaitable(result):
                await result
        check(caught, name, line)


@pytest.mark.parametrize("name", DEPRECATED)
def test_the_docstring_says_it_as_well(name: str) -> None:
    text = inspect.getdoc(getattr(Task, name)) or ""
    for word in ("Deprecated", DEPRECATED[name]["since"], f"`{DEPRECATED[name]['instead']}`"):
        assert word in text


async def test_is_current_task_asks_for_the_task_of_its_context() -> None:
    async with Task.ainit("project", "main") as main:
        with pytest.deprecated_call():
            assert main.is_current_task()
