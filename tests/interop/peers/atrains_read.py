"""A task as atrains reads it: `python atrains_read.py ID OUTCOME`. From the home or from a server, as the environment says."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from atrains import Task

task_id, outcome = sys.argv[1:]
task = Task.get_task(task_id)
assert task is not None
parameters: dict[str, object] = {}


def flatten(level: dict[str, object], path: str) -> None:
    for name, value in level.items():
        if isinstance(value, dict):
            flatten(value, f"{path}{name}/")
        else:
            parameters[path + name] = value


flatten(dict(task.get_parameters_as_dict()), "")
found = {
    "id": task.id,
    "name": task.name,
    "status": str(task.status),
    "parameters": parameters,
    "scalars": {
        title: {series: [curve["x"], curve["y"]] for series, curve in curves.items()}
        for title, curves in task.get_reported_scalars().items()
        if not title.startswith(":")
    },
    "single_values": task.get_reported_single_values(),
    "console": "\n".join(task.get_reported_console_output(1000)),
    "files": {key: Path(artifact.get_local_copy()).read_bytes().hex() for key, artifact in task.artifacts.items()},
    "dict": task.artifacts["a dict"].get(),
    "comment": task.data.get("comment"),
}
Path(outcome).write_text(json.dumps(found), encoding="utf-8")
