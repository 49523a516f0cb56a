"""The child processes of a program whose run was stopped from outside: ended with it, where it does not do so itself. Blocking."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from psutil import Process

PATIENCE: Final = 2.0
"""Seconds that the program has to end its children in its own way, and then they have to end in theirs."""
_LOOK: Final = 0.05
"""Seconds between two looks."""
_one_at_a_time = threading.Lock()


def end_all() -> None:
    """End every process that this one started, and those that they started: by SIGTERM, and by SIGKILL what is still there then.

    What they reported is kept: it is in their journals, and those of killed processes are delivered by this one as it closes.
    """
    import psutil  # takes longer to import than a run to begin

    with _one_at_a_time:
        children = [child for child in psutil.Process().children(recursive=True) if _is_alive(child)]
        for child in children:
            with contextlib.suppress(psutil.Error):  # it has ended meanwhile, or belongs to somebody else
                child.terminate()
        until = time.monotonic() + PATIENCE
        while (children := [child for child in children if _is_alive(child)]) and time.monotonic() < until:
            time.sleep(_LOOK)
        for child in children:
            with contextlib.suppress(psutil.Error):
                child.kill()


def _is_alive(child: Process) -> bool:
    """Whether a process runs. Not by `Process.wait`, which takes the exit code from those who started it."""
    import psutil

    try:
        return child.is_running() and child.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
