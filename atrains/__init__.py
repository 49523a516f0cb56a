"""atrains: asyncio-native experiment tracking.

Two lines in a script record a run, on this machine if no server is configured::

    from atrains import Task

    task = Task.init("project", "name")
    task.get_logger().report_scalar("loss", "train", value=0.25, iteration=10)

Everything public is in this namespace, and is loaded when it is first used.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING

from atrains import errors, types
from atrains.types import TaskStatusEnum, TaskTypes

if TYPE_CHECKING:
    from atrains._api.logger import Logger
    from atrains._async.artifact import AsyncArtifact
    from atrains._async.task import AsyncTask
    from atrains._engine.ledger import Counts, Receipt, Stats
    from atrains._sync.artifact import Artifact
    from atrains._sync.task import Task

    __version__: str

__all__ = [
    "Artifact",
    "AsyncArtifact",
    "AsyncTask",
    "Counts",
    "Logger",
    "Receipt",
    "Stats",
    "Task",
    "TaskStatusEnum",
    "TaskTypes",
    "__version__",
    "errors",
    "types",
]

_WHERE = {
    "Artifact": "atrains._sync.artifact",
    "AsyncArtifact": "atrains._async.artifact",
    "AsyncTask": "atrains._async.task",
    "Counts": "atrains._engine.ledger",
    "Logger": "atrains._api.logger",
    "Receipt": "atrains._engine.ledger",
    "Stats": "atrains._engine.ledger",
    "Task": "atrains._sync.task",
}

logging.getLogger("atrains").addHandler(logging.NullHandler())


def __getattr__(name: str) -> object:
    if name in _WHERE:
        value: object = getattr(import_module(_WHERE[name]), name)
    elif name == "__version__":
        from importlib.metadata import version

        value = version("atrains")
    else:
        raise AttributeError(f"module 'atrains' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
