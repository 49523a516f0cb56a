"""Locks of which a signal handler can tell whether the thread that it interrupted holds one, so that others wait for it in vain."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

if TYPE_CHECKING:
    from threading import RLock

_made: Final[WeakSet[RLock]] = WeakSet()


def reentrant_lock() -> RLock:
    """A lock that its thread may take once more: a handler of a signal may report while the call that it interrupted reports."""
    lock = threading.RLock()
    _made.add(lock)
    return lock


def watch(lock: RLock) -> None:
    """Count a lock that was made elsewhere among these."""
    _made.add(lock)


def is_owned(lock: RLock) -> bool:
    """Whether the calling thread holds a lock; what `threading.Condition` asks as well, although it is no documented method."""
    return bool(lock._is_owned())  # type: ignore[attr-defined]  # noqa: SLF001


def holds_lock() -> bool:
    """Whether the calling thread holds one of these locks."""
    try:
        return any(map(is_owned, _made))
    except RuntimeError:  # another thread makes one at this moment: the answer that has its caller ask again
        return True
