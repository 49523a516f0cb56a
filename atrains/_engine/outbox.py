"""The outbox: edits of tasks that wait for their home, in order. Each is a job in the journal, so that it survives a kill; see `jobs`.

An edit waits because its home is away, or, a change of a connected parameter, because nobody waits for it: such changes are gathered, and
sent with the reporter's next pass.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Executor
from typing import Any, Final

from atrains._engine import jobs
from atrains._engine.held import reentrant_lock
from atrains._engine.jobs import Job
from atrains._engine.journal import Journal
from atrains._transport.base import Transport
from atrains._wire.edits import ParameterChanges
from atrains._wire.endpoints import Endpoint
from atrains.errors import HomeError, ServerError, TransportError

_log = logging.getLogger("atrains")

_NOTES: Final = 100
"""Notes in the journal between two deliveries that are made at once; a loop that changes a parameter without end gets no more of them."""
_NOTE_PERIOD: Final = 2.0
"""Seconds between two notes beyond that."""
_REFUSALS: Final = 20
"""Refusals of a task that are remembered."""


class Outbox:
    """What is to be done at a home once it can be reached, of one journal.

    Args:
        journal: Where the jobs are noted.
        transport: Where they are to be done.
        aliases: The ids that tasks have at home, by those that they were reported under; extended when a task is made.
        workers: Threads that note in the journal which parameters change.

    Attributes:
        is_away: Whether the home could not be reached at the last try.
    """

    def __init__(self, journal: Journal, transport: Transport, aliases: dict[str, str], workers: Executor) -> None:
        self._journal = journal
        self._transport = transport
        self._aliases = aliases
        # A forked child may leave by `os._exit` at any moment, and with it its threads: it notes what changes where it changes.
        self._workers = workers if journal.pid == os.getpid() else None
        self._waiting: deque[Job] = deque()
        self._news: set[int] = set()
        self._changes: dict[str, dict[tuple[str, str], Mapping[str, str] | None]] = {}
        self._being_noted: frozenset[str] = frozenset()
        self._refused: dict[str, deque[str]] = {}
        self.is_away = False
        self._notes_left, self._noted_at = _NOTES, 0.0
        self._note_is_due = False
        self._lock = reentrant_lock()
        self._noting = reentrant_lock()

    def holds(self, task: str) -> bool:
        """Whether something waits for a task because its home was away: what is to be done after it has to wait as well."""
        with self._lock:
            return any(job.task == task and job.number not in self._news for job in self._waiting)

    def has_news(self, task: str) -> bool:
        """Whether parameters of a task were changed that nobody has tried to send yet: what is to be done after that has to see to it."""
        with self._lock:
            return (
                task in self._changes
                or task in self._being_noted
                or any(job.task == task and job.number in self._news for job in self._waiting)
            )

    def is_to_be_made(self, task: str) -> bool:
        """Whether the home does not have the task yet."""
        with self._lock:
            return any(job.task == task and job.kind == jobs.CREATE for job in self._waiting)

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits."""
        with self._lock:
            return not (self._waiting or self._changes or self._being_noted)

    def create(self, task: str, project: str, fields: Mapping[str, Any]) -> None:
        """Have a task made. Writes to the journal.

        Raises:
            HomeError: the journal was closed.
        """
        self._add(jobs.CREATE, task, {"project": project, "fields": dict(fields)})

    def call(self, task: str, endpoint: Endpoint, request: Mapping[str, Any], *, soon: bool = False) -> None:
        """Have an edit made. Writes to the journal.

        Args:
            task: The task.
            endpoint: The call.
            request: Its fields, without the task.
            soon: Nobody waits for it: it is sent with the next delivery, and what comes after it sees to that.

        Raises:
            HomeError: the journal was closed.
        """
        self._add(jobs.CALL, task, {"endpoint": endpoint.name, "request": dict(request)}, is_news=soon and not self.is_away)

    def change(self, task: str, changes: ParameterChanges) -> None:
        """Have parameters of a task set or deleted, soon; from any thread. Does no I/O: a worker thread notes it in the journal."""
        with self._lock:
            gathered = self._changes.setdefault(task, {})
            for key in changes:
                gathered.pop(key, None)  # the last change of a parameter comes last
            gathered.update(changes)
            if self._note_is_due:
                return  # which takes this one along
            now = time.monotonic()
            if self._notes_left <= 0 and now - self._noted_at < _NOTE_PERIOD:
                return  # the next change after that, or the next pass, notes this one
            self._notes_left, self._noted_at = self._notes_left - 1, now
            self._note_is_due = True
        if self._workers is not None:
            with contextlib.suppress(RuntimeError):  # the threads were shut down, at exit
                self._workers.submit(self._note_quietly)
                return
        self._note_quietly()

    def note_changes(self) -> None:
        """Put the parameters that changed into the journal, as one job a task. Blocks; for worker threads.

        A job that still waits is taken into the new one, so that a parameter which changes all day while its home is away is one job.

        Raises:
            HomeError: the journal was closed.
        """
        with self._noting:
            with self._lock:
                self._note_is_due = False
                gathered, self._changes = self._changes, {}
                self._being_noted = frozenset(gathered)
            try:
                for task, changes in gathered.items():
                    self._note(task, changes)
            finally:
                self._being_noted = frozenset()

    def _note(self, task: str, changes: ParameterChanges) -> None:
        last = self._last_of(task)
        held = jobs.changes_of(last) if last is not None and last.kind == jobs.PARAMETERS else {}
        self._add(jobs.PARAMETERS, task, jobs.parameter_content({**held, **changes}), is_news=not self.is_away)
        if last is not None and held:
            self._finish(last)

    def _note_quietly(self) -> None:
        with contextlib.suppress(HomeError):  # a journal that was closed: its task is closed as well, and the change came too late
            self.note_changes()

    def _last_of(self, task: str) -> Job | None:
        with self._lock:
            return next((job for job in reversed(self._waiting) if job.task == task), None)

    def _add(self, kind: str, task: str, content: dict[str, Any], *, is_news: bool = False) -> Job:
        with self._noting:  # in the order of their numbers, which is that of a recovery
            job = Job(self._journal.add_job(kind, task, content), kind, task, content)
            with self._lock:
                self._waiting.append(job)
                if is_news:
                    self._news.add(job.number)
        return job

    def _finish(self, job: Job) -> None:
        # A mark that cannot be written costs a repetition at the next start, and jobs can be repeated.
        with contextlib.suppress(OSError):
            self._journal.finish_job(job.number)
        with self._lock, contextlib.suppress(ValueError):  # taken into a later job meanwhile
            self._waiting.remove(job)
            self._news.discard(job.number)

    def defer(self) -> None:
        """Take down that the home is away: what waits, waits for it, and so does what comes after it."""
        with self._lock:
            self.is_away = True
            self._news.clear()

    async def deliver(self) -> None:
        """Do what waits, for each task in order. What the home refuses for good is said and dropped.

        An edit that fails in a way that may pass goes on waiting, and so does what comes after it for its task; nothing else is held up.

        Raises:
            TransportError: the home cannot be reached, or a task cannot be made now, whose events would be refused.
        """
        held_up: set[str] = set()
        not_made: ServerError | None = None
        with self._lock:
            waiting = tuple(self._waiting)
        for job in waiting:
            if job.task in held_up:
                continue
            try:
                made = await jobs.carry_out(job, self._transport, self._aliases)
            except ServerError as error:
                if not jobs.is_refused(error):
                    held_up.add(job.task)
                    self._news.discard(job.number)
                    not_made = error if job.kind == jobs.CREATE else not_made
                    continue
                self._note_refusal(job, error)
            except TransportError:
                self.defer()
                raise
            else:
                if made is not None:
                    self._note_alias(job.task, made)
            self._finish(job)
        self.is_away, self._notes_left = False, _NOTES
        if not_made is not None:
            raise not_made

    def refusals(self, task: str | None) -> tuple[str, ...]:
        """What was refused of the edits of a task, or of all, in words; the last few."""
        with self._lock:
            return tuple(text for each, texts in self._refused.items() if task in {None, each} for text in texts)

    def forget(self, task: str) -> None:
        """Keep nothing of a task that is closed."""
        with self._lock:
            self._refused.pop(task, None)

    def _note_refusal(self, job: Job, error: ServerError) -> None:
        names = [f"{section}/{name}" for section, name in jobs.changes_of(job)] if job.kind == jobs.PARAMETERS else []
        what = f"the change of {', '.join(names)}" if names else "an edit"
        _log.error("atrains: %s of task %s is refused: %s", what, job.task, error)
        with self._lock:
            self._refused.setdefault(job.task, deque(maxlen=_REFUSALS)).append(f"{what} was refused: {error}")

    def _note_alias(self, task: str, at_home: str) -> None:
        self._aliases[task] = at_home
        with contextlib.suppress(OSError):  # as above
            self._journal.finish_job(self._journal.add_job(jobs.ALIAS, task, {"at_home": at_home}))
        _log.info("atrains: task %s is task %s at %s", task, at_home, self._transport.target)
