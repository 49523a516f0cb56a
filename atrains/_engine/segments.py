"""Scalar slots in mapped segments: the hot path of reporting. Writing and looking only; what a slot means to a home is in `reader`.

A file `scalars-<n>` holds the slots from number n on; what is in a slot is in `slots`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from atrains._engine.held import is_owned, reentrant_lock
from atrains._engine.ledger import FULL, LOST
from atrains._engine.room import Relief, Room
from atrains._engine.segment import NO_SEGMENT, Segment, claims, seal
from atrains._engine.slots import EMPTY, SLOT, VOID

FIRST_SLOTS: Final = 8_192
SLOTS: Final = 65_536
MEMORY_SEGMENTS: Final = 32
"""Segments kept in memory at most when there is no room on disk; what comes after that is dropped."""

QUICK: Final = 1.0
"""Seconds in which a segment fills where two are made ahead: a worker that makes one waits several times for the interpreter lock, which
the program that reports so much holds."""
MAPPED: Final = 2
"""Written segments that stay mapped: the current one, and the one before it, which slow writers may still be in."""
MOST_MAPPED: Final = 4
"""The same where the workers do not keep up: then those who report unmap the rest."""
RETRY_SECONDS: Final = 1.0
"""Between two looks whether the disk has room again."""


@dataclass(slots=True, eq=False, repr=False)
class ScalarStream:
    """The scalar slots of one journal: `append` from any thread, `segments` for the one reader.

    Args:
        folder: Where segments are made.
        prepare: Runs a call in a worker thread soon; used to make the next segment ahead.
        on_roll: Called when a segment became full; wakes the reporter.
        revive: Called when a forked child reports for the first time; makes a journal of its own, and says whether it could.
        room: What the disk allows for.

    Attributes:
        gone: Points that were dropped to make room, or with a file that somebody deleted, by reason and series.
        abandoned: Slots among them that were claimed and never filled.
    """

    folder: Path
    prepare: Callable[[Callable[[], None]], None]
    on_roll: Callable[[], None]
    revive: Callable[[], bool] = lambda: False
    room: Room = field(default_factory=Room)
    gone: dict[str, Counter[int]] = field(default_factory=dict)
    abandoned: int = 0
    _current: Segment = NO_SEGMENT
    _spares: list[Segment] = field(default_factory=list)
    _live: list[Segment] = field(default_factory=list)
    _next_first: int = 0
    _claimed_before: int = 0
    _closed: bool = False
    _no_room: bool = False
    _unsaid: OSError | None = None
    _next_try: float = 0.0
    _reading: int = -1
    _lock: threading.RLock = field(default_factory=reentrant_lock)
    _pid: int = field(default_factory=os.getpid)

    def append(
        self,
        series: int,
        iteration: int,
        value: float,
        _time: Callable[[], float] = time.time,
        _pack: Callable[..., None] = SLOT.pack_into,
    ) -> bool:
        """Store one point; False when there is no room left anywhere.

        Raises:
            struct.error: the iteration does not fit in 64 bit.
        """
        # About 0.4 us. No lock: `next()` on a count is atomic under the GIL, and a claimed slot has one writer. No system call either:
        # the kernel keeps the page when the process is killed.
        while True:
            segment = self._current
            index = segment.claim()
            if index < segment.capacity:
                try:
                    _pack(segment.slots, index * 32, iteration, _time(), value, 0, series)
                except struct.error:
                    _pack(segment.slots, index * 32, 0, 0.0, 0.0, VOID, series)
                    raise
                except TypeError:
                    if segment.slots is not None:
                        raise
                    continue  # this thread was held for so long that the segment was unmapped: the point goes to the current one
                if not segment.retired:
                    return True
            elif not self._roll(segment):
                return False

    def segments(self) -> list[Segment]:
        """Every segment that still may hold something to deliver, oldest first; the last one is being written."""
        with self._lock:
            return list(self._live)

    def is_sealed(self, segment: Segment) -> bool:
        """Whether no slot of it can be claimed any more."""
        return segment is not self._current

    def drop(self, segment: Segment) -> None:
        """Forget a retired segment and delete its file. A writer that still holds it keeps it mapped, and writes its point again."""
        with self._lock:
            self._live.remove(segment)
        self._delete(segment)

    def pin(self, position: int) -> Segment | None:
        """The first segment that reaches beyond a position, to be read: it is not dropped to make room from now on."""
        while True:
            with self._lock:
                segment = next((live for live in self._live if live.first + live.capacity > position), None)
                if segment is None:
                    return None
                self._reading = segment.first
            try:
                segment.hold()
            except FileNotFoundError:
                self._give_up(segment, LOST)
            else:
                return segment

    def unread(self) -> tuple[list[Segment], dict[str, Counter[int]]]:
        """Every segment that may hold something to deliver, and what was dropped of those that went before their time, at one moment."""
        with self._lock:
            return list(self._live), {reason: counts.copy() for reason, counts in self.gone.items()}

    def claimed(self) -> int:
        """How many slots were ever claimed, by writers that came back and by those that did not."""
        with self._lock:
            return self._claimed_before + min(claims(self._current), self._current.capacity)

    def _roll(self, full: Segment) -> bool:
        """Put the next segment in place of a full one; False when there is none to be had."""
        if self._pid != os.getpid():
            return self.revive()
        with self._lock:
            if self._closed:
                return False
            if self._current is not full:
                return True
            following = self._spares[0] if self._spares else self._make()
            # A signal handler of this thread may have reported, and rolled, while the segment was made. From this look on nothing is
            # called, and where nothing is called no signal handler runs.
            if self._current is full and following is not None:
                self._current, self._spares = following, self._spares[1:]
                self._live = [*self._live, following]
                self._claimed_before += full.capacity
                for old in self._live[:-MOST_MAPPED]:  # as a rule a worker has done it
                    old.unmap(held=old.first <= self._reading)
            elif following is not None:
                self._delete(following)
        self._tell()
        if following is None:
            return self._current is not full or self._relieve()
        self.prepare(self._settle)
        if full is not NO_SEGMENT:
            self.on_roll()
        return True

    def retry_disk(self) -> None:
        """Go back to the disk once it has room again; to be called now and then, not while the reader reads."""
        with self._lock:
            if (
                not self._no_room
                or self.room.in_memory_only
                or self._closed
                or self._pid != os.getpid()
                or time.monotonic() < self._next_try
            ):
                return
            self._next_try = time.monotonic() + RETRY_SECONDS
            following, current = self._make_on_disk(), self._current
            if following is None:
                return
            if current.path is not None:
                self._spares = [*self._spares, following]
                return
            self._live = [*self._live, following]
            self._current = following
            seal(current)
            self._claimed_before += current.capacity

    def _make(self) -> Segment | None:
        """Make the segment that follows the newest one, in memory if there is no room on disk; call with the lock held."""
        self._no_room = self._no_room or self.room.in_memory_only
        segment = None if self._no_room else self._make_on_disk()
        if segment is None and self._no_room and sum(1 for live in self._live if live.path is None) < MEMORY_SEGMENTS:
            segment = Segment.create(None, *self._take_slots())
        return segment

    def _make_on_disk(self) -> Segment | None:
        first, capacity = self._take_slots()
        size, segment = capacity * SLOT.size, None
        try:
            if not self.room.take(size, new_file=True):
                if self._next_first == first + capacity:
                    self._next_first = first
                return None
            try:
                segment = Segment.create(self.folder, first, capacity)
            finally:
                if segment is None:
                    self.room.give(size)
        except OSError as error:  # no room, no permission, too many files: whatever it is, points can be kept in memory
            if not self._no_room:
                self._no_room, self._unsaid = True, error
            return None
        if self._no_room:
            self._no_room = False
            self.room.say_disk()
        return segment

    def _take_slots(self) -> tuple[int, int]:
        """The number of the first slot of a new segment, and how many it has. Numbers may be left out: nobody counts with them."""
        small, large = (self.room.limit(slots * SLOT.size, SLOT.size) // SLOT.size for slots in (FIRST_SLOTS, SLOTS))
        # Nothing is called between these lines: a signal handler that reports in between would be given the same numbers.
        first = self._next_first
        capacity = large if first else small
        self._next_first = first + capacity
        return first, capacity

    def _settle(self) -> None:
        """After a roll, in a worker thread: make the next segments ahead, and leave those to their files that no writer is in any more."""
        while True:
            # Held while 2 MiB of zeros are written (1 ms): a writer that needs the spare meanwhile could only make one too.
            with self._lock:
                if not self._needs_spare():
                    break
                made = self._make_on_disk()
                if made is not None:
                    self._spares = [*self._spares, made]
            # Nothing is dropped to make room for one more than the next.
            if made is None and (self._spares or self._no_room or not self.room.evict(SLOT.size)):
                break
        self._tell()
        for old in self.segments()[:-MAPPED]:
            old.unmap(held=old.first <= self._reading)

    def _needs_spare(self) -> bool:
        ahead = 2 if len(self._live) > 1 and self._live[-1].made - self._live[-2].made < QUICK else 1
        return len(self._spares) < ahead and not (self._no_room or self._closed) and self._pid == os.getpid()

    def _tell(self) -> None:
        error, self._unsaid = self._unsaid, None
        if error is not None:
            self.room.say_memory(self.folder, error)

    # ---- room

    @property
    def in_memory(self) -> bool:
        """Whether points are held that would not survive the process, because there was no room on disk."""
        with self._lock:
            return any(live.path is None for live in self._live)

    def is_held(self) -> bool:
        """Whether the calling thread is inside this stream."""
        return is_owned(self._lock)

    def oldest(self) -> float | None:
        """When the segment that would go next was made; None when all of them are being read or written."""
        with self._lock:
            victim = self._victim()
            return None if victim is None else victim.made

    def evict(self) -> bool:
        """Drop that segment, counting its points; False when there is none."""
        with self._lock:
            victim = self._victim()
            if victim is not None:
                self._give_up(victim, FULL)
        return victim is not None

    def _victim(self) -> Segment | None:
        kept = (segment for segment in self._live if segment.first > self._reading and segment is not self._current)
        return next((segment for segment in kept if (segment.path is None) == self.room.in_memory_only), None)

    def _give_up(self, segment: Segment, reason: str) -> None:
        """Drop a segment that was not read whole."""
        with self._lock:
            segment.retired = True
            content = segment.counted()
            self._live.remove(segment)
            self.gone.setdefault(reason, Counter()).update({series: points for series, points in content.items() if series > 0})
            self.abandoned += content[EMPTY]
        self._delete(segment)
        if reason == LOST:
            self.room.say_lost(segment.path)

    def _relieve(self) -> bool:
        """After a point found no room: whether to try again."""
        size = self.room.limit(SLOTS * SLOT.size, SLOT.size)
        relief = self.room.relieve(size, exhausted=self._no_room)
        if relief is Relief.MEMORY:
            with self._lock:
                if not self._no_room:
                    self._no_room, self._unsaid = True, OSError(errno.EDQUOT, self.room.why(size))
        return relief is not Relief.REFUSE

    def _delete(self, segment: Segment) -> None:
        segment.let_go()
        if segment.path is not None:
            with contextlib.suppress(OSError):  # what cannot be deleted now goes with the folder
                segment.path.unlink(missing_ok=True)
            self.room.give(segment.file_bytes)

    # ---- the end, and forked children

    def seal(self) -> None:
        """Take no more points; what is there can still be read. Not to be called while the reader reads."""
        with self._lock:
            if not self._closed:
                self._closed, current = True, self._current
                self._current = NO_SEGMENT
                seal(current)
                self._claimed_before += current.capacity

    def close(self) -> None:
        """Delete what is left; call when everything was delivered."""
        self.seal()
        with self._lock:
            for segment in [*self._live, *self._spares]:
                self._delete(segment)
            self._live, self._spares = [], []

    def release_files(self) -> None:
        """Close what is open and leave it where it is; nothing can be read after this."""
        for segment in self.segments():
            segment.let_go()

    def forget_in_child(self) -> None:
        """In a forked child: point away from the parent's memory, which is shared."""
        for segment in self._live:
            segment.let_go()
        self._current, self._spares, self._live, self._pid = NO_SEGMENT, [], [], 0
        self._lock = reentrant_lock()

    def restart(self, folder: Path) -> None:
        """In a forked child: begin again in a folder of its own."""
        self.folder, self._next_first, self._claimed_before = folder, 0, 0
        self._no_room, self._closed, self._pid = False, False, os.getpid()
        self.gone, self.abandoned, self._reading = {}, 0, -1
