"""The journal of a dead process: every whole event of it is delivered once, whatever happened to its files or to a recovery."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import subprocess
import sys
import time
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atrains._engine import journals, records, segments
from atrains._engine.dead import DeadJournal
from atrains._engine.frame_files import read_frames
from atrains._engine.journal import Journal
from atrains._engine.journals import Left
from atrains._engine.ledger import RESET, Ledger
from atrains._engine.reader import JournalReader
from atrains._engine.recovery import Recovered, recover
from atrains._engine.workers import DaemonExecutor
from atrains._local.streams import read_records
from atrains._local.transport import LocalTransport
from atrains._wire import endpoints
from atrains._wire.events import EventBlock, EventKind, RecordBlock

SOAK = os.environ.get("ATRAINS_SOAK") == "1"
TARGET = "local:/somewhere"

Event = tuple[Any, ...]


@dataclass
class Recorded:
    """A journal that a process left, and where in its files each event stands: file, first byte, byte behind the last, event."""

    folder: Path
    places: list[tuple[str, int, int, Event]] = field(default_factory=list)

    @property
    def events(self) -> list[Event]:
        return [event for *_, event in self.places]


def write_journal(parent: Path, *, target: str = TARGET, tasks: tuple[str, ...] = ("a" * 32, "b" * 32), rounds: int = 30) -> Path:
    """Report points, arrays, texts and plots to some tasks, and leave the journal as a process does that was killed."""
    workers = DaemonExecutor(1)
    journal = Journal(parent, target=target, worker="host", workers=workers)
    for task in tasks:
        journal.add_job("run", task, {"name": "n"})
    for number in range(rounds):
        for task in tasks:
            journal.scalars.append(journal.register_series(task, "title", f"series {number // 10}"), number, number / 2)
        task = tasks[number % len(tasks)]
        if number % 3 == 0:
            event = {"timestamp": number, "level": "info", "msg": f"line {number} ATF1", "worker": "host"}
            journal.records.append({"kind": "logs", "task": task, "event": event})
        if number % 5 == 0:
            header = {"kind": "scalars", "task": task, "title": "array", "series": str(number), "time": 1.5, "rows": 3}
            steps = array("q", range(number, number + 3))
            journal.records.append(header, [memoryview(steps), memoryview(array("d", [0.25] * 3))])
        if number % 7 == 0:
            plot = {"timestamp": number, "metric": "m", "variant": "v", "iter": number, "plot_str": "{}"}
            journal.records.append({"kind": "plots", "task": task, "event": plot})
    workers.shutdown()
    journal.records.release_files()
    journal._series_file.close()
    journal._jobs_file.close()
    journal._lock_file.release()
    return journal.folder


def event_of_header(header: Any, body: bytes) -> Event:
    if header["kind"] == "scalars":
        return ("array", header["task"], header["title"], header["series"], tuple(array("q", body[:24])), tuple(array("d", body[24:])))
    return (header["kind"], header["task"], orjson.dumps(header["event"], option=orjson.OPT_SORT_KEYS))


def look_up(folder: Path) -> Recorded:
    """Where everything stands, found without the code under test."""
    recorded = Recorded(folder)
    names = {frame.header["id"]: frame.header for frame in read_frames(folder / "series")[0]}
    for path in sorted(folder.iterdir()):
        if path.name.startswith("scalars-"):
            for index, (iteration, _, value, _, series) in enumerate(segments.SLOT.iter_unpack(path.read_bytes())):
                if series:
                    name = names[series]
                    event = ("point", name["task"], name["title"], name["series"], iteration, value)
                    recorded.places.append((path.name, index * 32, index * 32 + 32, event))
        elif path.name.startswith("records-"):
            for frame in read_frames(path)[0]:
                recorded.places.append((path.name, frame.start, frame.end, event_of_header(frame.header, bytes(frame.body))))
    return recorded


def events_of_block(block: EventBlock) -> Iterator[Event]:
    if isinstance(block, RecordBlock):
        for record in block.events:
            yield (str(block.kind), block.task, orjson.dumps(record, option=orjson.OPT_SORT_KEYS))
        return
    series = block.series if block.series is not None else [0] * len(block)
    for number, iteration, value in zip(series, block.iterations, block.values, strict=True):
        yield ("point", block.task, *block.names[number], iteration, value)


def flat(events: list[Event]) -> Counter[Event]:
    """Arrays as their points: a reader may put several into one block."""
    found: Counter[Event] = Counter()
    for event in events:
        if event[0] == "array":
            found.update(("point", *event[1:4], step, value) for step, value in zip(event[4], event[5], strict=True))
        else:
            found[event] += 1
    return found


def read_dead(folder: Path) -> tuple[Counter[Event], DeadJournal]:
    """Everything that a recovery would deliver of a folder."""
    (found,) = journals.find(folder.parent, TARGET)
    journal = journals.take(found)
    assert journal is not None
    reader, events = JournalReader(journal, Ledger(), ()), Counter[Event]()
    while True:
        before = reader.position
        for block in reader.read(large=True):
            events.update(events_of_block(block))
        reader.advance()
        if reader.position == before:
            break
    journal.release()
    return events, journal


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """A small journal with several files of each stream."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segments, "FIRST_SLOTS", 16)
        patch.setattr(segments, "SLOTS", 32)
        patch.setattr(records, "FILE_BYTES", 1500)
        folder = write_journal(tmp_path_factory.mktemp("recorded"))
    found = look_up(folder)
    assert len(found.events) == 60 + 10 + 6 + 5
    assert len([*folder.glob("scalars-*")]) >= 3
    assert len([*folder.glob("records-*")]) >= 3
    return found


