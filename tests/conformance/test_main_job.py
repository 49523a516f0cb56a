"""The main job, one body for both worlds: record a run, find it, read it back."""

# ruff: noqa: ASYNC240  # files are looked at between the calls; nothing else runs on the loop of a test

from __future__ import annotations

import logging
import os
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlparse

import pytest

from atrains import Receipt, TaskTypes, _config
from atrains.errors import (
    NotFoundError,
    TaskClosedError,
    UnsupportedTypeError,
    UsageError,
    ValidationError,
)

World = Any
CREDENTIALS: Final = {
    "api_host": "API_HOST",
    "web_host": "WEB_HOST",
    "files_host": "FILES_HOST",
    "key": "API_ACCESS_KEY",
    "secret": "API_SECRET_KEY",
}
"""The arguments of `set_credentials`, and the variables of the same meaning."""

# ---- a run and its end


async def test_a_run_is_in_progress_until_it_is_closed(world: World) -> None:
    task = await world(world.Task.init("project", "a run", TaskTypes.testing))
    assert (task.name, task.task_type, task.is_main_task()) == ("a run", "testing", True)
    assert len(task.id) == 32
    assert task.task_id == task.id
    assert await world(task.get_project_name()) == "project"
    assert await world(task.get_status()) == "in_progress"
    await world(task.close())
    assert await world(task.get_status()) == "completed"
    await world(task.close())
    assert world.Task.current_task() is None


async def test_the_task_of_this_context_is_the_current_one(world: World) -> None:
    other = await world(world.Task.create("project", "a draft"))
    task = await world(world.Task.init("project", "a run"))
    with pytest.warns(DeprecationWarning, match="is_main_task"):
        assert (task.is_current_task(), other.is_current_task()) == (True, False)


async def test_a_run_knows_whether_an_agent_executes_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    draft = await world(world.Task.create("project", "a draft"))
    assert draft.running_locally() is True
    monkeypatch.setenv("CLEARML_TASK_ID", draft.id)
    _config.reset()
    assert world.Task.running_locally() is False


async def test_credentials_are_used_where_nothing_else_names_a_server(world: World, home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValidationError, match="api_host"):
        world.Task.set_credentials(api_host="no address")
    given = {name: os.environ.get(f"ATRAINS_{name}") or os.environ.get(f"CLEARML_{name}") for name in CREDENTIALS.values()}
    for name in given:
        for prefix in ("ATRAINS_", "CLEARML_", "TRAINS_"):
            monkeypatch.delenv(prefix + name, raising=False)
    world.Task.set_credentials(**{argument: given[name] for argument, name in CREDENTIALS.items()})
    task = await world(world.Task.create("project", "a draft"))
    page = urlparse(task.get_output_log_web_page())
    assert page.scheme == ("file" if home == "in-process" else "http")
    assert page.netloc == ("" if home == "in-process" else urlparse(given["WEB_HOST"]).netloc)
    assert await world(task.get_status()) == "created"


