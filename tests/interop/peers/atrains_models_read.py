"""Models as a program of atrains reads them: `python atrains_models_read.py TASK OUTCOME`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from atrains import InputModel, Task

task_id, outcome = sys.argv[1:]
task = Task.get_task(task_id)
models = task.get_models()
output = models["output"][-1]
imported = InputModel.load_model("https://example.com/imported.onnx")
found = {
    "inputs": [model.id for model in models["input"]],
    "imported": None if imported is None else [imported.id, imported.labels],
    "output": {
        "id": output.id, "name": output.name, "labels": output.labels, "config": output.config_text, "tags": output.tags,
        "framework": output.framework, "published": output.published, "comment": output.comment,
        "weights": Path(output.get_weights(raise_on_error=True)).read_bytes().hex(),
    },
}  # fmt: skip
Path(outcome).write_text(json.dumps(found), encoding="utf-8")
