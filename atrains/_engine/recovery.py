"""Recovery: what processes that ended without closing left in their journals is delivered, and their runs get the status they deserve.

Runs beside a run, at its start, and in `atrains sync`. Any number of recoveries may run at once: a journal is taken over under its lock.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from atrains._engine import dead
from atrains._engine.dead import DeadJournal, Found, Job
from atrains._engine.endings import UNCLOSED
from atrains._engine.ledger import Ledger
from atrains._engine.reader import JournalReader
from atrains._transport.base import Transport
from atrains._wire import endpoints
from atrains._wire.events import EventBlock, EventKind, RecordBlock
from atrains.errors import HomeError, ServerError, TransportError
from atrains.types import TaskStatusEnum

T = TypeVar("T")

_CALLS: Final = {
    TaskStatusEnum.completed: endpoints.TASKS_COMPLETED,
    TaskStatusEnum.failed: endpoints.TASKS_FAILED,
    TaskStatusEnum.stopped: endpoints.TASKS_STOPPED,
}
_log = logging.getLogger("atrains")


@dataclass(slots=True)
class Recovered:
    """What a recovery did.

    Attributes:
        journals: The folders that were delivered and deleted.
        left: The folders that were left, with the reason.
        events: Events delivered, by kind; those that the home had already are not among them.
        refused: Events that the home does not take, because their task was deleted or published.
        statuses: Tasks that got a final status, and which.
    """

    journals: list[Path] = field(default_factory=list)
    left: list[Found] = field(default_factory=list)
    events: Counter[EventKind] = field(default_factory=Counter)
    refused: int = 0
    statuses: dict[str, str] = field(default_factory=dict)


async def recover(parent: Path, transport: Transport, workers: Executor) -> Recovered:
    """Deliver every journal under `parent` that belongs to the transport's target and whose process is gone.

    A journal that cannot be delivered now is left where it is, for the next time; nothing is raised for one.
    """
    outcome = Recovered()
    for found in await _in(workers, lambda: dead.find_journals(parent, transport.target)):
        if found.why_left:
            outcome.left.append(found)
            continue
        try:
            journal = await _in(workers, partial(dead.take, found.folder))
        except (OSError, ValueError) as error:
            outcome.left.append(Found(found.folder, found.description, f"it cannot be read ({error})"))
            continue
        if journal is None:
            outcome.left.append(Found(found.folder, found.description, "its process is still running"))
            continue
        try:
            await _deliver(journal, transport, workers, outcome)
        except (HomeError, TransportError) as error:
            outcome.left.append(Found(journal.folder, found.description, f"it cannot be delivered now ({error})"))
            await _in(workers, journal.release)
        except BaseException:  # cancelled, or a bug: the next recovery must be able to take it
            journal.release()
            raise
        else:
            outcome.journals.append(found.folder)
            await _in(workers, journal.delete)
    _tell(outcome)
    return outcome


async def _deliver(journal: DeadJournal, transport: Transport, workers: Executor, outcome: Recovered) -> None:
    stored = await transport.stored_spans(journal.id)
    reader = JournalReader(journal, Ledger(), stored)
    while True:
        before = reader.position
        for block in await _in(workers, lambda: reader.read(large=True)):
            await _deliver_block(block, transport, outcome)
        await _in(workers, reader.advance)
        if reader.position == before:
            break
    for job in journal.jobs:
        if job.kind == "status":
            await _end_run(job.task, TaskStatusEnum(job.content["status"]), str(job.content["status_reason"]), transport, outcome)
            await _in(workers, partial(journal.mark_done, job.number))
    for job in journal.jobs:
        if job.kind == "run" and not _has_status(journal, job):
            await _end_run(job.task, TaskStatusEnum.failed, UNCLOSED, transport, outcome)
            await _in(workers, partial(journal.mark_done, job.number))


def _has_status(journal: DeadJournal, run: Job) -> bool:
    return any(job.kind == "status" and job.task == run.task for job in journal.jobs)


async def _deliver_block(block: EventBlock, transport: Transport, outcome: Recovered) -> None:
    try:
        await transport.add_events(block)
    except ServerError as error:
        if error.code >= 500:
            raise
        outcome.refused += len(block)
    else:
        outcome.events[block.kind if isinstance(block, RecordBlock) else EventKind.SCALARS] += len(block)


async def _end_run(task: str, status: TaskStatusEnum, reason: str, transport: Transport, outcome: Recovered) -> None:
    """Give a run its final status, if it has none yet and its task is still there."""
    answer = await transport.call(endpoints.TASKS_GET_ALL, {"id": [task], "only_fields": ["status"]})
    if not answer["tasks"] or answer["tasks"][0]["status"] != TaskStatusEnum.in_progress:
        return
    try:
        await transport.call(_CALLS[status], {"task": task, "status_reason": reason})
    except ServerError as error:
        if error.code >= 500:
            raise
        _log.warning("atrains: the status of task %s could not be set to %s: %s", task, status, error)
    else:
        outcome.statuses[task] = str(status)


def _tell(outcome: Recovered) -> None:
    if outcome.journals:
        events = ", ".join(f"{count} {kind}" for kind, count in sorted(outcome.events.items())) or "no events"
        statuses = ", ".join(f"{task} {status}" for task, status in outcome.statuses.items()) or "none"
        _log.info("atrains: recovered %d journals: %s; statuses set: %s", len(outcome.journals), events, statuses)


async def _in(workers: Executor, call: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(workers, call)
