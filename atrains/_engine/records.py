"""Everything of a journal that is not a scalar slot: frames appended to files, in one system call each or, among printed lines, in none.

What a frame means is in `reader`.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from atrains._engine.frame_files import ONE_WRITE, Buffers, FrameFile, MemoryFrames
from atrains._engine.held import is_owned, reentrant_lock
from atrains._engine.ledger import FULL
from atrains._engine.room import MEMORY_BYTES, Relief, Room
from atrains._transport.pace import paced
from atrains._wire.events import EventKind
from atrains._wire.frames import Frame, encode_frame, encode_header, scan_frames
from atrains.errors import HomeError

FILE_BYTES: Final = 16 << 20
"""A records file is sealed once it is this large."""
MEMORY_FILE_BYTES: Final = 4 << 20
"""The same for what stands in for one in memory."""
WINDOW_BYTES: Final = 256 << 10
"""Of the end of a file, mapped while lines are printed; no file is mapped that does not hold several of them."""
FRAMES: Final = 200
"""Frames that are read in a millisecond."""
RETRY_SECONDS: Final = 1.0
"""Between two tries whether the disk has room again."""

_log = logging.getLogger("atrains")


@dataclass(slots=True, eq=False, repr=False)
class RecordFile:
    """One `records-<n>` file, or what stands in for one in memory: `n` is the position of its first byte in the stream of all records.

    Attributes:
        limit: The size at which it is full.
        counts: How many events of which task and kind it holds.
        made: When it was made.
    """

    first: int
    frames: FrameFile | MemoryFrames
    limit: int
    size: int = 0
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    made: float = field(default_factory=time.monotonic)

    @property
    def end(self) -> int:
        """The position in the stream behind its last byte."""
        return self.first + self.size


@dataclass(slots=True, eq=False, repr=False)
class RecordStream:
    """The records of one journal: `append` from any thread, `read` for the one reader.

    A re-entrant lock is held for the one system call of an append: a signal handler may report while its own thread does, and a reader
    that takes the lock knows that no writer is on its way into a file that was sealed.

    Args:
        folder: Where the files are made.
        on_roll: Called when a file became full.
        revive: Called when a forked child reports for the first time.
        room: What the disk allows for.

    Attributes:
        gone: Events that were dropped to make room, by reason, and by task and kind.
    """

    folder: Path
    on_roll: Callable[[], None]
    revive: Callable[[], bool] = lambda: False
    room: Room = field(default_factory=Room)
    gone: dict[str, Counter[tuple[str, str]]] = field(default_factory=dict)
    _files: list[RecordFile] = field(default_factory=list)
    _lock: threading.RLock = field(default_factory=reentrant_lock)
    _position: int = 0
    _released: int = 0
    _depth: int = 0
    _closed: bool = False
    _no_room: bool = False
    _unsaid: OSError | None = None
    _next_try: float = 0.0
    _next_window: float = 0.0

    def append(self, header: Mapping[str, object], columns: Buffers | None = None) -> bool:
        """Store one record; False when there is no room left anywhere.

        Raises:
            HomeError: the journal was closed.
        """
        buffers = encode_frame(header, columns or [])
        if self._closed:
            self.revive()
        size = sum(map(len, buffers))
        if size <= ONE_WRITE and self._files and self._files[-1].frames.window is not None:
            rows = header.get("rows", 1)
            key = (str(header.get("task")), str(header.get("kind")))
            if self._put(key, b"".join(buffers), rows if isinstance(rows, int) else 1):
                return True
        return self._append(header, buffers, size)

    def append_printed(self, key: tuple[str, str], header: bytes) -> bool:
        """`append` for the record of a line that was printed: 1.5 us instead of 6, since no system call is made for most of them.

        Args:
            key: The task and the kind of event.
            header: The record, as JSON; it has no columns.

        Raises:
            HomeError: the journal was closed.
        """
        data = encode_header(header)
        if self._closed:
            self.revive()
        if len(data) <= ONE_WRITE and self._put(key, data, 1):
            return True
        return self._append({"task": key[0], "kind": key[1]}, [data], len(data))

    def _put(self, key: tuple[str, str], data: bytes, rows: int) -> bool:
        """Put a record into the window of the file that is open, if there is nothing to be seen to; the kernel keeps what is in there."""
        size = len(data)
        with self._lock:
            if self._depth or self._closed or self._no_room or not self._files:
                return False
            current = self._files[-1]
            frames, counts = current.frames, current.counts
            window = frames.window
            if window is None or frames.length + size > frames.reserved:
                if not isinstance(frames, FrameFile) or not self._open_window(current, frames):
                    return False
                window = frames.window
            # From here on nothing is called, so neither a signal handler nor another thread comes in between.
            begin = frames.length
            if window is None or begin + size > frames.reserved or key not in counts:
                return False
            begin -= frames.base
            window[begin : begin + size] = data
            frames.length += size
            current.size += size
            self._position += size
            counts[key] += rows
        return True

    def _open_window(self, current: RecordFile, frames: FrameFile) -> bool:
        """Map the next part of a file; False when that is not worth while, or not possible now."""
        nearly_full = current.size + 2 * WINDOW_BYTES > current.limit
        if nearly_full or (self._next_window and time.monotonic() < self._next_window):
            return False
        before = frames.length + frames.spare
        self._depth = 1
        try:
            self._next_window = 0.0
            if self.room.take(WINDOW_BYTES):
                try:
                    return frames.open_window(WINDOW_BYTES)
                finally:  # exact, but for what a signal handler does meanwhile
                    self.room.give(WINDOW_BYTES - (frames.length + frames.spare - before))
        except OSError:  # said by `_append`, which meets it again
            pass
        finally:
            self._depth = 0
        self._next_window = time.monotonic() + RETRY_SECONDS
        return False

    def _append(self, header: Mapping[str, object], buffers: Buffers, size: int) -> bool:
        while not (stored := self._store(header, buffers, size)) and self._relieve(size):
            pass
        if self._unsaid is not None:
            self._tell()
        return stored

    def end(self) -> int:
        """The position in the stream behind the last record."""
        return self._position

    def read(self, position: int, limit: int) -> tuple[list[Frame], int]:
        """Whole records from a position on, about `limit` bytes of them but at least one, and the position behind them.

        None, and the position where it goes on, where records were dropped.
        """
        with self._lock:
            source = next((file for file in self._files if file.end > position), None)
            if source is None:
                return [], self._position
            if source.first > position:
                return [], source.first
            available = source.end - position
        begin = position - source.first
        data = source.frames.read(begin, begin + min(limit, available))
        frames = [found for found in paced(scan_frames(data), FRAMES) if isinstance(found, Frame)]
        if not frames:
            data = source.frames.read(begin, begin + available)
            frames = [found for found in scan_frames(data) if isinstance(found, Frame)][:1]
        consumed = frames[-1].end if frames else available
        return frames, position + consumed

    def release(self, position: int) -> None:
        """Delete the sealed files that end at or before a position; the one that reaches beyond it is not dropped to make room any more."""
        with self._lock:
            self._released = position
            done = [file for file in self._files[:-1] if file.end <= position]
            for file in done:
                self._files.remove(file)
        for file in done:
            self._delete(file)

    def unread(self, position: int) -> tuple[int, Counter[tuple[str, str]], dict[str, Counter[tuple[str, str]]]]:
        """What is pending behind a position: where its first file ends, what those behind it hold, and what was dropped to make room."""
        with self._lock:
            started = next((file.end for file in self._files if file.first < position < file.end), position)
            behind: Counter[tuple[str, str]] = Counter()
            for file in self._files:
                if file.first >= position:
                    behind.update(file.counts)
            return started, behind, {reason: counts.copy() for reason, counts in self.gone.items()}

    def forget(self, task: str) -> None:
        """Keep no counts of a task of which everything was read: they are for files that were not begun, and those hold nothing of it."""
        with self._lock:
            for file in self._files:
                for kind in EventKind:
                    file.counts.pop((task, kind.value), None)

    # ---- room

    @property
    def in_memory(self) -> bool:
        """Whether records are held that would not survive the process."""
        with self._lock:
            return any(file.end > max(self._released, file.first) and not file.frames.on_disk for file in self._files)

    def is_held(self) -> bool:
        """Whether the calling thread is inside this stream."""
        return is_owned(self._lock)

    def oldest(self) -> float | None:
        """When the file that would go next was made; None when all of them are being read or written."""
        with self._lock:
            victim = self._victim()
            return None if victim is None else victim.made

    def evict(self) -> bool:
        """Drop that file, counting its events; False when there is none."""
        with self._lock:
            self._depth += 1  # a signal handler that reports meanwhile must not put another list of files in place
            try:
                victim = self._victim()
                if victim is None:
                    return False
                self._files.remove(victim)
                self.gone.setdefault(FULL, Counter()).update(victim.counts)
            finally:
                self._depth -= 1
        self._delete(victim)
        return True

    def _victim(self) -> RecordFile | None:
        on_disk = not self.room.in_memory_only
        return next((file for file in self._files[:-1] if file.first > self._released and file.frames.on_disk == on_disk), None)

    def _relieve(self, size: int) -> bool:
        """After a record found no room: whether to try again."""
        relief = self.room.relieve(size, exhausted=self._no_room or self.room.in_memory_only)
        if relief is Relief.MEMORY:
            with self._lock:
                self._leave_disk(OSError(errno.EDQUOT, self.room.why(size)))
        return relief is not Relief.REFUSE

    def _leave_disk(self, error: OSError) -> None:
        if not self._no_room:
            self._no_room, self._unsaid = True, error
        self._next_try = time.monotonic() + RETRY_SECONDS

    def _tell(self) -> None:
        """Say once that there is no room; without the lock, since a log handler may wait for a thread that reports."""
        error, self._unsaid = self._unsaid, None
        if error is not None:
            self.room.say_memory(self.folder, error)

    # ---- writing

    def _store(self, header: Mapping[str, object], buffers: Buffers, size: int) -> bool:
        with self._lock:
            if self._closed:
                raise HomeError(f"the journal {self.folder} was closed, or belongs to the process that this one was forked from")
            self._depth += 1
            try:
                # A signal handler goes on where the call below it is: that may be on its way into the file.
                nested = self._depth > 1 and bool(self._files)
                if self._files[-1].frames.on_disk if nested else self._is_disk_due():
                    try:
                        stored = self._store_in(header, buffers, size, on_disk=True)
                    except HomeError:
                        raise
                    except OSError as error:  # no room, no permission, too many files: whatever it is, records can be kept in memory
                        self._leave_disk(error)
                        stored = False
                    if stored or nested or not self._no_room:
                        self._no_room = self._no_room and not stored
                        return stored
                return self._store_in(header, buffers, size, on_disk=False)
            finally:
                self._depth -= 1

    def _is_disk_due(self) -> bool:
        return not self.room.in_memory_only and (not self._no_room or time.monotonic() >= self._next_try)

    def _store_in(self, header: Mapping[str, object], buffers: Buffers, size: int, *, on_disk: bool) -> bool:
        """Store a record in a file of the disk or of memory; False when that may not grow."""
        if on_disk:
            if not self.room.take(size):
                self._next_try = time.monotonic() + RETRY_SECONDS
                return False
        elif size + sum(file.size for file in self._files if not file.frames.on_disk) > MEMORY_BYTES:
            return False
        try:
            current = self._files[-1] if self._files else None
            if current is None or current.frames.on_disk != on_disk:
                current = self._roll(on_disk=on_disk)
            self.room.give(current.frames.close_window())
            length = current.frames.write(buffers)
        except BaseException:  # whatever it was: what is not to be written takes no room
            if on_disk:
                self.room.give(size)
            raise
        # A signal handler may have appended between any two calls here, and counted what stands before its frame with it.
        if length > current.size:
            current.size = length
            self._position = current.first + length
        rows = header.get("rows", 1)
        current.counts[str(header.get("task")), str(header.get("kind"))] += rows if isinstance(rows, int) else 1
        # Not in a signal handler: the call below it may be on its way into the file.
        if current.size >= current.limit and self._depth == 1:
            with contextlib.suppress(OSError):  # the record is stored; a file that cannot be made now is made later
                self._roll(on_disk=on_disk)
        return True

    def _roll(self, *, on_disk: bool) -> RecordFile:
        if self._files:
            self.room.give(self._files[-1].frames.close_window())
        first = self._position
        if on_disk:
            file = RecordFile(first, FrameFile(self.folder / f"records-{first:016d}"), self.room.limit(FILE_BYTES, 1))
        else:
            file = RecordFile(first, MemoryFrames(), MEMORY_FILE_BYTES)
        empty = self._files[-1] if self._files and self._files[-1].first == first else None
        if self._position == first and (empty is None or empty.frames.on_disk != on_disk):
            if empty is not None:
                self._files = [*self._files[:-1], file]
                empty.frames.delete()
                return file
            self._files = [*self._files, file]
            if len(self._files) > 1:
                self.on_roll()
            return file
        # A signal handler has appended meanwhile: this is not the place where the stream goes on.
        file.frames.close()
        if self._files[-1].first != first:
            file.frames.delete()
        return self._files[-1]

    def _delete(self, file: RecordFile) -> None:
        size = file.size + file.frames.spare
        file.frames.delete()
        if file.frames.on_disk:
            self.room.give(size)

    # ---- the end, and forked children

    def forget_in_child(self) -> None:
        """In a forked child: let go of the parent's files without touching them."""
        self._lock = reentrant_lock()
        self.release_files()
        self._files, self._position = [], 0

    def restart(self, folder: Path) -> None:
        """In a forked child: begin again in a folder of its own."""
        self.folder, self._files, self._position, self._released, self._depth = folder, [], 0, 0, 0
        self.gone, self._no_room, self._closed = {}, False, False

    def seal(self) -> None:
        """Take no more records; what is there can still be read."""
        with self._lock:
            self._closed = True

    def release_files(self) -> None:
        """Close every file and leave it where it is; nothing can be read or written after this."""
        with self._lock:
            self._closed = True
            for file in self._files:
                file.frames.close()

    def close(self) -> None:
        """Delete what is left; call when everything was delivered."""
        with self._lock:
            self._closed = True
            files, self._files = self._files, []
        for file in files:
            file.frames.delete()
