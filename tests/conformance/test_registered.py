"""Registered tables, one body for both worlds: stored whenever they have changed, and read back as they were."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

import pandas as pd  # noqa: TID253  # what this file is about
import pytest

from atrains.errors import TaskClosedError, TaskStatusError, UnsupportedTypeError, ValidationError
from tests.conformance.conftest import own

World = Any
SOON = 20.0
"""Seconds in which the background has done something on a machine that is busy."""


def frame() -> pd.DataFrame:
    return pd.DataFrame({"a": [1, 2, 2], "b": ["x", "y", "y"]})


async def stored(world: World, task: Any, name: str) -> pd.DataFrame:
    """The table as another object reads it from its home, once everything is there."""
    receipt = await world(task.flush(wait_for_uploads=True))
    assert receipt, receipt
    found = await world(world.Task.get_task(task.id))
    return await world(found.artifacts[name].get())


async def test_a_registered_table_is_stored_without_being_asked_for_whenever_it_changes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATRAINS_ARTIFACTS_WATCH_PERIOD", "0.1")
    task = await world(world.Task.init("project", "a run"))
    table = frame()
    task.register_artifact("table", table)

    async def until(expected: int) -> None:
        end = time.monotonic() + SOON
        while time.monotonic() < end:
            found = await world(world.Task.get_task(task.id))
            if "table" in found.artifacts and int((await world(found.artifacts["table"].get()))["a"].sum()) == expected:
                return
            await world.sleep(0.1)
        raise AssertionError(f"not stored within {SOON} s: {expected}")

    await until(5)
    table.loc[0, "a"] = 10
    await until(14)
    await world(task.close())


async def test_a_registered_table_is_stored_by_flush_and_close_and_shown_with_its_statistics(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    table, other = frame(), pd.DataFrame({"c": [2, 3], "d": ["y", "z"]})
    task.register_artifact("table", table, metadata={"origin": "a survey", "year": 2020})
    task.register_artifact("other", other)
    pd.testing.assert_frame_equal(await stored(world, task, "table"), table)
    table["a"] = [7, 8, 9]
    pd.testing.assert_frame_equal(await stored(world, task, "table"), table)
    table.loc[3] = [2, "y"]
    await world(task.close())

    found = await world(world.Task.get_task(task.id))
    artifact = found.artifacts["table"]
    pd.testing.assert_frame_equal(await world(artifact.get()), table)
    assert artifact.type == "data-audit-table"
    assert artifact.metadata == {"origin": "a survey", "year": "2020"}
    assert artifact.url.endswith("table.csv.gz")
    assert artifact.preview == f"{table!r}\n\n[table]: shape=(4, 2), 4 unique rows, 100.0% uniqueness"
    console = "\n".join(await world(found.get_reported_console_output(10)))
    assert "[table]: shape=(4, 2), 4 unique rows, 100.0% uniqueness\n\tIntersection with [other] 1 rows: 50.0%" in console
    entry = next(entry for entry in found.data["execution"]["artifacts"] if entry["key"] == "table")
    assert (entry["type_data"]["content_type"], len(entry["type_data"]["data_hash"])) == ("text/csv", 64)


async def test_a_table_that_did_not_change_is_not_stored_again(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    table = frame()
    task.register_artifact("table", table)
    await world(task.flush(wait_for_uploads=True))
    first = task.uploads["table"]
    table.loc[0, "a"] = 1  # as it was
    table.index = ["p", "q", "r"]  # which is not stored
    await world(task.flush(wait_for_uploads=True))
    assert task.uploads["table"] is first
    table.loc["p", "a"] = 2
    await world(task.flush(wait_for_uploads=True))
    assert task.uploads["table"] is not first
    await world(task.close())


async def test_unregister_artifact_stores_the_table_a_last_time(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    table = frame()
    task.register_artifact("table", table)
    await world(task.flush(wait_for_uploads=True))
    table.loc[1, "b"] = "last"
    await world(task.unregister_artifact("table"))
    kept = table.copy()
    table.loc[2, "b"] = "too late"
    assert "table" not in task.get_registered_artifacts()
    pd.testing.assert_frame_equal(await stored(world, task, "table"), kept)
    with pytest.raises(ValidationError, match=r"'table' is not registered with task .*, where nothing is"):
        await world(task.unregister_artifact("table"))
    await world(task.close())
    found = await world(world.Task.get_task(task.id))
    pd.testing.assert_frame_equal(await world(found.artifacts["table"].get()), kept)


async def test_registering_again_replaces_the_table(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    task.register_artifact("table", frame(), {"version": 1})
    await world(task.flush(wait_for_uploads=True))
    second = frame().assign(c=1.5)
    task.register_artifact("table", second, {"version": 2}, uniqueness_columns="b")
    assert task.get_registered_artifacts()["table"] is second
    pd.testing.assert_frame_equal(await stored(world, task, "table"), second)
    task.register_artifact("table", second, {"version": 3}, uniqueness_columns=["b", "gone"])  # the same content
    await stored(world, task, "table")
    artifact = (await world(world.Task.get_task(task.id))).artifacts["table"]
    assert artifact.metadata == {"version": "3"}
    assert artifact.preview.endswith("[table]: shape=(3, 3), 2 unique rows, 66.7% uniqueness")
    await world(task.close())


async def test_get_registered_artifacts_is_live(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    tables = task.get_registered_artifacts()
    assert dict(tables) == {}
    one, two = frame(), frame()
    task.register_artifact("one", one, metadata={"kept": True})
    tables["two"] = two
    assert list(tables) == ["one", "two"]
    assert tables["one"] is one
    assert task.get_registered_artifacts()["two"] is two
    for thing in (None, {"a": [1]}, one["a"], "one.csv"):
        with pytest.raises(UnsupportedTypeError, match=r"pandas\.DataFrame"):
            tables["three"] = thing
    tables["one"] = pd.concat([one, two], ignore_index=True)
    tables["two"].loc[0, "a"] = 99  # still may be modified
    assert len(await stored(world, task, "one")) == 6
    assert (await world(world.Task.get_task(task.id))).artifacts["one"].metadata == {"kept": "True"}
    assert int((await stored(world, task, "two")).loc[0, "a"]) == 99
    two.loc[1, "a"] = 77
    del tables["two"]
    assert list(tables) == ["one"]
    assert int((await stored(world, task, "two")).loc[1, "a"]) == 77
    await world(task.close())
    with pytest.raises(TaskClosedError):
        tables["late"] = one


async def test_a_table_that_is_deleted_while_it_is_looked_at_is_stored_as_it_was_in_the_end(world: World) -> None:
    written, changed = threading.Event(), threading.Event()

    class Table(pd.DataFrame):
        """A table that is changed and deleted once a copy of it is being written."""

        @property
        def _constructor(self) -> Any:
            return Table

        def to_csv(self, *args: Any, **options: Any) -> Any:
            written.set()
            assert changed.wait(SOON)
            return super().to_csv(*args, **options)

    task = await world(world.Task.init("project", "a run"))
    table = Table(frame())
    task.register_artifact("table", table)
    end = time.monotonic() + SOON
    while not written.is_set() and time.monotonic() < end:
        await world.sleep(0.01)
    assert written.is_set()
    table.loc[0, "a"] = 99
    del task.get_registered_artifacts()["table"]
    changed.set()
    assert int((await stored(world, task, "table")).loc[0, "a"]) == 99
    await world(task.close())


async def test_what_cannot_be_registered_is_refused(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    for thing in (None, {"a": [1]}, frame()["a"], "table.csv"):
        with pytest.raises(ValueError, match=f"'table' cannot be registered with task {task.id}.*only data frames of pandas"):
            task.register_artifact("table", thing)
    for name in ("", " ", None, "a\0b"):
        with pytest.raises(ValidationError, match="name"):
            task.register_artifact(name, frame())
    for columns in (False, 3, None, {"a": 1}):
        with pytest.raises(ValidationError, match="uniqueness_columns of 'table' is True or a list of columns"):
            task.register_artifact("table", frame(), uniqueness_columns=columns)
    with pytest.raises(ValidationError, match="metadata"):
        task.register_artifact("table", frame(), metadata=["no pairs"])
    assert not task.get_registered_artifacts()
    await world(task.mark_completed())
    with pytest.raises(TaskStatusError, match="completed"):
        task.register_artifact("table", frame())
    await world(task.close())
    with pytest.raises(TaskClosedError):
        task.register_artifact("table", frame())
    with pytest.raises(TaskClosedError):
        await world(task.unregister_artifact("table"))


async def test_a_registered_table_is_not_replaced_by_an_upload(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    table = frame()
    task.register_artifact("table", table)
    for _ in range(2):
        with pytest.raises(ValueError, match="'table' is a registered artifact"):
            await world(task.upload_artifact("table", {"a": 1}))
        if "table" in task.get_registered_artifacts():
            await world(task.unregister_artifact("table"))
    assert await world(task.upload_artifact("another", {"a": 1}))
    pd.testing.assert_frame_equal(await stored(world, task, "table"), table)
    await world(task.close())


async def test_a_table_that_a_thread_changes_all_the_time_is_stored_as_it_was_at_one_moment(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    table = pd.DataFrame({name: [0] * 50_000 for name in "abcd"})
    stopped = threading.Event()

    def change() -> None:
        number = 0
        while not stopped.is_set():
            number += 1
            for name in "abcd":
                table[name] = number
            time.sleep(0.03)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        task.register_artifact("table", table)
        for _ in range(3):
            found = await stored(world, task, "table")
            assert found.nunique().to_list() == [1, 1, 1, 1]
            assert found.iloc[0].max() - found.iloc[0].min() <= 1
    finally:
        stopped.set()
        thread.join()
    await world(task.close())
    pd.testing.assert_frame_equal(await world((await world(world.Task.get_task(task.id))).artifacts["table"].get()), table)


async def test_a_table_that_cannot_be_stored_is_said_and_stays_registered(world: World, caplog: pytest.LogCaptureFixture) -> None:
    task = await world(world.Task.init(own("project"), "a run"))
    table = frame()
    task.register_artifact("table", table)
    assert await world(task.flush(wait_for_uploads=True))
    await world(task.mark_completed())
    table.loc[0, "a"] = 5
    with caplog.at_level(logging.WARNING, "atrains"):
        receipt = await world(task.flush())
    assert not receipt
    assert "its status is completed" in receipt.error
    assert "table" in task.get_registered_artifacts()
    with pytest.raises(TaskStatusError):
        await world(task.unregister_artifact("table"))
    await world(task.close())


async def test_a_reset_task_gets_its_registered_tables_again(world: World) -> None:
    task = await world(world.Task.init("project", "a run"))
    table = frame()
    task.register_artifact("table", table)
    await world(task.flush(wait_for_uploads=True))
    await world(task.reset(set_started_on_success=True))
    pd.testing.assert_frame_equal(await stored(world, task, "table"), table)
    await world(task.close())
