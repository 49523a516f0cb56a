"""The documentation is true: its snippets run, its links lead somewhere, the files it names exist, and its list of gaps is the real one.

A snippet is a block marked `python` in README.md or docs/*.md. Those of a page run in their order, each as a process of its own with
warnings as errors, in one fresh home and one folder that is empty at first: as a reader would try them. `<!-- not run -->` on the line
before a snippet leaves it out.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import unquote

import pytest

import atrains

ROOT: Final = Path(__file__).resolve().parents[2]
PAGES: Final = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
ARCHITECTURE: Final = ROOT / "docs" / "architecture.md"
DIFFERENCES: Final = ROOT / "docs" / "differences.md"
MEMBERS: Final = ROOT / "tests" / "surface" / "documented.toml"
"""The list of documented members; that those which it calls pending are missing is tested beside it."""
NOT_RUN: Final = "<!-- not run -->"

needs_checkout = pytest.mark.skipif(not (ROOT / "atrains").is_dir(), reason="the sources are not beside the pages")


class Snippet(NamedTuple):
    """A block of Python in a page."""

    page: Path
    line: int
    code: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def snippets(page: Path) -> Iterator[Snippet]:
    """The blocks of a page that are to be run."""
    lines = page.read_text(encoding="utf-8").splitlines()
    begin: int | None = None
    marked = ""
    for number, line in enumerate(lines):
        if begin is not None:
            if line.strip() == "```":
                code = "\n".join(lines[begin:number]) + "\n"
                if marked != NOT_RUN:
                    yield Snippet(page, begin + 1, code)
                begin, marked = None, ""
        elif line.strip() == "```python":
            begin = number + 1
        elif line.strip():
            marked = line.strip()


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_snippets_run(page: Path, tmp_path: Path) -> None:
    """Who copies the snippets of a page into files and runs them must not meet an error."""
    work = tmp_path / "work"
    work.mkdir()
    ours = ("ATRAINS_", "CLEARML_", "TRAINS_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    environment.update(HOME=str(tmp_path), USERPROFILE=str(tmp_path))
    package = str(Path(atrains.__file__).parents[1])
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [package, environment.get("PYTHONPATH")]))
    for snippet in snippets(page):
        # Blank lines before it: a traceback then names the line of the page.
        script = tmp_path / f"{page.stem}.py"
        script.write_text("\n" * (snippet.line - 1) + snippet.code, encoding="utf-8")
        command = [sys.executable, "-X", "faulthandler", "-W", "error", str(script)]
        done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, f"{snippet} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        # What goes wrong in a thread or at exit does not change the exit code.
        assert "Traceback" not in done.stderr, f"{snippet} printed an error\n{done.stderr}"


@needs_checkout
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_resolve(page: Path) -> None:
    """A link to another page or heading leads there."""
    targets = re.findall(r"\]\(([^)\s]+)\)|\]:\s*(\S+)$|(?:href|src)=\"([^\"]+)\"", prose(page), flags=re.MULTILINE)
    for target in filter(None, (text for found in targets for text in found)):
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        path, _, heading = target.partition("#")
        there = (page.parent / unquote(path)).resolve() if path else page
        assert there.exists(), f"{page.name} links to {target}, and there is no {there}"
        if heading:
            assert heading in anchors(there), f"{page.name} links to {target}, and {there.name} has no such heading: {anchors(there)}"


def anchors(page: Path) -> list[str]:
    """The names under which the headings of a page can be linked to, as GitHub makes them."""
    titles = re.findall(r"^#{1,6} +(.+?) *$", prose(page), flags=re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles]


@needs_checkout
def test_every_file_that_the_architecture_names_exists() -> None:
    """Who is sent to a file finds it, and in it the function that was named."""
    text = prose(ARCHITECTURE)
    named = set(re.findall(r"`((?:[\w.-]+/)*[\w.-]+\.(?:py|toml|md))`", text))
    assert len(named) > 30
    found = {name: next((path for path in (ROOT / "atrains" / name, ROOT / name) if path.is_file()), None) for name in named}
    assert not [name for name, path in found.items() if path is None]
    for name, member in re.findall(r"`([\w/.-]+\.py)` \(`(\w+)`\)", text):
        path = found[name]
        assert path is not None
        assert f"def {member}(" in path.read_text(encoding="utf-8"), f"architecture.md names {member} in {name}, and it is not there"


@needs_checkout
def test_every_layer_is_in_the_picture() -> None:
    """A new folder of the package needs a place in the picture."""
    picture = ARCHITECTURE.read_text(encoding="utf-8").partition("```mermaid")[2].partition("```")[0]
    folders = {path.parent.name for path in (ROOT / "atrains").glob("*/__init__.py")}
    assert folders == set(re.findall(r"<b>(\w+)/</b>", picture))


def test_the_list_of_missing_members_is_the_real_one() -> None:
    """Who looks up a documented member learns whether it is there."""
    text = DIFFERENCES.read_text(encoding="utf-8").partition("<!-- missing: begin -->")[2].partition("<!-- missing: end -->")[0]
    listed = re.findall(r"`(\w+)`", text)
    assert len(listed) == len(set(listed))
    lists = tomllib.loads(MEMBERS.read_text(encoding="utf-8"))
    missing = {name for members in lists.values() for name, member in members.items() if "pending" in member}
    assert not set(listed) - missing, "there now, and still listed in docs/differences.md as missing"
    assert not missing - set(listed), "missing, and not listed in docs/differences.md"
