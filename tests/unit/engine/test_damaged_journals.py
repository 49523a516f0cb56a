"""The journal of a dead process whose files are cut off, changed or spoilt: every whole event of it is still read."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atrains._engine import journals, records, segments
from atrains._engine.dead import DeadJournal
from atrains._engine.frame_files import read_frames
from atrains._engine.ledger import Ledger
from atrains._engine.reader import JournalReader
from atrains._engine.workers import DaemonExecutor
from atrains._wire import endpoints
from tests.unit.engine.dead import SOAK, TARGET, Event, Recorded, events_of_block, flat, look_up, make_home, write_journal


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
