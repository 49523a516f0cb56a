"""atrains: asyncio-native experiment tracking.

Two lines in a script record a run, on this machine if no server is configured::

    from atrains import Task

    task = Task.init("project", "name")
    task.get_logger().report_scalar("loss", "train", value=0.25, iteration=10)

Everything public is in this namespace, and is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from atrains import errors, types
from atrains._connect import parsing
from atrains.types import TaskStatusEnum, TaskTypes

if TYPE_CHECKING:
    from atrains import export
    from atrains._api.handler import LogHandler
    from atrains._api.logger import Logger
    from atrains._api.reporter import Reporter
    from atrains._api.task_parameters import TaskParameters, param, percent_param
    from atrains._async.artifact import AsyncArtifact
    from atrains._async.input_model import AsyncInputModel
    from atrains._async.metrics import AsyncMetricsManager
    from atrains._async.model import AsyncModel
    from atrains._async.output_model import AsyncOutputModel
    from atrains._async.storage import AsyncStorageManager
    from atrains._async.task import AsyncTask
    from atrains._async.upload import AsyncUpload
    from atrains._config import credentials
    from atrains._engine.ledger import Counts, Receipt, Stats, UploadCounts
    from atrains._sync.artifact import Artifact
    from atrains._sync.input_model import InputModel
    from atrains._sync.metrics import MetricsManager
    from atrains._sync.model import Model
    from atrains._sync.output_model import OutputModel
    from atrains._sync.storage import StorageManager
    from atrains._sync.task import Task
    from atrains._sync.upload import Upload
    from atrains._wire.frameworks import Framework

    __version__: str

__all__ = [
    "Artifact",
    "AsyncArtifact",
    "AsyncInputModel",
    "AsyncMetricsManager",
    "AsyncModel",
    "AsyncOutputModel",
    "AsyncStorageManager",
    "AsyncTask",
    "AsyncUpload",
    "Counts",
    "Framework",
    "InputModel",
    "LogHandler",
    "Logger",
    "MetricsManager",
    "Model",
    "OutputModel",
    "Receipt",
    "Reporter",
    "Stats",
    "StorageManager",
    "Task",
    "TaskParameters",
    "TaskStatusEnum",
    "TaskTypes",
    "Upload",
    "UploadCounts",
    "__version__",
    "credentials",
    "errors",
    "export",
    "param",
    "percent_param",
    "types",
]

_WHERE = {
    "Artifact": "atrains._sync.artifact",
    "AsyncArtifact": "atrains._async.artifact",
    "AsyncInputModel": "atrains._async.input_model",
    "AsyncMetricsManager": "atrains._async.metrics",
    "AsyncModel": "atrains._async.model",
    "AsyncOutputModel": "atrains._async.output_model",
    "AsyncStorageManager": "atrains._async.storage",
    "AsyncTask": "atrains._async.task",
    "AsyncUpload": "atrains._async.upload",
    "Counts": "atrains._engine.ledger",
    "Framework": "atrains._wire.frameworks",
    "InputModel": "atrains._sync.input_model",
    "LogHandler": "atrains._api.handler",
    "Logger": "atrains._api.logger",
    "MetricsManager": "atrains._sync.metrics",
    "Model": "atrains._sync.model",
    "OutputModel": "atrains._sync.output_model",
    "Receipt": "atrains._engine.ledger",
    "Reporter": "atrains._api.reporter",
    "Stats": "atrains._engine.ledger",
    "StorageManager": "atrains._sync.storage",
    "Task": "atrains._sync.task",
    "TaskParameters": "atrains._api.task_parameters",
    "Upload": "atrains._sync.upload",
    "UploadCounts": "atrains._engine.ledger",
    "credentials": "atrains._config",
    "param": "atrains._api.task_parameters",
    "percent_param": "atrains._api.task_parameters",
}

parsing.install()


def __getattr__(name: str) -> object:
    if name in _WHERE:
        value: object = getattr(import_module(_WHERE[name]), name)
    elif name == "export":
        value = import_module("atrains.export")
    elif name == "__version__":
        from importlib.metadata import version

        value = version("atrains")
    else:
        raise AttributeError(f"module 'atrains' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
