"""Artifacts as a package reads them, in plain values: `python artifacts_read.py PACKAGE ID OUTCOME`."""

from __future__ import annotations

import hashlib
import importlib
import json
import sys
from pathlib import Path

package, task_id, outcome = sys.argv[1:]
Task = importlib.import_module(package).Task


def plain(value: object) -> object:
    """A value as JSON, whatever it is."""
    kind = type(value).__name__
    if kind == "ndarray":
        return ["array", value.tolist()]
    if kind == "DataFrame":
        return ["frame", json.loads(value.to_json(orient="split"))]
    if kind.endswith(("Image", "ImageFile")):
        return ["image", list(value.size), list(value.getpixel((0, 0)))]
    if isinstance(value, set):
        return ["set", sorted(value)]
    if isinstance(value, bytes):
        return ["bytes", value.hex()]
    path = Path(str(value)) if hasattr(value, "__fspath__") or (isinstance(value, str) and value.startswith("/")) else None
    if path is not None and path.is_dir():
        return [
            "folder",
            {str(each.relative_to(path)): each.read_text() for each in sorted(path.rglob("*")) if each.suffix in {".txt", ".csv"}},
        ]
    if path is not None and path.is_file():
        return ["file", hashlib.sha256(path.read_bytes()).hexdigest()]
    return value if path is None else str(path)


task = Task.get_task(task_id=task_id)
found = {}
for key, artifact in task.artifacts.items():
    options = {"allow_pickle": True} if package == "atrains" else {}
    found[key] = [artifact.type, dict(artifact.metadata or {}), plain(artifact.get(**options)), artifact.size, artifact.hash]
Path(outcome).write_text(json.dumps(found), encoding="utf-8")
