"""What goes out of a journal: slots and records turned into blocks of events, each with its span. Reads only; a transport delivers.

One reader per journal. Nothing moves on until `advance`: what was read and not advanced past is read again in the very same blocks, so
that a home which has a block already can tell by its span.
"""

from __future__ import annotations

import contextlib
import math
import threading
from array import array
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import Any, Final, NamedTuple, Protocol

from atrains._engine.ledger import NOT_FINITE, REFUSED, RESET, Counts, Ledger
from atrains._engine.nonfinite import replacements
from atrains._engine.records import FRAMES
from atrains._engine.segment import Segment
from atrains._engine.slots import EMPTY, SLOT, VOID, column, count, runs
from atrains._engine.spans import StoredSpans, forgotten, record_stream, slot_stream
from atrains._transport.base import Refusal
from atrains._transport.pace import paced, rest
from atrains._wire.events import REPORTED, EventBlock, EventKind, RecordBlock, ScalarBlock, Span
from atrains._wire.frames import Frame

SLICE: Final = 8_192
"""Slots read at once while somebody is reporting: about a millisecond of work, after which loop and GIL are let go."""
LARGE_SLICE: Final = 65_536
RECORD_BYTES: Final = 1 << 20
"""Bytes of records read at once: some seven thousand printed lines."""
PATIENCE: Final = 3
"""Looks at the holes of a full segment before they are given up."""


class Position(NamedTuple):
    """A place in both streams of a journal."""

    slots: int
    records: int


@dataclass(slots=True, eq=False, repr=False)
class _Read:
    """What the last `read` covered, for `advance`."""

    position: Position
    blocks: list[EventBlock] = field(default_factory=list)
    drops: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    forgotten: Counter[tuple[str, EventKind]] = field(default_factory=Counter)
    passed: list[tuple[Segment, int]] = field(default_factory=list)
    filled: list[tuple[Segment, int]] = field(default_factory=list)


class ReadableSlots(Protocol):
    """The scalar slots of a journal."""

    def segments(self) -> list[Segment]:
        """Every segment that may hold something to deliver, oldest first."""

    def pin(self, position: int) -> Segment | None:
        """The first segment that reaches beyond a position; it stays until it was read."""

    def unread(self) -> tuple[list[Segment], dict[str, Counter[int]]]:
        """Every segment, and at the same moment what was dropped to make room, by reason and series."""

    def is_sealed(self, segment: Segment) -> bool:
        """Whether nothing will be written to it any more."""

    def drop(self, segment: Segment) -> None:
        """Let go of a segment that was read whole."""


class ReadableRecords(Protocol):
    """The records of a journal."""

    def end(self) -> int:
        """The position in the stream behind the last record."""

    def read(self, position: int, limit: int) -> tuple[list[Frame], int]:
        """Whole records from a position on, about `limit` bytes of them but at least one, and the position behind them.

        None, and the position where it goes on, where the stream has a gap. What the frames say of their place counts from `position`.
        """

    def unread(self, position: int) -> tuple[int, Counter[tuple[str, str]], dict[str, Counter[tuple[str, str]]]]:
        """What is pending behind a position.

        Returns:
            The position up to which records are to be looked at one by one; how many of each task and kind stand in what is behind that;
            and at the same moment what was dropped to make room, by reason, and by task and kind.
        """

    def release(self, position: int) -> None:
        """Let go of what ends at or before a position."""


class ReadableJournal(Protocol):
    """What a reader needs of a journal: ours, or that of a process that ended."""

    @property
    def id(self) -> str:
        """The journal's id, 32 hexadecimal digits."""

    @property
    def scalars(self) -> ReadableSlots:
        """Its slots."""

    @property
    def records(self) -> ReadableRecords:
        """Its records."""

    def series(self, number: int) -> tuple[str, str, str]:
        """Task id, title and series of an id."""


