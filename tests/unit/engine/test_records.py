"""Records: written whole or not at all, read back in order across files, whatever their size."""

from __future__ import annotations

import os
import tempfile
from array import array
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atrains._engine import reader as reading
from atrains._engine import records
from atrains._engine.dead import DeadRecords
from atrains._engine.files import write_whole
from atrains._engine.frame_files import FrameFile, read_frames
from atrains._engine.journal import Journal
from atrains._engine.ledger import Ledger
from atrains._engine.reader import JournalReader
from atrains._engine.records import RecordStream
from atrains._engine.room import Room
from atrains._wire.events import EventBlock, EventKind, RecordBlock, ScalarBlock
from atrains._wire.frames import Frame
from atrains.errors import HomeError

ReadAll = Callable[[JournalReader], list[EventBlock]]


def everything(stream: RecordStream, limit: int) -> list[Frame]:
    found, position = list[Frame](), 0
    while position < stream.end():
        frames, position = stream.read(position, limit)
        assert frames
        found += frames
    assert position == stream.end()
    return found


@settings(max_examples=100, deadline=None)
@given(bodies=st.lists(st.binary(max_size=400), max_size=30), file_bytes=st.integers(1, 2000), limit=st.integers(1, 1000))
def test_records_are_read_as_written_whatever_the_size_of_files_and_of_reads(bodies: list[bytes], file_bytes: int, limit: int) -> None:
    rolls = []
    with tempfile.TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "FILE_BYTES", file_bytes)
        stream = RecordStream(Path(place), on_roll=lambda: rolls.append(1))
        for number, body in enumerate(bodies):
            stream.append({"number": number}, [body])
        found = everything(stream, limit)
        assert [(frame.header["number"], bytes(frame.body)) for frame in found] == list(enumerate(bodies))
        files = sorted(Path(place).glob("records-*"))
        assert len(files) == len(rolls) + bool(bodies)
        firsts = [int(path.name.split("-")[1]) for path in files]
        assert firsts == [sum(path.stat().st_size for path in files[:place]) for place in range(len(files))]
        stream.release(stream.end())
        assert len(list(Path(place).glob("records-*"))) == bool(bodies), "only the file that is written stays"
        stream.close()
        assert not os.listdir(place)


@settings(max_examples=60, deadline=None)
@given(
    writes=st.lists(st.tuples(st.booleans(), st.integers(0, 900)), max_size=80),
    file_bytes=st.integers(8_000, 40_000),
    window=st.integers(1, 9_000),
    released=st.integers(0, 79),
)
def test_what_is_printed_is_read_as_written_also_after_a_kill(
    writes: list[tuple[bool, int]], file_bytes: int, window: int, released: int
) -> None:
    """Printed lines go into mapped windows, other records too while there is one; those that are too large for that close it."""
    with tempfile.TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "FILE_BYTES", file_bytes)
        patch.setattr(records, "WINDOW_BYTES", window)
        patch.setattr(records, "ONE_WRITE", 500)
        folder = Path(place, "journal")
        folder.mkdir()
        room = Room(Path(place), "journal")
        stream = RecordStream(folder, on_roll=lambda: None, room=room)
        texts = [f"{number} {'x' * size}" for number, (_, size) in enumerate(writes)]
        for number, ((printed, _), text) in enumerate(zip(writes, texts, strict=True)):
            record = {"kind": "logs", "task": "task", "event": {"msg": text}}
            assert stream.append_printed(("task", "logs"), orjson.dumps(record)) if printed else stream.append(record)
            live = everything(stream, 1000)
            assert [frame.header["event"]["msg"] for frame in live] == texts[: number + 1]
            assert room._own == sum(path.stat().st_size for path in folder.iterdir()), "the cap counts what the disk holds"
            assert stream.unread(0)[1]["task", "logs"] == number + 1
        dead = DeadRecords(folder)  # as the files are now: nothing was closed
        found, position = list[Frame](), 0
        while position < dead.end():
            frames, position = dead.read(position, 1000)
            found += frames
        assert [frame.header["event"]["msg"] for frame in found] == texts
        assert not dead.damage
        if released < len(texts):
            stream.release(sum(frame.end - frame.start for frame in everything(stream, 1)[:released]))
            assert room._own == sum(path.stat().st_size for path in folder.iterdir())
        stream.close()
        assert not os.listdir(folder)


