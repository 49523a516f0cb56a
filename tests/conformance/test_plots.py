"""What a run reports as plots, and what comes back, one body for both worlds."""

from __future__ import annotations

import asyncio
import copy
import io
import json
import logging
import math
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import numpy as np  # noqa: TID253  # what users pass
import pytest

from atrains import Logger, LogHandler, Task
from atrains._api import figures
from atrains.errors import SyncInAsyncError, TaskClosedError, UsageError, ValidationError
from atrains.types import SeriesInfo
from tests.web_server import serving

World = Any


async def read(world: World, task: Any, **options: Any) -> dict[tuple[str, str, int], Any]:
    """The figures of a task by title, series and iteration."""
    plots = await world(task.get_reported_plots(**options))
    assert all(plot["type"] == "plot" and plot["task"] == task.id and plot["timestamp"] > 1.6e12 for plot in plots)
    found = {(plot["metric"], plot["variant"], plot["iter"]): json.loads(plot["plot_str"]) for plot in plots}
    assert len(found) == len(plots)
    return found


def kinds(figure: Any) -> list[str]:
    return [trace["type"] for trace in figure["data"]]


async def test_every_plot_comes_back(world: World, tmp_path: Path) -> None:
    task = await world(world.Task.init("project", "plots"))
    log = task.get_logger()
    table = tmp_path / "table.csv"
    table.write_text("name,score\na,0.5\nb,\n")
    log.report_histogram("histogram", "s", [1, 2, math.nan], 1)
    log.report_vector("vector", "s", np.arange(3), 1, ["row"], ["a", "b", "c"], "x", "y", "stack", {"height": 1})
    log.report_table("table", "s", 1, [["a", "b"], [1, 2]])
    log.report_table("csv", "s", 1, None, table)
    log.report_line_plot("line", [SeriesInfo("one", [[0, 1], [1, 2]])], 1, "x", "y", "markers")
    log.report_scatter2d("scatter2d", "s", np.ones((3, 2)), 1)
    log.report_scatter3d("scatter3d", "s", [[1, 2, 3]], 1)
    log.report_scatter3d("clouds", ["a", "b"], [[[1, 2, 3]], [[4, 5, 6]]], 1)
    log.report_confusion_matrix("confusion", "s", np.eye(3), 1, "x", "y", ["a", "b", "c"])
    log.report_matrix("matrix", "s", [[1, 2]], 1)
    log.report_surface("surface", "s", [[1, 2], [3, 4]], 1, camera=(1, 1, 1))
    log.report_plotly("plotly", "s", 1, {"data": [{"type": "bar", "y": [1]}], "layout": {}})
    found = await read(world, task)
    assert {title: (series, number, kinds(figure)) for (title, series, number), figure in found.items()} == {
        "histogram": ("s", 1, ["bar"]),
        "vector": ("s", 1, ["bar"]),
        "table": ("s", 1, ["table"]),
        "csv": ("s", 1, ["table"]),
        "line": ("", 1, ["scatter"]),
        "scatter2d": ("s", 1, ["scatter"]),
        "scatter3d": ("s", 1, ["scatter3d"]),
        "clouds": ("", 1, ["scatter3d", "scatter3d"]),
        "confusion": ("s", 1, ["heatmap"]),
        "matrix": ("s", 1, ["heatmap"]),
        "surface": ("s", 1, ["surface"]),
        "plotly": ("s", 1, ["bar"]),
    }
    assert found["histogram", "s", 1]["data"][0]["y"] == [1, 2, None]
    assert found["csv", "s", 1]["data"][0]["cells"]["values"] == [["a", "b"], [0.5, None]]
    assert found["vector", "s", 1]["layout"]["barmode"] == "stack"
    receipt = await world(task.flush())
    assert receipt
    assert receipt.plots.acknowledged == 12
    await world(task.close())
    assert await read(world, await world(world.Task.get_task(task.id))) == found
    with pytest.raises(TaskClosedError):
        log.report_matrix("matrix", "s", [[1]])


async def test_a_later_plot_of_the_same_name_and_iteration_replaces(world: World) -> None:
    task = await world(world.Task.init("project", "plots"))
    log = task.get_logger()
    task.set_initial_iteration(10)
    for height in (1, 2):
        for iteration in (None, 0, 1, 2):
            log.report_histogram("t", "s", [height * 10 + (iteration or 0)], iteration)
        await world(task.flush())
    assert {name: figure["data"][0]["y"] for name, figure in (await read(world, task, max_iterations=2)).items()} == {
        ("t", "s", 12): [22],
        ("t", "s", 11): [21],
    }
    assert list(await read(world, task)) == [("t", "s", 12)]
    assert len(await read(world, task, max_iterations=9)) == 3
    for wrong in (0, -1, "two"):
        with pytest.raises(ValidationError, match="max_iterations"):
            await world(task.get_reported_plots(wrong))
    assert await world(task.get_last_iteration()) == 12


