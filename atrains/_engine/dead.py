"""The journal of a process that ended, read from its files in the form that `JournalReader` reads. Finding journals is in `journals`.

What was torn by a kill or damaged by a disk is left out and named; everything whole beside it is read.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from atrains._engine import jobs
from atrains._engine.frame_files import FrameFile, read_frames
from atrains._engine.jobs import Job
from atrains._engine.segment import Segment
from atrains._engine.sent import SentMark
from atrains._engine.slots import SLOT, VOID, column
from atrains._engine.spans import forgotten
from atrains._storage.locks import FolderLock
from atrains._wire.events import Span
from atrains._wire.frames import Damage, Frame, scan_frames

_LATEST: Final = 1e11
"""Seconds since the epoch: the year 5138. A time behind it was never written."""
_WINDOW: Final = 16_384
"""Slots checked at once; a millisecond in which the GIL is held."""


@dataclass(frozen=True, slots=True)
class Damaged:
    """A part of a file that cannot be read, and is left out.

    Attributes:
        path: The file, where the process had it.
        start: The first byte.
        end: The byte behind the last one.
        torn: Whether it is the end of the file: as a rule a call that had not returned when its process was killed.
    """

    path: Path
    start: int
    end: int
    torn: bool

    def __str__(self) -> str:
        return f"bytes {self.start} to {self.end} of {self.path} {'are the torn end' if self.torn else 'are damaged'}"


class DeadSegment(Segment):
    """A file of slots that nobody writes any more. It ends behind its last committed slot, and its damaged slots look empty.

    Args:
        path: The file.
        known: The ids of all series that have a name.
    """

    def __init__(self, path: Path, known: Collection[int]) -> None:
        whole = path.stat().st_size // SLOT.size
        super().__init__(int(path.name.partition("-")[2]), whole, None, itertools.count().__next__, path)
        end = 0
        damaged: list[int] = []
        for begin in range(0, whole, _WINDOW):
            slots = super().view(begin, min(begin + _WINDOW, whole))
            ids = column(slots, "I", 28)
            while ids and not ids[-1]:
                ids.pop()
            if ids:
                end = begin + len(ids)
                damaged += (begin + index for index in _damaged_slots(slots[: len(ids) * SLOT.size], known))
        self.capacity = end
        self.damaged = damaged

    def view(self, begin: int, end: int) -> memoryview:
        """The bytes of the slots `begin` to `end`."""
        slots = super().view(begin, end)
        if not self.damaged:
            return slots
        blanked = bytearray(slots)
        for index in self.damaged:
            if begin <= index < end:
                blanked[(index - begin) * SLOT.size : (index - begin + 1) * SLOT.size] = bytes(SLOT.size)
        return memoryview(blanked)


class DeadSlots:
    """The scalar segments of a dead journal, as `ScalarStream` shows those of a live one."""

    def __init__(self, folder: Path, known: Collection[int]) -> None:
        self._segments: list[Segment] = []
        self.damage: list[Damaged] = []
        for path in _numbered(folder, "scalars-"):
            segment = DeadSegment(path, known)
            self._segments.append(segment)
            self.damage += (Damaged(path, first * SLOT.size, last * SLOT.size, torn=False) for first, last in _stretches(segment.damaged))
            size = path.stat().st_size
            if size % SLOT.size:
                self.damage.append(Damaged(path, size - size % SLOT.size, size, torn=True))

    def segments(self) -> list[Segment]:
        """Every segment, oldest first."""
        return list(self._segments)

    def pin(self, position: int) -> Segment | None:
        """The first segment that reaches beyond a position."""
        return next((segment for segment in self._segments if segment.first + segment.capacity > position), None)

    def unread(self) -> tuple[list[Segment], dict[str, Counter[int]]]:
        """Every segment; nobody drops one to make room."""
        return list(self._segments), {}

    def is_sealed(self, segment: Segment) -> bool:
        """Whether nothing will be written to it any more."""
        del segment
        return True

    def drop(self, segment: Segment) -> None:
        """Let go of a segment; its file goes with the folder."""
        self._segments.remove(segment)


@dataclass(frozen=True, slots=True)
class _RecordFile:
    first: int
    size: int
    path: Path

    @property
    def end(self) -> int:
        return self.first + self.size


class DeadRecords:
    """The records of a dead journal, as `RecordStream` shows those of a live one; holds one file at a time in memory."""

    def __init__(self, folder: Path) -> None:
        paths = _numbered(folder, "records-")
        firsts = [int(path.name.partition("-")[2]) for path in paths]
        self._files: list[_RecordFile] = []
        for path, first, following in zip(paths, firsts, [*firsts, sys.maxsize][1:], strict=True):
            # A file may reach further than its frames, for those that were not printed any more.
            self._files.append(_RecordFile(first, min(path.stat().st_size, following - first), path))
        self._held: tuple[Path | None, bytes] = (None, b"")
        self._damage: dict[Damaged, None] = {}

    @property
    def damage(self) -> list[Damaged]:
        """What was met in the files that were read so far."""
        return list(self._damage)

    def end(self) -> int:
        """The position in the stream behind the last record."""
        return max((file.end for file in self._files), default=0)

    def read(self, position: int, limit: int) -> tuple[list[Frame], int]:
        """Whole records from a position on, about `limit` bytes of them but at least one, and the position behind them."""
        file = next((file for file in self._files if file.end > position), None)
        if file is None:
            return [], self.end()
        if file.first > position:  # what stood before was delivered and deleted, or is lost
            return [], file.first
        begin = position - file.first
        frames: list[Frame] = []
        content = self._bytes_of(file.path)
        for found in scan_frames(content, begin):
            if isinstance(found, Damage):
                if found.at_end and not content[found.start : found.end].strip(b"\0"):
                    break  # the zeros behind the last frame
                self._damage[Damaged(file.path, found.start, found.end, found.at_end)] = None
                continue
            if frames and found.end - begin > limit:
                return frames, position + frames[-1].end
            frames.append(found._replace(start=found.start - begin, end=found.end - begin))
        return frames, file.end

    def unread(self, position: int) -> tuple[int, Counter[tuple[str, str]], dict[str, Counter[tuple[str, str]]]]:
        """Nothing was counted when it was written: all that stands behind a position is to be looked at."""
        return max(position, self.end()), Counter(), {}

    def release(self, position: int) -> None:
        """Do nothing: the files go with the folder, once everything in it was delivered."""

    def _bytes_of(self, path: Path) -> bytes:
        if self._held[0] != path:
            self._held = (path, path.read_bytes())
        return self._held[1]


class DeadJournal:
    """A journal folder, locked by us, of a process that does not live any more.

    Args:
        folder: The folder.
        description: What its `journal.json` says.
        lock: The lock on it, held.

    Attributes:
        jobs: What was not marked as done, in order.
        aliases: The ids that tasks have at home, by those that they were reported under, where they differ.
        sent: How far its records were sent to a home that cannot tell.
    """

    def __init__(self, folder: Path, description: Mapping[str, Any], lock: FolderLock) -> None:
        self.folder = folder
        self._lock = lock
        self.id = str(description["journal"])
        self._damage: list[Damaged] = []
        self._series = {
            frame.header["id"]: (frame.header["task"], frame.header["title"], frame.header["series"]) for frame in self._frames("series")
        }
        self.scalars = DeadSlots(folder, self._series.keys())
        self.records = DeadRecords(folder)
        self._resets: dict[str, Mapping[str, Any]] = {}
        self.aliases: dict[str, str] = {}
        self.sent = SentMark(folder)
        self.jobs = self._read_jobs()

    @property
    def damage(self) -> list[Damaged]:
        """What cannot be read; of the records, what was met so far."""
        return [*self._damage, *self.scalars.damage, *self.records.damage]

    def series(self, number: int) -> tuple[str, str, str]:
        """Task id, title and series of an id."""
        return self._series[number]

    def forgotten(self) -> list[Span]:
        """What was reported before its task was reset: not to be delivered, whether it was before or not."""
        found = ((task, int(header["slots"]), int(header["records"])) for task, header in self._resets.items())
        return [span for task, slots, records in found for span in forgotten(self.id, task, slots, records)]

    def mark_done(self, job: Job, at_home: str | None = None) -> None:
        """Note that a job was done, so that a recovery which dies after this does not do it again.

        Args:
            job: The job.
            at_home: The id that the home gave to the task which the job made.
        """
        file = FrameFile(self.folder / "jobs")
        try:
            if at_home is not None:
                self.aliases[job.task] = at_home
                file.append({"job": 0, "kind": jobs.ALIAS, "task": job.task, "at_home": at_home})
            file.append({"done": job.number})
        finally:
            file.close()

    def release(self) -> None:
        """Let go of the folder, as it is; releasing twice is fine."""
        self.sent.close()
        self._lock.release()

    def _read_jobs(self) -> list[Job]:
        found: dict[int, Job] = {}
        for frame in self._frames("jobs"):
            header = frame.header
            if "done" in header:
                found.pop(header["done"], None)
                continue
            if header["kind"] == jobs.ALIAS:  # a fact that lasts, done or not
                self.aliases[header["task"]] = header["at_home"]
                continue
            if header["kind"] == "reset":  # a fact about the events that lasts, done or not
                self._resets[header["task"]] = header
            found[header["job"]] = Job(header["job"], header["kind"], header["task"], header)
        return list(found.values())

    def _frames(self, name: str) -> Iterator[Frame]:
        frames, damage = read_frames(self.folder / name)
        self._damage += (Damaged(self.folder / name, found.start, found.end, found.at_end) for found in damage)
        yield from frames


def _numbered(folder: Path, prefix: str) -> list[Path]:
    """The files of a stream in the order of their numbers."""
    found = {int(path.name.removeprefix(prefix)): path for path in folder.glob(f"{prefix}*") if path.name.removeprefix(prefix).isdecimal()}
    return [found[number] for number in sorted(found)]


def _stretches(numbers: list[int]) -> Iterator[tuple[int, int]]:
    """Rising numbers as half-open ranges."""
    for _, stretch in itertools.groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0]):
        members = [number for _, number in stretch]
        yield members[0], members[-1] + 1


def _damaged_slots(slots: memoryview, known: Collection[int]) -> Iterator[int]:
    """The committed slots whose series nobody can name, or whose fields hold what is never written. A slot has no checksum."""
    times, flags, ids = column(slots, "d", 8), column(slots, "I", 24), column(slots, "I", 28)
    sound = max(flags) <= VOID and math.isfinite(sum(times)) and min(times) >= 0 and max(times) <= _LATEST
    if sound and all(number in known for number in set(ids) - {0}):
        return
    for index, (time, flag, number) in enumerate(zip(times, flags, ids, strict=True)):
        if number and not (number in known and flag <= VOID and 0 <= time <= _LATEST):
            yield index
