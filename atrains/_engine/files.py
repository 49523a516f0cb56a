"""What the journal needs of the operating system: locks between processes, mapped files of zeros.

The only module that knows of flock and mmap.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import weakref
from pathlib import Path
from typing import Final

from atrains._local.disk import sync_file

_ZEROS: Final = bytes(4 << 20)
"""Written in one call: between two calls a busy producer would hold the GIL for milliseconds each time.

Never touched, so it takes no memory.
"""


class FolderLock:
    """An exclusive lock on a folder, held until `release` or until every process that holds its descriptor has died.

    `flock`, never `lockf`: a POSIX record lock is lost when any descriptor of the file is closed anywhere in the process.
    """

    def __init__(self, path: Path, *, create: bool = True) -> None:
        self._pid = os.getpid()
        self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0), 0o600)
        _LOCKS.add(self)

    def acquire(self) -> bool:
        """Take the lock if it is free; never waits."""
        try:
            import fcntl
        except ImportError:  # no flock on this platform: one process at a time is the user's business there
            return True
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def still_at(self, path: Path) -> bool:
        """Whether the file that is locked is the one that stands at a path now: it may have been deleted or moved before it was locked."""
        try:
            return os.path.samestat(os.fstat(self._descriptor), path.stat())
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Let go of the lock, also where a child that was forked a moment ago has it still; in such a child, of its own hold on it only."""
        # Taken first: while the file is closed, another thread may fork, and the child must not close it again.
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor < 0:
            return
        if self._pid == os.getpid():
            with contextlib.suppress(ImportError):
                import fcntl

                fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


_LOCKS: Final[weakref.WeakSet[FolderLock]] = weakref.WeakSet()


def _let_go_in_child() -> None:
    # A forked child inherits every lock, also of a thread that it does not have, and would hold it for as long as it lives.
    for lock in list(_LOCKS):
        lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go_in_child)


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
            written += os.write(descriptor, _ZEROS[: size - written])
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
