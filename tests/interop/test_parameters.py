"""Parameters between atrains and the official packages: each reads what the other stored, typed, and runs what the other edited."""

from __future__ import annotations

import ast
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.interop.conftest import Peer, Place

pytestmark = pytest.mark.timeout(1200)  # a venv may have to be made first

STORED = {
    "n": 7, "rate": 1e-3, "flag": False, "text": "ünï [x]", "empty": "", "list": [1, None, "a"], "tuple": (1, "b"), "no list": [],
    "a.b": "dot", "ключ": 1, "nested": {"deep": {"x": 0.5}},
}  # fmt: skip
CODE = {
    "n": 1, "rate": 0.5, "flag": True, "text": "t", "empty": "e", "list": [0], "tuple": (0,), "no list": [0], "a.b": "d", "ключ": 0,
    "nested": {"deep": {"x": 1.5}},
}  # fmt: skip
EDITED = {"General/n": 8, "General/rate": "2e-3", "General/flag": True, "General/list": [2, 3], "General/nested/deep/x": 2}
AFTER = {**STORED, "n": 8, "rate": 0.002, "flag": True, "list": [2, 3], "nested": {"deep": {"x": 2.0}}}


@pytest.fixture(scope="module", params=["clearml", "trains"])
def peer(request: pytest.FixtureRequest) -> Peer:
    found: Peer = request.getfixturevalue(request.param)
    return found


def connect(place: Place, python: str | Path, package: str, values: Any, task: str | None = None) -> Any:
    """The task and the values of a script that connects these; with a task it is run as an agent does."""
    if task is not None:
        names = {"TASK_ID": task, "LOG_TASK_TO_BACKEND": "0"}
        agents = {prefix + name: value for prefix in ("CLEARML_", "TRAINS_") for name, value in names.items()}
        place = replace(place, variables={**place.variables, **agents})
    found = place.run(python, "parameters.py", package, f"by {package}", repr(values))
    return found["id"], ast.literal_eval(found["values"])


def same(found: Any, expected: Any) -> None:
    """Equal, in the same types."""
    assert found == expected
    assert repr(found) == repr(expected)


def test_it_reads_and_edits_what_atrains_stored_and_atrains_runs_it(peer: Peer, place: Place) -> None:
    task, values = connect(place, sys.executable, "atrains", STORED)
    same(values, STORED)
    found = place.run(peer.python, "edit_parameters.py", peer.package, task, json.dumps(EDITED))
    assert found["read"]["General/nested/deep/x"] == "0.5"
    assert found["read"]["General/text"] == "ünï [x]"
    if "cast" in found:
        cast = ast.literal_eval(found["cast"])
        flat = {name: value for name, value in STORED.items() if name != "nested"}
        assert {name: cast[f"General/{name}"] for name in flat} == flat
    again, values = connect(place, sys.executable, "atrains", CODE, found["clone"])
    assert again == found["clone"]
    same(values, AFTER)


def test_it_runs_what_atrains_stored(peer: Peer, place: Place) -> None:
    task, _ = connect(place, sys.executable, "atrains", STORED)
    again, values = connect(place, peer.python, peer.package, CODE, task)
    assert again == task
    same(values, STORED)


def test_atrains_runs_what_it_stored(peer: Peer, place: Place) -> None:
    task, _ = connect(place, peer.python, peer.package, STORED)
    again, values = connect(place, sys.executable, "atrains", CODE, task)
    assert again == task
    same(values, STORED)