async def test_a_plot_is_as_it_was_at_the_call(world: World) -> None:
    task = await world(world.Task.init("project", "plots"))
    values, figure = np.arange(3.0), {"data": [{"type": "bar", "y": [1, math.nan]}], "layout": {"title": ""}}
    before = copy.deepcopy((values, figure))
    task.get_logger().report_histogram("array", "s", values)
    task.get_logger().report_plotly("figure", "s", figure=figure)
    assert repr((values, figure)) == repr(before)
    values[:] = 9
    figure["data"][0]["y"].append(9)
    found = await read(world, task)
    assert found["array", "s", 0]["data"][0]["y"] == [0, 1, 2]
    assert found["figure", "s", 0]["data"][0]["y"] == [1, None]
    assert found["figure", "s", 0]["layout"]["title"] == "s"


async def test_names_and_texts_of_any_alphabet(world: World) -> None:
    task = await world(world.Task.init("project", "plots"))
    task.get_logger().report_table("títle\n\ud83d\ude00", "a/b \ud800", 0, [['"quoted"', "\\"], ["line\nline", "\ud800"]])
    ((title, series, _), figure), *rest = (await read(world, task)).items()
    assert not rest
    assert title.startswith("títle\n")
    assert series == "a/b ?"
    assert figure["data"][0]["header"]["values"] == ['"quoted"', "\\"]
    assert figure["data"][0]["cells"]["values"] == [["line\nline"], ["�"]]


class Broken:
    def __array__(self, *_: object, **__: object) -> object:
        raise RuntimeError("the device is gone")


