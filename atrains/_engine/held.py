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


def holds_lock() -> bool:
    """Whether the calling thread holds one of these locks."""
    try:
        return any(lock._is_owned() for lock in _made)  # type: ignore[attr-defined]  # what `threading.Condition` asks as well  # noqa: SLF001
    except RuntimeError:  # another thread makes one at this moment: the answer that has its caller ask again
        return True
