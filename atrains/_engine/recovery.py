"""Recovery: what processes that ended without closing left in their journals is delivered, and their runs get the status they deserve.

Runs beside a run, at its start, and in `atrains sync`. Any number of recoveries may run at once: a journal is taken over under its lock.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from atrains._engine import jobs, journals
from atrains._engine.dead import Damaged, DeadJournal
from atrains._engine.endings import UNCLOSED
from atrains._engine.jobs import Job
from atrains._engine.journals import Found, Left
from atrains._engine.ledger import Ledger
from atrains._engine.reader import JournalReader
from atrains._engine.sender import Sender, grouped
from atrains._engine.workers import run_in
from atrains._transport.base import Transport
from atrains._wire import endpoints
from atrains._wire.events import EventBlock, EventKind, RecordBlock
from atrains.errors import ServerError, StorageError
from atrains.types import TaskStatusEnum

if TYPE_CHECKING:
    from atrains._storage.registry import StorageRegistry

_CALLS: Final = {
    TaskStatusEnum.completed: endpoints.TASKS_COMPLETED,
    TaskStatusEnum.failed: endpoints.TASKS_FAILED,
    TaskStatusEnum.stopped: endpoints.TASKS_STOPPED,
    TaskStatusEnum.created: endpoints.TASKS_RESET,
}
_log = logging.getLogger("atrains")


@dataclass(slots=True, eq=False, repr=False)
class Recovered:
    """What a recovery did.

    Attributes:
        journals: The folders that were delivered and deleted.
        left: The folders that were left, with the reason.
        events: Events delivered, by kind; those that the home had already are not among them.
        refused: Events that the home does not take, because their task was deleted or published, by task.
        statuses: Tasks that got a final status, and which.
        damaged: What could not be read in the journals that were delivered.
        uploads: The names of files that were uploaded.
        failed_uploads: Why files never will be, by name.
    """

    journals: list[Path] = field(default_factory=list)
    left: list[Found] = field(default_factory=list)
    events: Counter[EventKind] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    statuses: dict[str, str] = field(default_factory=dict)
    damaged: list[Damaged] = field(default_factory=list)
    uploads: list[str] = field(default_factory=list)
    failed_uploads: dict[str, str] = field(default_factory=dict)


async def recover(
    parent: Path,
    transport: Transport,
    workers: Executor,
    aliases: Mapping[str, str] | None = None,
    *,
    storages: Callable[[], StorageRegistry] | None = None,
) -> Recovered:
    """Deliver every journal under `parent` that belongs to the transport's target and whose process is gone.

    A journal that cannot be delivered now is left where it is, for the next time; nothing is raised for one.

    Args:
        parent: The folder of the journals.
        transport: Where to.
        workers: Threads that read.
        aliases: The ids at home of tasks of this process, to which children that have ended may have reported under another id.
        storages: Gives the places that files go to; without it a journal with files to upload is left.

    Raises:
        HomeError: `parent` cannot be read.
    """
    outcome = Recovered()
    await run_in(workers, lambda: journals.sweep(parent))
    for found in await run_in(workers, lambda: journals.find(parent, transport.target)):
        if found.left is not None:
            outcome.left.append(found)
            continue
        try:
            journal = await _take(found, workers)
        except BlockingIOError:
            _leave(outcome, found, found.folder, Left.RUNNING, "its process is still running, or somebody else recovers it")
        except OSError as error:
            _leave(outcome, found, found.folder, Left.NOT_NOW, f"it cannot be taken over ({error})")
        except ValueError as error:
            _leave(outcome, found, found.folder, Left.DAMAGED, f"it cannot be read ({error})")
        else:
            if journal is not None:
                journal.aliases = {**(aliases or {}), **journal.aliases}
                await _recover_one(found, journal, transport, workers, outcome, storages)
    _tell(outcome)
    return outcome


async def _take(found: Found, workers: Executor) -> DeadJournal | None:
    taking = asyncio.get_running_loop().run_in_executor(workers, partial(journals.take, found))
    try:
        return await asyncio.shield(taking)
    except asyncio.CancelledError:
        taking.add_done_callback(_release_taken)  # it goes on in its thread, and nobody could ever take what it has locked
        raise


def _release_taken(taking: asyncio.Future[DeadJournal | None]) -> None:
    if not taking.cancelled() and taking.exception() is None and (journal := taking.result()) is not None:
        journal.release()


async def _recover_one(
    found: Found,
    journal: DeadJournal,
    transport: Transport,
    workers: Executor,
    outcome: Recovered,
    storages: Callable[[], StorageRegistry] | None,
) -> None:
    try:
        await _deliver(journal, transport, workers, outcome)
        await _deliver_files(journal, transport, workers, outcome, storages)
        await _end_runs(journal, transport, workers, outcome)
        await transport.sync()  # before the journal goes: what it held may have been on the disk there
        await run_in(workers, lambda: journals.remove(journal.folder))
    except Exception as error:  # whatever is wrong with this one, a disk, a home, a bug: it must not keep the others  # noqa: BLE001
        _leave(outcome, found, journal.folder, Left.NOT_NOW, f"it cannot be delivered now ({error})")
        if not isinstance(error, OSError):
            _log.exception("atrains: the journal %s cannot be delivered; it is kept", journal.folder)
    else:
        outcome.journals.append(found.folder)
        outcome.damaged += journal.damage
    finally:
        journal.release()


def _leave(outcome: Recovered, found: Found, folder: Path, left: Left, why: str) -> None:
    outcome.left.append(Found(folder, found.description, left, why))


async def _deliver(journal: DeadJournal, transport: Transport, workers: Executor, outcome: Recovered) -> None:
    for job in journal.jobs:
        if job.kind in jobs.TO_DO:
            await _carry_out(job, journal, transport, workers)
    stored = [*await transport.stored_spans(journal.id), *journal.forgotten()]
    sender = Sender(transport, journal, journal.aliases, workers=workers)
    reader = JournalReader(journal, Ledger(), stored, records=0 if transport.keeps_spans else journal.sent.noted.acknowledged)
    while True:
        before = reader.position
        for group in grouped(await run_in(workers, lambda: reader.read(large=True)), transport.batch_rows):
            await _deliver_group(group, sender, outcome)
        await run_in(workers, reader.advance)
        await sender.note_acknowledged(reader.position.records)
        if reader.position == before:
            break


async def _deliver_files(
    journal: DeadJournal,
    transport: Transport,
    workers: Executor,
    outcome: Recovered,
    storages: Callable[[], StorageRegistry] | None,
) -> None:
    """Upload what was to be uploaded, before the run ends: no home takes an artifact after that."""
    if any(job.kind == jobs.UPLOAD for job in journal.jobs):
        if storages is None:
            raise StorageError("it has files to upload, and there is no way to their places")
        from atrains._engine.left_uploads import deliver_uploads  # which few journals need

        delivered = await deliver_uploads(journal, transport, workers, storages())
        outcome.uploads += delivered.stored
        outcome.failed_uploads |= delivered.failed
        outcome.events[EventKind.IMAGES] += delivered.images


async def _end_runs(journal: DeadJournal, transport: Transport, workers: Executor, outcome: Recovered) -> None:
    last = {job.task: job for job in journal.jobs if job.kind in {"run", "status"}}
    for job in last.values():
        await _end_run(job, journal.aliases.get(job.task, job.task), transport, outcome)
    for job in journal.jobs:
        if job.kind not in jobs.TO_DO and job.kind != jobs.UPLOAD:
            await run_in(workers, partial(journal.mark_done, job))


async def _carry_out(job: Job, journal: DeadJournal, transport: Transport, workers: Executor) -> None:
    at_home = None
    try:
        at_home = await jobs.carry_out(job, transport, journal.aliases)
    except ServerError as error:
        if not jobs.is_refused(error):
            raise
        _log.warning("atrains: what was to be done for task %s while its home was away is refused: %s", job.task, error)
    await run_in(workers, partial(journal.mark_done, job, at_home))


async def _deliver_group(group: Sequence[EventBlock], sender: Sender, outcome: Recovered) -> None:
    refused = await sender.send(group)
    for block in group:
        refusal = refused.get(block.span)
        if refusal is not None:
            if block.task not in outcome.refused:
                _log.warning("atrains: events of task %s that its process had not delivered are dropped: %s", block.task, refusal.reason)
            outcome.refused[block.task] += refusal.count
        kind = block.kind if isinstance(block, RecordBlock) else EventKind.SCALARS
        outcome.events[kind] += len(block) - (0 if refusal is None else refusal.count)


async def _end_run(job: Job, task: str, transport: Transport, outcome: Recovered) -> None:
    """Give a run the final status that it was to get, or `failed`, if it has none yet and its task is still there."""
    answer = await transport.call(endpoints.TASKS_GET_ALL, {"id": [task], "only_fields": ["status"]})
    if not answer["tasks"] or answer["tasks"][0]["status"] != TaskStatusEnum.in_progress:
        return
    status = TaskStatusEnum(job.content["status"]) if job.kind == "status" else TaskStatusEnum.failed
    reason = str(job.content["status_reason"]) if job.kind == "status" else UNCLOSED
    try:
        await transport.call(_CALLS[status], {"task": task, "status_reason": reason})
    except ServerError as error:
        if error.code != 400:
            raise
        _log.warning("atrains: the status of task %s could not be set to %s: %s", task, status, error)
    else:
        outcome.statuses[task] = str(status)


def _tell(outcome: Recovered) -> None:
    if outcome.journals:
        events = ", ".join(f"{count} {kind}" for kind, count in sorted(outcome.events.items())) or "no events"
        statuses = ", ".join(f"{task} {status}" for task, status in outcome.statuses.items()) or "none"
        _log.info("atrains: recovered %d journals: %s; statuses set: %s", len(outcome.journals), events, statuses)
    for damaged in outcome.damaged:
        if not damaged.torn:  # a torn end is a call that had not returned
            _log.warning("atrains: %s, and left out; what stands before and behind was recovered", damaged)
