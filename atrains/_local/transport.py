"""The transport to a home in the same process: each call runs its service in a worker thread, so that the loop is never held."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from atrains._local import services
from atrains._local.store import Store, open_home
from atrains._transport.base import Refusal
from atrains._wire import endpoints
from atrains._wire.endpoints import Endpoint
from atrains._wire.events import EventBlock, ScalarBlock, Span
from atrains.errors import HomeError, ServerError

T = TypeVar("T")


class LocalTransport:
    """A `Transport` to the home in a folder. Making one does no I/O on the home; it is opened by the first call.

    Args:
        home: The folder; made when it is not there.
        workers: Where calls run; the loop's default executor when None.
        durable: Whether `sync` is going to be called; it does nothing otherwise.
    """

    status_poll_interval = 0.05
    keeps_spans = True
    batch_rows = 1  # each block is a transaction of its own
    retry_interval = 30.0

    def __init__(self, home: Path, *, workers: Executor | None = None, durable: bool = False) -> None:
        self._home = home.resolve()
        self._durable = durable
        self._workers = workers
        self._store: Store | None = None
        self._closed = False
        self._opening = threading.Lock()

    @property
    def target(self) -> str:
        """What names the home: `local:` and its absolute path."""
        return f"local:{self._home}"

    @property
    def home(self) -> Path:
        """The folder of the home."""
        return self._home

    @property
    def store(self) -> Store:
        """The open home, for worker threads; opens it (some milliseconds) when no call has done so.

        Raises:
            HomeError: the folder cannot be made or written, or it was made by a newer atrains.
        """
        with self._opening:
            if self._closed:
                raise HomeError(f"the connection to the home {self._home} was closed; open another one")
            if self._store is None:
                self._store = open_home(self._home, durable=self._durable)
            return self._store

    async def call(self, endpoint: Endpoint, request: Mapping[str, Any]) -> dict[str, Any]:
        """Call an endpoint and return its answer; errors as `Transport.call` says."""
        return await self._run(lambda: services.call(self.store, endpoint, request))

    async def keeps_task_ids(self) -> bool:
        """Say that a new task gets the id that it is given."""
        return True

    async def add_events(self, blocks: Sequence[EventBlock]) -> Mapping[Span, Refusal]:
        """Store blocks once each; returns what was refused. Errors as `Transport.add_events` says."""
        refused: dict[Span, Refusal] = {}
        for block in blocks:
            try:
                await self._run(partial(self._add, block))
            except (ServerError, ValueError) as error:
                if isinstance(error, ServerError) and error.code != 400:
                    raise
                refused[block.span] = Refusal(str(error), len(block))
        return refused

    def _add(self, block: EventBlock) -> None:
        self.store.add_events(block)

    async def probe(self) -> None:
        """Do nothing: whether the home is there shows when it is used."""

    async def stored_spans(self, journal: str) -> Collection[Span]:
        """Which spans of a journal are stored; neighbours are merged."""
        return await self._run(lambda: self.store.stored_spans(journal))

    async def scalars(self, task: str) -> AsyncGenerator[ScalarBlock]:
        """Yield every stored point of a task, exactly as stored, in order; one chunk at a time is in memory."""
        blocks = await self._run(lambda: self.store.read_scalars(task))
        try:
            while (block := await self._run(lambda: next(blocks, None))) is not None:
                yield block
        except ServerError as error:
            error.endpoint = endpoints.EVENTS_SCALARS_RAW.name
            raise
        finally:
            with suppress(ValueError):  # a worker is still in it, since its reader was cancelled: it closes the file when it drops it
                blocks.close()

    async def sync(self) -> None:
        """Wait until what was stored is on the disk."""
        await self._run(lambda: self.store.sync())  # the store is opened there, too  # noqa: PLW0108

    async def aclose(self) -> None:
        """Close the home's index; calls under way end first. A second call does nothing."""
        await self._run(self._close)

    def _close(self) -> None:
        with self._opening:
            self._closed = True
            if self._store is not None:
                self._store.close()

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._workers, work)
