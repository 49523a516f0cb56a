"""Images and media by any of the packages: `python images_write.py PACKAGE PROJECT NAME OUTCOME`."""

from __future__ import annotations

import importlib
import io
import json
import sys
from pathlib import Path

import numpy as np  # noqa: TID253  # this is a program of somebody else
from PIL import Image  # noqa: TID253

package, project, name, outcome = sys.argv[1:]
Task = importlib.import_module(package).Task
options = {} if package == "atrains" else {"auto_connect_frameworks": False, "auto_resource_monitoring": False}

task = Task.init(project, name, **options)
log = task.get_logger()
file = Path(outcome).with_name("a file.png")
Image.new("RGB", (6, 4), (10, 200, 30)).save(file)
log.report_image("array", "an / awkward: series", iteration=3, image=np.full((16, 16), 128, np.uint8))
log.report_image("floats", "s", iteration=3, image=np.full((16, 16, 3), 0.5))
log.report_image("file", "s", iteration=3, local_path=str(file))
log.report_media("media", "s", iteration=3, stream=io.BytesIO(b"RIFF of a kind"), file_extension="wav")
log.report_image("elsewhere", "s", iteration=3, url="https://example.com/a/b.png?x=1")
for step in range(4):
    log.report_image("recycled", "s", iteration=step, image=np.full((8, 8), 60 * step, np.uint8), max_image_history=2)
    task.flush(wait_for_uploads=True)
task.close()
Path(outcome).write_text(json.dumps({"id": task.id}), encoding="utf-8")
