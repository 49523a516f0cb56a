"""Whether the conformance suite notices a member that does nothing: `python tests/surface/mutants.py [member ...]`.

Each public member of a task in turn gets the body `return None`, and the conformance cases that name it are run, in every home and both
worlds. A member survives in a home where none of them fails. The members are replaced by `mutate`, which the `conftest.py` of the
conformance tests calls for the member that the variable `ATRAINS_TEST_MUTANT` names.
"""

from __future__ import annotations

import ast
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, Final

MUTANT: Final = "ATRAINS_TEST_MUTANT"
ROOT: Final = Path(__file__).resolve().parents[2]
CASES: Final = ROOT / "tests" / "conformance"
INNER: Final = {"open", "end", "known_project_name", "begun_here", "reported_as"}
"""What no user calls: public among the modules of the package only."""
FIRST: Final = 2
"""Cases that are tried at first, the shortest; all of them only where a member survives those."""


def members() -> list[str]:
    """The public members of a task, in either world, that have a body."""
    from atrains import AsyncTask, Task

    names = {name for kind in (AsyncTask, Task) for name in dir(kind) if not name.startswith("_")}
    return sorted(name for name in names - INNER if not isinstance(inspect.getattr_static(Task, name, None), type))


def mutate(name: str) -> None:
    """Give a member the body `return None`: on AsyncTask, which Task is generated from, and where it was written by hand for Task."""
    from atrains import AsyncTask, Task

    found = False
    for kind in (AsyncTask, Task):
        member = inspect.getattr_static(kind, name, None)
        written_by_hand = kind is AsyncTask or (member is not None and name not in vars(Task))
        if member is not None and written_by_hand:
            setattr(kind, name, _without_body(member))
            found = True
    if not found:
        raise SystemExit(f"{name} is no member of a task")


def _without_body(member: Any) -> Any:
    function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
    empty = _empty(function)
    if hasattr(function, "__wrapped__"):  # what warns of its deprecation is called without the warning, too
        empty.__wrapped__ = _empty(function)
    return type(member)(empty) if isinstance(member, property | classmethod | staticmethod) else empty


def _empty(function: Any) -> Any:
    async def later(*args: object, **kwargs: object) -> None:
        return None

    def now(*args: object, **kwargs: object) -> None:
        return None

    return later if inspect.iscoroutinefunction(inspect.unwrap(function)) else now


@cache
def _all_cases() -> tuple[tuple[str, str], ...]:
    """Every conformance case and its text, the shortest first."""
    cases = []
    for path in sorted(CASES.glob("test_*.py")):
        text = path.read_text(encoding="utf-8")
        for node in ast.parse(text).body:
            if isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef) and node.name.startswith("test_"):
                begin = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                body = "\n".join(text.splitlines()[begin - 1 : node.end_lineno])
                cases.append((f"{path.relative_to(ROOT)}::{node.name}", body))
    return tuple(sorted(cases, key=lambda case: len(case[1])))


def cases_of(name: str) -> list[str]:
    """The conformance cases that use a member, or else those that name it as text."""
    for mention in (rf"\.{name}\b", rf"""["']{name}["']"""):
        if found := [case for case, body in _all_cases() if re.search(mention, body)]:
            return found
    return []


def run(cases: Iterable[str], mutant: str | None = None) -> dict[str, str]:
    """Run conformance cases, perhaps on a member without its body: PASSED or FAILED, by the case with its home and world."""
    command = [sys.executable, "-m", "pytest", "-q", "--tb=no", "-p", "no:cacheprovider", "-rA", "--timeout=60", *cases]
    variables = {**os.environ, **({} if mutant is None else {MUTANT: mutant})}
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)
    if done.returncode not in {0, 1}:
        raise RuntimeError(f"{mutant}: pytest ended with {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return {found[2]: found[1] for found in re.finditer(r"^(PASSED|FAILED) (\S+?\[.*?\])(?: - .*)?$", done.stdout, re.MULTILINE)}


def survives(name: str, cases: list[str], sound: set[str]) -> list[str]:
    """The homes and worlds in which none of some sound cases fails on a member without its body."""
    outcomes: dict[str, set[str]] = {}
    for case, outcome in run(cases, name).items():
        if case in sound:
            words = case.partition("[")[2].rstrip("]").split("-")
            home = next(home for home in ("process", "served", "given") if home in words)
            outcomes.setdefault(f"{home} {'blocking' if 'blocking' in words else 'async'}", set()).add(outcome)
    return sorted(place for place, seen in outcomes.items() if "FAILED" not in seen) if outcomes else ["no sound case names it"]


def passing(cases: Iterable[str]) -> set[str]:
    """Those of some cases that pass as they are, with home and world: only they can tell anything."""
    return {case for case, outcome in run(cases).items() if outcome == "PASSED"}


def main(wanted: list[str]) -> int:
    """Try the members; 1 when one survives."""
    names = wanted or members()
    cases = {name: cases_of(name) for name in names}
    sound = passing({case for name in names for case in cases[name][:FIRST]})
    survivors = []
    for name in names:
        left = survives(name, cases[name][:FIRST], sound) if cases[name] else ["no case names it"]
        if left and len(cases[name]) > FIRST:
            left = survives(name, cases[name], passing(cases[name]))
        print(f"{name}: {'killed' if not left else 'survives: ' + ', '.join(left)}", flush=True)
        if left:
            survivors.append(name)
    print(f"{len(names) - len(survivors)} of {len(names)} members: killed; survivors: {', '.join(survivors) or 'none'}")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main(sys.argv[1:]))
