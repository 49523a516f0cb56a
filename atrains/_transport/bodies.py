"""Blocks of events cut into request bodies, and what a server says of a body turned into what was refused of each block. Does no I/O.

Console lines travel in bodies of their own, after everything else: the server gives them no identity, so a body that holds some must not be
sent again without a look at what is stored, while any other may be sent as often as it takes.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from atrains._transport.answers import Answer
from atrains._transport.base import Refusal
from atrains._wire.events import EventBlock, EventKind, RecordBlock, ScalarBlock, Span
from atrains._wire.json_lines import SLICE, record_lines, scalar_lines

SIZE: Final = 4 << 20
"""Bytes of a body: so many that a request costs nothing beside them, so few that the next body is encoded while one is on its way."""
_SEPARATORS: Final = re.compile(r"[^\w-]+")


class Part(NamedTuple):
    """Some rows of a block."""

    block: EventBlock
    first: int
    last: int

    def __len__(self) -> int:
        return self.last - self.first


@dataclass(slots=True)
class Body:
    """The content of one request.

    Attributes:
        parts: What is in it, in order.
        data: The lines, the last one without its newline.
    """

    parts: list[Part] = field(default_factory=list)
    data: bytearray = field(default_factory=bytearray, repr=False)

    @property
    def rows(self) -> int:
        """How many events."""
        return sum(part.last - part.first for part in self.parts)

    @property
    def holds_logs(self) -> bool:
        """Whether it must not be sent twice."""
        return any(is_log(part.block) for part in self.parts)


class Refused:
    """What was refused, gathered over all bodies of a call: told by the thread that encodes and by the loop that sends."""

    def __init__(self) -> None:
        self.by_span: dict[Span, Refusal] = {}
        self._lock = threading.Lock()

    def add(self, block: EventBlock, reason: str, count: int) -> None:
        """Count events of a block; the first reason is the one that is told."""
        with self._lock:
            before = self.by_span.get(block.span)
            total = min(len(block), count + (before.count if before else 0))
            self.by_span[block.span] = Refusal(before.reason if before else reason, total)

    def add_parts(self, parts: Iterable[Part], reason: str) -> None:
        """Count all rows of some parts."""
        for part in parts:
            self.add(part.block, reason, part.last - part.first)


def is_log(block: EventBlock) -> bool:
    """Whether a block holds console lines."""
    return isinstance(block, RecordBlock) and block.kind is EventKind.LOGS


def whole(blocks: Sequence[EventBlock]) -> tuple[list[Part], list[Part]]:
    """Return all rows of some blocks: those that may be sent again at will, and console lines."""
    parts = [Part(block, 0, len(block)) for block in blocks if len(block)]
    return [part for part in parts if not is_log(part.block)], [part for part in parts if is_log(part.block)]


def halves(body: Body) -> tuple[list[Part], list[Part]]:
    """Return the rows of a body in two halves, cut between blocks where that is possible."""
    if len(body.parts) > 1:
        middle = len(body.parts) // 2
        return body.parts[:middle], body.parts[middle:]
    block, first, last = body.parts[0]
    middle = (first + last) // 2
    return [Part(block, first, middle)], [Part(block, middle, last)]


def pack(parts: Iterable[Part], limit: int, refused: Refused, *, rest: Callable[[], None] = lambda: None) -> Iterator[Body]:
    """Yield bodies of at most `SIZE` bytes; an event that is larger gets a body of its own, one larger than `limit` bytes is refused.

    Args:
        parts: What to send, in order.
        limit: Bytes that the server takes.
        refused: Told what can never be sent.
        rest: Called after each slice of about a millisecond of work.
    """
    packer = _Packer(limit, refused)
    for part in parts:
        for row, rows, lines in _slices(part, refused):
            yield from packer.add(part.block, row, rows, lines)
            rest()
    yield from packer.close()


class _Packer:
    """The body that is being filled."""

    def __init__(self, limit: int, refused: Refused) -> None:
        self._limit = limit
        self._size = min(limit, SIZE)
        self._refused = refused
        self._body = Body()

    def add(self, block: EventBlock, row: int, rows: int, lines: bytes) -> Iterator[Body]:
        """Add the lines of some rows (of one row, where there are several lines for it); yields what they fill."""
        start = 0
        while start < len(lines):
            room = self._size + 1 - len(self._body.data)  # the last newline is not sent
            end = len(lines) if len(lines) - start <= room else lines.rfind(b"\n", start, start + max(0, room)) + 1
            if end <= start and self._body.data:
                yield from self.close()
                continue
            if end <= start:
                end = lines.index(b"\n", start) + 1
            whole = end - start == len(lines)
            taken = rows if whole or rows == 1 else lines.count(b"\n", start, end)
            if end - start - 1 <= self._limit:
                self._append(Part(block, row, row + taken), lines if whole else lines[start:end])
            else:
                size = end - start - 1
                self._refused.add(block, f"an event of {size} bytes is larger than a request may be ({self._limit} bytes)", 1)
            start = end
            row += taken if rows > 1 else 0

    def close(self) -> Iterator[Body]:
        """Yield what is left."""
        if self._body.data:
            del self._body.data[-1:]
            yield self._body
            self._body = Body()

    def _append(self, part: Part, lines: bytes) -> None:
        self._body.data += lines
        parts = self._body.parts
        if parts and parts[-1].block is part.block and parts[-1].last >= part.first:
            parts[-1] = Part(part.block, parts[-1].first, part.last)
        else:
            parts.append(part)


def _slices(part: Part, refused: Refused) -> Iterator[tuple[int, int, bytes]]:
    """The lines of some rows at a time: first row, number of rows (1 where a row may have several lines), lines."""
    block = part.block
    step = SLICE if isinstance(block, ScalarBlock) else 1
    for row in range(part.first, part.last, step):
        rows = min(step, part.last - row)
        try:
            if isinstance(block, ScalarBlock):
                yield row, rows, scalar_lines(block, row, row + rows)
            else:
                for line in record_lines(block, row):
                    yield row, 1, line
        except (ValueError, OverflowError, TypeError) as error:  # a value that JSON has no form for
            refused.add(block, f"cannot be encoded ({error})", rows)


def note_refusals(body: Body, answer: Answer, refused: Refused) -> int:
    """Take down what an answer says was not stored of a body; return how many events it does not tell apart.

    Server: `events.add_batch` answers `{"added", "errors", "errors_info": {reason: count}}`; of the reasons only the one for a task that
    takes no events names whose they are.
    """
    left = 0
    for reason, count in _reasons(answer).items():
        words = set(_SEPARATORS.split(reason))
        named = [part for part in body.parts if part.block.task in words]
        if named:
            refused.add_parts(named, reason)
        else:
            left += count
    return left


def _reasons(answer: Answer) -> Mapping[str, int]:
    found = answer.data.get("errors_info") or answer.error_data
    if isinstance(found, Mapping) and found:
        return {str(reason): count if isinstance(count, int) else 1 for reason, count in found.items()}
    errors = answer.data.get("errors")
    return {"the server does not say why": errors} if isinstance(errors, int) and errors > 0 else {}
