"""The journal's folder: made whole or not at all, locked while its process lives, gone once everything was delivered."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from atrains._engine.frame_files import read_frames
from atrains._engine.journal import FORMAT_VERSION, Journal
from atrains._engine.ledger import Ledger
from atrains._engine.reader import JournalReader
from atrains._engine.workers import DaemonExecutor
from atrains._storage.locks import FolderLock
from atrains._wire.events import EventBlock
from atrains.errors import HomeError

ReadAll = Callable[[JournalReader], list[EventBlock]]


def test_the_folder_is_private_and_says_whose_it_is(journal: Journal) -> None:
    assert stat.S_IMODE(journal.folder.stat().st_mode) == 0o700
    description = orjson.loads((journal.folder / "journal.json").read_bytes())
    assert description["format"] == FORMAT_VERSION
    assert (description["journal"], description["target"], description["worker"]) == (journal.id, "local:/somewhere", "host")
    assert description["pid"] == os.getpid()


def test_jobs_are_numbered_and_marked(journal: Journal) -> None:
    first, second = journal.add_job("run", "task", {"name": "n"}), journal.add_job("status", "task", {"status": "failed"})
    journal.finish_job(first)
    frames, damage = read_frames(journal.folder / "jobs")
    assert (first, second, damage) == (1, 2, [])
    assert [dict(frame.header) | {"time": 0} for frame in frames] == [
        {"job": 1, "kind": "run", "task": "task", "time": 0, "name": "n"},
        {"job": 2, "kind": "status", "task": "task", "time": 0, "status": "failed"},
        {"done": 1, "time": 0},
    ]


def test_nobody_else_gets_the_lock_until_the_journal_is_closed_or_its_process_dead(tmp_path: Path, workers: DaemonExecutor) -> None:
    journal = Journal(tmp_path, target="t", worker="w", workers=workers)
    other = FolderLock(journal.folder / "lock")
    assert not other.acquire()
    journal.close(delivered=False)
    assert other.acquire()
    other.release()
    other.release()
    script = "import sys, time, pathlib; from atrains._storage.locks import FolderLock; lock = FolderLock(pathlib.Path(sys.argv[1])); "
    script += "print(lock.acquire(), flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "lock")], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        waiting = FolderLock(tmp_path / "lock")
        assert not waiting.acquire()
        holder.kill()
        holder.wait()
        assert waiting.acquire()
        waiting.release()


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"))


@pytest.mark.parametrize("delivered", [True, False])
def test_a_closed_journal_keeps_no_file_open(tmp_path: Path, workers: DaemonExecutor, delivered: bool) -> None:
    before = open_descriptors()
    for _ in range(20):
        journal = Journal(tmp_path, target="t", worker="w", workers=workers)
        journal.records.append({"kind": "logs", "task": "t", "event": {}})
        journal.close(delivered=delivered)
    assert open_descriptors() == before
    assert len(list(tmp_path.iterdir())) == (0 if delivered else 20)


def test_a_place_that_cannot_be_written_to_is_named_and_nothing_is_left_there(tmp_path: Path, workers: DaemonExecutor) -> None:
    import resource

    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(HomeError, match=r"file.*ATRAINS_HOME"):
        Journal(tmp_path / "file", target="t", worker="w", workers=workers)
    before = open_descriptors()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))  # journal.json does not fit: a full disk, in small
    try:
        with pytest.raises(HomeError, match="cannot make a journal"):
            Journal(tmp_path / "full", target="t", worker="w", workers=workers)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list((tmp_path / "full").iterdir()) == []
    assert open_descriptors() == before


def test_a_report_after_the_close_is_refused_and_not_lost(
    tmp_path: Path, workers: DaemonExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    """A thread that is in the middle of a report when the task is closed must be told, so that the drop is counted."""
    journal = Journal(tmp_path, target="t", worker="w", workers=workers)
    series = journal.register_series("task", "t", "s")
    assert journal.scalars.append(series, 1, 0.5)
    journal.close(delivered=True)
    assert not journal.scalars.append(series, 2, 0.5)
    for late in (
        lambda: journal.records.append({"kind": "logs", "task": "t", "event": {}}),
        lambda: journal.register_series("task", "t", "other"),
        lambda: journal.add_job("run", "task", {}),
    ):
        with pytest.raises(HomeError):
            late()
    assert list(tmp_path.iterdir()) == []
    assert not caplog.records


def test_a_sealed_journal_takes_nothing_and_gives_everything(journal: Journal, read_all: ReadAll) -> None:
    series = journal.register_series("task", "t", "s")
    taken = [0] * 4
    stop = threading.Event()

    def report(thread: int) -> None:
        while not stop.is_set() and journal.scalars.append(series, taken[thread], 0.5):
            taken[thread] += 1

    threads = [threading.Thread(target=report, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    while sum(taken) < 20_000:
        pass
    journal.seal()
    for thread in threads:
        thread.join(10)
    stop.set()
    reader = JournalReader(journal, Ledger())
    assert sum(map(len, read_all(reader))) == sum(taken)
    assert not reader.has_unread()


def test_a_segment_made_ahead_does_not_stand_in_the_way_of_the_close(tmp_path: Path) -> None:
    """The worker thread that makes it may come late: after the files were deleted, before the folder is."""
    late: list[Callable[[], object]] = []

    class Queue(DaemonExecutor):
        def submit(self, fn: Callable[..., object], /, *args: object, **_: object) -> None:  # type: ignore[override]
            late.append(lambda: fn(*args))

    queue = Queue(1)
    journal = Journal(tmp_path, target="t", worker="w", workers=queue)
    journal.scalars.append(journal.register_series("task", "t", "s"), 1, 0.5)
    assert len(late) == 1
    journal.scalars.close()
    late[0]()
    assert list(journal.folder.glob("scalars-*")) == []
    journal.close(delivered=True)
    assert list(tmp_path.iterdir()) == []
    queue.shutdown()


def test_a_journal_that_somebody_deleted_can_be_closed(tmp_path: Path, workers: DaemonExecutor) -> None:
    import shutil

    journal = Journal(tmp_path, target="t", worker="w", workers=workers)
    journal.scalars.append(journal.register_series("task", "t", "s"), 1, 0.5)
    while not journal.scalars._spares:
        time.sleep(0.001)
    shutil.rmtree(journal.folder)
    journal.close(delivered=True)


def test_a_closed_task_is_left_to_the_file_and_a_late_point_of_it_finds_its_name(journal: Journal, read_all: ReadAll) -> None:
    reader = JournalReader(journal, Ledger())
    late, other = journal.register_series("closed", "loss", "train"), journal.register_series("open", "loss", "train")
    journal.scalars.append(late, 0, 0.5)
    for task in ("closed", "open"):
        journal.records.append({"kind": "logs", "task": task, "event": {"msg": "a line"}})
    read_all(reader)
    journal.forget("closed")
    assert [[*file.counts] for file in journal.records._files] == [[("open", "logs")]]
    assert (journal._series, journal._ids) == ({other: ("open", "loss", "train")}, {"open": {("loss", "train"): other}})
    journal.scalars.append(late, 1, 1.5)  # by a thread that was held in the middle of its call
    [block] = read_all(reader)
    assert (block.task, [*block.names], [*block.values]) == ("closed", [("loss", "train")], [1.5])  # type: ignore[union-attr]
    assert journal.register_series("closed", "loss", "train") not in {late, other}  # opened again


def test_what_is_not_in_the_file_is_not_forgotten(tmp_path: Path, workers: DaemonExecutor) -> None:
    journal = Journal(tmp_path, target="t", worker="w", workers=workers, on_disk=False)
    number = journal.register_series("closed", "loss", "train")
    journal.forget("closed")
    assert journal.series(number) == ("closed", "loss", "train")
    journal.close(delivered=True)
