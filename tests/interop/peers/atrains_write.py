"""A run as atrains records it: `python atrains_write.py PROJECT NAME OUTCOME`. To the home or to a server, as the environment says."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from atrains import Task

project, name, outcome = sys.argv[1:]
file = Path(outcome).with_name("some file.bin")
file.write_bytes(bytes(range(256)) * 20)

with Task.init(project, name) as task:
    task.connect({"lr": 0.1, "net": {"width": 64, "name": "résnet"}})
    logger = task.get_logger()
    for step in range(100):
        logger.report_scalar("loss", "train", value=1 / (step + 1), iteration=step)
        logger.report_scalar("loss", "test", value=2 / (step + 1), iteration=step)
    logger.report_single_value("score", 0.75)
    logger.report_text("reported text", print_console=False)
    print("printed text")
    print("100%\r", end="")
    print("printed last", file=sys.stderr)
    task.upload_artifact("a dict", {"a": 1, "b": [1, 2]})
    task.upload_artifact("a file", file)
Path(outcome).write_text(json.dumps({"id": task.id}), encoding="utf-8")
