"""docs/configuration.md names every setting, key and variable that the code reads, and no others; its defaults are the real ones."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from atrains._config import HttpSettings, JournalSettings, Settings, TaskSettings, load_settings
from atrains._config.settings import Timeout

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
ROWS: Final = {row[0].strip("` "): row for line in PAGE.splitlines() if line.startswith("| `") and len(row := line.split("|")[1:-1]) == 5}
SOURCES: Final = [ROOT / "atrains" / "_config" / name for name in ("load.py", "hocon.py")] + [ROOT / "atrains" / "cli" / "serve.py"]
NOT_SET_BY_USERS: Final = {"sources", "target.source"}

pytestmark = pytest.mark.skipif(not SOURCES[0].is_file(), reason="the sources are not beside the pages")


def calls() -> Iterator[ast.Call]:
    for path in SOURCES:
        yield from (node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call))


def texts(node: ast.AST) -> list[str]:
    found = [part.value for part in ast.walk(node) if isinstance(part, ast.Constant) and isinstance(part.value, str)]
    if isinstance(node, ast.Tuple) and any(isinstance(part, ast.JoinedStr) for part in node.elts):
        return [f"sdk.development.worker{text}" for text in found]  # the one prefix that `load` keeps in a constant
    return found


def read(argument: str) -> set[str]:
    """What the code asks for by an argument of `Layers.find`."""
    return {text for call in calls() for keyword in call.keywords if keyword.arg == argument for text in texts(keyword.value)}


def leaves(value: Any, path: str = "") -> Iterator[str]:
    for field in value._fields:
        inner = getattr(value, field)
        name = f"{path}.{field}".strip(".")
        if hasattr(inner, "_fields") and not isinstance(inner, Timeout):
            yield from leaves(inner, name)
        else:
            yield name


def in_code(column: int) -> set[str]:
    return {text for row in ROWS.values() for text in re.findall(r"`([^`]+)`", row[column])}


def variables() -> set[str]:
    called = {texts(call)[0] for call in calls() if isinstance(call.func, ast.Attribute) and call.func.attr == "first" and texts(call)}
    own = {texts(call)[0] for call in calls() if isinstance(call.func, ast.Attribute) and call.func.attr == "own" and texts(call)}
    return read("suffix") | called | {f"ATRAINS_{name}" for name in read("own") | own} | read("shared")


def test_every_setting_has_a_row(tmp_path: Path) -> None:
    settings: Settings = load_settings({"HOME": str(tmp_path)})
    assert set(leaves(settings)) - NOT_SET_BY_USERS <= set(ROWS)
    assert set(ROWS) - set(leaves(settings)) == {"api.proxy"}


def test_every_key_is_named_and_no_other() -> None:
    assert read("keys") == in_code(1)


def test_every_variable_is_named() -> None:
    missing = {name for name in variables() if f"`{name}`" not in PAGE}
    assert not missing
    assert in_code(2) <= variables()


@pytest.mark.parametrize(
    ("path", "settings"),
    [("api.http", HttpSettings()), ("journal", JournalSettings()), ("task", TaskSettings())],
    ids=lambda value: str(value)[:8],
)
def test_the_defaults_are_the_real_ones(path: str, settings: Any) -> None:
    for field in settings._fields:
        value, shown = getattr(settings, field), ROWS[f"{path}.{field}"][3].strip(" `")
        if isinstance(value, bool):
            assert shown == ("yes" if value else "no")
        elif isinstance(value, str | int | float):
            assert shown == str(value)
