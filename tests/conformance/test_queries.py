"""What a task reported, read back: one body for both worlds and every home."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from atrains import Task
from atrains._wire import endpoints
from atrains._wire.events import SINGLE_VALUE_ITERATION
from atrains.errors import NotFoundError, TaskClosedError, ValidationError
from atrains.types import ScalarChunk
from tests.conformance.conftest import ask_home, is_ours

World = Any


async def pieces(task: Any, *arguments: Any, **options: Any) -> AsyncIterator[ScalarChunk]:
    """What `iter_reported_scalars` gives, in either world."""
    found = task.iter_reported_scalars(*arguments, **options)
    if hasattr(found, "__aiter__"):
        async for chunk in found:
            yield chunk
    else:
        for chunk in found:
            yield chunk


# ---- curves


async def test_curves_by_title_and_series(world: World) -> None:
    task = await world(world.Task.init("project", "curves"))
    for iteration in range(3):
        task.get_logger().report_scalar("loss", "train", value=10 + iteration, iteration=iteration)
        task.get_logger().report_scalar("loss", "test", value=-iteration, iteration=10 * iteration)
    task.get_logger().report_scalar("accuracy", "test", value=0.5, iteration=7)
    task.get_logger().report_single_value("best", 3.5)
    assert await world(task.get_reported_scalars()) == {
        "accuracy": {"test": {"x": [7], "y": [0.5]}},
        "loss": {"test": {"x": [0, 10, 20], "y": [0, -1, -2]}, "train": {"x": [0, 1, 2], "y": [10, 11, 12]}},
    }
    assert await world(task.get_reported_single_values()) == {"best": 3.5}
    await world(task.close())
    found = await world(world.Task.get_task(task.id))
    assert (await world(found.get_reported_scalars()))["loss"]["train"] == {"x": [0, 1, 2], "y": [10, 11, 12]}


async def test_a_point_that_comes_again_counts_once_and_one_that_comes_late_in_its_place(world: World) -> None:
    task = await world(world.Task.init("project", "again"))
    for iteration, value in ((5, 1.0), (7, 2.0), (5, 3.0), (6, 4.0)):
        task.get_logger().report_scalar("loss", "train", value=value, iteration=iteration)
    assert await world(task.get_reported_scalars()) == {"loss": {"train": {"x": [5, 6, 7], "y": [3.0, 4.0, 2.0]}}}


async def test_every_point_without_a_limit_and_means_of_windows_with_one(world: World) -> None:
    task = await world(world.Task.init("project", "many"))
    count = 12_000  # more than a server gives on its own
    task.get_logger().report_scalars("loss", "train", values=[float(number) for number in range(count)], iterations=range(count))
    assert (await world(task.get_reported_scalars()))["loss"]["train"] == {"x": list(range(count)), "y": list(range(count))}
    curve = (await world(task.get_reported_scalars(max_samples=3)))["loss"]["train"]
    assert curve["y"] == [1999.5, 5999.5, 9999.5]
    assert len(curve["x"]) == 3
    assert all(abs(x - y) <= 1 for x, y in zip(curve["x"], curve["y"], strict=True))
    assert (await world(task.get_reported_scalars(max_samples=count)))["loss"]["train"]["y"] == list(range(count))


async def test_the_other_axes_are_seconds_from_the_start_and_absolute_times(world: World) -> None:
    before = time.time()
    task = await world(world.Task.init("project", "axes"))
    await world.sleep(0.05)
    for iteration in (3, 4):
        task.get_logger().report_scalar("loss", "train", value=1.0, iteration=iteration)
        await world.sleep(0.02)
    after = time.time()
    seconds = (await world(task.get_reported_scalars(0, "timestamp")))["loss"]["train"]["x"]
    started = datetime.fromisoformat(task.data["started"]).timestamp()
    assert seconds == sorted(seconds)
    assert before - 0.01 - started <= seconds[0] < seconds[1] <= after + 0.01 - started
    times = (await world(task.get_reported_scalars(x_axis="iso_time")))["loss"]["train"]["x"]
    moments = [datetime.fromisoformat(moment) for moment in times]
    assert all(moment.tzinfo is not None and moment.utcoffset() == UTC.utcoffset(None) for moment in moments)
    assert [moment.timestamp() - started for moment in moments] == pytest.approx(seconds, abs=1e-3)


@pytest.mark.parametrize(
    "asked",
    [{"x_axis": "epoch"}, {"max_samples": -1}, {"max_samples": "10"}, {"max_samples": 0.5}, {"max_samples": True}],
    ids=str,
)
async def test_a_question_that_makes_no_sense_is_refused(world: World, asked: dict[str, Any]) -> None:
    task = await world(world.Task.init("project", "refused"))
    with pytest.raises(ValidationError, match=next(iter(asked))):
        await world(task.get_reported_scalars(**asked))


# ---- piece by piece


async def test_points_come_piece_by_piece_in_the_order_of_their_reports(world: World) -> None:
    task = await world(world.Task.init("project", "pieces"))
    log = task.get_logger()
    before = time.time()
    for iteration in range(100):
        log.report_scalar("loss", "train", value=iteration / 2, iteration=iteration)
        log.report_scalar("loss", "test", value=iteration / 4, iteration=iteration)
    log.report_scalars("speed", "train", values=[float(number) for number in range(70_000)], iterations=range(70_000))
    log.report_single_value("best", 3.5)
    found: dict[tuple[str, str], list[tuple[int, float]]] = {}
    async for chunk in pieces(task):
        assert isinstance(chunk, ScalarChunk)
        assert 0 < len(chunk) <= 65_536
        assert len(chunk.iterations) == len(chunk.times) == len(chunk.values)
        assert before - 0.01 <= min(chunk.times) <= max(chunk.times) <= time.time() + 0.01
        found.setdefault((chunk.title, chunk.series), []).extend(zip(chunk.iterations, chunk.values, strict=True))
    assert {name: len(points) for name, points in found.items()} == {
        ("loss", "train"): 100,
        ("loss", "test"): 100,
        ("speed", "train"): 70_000,
    }
    assert found["loss", "test"] == [(iteration, iteration / 4) for iteration in range(100)]
    assert found["speed", "train"] == [(number, float(number)) for number in range(70_000)]
    assert {(chunk.title, chunk.series) async for chunk in pieces(task, "loss")} == {("loss", "train"), ("loss", "test")}
    assert {(chunk.title, chunk.series) async for chunk in pieces(task, series="train")} == {("loss", "train"), ("speed", "train")}
    assert [chunk async for chunk in pieces(task, "loss", "none")] == []


async def test_single_values_are_in_no_piece_of_a_curve_of_their_title(world: World) -> None:
    task = await world(world.Task.init("project", "single"))
    task.get_logger().report_scalar("Summary", "best", value=1.0, iteration=4)
    task.get_logger().report_single_value("best", 3.5)
    chunks = [chunk async for chunk in pieces(task)]
    assert [(chunk.title, chunk.series, *chunk.iterations, *chunk.values) for chunk in chunks] == [("Summary", "best", 4, 1.0)]
    assert SINGLE_VALUE_ITERATION not in chunks[0].iterations


async def test_a_loop_over_the_pieces_may_be_left_early(world: World) -> None:
    task = await world(world.Task.init("project", "early"))
    task.get_logger().report_scalars("loss", "train", values=[0.5] * 200_000, iterations=range(200_000))
    for _ in range(3):
        found = task.iter_reported_scalars()
        if world.Task is Task:
            for chunk in found:
                assert len(chunk) > 0
                break
            found.close()
            assert list(found) == []
        else:
            assert len(await anext(found)) > 0
            await found.aclose()
            assert [chunk async for chunk in found] == []
    assert len((await world(task.get_reported_scalars()))["loss"]["train"]["y"]) == 200_000


async def test_a_task_that_is_gone_has_no_pieces(world: World) -> None:
    task = await world(world.Task.create("project", "gone"))
    await ask_home(world, task, lambda transport: transport.call(endpoints.TASKS_DELETE, {"task": task.id, "force": True}))
    with pytest.raises(NotFoundError, match=task.id):
        assert [chunk async for chunk in pieces(task)] == []
    with pytest.raises(NotFoundError, match=task.id):
        await world(task.get_reported_scalars())


# ---- what the record says


async def test_the_last_metrics_are_ordered_by_title_and_series(world: World) -> None:
    task = await world(world.Task.init("project", "last"))
    assert await world(task.get_last_scalar_metrics()) == {}
    for title, series in (("loss", "train"), ("loss", "test"), ("accuracy", "top 5"), ("accuracy", "top 1"), ("zeta", "a")):
        for iteration, value in enumerate((0.5, 0.1, 0.9, 0.25)):
            task.get_logger().report_scalar(title, series, value=value, iteration=iteration)
    found = await world(task.get_last_scalar_metrics())
    assert [(title, list(held)) for title, held in found.items()] == [
        ("accuracy", ["top 1", "top 5"]),
        ("loss", ["test", "train"]),
        ("zeta", ["a"]),
    ]
    assert all(entry == {"last": 0.25, "min": 0.1, "max": 0.9} for held in found.values() for entry in held.values())


async def test_the_last_iteration_is_the_largest_reported_or_set(world: World) -> None:
    task = await world(world.Task.init("project", "iterations"))
    ours = await is_ours(world, task)
    assert await world(task.get_last_iteration()) == 0
    task.get_logger().report_scalar("loss", "train", value=1.0, iteration=12)
    task.get_logger().report_scalar("loss", "train", value=1.0, iteration=5)
    assert await world(task.get_last_iteration()) == 12
    assert await world(task.set_last_iteration(40)) is None
    assert await world(task.get_last_iteration()) == 40
    if ours:  # no other server takes one
        assert await world((await world(world.Task.get_task(task.id))).get_last_iteration()) == 40
    task.get_logger().report_scalar("loss", "train", value=1.0, iteration=41)
    assert await world(task.get_last_iteration()) == 41
    task.get_logger().report_scalar("loss", "train", value=1.0, iteration=43)  # not stored yet, and yet before
    await world(task.set_last_iteration(3))
    assert await world(task.get_last_iteration()) == (3 if ours else 43), "no call of another server lowers it"
    task.get_logger().report_scalar("loss", "train", value=1.0, iteration=4)
    assert await world(task.get_last_iteration()) == (4 if ours else 43)
    for wrong in ("4", 4.0, None, True, -1):
        with pytest.raises(ValidationError, match="last iteration"):
            await world(task.set_last_iteration(wrong))
    await world(task.set_last_iteration(100))
    await world(task.reset())
    assert await world(task.get_last_iteration()) == 0


async def test_the_initial_iteration_shifts_what_is_reported_from_then_on(world: World) -> None:
    task = await world(world.Task.init("project", "offset"))
    assert task.get_initial_iteration() == 0
    task.get_logger().report_scalar("loss", "train", value=1.0, iteration=1)
    assert task.set_initial_iteration(100) == 100
    assert task.get_initial_iteration() == 100
    assert task.metrics_manager.iteration_offset == 100
    task.get_logger().report_scalar("loss", "train", value=2.0, iteration=1)
    task.get_logger().report_single_value("best", 3.5)
    task.reporter.report_scalar("loss", "train", 3.0, 2)
    assert (await world(task.get_reported_scalars()))["loss"]["train"] == {"x": [1, 101, 102], "y": [1.0, 2.0, 3.0]}
    assert await world(task.get_reported_single_values()) == {"best": 3.5}
    assert await world(task.get_last_iteration()) == 102
    assert task.set_initial_iteration() == 0
    for wrong in ("4", 4.0, None, True):
        with pytest.raises(ValidationError, match="initial iteration"):
            task.set_initial_iteration(wrong)


async def test_an_iteration_may_be_a_number_of_numpy_as_a_checkpoint_has_it(world: World) -> None:
    numpy = pytest.importorskip("numpy")
    task = await world(world.Task.init("project", "offset"))
    assert type(task.set_initial_iteration(numpy.int64(100))) is int
    task.get_logger().report_scalar("loss", "train", value=1.0, iteration=1)
    assert (await world(task.get_reported_scalars(max_samples=numpy.int32(5))))["loss"]["train"]["x"] == [101]
    await world(task.set_last_iteration(numpy.uint8(7)))
    assert await world(task.get_last_iteration()) == 7


async def test_the_latest_reports_of_the_console_come_in_their_order(world: World) -> None:
    task = await world(world.Task.init("project", "console"))
    assert await world(task.get_reported_console_output()) == []
    for number in range(5):
        task.get_logger().report_text(f"report {number}\nits second line", print_console=False)
    assert await world(task.get_reported_console_output()) == ["report 4\nits second line"]
    assert await world(task.get_reported_console_output(2)) == ["report 3\nits second line", "report 4\nits second line"]
    assert len(await world(task.get_reported_console_output(number_of_reports=50))) == 5
    for wrong in (0, -1, "2", 1.5, None):
        with pytest.raises(ValidationError, match="number_of_reports"):
            await world(task.get_reported_console_output(wrong))


async def test_a_long_console_is_read_in_pages(world: World) -> None:
    task = await world(world.Task.init("project", "long console"))
    count = 10_500  # a server answers 10,000 at most
    for number in range(count):
        task.get_logger().report_text(str(number), print_console=False)
    assert await world(task.get_reported_console_output(count + 5)) == [str(number) for number in range(count)]
    assert await world(task.get_reported_console_output(10_100)) == [str(number) for number in range(count - 10_100, count)]


# ---- reporter, metrics manager, labels


async def test_the_reporter_reports(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    task = await world(world.Task.init("project", "reporter"))
    reporter = task.reporter
    assert reporter
    assert reporter == task.reporter
    reporter.report_scalar("loss", "train", 0.25, 10)
    reporter.report_scalar(title="loss", series="train", value=0.5, iter=11)
    reporter.report_text("first")
    capsys.readouterr()
    reporter.report_text("second", "warning", True)
    assert capsys.readouterr().out == "second\n"
    assert reporter.flush() is True
    assert await world(task.get_reported_scalars()) == {"loss": {"train": {"x": [10, 11], "y": [0.25, 0.5]}}}
    assert await world(task.get_reported_console_output(2)) == ["first", "second"]
    assert task.id in repr(reporter)
    await world(task.close())
    with pytest.raises(TaskClosedError):
        reporter.report_scalar("loss", "train", 0.25, 12)
    with pytest.raises(TaskClosedError):
        _ = task.reporter


async def test_the_metrics_manager_knows_the_metrics(world: World) -> None:
    task = await world(world.Task.init("project", "metrics"))
    manager = task.metrics_manager
    assert manager
    assert await world(manager.get_summary()) == {}
    assert manager.write_events([("loss", "train", value, 10 * place) for place, value in enumerate((0.5, 0.1, 0.9, 0.25))]) is None
    manager.write_events(("accuracy", series, 1, 5) for series in ("top 5", "top 1"))
    found = await world(manager.get_summary())
    assert found["loss"]["train"] == {
        "last": 0.25, "min": 0.1, "max": 0.9, "last_iteration": 30, "min_iteration": 10, "max_iteration": 20, "count": 4,
    }  # fmt: skip
    assert await world(manager.get_titles()) == list(found) == ["accuracy", "loss"]
    assert await world(manager.get_series("accuracy")) == ["top 1", "top 5"]
    assert await world(manager.get_series("none")) == []
    assert manager.task_id == task.id
    assert manager.storage_uri == task.output_uri
    assert task.id in repr(manager)
    assert (await world(task.get_reported_scalars()))["loss"]["train"]["y"] == [0.5, 0.1, 0.9, 0.25]
    await world(task.close())
    with pytest.raises(TaskClosedError):
        manager.write_events([("loss", "train", 1.0, 40)])
    assert await world(manager.get_titles()) == ["accuracy", "loss"]


async def test_the_metrics_manager_names_the_output_destination(world: World, tmp_path: Any) -> None:
    task = await world(world.Task.init("project", "destination", output_uri=tmp_path / "share"))
    assert task.metrics_manager.storage_uri == task.output_uri
    assert str(tmp_path / "share") in task.metrics_manager.storage_uri


async def test_there_are_no_statistics_of_labels(world: World) -> None:
    task = await world(world.Task.create("project", "labels"))
    assert task.labels_stats == {}


# ---- only in one world


async def test_a_read_that_is_cancelled_leaves_nothing_open() -> None:
    async with Task.ainit("project", "cancelled") as task:
        task.get_logger().report_scalars("loss", "train", values=[0.5] * 200_000, iterations=range(200_000))
        await task.flush()
        for delay in (0.0, 0.001, 0.005):
            read = asyncio.create_task(task.get_reported_scalars())
            await asyncio.sleep(delay)
            read.cancel()
            await asyncio.gather(read, return_exceptions=True)
        assert len((await task.get_reported_scalars())["loss"]["train"]["y"]) == 200_000
