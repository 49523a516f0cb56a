"""What programs do with tasks beyond recording a run: `python beyond.py PACKAGE ID OUTCOME`. clearml only."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

package, task_id, outcome = sys.argv[1:]
Task = importlib.import_module(package).Task

source = Task.get_task(task_id=task_id)
found = {"by name": [task.id for task in Task.get_tasks(project_name=source.get_project_name(), task_name=source.name)]}

clone = Task.clone(source, name="a clone")
found["clone"] = [str(clone.status), clone.parent, dict(clone.get_parameters()), list(clone.artifacts)]
clone.set_parameter("General/lr", 3)
clone.delete_parameter("General/net/width")
clone.set_user_properties(owner="somebody")
clone.set_tags(["one", "two"])
found["edited"] = [dict(clone.get_parameters()), clone.get_user_properties(value_only=True), sorted(clone.get_tags())]
found["by tag"] = Task.query_tasks(project_name=source.get_project_name(), tags=["one"])
clone.set_archived(True)
found["archived"] = "archived" in clone.get_system_tags()
clone.mark_started(force=True)
clone.mark_failed(force=True, status_reason="why")
clone.reload()
found["failed"] = [str(clone.status), clone.data.status_reason]
clone.reset(force=True)
found["reset"] = str(clone.get_status())
found["deleted"] = bool(clone.delete())
found["left"] = [task.id for task in Task.get_tasks(task_ids=[task_id])]

other = Task.create(project_name="interop/beyond", task_name="not run")
other.get_logger().report_scalar("a", "b", 1, 1)
other.flush(wait_for_uploads=True)
other.close()
found["created"] = str(Task.get_task(task_id=other.id).get_status())
Path(outcome).write_text(json.dumps(found), encoding="utf-8")
