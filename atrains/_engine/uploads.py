"""The uploads of one journal: which goes next, how many at once, what happens while a home is away. The smallest go first.

Each is a job of the journal until its file is there and recorded, so that nothing that was accepted depends on this process. What is done
for one of them is in `carrying`, its record in `upload_records`; those of dead processes are delivered by `recovery`.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from atrains._engine import jobs
from atrains._engine.carrying import carry, clear_away
from atrains._engine.guards import guarded
from atrains._engine.held import reentrant_lock
from atrains._engine.image_records import ImageAccount
from atrains._engine.journal import Journal
from atrains._engine.ledger import UploadCounts
from atrains._engine.upload import Handle, Upload
from atrains._engine.upload_records import RECORDERS, Carried
from atrains._engine.workers import run_in
from atrains._storage.base import UnreachableError
from atrains._transport.base import Transport
from atrains.errors import HomeError, ServerError, StorageError, TransportError
from atrains.types import UploadState

if TYPE_CHECKING:
    from atrains._storage.base import StoredFile
    from atrains._storage.registry import StorageRegistry

_FIRST_PAUSE: Final = 0.5
"""Seconds until a place that was away is tried again; doubled each time, up to what the transport says."""
_DISK_WORKERS: Final = 2
"""Files copied on this machine at once: each holds a worker thread, and there are four for everything."""
_BATCH: Final = 500
"""Uploads recorded by one call at most."""
_LOOK: Final = 0.25
"""Seconds between two looks at how far uploads are."""
_log = logging.getLogger("atrains")


@dataclass(slots=True)
class _Gate:
    """A place that is away: how often it was in a row, and until when nobody asks it."""

    failures: int
    until: float


class Uploads:
    """What is to be uploaded, of one journal. `run` belongs to one loop; `add`, `cancel` and what is read may be called from any thread.

    Args:
        journal: Where they are noted.
        transport: Where they are recorded.
        aliases: The ids that tasks have at home, by those that they are reported under.
        workers: Threads that read files and write to the journal.
        limit: How many at once.
        storages: Gives the places that files go to.
        is_to_be_made: Whether the home does not have a task yet, so that nothing can be recorded for it.
        images: Keeps account of the images among them.
    """

    def __init__(
        self,
        journal: Journal,
        transport: Transport,
        aliases: dict[str, str],
        *,
        workers: Executor,
        limit: int,
        storages: Callable[[], StorageRegistry],
        is_to_be_made: Callable[[str], bool] = lambda _: False,
        images: ImageAccount,
    ) -> None:
        self._journal = journal
        self._transport = transport
        self._aliases = aliases
        self._workers = workers
        self._limit = limit
        self._storages = storages()
        self._is_to_be_made = is_to_be_made
        self.images = images
        self._lock = reentrant_lock()
        self._incoming: deque[Handle] = deque()
        self._unwanted: deque[Handle] = deque()
        self._open: dict[str, dict[int, Handle]] = {}
        self._stored: Counter[str] = Counter()
        self._failed: dict[str, dict[str, str]] = {}
        self._queues: dict[str, list[tuple[int, int, int, Handle]]] = {}
        self._gates: dict[str, _Gate] = {}
        self._latest: dict[str, Handle] = {}
        self._busy: dict[str, Handle] = {}
        self._deferred: dict[str, deque[Handle]] = {}
        self._followers: dict[str, list[Handle]] = {}
        self._running: dict[Handle, asyncio.Task[None]] = {}
        self._carried: deque[tuple[Carried, Handle]] = deque()
        self._recording: list[tuple[Carried, Handle]] = []
        self._begun: set[asyncio.Task[None]] = set()
        self._turn = 0
        self._recorder: asyncio.Task[None] | None = None
        self._waiting: set[asyncio.Future[None]] = set()
        self._wake = asyncio.Event()

    # ---- from any thread

    def add(self, upload: Upload, listener: Callable[[int, int], None] | None = None) -> Handle:
        """Accept an upload: from here on it is in the journal. Writes to it. `wake` has it begun.

        Args:
            upload: What.
            listener: Told the bytes that have gone, and those in all, in a worker thread.

        Raises:
            HomeError: the journal was closed.
        """
        with self._lock:  # in the order of their numbers, which is that of a recovery
            number = self._journal.add_job(jobs.UPLOAD, upload.task, upload.content())
            handle = Handle(upload.numbered(number), listener)
            self._open.setdefault(upload.task, {})[number] = handle
            if upload.is_event:
                self.images.accept(upload)
            self._incoming.append(handle)
        return handle

    def cancel(self, handle: Handle) -> None:
        """Give up an upload, unless its bytes are there already; `wake` has it done."""
        handle.is_unwanted = handle.is_unwanted or UploadState.cancelled
        self._unwanted.append(handle)

    def pending(self, task: str | None, *, events: bool | None = None) -> list[Handle]:
        """What is not over yet, of a task or of all; with `events` only what is reported (images), or only what is not."""
        with self._lock:
            handles = [handle for of, handles in self._open.items() if task in {None, of} for handle in handles.values()]
        return handles if events is None else [handle for handle in handles if handle.upload.is_event is events]

    def counts(self, task: str | None) -> UploadCounts:
        """How those of a task, or all, stand; images are counted as the events that they are."""
        with self._lock:
            pending = tuple(handle.upload.name for handle in self.pending(task, events=False))
            failed = {name: why for of, names in self._failed.items() if task in {None, of} for name, why in names.items()}
            stored = sum(self._stored.values()) if task is None else self._stored[task]
        return UploadCounts(stored, pending, failed)

    def forget(self, task: str) -> None:
        """Keep nothing of a task that is closed."""
        with self._lock:
            self._stored.pop(task, None)
            self._failed.pop(task, None)
        self.images.forget(task)

    def abandon(self) -> None:
        """The journal is let go of: tell who waits that what is left is up to the next start."""
        for handle in self.pending(None):
            handle.abandon(
                StorageError(
                    f"{handle.upload.name!r} of task {handle.upload.task} was not stored before its task was closed; "
                    f"it is kept in {self._journal.folder}, and stored at the next start"
                )
            )

    # ---- on the loop that delivers

    def wake(self) -> None:
        """Begin what was added, soon."""
        self._wake.set()

    async def wait(self, task: str | None, *, timeout: float | None = None, stall: float | None = None, events: bool | None = None) -> bool:
        """Wait until what was added for a task, or for all, is over; on the loop of `run`.

        Args:
            task: The task, or None.
            timeout: Seconds at most; None for ever.
            stall: Seconds without any progress after which it is given up; None for ever.
            events: As for `pending`.

        Returns:
            Whether all of it is over.
        """
        loop = asyncio.get_running_loop()
        left = self.pending(task, events=events)
        begun = moved = looked = loop.time()
        before: tuple[int, int] | None = None
        self.wake()
        while True:
            while left and left[-1].is_over:  # not all of them at each change: of thousands that would hold the loop
                left.pop()
            if not left:
                return True
            now = loop.time()
            if stall is not None and (before is None or now - looked >= _LOOK):
                looked, progress = now, (sum(handle.is_over for handle in left), sum(handle.sent for handle in left))
                moved, before = (moved, before) if progress == before else (now, progress)
            if (timeout is not None and now - begun >= timeout) or (stall is not None and now - moved >= stall):
                return False
            change = loop.create_future()
            self._waiting.add(change)
            # Whoever waits for ever looks as well: it may go on on another loop, of which nothing is told here.
            await asyncio.wait({change}, timeout=_LOOK if timeout is None else min(_LOOK, begun + timeout - now))
            self._waiting.discard(change)

    async def run(self) -> None:
        """Upload until cancelled; what is not over then goes on where `run` is called next, or at the next start.

        It may be called on another loop before it has ended on one that stands still: that touches nothing any more, whenever it goes on.
        """
        self._turn = turn = self._turn + 1
        self._wake = asyncio.Event()
        self._begun = begun = set[asyncio.Task[None]]()
        self._take_back()
        try:
            while self._turn == turn:
                self._take_in()
                self._begin_what_can()
                await self._rest()
        finally:
            for other in list(begun):
                other.cancel()
            if begun:
                await asyncio.wait(list(begun))
            if self._turn == turn:
                self._take_back()

    def _take_back(self) -> None:
        """Put in the queue again what a loop had begun that ends, or stands still for ever.

        Who is cancelled before the first step does nothing at all, and does not put it back itself.
        """
        begun = {*self._running, *(handle for handle in self.pending(None) if handle.state is UploadState.uploading)}
        self._running.clear()
        for handle in begun:
            self._put_back(handle)
        self._take_back_records()
        self._recorder = None
        self._unwanted.extend(handle for handle in self.pending(None) if handle.is_unwanted and handle not in self._unwanted)

    def _take_back_records(self) -> None:
        recording, self._recording = self._recording, []
        self._carried.extendleft(reversed([item for item in recording if not item[1].is_over]))

    async def _run(self, work: Callable[[], Any]) -> Any:
        return await run_in(self._workers, work)

    async def _rest(self) -> None:
        now, wake = asyncio.get_running_loop().time(), self._wake
        due = [gate.until for place, gate in self._gates.items() if self._queues.get(place) and gate.until > now]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(due) - now if due else None):
                await wake.wait()
        wake.clear()

    def _take_in(self) -> None:
        """Sort in what was added, and give up what is not wanted any more."""
        while self._incoming:
            handle = self._incoming.popleft()
            identity = handle.identity
            earlier = self._latest.get(identity)
            if earlier is not None and earlier.upload.is_event:
                self._follow(earlier)
            elif earlier is not None and not earlier.is_over and earlier.state is not UploadState.recording:
                earlier.is_unwanted = UploadState.replaced
                self._unwanted.append(earlier)
            self._latest[identity] = handle
            self._put_in_queue(handle)
        while self._unwanted:
            handle = self._unwanted.popleft()
            running, is_replaced = self._running.get(handle), handle.is_unwanted is UploadState.replaced
            # Where all of it is with the server, that might store it after what takes its place, which is to wait then.
            if running is not None and (not is_replaced or handle.sent < handle.upload.size):
                running.cancel()
            elif handle.state is UploadState.queued and not handle.is_over:
                self._begin(partial(self._drop, handle))

    def _follow(self, earlier: Handle) -> None:
        """Upload only the latest of the images that have one file name; the events of the others are recorded once it is there."""
        if earlier.state is UploadState.queued and not earlier.is_over and not earlier.is_follower:
            earlier.is_follower = True
            self._followers.setdefault(earlier.identity, []).append(earlier)
            self.images.free(earlier.upload)
            self._begin(partial(self._run, partial(clear_away, earlier.upload, is_stored=False, begun=0.0)))

    def _put_in_queue(self, handle: Handle) -> None:
        upload = handle.upload
        rank = handle.returns, upload.size, upload.number  # one that its place never takes must not keep all larger ones back
        heapq.heappush(self._queues.setdefault(upload.place, []), (*rank, handle))

    def _begin_what_can(self) -> None:
        while len(self._running) < self._limit and (handle := self._next()) is not None:
            self._busy[handle.identity] = handle
            self._running[handle] = self._begin(partial(self._carry, handle))
        if self._carried and self._recorder is None:
            self._recorder = self._begin(partial(self._record, self._turn), "atrains-upload-records")

    def _next(self) -> Handle | None:
        """The smallest that can begin, taken out of its queue."""
        now, at = asyncio.get_running_loop().time(), Counter(handle.upload.place for handle in self._running)
        while True:
            heads = [queue for place, queue in self._queues.items() if queue and self._is_open(place, at[place], now)]
            if not heads:
                return None
            handle = heapq.heappop(min(heads, key=lambda queue: queue[0][:3]))[3]
            if handle.is_over or handle.is_unwanted or handle.is_follower:
                continue
            if handle.identity not in self._busy:
                return handle
            self._deferred.setdefault(handle.identity, deque()).append(handle)

    def _is_open(self, place: str, running: int, now: float) -> bool:
        """Whether one more may go to a place; one that was away is tried by one alone."""
        gate = self._gates.get(place)
        if gate is not None:
            return gate.until <= now and not running
        return place.startswith("http") or running < _DISK_WORKERS

    async def _carry(self, handle: Handle) -> None:
        task = asyncio.current_task()
        if self._running.get(handle) is not task:  # another loop goes on with it, as below
            return
        handle.state, handle.error, handle.begun = UploadState.uploading, None, time.time()
        stored, failure = None, None
        try:
            try:
                stored = await carry(handle.upload, self._storages, handle.note)
            except asyncio.CancelledError:
                if self._running.get(handle) is not task:
                    raise
                if handle.is_unwanted is None:  # the loop is ending
                    self._put_back(handle)
                    raise
                await self._drop(handle)
                return
            except Exception as error:  # a file that cannot be stored, or a bug: said and recorded, and no reason for others to wait  # noqa: BLE001
                failure = error
            if self._running.get(handle) is task:
                self._note_carried(handle, stored, failure)
        finally:
            if self._running.get(handle) is task:
                del self._running[handle]
                self._wake.set()

    def _note_carried(self, handle: Handle, stored: StoredFile | None, failure: Exception | None) -> None:
        upload = handle.upload
        if isinstance(failure, UnreachableError):
            self._note_away(handle, failure)
            self._put_back(handle)
            return
        if failure is None:
            self._gates.pop(upload.place, None)
        elif not isinstance(failure, StorageError):
            _log.error("atrains: the upload of %r failed", upload.name, exc_info=failure)
        self._arrive(handle, Carried(upload, stored, None if failure is None else str(failure) or type(failure).__name__))

    def _put_back(self, handle: Handle) -> None:
        handle.state, handle.sent = UploadState.queued, 0
        self._busy.pop(handle.identity, None)
        if handle.is_unwanted:
            self._unwanted.append(handle)
        self._put_in_queue(handle)
        if handle.upload.is_event and self._latest.get(handle.identity, handle) is not handle:
            self._follow(handle)
        self._let_next(handle.identity)

    def _let_next(self, identity: str) -> None:
        for handle in self._deferred.pop(identity, ()):
            self._put_in_queue(handle)

    def _arrive(self, handle: Handle, carried: Carried) -> None:
        followers = self._followers.pop(handle.identity, ())
        for arrived in (*(each for each in followers if not each.is_over and not each.is_unwanted), handle):
            arrived.state = UploadState.recording
            self._carried.append((replace(carried, upload=arrived.upload), arrived))

    def _note_away(self, handle: Handle, error: Exception) -> None:
        place = handle.upload.place
        gate, now = self._gates.get(place), asyncio.get_running_loop().time()
        failures = gate.failures if gate else 0
        pause = min(self._transport.retry_interval, _FIRST_PAUSE * 2 ** min(failures, 8))
        # Who waits for one behind it is told as well; of those that were on their way together once.
        behind = self._queues.get(place, ()) if gate is None or gate.until <= now else ()
        self._gates[place], handle.returns = _Gate(failures + 1, now + pause), handle.returns + 1
        for each in (handle, *(queued for *_, queued in behind)):
            each.tries, each.error = each.tries + 1, str(error)
        if gate is None:
            _log.warning("atrains: cannot upload now (%s); what is to be uploaded is kept in %s", error, self._journal.folder)

    # ---- recording, and the end of an upload

    async def _record(self, turn: int) -> None:
        """Record what was carried, many by one call, for as long as there is something."""
        failures = 0
        try:
            while self._carried and self._turn == turn:
                self._recording = [self._carried.popleft() for _ in range(min(_BATCH, len(self._carried)))]
                held = await self._record_batch(self._recording)
                if self._turn == turn:
                    self._take_back_records()
                failures = failures + 1 if held else 0
                if held:
                    await asyncio.sleep(min(self._transport.retry_interval, _FIRST_PAUSE * 2 ** min(failures - 1, 8)))
        finally:  # cancelled: whatever is not over is recorded again, which does no harm
            if self._turn == turn:
                self._take_back_records()
                self._recorder = None
                self._wake.set()

    async def _record_batch(self, batch: list[tuple[Carried, Handle]]) -> bool:
        """Record some uploads; whether some of them cannot be recorded now."""
        groups: dict[tuple[str, str], list[tuple[Carried, Handle]]] = {}
        for item in batch:
            groups.setdefault((item[0].upload.task, item[0].upload.kind), []).append(item)
        held = False
        for (task, kind), items in groups.items():
            try:
                if self._is_to_be_made(task):
                    raise TransportError(f"task {task} is not made yet")
                await self._record_group(task, kind, items)
            except Exception as error:  # its home is away; or a bug, or an answer that nobody foresaw: kept, and said  # noqa: BLE001
                if not isinstance(error, TransportError | HomeError) and not items[0][1].tries:
                    _log.error("atrains: %r could not be recorded", items[0][1].upload.name, exc_info=error)
                held = True
                for _, handle in items:
                    handle.error, handle.tries = str(error) or type(error).__name__, handle.tries + 1
        return held

    async def _record_group(self, task: str, kind: str, items: list[tuple[Carried, Handle]]) -> None:
        try:
            entries = await RECORDERS[kind](self._transport, self._aliases.get(task, task), [carried for carried, _ in items])
        except ServerError as error:
            if not jobs.is_refused(error):
                raise
            if len(items) > 1:  # one of them: each by itself
                for item in items:
                    await self._record_group(task, kind, [item])
                return
            carried, handle = items[0]
            reason = carried.failure or f"its home refuses to record it: {error}"
            await self._run(partial(self._close, [handle], {}))
            self._settle(handle, UploadState.failed, error=reason)
            return
        stored = {handle for carried, handle in items if carried.failure is None}
        await self._run(partial(self._close, [handle for _, handle in items], stored))
        for (carried, handle), entry in zip(items, entries, strict=True):
            self._settle(handle, UploadState.failed if carried.failure else UploadState.stored, error=carried.failure, entry=entry)

    def _close(self, handles: list[Handle], stored: Any) -> None:
        """Mark jobs as done, and then remove what is not needed any more. Blocks."""
        for handle in handles:
            # A mark that cannot be written costs a repetition at the next start, and uploads can be repeated.
            with contextlib.suppress(OSError):
                self._journal.finish_job(handle.upload.number)
            clear_away(handle.upload, is_stored=handle in stored, begun=handle.begun)

    async def _drop(self, handle: Handle) -> None:
        await self._run(partial(self._close, [handle], ()))
        self._settle(handle, handle.is_unwanted or UploadState.cancelled, error=f"it was {handle.is_unwanted}")

    def _settle(self, handle: Handle, state: UploadState, *, error: str | None = None, entry: Any = None) -> None:
        if handle.is_over:
            return
        upload, identity = handle.upload, handle.identity
        with self._lock:
            (handles := self._open.get(upload.task, {})).pop(upload.number, None)
            if not handles:
                self._open.pop(upload.task, None)
            if upload.is_event:
                self.images.settle(upload, state, error)
                if not handle.is_follower:
                    self.images.free(upload)
            elif state is UploadState.stored:
                self._stored[upload.task] += 1
                self._failed.get(upload.task, {}).pop(upload.name, None)
            elif state is UploadState.failed:
                self._failed.setdefault(upload.task, {})[upload.name] = str(error)
        if self._latest.get(identity) is handle:
            del self._latest[identity]
        if self._busy.get(identity) is handle:
            del self._busy[identity]
        self._let_next(identity)
        handle.settle(state, error=error, entry=entry)
        if state is UploadState.failed and not upload.is_event:
            _log.error("atrains: %r of task %s could not be stored: %s", upload.name, upload.task, error)
        waiting, self._waiting = self._waiting, set()
        for future in waiting:
            if not future.done() and future.get_loop() is asyncio.get_running_loop():
                future.set_result(None)

    def _begin(self, work: Callable[[], Coroutine[Any, Any, None]], name: str = "atrains-upload") -> asyncio.Task[None]:
        begun, task = self._begun, asyncio.create_task(guarded(work), name=name)
        begun.add(task)
        task.add_done_callback(begun.discard)
        return task
