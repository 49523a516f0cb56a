"""docs/reporting.md has a snippet and a picture for each method that reports. That the snippets run is tested with those of other pages."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from atrains import Logger

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "reporting.md"
LARGEST: Final = 40 << 10
"""Bytes of one picture at most: they are in the repository for ever."""
METHODS: Final = sorted(name for name in dir(Logger) if name.startswith("report_"))


def part_of(name: str) -> str:
    """What the page says of a method."""
    found = re.search(rf"^### {name}\n(.*?)(?=^##|\Z)", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert found is not None, f"docs/reporting.md has no heading `### {name}`"
    return found[1]


@pytest.mark.parametrize("name", METHODS)
def test_each_method_has_a_snippet_that_calls_it_and_a_picture(name: str) -> None:
    part = part_of(name)
    snippets = re.findall(r"^```python\n(.*?)^```$", part, re.MULTILINE | re.DOTALL)
    assert any(f".{name}(" in snippet for snippet in snippets)
    assert f"(pictures/{name}.png)" in part


def test_each_picture_is_small_and_shown() -> None:
    """One that nobody sees, or a large one, would be in the repository for nothing."""
    shown = set(re.findall(r"\(pictures/([\w.]+)\)", PAGE.read_text(encoding="utf-8")))
    pictures = list((PAGE.parent / "pictures").iterdir())
    assert {path.name for path in pictures} == shown
    for path in pictures:
        assert path.read_bytes().startswith(b"\x89PNG")
        assert path.stat().st_size < LARGEST, path


def test_the_page_names_no_method_that_is_not_there() -> None:
    headings = re.findall(r"^### (\w+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(headings) == METHODS
