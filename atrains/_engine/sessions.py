"""The memory of which task a project, name and type last ran as, from one process to the next. A cache: losing it costs a new task id."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

_FILE: Final = ".session.json"
_NAMESPACE: Final = "atrains.Task"
"""Keeps our entries apart from those of the official clients, which use the same file name and shape in a shared cache."""


@dataclass(frozen=True, slots=True)
class SessionKey:
    """What a task is remembered under."""

    target: str
    project: str
    name: str
    type: str

    def text(self) -> str:
        """The key as it stands in the file."""
        return ":".join(f"<{part}>" for part in (self.target, self.project, self.name, self.type))


def recall(cache: Path, key: SessionKey, *, window_hours: float) -> str | None:
    """The id of the last task under a key, if it is not older than the window. Reads a file."""
    entry = _read(cache).get(_NAMESPACE, {}).get(key.text())
    if not isinstance(entry, dict) or time.time() - entry.get("time", 0) > window_hours * 3600:
        return None
    return str(entry["id"])


def remember(cache: Path, key: SessionKey, task: str, *, window_hours: float) -> None:
    """Remember a task under a key, and forget what is older than the window. Writes a file, atomically."""
    content = _read(cache)
    now = time.time()
    entries = {text: entry for text, entry in content.get(_NAMESPACE, {}).items() if now - entry.get("time", 0) <= window_hours * 3600}
    entries[key.text()] = {"time": now, "project": key.project, "name": key.name, "type": key.type, "id": task}
    content[_NAMESPACE] = entries
    temporary = cache / f"{_FILE}.{os.getpid()}.{time.monotonic_ns()}"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2))
        temporary.replace(cache / _FILE)
    except OSError:  # a cache that cannot be written costs a new task id at the next run, not this run
        temporary.unlink(missing_ok=True)


def _read(cache: Path) -> dict[str, Any]:
    try:
        content = orjson.loads((cache / _FILE).read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return {}
    return content if isinstance(content, dict) else {}
