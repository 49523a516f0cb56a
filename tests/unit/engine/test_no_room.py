"""A full disk: points are kept in memory, said once, and go to the disk again when there is room. Never a signal, never an exception."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest

from atrains._engine import segments
from atrains._engine.journal import Journal
from atrains._engine.ledger import Ledger
from atrains._engine.reader import JournalReader
from atrains._engine.segments import FIRST_SLOTS, SLOTS
from atrains._engine.workers import DaemonExecutor
from atrains._wire.events import EventBlock, RecordBlock, ScalarBlock

ReadAll = Callable[[JournalReader], list[EventBlock]]


class SmallDisk:
    """A file system of its own, of a size that can be changed."""

    def __init__(self, place: Path) -> None:
        self.path = place
        place.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(place)], check=True, capture_output=True)

    def resize(self, size: str) -> None:
        subprocess.run(["mount", "-o", f"remount,size={size}", str(self.path)], check=True)

    def fill(self) -> None:
        with (self.path / "ballast").open("ab", buffering=0) as file, pytest.raises(OSError, match="No space"):
            file.writelines(bytes(4096) for _ in range(100_000))

    def clear(self) -> None:
        (self.path / "ballast").unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        pytest.skip("only root can mount a file system")
    try:
        made = SmallDisk(tmp_path / "disk")
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("file systems cannot be mounted here")
    yield made
    subprocess.run(["umount", "-l", str(made.path)], check=True)


def iterations_of(blocks: list[EventBlock]) -> list[int]:
    return [iteration for block in blocks for iteration in block.iterations]  # type: ignore[union-attr]  # all are scalars


def test_a_full_disk_costs_nothing_and_is_used_again_when_there_is_room(
    disk: SmallDisk, workers: DaemonExecutor, read_all: ReadAll, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(segments, "RETRY_SECONDS", 0.0)
    journal = Journal(disk.path / "journals", target="t", worker="w", workers=workers)
    series, reader, found = journal.register_series("task", "t", "s"), JournalReader(journal, Ledger()), list[EventBlock]()
    reported = 0

    def report(count: int) -> None:
        nonlocal reported
        for number in range(reported, reported + count):
            assert journal.scalars.append(series, number, 0.5)
        reported += count

    report(100)
    journal.records.append({"kind": "logs", "task": "task", "event": {"msg": "before"}})
    while not caplog.records:  # the segment that is made ahead does not fit either; what was written of it is gone then
        time.sleep(0.001)
    disk.fill()
    report(FIRST_SLOTS + SLOTS)  # SIGBUS would end the test run here
    assert journal.scalars.in_memory
    line = "x" * 9000
    try:
        journal.records.append({"kind": "logs", "task": "task", "event": {"msg": line}})
    except OSError:  # refused, so that it is counted as dropped; a line that is taken must arrive
        line = ""
    lines: list[object] = []

    def take() -> None:
        blocks = read_all(reader)
        found.extend(block for block in blocks if isinstance(block, ScalarBlock))
        lines.extend(event["msg"] for block in blocks if isinstance(block, RecordBlock) for event in block.events)

    take()
    said = [record.getMessage() for record in caplog.records]
    assert said
    assert all(str(journal.folder) in message and "No space left on device" in message for message in said)
    for _ in range(3):  # drained, refilled, tried again: the same outage, so not said again
        journal.scalars.retry_disk()
        take()
        report(SLOTS)
    assert journal.scalars.in_memory
    disk.clear()
    disk.resize("32m")
    report(10)
    journal.scalars.retry_disk()
    report(10)
    take()
    assert not journal.scalars.in_memory
    report(2 * SLOTS)
    journal.records.append({"kind": "logs", "task": "task", "event": {"msg": "after"}})
    take()
    assert lines == ["before", *filter(None, [line]), "after"]
    assert iterations_of(found) == list(range(reported))
    assert journal.scalars.claimed() == reported
    assert [record.getMessage() for record in caplog.records] == said
    journal.close(delivered=True)


def test_trying_for_room_takes_none_from_others(disk: SmallDisk, workers: DaemonExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A console line is small and still fits; it must not be lost because a segment of 4 MiB is tried for at the same time."""
    monkeypatch.setattr(segments, "RETRY_SECONDS", 0.0)
    journal = Journal(disk.path / "journals", target="t", worker="w", workers=workers)
    series = journal.register_series("task", "t", "s")
    for number in range(FIRST_SLOTS + 1):
        assert journal.scalars.append(series, number, 0.5)
    assert journal.scalars.in_memory
    retries = [workers.submit(journal.scalars.retry_disk) for _ in range(300)]
    while not all(retry.done() for retry in retries):
        journal.records.append({"kind": "logs", "task": "task", "event": {"msg": "line"}})
        journal.register_series("task", "t", str(journal.records.end()))
    assert journal.scalars.in_memory
    journal.close(delivered=True)


def test_memory_is_bounded_and_what_is_too_much_is_refused(
    disk: SmallDisk, workers: DaemonExecutor, read_all: ReadAll, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "SLOTS", 1000)
    journal = Journal(disk.path / "journals", target="t", worker="w", workers=workers)
    series, reader = journal.register_series("task", "t", "s"), JournalReader(journal, Ledger())
    disk.fill()
    stored = [number for number in range(40_000) if journal.scalars.append(series, number, 0.5)]
    assert stored == list(range(1000 * segments.MEMORY_SEGMENTS))
    disk.clear()
    journal.scalars.retry_disk()
    stored += [number for number in range(40_000, 40_500) if journal.scalars.append(series, number, 0.5)]
    assert stored[-1] == 40_499
    assert iterations_of(read_all(reader)) == stored
    journal.close(delivered=True)


SCRIPT = """
import json, logging, resource, sys
from pathlib import Path
from atrains._engine import segments
from atrains._engine.journal import Journal
from atrains._engine.ledger import Ledger
from atrains._engine.reader import JournalReader
from atrains._engine.workers import DaemonExecutor

segments.RETRY_SECONDS = 0.0
said = []
handler = logging.Handler()
handler.emit = lambda record: said.append(record.getMessage())
logging.getLogger("atrains").addHandler(handler)
journal = Journal(Path(sys.argv[1]), target="t", worker="w", workers=DaemonExecutor())
series = journal.register_series("task", "t", "s")
journal.scalars.append(series, 0, 0.5)
limit = getattr(resource, sys.argv[2])
before = resource.getrlimit(limit)
resource.setrlimit(limit, (int(sys.argv[3]), before[1]))
for number in range(1, 300_000):
    assert journal.scalars.append(series, number, 0.5)
assert journal.scalars.in_memory
resource.setrlimit(limit, before)
journal.scalars.retry_disk()
for number in range(300_000, 600_000):
    assert journal.scalars.append(series, number, 0.5)
reader, found = JournalReader(journal, Ledger()), []
while blocks := reader.read(large=True):
    found += [iteration for block in blocks for iteration in block.iterations]
    reader.advance(blocks)
print(json.dumps([found == list(range(600_000)), journal.scalars.in_memory, len(said)]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no such limits")
@pytest.mark.parametrize(("limit", "value"), [("RLIMIT_FSIZE", 1 << 20), ("RLIMIT_NOFILE", 3)], ids=["file too large", "too many files"])
def test_limits_of_the_process_cost_nothing(tmp_path: Path, limit: str, value: int) -> None:
    result = subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path), limit, str(value)], capture_output=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr.decode()
    assert orjson.loads(result.stdout) == [True, False, 1]
