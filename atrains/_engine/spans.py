"""Which parts of a journal a home has already: asked once by a recovery, so that nothing is sent twice. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator

from atrains._wire.events import Span


class StoredSpans:
    """The stored ranges of each stream of one journal.

    Args:
        spans: As the home tells them; those of one stream do not overlap.
    """

    def __init__(self, spans: Collection[Span] = ()) -> None:
        self._ranges: dict[str, list[tuple[int, int]]] = {}
        for span in spans:
            self._ranges.setdefault(span.stream, []).append((span.first, span.last))
        for ranges in self._ranges.values():
            ranges.sort()
        self._edges = sorted({edge for span in spans if span.stream.startswith("scalars/") for edge in (span.first, span.last)})

    def covers(self, stream: str, first: int, last: int) -> bool:
        """Whether a part that is cut nowhere in between is stored."""
        ranges = self._ranges.get(stream)
        if not ranges:
            return False
        place = bisect_right(ranges, (first, last)) - 1
        return any(begin <= first and last <= end for begin, end in ranges[max(place, 0) : place + 2])

    def pieces(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """A range of slots, cut wherever the stored part of any task begins or ends: each piece is stored whole or not at all."""
        place = bisect_right(self._edges, first)
        while place < len(self._edges) and self._edges[place] < last:
            yield first, self._edges[place]
            first = self._edges[place]
            place += 1
        yield first, last
