"""Everything of a journal that is not a scalar slot: frames appended to files, in one system call each.

What a frame means is in `reader`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from atrains._engine.files import write_whole
from atrains._wire.frames import Damage, Frame, encode_frame, scan_frames

FILE_BYTES: Final = 16 << 20
"""A records file is sealed once it is this large."""

Buffers = list["bytes | bytearray | memoryview"]


class FrameFile:
    """One file of frames, written by this process only."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def append(self, header: Mapping[str, object], columns: Buffers | None = None) -> int:
        """Write one frame, whole or not at all, and return its length.

        Raises:
            OSError: there is no room.
        """
        return self.write(encode_frame(header, columns or []))

    def write(self, buffers: Buffers) -> int:
        """Write the buffers of one encoded frame, whole or not at all, and return their length."""
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
    _files: list[RecordFile] = field(default_factory=list)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _position: int = 0

    def append(self, header: Mapping[str, object], columns: Buffers | None = None) -> None:
        """Store one record.

        Raises:
            OSError: there is no room.
        """
        buffers = encode_frame(header, columns or [])
        with self._lock:
            current = self._files[-1] if self._files else self._roll()
            length = current.frames.write(buffers)
            current.size += length
            self._position += length
            if current.size >= FILE_BYTES:
                self._roll()

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

    def close(self) -> None:
        """Delete what is left; call when everything was delivered."""
        with self._lock:
            files, self._files = self._files, []
        for file in files:
            file.frames.close()
            file.frames.path.unlink(missing_ok=True)

    def _roll(self) -> RecordFile:
        file = RecordFile(self._position, FrameFile(self.folder / f"records-{self._position:016d}"))
        self._files.append(file)
        if len(self._files) > 1:
            self.on_roll()
        return file


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
