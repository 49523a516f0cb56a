"""Models as a program of atrains stores them: `python atrains_models_write.py NAME OUTCOME`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from atrains import InputModel, OutputModel, Task

name, outcome = sys.argv[1:]
task = Task.init("interop/models", name)
weights = Path(outcome).with_name("weights.pt")
weights.write_bytes(bytes(range(256)) * 20)
used = InputModel.import_model("https://example.com/used.onnx", name="a used one", create_as_published=True)
task.connect(used)
model = OutputModel(task, "layers = 3", None, {"cat": 1}, "made by us", ["best"])
model.update_weights(weights, update_comment=False)
Path(outcome).write_text(json.dumps({"id": task.id, "model": model.id, "used": used.id}), encoding="utf-8")
task.close()
