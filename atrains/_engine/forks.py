"""Around a fork: what our threads are in the midst of importing is imported whole, and nothing stays locked. For the rest see `process`.

Python does not free the lock of a module that another thread was importing: in the child, who imports it waits for ever for a thread that
is not there. Our threads import when the program does something else, so a program cannot know when a fork is safe.

Nor, up to Python 3.12, does it free the lock of `logging` where Ctrl-C comes as the fork ends: who logs from then on, on whichever thread,
would wait for ever.
"""

from __future__ import annotations

import importlib
import logging
import os
import threading
import time
from typing import Final

from atrains._engine.held import is_owned

_LOCK: Final[threading.RLock] = logging._lock  # type: ignore[attr-defined]  # it is not documented, nor is there another way  # noqa: SLF001
_PATIENCE: Final = 5.0
"""Seconds that a fork waits at most: an import that takes longer may wait for the very thread that forks."""
_OURS: Final = "atrains"
"""What the names of our threads begin with. What other threads import is for the program to know."""

_logging: Final[set[int]] = set()
"""Threads that held the lock of `logging` themselves when they began to fork."""


def finish_imports() -> None:
    """Wait until none of our threads is in the midst of an import."""
    (_logging.add if is_owned(_LOCK) else _logging.discard)(threading.get_ident())
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end and not _importing().isdisjoint(_threads()):
        time.sleep(0.001)


def free_logging() -> None:
    """Let go of the lock of `logging`, which it does itself before this, unless Ctrl-C kept it from that."""
    if is_owned(_LOCK) and threading.get_ident() not in _logging:
        _LOCK.release()


def _threads() -> set[int | None]:
    here = threading.get_ident()
    return {thread.ident for thread in threading.enumerate() if thread.name.startswith(_OURS) and thread.ident != here}


def _importing() -> set[int | None]:
    """The threads that hold the lock of a module. Importlib keeps them to itself, and there is no other way to learn of them."""
    locks = getattr(getattr(importlib, "_bootstrap", None), "_module_locks", {})
    return {getattr(reference(), "owner", None) for reference in list(locks.values())}


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=finish_imports, after_in_parent=free_logging)
