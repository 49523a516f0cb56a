"""Uploads of a journal: nothing that was accepted is lost, nothing is recorded before it is there, however places and homes behave."""

# ruff: noqa: ASYNC110, ASYNC230, ASYNC240  # files are looked at between the steps; nothing else runs on the loop of a test

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from atrains._engine.upload import Upload
from atrains._engine.upload_records import CALLS
from atrains._storage.base import Progress, StoredFile
from atrains._storage.registry import StorageRegistry
from atrains._wire import endpoints
from tests.unit.engine.uploading import (
    Bench,
    Place,
    made_bench,  # noqa: F401  # a fixture
)


async def test_what_is_added_is_stored_then_recorded_and_leaves_nothing(bench: Bench) -> None:
    async with bench.running():
        handles = [await bench.add(f"a{number}", b"%d" % number) for number in range(50)]
        assert await bench.uploads.wait(bench.task, timeout=20)
    assert all(handle.future.result() for handle in handles)
    found = await bench.artifacts()
    assert {name: entry["content_size"] for name, entry in found.items()} == {f"a{number}": len(str(number)) for number in range(50)}
    assert bench.left() == []
    assert bench.uploads.counts(bench.task).stored == 50
    assert bench.home.calls["tasks.add_or_update_artifacts"] < 50  # many by one call
    assert not bench.journal._open_jobs


async def test_the_smallest_go_first_and_no_more_than_so_many_at_once(bench: Bench) -> None:
    sizes = [50, 10, 40, 20, 30]
    for size in sizes:
        await bench.add(f"s{size}", bytes(size))
    bench.place.delay = 0.02
    async with bench.running():
        assert await bench.uploads.wait(None, timeout=20)
    assert bench.place.order[:2] in (["s10", "s20"], ["s20", "s10"])
    assert bench.place.order[-1] in {"s50", "s40"}
    assert bench.place.most_at_once == 2  # on the disks of this machine


async def test_the_limit_holds_at_a_server(bench: Bench) -> None:
    registry = StorageRegistry({"http": lambda: Web(bench.place, bench.folder)})
    bench.uploads._storages = registry
    bench.place.delay = 0.05
    async with bench.running():
        for number in range(30):
            await add_web(bench, number)
        assert await bench.uploads.wait(None, timeout=20)
    assert bench.place.most_at_once == 8


class Late(Place):
    """Takes a whole file and stores it a while later, like a server also where the request is given up meanwhile."""

    late = 0.2

    async def put(self, source: Path, target_url: str, *, progress: Progress | None = None, still: bool = False) -> StoredFile:
        del still
        content, target = source.read_bytes(), Path(target_url.removeprefix("file://"))
        assert progress is not None
        progress(len(content))

        async def store(late: float) -> StoredFile:
            await asyncio.sleep(late)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            return StoredFile(url=target_url, size=len(content), sha256=hashlib.sha256(content).hexdigest())

        return await asyncio.shield(asyncio.create_task(store(self.late)))


async def test_what_a_server_has_whole_is_not_stored_after_what_takes_its_place(bench: Bench) -> None:
    bench.place = late = Late()
    async with bench.running():
        first = await bench.add("a", b"old")
        while first.sent < len(b"old"):
            await asyncio.sleep(0.001)
        late.late = 0.0
        await bench.add("a", b"newer")
        assert await bench.uploads.wait(bench.task, timeout=20)
        await asyncio.sleep(0.3)
    (entry,) = (await bench.artifacts()).values()
    content = Path(entry["uri"].removeprefix("file://")).read_bytes()
    assert (content, hashlib.sha256(content).hexdigest()) == (b"newer", entry["hash"])


class Web:
    """Stands for a server: stores into the folder."""

    def __init__(self, place: Place, folder: Path) -> None:
        self._place, self._folder = place, folder

    async def put(self, source: Path, target_url: str, *, progress: Progress | None = None, still: bool = False) -> StoredFile:
        stored = await self._place.put(source, f"file://{self._folder}/web/{target_url.rpartition('/')[2]}", progress=progress, still=still)
        return stored._replace(url=target_url)


async def add_web(bench: Bench, number: int) -> None:
    source = bench.file(f"w{number}", b"x")
    upload = Upload(
        task=bench.task,
        name=f"w{number}",
        kind=CALLS,
        record={"calls": [], "failed": []},
        url=f"http://somewhere/w{number}",
        source=source,
        ours=True,
    )
    await asyncio.to_thread(bench.uploads.add, upload)
    bench.uploads.wake()


