"""The reporter: takes blocks out of one journal and hands them to one transport, in order, one request in flight.

Knows nothing of tasks' meaning.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from typing import Final, TypeVar

from atrains._engine.journal import Journal
from atrains._engine.ledger import Counts, Ledger
from atrains._engine.outbox import Outbox
from atrains._engine.process import process
from atrains._engine.reader import LARGE_SLICE, JournalReader, Position
from atrains._engine.sender import Sender, grouped
from atrains._engine.workers import run_in
from atrains._transport.base import Refusal, Transport
from atrains._wire.events import EventKind, Span
from atrains.errors import HomeError, TransportError

T = TypeVar("T")

PAUSE: Final = 0.002
"""Seconds of rest between two slices while somebody may be reporting: a millisecond of work, then loop and GIL belong to them."""
_RETRY: Final = 2.0
"""Seconds before the first new try after a failure, where there is no period."""
_log = logging.getLogger("atrains")


class Reporter:
    """Delivers one journal. `run` belongs to one loop; `wake` may be called from any thread.

    Args:
        journal: What to deliver.
        transport: Where to.
        workers: Threads that read and encode.
        period: Seconds between two passes when nobody asks; None for none.
        aliases: The ids that tasks have at home, by those that they are reported under, where they differ.
    """

    def __init__(
        self, journal: Journal, transport: Transport, *, workers: Executor, period: float | None, aliases: dict[str, str] | None = None
    ) -> None:
        self.ledger = Ledger()
        aliases = {} if aliases is None else aliases
        self.outbox = Outbox(journal, transport, aliases, workers)
        self._journal = journal
        self._transport = transport
        self._workers = workers
        self.period = period
        self._reader = JournalReader(journal, self.ledger)
        self._sender = Sender(transport, journal, aliases, workers=workers)
        self._delivered: set[Span] = set()
        self._refused: dict[Span, Refusal] = {}
        self._waiting: list[asyncio.Future[None]] = []
        self._wake = asyncio.Event()
        self._editing = asyncio.Lock()
        self._failures = 0
        self._is_said = False
        self.last_error: str | None = None

    @property
    def abandoned(self) -> int:
        """Slots that were claimed and never filled."""
        return self._reader.abandoned + self._journal.scalars.abandoned

    @property
    def is_awaited(self) -> bool:
        """Whether somebody waits in `flush`."""
        return any(not future.done() for future in self._waiting)

    async def run(self) -> None:
        """Deliver until cancelled."""
        loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._editing = asyncio.Lock()
        self._waiting = [future for future in self._waiting if future.get_loop() is loop]
        if self._waiting:
            self._wake.set()
        delay = self.period
        while True:
            await self._rest(delay)
            waiting, self._waiting = [future for future in self._waiting if not future.done()], []
            try:
                if self._failures:
                    await self._transport.probe()
                await self._drain(urgent=bool(waiting))
            except asyncio.CancelledError:
                self._waiting = waiting + self._waiting  # `deliver_once` tells them
                raise
            except Exception as error:  # a home in trouble, or a bug: delivery for all tasks goes on once it works again  # noqa: BLE001
                # The events stay where they are, in the journal; whoever waits for them goes on waiting until its own timeout.
                self._waiting = waiting + self._waiting
                delay = self._note_failure(error, watched=bool(self._waiting))
                if process().is_ending and isinstance(error, HomeError):
                    self._answer(self._waiting)  # no home gets better in the last seconds of a process
                continue
            self._failures, self._is_said, self.last_error, delay = 0, False, None, self.period
            self._answer(waiting)

    async def _rest(self, delay: float | None) -> None:
        """Wait until there is reason for a pass; a home that is away is not asked more often because more is reported."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await self._wake.wait()
                while self._failures and not self.is_awaited:
                    self._wake.clear()
                    await self._wake.wait()
        self._wake.clear()

    def wake(self) -> None:
        """Start a pass soon; call on the loop of `run`."""
        self._wake.set()

    async def flush(self, timeout: float | None) -> str | None:
        """Wait until everything reported before this call is stored; why it is not, in words, when the time is up."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        with contextlib.suppress(RuntimeError):  # a `run` whose loop was closed: the next one looks for who is waiting when it begins
            self._wake.set()
        try:
            async with asyncio.timeout(timeout):
                await future
        except TimeoutError:
            return self.last_error or f"not everything could be stored within {timeout:g} s"
        return self.last_error

    async def send_edits(self) -> None:
        """Have the changes of parameters sent that were made until now, so that what comes next comes after them; on the loop of `run`.

        If the home is away they wait for it, and so does what comes next.
        """
        await self._work(self.outbox.note_changes)
        async with self._editing:
            if self._failures or self.outbox.is_away:  # known by now: another try would take as long as the one that was waited for
                self.outbox.defer()
                return
            # What fails otherwise than by the home being away is met by what comes next as well, and told by that.
            with contextlib.suppress(TransportError, HomeError):
                await self.outbox.deliver()

    async def deliver_once(self) -> None:
        """Deliver what is there now, without `run`: for a loop that is ending. Failures leave it in the journal."""
        try:
            await self._drain(urgent=True)
        except Exception as error:  # as in `run`  # noqa: BLE001
            self._note_failure(error, watched=False)
        else:
            self.last_error = None
        self._answer(self._waiting)

    def _answer(self, waiting: list[asyncio.Future[None]]) -> None:
        """Let those who wait go on, also on the loop that delivered before this one."""
        for future in waiting:
            if future.get_loop() is asyncio.get_running_loop():
                _wake_up(future)
            else:
                with contextlib.suppress(RuntimeError):  # it was closed
                    future.get_loop().call_soon_threadsafe(_wake_up, future)

    async def counts(self, task: str | None) -> dict[EventKind, Counts]:
        """How each kind of event stands, for one task or for the whole journal."""
        return await self._work(lambda: self._reader.counts(task))

    def note_reset(self, task: str) -> Position:
        """Record that a task is about to be reset, for who recovers this journal, and return what place stands between before and after."""
        before = self._reader.end()
        # Where there is no room for the note, a kill would bring back what was reset; the reset itself is worth more.
        with contextlib.suppress(OSError):
            content = {"slots": before.slots, "records": before.records}
            self._journal.finish_job(self._journal.add_job("reset", task, content))
        return before

    def forget(self, task: str, before: Position) -> None:
        """Drop what was reported to a task before a place and was not delivered, except what is on its way."""
        self._reader.forget(task, before)

    async def is_empty(self) -> bool:
        """Whether the journal holds nothing that was not delivered."""
        return self.outbox.is_empty and not await self._work(self._reader.has_unread)

    async def _drain(self, *, urgent: bool) -> None:
        """Deliver everything that was reported before the call."""
        await self._work(self._journal.retry_disk)
        await self._work(self.outbox.note_changes)
        async with self._editing:
            await self.outbox.deliver()
        goal = await self._work(self._reader.end)
        while True:
            again = self._reader.midway  # then there may be more, behind the position, that was reported since
            before = self._reader.position
            # With a busy producer each step of a delivery waits for the GIL: what is far behind is better taken in few large steps.
            large = urgent or bool(self._waiting) or goal.slots - before.slots >= LARGE_SLICE
            blocks = await self._work(partial(self._reader.read, large=large))
            for group in grouped((block for block in blocks if block.span not in self._delivered), self._transport.batch_rows):
                self._refused.update(await self._sender.send(group))
                self._delivered.update(block.span for block in group)
            if blocks and self._journal.settings.durability == "power":
                await self._transport.sync()  # before the journal lets go of them
            await self._work(partial(self._reader.advance, blocks, dict(self._refused)))
            self._delivered.clear()
            self._refused.clear()
            position = self._reader.position
            await self._sender.note_acknowledged(position.records)
            if again:
                continue
            if (position.slots >= goal.slots and position.records >= goal.records) or (position == before and not blocks):
                return
            if not large:
                await asyncio.sleep(PAUSE)

    def _note_failure(self, error: Exception, *, watched: bool) -> float:
        """Say once that delivery fails, unless somebody waits, who is told, or the process ends; return the seconds until the next try."""
        expected = isinstance(error, HomeError | TransportError)
        self.last_error = str(error) if expected else f"{type(error).__name__}: {error}"
        self._failures += 1
        if self._failures == 1 and not expected:
            _log.error(
                "atrains: delivery to %s failed; what is reported is kept in %s",
                self._transport.target,
                self._journal.folder,
                exc_info=error,
            )
        elif not (watched or self._is_said or process().is_ending):
            self._is_said = True
            _log.warning(
                "atrains: cannot deliver to %s (%s); what is reported is kept in %s", self._transport.target, error, self._journal.folder
            )
        return 0.25 if watched else min(self._transport.retry_interval, (self.period or _RETRY) * 2 ** min(self._failures, 8))

    async def _work(self, call: Callable[[], T]) -> T:
        return await run_in(self._workers, call)


def _wake_up(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
