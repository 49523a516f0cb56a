"""A slot, the 32 bytes that a point takes in a journal: what is in it, and how many of them are read at once. Pure.

A slot is `<qddII`: iteration, time (seconds since the epoch), value, flags, series id. The series id is never 0 and is written last, so it
is the commit mark: a slot whose id is 0 holds nothing yet.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final

SLOT: Final = struct.Struct("<qddII")
VOID: Final = 1
"""Flag of a slot that was claimed for a point that turned out not to fit (an iteration of more than 64 bit).

Counted where it was refused.
"""
WINDOW: Final = 8_192
"""Slots looked at in one step, between which other threads have their turn."""
_BETWEEN_RESTS: Final = 4 * WINDOW * SLOT.size
"""Bytes of slots that are counted in a millisecond or two."""
EMPTY: Final = 0
"""What `count` calls the slots that were never filled."""
_VOIDED: Final = -1


def count(slots: memoryview, rest: Callable[[], None] = lambda: None) -> Counter[int]:
    """How many points of which series some slots hold. Slots that were never filled count as series 0, those voided as series -1.

    Args:
        slots: Whole slots.
        rest: Called after each slice of about a millisecond of work.
    """
    found: Counter[int] = Counter()
    for begin in range(0, len(slots), WINDOW * SLOT.size):
        words = column(slots[begin : begin + WINDOW * SLOT.size], "Q", 24)  # flags and series id as one number
        alike = words.tobytes() == words[:1].tobytes() * len(words)  # as a rule where a single curve is reported: a sixth of the time
        for word, number in ({words[0]: len(words)} if alike else Counter(words)).items():
            found[(_VOIDED if word & VOID else word >> 32) if word else EMPTY] += number
        if begin % _BETWEEN_RESTS == 0:
            rest()
    return found


def column(slots: memoryview, code: str, offset: int) -> array[Any]:
    """Copy one field out of some slots, at the speed of C.

    Args:
        slots: Whole slots.
        code: The field's type, as in `array`: `q`, `Q`, `d` or `I`.
        offset: Where it stands in a slot.
    """
    values: array[Any] = array(code)
    step = SLOT.size // values.itemsize
    words = slots.cast(code)  # type: ignore[call-overload]  # one of q, Q, d, I
    values.frombytes(words[offset // values.itemsize :: step].tobytes())
    if sys.byteorder == "big":
        values.byteswap()
    return values


def runs(ids: array[int], offset: int) -> Iterator[tuple[int, int]]:
    """The stretches of committed slots, as half-open ranges of indices that begin at `offset`."""
    if 0 not in ids:
        if ids:
            yield offset, offset + len(ids)
        return
    begin = None
    for index, series in enumerate(ids, offset):
        if series and begin is None:
            begin = index
        elif not series and begin is not None:
            yield begin, index
            begin = None
    if begin is not None:
        yield begin, offset + len(ids)
