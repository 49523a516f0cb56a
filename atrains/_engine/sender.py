"""The sender: hands blocks to a transport, and sees to it that a console line is stored once by homes that cannot tell it from its copy.

Used by the reporter, for the journal of this process, and by recovery, for those of others.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial
from typing import Any, Final, Protocol

from atrains._engine.sent import SentMark
from atrains._engine.workers import run_in
from atrains._transport.base import Refusal, Transport
from atrains._wire import endpoints
from atrains._wire.console_lines import joined, without_stored
from atrains._wire.events import EventBlock, EventKind, RecordBlock, Span
from atrains._wire.json_lines import log_parts
from atrains.errors import ServerError, TransportError

_PAGE: Final = 5_000
"""Console lines that are fetched at once to be compared."""
SETTLE: Final = 1.0
"""Seconds after a request was broken off in which the server may still store it, and its index may not show it yet."""


class Marked(Protocol):
    """A journal that notes how far it was sent."""

    @property
    def sent(self) -> SentMark:
        """Its mark."""


class Sender:
    """Sends the blocks of one journal.

    Server: points, plots and images have an identity by which a copy replaces them; a console line has none, and a request whose answer
    did not arrive may have stored it. So a mark is written before each request, and lines whose fate is unknown are compared with those
    that the server has before they are sent again. What it stores after that comparison is doubled; nothing else is.

    Args:
        transport: Where to.
        journal: Whose blocks these are; what its mark says was sent and not answered is compared first. The mark is asked for each time:
            in a forked child the journal gets another folder, and must not write to that of its parent.
        aliases: The ids that tasks have at home, by those that they were reported under, where they differ.
        workers: Threads in which lines are joined and the mark is written.
    """

    def __init__(self, transport: Transport, journal: Marked, aliases: Mapping[str, str], *, workers: Executor) -> None:
        self._transport = transport
        self._journal = journal
        self._aliases = aliases
        self._workers = workers
        self._unsure_until = journal.sent.noted.sent
        self._unsure: set[Span] = set()
        self._settled = time.monotonic() + SETTLE - journal.sent.age if self._unsure_until else 0.0

    async def send(self, blocks: Sequence[EventBlock]) -> Mapping[Span, Refusal]:
        """Send blocks in one call of the transport; see `Transport.add_events` for what it returns and raises."""
        named = [self._at_home(block) for block in blocks]
        if self._transport.keeps_spans:
            parts = [await self._joined(block) for block in named]
            return _in_lines(await self._transport.add_events(parts), parts, blocks)
        lines = [block.span for block in blocks if _is_log(block)]
        parts = [await self._joined(await self._without_stored(block) if self._is_unsure(block) else block) for block in named]
        before = frozenset(self._unsure)
        if lines:
            self._unsure.update(lines)
            await run_in(self._workers, partial(self._journal.sent.note_sent, max(span.last for span in lines)))
        try:
            refused = await self._transport.add_events([part for part in parts if len(part)])
        except BaseException as error:  # a cancelled request may have been stored like one without an answer
            if isinstance(error, TransportError) and not error.outcome_unknown:
                self._unsure = self._unsure & before
            else:
                self._settled = time.monotonic() + SETTLE
            raise
        self._unsure.difference_update(lines)
        return _in_lines(refused, parts, blocks)

    async def note_acknowledged(self, records: int) -> None:
        """Note that nothing that ends at or before a position of the records needs to be sent again."""
        if not self._transport.keeps_spans and records > self._journal.sent.noted.acknowledged:
            await run_in(self._workers, partial(self._journal.sent.note_acknowledged, records))

    def _at_home(self, block: EventBlock) -> EventBlock:
        name = self._aliases.get(block.task)
        return block if name is None else replace(block, task=name)

    async def _joined(self, block: EventBlock) -> EventBlock:
        """A block as it is sent: of what was captured of the console, several lines make one event."""
        if not isinstance(block, RecordBlock) or block.kind is not EventKind.LOGS:
            return block
        return replace(block, events=await run_in(self._workers, partial(joined, block.events)))

    def _is_unsure(self, block: EventBlock) -> bool:
        return _is_log(block) and (block.span.first < self._unsure_until or block.span in self._unsure)

    async def _without_stored(self, block: EventBlock) -> EventBlock:
        """A block of console lines without those that the server has."""
        assert isinstance(block, RecordBlock)
        await asyncio.sleep(self._settled - time.monotonic())
        stored = await self._stored_lines(block)
        sent = [part for event in block.events for part in log_parts(event)]  # as it was sent: a long line is several there
        return replace(block, events=without_stored(sent, stored))

    async def _stored_lines(self, block: RecordBlock) -> list[Mapping[str, Any]]:
        """What the server has from the time that a block spans."""
        times = [int(str(event["timestamp"])) for event in block.events]
        found: list[Mapping[str, Any]] = []
        behind = max(times) + 1
        while True:
            request = {"task": block.task, "batch_size": _PAGE, "navigate_earlier": True, "from_timestamp": behind, "order": "desc"}
            try:
                events = (await self._transport.call(endpoints.EVENTS_GET_TASK_LOG, request))["events"]
            except ServerError as error:
                if error.code == 400:  # no such task: what is sent will be refused, and said then
                    return found
                raise
            found += (event for event in events if event["timestamp"] >= min(times))
            if not events or min(event["timestamp"] for event in events) < min(times):
                return found
            behind = min(event["timestamp"] for event in events)


def grouped(blocks: Iterable[EventBlock], rows: int) -> Iterator[list[EventBlock]]:
    """Neighbouring blocks in groups of about `rows` events, at least one block each."""
    group: list[EventBlock] = []
    size = 0
    for block in blocks:
        if group and size + len(block) > rows:
            yield group
            group, size = [], 0
        group.append(block)
        size += len(block)
    if group:
        yield group


def _is_log(block: EventBlock) -> bool:
    return isinstance(block, RecordBlock) and block.kind is EventKind.LOGS


def _in_lines(refused: Mapping[Span, Refusal], sent: Sequence[EventBlock], blocks: Sequence[EventBlock]) -> Mapping[Span, Refusal]:
    """What was refused of blocks, where all of one was: the ledger counts the lines, of which an event may hold several."""
    if not refused:
        return refused
    sizes = {part.span: (len(part), len(block)) for part, block in zip(sent, blocks, strict=True)}
    whole = {span: sizes[span][1] for span, refusal in refused.items() if span in sizes and refusal.count >= sizes[span][0]}
    return {span: replace(refusal, count=whole.get(span, refusal.count)) for span, refusal in refused.items()}