async def test_a_second_init_returns_the_open_task(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    assert await world(world.Task.init("project", "a run")) is task
    assert await world(world.Task.init(task_type=None)) is task
    with pytest.raises(UsageError, match=r"task_name='another'.*'a run'"):
        await world(world.Task.init("project", "another"))
    await world(task.close())
    assert (await world(world.Task.init("project", "another"))).id != task.id


async def test_a_block_ends_its_run(world: World) -> None:
    async with world.run_of("project", "a block") as task:
        task.get_logger().report_scalar("loss", "train", 0.5, 1)
    assert await world(task.get_status()) == "completed"
    assert await world(task.get_last_iteration()) == 1


async def test_a_block_that_an_exception_leaves_has_failed_and_says_why(world: World) -> None:
    with pytest.raises(RuntimeError, match="no more data"):  # noqa: PT012  # the block is what is tested
        async with world.run_of("project", "a block") as task:
            task.get_logger().report_scalar("loss", "train", 0.5, 1)
            raise RuntimeError("no more data")
    found = await world(world.Task.get_task(task.id))
    assert await world(found.status) == "failed"
    assert found.data["status_reason"] == "RuntimeError: no more data"
    assert (await world(found.get_reported_scalars()))["loss"]["train"]["y"] == [0.5]


async def test_after_close_reading_works_and_writing_says_so(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    log = task.get_logger()
    log.report_scalar("loss", "train", 0.5, 3)
    await world(task.close())
    assert await world(task.get_last_iteration()) == 3
    assert task.is_closed
    for write in (
        lambda: log.report_scalar("loss", "train", 0.5, 4),
        lambda: log.report_text("late"),
        task.get_logger,
        lambda: task.connect({"lr": 1}),
        lambda: task.set_name("another name"),
        lambda: task.upload_artifact("late", {}),
    ):
        with pytest.raises(TaskClosedError, match=task.id):
            await world(write())
    assert await world(task.get_last_iteration()) == 3


# ---- other tasks


async def test_a_created_task_is_a_draft(world: World) -> None:
    draft = await world(world.Task.create("project", "a draft", "qc"))
    assert (await world(draft.status), draft.task_type, draft.is_main_task()) == ("created", "qc", False)
    assert world.Task.current_task() is None
    await world(draft.close())
    assert await world(draft.get_status()) == "created"


async def test_a_created_task_takes_the_project_of_the_main_task(world: World) -> None:
    with pytest.raises(UsageError, match="project_name"):
        await world(world.Task.create(task_name="a draft"))
    main = await world(world.Task.init("parent/child", "main"))
    draft = await world(world.Task.create(task_name="a draft"))
    assert draft.project == main.project
    assert await world(draft.get_project_name()) == "parent/child"


async def test_a_task_is_found_by_id_and_by_names(world: World) -> None:
    made = await world(world.Task.create("project", "a.name (1)"))
    for arguments in ({"task_id": made.id}, {"project_name": "project", "task_name": "a.name (1)"}, {"task_name": "a.name (1)"}):
        assert (await world(world.Task.get_task(**arguments))).id == made.id
    assert await world(world.Task.get_task(project_name="project", task_name="a.name")) is None
    assert await world(world.Task.get_task(project_name="project", task_name="aXname (1)")) is None
    with pytest.raises(NotFoundError, match="'nowhere'"):
        await world(world.Task.get_task(project_name="nowhere", task_name="a.name (1)"))
    with pytest.raises(NotFoundError, match="f" * 32):
        await world(world.Task.get_task("f" * 32))
    with pytest.raises(UsageError, match="task_id"):
        await world(world.Task.get_task())


async def test_of_several_tasks_of_a_name_the_latest_is_taken_and_archived_ones_last(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    first = await world(world.Task.create("project", "the same"))
    await world.sleep(0.01)
    second = await world(world.Task.create("project", "the same"))
    with caplog.at_level(logging.WARNING, logger="atrains"):
        assert (await world(world.Task.get_task(project_name="project", task_name="the same"))).id == second.id
    assert first.id in caplog.text
    await world(second.set_system_tags(["archived"]))
    assert (await world(world.Task.get_task(project_name="project", task_name="the same"))).id == first.id
    await world(first.set_system_tags(["archived"]))
    assert await world(world.Task.get_task(project_name="project", task_name="the same")) is not None


async def test_reports_to_another_task_arrive_while_it_runs_and_after(world: World) -> None:
    training = await world(world.Task.init("project", "training"))
    training.get_logger().report_scalar("loss", "training", 1, 0)
    other = await world(world.Task.get_task(training.id))
    other.get_logger().report_scalar("loss", "testing", 2, 0)
    assert await world(other.flush())
    await world(training.close())
    assert await world(other.get_status()) == "completed"
    other.get_logger().report_scalar("loss", "testing", 3, 1)
    await world(other.close())
    assert await world(training.get_reported_scalars()) == {
        "loss": {"training": {"x": [0], "y": [1.0]}, "testing": {"x": [0, 1], "y": [2.0, 3.0]}}
    }
    assert await world(training.get_status()) == "completed"


# ---- parameters


async def test_connected_dictionaries_are_stored_as_text(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    given: dict[str, Any] = {"lr": 1e-3, "epochs": 3, "shuffle": True, "name": "adam", "none": None, "sizes": [1, 2]}
    assert await world(task.connect(given)) == given
    await world(task.connect({"optimizer": {"name": "adam", "decay": {"rate": 0.5}}}, name="Model"))
    expected = {
        "General": {"lr": "0.001", "epochs": "3", "shuffle": "True", "name": "adam", "none": "", "sizes": "[1, 2]"},
        "Model": {"optimizer": {"name": "adam", "decay": {"rate": "0.5"}}},
    }
    assert task.get_parameters_as_dict() == expected
    assert task.get_parameters()["Model/optimizer/decay/rate"] == "0.5"
    await world(task.close())
    assert (await world(world.Task.get_task(task.id))).get_parameters_as_dict() == expected


async def test_connecting_again_changes_what_is_given_and_keeps_the_rest(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    await world(task.connect({"lr": 0.1, "epochs": 3}))
    await world(task.connect({"lr": 0.2}))
    assert task.get_parameters_as_dict() == {"General": {"lr": "0.2", "epochs": "3"}}


async def test_an_empty_dictionary_and_an_unsupported_object(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    assert await world(task.connect({})) == {}
    with pytest.raises(UnsupportedTypeError, match="int"):
        await world(task.connect(42))
    assert task.get_parameters_as_dict() == {}


# ---- reporting and reading back


async def test_scalars_come_back_as_they_were_reported(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    log = task.get_logger()
    assert task.logger is log
    for step in (0, 1, 2):
        log.report_scalar("loss", "train", value=1 / (step + 1), iteration=step)
    log.report_scalar("loss", "test", 0.1, -(2**63))
    log.report_scalar("loss", "test", 1e300, 2**62)
    log.report_scalars("accuracy", "train", values=[0.25, 0.5, 0.75], iterations=range(10, 40, 10))
    log.report_single_value("score", 0.75)
    log.report_single_value("score", 0.8)
    assert await world(task.get_reported_single_values()) == {"score": 0.8}
    curves = await world(task.get_reported_scalars())
    assert curves["loss"]["train"] == {"x": [0, 1, 2], "y": [1.0, 0.5, 1 / 3]}
    assert curves["loss"]["test"]["x"] == [-(2**63), 2**62]
    assert curves["accuracy"]["train"] == {"x": [10, 20, 30], "y": [0.25, 0.5, 0.75]}
    assert set(curves) == {"loss", "accuracy"}


async def test_the_three_x_axes(world: World) -> None:
    before = time.time()
    task = await world(world.Task.init("project", "a run"))
    for step in range(3):
        task.get_logger().report_scalar("a", "b", step, step * 10)
        await world.sleep(0.05)
    iterations = (await world(task.get_reported_scalars(x_axis="iter")))["a"]["b"]
    seconds = (await world(task.get_reported_scalars(x_axis="timestamp")))["a"]["b"]
    times = (await world(task.get_reported_scalars(x_axis="iso_time")))["a"]["b"]
    assert iterations["x"] == [0, 10, 20]
    assert iterations["y"] == seconds["y"] == times["y"] == [0.0, 1.0, 2.0]
    assert all(0 <= value <= time.time() - before + 0.01 for value in seconds["x"])
    assert seconds["x"][1] - seconds["x"][0] == pytest.approx(0.05, abs=0.045)
    moments = [datetime.fromisoformat(text) for text in times["x"]]
    assert all(moment.utcoffset() == timedelta(0) for moment in moments)
    assert before - 0.01 <= moments[0].timestamp() <= moments[2].timestamp() <= time.time()
    with pytest.raises(ValidationError, match="iter, timestamp, iso_time"):
        await world(task.get_reported_scalars(x_axis="epoch"))


async def test_max_samples_are_means_of_windows(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    task.get_logger().report_scalars("a", "b", values=[float(step) for step in range(1000)], iterations=range(1000))
    assert len((await world(task.get_reported_scalars()))["a"]["b"]["x"]) == 1000
    sampled = (await world(task.get_reported_scalars(max_samples=10)))["a"]["b"]
    assert len(sampled["x"]) == len(sampled["y"]) == 10
    assert sampled["y"][0] == pytest.approx(49.5, abs=1)
    assert sampled["y"] == sorted(sampled["y"])
    with pytest.raises(ValidationError, match="-1"):
        await world(task.get_reported_scalars(max_samples=-1))


async def test_last_metrics_and_last_iteration(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    assert await world(task.get_last_iteration()) == 0
    assert await world(task.get_last_scalar_metrics()) == {}
    for step, value in enumerate([3.0, 1.0, 2.0]):
        task.get_logger().report_scalar("a", "b", value, step)
    assert await world(task.get_last_scalar_metrics()) == {"a": {"b": {"last": 2.0, "min": 1.0, "max": 3.0}}}
    assert await world(task.get_last_iteration()) == 2


async def test_an_initial_iteration_shifts_what_is_reported_after_it(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    assert task.get_initial_iteration() == 0
    task.get_logger().report_scalar("a", "b", 0, 0)
    assert task.set_initial_iteration(100) == 100
    task.get_logger().report_scalar("a", "b", 1, 1)
    task.get_logger().report_scalars("a", "b", values=[2], iterations=[2])
    assert (await world(task.get_reported_scalars()))["a"]["b"]["x"] == [0, 101, 102]


async def test_console_lines_come_back_in_order(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    task = await world(world.Task.init("project", "a run"))
    assert await world(task.get_reported_console_output()) == []
    task.get_logger().report_text("epoch %d of %s", logging.INFO, True, 3, "ten")
    task.get_logger().report_text("quiet", print_console=False)
    task.get_logger().report_text("ünïcode\nin two lines", print_console=False)
    assert await world(task.get_reported_console_output()) == ["ünïcode\nin two lines"]
    assert await world(task.get_reported_console_output(2)) == ["quiet", "ünïcode\nin two lines"]
    assert (await world(task.get_reported_console_output(number_of_reports=50)))[0] == "epoch 3 of ten"
    assert capsys.readouterr().out == "epoch 3 of ten\n"


async def test_flush_gives_a_receipt_and_stats_balance(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    log = task.get_logger()
    for step in range(100):
        log.report_scalar("a", "b", step, step)
    log.report_text("hello", print_console=False)
    receipt: Receipt = await world(task.flush())
    assert receipt
    assert (receipt.scalars.acknowledged, receipt.logs.acknowledged, receipt.error) == (100, 1, None)
    log.report_scalar("a", "b", float("nan"), 100)
    log.report_scalar("a", "b", 1.0, 101)
    receipt = await world(task.flush(True, timeout=20))
    assert not receipt
    stats = await world(task.stats())
    for counts in (receipt.scalars, stats.scalars):
        assert (counts.reported, counts.acknowledged, counts.pending) == (102, 101, 0)
        assert sum(counts.dropped.values()) == 1
    assert stats.claimed >= 101
    assert not stats.in_memory


async def test_what_was_reported_is_seen_by_the_next_question(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    for step in range(20):
        task.get_logger().report_scalar("a", "b", step, step)
        assert await world(task.get_last_iteration()) == step


# ---- names, tags, comment


async def test_names_tags_and_comment_can_be_changed(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    await world(task.set_name("  a better name  "))
    await world(task.set_comment("why it was run"))
    await world(task.set_tags("one two"))
    await world(task.add_tags(["two", "three words here"]))
    assert task.get_system_tags() == ["development"]
    await world(task.close())
    found = await world(world.Task.get_task(project_name="project", task_name="a better name"))
    assert (found.id, found.name, found.comment) == (task.id, "a better name", "why it was run")
    assert found.get_tags() == ["one", "two", "three words here"]
    await world(found.set_comment(""))
    assert found.comment == ""
    with pytest.raises(ValidationError, match="3 characters"):
        await world(found.set_name("  x "))


async def test_half_characters_are_stored_as_something_whole(world: World) -> None:
    task = await world(world.Task.create("project", "a draft"))
    await world(task.set_comment("a\udcff"))  # as in the name of a file that is not UTF-8
    await world(task.set_tags(["b\udcff"]))
    await world(task.set_parameter("c\udcff", 1))
    assert (task.comment, task.get_tags(), task.get_parameter("c\udcff")) == ("a?", ["b?"], "1")
    found = await world(world.Task.get_task(task.id))
    assert (found.comment, found.get_tags(), found.get_parameter("c\udcff")) == ("a?", ["b?"], "1")


async def test_reload_shows_what_others_changed(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    other = await world(world.Task.get_task(task.id))
    await world(other.set_tags(["from elsewhere"]))
    assert task.get_tags() == []
    await world(task.reload())
    assert task.get_tags() == ["from elsewhere"]


async def test_the_web_page_of_a_task_is_its_folder_or_that_of_its_server(world: World, atrains_home: Path, home: str) -> None:
    task = await world(world.Task.init("project", "a run"))
    page = urlparse(task.get_output_log_web_page())
    assert task.cache_dir.name == task.id
    if home == "in-process":
        assert page.scheme == "file"
        assert Path(page.path) == atrains_home / "tasks" / task.id
        assert Path(page.path).is_dir()
    else:
        assert page.scheme in {"http", "https"}
        assert task.id in page.path
