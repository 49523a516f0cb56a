"""What goes out of a journal: slots and records turned into blocks of events, each with its span. Reads only; a transport delivers.

One reader per journal. Nothing moves on until `advance`: what was read and not advanced past is read again in the very same blocks, so
that a home which has a block already can tell by its span.
"""

from __future__ import annotations

import math
import threading
from array import array
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import Any, Final, Protocol

from atrains._engine.ledger import NOT_FINITE, REFUSED, Counts, Ledger
from atrains._engine.records import RecordStream
from atrains._engine.segments import VOID, Segment, column, runs
from atrains._engine.spans import StoredSpans
from atrains._wire.events import EventBlock, EventKind, RecordBlock, ScalarBlock, Span
from atrains._wire.frames import Frame

SLICE: Final = 8_192
"""Slots read at once while somebody is reporting: about a millisecond of work, after which loop and GIL are let go."""
LARGE_SLICE: Final = 65_536
RECORD_BYTES: Final = 4 << 20
"""Bytes of records read at once."""
PATIENCE: Final = 3
"""Looks at the holes of a full segment before they are given up."""


@dataclass(frozen=True, slots=True)
class Position:
    """A place in both streams of a journal."""

    slots: int
    records: int


@dataclass(slots=True)
class _Read:
    """What the last `read` covered, for `advance`."""

    position: Position
    blocks: list[EventBlock] = field(default_factory=list)
    drops: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    passed: list[tuple[Segment, int]] = field(default_factory=list)
    filled: list[tuple[Segment, int]] = field(default_factory=list)


class ReadableSlots(Protocol):
    """The scalar slots of a journal."""

    def segments(self) -> list[Segment]:
        """Every segment that may hold something to deliver, oldest first."""

    def is_sealed(self, segment: Segment) -> bool:
        """Whether nothing will be written to it any more."""

    def drop(self, segment: Segment) -> None:
        """Let go of a segment that was read whole."""


class ReadableJournal(Protocol):
    """What a reader needs of a journal: ours, or that of a process that ended."""

    @property
    def id(self) -> str:
        """The journal's id, 32 hexadecimal digits."""

    @property
    def scalars(self) -> ReadableSlots:
        """Its slots."""

    @property
    def records(self) -> RecordStream:
        """Its records."""

    def series(self, number: int) -> tuple[str, str, str]:
        """Task id, title and series of an id."""