FILES = ("series", "jobs", "scalars", "records")


def files_of(recorded: Recorded, stream: str) -> list[Path]:
    return sorted(recorded.folder.glob(f"{stream}*"))


def copy_of(recorded: Recorded, parent: Path) -> Path:
    shutil.rmtree(parent, ignore_errors=True)
    return Path(shutil.copytree(recorded.folder, parent / recorded.folder.name))


def whole_ends(path: Path) -> set[int]:
    """Where a file may end without anything being torn."""
    if path.name.startswith("scalars-"):
        return set(range(0, path.stat().st_size + 1, 32))
    return {0, *(frame.end for frame in read_frames(path)[0])}


def test_the_whole_journal_is_read_back(recorded: Recorded, tmp_path: Path) -> None:
    events, journal = read_dead(copy_of(recorded, tmp_path / "journals"))
    assert events == flat(recorded.events)
    assert journal.damage == []
    assert [job.kind for job in journal.jobs] == ["run", "run"]


def some_bytes_of(path: Path, ends: set[int], random_number: random.Random) -> list[int]:
    """The places of a file to look at: where something ends, before and behind that, and one in every eight bytes; ATRAINS_SOAK=1: all."""
    size = path.stat().st_size
    if os.environ.get("ATRAINS_SOAK") == "1":
        return list(range(size))
    near = {end + step for end in ends for step in (-1, 0, 1)}
    return sorted(place for place in near.union(range(random_number.randrange(8), size, 8)) if 0 <= place < size)


@pytest.mark.parametrize("stream", FILES)
def test_a_journal_cut_off_at_any_byte_gives_back_all_that_is_whole(recorded: Recorded, tmp_path: Path, stream: str) -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)  # noqa: T201  # shown when it fails
    random_number = random.Random(seed)
    for original in files_of(recorded, stream):
        folder, ends = copy_of(recorded, tmp_path / "journals"), whole_ends(original)
        for size in reversed(some_bytes_of(original, ends, random_number)):  # shorter and shorter: nothing is to be written
            folder = next(folder.parent.iterdir())  # a recovery renames it
            path = folder / original.name
            os.truncate(path, size)
            named = names_in(folder)
            whole = [
                event
                for file, _, end, event in recorded.places
                if (file != path.name or end <= size) and (event[0] != "point" or event[1:4] in named)
            ]
            events, journal = read_dead(folder)
            assert events == flat(whole), f"{path.name} cut off at {size}"
            torn = [(part.path.name, part.start, part.end) for part in journal.damage if part.torn]
            last = max(end for end in ends if end <= size)
            assert torn == ([] if size in ends else [(path.name, last, size)]), f"{path.name} cut off at {size}"
            if stream == "jobs":
                assert len(journal.jobs) == len(ends & set(range(1, size + 1)))


def change(path: Path, place: int, mask: int) -> None:
    """Turn some bits of one byte; doing it again turns them back."""
    with path.open("r+b") as file:
        file.seek(place)
        (byte,) = file.read(1)
        file.seek(place)
        file.write(bytes([byte ^ mask]))


