"""Models as a program of the official package reads them: `python models_read.py PACKAGE TASK OUTCOME`."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

package, task_id, outcome = sys.argv[1:]
top = importlib.import_module(package)
task = top.Task.get_task(task_id=task_id)
data = task.data
if package == "clearml":
    models = task.get_models()
    inputs, output = [model.id for model in models["input"]], models["output"][-1]
else:  # whose list of models needs an older Python
    inputs, output = [data.execution.model], top.Model(data.output.model)
found = {
    "inputs": inputs,
    "output": {
        "id": output.id, "name": output.name, "labels": output.labels, "config": output.config_text, "tags": list(output.tags),
        "framework": str(output.framework), "published": output.published, "comment": output.comment,
        "weights": Path(output.get_weights()).read_bytes().hex(),
    },
}  # fmt: skip
Path(outcome).write_text(json.dumps(found), encoding="utf-8")
