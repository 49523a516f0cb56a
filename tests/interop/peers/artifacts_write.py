"""Artifacts of every kind as a package stores them: `python artifacts_write.py PACKAGE PROJECT NAME OUTCOME`."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import numpy as np  # noqa: TID253  # this is a program of somebody else
import pandas as pd  # noqa: TID253  # as above
from PIL import Image  # noqa: TID253  # as above

package, project, name, outcome = sys.argv[1:]
Task = importlib.import_module(package).Task
Path("out").mkdir()
Path("out", "a.txt").write_text("A")
Path("out", "b.csv").write_text("1,2")
Path("file é.bin").write_bytes(bytes(range(256)))

task = Task.init(project, name) if package == "atrains" else Task.init(project, name, auto_connect_frameworks=False)
for key, thing in (
    ("dict", {"a": 1, "b": [1, 2], "ü": None}),
    ("text", "some text\nof two lines"),
    ("file", Path("file é.bin")),
    ("folder", Path("out")),
    ("wildcard", str(Path("out", "*.csv"))),
    ("array", np.arange(12.0).reshape(3, 4)),
    ("a/b array", np.arange(3)),
    ("frame", pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}, index=["one", "two"])),
    ("image", Image.new("RGB", (4, 3), (10, 20, 30))),
    ('awkward "name" %20;=', {"x": 1}),
):
    assert task.upload_artifact(key, thing, metadata={"owner": "me"}), key
table = pd.DataFrame({"c": [1, 2], "d": ["x", "y"]}, index=["one", "two"])
task.register_artifact("registered", table, metadata={"owner": "me"})
table.loc["two", "d"] = "z"
if package == "atrains":
    task.upload_artifact("pickle", {1, 2}, auto_pickle=True)
    task.upload_artifact("list", [1, "two"])
    task.upload_artifact("bytes", b"\0\1")
else:
    task.upload_artifact("pickle", {1, 2})
    task.upload_artifact("list", [1, "two"])
if package == "clearml":
    task.upload_artifact("parquet", pd.DataFrame({"a": [1, 2]}), extension_name=".parquet")
    task.upload_artifact("yaml", {"a": [1]}, extension_name=".yaml")
    task.upload_artifact("array csv", np.arange(6.0).reshape(2, 3), extension_name=".csv.gz")
    task.upload_artifact("several", [Path("out"), Path("file é.bin")])
task.flush(wait_for_uploads=True)
task.close()
Path(outcome).write_text(json.dumps({"id": task.id}), encoding="utf-8")
