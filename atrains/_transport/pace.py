"""Rests of a worker thread that computes. Nothing about what it computes."""

from __future__ import annotations

import time
from typing import Final

_REST: Final = 0.0001
"""Seconds of rest after a slice, in which others get the interpreter lock."""
_WAITED: Final = 0.002
"""Seconds after which a rest was no rest: another thread computes without a break."""
_STRAIGHT: Final = 6
"""Slices without rest beside such a thread: each rest costs 5 ms there, the interpreter's switch interval, and shares fairly anyway."""


class Pace:
    """Rests between slices of work in a thread, so that the threads that report get the interpreter lock."""

    def __init__(self) -> None:
        self._straight = 0

    def rest(self) -> None:
        """Rest, unless that gains nothing."""
        if self._straight > 0:
            self._straight -= 1
            return
        before = time.perf_counter()
        time.sleep(_REST)
        if time.perf_counter() - before > _WAITED:
            self._straight = _STRAIGHT
