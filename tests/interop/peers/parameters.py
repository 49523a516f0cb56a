"""A script that connects a dictionary: `python parameters.py PACKAGE NAME VALUES OUTCOME`, VALUES being Python. By any of the packages.

What it goes on with is its outcome; of a task that is given in the environment these are the values of the task.
"""

from __future__ import annotations

import ast
import importlib
import json
import sys
from pathlib import Path

package, name, values, outcome = sys.argv[1:]
Task = importlib.import_module(package).Task
options = {} if package == "atrains" else {"auto_connect_frameworks": False}
task = Task.init("interop/parameters", name, reuse_last_task_id=False, **options)
connected = task.connect(ast.literal_eval(values))
task.flush()
found = {"id": task.id, "values": repr(dict(connected))}
task.close()
Path(outcome).write_text(json.dumps(found), encoding="utf-8")