class JournalReader:
    """Reads one journal in order. A lock makes each call whole: a count from another thread meets no half-made step.

    Args:
        journal: The journal.
        ledger: Where events are counted once they are done with.
        stored: What is not to be delivered of the journal of a dead process, since the home has it or has forgotten it; None for a journal
            of this process.
        records: Where to begin in the records: what stands before was delivered.
    """

    def __init__(self, journal: ReadableJournal, ledger: Ledger, stored: Collection[Span] | None = None, *, records: int = 0) -> None:
        self._journal = journal
        self._ledger = ledger
        self._stored = StoredSpans(stored or ())
        self._is_ours = stored is None
        self.position = Position(0, records)
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
                with contextlib.suppress(FileNotFoundError):  # filled, left and dropped since it was looked at
                    end = max(end, segment.first + segment.committed_end(begin))
        return Position(end, self._journal.records.end())

    def forget(self, task: str, before: Position) -> None:
        """Drop what was reported to a task before a position and was not delivered: the task was reset."""
        with self._lock:
            self._stored.add(forgotten(self._journal.id, task, before.slots, before.records))

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

    def advance(self, blocks: Sequence[EventBlock] | None = None, refused: Mapping[Span, Refusal] | None = None) -> None:
        """Move past what the last `read` returned, count it in the ledger, and release what is not needed any more.

        Args:
            blocks: What that `read` returned. Nothing happens when these are not the blocks that come next: a call that was given up (its
                loop was cancelled, its thread went on) must not move past what somebody else has read since. None for whatever comes next.
            refused: What the home does not take of which block, and why; all else counts as acknowledged.
        """
        with self._lock:
            if self._read is not None and (blocks is None or blocks is self._read.blocks):
                done, self._read = self._read, None
                self._count(done, refused or {})
                self._move(done)

    def _count(self, done: _Read, refused: Mapping[Span, Refusal]) -> None:
        for block in done.blocks:
            kind = block.kind if isinstance(block, RecordBlock) else EventKind.SCALARS
            refusal = refused.get(block.span)
            if refusal is not None:
                self._ledger.drop(block.task, kind, REFUSED, refusal.count, name=f"task {block.task}", detail=refusal.reason)
            self._ledger.acknowledge(block.task, kind, len(block) - (refusal.count if refusal is not None else 0))
        for (task, title, series), number in done.drops.items():
            self._ledger.drop(
                task, EventKind.SCALARS, NOT_FINITE, number, name=f"{title}/{series}", detail="NaN and infinities are not stored"
            )
        for (task, of), number in done.forgotten.items() if self._is_ours else ():
            self._ledger.drop(task, of, RESET, number, name=f"task {task}", detail="reported before the task was reset")

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
            pending, gone = self._pending(task)
            return {kind: self._ledger.counts(task, kind, pending[kind], gone[kind]) for kind in REPORTED}

    def pending(self, task: str | None) -> dict[EventKind, int]:
        """How many events of a task (or of all) are in the journal and were not advanced past. Costs a look at each of them."""
        with self._lock:
            return self._pending(task)[0]

    def _pending(self, task: str | None) -> tuple[Counter[EventKind], dict[EventKind, Counter[str]]]:
        """What is pending, and what the journal dropped on its own account by reason; nothing is in both, and nothing in neither."""
        pending = Counter(dict.fromkeys(REPORTED, 0))
        gone: dict[EventKind, Counter[str]] = {kind: Counter() for kind in REPORTED}
        segments, points = self._journal.scalars.unread()
        looked_at, records, dropped = self._journal.records.unread(self.position.records)
        for segment, holes in self._holes.items():
            for index in holes:
                pending[EventKind.SCALARS] += self._points(count(segment.view(index, index + 1)), task)
        for segment in segments:
            begin = max(self.position.slots, segment.first) - segment.first
            if begin < segment.capacity:
                pending[EventKind.SCALARS] += self._points(_content(segment, begin), task)
        for reason, series in points.items():
            gone[EventKind.SCALARS][reason] += self._points(series, task)
        position = self.position.records
        while position < looked_at:
            frames, position = self._journal.records.read(position, RECORD_BYTES)
            for frame in frames:
                records[frame.header["task"], frame.header["kind"]] += int(frame.header.get("rows", 1))
        for (whose, kind), number in records.items():
            pending[EventKind(kind)] += number if task in {None, whose} else 0
        for reason, counts in dropped.items():
            for (whose, kind), number in counts.items():
                gone[EventKind(kind)][reason] += number if task in {None, whose} else 0
        return pending, gone

    def _points(self, content: Mapping[int, int], task: str | None) -> int:
        return sum(points for series, points in content.items() if series > EMPTY and task in {None, self._journal.series(series)[0]})

    # ---- slots

    def _read_holes(self, read: _Read) -> None:
        """Look again at the slots that were passed while they were empty: a thread may have been held between claim and write."""
        for segment, holes in self._holes.items():
            for index in sorted(holes):
                if segment.series(index, index + 1)[0]:
                    read.blocks += self._run_blocks(read, segment, index, index + 1)
                    read.filled.append((segment, index))

    def _read_slots(self, read: _Read, limit: int) -> None:
        segment = self._journal.scalars.pin(self.position.slots)
        if segment is None:
            return
        begin = max(self.position.slots, segment.first) - segment.first
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

    def _run_blocks(self, read: _Read, segment: Segment, begin: int, end: int) -> Iterable[EventBlock]:
        """The blocks of a stretch of committed slots: one for each task in it."""
        (iterations, times, values, flags, ids), used, clean = _columns(segment.view(begin, end))
        if not clean:
            values = replacements.apply(values)
            keep = [not flag & VOID and math.isfinite(value) for flag, value in zip(flags, values, strict=True)]
            for number, value, flag in zip(ids, values, flags, strict=True):
                if not flag & VOID and not math.isfinite(value):
                    read.drops[self._journal.series(number)] += 1
            ids, iterations, times, values = (array(kept.typecode, compress(kept, keep)) for kept in (ids, iterations, times, values))
            used = set(ids)
        first, last = segment.first + begin, segment.first + end
        owners = {number: self._journal.series(number)[0] for number in used}
        for task in sorted(set(owners.values())):
            span = Span(self._journal.id, slot_stream(task), first, last)
            if self._stored.covers(span.stream, first, last):
                read.forgotten[task, EventKind.SCALARS] += sum(owners[number] == task for number in ids)
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
        series = None
        if len(numbers) > 1:
            series = array("I")
            for start in range(0, len(ids), SLICE):
                series.extend(map(index.__getitem__, ids[start : start + SLICE]))
                rest()
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
        rows: Counter[tuple[str, EventKind]] = Counter()
        expected = 0
        for frame in paced(frames, FRAMES):
            key = (frame.header["task"], EventKind(frame.header["kind"]))
            size = int(frame.header.get("rows", 1))
            stored = self._stored.covers(record_stream(*key), start + frame.start, start + frame.end)
            # A block must not span what is stored, nor what cannot be read any more and may be.
            finished = list(groups) if frame.start != expected else [key] if stored or rows[key] >= LARGE_SLICE else []
            for done in finished:
                read.blocks += self._group_blocks(read, done, groups.pop(done, []), start)
                del rows[done]
            expected = frame.end
            if stored:
                read.forgotten[key] += size
            else:
                groups.setdefault(key, []).append(frame)
                rows[key] += size
        for key, group in groups.items():
            read.blocks += self._group_blocks(read, key, group, start)

    def _group_blocks(self, read: _Read, key: tuple[str, EventKind], frames: list[Frame], start: int) -> Iterable[EventBlock]:
        """One block for records of one task and kind that follow each other; others may stand between them in the file."""
        if not frames:
            return
        task, kind = key
        span = Span(self._journal.id, record_stream(task, kind), start + frames[0].start, start + frames[-1].end)
        if kind is not EventKind.SCALARS:
            yield RecordBlock(task, span, kind, [_event(frame) for frame in frames])
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
                numbers = replacements.apply(numbers)
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


