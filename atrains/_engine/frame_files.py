"""Files of frames, written by this process only: a frame in one system call, or through a mapped window at their end in none."""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from atrains._engine.files import ZEROS, write_whole
from atrains._wire.frames import Damage, Frame, encode_frame, scan_frames
from atrains.errors import HomeError

ONE_WRITE: Final = 1 << 16
"""Bytes up to which a frame is copied together and written in one call."""
_PAGE: Final = mmap.ALLOCATIONGRANULARITY

Buffers = list["bytes | bytearray | memoryview"]


class FrameFile:
    """One file of frames, written by this process only.

    Attributes:
        length: Where its frames end.
        window: Its last part, mapped, while there is one: the file then reaches beyond its frames, up to `reserved`, and all of that is
            zeros. Whoever puts a frame in moves `length`, and calls nothing in between: so no signal handler meets the one without the
            other.
        base: Where the window begins.
        reserved: Where it ends.
    """

    on_disk = True

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self.length = os.fstat(self._descriptor).st_size
        self.window: mmap.mmap | None = None
        self.base = self.reserved = 0
        self._opening = False

    @property
    def spare(self) -> int:
        """The zeros behind its frames."""
        return 0 if self.window is None else self.reserved - self.length

    def append(self, header: Mapping[str, object], columns: Buffers | None = None) -> int:
        """Write one frame, whole or not at all, and return the length of the file.

        Raises:
            OSError: there is no room.
            HomeError: the file was closed.
        """
        return self.write(encode_frame(header, columns or []))

    def write(self, buffers: Buffers) -> int:
        """Write the buffers of one encoded frame, whole or not at all, and return the length of the file; errors as `append`.

        Not while there is a window.
        """
        if self._descriptor < 0:
            raise HomeError(f"{self.path} was closed: its journal was delivered, or belongs to the process that this one was forked from")
        if sum(map(len, buffers)) > ONE_WRITE:
            self.length = write_whole(self._descriptor, buffers)
            return self.length
        return self.write_once(b"".join(buffers))

    def write_once(self, data: bytes) -> int:
        """The same for one encoded frame of a few kilobytes, in one system call.

        A look at the file before and after would double its price.
        """
        try:
            written = os.writev(self._descriptor, (data,))
            self.length += written  # nothing is called in between: what a signal handler appends meanwhile counts as well
        except BaseException:  # Ctrl-C may come behind the call, when the frame is in the file
            self.length = self.size()
            raise
        if written < len(data):
            if self.size() == self.length:  # as in `write_whole`
                os.ftruncate(self._descriptor, self.length - written)
                self.length -= written
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.length

    def open_window(self, size: int) -> bool:
        """Put some zeros behind the frames, a megabyte at most, and map them.

        They are written, as in `map_zeros`: a hole could not be filled on a full disk, which would end the process.

        Returns:
            False when a signal handler has appended meanwhile: there is no window then.

        Raises:
            OSError: there is no room; the file ends behind its frames.
        """
        # Nothing is called here, nor between the look at `_opening` and the last assignment below.
        end = -(-(self.length + size) // _PAGE) * _PAGE
        missing = end - (self.length if self.window is None else self.reserved)
        self.window, self._opening = None, True
        try:
            written = os.write(self._descriptor, memoryview(ZEROS)[:missing])
            if written < missing:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            base = self.length // _PAGE * _PAGE
            window = mmap.mmap(self._descriptor, end - base, offset=base)
        except BaseException as error:  # also Ctrl-C: the file ends behind its frames, or an append would leave zeros between them
            self._give_up_window()
            if isinstance(error, ValueError):  # somebody has made the file shorter
                raise OSError(errno.EIO, os.strerror(errno.EIO)) from error
            raise
        if self._opening:
            self.window, self.base, self.reserved, self._opening = window, base, end, False
            return True
        self._give_up_window()
        return False

    def close_window(self) -> int:
        """Cut the file behind its frames, so that it can be appended to, and return by how much.

        Raises:
            OSError: that is not possible; all of it counts as its length then.
        """
        if self._opening:  # of the call that the signal handler whose call this is has interrupted
            self._opening = False
            self._measure()
        if self.window is None:
            return 0
        spare = self.reserved - self.length
        self.window = None
        try:
            os.ftruncate(self._descriptor, self.length)
        except BaseException:  # also Ctrl-C, which may come before the call or behind it
            self._measure()
            raise
        return spare

    def _give_up_window(self) -> None:
        """After the zeros were written, or a part of them: without a window."""
        if self._opening:
            self._opening = False
            os.ftruncate(self._descriptor, self.length)
        else:  # a signal handler has put its frame behind the zeros, or before them
            self._measure()

    def _measure(self) -> None:
        """Take all that is in the file for its frames; zeros between them are passed over."""
        # Once more after a signal handler has appended to what was measured.
        while self.length != (size := self.size()):
            self.length = size

    def read(self, begin: int, end: int) -> bytes:
        """The bytes of a range of the file."""
        return os.pread(self._descriptor, end - begin, begin)

    def size(self) -> int:
        """How many bytes were written."""
        return os.fstat(self._descriptor).st_size

    def close(self) -> None:
        """Close the file as it is; closing twice is fine."""
        self.window = None
        # Taken first: while the file is closed, another thread may fork, and the child must not close it again.
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def delete(self) -> None:
        """Close the file and remove it."""
        self.close()
        with contextlib.suppress(OSError):  # what cannot be deleted now goes with the folder
            self.path.unlink(missing_ok=True)


class MemoryFrames:
    """What stands in for a `FrameFile` where nothing can be, or is to be, written to the disk."""

    on_disk = False
    window: mmap.mmap | None = None
    length = base = reserved = spare = 0

    def __init__(self) -> None:
        self._data = bytearray()

    def write(self, buffers: Buffers) -> int:
        """Keep the buffers of one encoded frame, and return the length of all."""
        self._data += b"".join(buffers)
        return len(self._data)

    def close_window(self) -> int:
        """Nothing is mapped."""
        return 0

    def read(self, begin: int, end: int) -> bytes:
        """The bytes of a range."""
        return bytes(self._data[begin:end])

    def close(self) -> None:
        """Nothing is open."""

    def delete(self) -> None:
        """Nothing is on the disk; the memory goes with the last holder."""


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
