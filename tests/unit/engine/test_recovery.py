"""The journal of a dead process: every whole event of it is delivered once, whatever happened to its files or to a recovery."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from atrains._engine import journals, records, segments
from atrains._engine.journal import Journal
from atrains._engine.journals import Left
from atrains._engine.ledger import RESET, Ledger
from atrains._engine.reader import JournalReader
from atrains._engine.recovery import recover
from atrains._engine.workers import DaemonExecutor
from atrains._local.streams import read_records
from atrains._local.transport import LocalTransport
from atrains._wire import endpoints
from atrains._wire.events import EventKind
from tests.unit.engine.dead import SOAK, TARGET, Event, Home, flat, look_up, make_home, write_journal

FAILED = ("failed", "process ended without closing")


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
