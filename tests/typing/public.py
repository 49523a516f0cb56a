"""What a user writes against atrains, as the type checkers see it. Checked by the `types` session, never run."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, assert_type

from atrains import (
    Artifact,
    AsyncArtifact,
    AsyncStorageManager,
    AsyncTask,
    Logger,
    LogHandler,
    MetricsManager,
    Receipt,
    Reporter,
    Stats,
    StorageManager,
    Task,
    TaskParameters,
    TaskStatusEnum,
    TaskTypes,
    param,
    percent_param,
)
from atrains.types import DebugSample, FileMetadata, LastMetric, MetricSummary, ReportedPlot, ScalarChunk, ScalarCurve, SeriesInfo


class Parameters(TaskParameters):
    """Declared with limits and descriptions."""

    iterations: int = param(100, type=int, desc="how many", range=(0, 1000))
    accuracy = percent_param(0.9)


@dataclass
class Model:
    """Declared as a data class."""

    depth: int = 3


def blocking() -> None:
    task = Task.init("project", "name", TaskTypes.testing, reuse_last_task_id=False, output_uri=Path("out"))
    assert_type(task, Task)
    assert_type(task.get_logger(), Logger)
    assert_type(Task.get_task(task_id=task.id), Task | None)
    assert_type(Task.current_task(), Task | None)
    assert_type(Task.create("project", "draft"), Task)
    assert_type(task.status, str)
    assert_type(task.flush(), Receipt)
    assert_type(task.stats(), Stats)
    assert_type(task.connect({"rate": 0.1}), dict[str, float])
    assert_type(task.connect(Parameters(200), name="Mine"), Parameters)
    assert_type(task.connect(Model()), Model)
    assert_type(task.get_parameters_as_dict(), dict[str, Any])
    task.set_parameter("rate", 0.2, "how fast", value_type=float)
    task.set_parameters({"rate": 0.2}, [("name", "sgd")], depth=3)
    assert_type(task.get_reported_scalars(), dict[str, dict[str, ScalarCurve]])
    assert_type(task.get_last_scalar_metrics(), dict[str, dict[str, LastMetric]])
    for chunk in task.iter_reported_scalars("loss", series="train"):
        assert_type(chunk, ScalarChunk)
    assert_type(task.metrics_manager, MetricsManager)
    assert_type(task.metrics_manager.get_summary(), dict[str, dict[str, MetricSummary]])
    assert_type(task.reporter, Reporter)
    assert_type(task.get_reported_plots(max_iterations=2), list[ReportedPlot])
    assert_type(task.get_debug_samples("title", "series", 2), list[DebugSample])
    log = task.get_logger()
    log.report_line_plot("loss", [SeriesInfo("train", [[0, 1.0]]), {"name": "test", "data": [[0, 1.0]]}], xaxis="x", yaxis="y")
    log.report_scatter3d("points", ["a", "b"], [[(1, 2, 3)], [(4, 5, 6)]], 1)
    log.report_table("table", "t", csv=Path("a.csv"), extra_data={"columnwidth": [1]})
    log.set_flush_period(None)
    LogHandler(task).setLevel("INFO")
    assert_type(task.artifacts, Mapping[str, Artifact])
    assert_type(task.upload_artifact("weights", {"bias": [1.0]}), bool)
    assert_type(StorageManager.get_local_copy("https://example.com/data.zip"), str)
    assert_type(StorageManager.upload_folder(Path("results"), "home://files/results"), str | None)
    assert_type(StorageManager.list("results", with_metadata=True), list[str] | list[FileMetadata])
    assert_type(StorageManager.get_file_size_bytes("results/a"), int | None)
    assert_type(StorageManager.get_files_server(), str)
    task.wait_for_status(TaskStatusEnum.completed, raise_on_status=None, timeout=1.0)
    task.name = "another name"
    task.get_logger().report_scalar("loss", "train", value=0.5, iteration=1)
    task.get_logger().report_scalars("loss", "train", values=[0.5, 0.25], iterations=range(2))
    with Task.init("project", "name") as run:
        assert_type(run, Task)


async def in_asyncio() -> None:
    async with Task.ainit("project", "name") as task:
        assert_type(task, AsyncTask)
        assert_type(await task.status, str)
        async with aclosing(task.iter_reported_scalars()) as chunks:
            async for chunk in chunks:
                assert_type(chunk, ScalarChunk)
        assert_type(await task.metrics_manager.get_titles(), list[str])
        assert_type(await task.flush(timeout=1.0), Receipt)
        assert_type(await AsyncStorageManager.download_file("https://example.com/a", "folder", overwrite=True), str)
        assert_type(await AsyncStorageManager.exists_file("a"), bool)
        assert_type(task.artifacts, Mapping[str, AsyncArtifact])
        assert_type(task.get_logger(), Logger)
    assert_type(await Task.ainit("project", "name"), AsyncTask)
    assert_type(await AsyncTask.get_task(task_name="name"), AsyncTask | None)
