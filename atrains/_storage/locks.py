"""Locks between processes. The only module that knows of flock."""

from __future__ import annotations

import contextlib
import os
import weakref
from pathlib import Path
from typing import Final


class FolderLock:
    """A lock on a folder, held until `release` or until every process that holds its descriptor has died.

    `flock`, never `lockf`: a POSIX record lock is lost when any descriptor of the file is closed anywhere in the process.
    """

    def __init__(self, path: Path, *, create: bool = True) -> None:
        self._pid = os.getpid()
        self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0), 0o600)
        _LOCKS.add(self)

    def acquire(self, *, shared: bool = False) -> bool:
        """Take the lock if it is free; never waits. Many may hold it `shared` at a time, and nobody else meanwhile."""
        try:
            import fcntl
        except ImportError:  # no flock on this platform: one process at a time is the user's business there
            return True
        try:
            fcntl.flock(self._descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
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