class JournalReader:
    """Reads one journal in order. A lock makes each call whole: a count from another thread meets no half-made step.

    Args:
        journal: The journal.
        ledger: Where events are counted once they are done with.
        stored: What the home has of it already, from a process that died before it could say so.
    """

    def __init__(self, journal: ReadableJournal, ledger: Ledger, stored: Collection[Span] = ()) -> None:
        self._journal = journal
        self._ledger = ledger
        self._stored = StoredSpans(stored)
        self.position = Position(0, 0)
        self._holes: dict[Segment, set[int]] = {}
        self._looks: Counter[Segment] = Counter()
        self._read: _Read | None = None
        self._lock = threading.Lock()
        self.abandoned = 0

    @property
    def midway(self) -> bool:
        """Whether the next `read` returns blocks again that an earlier one returned."""
        return self._read is not None

    def end(self) -> Position:
        """Where the journal ends now: behind the last committed slot and the last record."""
        with self._lock:
            return self._end()

    def _end(self) -> Position:
        end = self.position.slots
        for segment in self._journal.scalars.segments():
            if self._journal.scalars.is_sealed(segment):
                end = max(end, segment.first + segment.capacity)
                continue
            begin = max(self.position.slots, segment.first) - segment.first
            if begin < segment.capacity:
                end = max(end, segment.first + segment.committed_end(begin))
        return Position(end, self._journal.records.end())

    def read(self, *, large: bool) -> list[EventBlock]:
        """The next blocks, none when everything was read. Call `advance` once all of them were delivered or dropped.

        Until then the same blocks are returned again: a home tells by their spans which of them it has.
        """
        with self._lock:
            if self._read is None:
                read = _Read(self.position)
                self._read_holes(read)
                self._read_slots(read, LARGE_SLICE if large else SLICE)
                self._read_records(read)
                self._read = read
            return self._read.blocks

    def advance(self, blocks: Sequence[EventBlock] | None = None, refused: Mapping[Span, str] | None = None) -> None:
        """Move past what the last `read` returned, count it in the ledger, and release what is not needed any more.

        Args:
            blocks: What that `read` returned. Nothing happens when these are not the blocks that come next: a call that was given up (its
                loop was cancelled, its thread went on) must not move past what somebody else has read since. None for whatever comes next.
            refused: The blocks that the home does not take, and why; all others count as acknowledged.
        """
        with self._lock:
            if self._read is not None and (blocks is None or blocks is self._read.blocks):
                done, self._read = self._read, None
                self._count(done, refused or {})
                self._move(done)

    def _count(self, done: _Read, refused: Mapping[Span, str]) -> None:
        for block in done.blocks:
            kind = block.kind if isinstance(block, RecordBlock) else EventKind.SCALARS
            if block.span in refused:
                self._ledger.drop(block.task, kind, REFUSED, len(block), name=f"task {block.task}", detail=refused[block.span])
            else:
                self._ledger.acknowledge(block.task, kind, len(block))
        for (task, title, series), count in done.drops.items():
            self._ledger.drop(
                task, EventKind.SCALARS, NOT_FINITE, count, name=f"{title}/{series}", detail="NaN and infinities are not stored"
            )

    def _move(self, done: _Read) -> None:
        self.position = done.position
        for segment, index in done.passed:
            self._holes.setdefault(segment, set()).add(index)
        for segment, index in done.filled:
            self._holes[segment].discard(index)
        self._journal.records.release(self.position.records)
        for segment in self._journal.scalars.segments():
            if segment.first + segment.capacity <= self.position.slots and self._journal.scalars.is_sealed(segment):
                self._retire(segment)

    def has_unread(self) -> bool:
        """Whether anything is left to read."""
        with self._lock:
            filled = any(segment.series(index, index + 1)[0] for segment, holes in self._holes.items() for index in holes)
            return filled or self._end() != self.position

    def counts(self, task: str | None) -> dict[EventKind, Counts]:
        """How each kind of event stands, for a task or for all. Costs a look at each event that is pending."""
        with self._lock:
            pending = self._pending(task)
            return {kind: self._ledger.counts(task, kind, pending[kind]) for kind in EventKind}

    def pending(self, task: str | None) -> dict[EventKind, int]:
        """How many events of a task (or of all) are in the journal and were not advanced past. Costs a look at each of them."""
        with self._lock:
            return self._pending(task)

    def _pending(self, task: str | None) -> dict[EventKind, int]:
        counts = dict.fromkeys(EventKind, 0)
        for segment, holes in self._holes.items():
            counts[EventKind.SCALARS] += sum(self._count_slots(segment, index, index + 1, task) for index in holes)
        for segment in self._journal.scalars.segments():
            begin = max(self.position.slots, segment.first) - segment.first
            end = segment.committed_end(begin) if begin < segment.capacity else begin
            for low in range(begin, end, LARGE_SLICE):
                counts[EventKind.SCALARS] += self._count_slots(segment, low, min(low + LARGE_SLICE, end), task)
        position, end = self.position.records, self._journal.records.end()
        while position < end:
            frames, position = self._journal.records.read(position, RECORD_BYTES)
            for frame in frames:
                if task in (None, frame.header["task"]):
                    counts[EventKind(frame.header["kind"])] += int(frame.header.get("rows", 1))
        return counts

    def _count_slots(self, segment: Segment, begin: int, end: int, task: str | None) -> int:
        slots = segment.view(begin, end)
        return sum(
            1
            for number, flag in zip(column(slots, "I", 28), column(slots, "I", 24), strict=True)
            if number and not flag & VOID and task in (None, self._journal.series(number)[0])
        )

    # ---- slots

    def _read_holes(self, read: _Read) -> None:
        """Look again at the slots that were passed while they were empty: a thread may have been held between claim and write."""
        for segment, holes in self._holes.items():
            for index in sorted(holes):
                if segment.series(index, index + 1)[0]:
                    read.blocks += self._run_blocks(read, segment, index, index + 1)
                    read.filled.append((segment, index))

    def _read_slots(self, read: _Read, limit: int) -> None:
        for segment in self._journal.scalars.segments():
            begin = max(self.position.slots, segment.first) - segment.first
            if begin >= segment.capacity:
                continue
            sealed = self._journal.scalars.is_sealed(segment)
            ids = segment.series(begin, min(begin + limit, segment.capacity))
            # What is empty behind the last point is not claimed yet; what is empty before it is a call that has not come back.
            while ids and not ids[-1] and not sealed:
                ids.pop()
            for low, high in runs(ids, begin):
                for first, last in self._stored.pieces(segment.first + low, segment.first + high):
                    read.blocks += self._run_blocks(read, segment, first - segment.first, last - segment.first)
            if 0 in ids:
                read.passed += [(segment, index) for index, number in enumerate(ids, begin) if not number]
            read.position = Position(segment.first + begin + len(ids), read.position.records)
            return

    def _run_blocks(self, read: _Read, segment: Segment, begin: int, end: int) -> Iterable[EventBlock]:
        """The blocks of a stretch of committed slots: one for each task in it."""
        slots = segment.view(begin, end)
        iterations, times, values = column(slots, "q", 0), column(slots, "d", 8), column(slots, "d", 16)
        flags, ids = column(slots, "I", 24), column(slots, "I", 28)
        if any(flags) or not math.isfinite(sum(values)):
            keep = [not flag & VOID and math.isfinite(value) for flag, value in zip(flags, values, strict=True)]
            for number, value, flag in zip(ids, values, flags, strict=True):
                if not flag & VOID and not math.isfinite(value):
                    read.drops[self._journal.series(number)] += 1
            ids, iterations, times, values = (array(kept.typecode, compress(kept, keep)) for kept in (ids, iterations, times, values))
        first, last = segment.first + begin, segment.first + end
        used = set(ids)
        owners = {number: self._journal.series(number)[0] for number in used}
        for task in sorted(set(owners.values())):
            span = Span(self._journal.id, f"scalars/{task}", first, last)
            if self._stored.covers(span.stream, first, last):
                continue
            columns = [ids, iterations, times, values]
            numbers = sorted(number for number in used if owners[number] == task)
            if len(numbers) < len(used):
                mine = set(numbers)
                keep = [number in mine for number in ids]
                columns = [array(kept.typecode, compress(kept, keep)) for kept in columns]
            yield self._scalar_block(task, span, numbers, columns)

    def _scalar_block(self, task: str, span: Span, numbers: list[int], columns: list[array[Any]]) -> ScalarBlock:
        ids, iterations, times, values = columns
        names = [self._journal.series(number)[1:] for number in numbers]
        index = {number: place for place, number in enumerate(numbers)}
        series = array("I", map(index.__getitem__, ids)) if len(numbers) > 1 else None
        return ScalarBlock(task, span, names, series, iterations, times, values)

    def _retire(self, segment: Segment) -> None:
        """Let go of a full segment that was read whole; one with holes only after some patience and a last look."""
        holes = self._holes.get(segment)
        if holes:
            self._looks[segment] += 1
            if self._looks[segment] < PATIENCE:
                return
            segment.retired = True
            if any(segment.series(index, index + 1)[0] for index in holes):
                return
            self.abandoned += len(holes)
        segment.retired = True
        self._holes.pop(segment, None)
        self._looks.pop(segment, None)
        self._journal.scalars.drop(segment)

    # ---- records

    def _read_records(self, read: _Read) -> None:
        start = self.position.records
        if start >= self._journal.records.end():
            return
        frames, position = self._journal.records.read(start, RECORD_BYTES)
        read.position = Position(read.position.slots, position)
        groups: dict[tuple[str, EventKind], list[Frame]] = {}
        for frame in frames:
            key = (frame.header["task"], EventKind(frame.header["kind"]))
            group = groups.setdefault(key, [])
            if self._stored.covers(_stream(*key), start + frame.start, start + frame.end):
                read.blocks += self._group_blocks(read, key, groups.pop(key), start)
                continue
            group.append(frame)
            if sum(int(member.header.get("rows", 1)) for member in group) >= LARGE_SLICE:
                read.blocks += self._group_blocks(read, key, groups.pop(key), start)
        for key, group in groups.items():
            read.blocks += self._group_blocks(read, key, group, start)

    def _group_blocks(self, read: _Read, key: tuple[str, EventKind], frames: list[Frame], start: int) -> Iterable[EventBlock]:
        """One block for records of one task and kind that follow each other; others may stand between them in the file."""
        if not frames:
            return
        task, kind = key
        span = Span(self._journal.id, _stream(task, kind), start + frames[0].start, start + frames[-1].end)
        if kind is not EventKind.SCALARS:
            yield RecordBlock(task, span, kind, [frame.header["event"] for frame in frames])
        elif block := self._column_block(read, task, span, frames):
            yield block

    def _column_block(self, read: _Read, task: str, span: Span, frames: list[Frame]) -> ScalarBlock | None:
        """The points of one or several `report_scalars` calls with arrays; None when none of them is a number."""
        names: dict[tuple[str, str], int] = {}
        iterations, times, values, series = array("q"), array("d"), array("d"), array("I")
        for frame in frames:
            header = frame.header
            size = int(header["rows"]) * 8
            name = (header["title"], header["series"])
            steps, numbers = array("q"), array("d")
            steps.frombytes(frame.body[:size])
            numbers.frombytes(frame.body[size:])
            if not math.isfinite(sum(numbers)):
                keep = [math.isfinite(value) for value in numbers]
                read.drops[(task, *name)] += keep.count(False)
                steps, numbers = array("q", compress(steps, keep)), array("d", compress(numbers, keep))
            iterations += steps
            values += numbers
            if len(frames) > 1:
                times += array("d", [header["time"]]) * len(numbers)
                series += array("I", [names.setdefault(name, len(names))]) * len(numbers)
            else:
                names[name] = 0
        if not values:
            return None
        moments = times if len(frames) > 1 else float(frames[0].header["time"])
        return ScalarBlock(task, span, list(names), series if len(names) > 1 else None, iterations, moments, values)


def _stream(task: str, kind: EventKind) -> str:
    return f"{'arrays' if kind is EventKind.SCALARS else kind}/{task}"
