"""Public types: the enumerations of the Task API and the shapes of what its queries return. No behaviour beyond that."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Literal, NamedTuple, NotRequired, Protocol, TypeAlias, TypedDict


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


class UploadState(StrEnum):
    """Where an upload is. A member equals, hashes and serialises as its string."""

    queued = "queued"
    """It waits for its turn, or for its home, which is away."""
    uploading = "uploading"
    """Its bytes are on their way."""
    recording = "recording"
    """Its bytes are there, its record is being written."""
    stored = "stored"
    """It is there, and recorded."""
    failed = "failed"
    """It never will be."""
    cancelled = "cancelled"
    """It was given up by the program."""
    replaced = "replaced"
    """A later upload of the same name took its place before it was there."""


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


class SupportsArray(Protocol):
    """What numpy can make an array of: arrays, tensors, columns and data frames."""

    def __array__(self) -> Any: ...


ArrayLike: TypeAlias = "Iterable[Any] | SupportsArray"
"""Numbers as users have them: nested lists, arrays of numpy, tensors, columns and data frames of pandas and polars."""


class SeriesInfo(NamedTuple):
    """One curve of `report_line_plot`.

    Attributes:
        name: Its name.
        data: Its points, N x 2.
        labels: A text for each point.
    """

    name: str
    data: ArrayLike
    labels: Sequence[str] | None = None


class ReportedPlot(TypedDict):
    """One plot of `get_reported_plots`. `plot_str` is the JSON text of a plotly figure; `timestamp` is in milliseconds since 1970."""

    type: str
    task: str
    metric: str
    variant: str
    iter: int
    timestamp: int
    plot_str: str
    worker: NotRequired[str]


class DebugSample(TypedDict):
    """One image, or another file that is shown, of `get_debug_samples`. `url` is where its file is; `timestamp` is in milliseconds."""

    type: str
    task: str
    metric: str
    variant: str
    iter: int
    timestamp: int
    key: str
    url: str
    worker: NotRequired[str]


class FileMetadata(TypedDict):
    """What is known of a file without fetching it; `size` is in bytes, None where a server does not say."""

    name: str
    size: int | None


class ScalarCurve(TypedDict):
    """One series of `get_reported_scalars`. `x` holds iterations, seconds from start, or ISO 8601 times."""

    x: list[int] | list[float] | list[str]
    y: list[float]


class LastMetric(TypedDict):
    """One series of `get_last_scalar_metrics`."""

    last: float
    min: float
    max: float


class MetricSummary(LastMetric):
    """One series of `metrics_manager.get_summary`: what a home keeps of it beside the points.

    `last_iteration`, `min_iteration` and `max_iteration` are where these values were reported; `count` is how many points were. Servers
    from before ClearML 1.0 keep none of these four: they are None there.
    """

    last_iteration: int | None
    min_iteration: int | None
    max_iteration: int | None
    count: int | None


@dataclass(frozen=True, slots=True, eq=False)
class ScalarChunk:
    """Some points of one series, as columns of equal length.

    Attributes:
        title: The graph.
        series: The curve in it.
        iterations: The x coordinates, signed 64 bit.
        times: When each was reported, in seconds since the epoch, double.
        values: The values, double.
    """

    title: str
    series: str
    iterations: array[int]
    times: array[float]
    values: array[float]

    def __len__(self) -> int:
        return len(self.values)


class Deletion(NamedTuple):
    """What became of a task that was deleted, and of its files; true unless a file could not be deleted.

    Attributes:
        task: The task's id.
        files: The URLs of the files that are gone, be it that they were so before.
        kept: Those of the files that were to be kept.
        failed: Those of the files that could not be deleted, and why.
    """

    task: str
    files: tuple[str, ...]
    kept: tuple[str, ...]
    failed: Mapping[str, str]

    def __bool__(self) -> bool:
        return not self.failed


class Answer(dict[str, Any]):
    """What a home answered, as a dictionary whose keys are attributes as well: `answer["updated"]` and `answer.updated` are the same."""

    def __getattr__(self, name: str) -> Any:
        try:
            value = self[name]
        except KeyError as error:
            raise AttributeError(f"the answer has no {name!r}; it has {', '.join(self) or 'nothing'}") from error
        return Answer(value) if isinstance(value, dict) else value

    def to_dict(self) -> dict[str, Any]:
        """The answer as a plain dictionary."""
        return dict(self)


class CallResult:
    """The answer of a call that lists things, in the form in which old programs know it.

    Attributes:
        response_data: What the home answered.
    """

    def __init__(self, response_data: Mapping[str, Any]) -> None:
        self.response_data = dict(response_data)

    @property
    def response(self) -> Answer:
        """The answer with its fields as attributes: `result.response.tasks`."""
        return Answer(self.response_data)

    @property
    def meta(self) -> Answer:
        """What became of the call. A call that fails raises, so its code is always 200."""
        return Answer(result_code=200, result_subcode=0, result_msg="OK")

    def ok(self) -> bool:
        """Whether the call succeeded; one that did not has raised."""
        return True

    def __repr__(self) -> str:
        return (
            f"<CallResult of {', '.join(f'{len(value)} {name}' for name, value in self.response_data.items() if isinstance(value, list))}>"
        )
