"""A run as a program of the official package records it: `python write.py PACKAGE PROJECT NAME OUTCOME`."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import numpy as np  # noqa: TID253  # this is a program of somebody else

package, project, name, outcome = sys.argv[1:]
Task = importlib.import_module(package).Task

task = Task.init(project, name, auto_connect_frameworks=False)
task.connect({"lr": 0.1, "net": {"width": 64, "name": "résnet"}})
logger = task.get_logger()
for step in range(100):
    logger.report_scalar("loss", "train", value=1 / (step + 1), iteration=step)
    logger.report_scalar("loss", "test", value=2 / (step + 1), iteration=step)
if hasattr(logger, "report_single_value"):
    logger.report_single_value("score", 0.75)
logger.report_text("reported text")
print("printed text")  # as above
logger.report_histogram("histogram", "bars", values=np.arange(5.0), iteration=3, xaxis="x", yaxis="y")
logger.report_scatter2d("scatter", "line", scatter=[[0, 1], [1, 2]], iteration=4)
task.upload_artifact("a dict", {"a": 1, "b": [1, 2]})
file = Path(outcome).with_name("some file.bin")
file.write_bytes(bytes(range(256)) * 20)
task.upload_artifact("a file", str(file))
task.set_comment("a comment")
task.connect_configuration({"k": 1})
task.flush(wait_for_uploads=True)
Path(outcome).write_text(json.dumps({"id": task.id, "page": task.get_output_log_web_page()}), encoding="utf-8")
task.close()
