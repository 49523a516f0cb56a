"""Arguments of argparse between atrains and the official client: each reads what the other stored, and runs what was edited there."""

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

LINE = ["--rate", "0.5", "--layers", "1", "2", "--half", "train", "--momentum", "0.5"]
PARSED = {
    "rate": 0.5, "epochs": 3, "name": "sgd", "text": None, "layers": [1, 2], "half": True, "plain": 5, "command": "train", "momentum": 0.5,
}  # fmt: skip
STORED = {
    "rate": "0.5", "epochs": "3", "name": "sgd", "text": "", "layers": "[1, 2]", "half": "True", "plain": "5", "command": "train",
    "momentum": "0.5", "split": "a",
}  # fmt: skip
EDITED = {"Args/rate": 0.25, "Args/name": "adam", "Args/layers": [3, 4, 5], "Args/half": False, "Args/momentum": 0.125, "Args/text": "x"}
AFTER = {**PARSED, "rate": 0.25, "name": "adam", "layers": [3, 4, 5], "half": False, "momentum": 0.125, "text": "x"}


def parse(place: Place, python: str | Path, package: str, line: list[str], task: str | None = None) -> Any:
    """The task and the values of a script that parses these; with a task it is run as an agent does."""
    if task is not None:
        names = {"TASK_ID": task, "LOG_TASK_TO_BACKEND": "0"}
        agents = {prefix + name: value for prefix in ("CLEARML_", "TRAINS_") for name, value in names.items()}
        place = replace(place, variables={**place.variables, **agents})
    found = place.run(python, "arguments.py", package, f"by {package}", json.dumps(line))
    return found["id"], ast.literal_eval(found["values"])


def same(found: Any, expected: Any) -> None:
    """Equal, in the same types."""
    assert found == expected
    assert repr(sorted(found.items())) == repr(sorted(expected.items()))


def test_clearml_reads_and_edits_what_atrains_stored_and_atrains_runs_it(clearml: Peer, place: Place) -> None:
    task, values = parse(place, sys.executable, "atrains", LINE)
    same(values, PARSED)
    found = place.run(clearml.python, "edit_parameters.py", "clearml", task, json.dumps(EDITED))
    assert found["read"] == {f"Args/{name}": text for name, text in STORED.items()}
    cast = ast.literal_eval(found["cast"])
    assert {name: cast[f"Args/{name}"] for name in ("rate", "epochs", "name", "half")} == {
        "rate": 0.5,
        "epochs": 3,
        "name": "sgd",
        "half": True,
    }
    again, values = parse(place, sys.executable, "atrains", [], found["clone"])
    assert again == found["clone"]
    same(values, AFTER)


def test_clearml_runs_what_atrains_stored(clearml: Peer, place: Place) -> None:
    task, _ = parse(place, sys.executable, "atrains", LINE)
    again, values = parse(place, clearml.python, "clearml", ["train"], task)  # which starts no command by itself
    assert again == task
    same({name: value for name, value in values.items() if name != "split"}, PARSED)  # it adds what belongs to other commands


def test_atrains_runs_what_clearml_stored(clearml: Peer, place: Place) -> None:
    task, _ = parse(place, clearml.python, "clearml", LINE)
    again, values = parse(place, sys.executable, "atrains", [], task)
    assert again == task
    same(values, PARSED)
