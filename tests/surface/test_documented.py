"""The documented members, one by one: each is there as it is documented, in both worlds."""

from __future__ import annotations

import ast
import inspect
import re
import tomllib
from pathlib import Path
from typing import Any, Final

import pytest

from atrains import AsyncTask, Task

LISTS: Final = tomllib.loads(Path(__file__).with_name("documented.toml").read_text("utf-8"))
DOCUMENTED: Final[dict[str, dict[str, Any]]] = LISTS["documented"]
EVERY: Final[dict[str, dict[str, Any]]] = DOCUMENTED | LISTS["relied_on"]
THERE: Final = [name for name, member in DOCUMENTED.items() if "pending" not in member]
CALLED: Final = [name for name in THERE if DOCUMENTED[name]["kind"] in {"method", "classmethod", "staticmethod"}]
READ: Final = [name for name in THERE if DOCUMENTED[name]["kind"] == "property"]
Parameter = inspect.Parameter
CATCH_ALL: Final = {"*": Parameter.VAR_POSITIONAL, "**": Parameter.VAR_KEYWORD}


def kind_of(owner: type, name: str) -> str:
    """What a member is, in the words of the list."""
    member = inspect.getattr_static(owner, name)
    for kind in (classmethod, staticmethod, property):
        if isinstance(member, kind):
            return kind.__name__
    return "class" if isinstance(member, type) else "method"


def parsed(text: str) -> tuple[str, Any, Any]:
    """Name, kind and default of a parameter of the list: `name`, `name=default`, `*name` or `**name`."""
    stars = text[: len(text) - len(text.lstrip("*"))]
    name, given, default = text.removeprefix(stars).partition("=")
    kind = CATCH_ALL.get(stars, Parameter.POSITIONAL_OR_KEYWORD)
    return name, kind, ast.literal_eval(default) if given else Parameter.empty


def parameters(owner: type, name: str) -> list[Parameter]:
    """What a member of a class takes, but for the task itself."""
    return [each for each in inspect.signature(getattr(owner, name)).parameters.values() if each.name != "self"]


def annotation(owner: type, name: str) -> str:
    """What a member says that it returns."""
    member = inspect.getattr_static(owner, name)
    function = member.fget if isinstance(member, property) else getattr(owner, name)
    return str(inspect.signature(function).return_annotation)


def test_the_list_is_whole() -> None:
    assert len(DOCUMENTED) == 81
    assert not set(DOCUMENTED) & set(LISTS["relied_on"])


def test_no_member_is_pending() -> None:
    """Each is there; one that has to be marked as missing again is named here and in docs/differences.md."""
    assert not [name for name, member in EVERY.items() if "pending" in member]


@pytest.mark.parametrize("name", [name for name, member in EVERY.items() if "pending" not in member])
def test_a_member_is_of_its_kind_in_both_worlds(name: str) -> None:
    assert [kind_of(owner, name) for owner in (Task, AsyncTask)] == [EVERY[name]["kind"]] * 2


@pytest.mark.parametrize("owner", [Task, AsyncTask])
@pytest.mark.parametrize("name", CALLED)
def test_a_member_takes_what_is_documented(name: str, owner: type) -> None:
    documented = [parsed(text) for text in DOCUMENTED[name]["parameters"]]
    if owner is AsyncTask and name == "init":  # a service that opens many tasks must not reset what a sibling does
        documented[3] = ("reuse_last_task_id", Parameter.POSITIONAL_OR_KEYWORD, False)
    found = parameters(owner, name)
    taken = [each for each in found if each.kind is not Parameter.KEYWORD_ONLY]
    assert [(each.name, each.kind, each.default) for each in taken] == documented
    assert [type(each.default) is bool for each in taken] == [type(default) is bool for _, _, default in documented]
    extras = [each for each in found if each.kind is Parameter.KEYWORD_ONLY]
    assert all(each.default is not Parameter.empty for each in extras), "what is added may be left out"


@pytest.mark.parametrize("name", [name for name in CALLED if "returns" in DOCUMENTED[name]])
def test_a_member_says_that_it_returns_something(name: str) -> None:
    assert annotation(Task, name) not in {"None", "<class 'inspect._empty'>"}
    assert annotation(AsyncTask, name) == re.sub(r"\b(Artifact|Model)\b", r"Async\1", annotation(Task, name))


@pytest.mark.parametrize("name", READ)
def test_a_property_that_asks_the_home_is_pending_in_the_async_world(name: str) -> None:
    assert annotation(AsyncTask, name).startswith("Pending[") is DOCUMENTED[name].get("io", False)
    assert "Pending" not in annotation(Task, name)
