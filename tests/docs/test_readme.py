"""The table of what there is, in README.md: each row says what a test shows, and leads to a page that says more."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Final, NamedTuple

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
README: Final = ROOT / "README.md"
SWITCHES: Final = {"skip", "xfail"}
"""Marks that leave a test out whatever the machine."""


class Row(NamedTuple):
    """A row of the table: what there is, where more is said, and the tests that show it as (file, function)."""

    feature: str
    page: str
    tests: list[tuple[str, str]]


def table() -> list[Row]:
    text = README.read_text(encoding="utf-8").partition("## What there is\n")[2].partition("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("|")][2:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [
        Row(feature, page, [(file, name) for name, file in re.findall(r"\[(\w+)\]\(([\w/.]+)\)", shown)]) for feature, page, shown in rows
    ]


ROWS: Final = table()


def is_switched_off(decorators: list[ast.expr]) -> bool:
    names = {node.attr for decorator in decorators for node in ast.walk(decorator) if isinstance(node, ast.Attribute)}
    return bool(names & SWITCHES)


def test_the_table_is_there_and_names_nothing_twice() -> None:
    assert len(ROWS) > 20
    named = [test for row in ROWS for test in row.tests]
    assert len(named) == len(set(named)), "one test that shows two rows shows one of them badly"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: re.sub(r"\W+", " ", row.feature).strip()[:40])
def test_each_row_has_a_page_and_tests_that_check_something(row: Row) -> None:
    """Who doubts a row can read, and run, what shows it: a test that pytest collects, that runs here, and that can fail."""
    assert re.fullmatch(r"\[[^\]]+\]\((docs/[\w/]+\.md)?(#[\w-]+)?\)", row.page), "a link to the page that says more"
    assert row.tests, "no test is named"
    for file, name in row.tests:
        path = ROOT / file
        assert re.fullmatch(r"tests/\w+/test_\w+\.py", file), f"{file} is not where pytest looks"
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name]
        assert len(found) == 1, f"{file} has no test {name}"
        assert not is_switched_off(found[0].decorator_list), f"{name} is left out"
        assert any(checks(node) for node in ast.walk(found[0])), f"{name} checks nothing"


def checks(node: ast.AST) -> bool:
    """Whether a failure may come of it: an assertion, an error that is raised or expected, or a function that asserts."""
    if isinstance(node, ast.Assert | ast.Raise):
        return True
    if not isinstance(node, ast.Call):
        return False
    called = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id if isinstance(node.func, ast.Name) else ""
    return called in {"raises", "check"} or called.startswith("assert_")