def names_in(folder: Path) -> set[tuple[str, str, str]]:
    """The series that the journal names."""
    headers = [frame.header for frame in read_frames(folder / "series")[0]]
    return {(header["task"], header["title"], header["series"]) for header in headers}


@pytest.mark.parametrize("stream", FILES)
def test_a_changed_byte_costs_the_one_event_that_it_is_in(recorded: Recorded, tmp_path: Path, stream: str) -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)  # noqa: T201  # shown when it fails
    random_number = random.Random(seed)
    for original in files_of(recorded, stream):
        folder = copy_of(recorded, tmp_path / "journals")
        for place in some_bytes_of(original, whole_ends(original), random_number):
            folder = next(folder.parent.iterdir())  # a recovery renames it
            path = folder / original.name
            change(path, place, mask := random_number.randrange(1, 256))
            named = names_in(folder)
            whole = [
                event
                for file, start, end, event in recorded.places
                if (file != path.name or not start <= place < end) and (event[0] != "point" or event[1:4] in named)
            ]
            events, journal = read_dead(folder)
            missing = flat(whole) - events
            assert not missing, f"byte {place} of {path.name}, seed {seed}"
            if stream != "scalars":  # a slot has no checksum: what it says then is believed, if it can be
                assert events == flat(whole), f"byte {place} of {path.name}, seed {seed}"
                assert any(part.path.name == path.name and part.start <= place < part.end for part in journal.damage)
            change(journal.folder / path.name, place, mask)


# ---- delivered to a home


@dataclass
class Home:
    """A home with some tasks that run, and the journals beside it."""

    path: Path
    transport: LocalTransport
    workers: DaemonExecutor
    tasks: tuple[str, ...]

    @property
    def journals(self) -> Path:
        return self.path / "journals"

    @property
    def target(self) -> str:
        return self.transport.target

    async def recover(self) -> Recovered:
        return await recover(self.journals, self.transport, self.workers)

    def write(self, **options: Any) -> Path:
        return write_journal(self.journals, target=self.target, tasks=self.tasks, **options)

    def stored(self) -> Counter[Event]:
        """Every event of the home, those that stand there twice twice."""
        events: Counter[Event] = Counter()
        for task in self.tasks:
            for block in self.transport.store.read_scalars(task):
                events.update(events_of_block(block))
            for kind in (EventKind.LOGS, EventKind.PLOTS):
                lines = read_records(self.transport.store.task_folder(task), kind)
                events.update((str(kind), task, orjson.dumps(line, option=orjson.OPT_SORT_KEYS)) for line in lines)
        return events

    async def statuses(self) -> list[tuple[str, str]]:
        fields = ["status", "status_reason"]
        answer = await self.transport.call(
            endpoints.TASKS_GET_ALL, {"id": list(self.tasks), "only_fields": fields, "order_by": ["created"]}
        )
        return [(task["status"], task.get("status_reason", "")) for task in answer["tasks"]]


FAILED = ("failed", "process ended without closing")


async def make_home(path: Path, workers: DaemonExecutor) -> Home:
    transport = LocalTransport(path, workers=workers)
    tasks = []
    for name in ("first", "second"):
        tasks.append((await transport.call(endpoints.TASKS_CREATE, {"name": name, "type": "training", "input": {"view": {}}}))["id"])
        await transport.call(endpoints.TASKS_STARTED, {"task": tasks[-1]})
    return Home(path, transport, workers, tuple(tasks))


@pytest.fixture
async def home(tmp_path: Path, workers: DaemonExecutor) -> Any:
    made = await make_home(tmp_path / "home", workers)
    yield made
    await made.transport.aclose()


@pytest.fixture
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "FIRST_SLOTS", 16)
    monkeypatch.setattr(segments, "SLOTS", 32)
    monkeypatch.setattr(records, "FILE_BYTES", 1500)


async def test_a_killed_run_is_delivered_and_fails(home: Home) -> None:
    recorded = look_up(home.write())
    outcome = await home.recover()
    assert home.stored() == flat(recorded.events)
    assert await home.statuses() == [FAILED, FAILED]
    assert outcome.journals == [recorded.folder]
    assert outcome.events == {"scalars": 60 + 18, "logs": 10, "plots": 5}
    assert outcome.statuses == dict.fromkeys(home.tasks, "failed")
    assert (outcome.left, outcome.damaged, outcome.refused) == ([], [], {})
    assert [*home.journals.iterdir()] == []


