"""The journal: one folder per process and target through which every event passes: hot-path buffer, spool and crash record in one.

This file opens and closes the folder and owns the table of series and the jobs; slots are in `segments`, records in `records`, and what
goes out of a journal in `reader`. The files are described byte by byte in docs/format.md.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, Final

import orjson

from atrains._capture.host import ProcessIdentity
from atrains._engine.files import FolderLock
from atrains._engine.records import FrameFile, RecordStream
from atrains._engine.segments import ScalarStream
from atrains.errors import HomeError

FORMAT_VERSION: Final = 1
"""Written to `journal.json`. A journal of a version that is not known is left alone."""
_log = logging.getLogger("atrains")


class Journal:
    """One open journal of this process.

    Args:
        parent: The folder that journals are made in; created with mode 0700 when missing.
        target: What names the home that the events go to.
        worker: The name under which this process reports.
        user: Who is logged in at a server; None on a local home. Never a key.
        workers: Threads for making segments ahead.
        on_roll: Called from any thread when a segment or a records file became full.
        on_revival: Called in a forked child once it has a journal of its own.

    Raises:
        HomeError: the folder cannot be written to.
    """

    def __init__(
        self,
        parent: Path,
        *,
        target: str,
        worker: str,
        workers: Executor,
        user: str | None = None,
        on_roll: Callable[[], None] = lambda: None,
        on_revival: Callable[[], None] = lambda: None,
    ) -> None:
        self.target = target
        self._parent = parent
        self._worker = worker
        self._user = user
        self._make_folder()
        self._series: dict[int, tuple[str, str, str]] = {}
        self._numbers = itertools.count(1)
        self._ids: dict[tuple[str, str, str], int] = {}
        self._jobs = itertools.count(1)
        self._open_jobs: set[int] = set()
        self._sealed = False
        self._lock = threading.RLock()
        self._on_revival = on_revival
        self.scalars = ScalarStream(self.folder, lambda call: _submit(workers, call), on_roll, self._revive)
        self.records = RecordStream(self.folder, on_roll, self._revive)

    def _make_folder(self) -> None:
        """Make the folder under a name that nobody looks at, and give it its own once it is locked and described.

        Raises:
            HomeError: there is no room, or the place is not writable.
        """
        self.id = uuid.uuid4().hex
        self.pid = os.getpid()
        self.folder = self._parent / f"{self.pid}-{self.id}"
        making = self._parent / f".{self.folder.name}"
        try:
            self._parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with contextlib.ExitStack() as undo:
                making.mkdir(mode=0o700)
                undo.callback(_remove, making)
                self._lock_file = FolderLock(making / "lock")
                undo.callback(self._lock_file.release)
                self._lock_file.acquire()
                self._write_description(making, self._worker, self._user)
                self._series_file = FrameFile(making / "series")
                undo.callback(self._series_file.close)
                self._jobs_file = FrameFile(making / "jobs")
                undo.callback(self._jobs_file.close)
                making.rename(self.folder)
                undo.pop_all()
        except OSError as error:
            raise HomeError(
                error.errno,
                f"cannot make a journal in {self._parent}: {error.strerror}; make it writable, or set ATRAINS_HOME to a folder that is",
            ) from error

    def _revive(self) -> bool:
        """In a forked child that reports for the first time: make a journal of its own, with the same ids for the same series."""
        with self._lock:
            if self.pid == os.getpid():
                return not self._sealed
            try:
                self._make_folder()
                for number, (task, title, series) in self._series.items():
                    self._series_file.append({"id": number, "task": task, "title": title, "series": series})
            except OSError as error:  # HomeError is one: the caller counts what it could not report
                _log.warning("atrains: a forked process cannot report: %s", error)
                return False
            self._open_jobs.clear()
            self._sealed = False
            self.scalars.restart(self.folder)
            self.records.restart(self.folder)
        self._on_revival()
        return True

    def register_series(self, task: str, title: str, series: str) -> int:
        """The id of a series, from 1 on; the record that names it is written before the id is known to anybody.

        Raises:
            OSError: there is no room.
        """
        key = (task, title, series)
        if self.pid != os.getpid():
            self._revive()
        with self._lock:
            known = self._ids.get(key)
            if known is None:
                # Taken in one step: a signal handler of this thread may register a series while the file is written.
                known = next(self._numbers)
                self._series_file.append({"id": known, "task": task, "title": title, "series": series})
                self._series[known] = key
                self._ids[key] = known
            return known

    def series(self, number: int) -> tuple[str, str, str]:
        """Task id, title and series of an id."""
        return self._series[number]

    def add_job(self, kind: str, task: str, content: Mapping[str, object]) -> int:
        """Record something that is to be done for a task, before it is tried; returns the job's number.

        Raises:
            OSError: there is no room.
        """
        if self.pid != os.getpid():
            self._revive()
        with self._lock:
            number = next(self._jobs)
            self._jobs_file.append({"job": number, "kind": kind, "task": task, "time": time.time(), **content})
            self._open_jobs.add(number)
            return number

    def finish_job(self, number: int) -> None:
        """Mark a job as done.

        Raises:
            OSError: there is no room; a job that is found again must be harmless to repeat.
        """
        with self._lock:
            if number in self._open_jobs:  # not so in a forked child, whose parent does it
                self._jobs_file.append({"done": number})
                self._open_jobs.discard(number)

    def sync(self) -> None:
        """Wait until records, series and jobs are on the disk."""
        self._series_file.sync()
        self._jobs_file.sync()
        self.records.sync()

    def seal(self) -> None:
        """Take no more events; what is there can still be read. Whoever reports after this is told, and counts it as dropped."""
        self._sealed = True
        self.scalars.seal()
        self.records.seal()

    def close(self, *, delivered: bool) -> None:
        """Let go of the journal; deletes it when everything in it was delivered and done, else leaves it for the next start."""
        if self.pid != os.getpid():
            self.forget_in_child()
            return
        self.seal()
        with self._lock:
            self._series_file.close()
            self._jobs_file.close()
        try:
            if delivered and not self._open_jobs:
                self.scalars.close()
                self.records.close()
                _remove(self.folder)
            else:
                self.records.release_files()
        finally:
            self._lock_file.release()

    def forget_in_child(self) -> None:
        """In a forked child: let go of the parent's journal without touching it."""
        self._lock = threading.RLock()
        self._lock_file.release()
        self._series_file.close()
        self._jobs_file.close()
        self.scalars.forget_in_child()
        self.records.forget_in_child()

    def _write_description(self, folder: Path, worker: str, user: str | None) -> None:
        identity = ProcessIdentity.current()
        description: dict[str, Any] = {
            "format": FORMAT_VERSION,
            "journal": self.id,
            "target": self.target,
            "user": user,
            "worker": worker,
            "host": identity.host,
            "boot_id": identity.boot_id,
            "pid": identity.pid,
            "pid_start_time": identity.start_time,
            "created": time.time(),
        }
        path = folder / "journal.json"
        path.write_bytes(orjson.dumps(description, option=orjson.OPT_INDENT_2))


def _remove(folder: Path) -> None:
    """Remove a journal that nobody needs; what cannot be removed is said, and is harmless."""
    try:
        for path in [*folder.iterdir()]:
            path.unlink(missing_ok=True)
        folder.rmdir()
    except FileNotFoundError:  # somebody was faster, by hand
        return
    except OSError as error:
        _log.warning("atrains: the journal %s is not needed any more but cannot be removed: %s", folder, error)


def _submit(workers: Executor, call: Callable[[], None]) -> None:
    try:
        workers.submit(call)
    except RuntimeError:  # the threads were shut down at exit: the writer makes its segments itself
        return
