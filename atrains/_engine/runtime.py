"""The runtime of one event loop: one host task that owns what runs in the background there, for the channels that deliver there."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable, Hashable
from contextvars import Context
from enum import Enum, auto
from functools import partial
from typing import Any, Final
from weakref import WeakValueDictionary

from atrains._config import Settings
from atrains._engine import journals
from atrains._engine.channel import Channel
from atrains._engine.guards import guarded
from atrains._engine.notices import show_warnings
from atrains._engine.places import channel_key, open_transport
from atrains._engine.process import WORKERS, process
from atrains._engine.waits import StatusWaits

ORPHAN_BUDGET: Final = 2.0
"""Seconds that the last delivery of a loop that is being torn down may take."""
ADOPTION_PERIOD: Final = 30.0
"""Seconds between two looks for journals that children of this process left."""
TRANSFERS: Final = 8
"""Files that are fetched or stored at once, on each loop, beside the uploads of runs."""
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
        self._reporters: dict[Channel, asyncio.Task[None] | None] = {}
        self.waits = StatusWaits()
        self.transfers = asyncio.Semaphore(TRANSFERS)
        self._locks: WeakValueDictionary[Hashable, asyncio.Lock] = WeakValueDictionary()
        self._recovering = asyncio.Lock()
        self._recoveries: dict[Channel, asyncio.Task[None]] = {}
        self._uploads: dict[Channel, asyncio.Task[None]] = {}
        self._monitors: dict[Channel, asyncio.Task[None]] = {}
        self._lookouts: dict[Channel, asyncio.Task[None]] = {}

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

    def start(self, channel: Channel) -> None:
        """Deliver a channel on this loop from now on; from any thread."""
        self.call_soon(lambda: self._start(channel))

    async def stop(self, channel: Channel) -> None:
        """Stop delivering a channel; on this loop."""
        beside: tuple[dict[Channel, Any], ...] = (self._reporters, self._recoveries, self._uploads, self._monitors, self._lookouts)
        ending = {
            task for task in (self._reporters.pop(channel, None), *(tasks.pop(channel, None) for tasks in beside)) if task is not None
        }
        host = self._host
        for task in ending:
            task.cancel()
        if ending:
            await asyncio.wait(ending)
        self._changed.set()
        # Let the host task go, if nobody starts a channel in the meantime: then it stays.
        while host is not None and self._host is host and not self._reporters:  # a few turns of the loop  # noqa: ASYNC110
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
        running = self._monitors.get(channel)
        if self._group is None or not self._reporters.get(channel) or channel.monitor is None:
            return  # whoever starts the channel begins it
        if running is None or running.done():
            self._monitors[channel] = self._group.create_task(guarded(lambda: self._watch(channel)), name="atrains-monitor")

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
        running = self._lookouts.get(channel)
        if self._group is None or not self._reporters.get(channel) or not channel.lookout:
            return  # whoever starts the channel begins it
        if running is None or running.done():
            self._lookouts[channel] = self._group.create_task(guarded(channel.lookout.run), name="atrains-lookout")
        else:
            channel.lookout.wake()

    def release(self, channel: Channel) -> None:
        """Leave a channel to another loop; takes effect when this one runs again, if it ever does."""
        if self.pid == os.getpid():  # a forked child must not touch its parent's loop
            self.call_soon(lambda: self._release(channel))

    def begin_uploads(self, channel: Channel) -> None:
        """Have a channel begin the uploads that it was given; from any thread."""
        self.call_soon(lambda: self._begin_uploads(channel))

    def _begin_uploads(self, channel: Channel) -> None:
        uploads = None if channel.outlet is None else channel.outlet.uploads
        if uploads is None or channel not in self._reporters or self._group is None:
            return  # whoever starts the channel begins them
        running = self._uploads.get(channel)
        if running is None or running.done():
            self._uploads[channel] = self._group.create_task(guarded(uploads.run), name="atrains-uploads")
        else:
            uploads.wake()

    def call_soon(self, call: Callable[[], None]) -> None:
        """Run a call on this loop; from any thread, and quietly too late when the loop was closed."""
        try:
            self.loop.call_soon_threadsafe(call)
        except RuntimeError:  # the loop was closed: what is in the journal is delivered by the next loop, at exit, or at the next start
            self.state = State.ORPHANED

    def _start(self, channel: Channel) -> None:
        self._reporters[channel] = None
        if self.state is State.RUNNING:
            self._spawn(channel)
        elif self.state is not State.STARTING:
            self.state = State.STARTING
            self._changed = asyncio.Event()
            self._host = self.loop.create_task(self._live(), name="atrains-host")
            self._host.add_done_callback(self._note_end)

    def _note_end(self, host: asyncio.Task[None]) -> None:
        """See to a host task that was cancelled before its first step, and so has noticed nothing: the loop is ending."""
        if self.state is State.STARTING and self._host is host:
            self._orphan()
            for channel in list(self._reporters):
                if channel.outlet is not None and channel.outlet.reporter.is_awaited:
                    self._start(channel)

    def _release(self, channel: Channel) -> None:
        for tasks in (self._reporters, self._uploads, self._monitors, self._lookouts):
            running = tasks.pop(channel, None)
            if running is not None:
                running.cancel()
        self._changed.set()

    def _spawn(self, channel: Channel) -> None:
        if self._group is not None and channel.outlet is not None:
            self._reporters[channel] = self._group.create_task(guarded(channel.outlet.reporter.run), name="atrains-reporter")
            self._recoveries[channel] = self._group.create_task(guarded(lambda: self._look_after(channel)), name="atrains-recovery")
            self._begin_uploads(channel)
            self._begin_watching(channel)
            self._begin_lookout(channel)

    async def _live(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                self.state, self._group = State.RUNNING, group
                for channel in list(self._reporters):
                    self._spawn(channel)
                while self._reporters:
                    await self._changed.wait()
                    self._changed.clear()
                # Nothing is awaited between the last look and this: whoever starts a channel from here on makes a host task of its own.
                self.state, self._group, self._host = State.IDLE, None, None
        except asyncio.CancelledError:
            # The loop is ending around us. Everything reported is on disk: try to deliver it still, and leave the rest to who comes next.
            self._orphan()
            await self._last_delivery()
            raise
        except BaseExceptionGroup:
            self._orphan()
            _log.exception("atrains: the background of this event loop failed; what is reported is kept in the journal")

    def _orphan(self) -> None:
        self.state, self._group, self._host = State.ORPHANED, None, None

    async def _last_delivery(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ORPHAN_BUDGET):
                for channel in self._reporters:
                    if channel.outlet is not None:
                        await channel.outlet.reporter.deliver_once()
        self._reporters.clear()