async def test_what_was_delivered_and_deleted_before_the_kill_is_not_looked_for(home: Home, small_files: None) -> None:
    """A long run deletes its first files while it goes on; the files behind them are not to be overlooked."""
    recorded = look_up(home.write())
    for path in (min(recorded.folder.glob("records-*")), min(recorded.folder.glob("scalars-*"))):
        recorded.places = [place for place in recorded.places if place[0] != path.name]
        path.unlink()
    await home.recover()
    assert home.stored() == flat(recorded.events)


async def test_slots_that_were_never_filled_are_passed(home: Home, small_files: None) -> None:
    recorded = look_up(home.write())
    lost = set()
    for number, (file, start, _, event) in enumerate(recorded.places):
        if event[0] == "point" and number % 5 < 2:
            with (recorded.folder / file).open("r+b") as slots:
                slots.seek(start)
                slots.write(bytes(32))
            lost.add(number)
    await home.recover()
    assert home.stored() == flat([event for number, event in enumerate(recorded.events) if number not in lost])


async def test_the_same_journal_found_twice_is_stored_once(home: Home) -> None:
    """A home that was restored from a backup may hold a journal again that was delivered long ago."""
    folder = home.write()
    recorded = look_up(folder)
    shutil.copytree(folder, home.path / "backup")
    await home.recover()
    shutil.move(home.path / "backup", folder)
    outcome = await home.recover()
    assert home.stored() == flat(recorded.events)
    assert outcome.events == {}
    assert outcome.journals == [folder]


@pytest.mark.parametrize("round_number", range(60 if SOAK else 6))
async def test_what_a_process_had_delivered_before_it_was_killed_is_not_delivered_again(
    home: Home, small_files: None, monkeypatch: pytest.MonkeyPatch, round_number: int
) -> None:
    """In slices of any size, by several recoveries that died themselves."""
    del round_number
    seed = random.randrange(1 << 32)
    print("seed", seed)  # noqa: T201  # shown when it fails
    random_number = random.Random(seed)
    folder = home.write()
    recorded = look_up(folder)
    for _ in range(3):
        (found,) = journals.find(home.journals, home.target)
        journal = journals.take(found)
        assert journal is not None
        for size in ("SLICE", "LARGE_SLICE"):
            monkeypatch.setattr(f"atrains._engine.reader.{size}", random_number.randrange(1, 12))
        monkeypatch.setattr("atrains._engine.reader.RECORD_BYTES", random_number.randrange(1, 2000))
        reader = JournalReader(journal, Ledger(), await home.transport.stored_spans(journal.id))
        for _ in range(random_number.randrange(8)):
            blocks = reader.read(large=random_number.random() < 0.5)
            await asyncio.gather(*(home.transport.add_events([block]) for block in blocks[: random_number.randrange(len(blocks) + 1)]))
            if random_number.random() < 0.3:
                break  # killed before the rest was sent
            await asyncio.gather(*(home.transport.add_events([block]) for block in blocks))
            reader.advance(blocks)
        journal.release()
    monkeypatch.undo()
    before = home.stored()
    outcome = await home.recover()
    assert home.stored() == flat(recorded.events), f"seed {seed}"
    assert sum(outcome.events.values()) == sum(flat(recorded.events).values()) - sum(before.values()), f"seed {seed}"
    assert await home.statuses() == [FAILED, FAILED]


async def test_a_recovery_that_died_is_gone_on_with(home: Home) -> None:
    recorded = look_up(home.write())
    (found,) = journals.find(home.journals, home.target)
    journal = journals.take(found)
    assert journal is not None
    assert journal.folder.name == f"recovering-{recorded.folder.name}"
    reader = JournalReader(journal, Ledger(), ())
    await home.transport.add_events(reader.read(large=False)[:1])
    journal.mark_done(journal.jobs[0])
    journal.release()
    await home.recover()
    assert home.stored() == flat(recorded.events)
    assert [*home.journals.iterdir()] == []


async def test_many_recoveries_at_once_deliver_everything_once(home: Home) -> None:
    recorded = [look_up(home.write()) for _ in range(5)]
    others = [LocalTransport(home.path, workers=home.workers) for _ in range(4)]
    outcomes = await asyncio.gather(*(recover(home.journals, transport, home.workers) for transport in others))
    assert home.stored() == flat([event for journal in recorded for event in journal.events])
    assert sorted(folder for outcome in outcomes for folder in outcome.journals) == sorted(journal.folder for journal in recorded)
    assert await home.statuses() == [FAILED, FAILED]
    for transport in others:
        await transport.aclose()


