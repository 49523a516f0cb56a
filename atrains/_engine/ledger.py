"""The ledger: what was reported is acknowledged, pending or dropped for a named reason, and the three add up. Counting only."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from atrains._engine.held import reentrant_lock
from atrains._wire.events import EventKind

_log = logging.getLogger("atrains")

NOT_A_NUMBER: Final = "not a number"
NOT_FINITE: Final = "not finite"
BAD_ITERATION: Final = "iteration out of range"
BAD_INPUT: Final = "not reportable"
TOO_LARGE: Final = "too large"
NO_ROOM: Final = "no room"
FULL: Final = "journal full"
LOST: Final = "journal file lost"
REFUSED: Final = "refused by the home"
RESET: Final = "reset"
CANNOT_BE_STORED: Final = "file cannot be stored"
_CLOSED: Final = ""
"""Stands for all tasks that are closed: a process that opens one for every request must not count each for ever."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How one kind of event stands. `reported == acknowledged + pending + sum(dropped.values())` at every moment it is looked at.

    Attributes:
        acknowledged: Stored by the home.
        pending: In the journal, not yet stored.
        dropped: Not stored and never going to be, by reason.
    """

    acknowledged: int = 0
    pending: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)

    @property
    def reported(self) -> int:
        """How many events were handed to the logger."""
        return self.acknowledged + self.pending + sum(self.dropped.values())

    def __add__(self, other: Counts) -> Counts:
        dropped = Counter(self.dropped) + Counter(other.dropped)
        return Counts(self.acknowledged + other.acknowledged, self.pending + other.pending, dict(dropped))


class UploadCounts(NamedTuple):
    """How uploads of files stand.

    Attributes:
        stored: How many are there and recorded.
        pending: The names of those that are on their way or wait; they are in the journal.
        failed: Why those failed that did, by name; a later upload of the name takes it out.
    """

    stored: int = 0
    pending: tuple[str, ...] = ()
    failed: Mapping[str, str] = {}


class Receipt(NamedTuple):
    """What `flush` achieved; true when nothing is pending, nothing was ever dropped or refused.

    Attributes:
        scalars: Points, one by one and from arrays.
        logs: Console lines.
        plots: Plots.
        error: Why something is still pending, in words; None when nothing is.
        refused: The edits made beside the program, such as changes of a connected dictionary, that the home refused, and why.
        uploads: Artifacts and other files. What is pending there counts only where it was waited for (`wait_for_uploads=True`).
        images: Images and other media; of one with a file both are there, the file and its event.
    """

    scalars: Counts
    logs: Counts
    plots: Counts
    error: str | None = None
    refused: tuple[str, ...] = ()
    uploads: UploadCounts = UploadCounts()
    images: Counts = Counts()

    def __bool__(self) -> bool:
        kinds = (self.scalars, self.logs, self.plots, self.images)
        undone = self.error is not None or self.refused or self.uploads.failed
        return not undone and not any(kind.pending or kind.dropped for kind in kinds)


class Stats(NamedTuple):
    """How the reports of a task stand, and the journal behind them.

    Attributes:
        scalars: Points, one by one and from arrays.
        logs: Console lines.
        plots: Plots.
        journal: The journal's folder; None when nothing is open.
        in_memory: Whether something is held that would not survive the process: there was no room on disk, the journal's folder was
            removed, or `journal.durability` is `memory`.
        claimed: Slots of the journal that report calls of all tasks took.
        abandoned: Those of them that were never filled, because the call was interrupted and did not return.
        last_error: Why delivery failed last, None once it works again.
        signals_handled: Whether SIGTERM and SIGHUP end open runs as stopped. They do not where the program handles them itself, nor where
            every run was begun outside the main thread: then such a signal leaves them to the next start, which marks them failed.
        images: Images and other media, with their files.
    """

    scalars: Counts
    logs: Counts
    plots: Counts
    journal: Path | None = None
    in_memory: bool = False
    claimed: int = 0
    abandoned: int = 0
    last_error: str | None = None
    signals_handled: bool = False
    images: Counts = Counts()


class Ledger:
    """The counts of one journal, by task and kind. Safe from any thread."""

    def __init__(self) -> None:
        self._lock = reentrant_lock()
        self._acknowledged: Counter[tuple[str, EventKind]] = Counter()
        self._dropped: dict[tuple[str, EventKind], dict[str, int]] = {}
        self._told: set[tuple[str, str]] = set()

    def acknowledge(self, task: str, kind: EventKind, count: int) -> None:
        """Count events that the home has stored."""
        with self._lock:
            self._acknowledged[task, kind] += count

    def forget(self, task: str) -> None:
        """Leave the stored events of a closed task to the counts of the whole journal, which stay as they are."""
        with self._lock:
            for kind in EventKind:
                count = self._acknowledged.pop((task, kind), 0)
                if count:
                    self._acknowledged[_CLOSED, kind] += count

    def drop(self, task: str, kind: EventKind, reason: str, count: int = 1, *, name: str | None = "", detail: str = "") -> None:
        """Count events that will never be stored; the first of each reason and name is said once in the log.

        Args:
            task: Whose events.
            kind: Which.
            reason: Why.
            count: How many.
            name: What they were reported to; None when the log has a line of its own about it.
            detail: What more there is to say.
        """
        with self._lock:
            if count:
                reasons = self._dropped.setdefault((task, kind), {})
                reasons.setdefault(reason, 0)
                reasons[reason] += count  # nothing is called between reading and writing: a signal handler that drops cannot come between
        if name is not None:
            self.say_once(kind, reason, name, detail, count)

    def say_once(self, kind: EventKind, reason: str, name: str, detail: str, count: int = 1) -> None:
        """Say in the log that events of a name are dropped for a reason, if that was not said before."""
        with self._lock:
            first = (reason, name) not in self._told
            self._told.add((reason, name))
        if first:
            _log.warning(
                "atrains: dropped %d of %s in %r: %s%s (said once; all are counted in task.stats())",
                count,
                kind,
                name,
                reason,
                detail and f" ({detail})",
            )

    def counts(self, task: str | None, kind: EventKind, pending: int, gone: Mapping[str, int] | None = None) -> Counts:
        """How one kind stands for a task, or for all tasks of the journal.

        Args:
            task: The task, or None for all.
            kind: The kind of event.
            pending: How many are in the journal.
            gone: How many the journal has dropped on its own account, by reason.
        """
        dropped: Counter[str] = Counter(gone or {})
        with self._lock:
            if task is not None:  # one look, however many tasks there are: each of them asks when it is closed
                acknowledged = self._acknowledged[task, kind]
                dropped.update(self._dropped.get((task, kind), {}))
            else:
                acknowledged = sum(count for (_, of), count in self._acknowledged.items() if of == kind)
                for (_, of), reasons in self._dropped.items():
                    if of == kind:
                        dropped.update(reasons)
        return Counts(acknowledged, pending, dict(+dropped))
