"""What every report of a logger goes through: whether the task is open, the journal, and the count of what could not be reported."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from atrains._engine import ledger
from atrains._engine.process import process
from atrains._engine.segment import HAS_GIL
from atrains._wire.events import EventKind
from atrains.errors import JournalFullError, TaskClosedError

if TYPE_CHECKING:
    from atrains._api.task_files import TaskFiles
    from atrains._engine.disabled import DisabledOutlet
    from atrains._engine.outlet import Outlet


class Outgoing:
    """The way of one task's events into the journal; the base of the parts that `Logger` is composed of.

    Args:
        task: The id that is reported under.
        outlet: The journal, and who delivers it.
        worker: The name of this machine, for console lines.
        wake: Starts a delivery soon.
        reference: What finds the task again from another process; None for a logger that belongs to no task.
        largest: Bytes of the largest request that a home takes.
        files: Where the files of the task go.
    """

    __slots__ = (
        "_append", "_closed", "_counters", "_destination", "_files", "_folders", "_history", "_ids", "_largest", "_last_stamp", "_offset",
        "_outlet", "_pid", "_reference", "_task", "_wake", "_worker",
    )  # fmt: skip

    def __init__(
        self,
        task: str,
        outlet: Outlet | DisabledOutlet,
        *,
        worker: str,
        wake: Callable[[], None],
        reference: Callable[[], tuple[str, str, int]] | None = None,
        largest: int,
        files: TaskFiles,
    ) -> None:
        self._task = task
        self._outlet = outlet
        self._worker = worker
        self._wake = wake
        self._reference = reference
        self._largest = largest
        self._files = files
        self._destination: str | None = None
        self._history = 0
        self._counters: dict[tuple[int, str, str], Iterator[int]] = {}
        self._folders: dict[str, tuple[str, str]] = {}
        self._pid = os.getpid()
        self._ids: dict[tuple[str, str], int] = {}
        self._append: Callable[[int, int, float], bool] = outlet.journal.scalars.append
        self._offset = 0
        self._closed = False
        self._last_stamp = 0

    def __repr__(self) -> str:
        return f"<Logger of task {self._task}{' (closed)' if self._closed else ''}>"

    def _check_open(self) -> None:
        if self._closed:
            raise TaskClosedError(
                f"task {self._task} was closed: report before close(), or open it again with Task.get_task({self._task!r})"
            )

    def _record(self, kind: EventKind, header: dict[str, Any], columns: Sequence[memoryview], name: str) -> None:
        count = int(header.get("rows", 1))
        try:
            stored = self._outlet.journal.records.append(header, list(columns))
        except OSError as error:  # the journal was closed
            self._drop(kind, ledger.NO_ROOM, name, str(error), count)
            return
        if not stored:
            self._refuse(kind, count)

    def _report_printed(self, header: bytes) -> None:
        """Put a captured line of the console into the journal, as the JSON of its record; called by the console of the task."""
        try:
            stored = self._outlet.journal.records.append_printed((self._task, "logs"), header)
        except OSError as error:  # the journal was closed
            self._drop(EventKind.LOGS, ledger.NO_ROOM, "console", str(error))
            return
        if not stored:
            self._refuse(EventKind.LOGS, 1)

    def _stamp(self) -> int:
        """Milliseconds since the epoch, never the same twice: servers sort console lines by it."""
        if not HAS_GIL:
            with process().stamping:
                return self._next_stamp()
        return self._next_stamp()

    def _next_stamp(self) -> int:
        # Nothing is called from the look at the last one to its replacement, so that no other thread comes in between.
        now, last = int(time.time() * 1000), self._last_stamp
        self._last_stamp = stamp = now if now > last else last + 1
        return stamp

    def _refuse(self, kind: EventKind, count: int) -> None:
        """Count what the journal had no room for; raise, if that is what was asked for.

        Raises:
            JournalFullError: `journal.overflow` is `raise`.
        """
        journal = self._outlet.journal
        reason, why = journal.refusal
        self._drop(kind, reason, None if reason == ledger.FULL else f"task {self._task}", why, count)
        if journal.raises_when_full:
            raise JournalFullError(f"{count} of {kind} of task {self._task} not reported: {why}; or set ATRAINS_JOURNAL_OVERFLOW=block")

    def _drop(self, kind: EventKind, reason: str, name: str | None, detail: str, count: int = 1) -> None:
        self._outlet.ledger.drop(self._task, kind, reason, count, name=name, detail=detail)


def clean_name(name: object) -> str:
    """A title or a series as valid text."""
    return str(name).encode("utf-8", "replace").decode("utf-8")


def joined(*parts: object) -> str:
    """Things as text for a log line."""
    return "/".join(map(as_text, parts))


def as_text(value: object) -> str:
    """A thing as text, whatever it does when it is printed."""
    try:
        return str(value)
    except Exception:  # printing a user's object may raise anything; reporting never does  # noqa: BLE001
        return f"<{type(value).__name__}>"


def shortened(value: object) -> str:
    """A value for a log line, as `as_text`, cut when it is long."""
    try:
        text = repr(value)
    except Exception:  # as above; and Python refuses to print an integer of thousands of digits  # noqa: BLE001
        return f"of type {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:57]}..."
