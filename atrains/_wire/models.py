"""Models: what their records and those of tasks hold of them, in the layouts of all versions. Pure.

Server: from API 2.13 on a task lists its models in `models.input` and `models.output`; before that it has one of each, as `execution.model`
and `output.model`, and official clients note further input models as lines of the task's comment.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import unquote

from atrains._wire.artifacts import HOME_URL

Kind: TypeAlias = Literal["input", "output"]

PACKAGE: Final = "package"
"""The system tag of models of several files."""
EMPTY: Final = "empty"
"""The id of a model that is none."""
_USED: Final = "Using model id: "
_USED_LINE: Final = rf"(?im)^\s*{_USED}([0-9a-z_-]+)\s*$"
_OLD_PLACES: Final = {"input": ("execution", "Input Model"), "output": ("output", "Output Model")}
_BAD_IN_NAMES: Final = r"[\x00-\x1f\x7f\ud800-\udfff\\/]"


def entries_of(task: Mapping[str, Any], kind: Kind) -> list[dict[str, str]]:
    """The models that a task lists, in order, each once: their ids as `model`, and the names that they are listed under."""
    listed = [dict(entry) for entry in (task.get("models") or {}).get(kind) or () if entry.get("model")]
    place, name = _OLD_PLACES[kind]
    old = (task.get(place) or {}).get("model")
    found = [*listed, *([{"name": name, "model": old}] if old else [])]
    if kind == "input":
        found = [*found, *({"name": name, "model": model} for model in used_in(str(task.get("comment") or "")))]
    first: dict[str, dict[str, str]] = {}
    for entry in found:
        first.setdefault(entry["model"], entry)
    return list(first.values())


def used_in(comment: str) -> list[str]:
    """The input models that a task's comment names."""
    return re.findall(_USED_LINE, comment)


def without_used(comment: str) -> str:
    """A task's comment without the lines that name input models."""
    lines = comment.split("\n")
    kept = [line for line in lines if not used_in(line)]
    return comment if len(kept) == len(lines) else "\n".join(kept)


def with_used(comment: str, model: str) -> str:
    """A task's comment with a line that names an input model, as readers of every version look for it."""
    if model in used_in(comment):
        return comment
    return f"{comment}\n{_USED}{model}" if comment else f"{_USED}{model}"


def entry_name(task: Mapping[str, Any], kind: Kind, model: str, wanted: str) -> str:
    """The name to list a model under: the one that it has, else the wanted one, numbered where another model has it.

    Server: an entry takes the place of that with its name.
    """
    entries = (task.get("models") or {}).get(kind) or ()
    held = next((str(entry["name"]) for entry in entries if entry.get("model") == model and entry.get("name")), None)
    if held is not None:
        return held
    taken = {entry.get("name") for entry in entries}
    names = (wanted, *(f"{wanted} ({number})" for number in range(2, len(taken) + 3)))
    return next(name for name in names if name not in taken)


def stem_of(url: str) -> str:
    """What a model is listed as: the name of its weights file without the extension."""
    name = unquote(url.rstrip("/").rpartition("/")[2])
    return (PurePosixPath(name).stem or name or "model") if name not in {".", ".."} else "model"


def file_name(wanted: str) -> str:
    """The name of the stored file: as it is called, without what cannot be in a path."""
    name = re.sub(_BAD_IN_NAMES, "_", wanted)
    return name if name.strip(". ") else name.replace(".", "_") or "_"


def design_of(model: Mapping[str, Any]) -> str:
    """The configuration of a model as text. Clients keep it under `design`; anything else is the first that there is."""
    design = model.get("design") or {}
    return str(design.get("design", next(iter(design.values()), "")) or "")


def as_design(text: str) -> dict[str, str]:
    """The configuration of a model as it is stored."""
    return {"design": text}


def in_home(url: str, home: str) -> str:
    """A URL as it is recorded: relative to the home for a file in it. `home` is the path of the local home."""
    path = url.removeprefix("file://")
    return f"{HOME_URL}{path[len(home) + 1 :]}" if path.startswith(f"{home}/") else url


def inherited(task: Mapping[str, Any], *, design: str, labels: Mapping[str, int]) -> dict[str, Any]:
    """What a model takes from the task that makes it, where nothing else is said."""
    parents: Iterable[dict[str, str]] = (*entries_of(task, "output")[-1:], *entries_of(task, "input")[:1])
    return {
        "name": str(task.get("name") or "model"),
        "comment": f"Created by task id: {task['id']}",
        **({"design": as_design(design)} if design else {}),
        **({"labels": dict(labels)} if labels else {}),
        **({"project": task["project"]} if task.get("project") else {}),
        **next(({"parent": entry["model"]} for entry in parents), {}),
    }
