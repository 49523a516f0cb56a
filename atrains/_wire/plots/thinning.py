"""Which points of a long curve are sent: end points, extremes and gaps stay, what lies between them goes. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Final

_PER_BUCKET: Final = 3
"""The smallest and the largest value, and a gap."""
_MEASURE: Final = 1 << 16
"""Values of a compact column that are looked at at once."""


def thin(columns: Sequence[Sequence[Any]], points: int) -> list[int] | None:
    """Return which points to keep of a curve, at most `points` of them, in order; None for all of them.

    The curve is cut into stretches of equal length; of each the smallest and the largest value of the last column stay, and the first
    that is no number. The first and the last point stay, and the extremes of each column. About 60 ns a point.

    Args:
        columns: The coordinates, one column each; the last one is what is looked at.
        points: At least 16.
    """
    size = len(columns[-1])
    if size <= points:
        return None
    kept = {0, size - 1}
    for column in columns[:-1]:
        kept.update(_extremes(column))
    stretches = (points - len(kept)) // _PER_BUCKET
    for number in range(stretches):
        begin, end = size * number // stretches, size * (number + 1) // stretches
        kept.update(begin + place for place in _marked(list(columns[-1][begin:end])))
    return sorted(kept)


def shares(sizes: Sequence[int], budget: int) -> list[int]:
    """Return how much of a budget each of several curves may use: equal shares, what one does not need goes to the others."""
    granted = [0] * len(sizes)
    for place, left in zip(sorted(range(len(sizes)), key=sizes.__getitem__), range(len(sizes), 0, -1), strict=True):
        granted[place] = min(sizes[place], budget // left)
        budget -= granted[place]
    return granted


def _extremes(column: Sequence[Any]) -> Iterator[int]:
    """Where the smallest and the largest number of a column are."""
    low, high = (math.inf, 0), (-math.inf, 0)
    for begin in range(0, len(column), _MEASURE):
        some = list(column[begin : begin + _MEASURE])
        for place in _marked(some):
            value = some[place]
            if _is_number(value):
                low, high = min(low, (value, begin + place)), max(high, (value, begin + place))
    yield from {low[1], high[1]}


def _marked(values: list[Any]) -> Iterator[int]:
    """Where the smallest, the largest and the first that is no number are."""
    try:
        whole = not math.isnan(sum(values))
    except TypeError:  # something is no number at all
        whole = False
    if whole:
        yield values.index(min(values))
        yield values.index(max(values))
        return
    numbers = [(value, place) for place, value in enumerate(values) if _is_number(value)]
    if numbers:
        yield min(numbers)[1]
        yield max(numbers)[1]
    yield from [place for place, value in enumerate(values) if not _is_number(value)][:1]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not math.isnan(value)