def _event(frame: Frame) -> Mapping[str, object]:
    """The event of a record; the figure of a plot stands behind the header, where nobody parses it who only counts."""
    event: Mapping[str, object] = frame.header["event"]
    return {**event, "plot_str": str(frame.body, "utf-8")} if len(frame.body) else event


def _columns(slots: memoryview) -> tuple[list[array[Any]], set[int], bool]:
    """Iterations, times, values, flags and series ids of some slots; which ids these are; and whether all are points with finite values.

    A slice at a time: between two of them the threads that report get the interpreter lock.
    """
    size = len(slots) // SLOT.size
    columns: list[array[Any]] = [array(code, bytes(8 if code != "I" else 4) * size) for code in "qddII"]
    used: set[int] = set()
    clean = True
    for start in range(0, size, SLICE):
        some = slots[start * SLOT.size : (start + SLICE) * SLOT.size]
        for kept, offset in zip(columns, (0, 8, 16, 24, 28), strict=True):
            kept[start : start + SLICE] = column(some, kept.typecode, offset)
        _, _, values, flags, ids = (kept[start : start + SLICE] for kept in columns)
        used.update(ids)
        clean = clean and not any(flags) and math.isfinite(sum(values))
        rest()
    return columns, used, clean


def _content(segment: Segment, begin: int) -> Counter[int]:
    """What a segment holds from an index on."""
    if segment.content is not None and not segment.content[EMPTY] and not begin:
        return segment.content
    try:
        return count(segment.view(begin, segment.committed_end(begin)))
    except FileNotFoundError:  # dropped since we were told of it, which is not before its content was noted
        return segment.content or Counter()
