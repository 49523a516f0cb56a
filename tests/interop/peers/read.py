"""A task as the official package reads it: `python read.py PACKAGE ID OUTCOME`. The outcome is what `read_atrains.py` writes as well."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

package, task_id, outcome = sys.argv[1:]
Task = importlib.import_module(package).Task

task = Task.get_task(task_id=task_id)
files = {key: Path(artifact.get_local_copy()).read_bytes().hex() for key, artifact in task.artifacts.items()}
found = {
    "id": task.id,
    "name": task.name,
    "status": str(task.status),
    "parameters": dict(task.get_parameters()),
    "scalars": {
        title: {series: [curve["x"], curve["y"]] for series, curve in curves.items()}
        for title, curves in task.get_reported_scalars().items()
        if not title.startswith(":monitor:")
    },
    "console": "\n".join(task.get_reported_console_output(1000)),
    "files": files,
    "comment": task.comment,
}
if package == "clearml":
    found["exact"] = {
        title: {series: [curve["x"], curve["y"]] for series, curve in curves.items()}
        for title, curves in task.get_all_reported_scalars().items()
        if not title.startswith((":monitor:", "Summary"))
    }
    found["single_values"] = task.get_reported_single_values()
    found["plots"] = sorted([plot["metric"], plot["variant"], plot["iter"]] for plot in task.get_reported_plots())
    found["dict"] = task.artifacts["a dict"].get() if "a dict" in task.artifacts else None
Path(outcome).write_text(json.dumps(found), encoding="utf-8")
