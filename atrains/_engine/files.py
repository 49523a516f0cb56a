"""What the journal needs of the operating system: mapped files of zeros, writing all or nothing. The only module that knows of mmap."""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
from pathlib import Path
from typing import Final

from atrains._local.disk import sync_file

ZEROS: Final = bytes(4 << 20)
"""Written in one call: between two calls a busy producer would hold the GIL for milliseconds each time.

Never touched, so it takes no memory.
"""


def map_zeros(path: Path, size: int) -> mmap.mmap:
    """Create a file of `size` zero bytes and map it.

    The zeros are written, not left as a hole: writing to a page of a sparse mapping when the disk is full ends the process with SIGBUS,
    while writing zeros reports ENOSPC here, where it can be handled.

    Raises:
        OSError: there is no room, or the place is not writable; nothing is left behind.
    """
    if hasattr(os, "statvfs"):
        # Asked first: zeros written until the disk is full would take the last room from everybody else, if only for a moment.
        room = os.statvfs(path.parent)
        if room.f_blocks and room.f_bavail * room.f_frsize < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    # Under a name that no reader looks at until it is whole: a kill in between leaves no half-made segment.
    making = path.with_name(f".{path.name}")
    descriptor = os.open(making, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        written = 0
        while written < size:
            written += os.write(descriptor, ZEROS[: size - written])
        mapped = mmap.mmap(descriptor, size)
        making.rename(path)
    except OSError:
        making.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    return mapped


def sync_folder(folder: Path) -> None:
    """Wait until every file of a folder is on the disk, whoever wrote it and however, and the folder with their names.

    A file that is deleted meanwhile needs no syncing. On the descriptor and never by `msync`, which holds the GIL for as long as it takes.

    Raises:
        OSError: the disk does not take it.
    """
    with contextlib.suppress(FileNotFoundError):
        for entry in [*os.scandir(folder)]:
            with contextlib.suppress(FileNotFoundError):
                sync_file(entry.path)
        sync_file(folder)


def write_whole(descriptor: int, buffers: list[bytes | bytearray | memoryview]) -> int:
    """Append buffers to a file that only a signal handler of this thread appends to meanwhile; all of them or none.

    Returns:
        The length of the file.

    Raises:
        OSError: there is no room; the file is cut back to where it was.
    """
    before = os.fstat(descriptor).st_size
    pending = [memoryview(buffer).cast("B") for buffer in buffers if len(buffer)]
    total = 0
    try:
        while pending:
            written = os.writev(descriptor, pending[:512])
            total += written
            while pending and written >= len(pending[0]):
                written -= len(pending.pop(0))
            if written:
                pending[0] = pending[0][written:]
    except OSError:
        # What a signal handler appended in between stands behind a part of ours then, and is not to be cut off with it.
        if os.fstat(descriptor).st_size == before + total:
            os.ftruncate(descriptor, before)
        raise
    return os.fstat(descriptor).st_size
