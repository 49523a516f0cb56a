"""The outbox: edits of tasks that wait for their home, in order. Each is a job in the journal, so that it survives a kill; see `jobs`."""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from collections.abc import Mapping
from typing import Any

from atrains._engine import jobs
from atrains._engine.jobs import Job
from atrains._engine.journal import Journal
from atrains._transport.base import Transport
from atrains._wire.endpoints import Endpoint
from atrains.errors import ServerError

_log = logging.getLogger("atrains")


class Outbox:
    """What is to be done at a home once it can be reached, of one journal.

    Args:
        journal: Where the jobs are noted.
        transport: Where they are to be done.
        aliases: The ids that tasks have at home, by those that they were reported under; extended when a task is made.
    """

    def __init__(self, journal: Journal, transport: Transport, aliases: dict[str, str]) -> None:
        self._journal = journal
        self._transport = transport
        self._aliases = aliases
        self._waiting: deque[Job] = deque()

    def holds(self, task: str) -> bool:
        """Whether something waits for a task: what is to be done after it has to wait as well."""
        return any(job.task == task for job in tuple(self._waiting))

    def is_to_be_made(self, task: str) -> bool:
        """Whether the home does not have the task yet."""
        return any(job.task == task and job.kind == jobs.CREATE for job in tuple(self._waiting))

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return not self._waiting

    def create(self, task: str, project: str, fields: Mapping[str, Any]) -> None:
        """Have a task made. Writes to the journal.

        Raises:
            HomeError: the journal was closed.
        """
        self._add(jobs.CREATE, task, {"project": project, "fields": dict(fields)})

    def call(self, task: str, endpoint: Endpoint, request: Mapping[str, Any]) -> None:
        """Have an edit made. Writes to the journal.

        Raises:
            HomeError: the journal was closed.
        """
        self._add(jobs.CALL, task, {"endpoint": endpoint.name, "request": dict(request)})

    def _add(self, kind: str, task: str, content: dict[str, Any]) -> None:
        self._waiting.append(Job(self._journal.add_job(kind, task, content), kind, task, content))

    async def deliver(self) -> None:
        """Do what waits, for each task in order. What the home refuses for good is said and dropped.

        An edit that fails in a way that may pass goes on waiting, and so does what comes after it for its task; nothing else is held up.

        Raises:
            TransportError: the home cannot be reached, or a task cannot be made now, whose events would be refused.
        """
        held_up: set[str] = set()
        not_made: ServerError | None = None
        for job in tuple(self._waiting):
            if job.task in held_up:
                continue
            try:
                made = await jobs.carry_out(job, self._transport, self._aliases)
            except ServerError as error:
                if not jobs.is_refused(error):
                    held_up.add(job.task)
                    not_made = error if job.kind == jobs.CREATE else not_made
                    continue
                _log.error("atrains: what was to be done for task %s while its home was away is refused: %s", job.task, error)
            else:
                if made is not None:
                    self._note_alias(job.task, made)
            # A mark that cannot be written costs a repetition at the next start, and jobs can be repeated.
            with contextlib.suppress(OSError):
                self._journal.finish_job(job.number)
            self._waiting.remove(job)
        if not_made is not None:
            raise not_made

    def _note_alias(self, task: str, at_home: str) -> None:
        self._aliases[task] = at_home
        with contextlib.suppress(OSError):  # as above
            self._journal.finish_job(self._journal.add_job(jobs.ALIAS, task, {"at_home": at_home}))
        _log.info("atrains: task %s is task %s at %s", task, at_home, self._transport.target)

    def forget_in_child(self) -> None:
        """In a forked child: leave to the parent what waits there."""
        self._waiting.clear()
