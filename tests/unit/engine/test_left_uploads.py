"""Uploads that a loop, a run or a process leaves behind: the next one stores them, and who waits is told."""

# ruff: noqa: ASYNC240  # files are looked at between the steps; nothing else runs on the loop of a test

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from atrains._engine import left_uploads
from atrains._engine.recovery import recover
from atrains._engine.workers import DaemonExecutor
from atrains.errors import StorageError
from tests.unit.engine.uploading import (
    Bench,
    made_bench,  # noqa: F401  # a fixture
)


@pytest.mark.parametrize("turns", range(1, 12))
async def test_what_a_loop_had_begun_when_it_ended_is_stored_by_the_next(bench: Bench, turns: int) -> None:
    """A loop ends by cancelling its tasks, whether they have made their first step or not."""
    handles = [await bench.add(f"a{number}", b"%d" % number) for number in range(12)]
    unwanted = await bench.add("unwanted")
    bench.uploads.cancel(unwanted)
    before = asyncio.all_tasks()
    run = asyncio.create_task(bench.uploads.run())
    for _ in range(turns):
        await asyncio.sleep(0)
    for task in asyncio.all_tasks() - before:
        task.cancel()
    await asyncio.wait({run})
    async with bench.running():
        assert await bench.uploads.wait(None, timeout=20)
    assert [handle.future.result() for handle in handles] == [True] * 12
    assert unwanted.state == "cancelled"
    assert bench.uploads.counts(bench.task).stored == 12
    assert sorted(await bench.artifacts()) == sorted(handle.upload.name for handle in handles)
    assert bench.left() == []


@pytest.mark.parametrize("seconds", [0.0, 0.02, 0.05, 0.1])
async def test_what_a_loop_had_begun_that_stands_still_is_stored_by_the_next(bench: Bench, seconds: float) -> None:
    """A loop that is stopped runs none of its tasks to an end, and does not cancel them either."""
    handles = [await bench.add(f"a{number}", b"%d" % number) for number in range(12)]
    loop = asyncio.new_event_loop()
    runs = []

    def begin() -> None:
        runs.append(loop.create_task(bench.uploads.run()))
        loop.run_until_complete(asyncio.sleep(seconds))

    await asyncio.to_thread(begin)
    async with bench.running():
        assert await bench.uploads.wait(None, timeout=20)
    assert [handle.future.result() for handle in handles] == [True] * 12
    assert bench.uploads.counts(bench.task).stored == 12
    assert sorted(await bench.artifacts()) == sorted(handle.upload.name for handle in handles)
    assert bench.left() == []

    def end() -> None:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.close()

    await asyncio.to_thread(end)


@pytest.mark.parametrize("stage", ["before", "uploading", "recording"])
async def test_what_a_killed_process_left_is_stored_by_the_next(bench: Bench, stage: str, workers: DaemonExecutor) -> None:
    bench.place.is_away = stage == "before"
    bench.place.delay = 30.0 if stage == "uploading" else 0.0
    async with bench.running():
        bench.home.is_away = stage == "recording"
        for number in range(5):
            await bench.add(f"a{number}", b"%d" % number)
        await bench.add("a0", b"newer", identity="") if stage != "recording" else None
        await asyncio.sleep(0.2)
    bench.kill()
    bench.place.is_away = bench.home.is_away = False
    bench.place.delay = 0.0
    outcome = await recover(bench.journals, bench.home, workers, storages=bench.storages)
    assert len(outcome.uploads) == 5
    assert not outcome.failed_uploads
    found = await bench.artifacts()
    assert set(found) == {f"a{number}" for number in range(5)}
    assert list(bench.journals.iterdir()) == []


async def test_a_recovery_waits_for_a_place_that_is_away_and_marks_what_is_gone(bench: Bench, workers: DaemonExecutor) -> None:
    bench.place.is_away = True
    async with bench.running():
        await bench.add("kept")
        lost = await bench.add("lost", ours=False)
        Path(str(lost.upload.source)).unlink()
    bench.kill()
    outcome = await recover(bench.journals, bench.home, workers, storages=bench.storages)
    assert [found.why for found in outcome.left] == ["it cannot be delivered now (it is away)"]
    bench.place.is_away = False
    outcome = await recover(bench.journals, bench.home, workers, storages=bench.storages)
    assert outcome.uploads == ["kept"]
    assert "no regular file" in outcome.failed_uploads["lost"]
    assert "uri" not in (await bench.artifacts())["lost"]


async def test_a_recovery_stores_what_it_can_where_one_file_is_not_taken_now(
    bench: Bench, workers: DaemonExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(left_uploads, "_BATCH", 2)
    bench.place.refuses_for_now = "small"
    await bench.add("small", b"x")
    for number in range(4):
        await bench.add(f"larger {number}", b"x" * 100)
    bench.kill()
    outcome = await recover(bench.journals, bench.home, workers, storages=bench.storages)
    assert [found.why for found in outcome.left] == ["it cannot be delivered now (it is away)"]
    assert set(await bench.artifacts()) == {f"larger {number}" for number in range(4)}


async def test_who_waits_when_the_journal_is_let_go_of_is_told(bench: Bench) -> None:
    handle = await bench.add("a")
    bench.uploads.abandon()
    with pytest.raises(StorageError, match=r"'a' of task .* is kept in"):
        await asyncio.wrap_future(handle.future)


async def test_a_run_that_is_cancelled_goes_on_where_the_next_begins(bench: Bench) -> None:
    bench.place.delay = 0.05
    handles = [await bench.add(f"a{number}") for number in range(12)]
    for _ in range(40):
        async with bench.running():
            await asyncio.sleep(0.08)
        if all(handle.is_over for handle in handles):
            break
    assert len(await bench.artifacts()) == 12
