"""Read the parameters of a task, and edit those of a copy: `python edit_parameters.py PACKAGE ID VALUES OUTCOME`, VALUES being JSON."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

package, task_id, values, outcome = sys.argv[1:]
Task = importlib.import_module(package).Task
source = Task.get_task(task_id=task_id)
clone = Task.clone(source, name="edited")
clone.update_parameters(json.loads(values))
found = {"clone": clone.id, "read": dict(source.get_parameters())}
if package == "clearml":
    found["cast"] = repr(dict(source.get_parameters(cast=True)))
Path(outcome).write_text(json.dumps(found), encoding="utf-8")
