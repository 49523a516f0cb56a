"""A channel: one target's way out of this process, made of a transport, a journal and a reporter. Opened and closed by a `Runtime`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from atrains._config import Settings
from atrains._engine.held import reentrant_lock
from atrains._engine.ledger import Counts, Receipt, Stats, UploadCounts
from atrains._engine.lookout import Looker, Lookout
from atrains._engine.outlet import Outlet
from atrains._engine.places import open_transport
from atrains._engine.process import WORKERS, process
from atrains._engine.stops import Stops
from atrains._transport.base import Transport
from atrains._wire import endpoints
from atrains._wire.edits import ParameterChanges
from atrains._wire.events import EventKind
from atrains.errors import HomeError, StorageError, TransportError

if TYPE_CHECKING:
    from atrains._engine.resources import ResourceMonitor
    from atrains._engine.runtime import Runtime
    from atrains._engine.upload import Handle, Upload
    from atrains._storage.registry import StorageRegistry
    from atrains._transport.client import HttpClient

T = TypeVar("T")
_log = logging.getLogger("atrains")

CHILD_DELAY: Final = 2.0
"""Seconds after its first report at which a forked child that still lives begins to deliver on its own."""


def names_of(uploads: Sequence[Handle], most: int = 5) -> str:
    """The names of uploads, for a line."""
    names = list(dict.fromkeys(repr(handle.upload.name) for handle in uploads))
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


class Channel:
    """What the tasks of one target share in this process.

    The transport is there from the beginning; journal and reporter only while a task reports, so that reading leaves no trace.

    Attributes:
        owner: The runtime whose loop delivers.
        aliases: The ids that tasks have at home, by those that they were begun under while the home was away.
        monitor: What watches the machine for one of these tasks.
        lookout: What is looked at every so often for these tasks.
        stops: Which of their runs are watched for being stopped from outside.
    """

    def __init__(self, settings: Settings, transport: Transport, owner: Runtime) -> None:
        self.settings = settings
        self.transport = transport
        self.owner = owner
        self.aliases: dict[str, str] = {}
        self._users: dict[str, int] = {}
        self._outlet: Outlet | None = None
        self.monitor: ResourceMonitor | None = None
        self.lookout = Lookout()
        self.stops = Stops(self)
        self._closing: set[asyncio.Task[None]] = set()
        self._web: HttpClient | None = None
        self._lock = reentrant_lock()

    @property
    def journals(self) -> Path:
        """The folder that this target's journals are made in, and those of other processes are found in."""
        return self.settings.journal.directory or self.settings.home.path / "journals"

    @property
    def outlet(self) -> Outlet | None:
        """Journal and reporter, while a task reports."""
        return self._outlet

    def open(self, task: str, runtime: Runtime | None) -> Outlet:
        """Count one more who reports to a task, and make journal and reporter for the first, delivered by `runtime`; from any thread.

        Raises:
            HomeError: the journal cannot be written.
        """
        with self._lock:
            if self._outlet is None:
                self.owner = runtime or self.owner
                self._outlet = Outlet(self)
                if self.owner.pid == os.getpid():
                    self.owner.start(self, self._outlet)
                else:
                    self.serve_child()
            self._users[task] = self._users.get(task, 0) + 1
            return self._outlet

    async def close(self, task: str, *, delivered: bool) -> None:
        """Count one less; after the last one of all, deliver what is left and let go of the journal.

        Args:
            task: To which he reported.
            delivered: Whether everything that was reported to the task was stored.
        """
        with self._lock:
            others = self._users.pop(task, 0) - 1
            if others > 0:
                self._users[task] = others
            outlet, is_last, owner = self._outlet, not self._users, self.owner
            if is_last:
                self._outlet = None
            elif others <= 0 and delivered and outlet is not None:
                outlet.forget(task)
        if is_last and outlet is not None:
            await self._let_go(outlet, owner)

    async def shut(self) -> None:
        """Deliver and let go of the journal although tasks still hold it: the process ends."""
        with self._lock:
            self._users.clear()
            outlet, self._outlet, owner = self._outlet, None, self.owner
        if outlet is not None:
            await self._let_go(outlet, owner)

    async def _let_go(self, outlet: Outlet, owner: Runtime) -> None:
        """Stop delivering, and close the journal. Goes on where the caller is cancelled: nobody else holds the outlet any more."""
        closing = asyncio.create_task(self._stop_and_close(outlet, owner), name="atrains-closing")
        self._closing.add(closing)  # a loop holds its tasks weakly
        closing.add_done_callback(self._closing.discard)
        await asyncio.shield(closing)

    async def _stop_and_close(self, outlet: Outlet, owner: Runtime) -> None:
        from atrains._engine.runtime import GoneError

        with contextlib.suppress(GoneError):  # with all that ran there
            await owner.run(lambda: owner.stop(outlet))
        await outlet.close()

    def wake(self) -> None:
        """Start a delivery soon; from any thread, at any time."""
        outlet = self._outlet
        # The loop of a forked child's parent is left alone: the two share the socket that wakes it.
        if outlet is not None and self.owner.pid == os.getpid():
            self.owner.call_soon(outlet.reporter.wake)

    async def flush(self, task: str | None, timeout: float | None, *, uploads: bool = False) -> Receipt:
        """Wait until everything reported so far is stored, from whichever loop; with `uploads` files as well; see `Receipt`."""
        begun = time.monotonic()

        def left() -> float | None:
            return None if timeout is None else max(0.0, begun + timeout - time.monotonic())

        outlet = self._outlet
        if outlet is None:
            return Receipt(Counts(), Counts(), Counts())
        error = await self._on_owner(lambda: outlet.reporter.flush(left()))
        if self.settings.journal.durability == "power" and outlet.is_written_here:
            # What was delivered is on the disk already; this is for what was not.
            try:
                await self.run(outlet.journal.sync)
            except OSError as failure:
                error = error or f"the journal cannot be written to the disk: {failure}"
        if undone := await self.finish_uploads(task, timeout=left(), events=None if uploads else True):
            error = error or f"not uploaded yet: {names_of(undone)}"
        counts = await outlet.counts(task)
        return Receipt(
            counts[EventKind.SCALARS],
            counts[EventKind.LOGS],
            counts[EventKind.PLOTS],
            error,
            outlet.outbox.refusals(task),
            UploadCounts() if outlet.uploads is None else outlet.uploads.counts(task),
            counts[EventKind.IMAGES],
        )

    async def upload(
        self, upload: Upload, progress: Callable[[int, int], object] | None = None, *, accepted: list[Handle] | None = None
    ) -> Handle:
        """Accept a file to be uploaded; once this returns it is in the journal. The task must report, so that there is one.

        Args:
            upload: What.
            progress: Called in a worker thread with the bytes that have gone and those in all.
            accepted: What is returned is put in there as well, for who is cancelled: what is in the journal is uploaded all the same.

        Raises:
            HomeError: the journal was closed.
        """
        outlet = self._outlet
        if outlet is None:
            raise HomeError(f"task {upload.task} was closed while {upload.name!r} was to be uploaded; upload it before close()")
        listener = None
        if progress is not None:
            from atrains._engine.progress import Listener

            listener = Listener(progress, WORKERS)
        taken = [] if accepted is None else accepted
        try:
            await self.run_to_end(lambda: taken.append(outlet.open_uploads().add(upload, listener)))
        except asyncio.CancelledError:
            self.owner.begin_uploads(self)  # but not here, where everything may be about to end
            raise
        self._inherit()
        self.owner.begin_uploads(self)
        return taken[-1]

    def begin_uploads(self) -> None:
        """Begin what was accepted to be uploaded, soon; from any thread. A forked child begins when it delivers."""
        if self.owner.pid == os.getpid():
            self.owner.begin_uploads(self)

    async def finish_uploads(
        self, task: str | None, *, timeout: float | None = None, stall: float | None = None, events: bool | None = None
    ) -> list[Handle]:
        """Wait until what was accepted so far, for a task or for all, is over; see `Uploads.wait`. Returns what is not."""
        uploads = None if self._outlet is None else self._outlet.uploads
        if uploads is None or not uploads.pending(task, events=events):
            return []
        from atrains._engine.progress import shown

        waited_for = uploads
        with shown(self.settings, lambda: waited_for.pending(task, events=events)):
            await self._on_owner(lambda: waited_for.wait(task, timeout=timeout, stall=stall, events=events))
        return uploads.pending(task, events=events)

    async def finish_upload(self, handle: Handle, *, patience: int | None = None) -> bool:
        """Wait for one upload, from whichever loop: whether it is stored.

        Args:
            handle: Which.
            patience: How often its home may be away before it is given up here; it goes on all the same.

        Raises:
            StorageError: it goes on elsewhere or later: its task was closed, it is of another process, its home stays away.
        """
        if handle.pid != os.getpid():
            raise StorageError(f"{handle.upload.name!r} is uploaded by the process that this one was forked from; wait for it there")
        waiting = asyncio.wrap_future(handle.future)
        while not waiting.done():
            self._inherit()  # the loop that uploads may end at any time
            if patience is not None and handle.tries >= patience:
                raise StorageError(
                    f"{handle.upload.name!r} of task {handle.upload.task} cannot be uploaded now ({handle.error}); "
                    "it is kept, and uploaded once its home can be reached"
                )
            await asyncio.wait({waiting}, timeout=0.1)
        return waiting.result()

    async def cancel_uploads(self, task: str, only: Handle | None = None) -> None:
        """Give up what is being uploaded for a task, or one of it, and wait until that is done."""
        uploads = None if self._outlet is None else self._outlet.uploads
        if uploads is None:
            return
        unwanted = [only] if only is not None else uploads.pending(task)
        for handle in unwanted:
            uploads.cancel(handle)
        self._inherit()
        self.owner.begin_uploads(self)
        for handle in unwanted:
            with contextlib.suppress(StorageError):  # it was let go of with its journal
                await self.finish_upload(handle)

    def change_parameters(self, task: str, changes: ParameterChanges) -> None:
        """Have parameters set or deleted with the next delivery; from any thread, without any I/O. A task that reports has an outlet."""
        outlet = self._outlet
        if outlet is not None:
            outlet.outbox.change(task, changes)

    async def send_edits(self, task: str) -> None:
        """Have such changes sent now, if there are any, so that what is done next is done after them."""
        outlet = self._outlet
        if outlet is not None and outlet.outbox.has_news(task):
            await self._on_owner(outlet.reporter.send_edits)

    async def stats(self, task: str | None) -> Stats:
        """How the reports of a task (or of all) stand right now."""
        outlet = self._outlet
        if outlet is None:
            return Stats(Counts(), Counts(), Counts(), signals_handled=process().signals_handled)
        counts = await outlet.counts(task)
        return Stats(
            counts[EventKind.SCALARS],
            counts[EventKind.LOGS],
            counts[EventKind.PLOTS],
            journal=outlet.journal.folder if outlet.is_written_here else None,
            in_memory=outlet.journal.in_memory,
            claimed=outlet.journal.scalars.claimed(),
            abandoned=outlet.reporter.abandoned,
            last_error=outlet.reporter.last_error,
            signals_handled=process().signals_handled,
            images=counts[EventKind.IMAGES],
        )

    def storages(self) -> StorageRegistry:
        """The storages of files, by the scheme of their URLs."""
        from atrains._storage.registry import default_registry

        return default_registry(self.run, connect=self._web_client, home=self.settings.home.path)

    async def aclose(self) -> None:
        """Close the connections, to the home and to file servers; a later call opens them again."""
        await self.transport.aclose()
        web = self._web
        if web is not None:
            await web.aclose()

    def _web_client(self) -> HttpClient:
        """The connections to file servers: those of the transport; on the local home their own, made when they are first needed."""
        from atrains._transport.client import HttpClient

        client = getattr(self.transport, "client", None)
        with self._lock:
            self._web = client if isinstance(client, HttpClient) else self._web or HttpClient(self.settings, workers=WORKERS)
            return self._web

    async def run(self, call: Callable[[], T]) -> T:
        """Run a call that blocks (files, databases) in a worker thread."""
        return await asyncio.get_running_loop().run_in_executor(WORKERS, call)

    async def run_to_end(self, call: Callable[[], T]) -> T:
        """Like `run`, for what needs its clean-up: who is cancelled waits until the call, which nothing can stop, has ended."""
        running = asyncio.get_running_loop().run_in_executor(WORKERS, call)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            while not running.done():
                with contextlib.suppress(asyncio.CancelledError):  # once more: by a loop that ends, after somebody else
                    await asyncio.wait({running})
            raise

    async def ping(self) -> None:
        """Tell a server that the tasks which this process reports to are alive. Server: one that is silent for two hours is stopped."""
        outlet = self._outlet
        if outlet is None or self.transport.keeps_spans:  # the local home knows by the journal's lock who is alive
            return
        for task in list(self._users):
            if not outlet.outbox.holds(task):
                with contextlib.suppress(TransportError):  # it hears from us once it is back
                    await self.transport.call(endpoints.TASKS_PING, {"task": self.aliases.get(task, task)})

    async def adopt(self, budget: float) -> None:
        """Deliver what other processes left in their journals, such as children that reported to our tasks and ended."""
        from atrains._engine.runtime import Runtime

        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(budget):
                await self._on_owner(lambda: Runtime.current().recover(self))

    def hold(self, task: str) -> None:
        """Note in the journal that it may hold something for a run of another process: nobody reuses the task before it is delivered."""
        outlet = self._outlet
        if outlet is not None:
            # Where there is no room for the note there is none for a report either.
            with contextlib.suppress(OSError):
                outlet.journal.finish_job(outlet.journal.add_job("guest", task, {}))

    @asynccontextmanager
    async def resetting(self, task: str) -> AsyncIterator[None]:
        """Forget what was reported to a task so far, while the home does so in the block: neither we nor a recovery deliver it again."""
        outlet = self._outlet
        if outlet is None or not outlet.is_written_here:
            yield
            return
        await self.cancel_uploads(task)
        before = await self.run(partial(outlet.reporter.note_reset, task))
        yield
        await self.run(partial(outlet.reporter.forget, task, before))

    def watch(self, monitor: ResourceMonitor) -> None:
        """Have the machine watched until the monitor is stopped; from any thread."""
        self.monitor = monitor
        self.owner.watch(self)

    def unwatch(self, task: str) -> None:
        """Have it watched for a task no more."""
        monitor = self.monitor
        if monitor is not None and monitor.task == task:
            monitor.stop()

    def look_out(self, looker: Looker, *, at_once: bool = True) -> None:
        """Have something looked at, now and every so often; from any thread. A forked child does so once it delivers."""
        self.lookout.add(looker, at_once=at_once)
        if self.owner.pid == os.getpid():
            self.owner.look_out(self)

    def look_no_more(self, looker: Looker) -> None:
        """Have it looked at no more."""
        self.lookout.remove(looker)

    async def look(self, look: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Look at something now, on the loop that delivers, from whichever loop."""
        await self._on_owner(look)

    def reset_in_child(self) -> None:
        """In a forked child: forget the parent's locks, its connection to the home, and its journal; the machine is watched there."""
        self._lock = reentrant_lock()
        self.monitor = None
        self.lookout = Lookout()
        self.stops = Stops(self)
        self.transport = open_transport(self.settings)
        self._web = None
        if self._outlet is not None:
            self._outlet.reset_in_child()

    def serve_child(self) -> None:
        """In a forked child that reported: deliver from here, if it lives for a while; else the parent takes over what it leaves."""
        for task in process().inherited_runs:
            self.hold(task)
        # At the end of the interpreter no thread can be started any more: what is in the journal is for the parent then.
        with contextlib.suppress(RuntimeError):
            threading.Thread(target=self._serve_child, name="atrains-child", daemon=True).start()

    def _serve_child(self) -> None:
        time.sleep(CHILD_DELAY)
        from atrains._engine.runtime import Runtime

        runtime = Runtime(asyncio.new_event_loop())
        runtime.loop.call_soon(lambda: self._hand_to(runtime) or runtime.loop.stop())
        runtime.loop.run_forever()
        runtime.loop.run_until_complete(runtime.loop.shutdown_asyncgens())
        runtime.loop.close()

    def _inherit(self) -> None:
        """If the loop that delivered is gone, let the running one go on with it."""
        if self.owner.is_gone:
            from atrains._engine.runtime import Runtime

            self._hand_to(Runtime.current())

    def _hand_to(self, runtime: Runtime) -> bool:
        """Let a runtime deliver in place of one that is gone; False when another one does already."""
        with self._lock:
            if not self.owner.is_gone:
                return False
            before, self.owner = self.owner, runtime
            if self._outlet is not None:
                before.release(self._outlet)
                runtime.start(self, self._outlet)
            return True

    async def _on_owner(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Await a coroutine on the loop that delivers, which is ours once the one that did is gone: then it is begun anew."""
        from atrains._engine.runtime import GoneError

        while True:
            self._inherit()
            try:
                return await self.owner.run(make)
            except GoneError:
                await asyncio.sleep(0)