async def test_a_place_that_is_away_is_asked_seldom_and_taken_up_when_it_is_back(bench: Bench) -> None:
    bench.place.is_away = True
    async with bench.running():
        handles = [await bench.add(f"a{number}") for number in range(20)]
        assert not await bench.uploads.wait(None, timeout=0.5)
        assert bench.place.tries < 10
        assert {str(handle.state) for handle in handles} <= {"queued", "uploading"}
        assert any("away" in (handle.error or "") for handle in handles)
        assert len(bench.uploads.counts(bench.task).pending) == 20
        bench.place.is_away = False
        assert await bench.uploads.wait(None, timeout=20)
    assert len(await bench.artifacts()) == 20


async def test_one_file_that_is_never_taken_keeps_no_larger_one_back(bench: Bench) -> None:
    bench.place.refuses_for_now = "small"
    async with bench.running():
        small = await bench.add("small", b"x")
        larger = [await bench.add(f"larger {number}", b"x" * 100) for number in range(5)]
        async with asyncio.timeout(10):
            assert all([await asyncio.wrap_future(handle.future) for handle in larger])
        assert (small.state, small.error) == ("queued", "it is away")


async def test_who_waits_for_one_behind_others_hears_that_the_place_is_away(bench: Bench) -> None:
    bench.place.is_away = True
    async with bench.running():
        await bench.add("small", b"x")
        waited_for = await bench.add("larger", b"x" * 100)
        assert not await bench.uploads.wait(None, timeout=2)
        assert waited_for.tries >= 2
        assert waited_for.error == "it is away"


async def test_a_home_that_is_away_gets_the_records_when_it_is_back(bench: Bench) -> None:
    async with bench.running():
        bench.home.is_away = True
        handle = await bench.add("a")
        assert not await bench.uploads.wait(None, timeout=0.5)
        assert (handle.state, handle.error) == ("recording", "the home is away")
        bench.home.is_away = False
        assert await bench.uploads.wait(None, timeout=20)
    assert set(await bench.artifacts()) == {"a"}


async def test_a_wait_gives_up_where_nothing_moves(bench: Bench) -> None:
    bench.place.is_away = True
    async with bench.running():
        await bench.add("a")
        begun = time.monotonic()
        assert not await bench.uploads.wait(None, stall=0.6)
        assert 0.5 < time.monotonic() - begun < 5


