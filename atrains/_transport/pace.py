"""Rests of a worker thread that computes. Nothing about what it computes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Final, TypeVar

T = TypeVar("T")

_REST: Final = 0.0001


def rest() -> None:
    """Let other threads have the interpreter lock; to be called after each slice of about a millisecond of work.

    Shorter than this the kernel does not sleep, and the lock is back before anybody else has it. Beside a thread that computes without a
    break a rest takes 5 ms, the interpreter's switch interval. It is taken all the same: several slices in one go would get little more
    done, since the connection waits for the lock as often, and each would be a pause of some milliseconds in the other thread.
    """
    time.sleep(_REST)


def paced(items: Iterable[T], every: int) -> Iterator[T]:
    """Yield items, with a rest behind each `every` of them, which are to take about a millisecond."""
    for number, item in enumerate(items, 1):
        yield item
        if number % every == 0:
            rest()
