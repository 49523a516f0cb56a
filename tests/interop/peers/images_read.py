"""Images and media as a package reads them: `python images_read.py PACKAGE TASK OUTCOME`. The outcome is what is behind each address."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

from PIL import Image  # noqa: TID253  # this is a program of somebody else

package, task_id, outcome = sys.argv[1:]
module = importlib.import_module(package)
task = module.Task.get_task(task_id) if package == "atrains" else module.Task.get_task(task_id=task_id)

found = {}
for title, series in (
    ("array", "an / awkward: series"), ("floats", "s"), ("file", "s"), ("media", "s"), ("elsewhere", "s"), ("recycled", "s")
):  # fmt: skip
    found[title] = []
    for sample in task.get_debug_samples(title, series):
        content = None
        if title == "elsewhere":
            content = sample["url"]
        else:
            path = Path(module.StorageManager.get_local_copy(sample["url"]))
            if title == "media":
                content = path.read_text()
            else:
                with Image.open(path) as image:
                    pixel = image.convert("RGB").getpixel((1, 1))
                    content = [image.format, list(image.size), pixel]
        found[title].append([sample["iter"], content])
Path(outcome).write_text(json.dumps(found), encoding="utf-8")