async def test_what_cannot_be_stored_is_marked_and_said(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    async with bench.running():
        handle = await bench.add("gone")
        ours = Path(str(handle.upload.source))
        lost = await bench.add("lost", ours=False)
        Path(str(lost.upload.source)).unlink()
        assert await bench.uploads.wait(None, timeout=20)
    assert handle.future.result() is True
    assert not ours.exists()
    assert (lost.future.result(), lost.state) == (False, "failed")
    assert "no regular file" in bench.uploads.counts(bench.task).failed["lost"]
    entry = (await bench.artifacts())["lost"]
    assert "uri" not in entry
    assert "hash" not in entry
    assert "no regular file" in dict(entry["display_data"])["upload failed"]
    assert [message.count("'lost'") for message in caplog.messages] == [1]


async def test_a_file_that_changes_is_read_once_more_then_fails(bench: Bench, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(bytes(8 << 20))
    once = await bench.add("still", bytes(8 << 20), ours=False)
    growing = asyncio.Event()

    async def grow() -> None:
        source = Path(str(once.upload.source))
        while not growing.is_set():
            with source.open("ab") as file:
                file.write(b"x")
            await asyncio.sleep(0.0005)

    writer = asyncio.create_task(grow())
    async with bench.running():
        assert await bench.uploads.wait(None, timeout=20)
    growing.set()
    await writer
    assert bench.place.tries == 2
    assert "changed while it was read" in str(once.error)
    assert "uri" not in (await bench.artifacts())["still"]
    assert not (bench.folder / "stored" / "still").exists()


async def test_a_refusal_of_one_record_fails_that_one_alone(bench: Bench) -> None:
    bad = {"entry": {"key": 3, "type": "bytes", "uri": None}}
    async with bench.running():
        handles = [await bench.add(f"a{number}") for number in range(5)]
        wrong = await bench.add("wrong", record=bad)
        assert await bench.uploads.wait(None, timeout=20)
    assert all(handle.future.result() for handle in handles)
    assert wrong.state == "failed"
    assert "refuses" in str(wrong.error)


async def test_calls_are_made_once_the_file_is_there_or_others_when_it_failed(bench: Bench) -> None:
    def record(text: str) -> dict[str, Any]:
        return {
            "calls": [["tasks.edit", {"task": "", "comment": text, "force": True}]],
            "failed": [["tasks.edit", {"task": "", "comment": f"no {text}", "force": True}]],
        }

    async with bench.running():
        await bench.add("model", kind=CALLS, record=record("model"))
        assert await bench.uploads.wait(None, timeout=20)
        assert (await bench.home.call(endpoints.TASKS_GET_BY_ID, {"task": bench.task}))["task"]["comment"] == "model"
        bench.place.delay = 0.2  # time to remove it
        lost = await bench.add("lost", ours=False, kind=CALLS, record=record("lost"))
        Path(str(lost.upload.source)).unlink()
        assert await bench.uploads.wait(None, timeout=20)
    assert lost.future.result() is False
    assert (await bench.home.call(endpoints.TASKS_GET_BY_ID, {"task": bench.task}))["task"]["comment"] == "no lost"


@pytest.mark.parametrize("stage", ["queued", "uploading"])
async def test_a_cancelled_upload_leaves_nothing(bench: Bench, stage: str) -> None:
    bench.place.delay = 30.0 if stage == "uploading" else 0.0
    bench.place.is_away = stage == "queued"
    async with bench.running():
        handle = await bench.add("a")
        await asyncio.sleep(0.1)
        assert handle.state == stage
        bench.uploads.cancel(handle)
        bench.uploads.wake()
        assert await bench.uploads.wait(None, timeout=20)
    assert (handle.state, handle.future.result()) == ("cancelled", False)
    assert bench.left() == []
    assert await bench.artifacts() == {}
    assert not bench.journal._open_jobs
    assert not bench.uploads.counts(bench.task).failed


async def test_an_answer_that_nobody_foresaw_is_said_once_and_asked_for_again_after_a_rest(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.home.says_nothing = True
    async with bench.running():
        handle = await bench.add("a", ours=False)
        Path(str(handle.upload.source)).unlink()  # what failed is recorded with a look at what is there
        await asyncio.sleep(0.5)
        assert 1 <= handle.tries < 10
        assert handle.state == "recording"
        bench.home.says_nothing = False
        assert await bench.uploads.wait(None, timeout=20)
    assert handle.state == "failed"
    assert [record.getMessage() for record in caplog.records].count("atrains: 'a' could not be recorded") == 1


async def test_only_the_last_of_those_with_one_identity_counts(bench: Bench) -> None:
    bench.place.delay = 0.05
    async with bench.running():
        handles = [await bench.add("same", b"%d" % number, identity="same") for number in range(10)]
        assert await bench.uploads.wait(None, timeout=20)
    assert handles[-1].future.result() is True
    assert (bench.folder / "stored" / "same").read_bytes() == b"9"
    assert (await bench.artifacts())["same"]["hash"] == hashlib.sha256(b"9").hexdigest()


async def test_a_given_file_is_removed_once_it_is_recorded_unless_it_changed(bench: Bench, tmp_path: Path) -> None:
    for name in ("given", "changed"):
        (tmp_path / f"upload-{name}").touch()
    await asyncio.sleep(0.05)
    bench.home.is_away = True
    async with bench.running():
        for name in ("given", "changed"):
            source = tmp_path / f"upload-{name}"
            await bench.add(name, ours=False, remove=(str(source),))
        await asyncio.sleep(0.3)
        assert (tmp_path / "upload-given").exists()
        await asyncio.sleep(0.05)
        (tmp_path / "upload-changed").write_bytes(b"newer")
        bench.home.is_away = False
        assert await bench.uploads.wait(None, timeout=20)
    assert not (tmp_path / "upload-given").exists()
    assert (tmp_path / "upload-changed").read_bytes() == b"newer"


async def test_ten_thousand_small_ones_are_recorded_in_few_calls(bench: Bench) -> None:
    number = 2_000
    make: Callable[[int], Any] = partial(bench.add)
    async with bench.running():
        for each in range(number):
            await make(f"a{each}")  # type: ignore[arg-type]
        assert await bench.uploads.wait(None, timeout=100)
    assert bench.home.calls["tasks.add_or_update_artifacts"] <= number / 4
    assert bench.uploads.counts(bench.task).stored == number
