"""Uploads of a journal: nothing that was accepted is lost, nothing is recorded before it is there, however places and homes behave."""

# ruff: noqa: ASYNC230, ASYNC240  # files are looked at between the steps; nothing else runs on the loop of a test

from __future__ import annotations

import asyncio
import hashlib
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from atrains._engine import left_uploads
from atrains._engine.image_records import ImageAccount
from atrains._engine.journal import Journal
from atrains._engine.ledger import Ledger
from atrains._engine.recovery import recover
from atrains._engine.upload import Handle, Upload
from atrains._engine.upload_records import ARTIFACT, CALLS
from atrains._engine.uploads import Uploads
from atrains._engine.workers import DaemonExecutor
from atrains._local.transport import LocalTransport
from atrains._storage.base import Progress, StoredFile, UnreachableError
from atrains._storage.folder import FolderStorage
from atrains._storage.registry import StorageRegistry
from atrains._wire import endpoints
from atrains._wire.endpoints import Endpoint
from atrains.errors import StorageError, TransportError


class Place(FolderStorage):
    """A folder that can be away, slow or full, and counts."""

    def __init__(self) -> None:
        super().__init__()
        self.is_away = False
        self.refuses_for_now = ""
        self.delay = 0.0
        self.at_once = self.most_at_once = 0
        self.order: list[str] = []
        self.tries = 0

    async def put(self, source: Path, target_url: str, *, progress: Progress | None = None, still: bool = False) -> StoredFile:
        self.tries += 1
        if self.is_away or target_url.endswith(f"/{self.refuses_for_now}"):
            raise UnreachableError("it is away")
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(self.delay)
            stored = await super().put(source, target_url, progress=progress, still=still)
            self.order.append(Path(target_url).name)
            return stored
        finally:
            self.at_once -= 1


class Home(LocalTransport):
    """A home that can be away, and checks that no artifact is recorded before its file is there."""

    retry_interval = 0.1

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.is_away = False
        self.says_nothing = False
        self.calls: Counter[str] = Counter()

    async def call(self, endpoint: Endpoint, request: Mapping[str, Any]) -> dict[str, Any]:
        if self.is_away:
            raise TransportError("the home is away")
        if self.says_nothing:
            return {}
        self.calls[endpoint.name] += 1
        for entry in request.get("artifacts", ()):
            if entry.get("uri"):
                content = Path(entry["uri"].removeprefix("file://")).read_bytes()
                assert hashlib.sha256(content).hexdigest() == entry["hash"], entry
        return await super().call(endpoint, request)


class Bench:
    """A task in a home, and what uploads to it."""

    def __init__(self, folder: Path, workers: DaemonExecutor, limit: int) -> None:
        self.folder = folder
        self.workers = workers
        self.place = Place()
        self.home = Home(folder / "home")
        self.journals = folder / "journals"
        self.journal = Journal(self.journals, target=self.home.target, worker="host", workers=workers)
        self.uploads = self.make(limit)
        self.task = ""

    def storages(self) -> StorageRegistry:
        return StorageRegistry({"file": lambda: self.place})

    def make(self, limit: int) -> Uploads:
        return Uploads(
            self.journal,
            self.home,
            {},
            workers=self.workers,
            limit=limit,
            storages=self.storages,
            images=ImageAccount(Ledger(), 1 << 30),
        )

    async def begin(self) -> None:
        made = await self.home.call(endpoints.TASKS_CREATE, {"name": "a task", "type": "training"})
        self.task = made["id"]
        await self.home.call(endpoints.TASKS_STARTED, {"task": self.task})

    def file(self, name: str, content: bytes, *, ours: bool = True) -> Path:
        path = self.journal.folder / f"upload-{uuid.uuid4().hex}" if ours else self.folder / f"upload-{name}"
        path.write_bytes(content)
        return path

    async def add(self, name: str, content: bytes = b"content", *, ours: bool = True, **more: Any) -> Handle:
        source = self.file(name, content, ours=ours)
        url = f"file://{self.folder}/stored/{name}"
        entry = {"key": name, "type": "bytes", "mode": "output", "uri": url, "timestamp": 1}
        fields = {"record": {"entry": entry}, "kind": ARTIFACT, "ours": ours, "size": len(content), **more}
        upload = Upload(task=self.task, name=name, url=url, source=source, **fields)
        handle = await asyncio.to_thread(self.uploads.add, upload)
        self.uploads.wake()
        return handle

    async def artifacts(self) -> dict[str, dict[str, Any]]:
        record = (await self.home.call(endpoints.TASKS_GET_BY_ID, {"task": self.task}))["task"]
        return {entry["key"]: entry for entry in record["execution"].get("artifacts", [])}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        run = asyncio.create_task(self.uploads.run())
        await asyncio.sleep(0)
        try:
            yield
        finally:
            run.cancel()
            with suppress(asyncio.CancelledError):
                await run

    def left(self) -> list[str]:
        return [path.name for path in self.journal.folder.glob("upload-*")]

    def kill(self) -> None:
        """Leave the journal as a process does that was killed."""
        for file in (self.journal._series_file, self.journal._jobs_file):
            assert file is not None
            file.close()
        assert self.journal._lock_file is not None
        self.journal._lock_file.release()


@pytest.fixture
async def bench(tmp_path: Path, workers: DaemonExecutor) -> AsyncIterator[Bench]:
    made = Bench(tmp_path, workers, limit=8)
    await made.begin()
    yield made
    await made.home.aclose()


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


async def test_ten_thousand_small_ones_are_recorded_in_few_calls(bench: Bench) -> None:
    number = 2_000
    make: Callable[[int], Any] = partial(bench.add)
    async with bench.running():
        for each in range(number):
            await make(f"a{each}")  # type: ignore[arg-type]
        assert await bench.uploads.wait(None, timeout=100)
    assert bench.home.calls["tasks.add_or_update_artifacts"] <= number / 4
    assert bench.uploads.counts(bench.task).stored == number
