"""The memory of which task a project, name and type last ran as, from one process to the next. A cache: losing it costs a new task id."""

from __future__ import annotations

import contextlib
import os
import time
import zlib
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

_FOLDER: Final = ".sessions"
"""Spread over 256 files by name, each read and written whole: in one file every name would make the start of all other runs slower."""
_NAMESPACE: Final = "atrains.Task"
"""The shape is that of the official clients' `.session.json`, with entries of our own."""


class SessionKey(NamedTuple):
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
    entry = _read(_file(cache, key)).get(_NAMESPACE, {}).get(key.text())
    if not isinstance(entry, dict) or time.time() - entry.get("time", 0) > window_hours * 3600:
        return None
    return str(entry["id"])


def remember(cache: Path, key: SessionKey, task: str, *, window_hours: float) -> None:
    """Remember a task under a key, and forget what is older than the window. Writes a file, atomically."""
    path = _file(cache, key)
    content = _read(path)
    now = time.time()
    entries = {text: entry for text, entry in content.get(_NAMESPACE, {}).items() if now - entry.get("time", 0) <= window_hours * 3600}
    entries[key.text()] = {"time": now, "project": key.project, "name": key.name, "type": key.type, "id": task}
    content[_NAMESPACE] = entries
    temporary = path.with_name(f"{path.name}.{os.getpid()}.{time.monotonic_ns()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2))
        temporary.replace(path)
    except OSError:  # a cache that cannot be written costs a new task id at the next run, not this run
        with contextlib.suppress(OSError):
            temporary.unlink()


def _file(cache: Path, key: SessionKey) -> Path:
    return cache / _FOLDER / f"{zlib.crc32(key.text().encode()) & 0xFF:02x}.json"


def _read(path: Path) -> dict[str, Any]:
    try:
        content = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return {}
    return content if isinstance(content, dict) else {}
