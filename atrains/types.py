"""Public types: the enumerations of the Task API and the shapes of what its queries return. No behaviour beyond that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final, Literal, TypeAlias, TypedDict


class TaskTypes(StrEnum):
    """The type of a task. A member equals, hashes and serialises as its string, so either may be passed anywhere."""

    training = "training"
    testing = "testing"
    inference = "inference"
    data_processing = "data_processing"
    application = "application"
    monitor = "monitor"
    controller = "controller"
    optimizer = "optimizer"
    service = "service"
    qc = "qc"
    custom = "custom"


class TaskStatusEnum(StrEnum):
    """The status of a task. A member equals, hashes and serialises as its string, so either may be passed anywhere."""

    created = "created"
    queued = "queued"
    in_progress = "in_progress"
    stopped = "stopped"
    published = "published"
    publishing = "publishing"
    closed = "closed"
    failed = "failed"
    completed = "completed"
    unknown = "unknown"


class Unset:
    """The type of `UNSET`: an argument that was not given, where `None` means something."""

    def __repr__(self) -> str:
        return "UNSET"

    def __bool__(self) -> bool:
        return False


UNSET: Final = Unset()

XAxis: TypeAlias = Literal["iter", "timestamp", "iso_time"]
"""The x axis of a scalar curve: iteration, seconds from the start of the task, or absolute time."""

ParameterValue: TypeAlias = "str | int | float | bool | Sequence[ParameterValue] | Mapping[str, ParameterValue] | None"
"""What a parameter can hold before it is stored as text."""


class ScalarCurve(TypedDict):
    """One series of `get_reported_scalars`. `x` holds iterations, seconds from start, or ISO 8601 times."""

    x: list[int] | list[float] | list[str]
    y: list[float]


class LastMetric(TypedDict):
    """One series of `get_last_scalar_metrics`."""

    last: float
    min: float
    max: float