async def test_what_cannot_be_reported_is_counted_and_named(world: World, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    task = await world(world.Task.init("project", "plots"))
    log = task.get_logger()
    with caplog.at_level(logging.WARNING, logger="atrains"):
        log.report_histogram("broken", "s", Broken())  # type: ignore[arg-type]
        log.report_matrix("far", "s", [[1]], 2**63)
        log.report_line_plot("no step", [], "epoch")  # type: ignore[arg-type]  # as newer official clients have the name of an axis
        log.report_table("gone", "s", csv=tmp_path / "gone.csv")
        log.report_plotly("huge", "s", 0, {"data": [{"text": '"' * (8 << 20)}]})
    for words in ("broken/s", "the device is gone", "far/s", "no step/", "'epoch' is no integer", "gone.csv", "huge/s", "too large"):
        assert words in caplog.text
    log.report_plotly("large", "s", 0, {"data": [{"text": "x" * (10 << 20)}]})
    counts = (await world(task.flush(timeout=60))).plots
    assert (counts.acknowledged, sum(counts.dropped.values()), counts.dropped["too large"]) == (1, 5, 1)
    assert len((await read(world, task))["large", "s", 0]["data"][0]["text"]) == 10 << 20


async def test_an_argument_that_cannot_be_meant_raises(world: World) -> None:
    task = await world(world.Task.init("project", "plots"))
    log = task.get_logger()
    for call in (
        lambda: log.report_table("t", "s"),
        lambda: log.report_table("t", "s", 0, [["a"]], "a.csv"),
        lambda: log.report_plotly("t", "s"),
        lambda: log.report_matplotlib_figure("t", "s"),
        lambda: log.report_plotly("t", "s", {"data": []}, 0),  # type: ignore[arg-type]  # as newer official clients have it
    ):
        with pytest.raises(UsageError, match="report_"):
            call()
    for call in (
        lambda: log.report_histogram("t", "s", [1], mode="heap"),
        lambda: log.report_matrix("t", "s", [1, 2]),
        lambda: log.report_plotly("t", "s", 0, 5),
        lambda: log.report_matplotlib_figure("t", "s", 0, 5),
        lambda: log.report_table("t", "s", url="ftp://host/a.csv"),
        lambda: log.report_table("t", "s", url=5),  # type: ignore[arg-type]
        lambda: log.report_image("t", "s", url=""),
        lambda: log.report_image("t", "s", local_path=5),  # type: ignore[arg-type]
        lambda: log.report_media("t", "s", stream=io.BytesIO(), file_extension=5),  # type: ignore[arg-type]
    ):
        with pytest.raises(ValidationError):
            call()
    assert (await world(task.flush())).plots.reported == 0


class Csv(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/a.csv" else 404)
        self.end_headers()
        self.wfile.write(b"name,score\na,1\n")

    def log_message(self, *_: object) -> None:
        pass


async def test_a_table_is_fetched_from_the_web(world: World, caplog: pytest.LogCaptureFixture) -> None:
    task = await world(world.Task.init("project", "plots"))
    log = task.get_logger()
    with serving(Csv) as base:

        def report(path: str) -> None:
            log.report_table("web", path, url=f"{base}/{path}")

        if world.Task is Task:
            report("a.csv")
            report("none.csv")
        else:
            with pytest.raises(SyncInAsyncError, match=r"asyncio\.to_thread"):
                report("a.csv")
            await asyncio.to_thread(report, "a.csv")
            await asyncio.to_thread(report, "none.csv")
    assert "none.csv" in caplog.text
    found = await read(world, task)
    assert list(found) == [("web", "a.csv", 0)]
    assert found["web", "a.csv", 0]["data"][0]["cells"]["values"] == [["a"], [1]]


async def test_figures_of_matplotlib(world: World, caplog: pytest.LogCaptureFixture) -> None:
    pyplot: Any = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("Agg")
    task = await world(world.Task.init("project", "plots"))
    log = task.get_logger()
    figure, axes = pyplot.subplots()
    axes.plot([1, 2], [3, 4])
    log.report_matplotlib_figure("converted", "s", 1, figure)
    log.report_matplotlib_figure("picture", "s", 1, figure, report_interactive=False)
    log.report_matplotlib_figure("picture", "t", figure=figure, report_interactive=False)
    assert not caplog.records
    axes.set_yscale("symlog")
    with caplog.at_level(logging.WARNING, logger="atrains"):
        figures._told.clear()
        log.report_matplotlib_figure("odd", "s", 1, pyplot)
        log.report_matplotlib_figure("odd", "t", 1, axes)
    pyplot.close(figure)
    (said,) = [record.getMessage() for record in caplog.records if record.name == "atrains"]
    assert "odd/s" in said
    assert "symlog" in said
    assert "picture" in said
    found = await read(world, task)
    assert found["converted", "s", 1]["data"][0]["y"] == [3, 4]
    for name in (("picture", "s", 1), ("picture", "t", 0), ("odd", "s", 1), ("odd", "t", 1)):
        assert found[name]["data"] == []
        (image,) = found[name]["layout"]["images"]
        assert image["source"].startswith("data:image/png;base64,iVBOR")
        assert (image["sizex"], image["sizey"]) == (640, 480)


async def test_a_figure_of_matplotlib_with_an_artist_that_nobody_knows_is_a_picture(world: World, caplog: pytest.LogCaptureFixture) -> None:
    pyplot: Any = pytest.importorskip("matplotlib.pyplot")
    lines: Any = pytest.importorskip("matplotlib.lines")
    pyplot.switch_backend("Agg")

    class Odd(lines.Line2D):  # type: ignore[misc]  # a class of matplotlib
        def get_linestyle(self) -> Any:
            raise RuntimeError("of no style")

    task = await world(world.Task.init("project", "plots"))
    figure, axes = pyplot.subplots()
    axes.add_line(Odd([1, 2], [3, 4]))
    with caplog.at_level(logging.WARNING, logger="atrains"):
        figures._told.clear()
        task.get_logger().report_matplotlib_figure("odd", "s", 1, figure)
    pyplot.close(figure)
    (said,) = [record.getMessage() for record in caplog.records if record.name == "atrains"]
    assert "RuntimeError" in said
    assert "of no style" in said
    assert len((await read(world, task))["odd", "s", 1]["layout"]["images"]) == 1


async def test_a_task_that_is_switched_off_builds_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATRAINS_MODE", "disabled")
    task = await world(world.Task.init("project", "plots"))
    task.get_logger().report_histogram("t", "s", Broken())  # type: ignore[arg-type]
    task.get_logger().set_flush_period(1.0)
    assert task.get_logger().get_flush_period() == 1.0
    assert await world(task.get_reported_plots()) == []
    assert (await world(task.stats())).plots.reported == 0


async def test_ten_thousand_titles_and_series(world: World) -> None:
    task = await world(world.Task.init("project", "plots"))
    log = task.get_logger()
    for number in range(10_000):
        log.report_histogram(f"title {number // 100}", f"series {number}", [number])
        log.report_scalar(f"title {number % 100}", f"series {number}", number, 1)
    receipt = await world(task.flush(timeout=120))
    assert (receipt.plots.acknowledged, receipt.scalars.acknowledged) == (10_000, 10_000)
    curves = await world(task.get_reported_scalars())
    assert {series: points["y"] for title in curves.values() for series, points in title.items()} == {
        f"series {number}": [number] for number in range(10_000)
    }
    plots = await world(task.get_reported_plots())
    assert len({(plot["metric"], plot["variant"]) for plot in plots}) == len(plots) == 10_000


async def test_what_is_logged_goes_to_the_console(world: World) -> None:
    task = await world(world.Task.init("project", "console"))
    log = task.get_logger()
    assert Logger.current_logger() is log
    training = logging.getLogger("training")
    handlers = list(logging.getLogger().handlers)
    with log.capture_logging():
        training.error("the rate is %d", 0)
    training.error("after the block")
    assert logging.getLogger().handlers == handlers
    chosen = LogHandler(task, logging.WARNING)
    chosen.setFormatter(logging.Formatter("<%(message)s>"))
    training.addHandler(chosen)
    current = LogHandler()
    training.addHandler(current)
    try:
        training.warning("warned")
        training.info("of no interest")
    finally:
        training.removeHandler(chosen)
        training.removeHandler(current)
    assert await world(task.get_reported_console_output(10)) == ["ERROR:training:the rate is 0", "<warned>", "WARNING:training:warned"]
    await world(task.close())
    chosen.handle(logging.makeLogRecord({"msg": "too late", "levelno": logging.ERROR}))


async def test_what_stands_for_values_that_are_no_numbers(world: World, caplog: pytest.LogCaptureFixture) -> None:
    task = await world(world.Task.init("project", "values"))
    log = task.get_logger()
    for call in (lambda: Logger.set_reporting_nan_value(math.inf), lambda: Logger.set_reporting_inf_value(1, 0)):
        with pytest.raises(ValidationError):
            call()
    Logger.set_reporting_nan_value(0)
    Logger.set_reporting_inf_value(-1.5, warn_period=2)
    try:
        with caplog.at_level(logging.WARNING, logger="atrains"):
            for step, value in enumerate((1.0, math.nan, math.inf, -math.inf, math.inf)):
                log.report_scalar("t", "s", value, step)
            log.report_scalars("t", "array", values=[math.nan, 2.0], iterations=[0, 1])
            curves = (await world(task.get_reported_scalars()))["t"]
        assert curves["s"]["y"] == [1, 0, -1.5, -1.5, -1.5]
        assert curves["array"]["y"] == [0, 2]
        assert [record.getMessage().count("inf was reported") for record in caplog.records].count(1) == 2, "the first and the third"
        Logger.set_reporting_inf_value(None)
        log.report_scalar("t", "s", math.inf, 9)
        receipt = await world(task.flush())
        assert dict(receipt.scalars.dropped) == {"not finite": 1}
    finally:
        Logger.set_reporting_nan_value(None)
        Logger.set_reporting_inf_value(None)


async def test_the_flush_period(world: World) -> None:
    task = await world(world.Task.init("project", "period"))
    log = task.get_logger()
    assert log.get_flush_period() == 2.0
    log.set_flush_period(0)
    assert log.get_flush_period() is None
    await world(task.flush())
    log.report_scalar("t", "s", 1, 1)
    await world.sleep(2.5)
    assert (await world(task.stats())).scalars.pending == 1
    log.set_flush_period(0.05)
    await world.sleep(1)
    log.report_scalar("t", "s", 1, 2)
    await world.sleep(1)
    assert (await world(task.stats())).scalars.acknowledged == 2
    with pytest.raises(ValidationError):
        log.set_flush_period(-1)


async def test_contexts_are_not_mixed_in_what_is_logged() -> None:
    async def run(name: str) -> list[str]:
        async with Task.ainit("project", name) as task:
            with task.get_logger().capture_logging():
                for number in range(3):
                    logging.getLogger("shared").error("%s %d", name, number)
                    await asyncio.sleep(0.01)
            return await task.get_reported_console_output(10)

    outputs = await asyncio.gather(run("first"), run("second"), run("third"))
    for name, lines in zip(("first", "second", "third"), outputs, strict=True):
        assert lines == [f"ERROR:shared:{name} {number}" for number in range(3)]
