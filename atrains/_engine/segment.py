"""One segment of scalar slots: mapped memory or a file, how much of it is claimed, how it ends. The stream of them is in `segments`."""

from __future__ import annotations

import contextlib
import itertools
import mmap
import os
import sys
import threading
import time
from array import array
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from atrains._engine.files import map_zeros
from atrains._engine.slots import EMPTY, SLOT, WINDOW, column, count
from atrains._transport.pace import rest


@dataclass(slots=True, eq=False, repr=False)
class Segment:
    """A run of slots that is filled once and never reused.

    Attributes:
        first: The number of its first slot.
        capacity: How many slots it has.
        slots: The mapped memory; None once it is only read, from its file: a backlog must not sit in the memory of the process. Never
            closed: the last holder unmaps it.
        claim: Returns the next index to write; beyond `capacity` the segment is full.
        path: Its file; None for a segment in memory.
        retired: Set before the reader's last look. A writer that finds it set cannot know whether it was seen, and writes again elsewhere:
            the same point twice is one point.
        made: When it was made.
        content: What `count` says of all of it, once it is only read.
        file_bytes: The size of its file.
        descriptor: Its file, kept open while it is being read, so that it can be read to the end whatever becomes of the folder; else -1.
    """

    first: int
    capacity: int
    slots: Any
    claim: Callable[[], int]
    path: Path | None
    retired: bool = False
    made: float = field(default_factory=time.monotonic)
    content: Counter[int] | None = None
    file_bytes: int = 0
    descriptor: int = -1

    @classmethod
    def create(cls, folder: Path | None, first: int, capacity: int) -> Segment:
        """Make a segment of zeros; without a folder it lives in memory."""
        if folder is None:
            return cls(first, capacity, mmap.mmap(-1, capacity * SLOT.size), _counter(), None)
        path = folder / f"scalars-{first:016d}"
        return cls(first, capacity, map_zeros(path, capacity * SLOT.size), _counter(), path, file_bytes=capacity * SLOT.size)

    def view(self, begin: int, end: int) -> memoryview:
        """The bytes of the slots `begin` to `end` (indices), of the mapped memory itself or of its file.

        Raises:
            OSError: the file is not there any more.
        """
        slots, first, last = self.slots, begin * SLOT.size, end * SLOT.size
        if slots is not None:
            return memoryview(slots)[first:last]
        assert self.path is not None
        descriptor = self.descriptor if self.descriptor >= 0 else os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return memoryview(os.pread(descriptor, last - first, first))
        finally:
            if descriptor != self.descriptor:
                os.close(descriptor)

    def hold(self) -> None:
        """Keep what is to be read within reach, although the file may be deleted.

        Raises:
            OSError: it cannot be opened, or is not there any more.
        """
        if self.slots is None and self.descriptor < 0 and self.path is not None:
            self.descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)

    def let_go(self) -> None:
        """Close what `hold` opened."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def unmap(self, *, held: bool) -> None:
        """Leave what was written to the file, if there is one, and note what that is: for when it is gone."""
        if self.path is None or self.slots is None:
            return
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:  # the file is gone, or there are too many open: its pages are all that is left
            return
        # A writer that comes after this line writes elsewhere; one that was about to write may fill its slot after it was counted as empty.
        slots, self.slots = self.slots, None
        if slots is not None:
            self.content = count(memoryview(slots)[: self.capacity * SLOT.size], rest)
        if held and self.descriptor < 0:
            self.descriptor = descriptor
        else:
            os.close(descriptor)

    def counted(self) -> Counter[int]:
        """What it holds, as `count` in `slots`; final where it is retired, since a writer that fills a slot now writes its point again."""
        content = self.content
        if content is None or content[EMPTY]:
            with contextlib.suppress(OSError):  # the file is gone: what was counted while it was there
                content = self.content = count(self.view(0, self.capacity))
        return Counter() if content is None else content

    def series(self, begin: int, end: int) -> array[int]:
        """The series ids of some slots; 0 where nothing was committed."""
        return column(self.view(begin, end), "I", 28)

    def committed_end(self, begin: int) -> int:
        """One past the last committed slot at or behind `begin`, looking no further than the first window that holds none."""
        end = begin
        while begin < self.capacity:
            ids = self.series(begin, min(begin + WINDOW, self.capacity))
            if not any(ids):
                break
            end = begin + len(ids)
            while not ids[-1]:
                ids.pop()
                end -= 1
            begin += WINDOW
        return end


class _LockedCount:
    """A count for builds of Python without a GIL, where `next()` on the one of itertools is not atomic."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next = 0

    def __next__(self) -> int:
        with self._lock:
            self._next += 1
            return self._next - 1

    def __repr__(self) -> str:
        return f"count({self._next})"


HAS_GIL: Final[bool] = getattr(sys, "_is_gil_enabled", lambda: True)()
"""Whether nothing comes in between lines in which nothing is called."""


def _counter() -> Callable[[], int]:
    return itertools.count().__next__ if HAS_GIL else _LockedCount().__next__


NO_SEGMENT: Final = Segment(0, 0, b"", itertools.count().__next__, None)
"""What a stream points at before its first segment, and in a forked child: full, so the next call takes the slow path."""


def claims(segment: Segment) -> int:
    """How often a slot of a segment was claimed, those beyond its end included."""
    # A count shows its next number in its repr; asking in any other way would use it up.
    return int(repr(segment.claim.__self__)[6:-1])  # type: ignore[attr-defined]


def seal(segment: Segment) -> None:
    """End a segment behind the slots that were claimed so far."""
    if segment is NO_SEGMENT:
        return
    # Whoever compares its number after the first step writes elsewhere; whoever did before has one below the count.
    capacity, segment.capacity = segment.capacity, 0
    segment.capacity = min(claims(segment), capacity)
