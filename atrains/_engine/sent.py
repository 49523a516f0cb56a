"""The mark that says how far the records of a journal were sent: for homes that cannot tell themselves whether they have a console line.

One small file beside the records, written in place: it takes no room on a full disk, and a kill leaves the old mark or the new one.
"""

from __future__ import annotations

import contextlib
import os
import struct
import time
import zlib
from pathlib import Path
from typing import Final, NamedTuple

FILE: Final = "sent"
_MARK: Final = struct.Struct("<QQI")
"""Position up to which the home answered, position up to which something was sent, CRC-32 of the two."""
_ALL: Final = (1 << 63) - 1


class Sent(NamedTuple):
    """Two positions in the stream of records: what stands between them may be stored or not."""

    acknowledged: int = 0
    sent: int = 0


class SentMark:
    """The mark of one journal. Made by its first note, so that a journal for the local home has none.

    Args:
        folder: The journal's folder; None for one in memory, whose marks would outlive nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._path = None if folder is None else folder / FILE
        self._descriptor = -1
        self._noted = Sent() if self._path is None else read(self._path)

    @property
    def noted(self) -> Sent:
        """The mark as it stands."""
        return self._noted

    @property
    def age(self) -> float:
        """Seconds since the last note; 0 where there is none."""
        try:
            return max(0.0, time.time() - self._path.stat().st_mtime) if self._path is not None else 0.0
        except OSError:  # no file, no note
            return 0.0

    def note_sent(self, position: int) -> None:
        """Note, before a request, that what ends at or before a position may be stored from now on. Writes a file."""
        if position > self._noted.sent:
            self._write(self._noted._replace(sent=position))

    def note_acknowledged(self, position: int) -> None:
        """Note that what ends at or before a position needs no sending any more. Writes a file."""
        if position > self._noted.acknowledged:
            self._write(Sent(position, max(position, self._noted.sent)))

    def close(self) -> None:
        """Let go of the file."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _write(self, noted: Sent) -> None:
        self._noted = noted
        if self._path is None:
            return
        # Where there is no room for a mark, a kill may double a few console lines: that is better than not to send them.
        with contextlib.suppress(OSError):
            if self._descriptor < 0:
                self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
            positions = struct.pack("<QQ", *noted)
            os.pwrite(self._descriptor, _MARK.pack(*noted, zlib.crc32(positions)), 0)


def read(path: Path) -> Sent:
    """The mark in a file; where there is none nothing was sent, and where it is damaged anything may have been."""
    try:
        content = path.read_bytes()
    except OSError:
        return Sent()
    if len(content) != _MARK.size:
        return Sent(0, _ALL)
    acknowledged, sent, checksum = _MARK.unpack(content)
    return Sent(acknowledged, sent) if checksum == zlib.crc32(content[:16]) else Sent(0, _ALL)