async def test_a_recovery_that_is_cancelled_can_be_repeated_at_once(home: Home) -> None:
    recorded = [look_up(home.write()) for _ in range(4)]
    for turns in range(0, 120, 3):
        recovering = asyncio.ensure_future(home.recover())
        for _ in range(turns):
            await asyncio.sleep(0)
        recovering.cancel()
        await asyncio.wait({recovering})
    while left := (await home.recover()).left:  # a thread of a cancelled one may still hold a lock
        assert {found.left for found in left} <= {Left.RUNNING}
    assert home.stored() == flat([event for journal in recorded for event in journal.events])


async def test_journals_that_are_not_ours_to_deliver_are_left_and_listed(home: Home, workers: DaemonExecutor) -> None:
    foreign = write_journal(home.journals, target="somebody@https://api.elsewhere")
    newer, torn, nobodys = home.write(), home.write(), home.write()
    description = orjson.loads((newer / "journal.json").read_bytes())
    (newer / "journal.json").write_bytes(orjson.dumps(description | {"format": 99}))
    os.truncate(torn / "journal.json", 20)
    (nobodys / "journal.json").write_bytes(orjson.dumps({"format": 1, "target": home.target}))
    running = Journal(home.journals, target=home.target, worker="host", workers=workers)
    (home.journals / "notes").mkdir()
    (home.journals / "file").write_text("somebody's")
    before = {path: path.read_bytes() for path in home.journals.rglob("*") if path.is_file()}
    outcome = await home.recover()
    assert {found.folder: found.left for found in outcome.left} == {
        foreign: Left.FOREIGN,
        newer: Left.UNKNOWN_VERSION,
        torn: Left.DAMAGED,
        nobodys: Left.DAMAGED,
        running.folder: Left.RUNNING,
        home.journals / "notes": Left.DAMAGED,
    }
    words = " ".join(found.why for found in outcome.left)
    for named in ("somebody@https://api.elsewhere", "version 99, this atrains reads 1", "still running"):
        assert named in words
    assert before == {path: path.read_bytes() for path in home.journals.rglob("*") if path.is_file()}
    assert home.stored() == {}
    running.close(delivered=True)


async def test_a_home_that_is_in_trouble_leaves_the_journal_for_later(
    home: Home, small_files: None, caplog: pytest.LogCaptureFixture
) -> None:
    """The home cannot store a single event: its folder of events became a file."""
    recorded = look_up(home.write())
    shutil.rmtree(home.path / "tasks" / home.tasks[0] / "events")
    (home.path / "tasks" / home.tasks[0] / "events").write_text("")
    outcome = await home.recover()
    assert [(found.left, found.folder.name) for found in outcome.left] == [(Left.NOT_NOW, f"recovering-{recorded.folder.name}")]
    assert "cannot be delivered now" in outcome.left[0].why
    (home.path / "tasks" / home.tasks[0] / "events").unlink()
    (home.path / "tasks" / home.tasks[0] / "events").mkdir()
    assert (await home.recover()).left == []
    assert home.stored() == flat(recorded.events)


