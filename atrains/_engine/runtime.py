"""The runtime of one event loop: one host task that owns what runs in the background there, for the channels that deliver there."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable, Coroutine, Hashable
from concurrent.futures import Future
from contextvars import Context
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar
from weakref import WeakValueDictionary

from atrains._config import Settings
from atrains._engine import journals
from atrains._engine.channel import Channel
from atrains._engine.guards import guarded
from atrains._engine.notices import show_warnings
from atrains._engine.places import channel_key, open_transport
from atrains._engine.process import WORKERS, process
from atrains._engine.waits import StatusWaits

if TYPE_CHECKING:
    from atrains._engine.outlet import Outlet

T = TypeVar("T")

ORPHAN_BUDGET: Final = 2.0
"""Seconds that the last delivery of a loop that is being torn down may take."""
ADOPTION_PERIOD: Final = 30.0
"""Seconds between two looks for journals that children of this process left."""
TRANSFERS: Final = 8
"""Files that are fetched or stored at once, on each loop, beside the uploads of runs."""
_LOOK: Final = 0.25
"""Seconds between two looks whether another loop, which is waited for, still runs: it tells nobody that it ends."""
_log = logging.getLogger("atrains")


class State(Enum):
    """Where a runtime is in its life."""

    IDLE = auto()
    """Nothing is delivered here."""
    STARTING = auto()
    """The host task was made and has not run yet."""
    RUNNING = auto()
    """The host task runs the reporters."""
    ORPHANED = auto()
    """The loop ended, or is ending, around the host task."""


class GoneError(Exception):
    """The loop that something was to be done on ended before that was done, or stands still."""


@dataclass(eq=False, slots=True)
class _Delivery:
    """What runs for one outlet, by what it is; nothing before the host task has begun."""

    channel: Channel
    tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    def cancel(self) -> set[asyncio.Task[None]]:
        """Cancel all of it; returns what."""
        for task in self.tasks.values():
            task.cancel()
        return set(self.tasks.values())


class Runtime:
    """What runs in the background of one event loop.

    One task enters and leaves the task group itself, so that nothing depends on which of the user's tasks opened or closed first. It runs
    while a channel delivers here, and is gone after the last one stopped, so that a loop ends as clean as it began.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.pid = os.getpid()
        self.state = State.IDLE
        self._group: asyncio.TaskGroup | None = None
        self._host: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._deliveries: dict[Outlet, _Delivery] = {}
        self.waits = StatusWaits()
        self.transfers = asyncio.Semaphore(TRANSFERS)
        self._locks: WeakValueDictionary[Hashable, asyncio.Lock] = WeakValueDictionary()
        self._recovering = asyncio.Lock()

    @classmethod
    def current(cls) -> Runtime:
        """The runtime of the running loop."""
        loop = asyncio.get_running_loop()
        with process().lock:
            runtimes = process().runtimes
            runtime = runtimes.get(loop)
            if runtime is None:
                # A runtime holds on to its loop, so no weak reference would ever let the two go.
                for closed in [other for other in runtimes if other.is_closed()]:
                    del runtimes[closed]
                runtime = runtimes[loop] = cls(loop)
            return runtime

    @property
    def is_gone(self) -> bool:
        """Whether nothing runs here any more, since the loop ended, stands still or belongs to the parent: somebody else has to deliver."""
        return self.state is State.ORPHANED or not self.loop.is_running() or self.pid != os.getpid()

    def lock(self, name: Hashable) -> asyncio.Lock:
        """The lock of that name on this loop; it is gone once nobody holds it."""
        return self._locks.setdefault(name, asyncio.Lock())

    async def channel(self, settings: Settings) -> Channel:
        """The channel of this process to the target of these settings.

        Raises:
            ConfigurationError: the target cannot be used.
            HomeError: the local home cannot be opened.
        """
        key = channel_key(settings)
        channel = process().channels.get(key)
        if channel is None:
            show_warnings()
            transport = await self.loop.run_in_executor(WORKERS, lambda: open_transport(settings))
            with process().lock:
                channel = process().channels.setdefault(key, Channel(settings, transport, self))
        return channel

    async def run(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Await a coroutine on this loop, from whichever loop.

        Raises:
            GoneError: this loop ended meanwhile, or stands still.
        """
        if self.loop is asyncio.get_running_loop():
            return await make()
        result: Future[T] = Future()
        started: list[asyncio.Task[T]] = []

        def start() -> None:
            if result.set_running_or_notify_cancel():  # from here on it is told, whoever waits or does not
                started.append(self.loop.create_task(make()))
                started[0].add_done_callback(partial(_tell, result))
                # Begun on a loop that is ending it may never end itself: who waits begins it anew elsewhere.
                started[0]._log_destroy_pending = False  # type: ignore[attr-defined]  # as `asyncio.gather` does  # noqa: SLF001

        def give_up() -> None:
            for task in started:
                task.cancel()

        try:
            self.loop.call_soon_threadsafe(start)
        except RuntimeError as error:
            raise GoneError from error
        waiting = asyncio.wrap_future(result)
        try:
            while not waiting.done():
                if self.is_gone:
                    raise GoneError
                await asyncio.wait({waiting}, timeout=_LOOK)
        finally:
            if not waiting.done():
                waiting.cancel()
                self.call_soon(give_up)
        return waiting.result()

    def start(self, channel: Channel, outlet: Outlet) -> None:
        """Deliver an outlet of a channel on this loop from now on; from any thread."""
        self.call_soon(lambda: self._start(channel, outlet))

    async def stop(self, outlet: Outlet) -> None:
        """Stop delivering an outlet; on this loop."""
        delivery, host = self._deliveries.pop(outlet, None), self._host
        if delivery is not None and (ending := delivery.cancel()):
            await asyncio.wait(ending)
        self._changed.set()
        # Let the host task go, if nobody starts anything in the meantime: then it stays.
        while host is not None and self._host is host and not self._deliveries:  # a few turns of the loop  # noqa: ASYNC110
            await asyncio.sleep(0)
        if host is not None and self._host is not host:
            await asyncio.wait({host})

    async def recover(self, channel: Channel) -> None:
        """Deliver what other processes left in their journals; on this loop, one recovery after the other."""
        own = None if channel.outlet is None else channel.outlet.journal.folder.name
        async with self._recovering:
            if not await channel.run(partial(journals.has_others, channel.journals, own)):
                return
            from atrains._engine.recovery import recover  # which most starts do not need

            await recover(channel.journals, channel.transport, WORKERS, channel.aliases, storages=channel.storages)

    async def _look_after(self, channel: Channel) -> None:
        """Recover at once, and every so often for what children leave while we run; tell a server in time that our tasks are alive."""
        loop, ping_period = self.loop, channel.settings.reporting.ping_period
        ping_due, recovery_due = loop.time() + ping_period, loop.time()
        while True:
            try:
                if recovery_due <= loop.time():
                    recovery_due = loop.time() + ADOPTION_PERIOD
                    await self.recover(channel)
                if ping_due <= loop.time():
                    ping_due = loop.time() + ping_period
                    await channel.ping()
            except Exception:  # a bug here must not end the delivery of this process, which shares the task group  # noqa: BLE001
                _log.exception("atrains: looking after %s failed; the journals stay in %s", channel.transport.target, channel.journals)
            await asyncio.sleep(max(0.0, min(ping_due, recovery_due) - loop.time()))

    def watch(self, channel: Channel) -> None:
        """Run the monitor of a channel that is delivered here, as soon as that is so; from any thread."""
        # In a context of its own: a loop keeps that of a timer until it is due, and with the caller's its task, long after it was closed.
        Context().run(self.call_soon, lambda: self._begin_watching(channel))

    def _begin_watching(self, channel: Channel) -> None:
        if channel.monitor is not None:
            self._begin(channel, "monitor", lambda: self._watch(channel))

    def _begin(self, channel: Channel, what: str, work: Callable[[], Coroutine[Any, Any, None]]) -> bool:
        """Begin something for the outlet of a channel, unless it runs; whoever starts the outlet begins it. Whether it was running."""
        delivery = None if channel.outlet is None else self._deliveries.get(channel.outlet)
        if delivery is None or self._group is None or "reporter" not in delivery.tasks:
            return False
        running = delivery.tasks.get(what)
        if running is not None and not running.done():
            return True
        beginning = guarded(work)
        try:
            delivery.tasks[what] = self._group.create_task(beginning, name=f"atrains-{what}")
        except RuntimeError:  # the loop is ending, and the host task has still to notice
            beginning.close()
        return False

    async def _watch(self, channel: Channel) -> None:
        """Have a worker thread look at the machine whenever that is due; here is only the clock."""
        while (monitor := channel.monitor) is not None and not monitor.is_stopped:
            await asyncio.sleep(max(0.0, monitor.due - time.monotonic()))
            try:
                await channel.run(monitor.step)
            except Exception:  # as above  # noqa: BLE001
                monitor.stop()
                _log.exception("atrains: the machine is not watched any more")

    def look_out(self, channel: Channel) -> None:
        """Look at what a channel was given to look at, and is new; from any thread."""
        self.call_soon(lambda: self._begin_lookout(channel))

    def _begin_lookout(self, channel: Channel) -> None:
        if channel.lookout and self._begin(channel, "lookout", channel.lookout.run):
            channel.lookout.wake()

    def release(self, outlet: Outlet) -> None:
        """Leave an outlet to another loop; takes effect when this one runs again, if it ever does."""
        if self.pid == os.getpid():  # a forked child must not touch its parent's loop
            self.call_soon(lambda: self._release(outlet))

    def begin_uploads(self, channel: Channel) -> None:
        """Have a channel begin the uploads that it was given; from any thread."""
        self.call_soon(lambda: self._begin_uploads(channel))

    def _begin_uploads(self, channel: Channel) -> None:
        uploads = None if channel.outlet is None else channel.outlet.uploads
        if uploads is not None and self._begin(channel, "uploads", uploads.run):
            uploads.wake()

    def call_soon(self, call: Callable[[], None]) -> None:
        """Run a call on this loop; from any thread, and quietly too late when the loop was closed."""
        try:
            self.loop.call_soon_threadsafe(call)
        except RuntimeError:  # the loop was closed: what is in the journal is delivered by the next loop, at exit, or at the next start
            self.state = State.ORPHANED

    def _start(self, channel: Channel, outlet: Outlet) -> None:
        if channel.outlet is not outlet or channel.owner is not self or outlet in self._deliveries:
            return  # let go of meanwhile, or left to another loop
        delivery = self._deliveries[outlet] = _Delivery(channel)
        if self.state is State.RUNNING:
            self._spawn(outlet, delivery)
        elif self.state is not State.STARTING:
            self.state = State.STARTING
            self._changed = asyncio.Event()
            self._host = self.loop.create_task(self._live(), name="atrains-host")
            self._host.add_done_callback(self._note_end)

    def _note_end(self, host: asyncio.Task[None]) -> None:
        """See to a host task that was cancelled before its first step, and so has noticed nothing: the loop is ending."""
        if self.state is State.STARTING and self._host is host:
            for outlet, delivery in self._orphan().items():
                if outlet.reporter.is_awaited:
                    self._start(delivery.channel, outlet)

    def _release(self, outlet: Outlet) -> None:
        delivery = self._deliveries.pop(outlet, None)
        if delivery is not None:
            delivery.cancel()
        self._changed.set()

    def _spawn(self, outlet: Outlet, delivery: _Delivery) -> None:
        if self._group is not None and delivery.channel.outlet is outlet:
            channel = delivery.channel
            delivery.tasks["reporter"] = self._group.create_task(guarded(outlet.reporter.run), name="atrains-reporter")
            self._begin(channel, "recovery", lambda: self._look_after(channel))
            self._begin_uploads(channel)
            self._begin_watching(channel)
            self._begin_lookout(channel)

    async def _live(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                self.state, self._group = State.RUNNING, group
                for outlet, delivery in list(self._deliveries.items()):
                    self._spawn(outlet, delivery)
                while self._deliveries:
                    await self._changed.wait()
                    self._changed.clear()
                # Nothing is awaited between the last look and this: whoever starts an outlet from here on makes a host task of its own.
                self.state, self._group, self._host = State.IDLE, None, None
        except asyncio.CancelledError:
            # The loop is ending around us. Everything reported is on disk: try to deliver it still, and leave the rest to who comes next.
            await self._last_delivery(self._orphan())
            raise
        except BaseExceptionGroup:
            self._orphan()
            _log.exception("atrains: the background of this event loop failed; what is reported is kept in the journal")

    def _orphan(self) -> dict[Outlet, _Delivery]:
        """Nothing is delivered here any more, but for what is started from now on; returns what was."""
        orphans, self._deliveries = self._deliveries, {}
        self.state, self._group, self._host = State.ORPHANED, None, None
        return orphans

    async def _last_delivery(self, orphans: dict[Outlet, _Delivery]) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ORPHAN_BUDGET):
                for outlet, delivery in orphans.items():
                    if delivery.channel.owner is self and outlet not in self._deliveries:  # nobody goes on with it yet
                        await outlet.reporter.deliver_once()


def _tell(result: Future[T], done: asyncio.Task[T]) -> None:
    """Tell who waits on another loop what became of a task."""
    if done.cancelled():  # there, by nobody who waits: everything on a loop is, as it ends
        result.set_exception(GoneError())
    elif (error := done.exception()) is not None:
        result.set_exception(error)
    else:
        result.set_result(done.result())
