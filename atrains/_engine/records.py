"""Everything of a journal that is not a scalar slot: frames appended to files, in one system call each.

What a frame means is in `reader`.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from atrains._engine.files import write_whole
from atrains._wire.frames import Damage, Frame, encode_frame, scan_frames
from atrains.errors import HomeError

FILE_BYTES: Final = 16 << 20
"""A records file is sealed once it is this large."""

Buffers = list["bytes | bytearray | memoryview"]


class FrameFile:
    """One file of frames, written by this process only."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def append(self, header: Mapping[str, object], columns: Buffers | None = None) -> int:
        """Write one frame, whole or not at all, and return the length of the file.

        Raises:
            OSError: there is no room.
            HomeError: the file was closed.
        """
        return self.write(encode_frame(header, columns or []))

    def write(self, buffers: Buffers) -> int:
        """Write the buffers of one encoded frame, whole or not at all, and return the length of the file; errors as `append`."""
        if self._descriptor < 0:
            raise HomeError(f"{self.path} was closed: its journal was delivered, or belongs to the process that this one was forked from")
        return write_whole(self._descriptor, buffers)

    def read(self, begin: int, end: int) -> bytes:
        """The bytes of a range of the file."""
        return os.pread(self._descriptor, end - begin, begin)

    def size(self) -> int:
        """How many bytes were written."""
        return os.fstat(self._descriptor).st_size

    def sync(self) -> None:
        """Wait until what was written is on the disk."""
        os.fdatasync(self._descriptor) if hasattr(os, "fdatasync") else os.fsync(self._descriptor)

    def close(self) -> None:
        """Close the file; closing twice is fine."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


@dataclass(slots=True, eq=False)
class RecordFile:
    """One `records-<n>` file: `n` is the position of its first byte in the stream of all records."""

    first: int
    frames: FrameFile
    size: int = 0

    @property
    def end(self) -> int:
        """The position in the stream behind its last byte."""
        return self.first + self.size


@dataclass(slots=True, eq=False)
class RecordStream:
    """The records of one journal: `append` from any thread, `read` for the one reader.

    A re-entrant lock is held for the one system call of an append: a signal handler may report while its own thread does, and a reader
    that takes the lock knows that no writer is on its way into a file that was sealed.
    """

    folder: Path
    on_roll: Callable[[], None]
    revive: Callable[[], bool] = lambda: False
    _files: list[RecordFile] = field(default_factory=list)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _position: int = 0
    _depth: int = 0
    _closed: bool = False

    @classmethod
    def over(cls, folder: Path, files: list[RecordFile]) -> RecordStream:
        """The records of a journal that nobody writes any more, to be read."""
        return cls(folder, lambda: None, _files=files, _position=files[-1].end if files else 0, _closed=True)

    def append(self, header: Mapping[str, object], columns: Buffers | None = None) -> None:
        """Store one record.

        Raises:
            OSError: there is no room.
            HomeError: the journal was closed.
        """
        buffers = encode_frame(header, columns or [])
        if self._closed:
            self.revive()
        with self._lock:
            if self._closed:
                raise HomeError(f"the journal {self.folder} was closed, or belongs to the process that this one was forked from")
            self._depth += 1
            try:
                current = self._files[-1] if self._files else self._roll()
                size = current.frames.write(buffers)
                # A signal handler may have appended between any two calls here, and counted what stands before its frame with it.
                if size > current.size:
                    current.size = size
                    self._position = current.first + size
                # Not in a signal handler: the call below it may be on its way into the file.
                if current.size >= FILE_BYTES and self._depth == 1:
                    with contextlib.suppress(OSError):  # the record is stored; a file that cannot be made now is made later
                        self._roll()
            finally:
                self._depth -= 1

    def end(self) -> int:
        """The position in the stream behind the last record."""
        return self._position

    def read(self, position: int, limit: int) -> tuple[list[Frame], int]:
        """Whole records from a position on, about `limit` bytes of them but at least one, and the position behind them."""
        with self._lock:
            source = next((file for file in self._files if file.first <= position < file.end), None)
            if source is None:
                return [], self._position
            available = source.end - position
        begin = position - source.first
        data = source.frames.read(begin, begin + min(limit, available))
        frames = [found for found in scan_frames(data) if isinstance(found, Frame)]
        if not frames:
            data = source.frames.read(begin, begin + available)
            frames = [found for found in scan_frames(data) if isinstance(found, Frame)][:1]
        consumed = frames[-1].end if frames else available
        return frames, position + consumed

    def release(self, position: int) -> None:
        """Delete the sealed files that end at or before a position."""
        with self._lock:
            done = [file for file in self._files[:-1] if file.end <= position]
            self._files = self._files[len(done) :]
        for file in done:
            file.frames.close()
            file.frames.path.unlink(missing_ok=True)

    def sync(self) -> None:
        """Wait until what was appended is on the disk."""
        with self._lock:
            files = list(self._files)
        for file in files:
            file.frames.sync()

    def forget_in_child(self) -> None:
        """In a forked child: let go of the parent's files without touching them."""
        self._lock = threading.RLock()
        self.release_files()
        self._files, self._position = [], 0

    def restart(self, folder: Path) -> None:
        """In a forked child: begin again in a folder of its own."""
        self.folder, self._files, self._position, self._depth, self._closed = folder, [], 0, 0, False

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
            file.frames.close()
            file.frames.path.unlink(missing_ok=True)

    def _roll(self) -> RecordFile:
        first = self._position
        file = RecordFile(first, FrameFile(self.folder / f"records-{first:016d}"))
        if self._position == first and (not self._files or self._files[-1].first != first):
            self._files = [*self._files, file]
            if len(self._files) > 1:
                self.on_roll()
            return file
        # A signal handler has appended meanwhile: this is not the place where the stream goes on.
        file.frames.close()
        if self._files[-1].first != first:
            file.frames.path.unlink(missing_ok=True)
        return self._files[-1]


def read_frames(path: Path) -> tuple[list[Frame], list[Damage]]:
    """Every whole frame of a file, and the places that hold none."""
    frames: list[Frame] = []
    damage: list[Damage] = []
    for found in scan_frames(path.read_bytes()):
        if isinstance(found, Frame):
            frames.append(found)
        else:
            damage.append(found)
    return frames, damage
