"""How much of the disk the journals of a home may take, and what becomes of a report for which nothing is left.

Counting and deciding only: files are made and deleted by `segments` and `records`, which are asked here to give up their oldest.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from enum import Enum, auto
from pathlib import Path
from typing import Final, Protocol

from atrains._config.settings import JournalSettings
from atrains._engine.ledger import FULL, LOST, NO_ROOM

LOOK_BYTES: Final = 4 << 20
"""Bytes written between two looks at the folder of the journals."""
LOOK_SECONDS: Final = 1.0
"""Between two looks, when something is written; how late room that others gave back is noticed."""
PIECES: Final = 8
"""No file of a journal is larger than this part of the cap: there must be another to be dropped, or delivered, while it is written."""
MEMORY_BYTES: Final = 64 << 20
"""Of records, kept in memory at most where there is no room on disk; of points `segments` keeps as many."""

UPLOAD_FILE: Final = "upload-"
"""How the files of a journal begin that wait to be uploaded: no event gives way to them, so the cap is not theirs."""
_FREE_BYTES: Final = 1 << 30
_FREE_PART: Final = 0.05
_WAIT_SECONDS: Final = 0.02
_WORDS: Final = {
    "drop_oldest": "the oldest undelivered events are dropped, new ones where there are none",
    "drop_new": "new events are dropped until there is room",
    "block": "report calls wait until there is room, those on an event loop's own thread drop their events",
    "raise": "report calls raise until there is room",
}
_log = logging.getLogger("atrains")


class Relief(Enum):
    """What a stream does with what it found no room for."""

    AGAIN = auto()
    """Try again: there may be room now."""
    MEMORY = auto()
    """Keep it in memory until there is."""
    REFUSE = auto()
    """Give it up; it is to be counted as dropped."""


class Evictable(Protocol):
    """A stream of a journal that can give up what is oldest in it."""

    def oldest(self) -> float | None:
        """When the file that would go next was made; None when all of them are being read or written."""

    def evict(self) -> bool:
        """Drop that file, counting its events; False when there is none."""

    def is_held(self) -> bool:
        """Whether the calling thread is inside this stream: a signal handler that reports may be."""


class Room:
    """The room of one journal. Without a folder there is no limit.

    Safe from any thread, and from signal handlers, without a lock: each change is one step in which nothing is called, and nothing is when
    threads take turns. A lock of its own could be held below a signal handler that waits for the lock of a stream, whose holder waits here.

    Args:
        folder: The folder of all journals of a home.
        own: The name of the one that this is for.
        settings: The cap, and what happens at it.
        wake: Starts a delivery.

    Attributes:
        in_memory_only: Whether nothing is to be written to the disk.
        streams: What can give something up.
        refusal: Why something was refused last: the reason as the ledger names it, and the words.
    """

    def __init__(
        self,
        folder: Path | None = None,
        own: str = "",
        settings: JournalSettings | None = None,
        *,
        in_memory_only: bool = False,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self.settings = settings or JournalSettings()
        self.in_memory_only = in_memory_only
        self.streams: Sequence[Evictable] = ()
        self.refusal: tuple[str, str] = (NO_ROOM, "there is no journal to report to")
        self._folder = folder
        self._wake = wake
        self._said: set[str] = set()
        self._in_memory_said = False
        self.restart(own)

    def restart(self, own: str) -> None:
        """Begin to count: for a new journal, also that of a forked child."""
        self._own_name, self._own = own, 0
        self._others, self._other_journals = 0, 0
        self._free, self._floor = sys.maxsize, 0
        self._since_look, self._looked = 0, float("-inf")

    def limit(self, size: int, unit: int) -> int:
        """The size of a file of a journal, in whole units: `size`, or less when the cap is small."""
        return size if self._folder is None else max(unit, min(size, self.settings.max_bytes // PIECES // unit * unit))

    def take(self, size: int, *, new_file: bool = False) -> bool:
        """Claim bytes that are about to be written; False when the cap, or what is to stay free of the disk, does not allow for them.

        Args:
            size: How many.
            new_file: Whether they are a file of their own; then the folder is looked at in any case.

        Raises:
            OSError: the disk has not got so much free at all.
        """
        if self._folder is None:
            return True
        if new_file or self._since_look >= LOOK_BYTES or time.monotonic() - self._looked > LOOK_SECONDS:
            self._look(self._folder)
        # Counted before it is compared: two threads that come at once may both be refused, but never both be let through.
        self._count(size)
        if self._own + self._others <= self.settings.max_bytes and self._free >= self._floor:
            self._since_look += size
            return True
        disk_is_full = self._free < 0
        self._count(-size)
        if disk_is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return False

    def note(self, size: int) -> None:
        """Count bytes that had to be written, whatever the cap."""
        self._count(size)

    def give(self, size: int) -> None:
        """Return bytes that were deleted, or not written after all."""
        self._count(-size)

    def _count(self, size: int) -> None:
        self._own += size
        self._free -= size

    def _look(self, folder: Path) -> None:
        """See what other journals take and what the disk has free; some 50 us, and 2 us for each file of another journal."""
        self._since_look, self._looked = 0, time.monotonic()
        used = journals = 0
        try:
            with os.scandir(folder) as found:
                for journal in found:
                    if journal.name.lstrip(".") != self._own_name:
                        used += _bytes_in(journal.path)
                        journals += 1
            if hasattr(os, "statvfs"):
                disk = os.statvfs(folder)
                self._free = disk.f_bavail * disk.f_frsize
                self._floor = min(_FREE_BYTES, int(disk.f_blocks * disk.f_frsize * _FREE_PART))
        except OSError:  # the folder was removed: the next file that is to be made in it tells
            return
        self._others, self._other_journals = used, journals

    # ---- what happens when there is none

    def evict(self, size: int) -> bool:
        """Drop the oldest file of this journal that is neither read nor written, if that is what is to be done for room of a size."""
        if self.settings.overflow != "drop_oldest" or size > self.settings.max_bytes or self._is_inside():
            return False
        why = self.why(size)  # before there is room again
        ages = [(age, number) for number, stream in enumerate(self.streams) if (age := stream.oldest()) is not None]
        if not ages or not self.streams[min(ages)[1]].evict():
            return False
        self._say("drop_oldest", FULL, why)
        return True

    def relieve(self, size: int, *, exhausted: bool) -> Relief:
        """Decide what becomes of a report without room; called without a lock, and waits if it is told to.

        Args:
            size: The bytes that it needs.
            exhausted: Whether memory, which stands in for a disk that is full, is full too.
        """
        policy = self.settings.overflow
        full = not exhausted or self.in_memory_only
        self.refusal = (FULL if full else NO_ROOM, self.why(size, exhausted=exhausted))
        if self._is_inside():  # a signal handler, in the middle of a report: nothing can be freed, nor waited for, before that goes on
            return Relief.REFUSE
        if policy == "drop_oldest":
            if full and self.evict(size):
                return Relief.AGAIN
            if not exhausted:
                return Relief.MEMORY
        if policy in {"block", "raise"} or full:
            self._say(policy, *self.refusal)
        if policy == "block" and size <= self.settings.max_bytes and not _on_event_loop():
            self._wake()
            time.sleep(_WAIT_SECONDS)
            return Relief.AGAIN
        return Relief.REFUSE

    def why(self, size: int, *, exhausted: bool = False) -> str:
        """In words, what there is no room in, and what to do about it."""
        if exhausted:
            where = (
                "the memory that reports may take" if self.in_memory_only else f"the disk of {self._folder}, and the memory instead of it,"
            )
            return f"{where} is full until something is delivered"
        cap = self.settings.max_bytes
        if size > cap:
            return f"a report of {_size(size)} is larger than journal.max_bytes; raise it (ATRAINS_JOURNAL_MAX_BYTES)"
        if self._free - self._floor < cap - self._own - self._others:
            return f"the disk of {self._folder} has {_size(self._free)} free, and {_size(self._floor)} are left to others; make room there"
        others = ""
        if self._others > self._own:
            others = f", {_size(self._others)} of them in {self._other_journals} of other runs (`atrains sync` delivers those that ended)"
        return f"the journals in {self._folder} have reached {_size(cap)}{others}; raise journal.max_bytes (ATRAINS_JOURNAL_MAX_BYTES)"

    def say_memory(self, journal: Path, error: OSError) -> None:
        """Say that reports are kept in memory, once until `say_disk`; called without a lock: a log handler may wait for who reports."""
        if not self._in_memory_said:
            self._in_memory_said = True
            _log.warning(
                "atrains: no room for the journal in %s (%s): reports are kept in memory until there is", journal, error.strerror or error
            )

    def say_disk(self) -> None:
        """Note that the disk has room again."""
        self._in_memory_said = False

    def say_lost(self, file: Path | None) -> None:
        """Say once that somebody deleted what was not delivered yet."""
        if LOST not in self._said:
            self._said.add(LOST)
            _log.warning("atrains: %s was deleted before it was delivered; its points are lost (said once; all are counted)", file)

    def _is_inside(self) -> bool:
        return any(stream.is_held() for stream in self.streams)

    def _say(self, policy: str, reason: str, why: str) -> None:
        if policy not in self._said:
            self._said.add(policy)
            _log.warning("atrains: %s: %s; %s (said once; all are counted in task.stats())", reason, why, _WORDS[policy])


def _bytes_in(folder: str) -> int:
    total = 0
    try:
        with os.scandir(folder) as files:
            for file in files:
                if not file.name.startswith(UPLOAD_FILE):
                    total += file.stat(follow_symlinks=False).st_size
    except OSError:  # delivered and deleted meanwhile, or no journal: whatever cannot be seen is not counted
        return total
    return total


def _on_event_loop() -> bool:
    """Whether a loop runs in this thread: it must not wait, least of all for a delivery that may be this loop's own."""
    asyncio = sys.modules.get("asyncio")
    return asyncio is not None and asyncio._get_running_loop() is not None  # noqa: SLF001  # the public call raises instead


def _size(count: int) -> str:
    return f"{count / (1 << 20):,.1f} MiB" if count >= 1 << 20 else f"{max(count, 0):,} bytes"