def test_a_disk_that_is_full_takes_lines_as_long_as_they_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no room for a window, and a short write of zeros is taken back; the line itself has room."""
    write, tries = os.write, 0

    def short(descriptor: int, data: memoryview) -> int:
        nonlocal tries
        tries += 1
        return write(descriptor, data[: len(data) // 2])

    monkeypatch.setattr(os, "write", short)
    stream = RecordStream(tmp_path, on_roll=lambda: None)
    for number in range(1000):
        assert stream.append_printed(("task", "logs"), b'{"kind":"logs","task":"task","event":{"msg":"%d"}}' % number)
    assert [frame.header["event"]["msg"] for frame in everything(stream, 1000)] == [str(number) for number in range(1000)]
    assert not stream.in_memory
    assert 1 <= tries < 50, "not tried again for each line"
    (path,) = tmp_path.iterdir()
    assert path.stat().st_size == stream.end()
    stream.close()


def test_a_record_larger_than_what_is_read_at_once_arrives_whole(
    journal: Journal, read_all: ReadAll, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "RECORD_BYTES", 10_000)
    steps, values = array("q", range(5000)), array("d", [number / 2 for number in range(5000)])
    header = {"kind": "scalars", "task": "task", "title": "t", "series": "s", "time": 1.5, "rows": 5000}
    event = {"timestamp": 1, "level": "info", "msg": "x" * 50_000, "worker": "w"}
    for _ in range(3):
        journal.records.append(header, [memoryview(steps), memoryview(values)])
        journal.records.append({"kind": "logs", "task": "task", "event": event})
    reader = JournalReader(journal, Ledger())
    assert reader.pending("task") == {EventKind.SCALARS: 15_000, EventKind.LOGS: 3, EventKind.PLOTS: 0, EventKind.IMAGES: 0}
    blocks = read_all(reader)
    assert [len(block) for block in blocks] == [5000, 1] * 3
    for block in blocks[::2]:
        assert isinstance(block, ScalarBlock)
        assert (block.iterations, block.values, block.times) == (steps, values, 1.5)
    assert all(isinstance(block, RecordBlock) and block.events[0] == event for block in blocks[1::2])
    spans = [(block.span.first, block.span.last) for block in blocks]
    assert all(one[1] == other[0] for one, other in pairwise(spans))


def test_what_is_delivered_is_deleted_and_what_is_not_stays(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "FILE_BYTES", 1000)
    monkeypatch.setattr(reading, "RECORD_BYTES", 500)
    for number in range(100):
        journal.records.append({"kind": "logs", "task": "t", "event": {"msg": str(number)}})
    reader, lines = JournalReader(journal, Ledger()), list[str]()
    while blocks := reader.read(large=False):
        files = {int(path.name.split("-")[1]) for path in journal.folder.glob("records-*")}
        assert max((first for first in files if first <= reader.position.records), default=None) is not None, "unread, but gone"
        assert sum(first <= reader.position.records for first in files) == 1, "read, but still there"
        lines += [str(event["msg"]) for block in blocks if isinstance(block, RecordBlock) for event in block.events]
        reader.advance(blocks)
    assert lines == [str(number) for number in range(100)]


def test_a_file_that_cannot_be_made_does_not_fail_the_record_before_it(
    journal: Journal, read_all: ReadAll, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record is stored by then: an error would count it as dropped, and it would be delivered too."""
    import resource

    monkeypatch.setattr(records, "FILE_BYTES", 300)
    journal.records.append({"kind": "logs", "task": "t", "event": {"msg": "0"}})
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        for number in range(1, 20):
            journal.records.append({"kind": "logs", "task": "t", "event": {"msg": str(number)}})
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    journal.records.append({"kind": "logs", "task": "t", "event": {"msg": "20"}})
    assert len(list(journal.folder.glob("records-*"))) == 2
    blocks = read_all(JournalReader(journal, Ledger()))
    lines = [event["msg"] for block in blocks if isinstance(block, RecordBlock) for event in block.events]
    assert lines == [str(number) for number in range(21)]


def test_buffers_beyond_what_one_call_takes_are_written_whole(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    parts = [bytes([number % 256]) * (number % 7) for number in range(3000)]
    assert write_whole(descriptor, [*parts]) == sum(map(len, parts))
    os.close(descriptor)
    assert (tmp_path / "file").read_bytes() == b"".join(parts)


def test_frames_are_read_past_damage(tmp_path: Path) -> None:
    file = FrameFile(tmp_path / "series")
    for number in range(3):
        file.append({"id": number})
    file.close()
    file.close()
    content = bytearray((tmp_path / "series").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "series").write_bytes(content + b"ATF1 torn")
    frames, damage = read_frames(tmp_path / "series")
    assert [frame.header for frame in frames] == [{"id": 0}, {"id": 2}]
    assert [place.at_end for place in damage] == [False, True]


def test_a_closed_file_takes_nothing_more(tmp_path: Path) -> None:
    """Its descriptor may belong to another file by now."""
    file = FrameFile(tmp_path / "jobs")
    file.close()
    with pytest.raises(HomeError, match="was closed"):
        file.append({"done": 1})
