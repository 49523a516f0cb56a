"""The uploads that a dead process left in its journal, carried out for a recovery."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias

from atrains._engine import jobs
from atrains._engine.carrying import carry, clear_away
from atrains._engine.upload import Upload, from_job
from atrains._engine.upload_records import RECORDERS, Carried
from atrains._engine.workers import run_in
from atrains._storage.base import UnreachableError
from atrains._transport.base import Transport
from atrains.errors import ServerError, StorageError

if TYPE_CHECKING:
    from atrains._engine.dead import DeadJournal
    from atrains._engine.jobs import Job
    from atrains._storage.registry import StorageRegistry

_AT_ONCE: Final = 4
_BATCH: Final = 100
_log = logging.getLogger("atrains")


@dataclass(slots=True)
class Delivered:
    """What became of the uploads of a dead process.

    Attributes:
        stored: The names of what was stored, but for images.
        images: How many images were.
        failed: Why the others never will be, by name.
    """

    stored: list[str] = field(default_factory=list)
    images: int = 0
    failed: dict[str, str] = field(default_factory=dict)


async def deliver_uploads(journal: DeadJournal, transport: Transport, workers: Executor, storages: StorageRegistry) -> Delivered:
    """Store what was to be uploaded, the smallest first, and record it.

    Raises:
        UnreachableError: some of it cannot be stored now.
        TransportError: it cannot be recorded now.
    """
    delivered = Delivered()
    items, replaced, followers = _left_in(journal)
    for job in replaced:
        await run_in(workers, partial(journal.mark_done, job))
    unreachable: UnreachableError | None = None
    begun = time.time()
    for begin in range(0, len(items), _BATCH):
        batch = items[begin : begin + _BATCH]
        limit = asyncio.Semaphore(_AT_ONCE)

        async def one(upload: Upload, limit: asyncio.Semaphore = limit) -> Carried | UnreachableError:
            async with limit:
                try:
                    return Carried(upload, await carry(upload, storages))
                except UnreachableError as error:
                    return error
                except StorageError as error:
                    return Carried(upload, None, str(error))

        outcomes = await asyncio.gather(*(one(upload) for _, upload in batch))
        arrived: list[tuple[Job, Carried]] = []
        for (job, _), outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, UnreachableError):
                unreachable = outcome
            else:
                behind = followers.get(job.number, ())
                arrived += [(other, Carried(upload, outcome.stored, outcome.failure)) for other, upload in behind]
                arrived.append((job, outcome))
        await _record(arrived, journal, transport, workers, delivered, begun)
        if unreachable is not None and not arrived:  # nothing gets through
            break
    if unreachable is not None:
        raise unreachable
    return delivered


_Item: TypeAlias = "tuple[Job, Upload]"


def _left_in(journal: DeadJournal) -> tuple[list[_Item], list[Job], Mapping[int, list[_Item]]]:
    """What is to be uploaded, the smallest first, and what a later upload has taken the place of.

    Of images that is only the file: their events follow the upload that brings it, and stand under the number of its job.
    """
    left: dict[str, _Item] = {}
    replaced: list[Job] = []
    followers: dict[int, list[_Item]] = {}
    for job in journal.jobs:
        if job.kind == jobs.UPLOAD:
            upload = from_job(job, journal.folder)
            earlier = left.pop(upload.identity or upload.url, None)
            if earlier is not None and upload.is_event:
                followers[job.number] = [*followers.pop(earlier[0].number, []), earlier]
            elif earlier is not None:
                replaced.append(earlier[0])
            left[upload.identity or upload.url] = (job, upload)
    return sorted(left.values(), key=lambda item: item[1].size), replaced, followers


async def _record(
    arrived: list[tuple[Job, Carried]],
    journal: DeadJournal,
    transport: Transport,
    workers: Executor,
    delivered: Delivered,
    begun: float,
) -> None:
    groups: dict[tuple[str, str], list[tuple[Job, Carried]]] = {}
    for item in arrived:
        groups.setdefault((item[1].upload.task, item[1].upload.kind), []).append(item)
    for (task, kind), items in groups.items():
        refused = await _record_group(kind, transport, journal.aliases.get(task, task), [carried for _, carried in items])
        for job, carried in items:
            name, reason = carried.upload.name, carried.failure or refused.get(job.number)
            await run_in(workers, partial(journal.mark_done, job))
            await run_in(workers, partial(clear_away, carried.upload, is_stored=reason is None, begun=begun))
            if reason is None and carried.upload.is_event:
                delivered.images += 1
            elif reason is None:
                delivered.stored.append(name)
            else:
                delivered.failed[name] = reason
                _log.error("atrains: %r of task %s could not be stored: %s", name, task, reason)


async def _record_group(kind: str, transport: Transport, task: str, carried: list[Carried]) -> Mapping[int, str]:
    """Record uploads of a task; returns why the home refuses some, by the number of the job."""
    try:
        await RECORDERS[kind](transport, task, carried)
    except ServerError as error:
        if not jobs.is_refused(error):
            raise
        if len(carried) == 1:
            return {carried[0].upload.number: f"its home refuses to record it: {error}"}
        refused: dict[int, str] = {}
        for item in carried:
            refused |= await _record_group(kind, transport, task, [item])
        return refused
    return {}
