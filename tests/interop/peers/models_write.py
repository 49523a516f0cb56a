"""Models as a program of the official package stores them: `python models_write.py PACKAGE NAME INPUT OUTCOME`."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

package, name, used, outcome = sys.argv[1:]
top = importlib.import_module(package)

task = top.Task.init("interop/models", name, auto_connect_frameworks=False, output_uri=True if package == "clearml" else None)
if package == "trains":
    from trains.storage import StorageManager  # its own way to the file server

    task.output_uri = StorageManager.get_files_server()
weights = Path(outcome).with_name("weights.pt")
weights.write_bytes(bytes(range(256)) * 20)
task.connect(top.InputModel(used))
imported = []
if package == "clearml":  # that of trains 0.16.4 asks for an attribute that its own class does not have
    url = "https://example.com/imported.onnx"
    imported = [top.InputModel.import_model(url, name="imported by a peer", label_enumeration={"dog": 1}).id]
    imported.append(top.InputModel.import_model(url).id)
model = top.OutputModel(
    task, label_enumeration={"cat": 1}, config_text="layers = 3", name="made by a peer", tags=["best"], framework="PyTorch"
)
model.update_weights(str(weights), auto_delete_file=False)
task.flush(wait_for_uploads=True)
model.wait_for_uploads()
found = {"id": task.id, "model": model.id, "imported": imported}
Path(outcome).write_text(json.dumps(found), encoding="utf-8")
task.close()
