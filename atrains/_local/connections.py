"""Connections to the index: a small pool in which a connection serves one thread at a time, and which survives a fork.

SQLite keeps its file locks per process, and a child that inherits an open connection believes that it holds its parent's. So before a fork
the pool waits for what is under way and closes what is idle; the child starts with an empty pool.

A signal may come in the midst of that: then its handler must see that nothing can be waited for, and where it raises, as Ctrl-C does, no
lock may stay taken, or no call would ever come back. So what is held over a fork is one lock, whose own methods are the hooks.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from atrains.errors import AtrainsError, HomeError

BUSY_SECONDS: Final = 10.0
"""How long a call waits for the writer of another process."""
_FORK_SECONDS: Final = 2.0
_KEPT_IDLE: Final = 4

_ERRNO_OF: Final = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_READONLY: errno.EROFS,
    sqlite3.SQLITE_IOERR: errno.EIO,
    sqlite3.SQLITE_CANTOPEN: errno.ENOENT,
    sqlite3.SQLITE_BUSY: errno.EBUSY,
    sqlite3.SQLITE_PERM: errno.EACCES,
}


@contextmanager
def home_errors(home: Path, doing: str) -> Iterator[None]:
    """Turn what SQLite and the file system raise into `HomeError`; errors of our own pass."""
    try:
        yield
    except AtrainsError:  # `ServerError` and `HomeError` are also OSErrors
        raise
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
            raise HomeError(
                errno.EIO,
                f"the index of the home {home} is damaged ({error}); "
                "delete index.db, index.db-wal and index.db-shm there: it is built again from the task folders",
            ) from error
        if code == sqlite3.SQLITE_BUSY:
            raise HomeError(
                errno.EBUSY,
                f"another process has kept the home {home} from being written for {BUSY_SECONDS:.0f} s; try again, or end that process",
            ) from error
        if code not in _ERRNO_OF:  # a mistake in a statement is ours, not the home's
            raise
        raise HomeError(
            _ERRNO_OF[code],
            f"cannot {doing} in the home {home}: {error}; make room or make it writable, or set ATRAINS_HOME to another folder",
        ) from error
    except OSError as error:
        place = error.filename or home
        raise HomeError(
            error.errno,
            f"cannot {doing} in the home {home}: {error.strerror or error} ({place}); "
            "make room or make it writable, or set ATRAINS_HOME to another folder",
        ) from error


class Connections:
    """The pool of one index. `writing` serialises the threads of this process, so that they queue instead of polling SQLite's lock."""

    def __init__(self, index: Path) -> None:
        self._index = index
        self._closed = False
        self._identity: tuple[int, int] | None = None
        self.start_empty()
        with LENDING:
            _POOLS.add(self)

    def start_empty(self) -> None:
        """Forget the connections and locks of the process that this one was forked from."""
        self.writing = threading.Lock()
        self._lock = threading.RLock()  # taken by itself: on its way through a condition an exception may come that leaves it taken
        self._state = threading.Condition(self._lock)
        self._idle: list[sqlite3.Connection] = []
        self._busy = 0

    @contextmanager
    def use(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection to the calling thread."""
        connection = self._take()
        try:
            yield connection
        finally:
            self._give_back(connection)

    def close(self) -> None:
        """Close what is idle now and what is in use when it comes back; a second call does nothing."""
        with self._lock:
            self._closed = True
            self._close_idle()

    def _take(self) -> sqlite3.Connection:
        with LENDING, self._lock:
            if self._closed:
                raise HomeError(f"the home {self._index.parent} was closed; open it again")
            self._check_identity()
            self._busy += 1
            if self._idle:
                return self._idle.pop()
        try:
            return connect(self._index)
        except BaseException:  # whatever it was, nothing was lent: a fork would wait for it
            with self._lock:
                self._busy -= 1
                self._state.notify_all()
            raise

    def _give_back(self, connection: sqlite3.Connection) -> None:
        with self._lock:
            self._busy -= 1
            if self._closed or len(self._idle) >= _KEPT_IDLE or connection.in_transaction:
                connection.close()  # an open transaction is rolled back by that
            else:
                self._idle.append(connection)
            self._state.notify_all()

    def _check_identity(self) -> None:
        # SQLite goes on with a file that was unlinked, as if nothing had happened: only its name tells.
        try:
            status = os.stat(self._index)
        except FileNotFoundError as error:
            raise HomeError(
                errno.ENOENT,
                f"the home {self._index.parent} was removed while it was in use; start again, or set ATRAINS_HOME to a folder that stays",
            ) from error
        identity = (status.st_dev, status.st_ino)
        if self._identity is None:
            self._identity = identity
        elif identity != self._identity:
            raise HomeError(errno.ESTALE, f"the home {self._index.parent} was replaced while it was in use; start again")

    def _close_idle(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def before_fork(self) -> None:
        """Let what is under way end, and close the rest."""
        with self._lock:
            self._state.wait_for(lambda: self._busy == 0, _FORK_SECONDS)
            self._close_idle()


def connect(index: Path) -> sqlite3.Connection:
    """Open the index; one that was removed is not made anew."""
    connection = sqlite3.connect(f"{index.as_uri()}?mode=rw", uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    # Survives a killed process; after a power cut the index may lack its last commits, which the `writing` mark shows.
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


_POOLS: Final[weakref.WeakSet[Connections]] = weakref.WeakSet()
LENDING: Final = threading.RLock()
"""Held for the moment in which a connection is lent, and for the time of a fork, so that none is lent then."""


def _before_fork() -> None:
    for pool in list(_POOLS):
        pool.before_fork()


def _after_fork_in_child() -> None:
    for pool in list(_POOLS):
        pool.start_empty()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork_in_child)
    # Not by a function of ours, at whose beginning an exception may come before it has done anything.
    # Of `before` the last one is called first.
    renew = LENDING._at_fork_reinit  # type: ignore[attr-defined]  # as the standard library does  # noqa: SLF001
    os.register_at_fork(before=LENDING.acquire, after_in_parent=LENDING.release, after_in_child=renew)
