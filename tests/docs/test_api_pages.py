"""The pages of docs/api are true: each documented member has its place in one of them.

It stands there with the signature that it has, an example that runs in both homes, and the calls that it makes at a server.

A page is one program: its blocks marked `python` run in their order, in one process and one namespace. A heading of the second level names
one or more members of `Task`, as they are called. The line `Calls:` under it names what the examples of that section send to a server, but
for what goes on in the background of any run.
"""

from __future__ import annotations

import ast
import inspect
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

import atrains
from atrains import Task
from atrains.testing import RunningServer

ROOT: Final = Path(__file__).resolve().parents[2]
PAGES: Final = sorted((ROOT / "docs" / "api").glob("*.md"))
SURFACE: Final = ROOT / "tests" / "surface" / "documented.toml"
BACKGROUND: Final = frozenset({"auth.login", "events.add_batch", "tasks.ping"})
"""Calls that any run makes beside those of its members."""
PROGRAM: Final = {"force", "script", "runtime", "task"}
"""What else any run sends, with `tasks.edit`, and then `tasks.set_requirements`: what its program is made of."""
OWNERS: Final = {"Task": Task, "task": Task, "atrains": atrains, "StorageManager": atrains.StorageManager}
_CODE: Final = re.compile(r"^```python\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)


class Section(NamedTuple):
    """What a page says of some members that belong together."""

    page: Path
    line: int
    signatures: tuple[str, ...]
    code: str
    calls: tuple[str, ...] | None

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def sections(page: Path) -> Iterator[Section]:
    """The parts of a page: what stands before its first heading of the second level, and those headings."""
    text = page.read_text(encoding="utf-8")
    begins = [0, *(found.start() for found in re.finditer(r"^## ", text, flags=re.MULTILINE)), len(text)]
    for begin, end in pairwise(begins):
        part = text[begin:end]
        heading = part.partition("\n")[0]
        line = text.count("\n", 0, begin) + 1
        found = re.search(r"^Calls: (.*?)(?:\n\n|\Z)", part, flags=re.MULTILINE | re.DOTALL)
        calls = None if found is None else tuple(re.findall(r"`([a-z_]+\.[a-z_]+)`", found[1]))
        code, at = "", 0
        for block in _CODE.finditer(part):  # blank lines before each: a traceback then names the line of the page
            before = part.count("\n", 0, block.start(1))
            code += "\n" * (before - at) + block[1]
            at = before + block[1].count("\n")
        signatures = tuple(re.findall(r"`([^`]+)`", heading)) if heading.startswith("## ") else ()
        yield Section(page, line, signatures, code, calls)


def is_of_the_program(endpoint: str, body: Any) -> bool:
    """Whether a request records the program of a run, or asks whether somebody stopped it, which happens at any time."""
    if endpoint == "tasks.get_all":
        return bool(body.get("only_fields") == ["status", "status_message"])
    return endpoint == "tasks.set_requirements" or (endpoint == "tasks.edit" and {"script"} <= set(body) <= PROGRAM)


def name_of(signature: str) -> str:
    """The member that a heading shows: `get_task` of `Task.get_task(task_id=None)`."""
    return signature.partition("(")[0].split(".")[-1]


def documented() -> dict[str, Any]:
    """The members of the documentation that are there."""
    members: dict[str, Any] = tomllib.loads(SURFACE.read_text(encoding="utf-8"))["documented"]
    return {name: member for name, member in members.items() if not member.get("pending")}


def test_each_member_has_one_place() -> None:
    """Who looks a member up finds it, once."""
    signatures = [signature for page in PAGES for section in sections(page) for signature in section.signatures]
    shown = [signature.partition("(")[0].replace("task.", "Task.", 1) for signature in signatures]
    assert len(shown) == len(set(shown)), sorted(name for name in shown if shown.count(name) > 1)
    missing = sorted(set(documented()) - {name_of(signature) for signature in signatures})
    assert not missing, missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_signatures_are_the_real_ones(page: Path) -> None:
    """What a heading shows is how it is called: names, order and defaults."""
    for section in sections(page):
        for shown in section.signatures:
            owner: Any = OWNERS[shown.partition("(")[0].rpartition(".")[0]]
            member = inspect.getattr_static(owner, name_of(shown)) if inspect.isclass(owner) else getattr(owner, name_of(shown))
            if isinstance(member, property) or inspect.isclass(member):
                assert "(" not in shown, f"{section}: {shown} is not called"
                continue
            function = member.__func__ if isinstance(member, classmethod | staticmethod) else member
            assert _arguments(shown) == list(_real_arguments(function)), f"{section}: {shown}"


def _arguments(shown: str) -> list[str]:
    """The arguments in a heading, one text each, blanks taken out."""
    call = ast.parse(f"def f({shown.partition('(')[2].removesuffix(')')}): ...").body[0]
    assert isinstance(call, ast.FunctionDef)
    given = call.args
    positional = [*given.posonlyargs, *given.args]
    defaults: list[ast.expr | None] = [*[None] * (len(positional) - len(given.defaults)), *given.defaults]
    found = [_shown(each.arg, default) for each, default in zip(positional, defaults, strict=True)]
    found += [f"*{given.vararg.arg}"] if given.vararg else ["*"] if given.kwonlyargs else []
    found += [_shown(each.arg, default) for each, default in zip(given.kwonlyargs, given.kw_defaults, strict=True)]
    return [*found, *([f"**{given.kwarg.arg}"] if given.kwarg else [])]


def _shown(name: str, default: ast.expr | None) -> str:
    return name if default is None else f"{name}={ast.unparse(default)}"


def _real_arguments(function: Any) -> Iterator[str]:
    star = False
    for each in inspect.signature(function).parameters.values():
        if each.name in {"self", "cls"}:
            continue
        if each.kind is each.KEYWORD_ONLY and not star:
            yield "*"
            star = True
        if each.kind is each.VAR_POSITIONAL:
            star = True
            yield f"*{each.name}"
        elif each.kind is each.VAR_KEYWORD:
            yield f"**{each.name}"
        else:
            yield each.name if each.default is each.empty else f"{each.name}={_as_shown(each.default)}"


def _as_shown(default: object) -> str:
    """A default as the pages write it: a member of an enumeration by its plain name."""
    if isinstance(default, tuple):
        return ast.unparse(ast.parse(f"({''.join(_as_shown(item) + ', ' for item in default)})", mode="eval"))
    return repr(str(default)) if isinstance(default, str) else ast.unparse(ast.parse(repr(default), mode="eval"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_run_on_the_local_home(page: Path, tmp_path: Path) -> None:
    """Who copies a page into a script runs it, with nothing set up."""
    work = tmp_path / "work"
    work.mkdir()
    script = tmp_path / f"{page.stem}.py"
    code, at = "", 1
    for section in sections(page):
        code += "\n" * (section.line - at) + section.code
        at = section.line + section.code.count("\n")
    script.write_text(code, encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ATRAINS_", "CLEARML_", "TRAINS_"))}
    package = str(Path(atrains.__file__).parents[1])
    environment |= {"HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(filter(None, [package, environment.get("PYTHONPATH")]))}
    command = [sys.executable, "-X", "faulthandler", "-W", "error", str(script)]
    done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{page.name}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_calls_are_the_real_ones(page: Path, atrains_server: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a section says is sent to a server is what its examples send."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.delenv("ATRAINS_API_HOST")
    for name, value in atrains_server.environment.items():
        monkeypatch.setenv(name, value)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for section in sections(page):
        before = len(atrains_server.requests)
        exec(compile("\n" * (section.line - 1) + section.code, str(page), "exec"), namespace)  # our own pages
        requests = atrains_server.requests[before:]
        of_members = (endpoint for endpoint, _, body in requests if not is_of_the_program(endpoint, body))
        sent = dict.fromkeys(endpoint for endpoint in of_members if endpoint not in BACKGROUND)
        if section.signatures:
            assert section.calls is not None, f"{section} does not say which calls it makes"
            assert sorted(section.calls) == sorted(sent), f"{section}: {', '.join(f'`{call}`' for call in sent)}"
