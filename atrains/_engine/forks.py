"""Before a fork: what our threads are in the midst of importing is imported whole. Nothing else about forks; see `process`.

Python does not free the lock of a module that another thread was importing: in the child, who imports it waits for ever for a thread that
is not there. Our threads import when the program does something else, so a program cannot know when a fork is safe.
"""

from __future__ import annotations

import importlib
import os
import threading
import time
from typing import Final

_PATIENCE: Final = 5.0
"""Seconds that a fork waits at most: an import that takes longer may wait for the very thread that forks."""
_OURS: Final = "atrains"
"""What the names of our threads begin with. What other threads import is for the program to know."""


def finish_imports() -> None:
    """Wait until none of our threads is in the midst of an import."""
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end and not _importing().isdisjoint(_threads()):
        time.sleep(0.001)


def _threads() -> set[int | None]:
    here = threading.get_ident()
    return {thread.ident for thread in threading.enumerate() if thread.name.startswith(_OURS) and thread.ident != here}


def _importing() -> set[int | None]:
    """The threads that hold the lock of a module. Importlib keeps them to itself, and there is no other way to learn of them."""
    locks = getattr(getattr(importlib, "_bootstrap", None), "_module_locks", {})
    return {getattr(reference(), "owner", None) for reference in list(locks.values())}


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=finish_imports)