async def test_events_of_a_task_that_was_published_are_dropped_and_named(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    recorded = look_up(home.write())
    await home.transport.call(endpoints.TASKS_STOPPED, {"task": home.tasks[0]})
    await home.transport.call(endpoints.TASKS_PUBLISH, {"task": home.tasks[0]})
    outcome = await home.recover()
    kept, dropped = Counter[Event](), Counter[Event]()
    for event, count in flat(recorded.events).items():
        (kept if event[1] == home.tasks[1] else dropped)[event] = count
    assert home.stored() == kept
    assert outcome.refused == {home.tasks[0]: dropped.total()}
    assert outcome.statuses == {home.tasks[1]: "failed"}
    assert [home.tasks[0] in message for message in caplog.messages] == [True]


async def test_the_status_that_was_intended_is_set_and_later_runs_count_more(home: Home) -> None:
    workers = DaemonExecutor(1)
    journal = Journal(home.journals, target=home.target, worker="host", workers=workers)
    first, second = home.tasks
    journal.add_job("run", first, {})
    journal.add_job("status", first, {"status": "stopped", "status_reason": "interrupted"})
    journal.add_job("status", second, {"status": "completed", "status_reason": "of an earlier run"})
    journal.add_job("run", second, {})
    journal.close(delivered=False)
    workers.shutdown()
    await home.recover()
    assert await home.statuses() == [("stopped", "interrupted"), FAILED]


@pytest.mark.parametrize("missing", ["journal.json", "lock", "series", "jobs"])
async def test_a_kill_in_the_removal_of_a_journal_leaves_nothing_for_ever(home: Home, missing: str) -> None:
    folder = home.write()
    await home.recover()
    stored = home.stored()
    shutil.rmtree(home.journals)
    folder = home.write()  # of which everything was delivered, let us say, and the removal had begun
    (folder / missing).unlink()
    assert (await home.recover()).left == []
    assert [*home.journals.iterdir()] == []
    assert home.stored() == stored


async def test_what_a_kill_left_unnamed_is_cleared_away_once_nobody_can_be_at_it(home: Home) -> None:
    folder = home.write()
    unnamed = folder.rename(folder.with_name(f".{folder.name}"))
    await home.recover()
    assert unnamed.is_dir()
    long_ago = time.time() - 7200
    os.utime(unnamed, (long_ago, long_ago))
    await home.recover()
    assert not unnamed.exists()


@given(data=st.data())
@settings(max_examples=400 if SOAK else 25, deadline=None)
def test_no_damage_keeps_a_recovery_from_its_end(recorded: Recorded, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    async def body() -> None:
        workers = DaemonExecutor(2)
        home = await make_home(tmp_path_factory.mktemp("home"), workers)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(segments, "FIRST_SLOTS", 16)
            patch.setattr(segments, "SLOTS", 32)
            patch.setattr(records, "FILE_BYTES", 1500)
            folder = home.write()
        places = look_up(folder).places
        touched: dict[str, list[int]] = {}
        paths = [path for path in sorted(folder.iterdir()) if path.name not in {"journal.json", "lock"}]
        for _ in range(data.draw(st.integers(1, 6))):
            path = data.draw(st.sampled_from(paths))
            size = path.stat().st_size
            if not size:
                continue
            place = data.draw(st.integers(0, size - 1))
            if data.draw(st.booleans()):
                os.truncate(path, place)
                touched.setdefault(path.name, []).extend(range(place, size))
            else:
                change(path, place, data.draw(st.integers(1, 255)))
                touched.setdefault(path.name, []).append(place)
        named = names_in(folder)
        whole = [
            event
            for file, start, end, event in places
            if not any(start <= place < end for place in touched.get(file, ())) and (event[0] != "point" or event[1:4] in named)
        ]
        outcome = await home.recover()
        assert outcome.left == []
        assert not flat(whole) - home.stored()
        assert [*home.journals.iterdir()] == []
        for task in home.tasks:  # what was stored can be asked for
            for key in ("iter", "timestamp"):
                await home.transport.call(endpoints.EVENTS_SCALAR_HISTOGRAM, {"task": task, "key": key})
        await home.transport.aclose()
        workers.shutdown()

    asyncio.run(body())


# ---- reset in the middle of a run


@dataclass
class Run:
    """A journal that is being written, and its reader."""

    journal: Journal
    ledger: Ledger
    reader: JournalReader
    series: dict[str, int]

    def report(self, task: str, numbers: range) -> None:
        for number in numbers:
            self.journal.scalars.append(self.series[task], number, 0.5)
            event = {"timestamp": number, "level": "info", "msg": str(number), "worker": "host"}
            self.journal.records.append({"kind": "logs", "task": task, "event": event})

    async def deliver(self, home: Home) -> None:
        while blocks := self.reader.read(large=False):
            await home.transport.add_events(blocks)
            self.reader.advance(blocks)

    def kill(self) -> None:
        """Let go of the files as the end of a process does."""
        self.journal.records.release_files()
        self.journal._lock_file.release()
        self.journal._series_file.close()
        self.journal._jobs_file.close()


@pytest.fixture
def run(home: Home) -> Run:
    journal, ledger = Journal(home.journals, target=home.target, worker="host", workers=home.workers), Ledger()
    for task in home.tasks:
        journal.add_job("run", task, {})
    series = {task: journal.register_series(task, "t", "s") for task in home.tasks}
    return Run(journal, ledger, JournalReader(journal, ledger), series)


async def reset(home: Home, run: Run, task: str) -> None:
    before = run.reader.end()
    run.journal.finish_job(run.journal.add_job("reset", task, {"slots": before.slots, "records": before.records}))
    await home.transport.call(endpoints.TASKS_RESET, {"task": task})
    await home.transport.call(endpoints.TASKS_STARTED, {"task": task})
    run.reader.forget(task, before)


def numbers_in(home: Home, task: str) -> tuple[list[int], list[int]]:
    points = [iteration for block in home.transport.store.read_scalars(task) for iteration in block.iterations]
    lines = read_records(home.transport.store.task_folder(task), EventKind.LOGS)
    return points, [int(line["msg"]) for line in lines]


@pytest.mark.parametrize("delivered", ["before", "both", "nothing"])
async def test_what_was_reset_stays_away_after_a_kill(home: Home, run: Run, delivered: str) -> None:
    first, second = home.tasks
    for task in (first, second):
        run.report(task, range(100))
    if delivered != "nothing":
        await run.deliver(home)
    run.report(second, range(100, 150))
    await reset(home, run, first)
    for task in (second, first):
        run.report(task, range(200, 250))
    if delivered == "both":
        await run.deliver(home)
        for task in (first, second):
            run.report(task, range(300, 310))
    run.kill()
    await home.recover()
    later = [*range(200, 250), *(range(300, 310) if delivered == "both" else ())]
    assert numbers_in(home, first) == (later, later)
    assert numbers_in(home, second) == ([*range(150), *later], [*range(150), *later])
    assert await home.statuses() == [FAILED, FAILED]


async def test_what_was_not_delivered_before_a_reset_is_dropped_and_the_ledger_says_so(home: Home, run: Run) -> None:
    first, second = home.tasks
    for task in (first, second):
        run.report(task, range(100))
    await reset(home, run, first)
    run.report(first, range(200, 250))
    await run.deliver(home)
    assert numbers_in(home, first) == ([*range(200, 250)], [*range(200, 250)])
    assert numbers_in(home, second) == ([*range(100)], [*range(100)])
    counts = run.reader.counts(first)
    for kind in (EventKind.SCALARS, EventKind.LOGS):
        assert (counts[kind].acknowledged, counts[kind].pending, counts[kind].dropped) == (50, 0, {RESET: 100})
    assert run.reader.counts(second)[EventKind.SCALARS].reported == 100
    run.journal.close(delivered=True)


# ---- what holds a task


def test_a_journal_holds_the_tasks_that_it_may_have_something_for(tmp_path: Path, workers: DaemonExecutor) -> None:
    own = Journal(tmp_path, target=TARGET, worker="host", workers=workers)
    run_here, closed_here, elsewhere, child, nobody = (letter * 32 for letter in "abcde")
    own.add_job("run", run_here, {})
    own.finish_job(own.add_job("run", closed_here, {}))
    other = Journal(tmp_path, target=TARGET, worker="host", workers=workers)
    other.finish_job(other.add_job("run", elsewhere, {}))
    other.records.append({"kind": "logs", "task": child, "event": {"msg": f'not "{nobody}"'}})
    held = {task for task in (run_here, closed_here, elsewhere, child, nobody) if journals.holds(tmp_path, own, task)}
    assert held == {run_here, elsewhere, child}
    for journal in (own, other):
        journal.close(delivered=True)
    assert not journals.holds(tmp_path, None, elsewhere)
    assert not journals.holds(tmp_path / "none", None, elsewhere)


def test_a_task_is_held_at_every_moment_of_a_recovery(tmp_path: Path, workers: DaemonExecutor) -> None:
    """A recovery renames the folder; whoever looks right then must not find the task free."""
    task = "a" * 32
    script = """
import pathlib, sys, time
for _ in range(100):
    for made in pathlib.Path(sys.argv[1]).iterdir():
        name = made.name.removeprefix("recovering-")
        turned = name if made.name != name else f"recovering-{name}"
        made.rename(made.with_name(turned))
        time.sleep(0.0005)
"""
    for other in "bcdefghijk":
        write_journal(tmp_path, tasks=(other * 32,), rounds=1)
    write_journal(tmp_path, tasks=(task,))
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)]) as renaming:
        looks = 0
        while renaming.poll() is None:
            assert journals.holds(tmp_path, None, task)
            looks += 1
    assert looks
