"""Which parts of a journal must not be sent (again): what a home has already, and what was forgotten by a reset. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator

from atrains._wire.events import EventKind, Span


def slot_stream(task: str) -> str:
    """The stream of a task's points that were reported one by one; its positions are numbers of slots."""
    return f"scalars/{task}"


def record_stream(task: str, kind: EventKind) -> str:
    """The stream of a task's records of one kind; its positions are bytes in the stream of all records."""
    return f"{'arrays' if kind is EventKind.SCALARS else kind}/{task}"


def forgotten(journal: str, task: str, slots: int, records: int) -> list[Span]:
    """All that a journal holds of a task before two positions, as spans."""
    ends = {slot_stream(task): slots} | {record_stream(task, kind): records for kind in EventKind}
    return [Span(journal, stream, 0, end) for stream, end in ends.items() if end]


class StoredSpans:
    """The ranges of each stream of one journal that are not to be sent.

    Args:
        spans: In any order; they may overlap.
    """

    def __init__(self, spans: Collection[Span] = ()) -> None:
        self._ranges: dict[str, list[tuple[int, int]]] = {}
        self._edges: list[int] = []
        self.add(spans)

    def add(self, spans: Collection[Span]) -> None:
        """Add ranges to them."""
        for span in spans:
            self._ranges.setdefault(span.stream, []).append((span.first, span.last))
        for stream in {span.stream for span in spans}:
            self._ranges[stream] = _merged(self._ranges[stream])
        slots = (ranges for stream, ranges in self._ranges.items() if stream.startswith("scalars/"))
        self._edges = sorted({edge for ranges in slots for limits in ranges for edge in limits})

    def covers(self, stream: str, first: int, last: int) -> bool:
        """Whether a part that is cut nowhere in between is among them."""
        ranges = self._ranges.get(stream)
        if not ranges:
            return False
        place = bisect_right(ranges, first, key=lambda found: found[0]) - 1
        return place >= 0 and last <= ranges[place][1]

    def pieces(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """A range of slots, cut wherever a range of any task begins or ends: each piece is among them whole or not at all."""
        place = bisect_right(self._edges, first)
        while place < len(self._edges) and self._edges[place] < last:
            yield first, self._edges[place]
            first = self._edges[place]
            place += 1
        yield first, last


def _merged(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return merged
