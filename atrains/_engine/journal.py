"""The journal: one folder per process and target through which every event passes: hot-path buffer, spool and crash record in one.

This file opens and closes the folder and owns the table of series and the jobs; slots are in `segments`, records in `records`, and what
goes out of a journal in `reader`. The files are described byte by byte in docs/format.md.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, Final

import orjson

from atrains._capture.host import ProcessIdentity
from atrains._config.settings import JournalSettings
from atrains._engine.files import sync_folder
from atrains._engine.frame_files import FrameFile, read_frames
from atrains._engine.held import reentrant_lock
from atrains._engine.ledger import NO_ROOM
from atrains._engine.records import RecordStream
from atrains._engine.room import Room
from atrains._engine.segments import ScalarStream
from atrains._engine.sent import SentMark
from atrains._local.disk import sync_file
from atrains._storage.locks import FolderLock
from atrains._wire.frames import encode_frame
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
        settings: How much of the disk may be taken, what happens then, and whether events go there at all.
        on_disk: False for a journal that is in memory as a whole, where no folder can be made: a process that is killed loses it.
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
        settings: JournalSettings | None = None,
        on_disk: bool = True,
        on_roll: Callable[[], None] = lambda: None,
        on_revival: Callable[[], None] = lambda: None,
    ) -> None:
        self.target = target
        self._parent = parent
        self._worker = worker
        self._user = user
        self._on_disk = on_disk
        self.settings = settings = settings or JournalSettings()
        self.room = Room(parent, settings=settings, in_memory_only=not on_disk or settings.durability == "memory", wake=on_roll)
        self._make_folder()
        self._unsaved: list[tuple[FrameFile, Mapping[str, object]]] = []
        self._unsaid: OSError | None = None
        self._series: dict[int, tuple[str, str, str]] = {}
        self._numbers = itertools.count(1)
        self._ids: dict[str, dict[tuple[str, str], int]] = {}
        self._jobs = itertools.count(1)
        self._open_jobs: dict[int, tuple[str, str]] = {}
        self._sealed = False
        self._lock = reentrant_lock()
        self._on_revival = on_revival
        self.scalars = ScalarStream(self.folder, lambda call: _submit(workers, call), on_roll, self._revive, self.room)
        self.records = RecordStream(self.folder, on_roll, self._revive, self.room)
        self.room.streams = (self.scalars, self.records)

    def _make_folder(self) -> None:
        """Make the folder under a name that nobody looks at, and give it its own once it is locked and described.

        Raises:
            HomeError: there is no room, or the place is not writable.
        """
        self.id = uuid.uuid4().hex
        self.pid = os.getpid()
        self.folder = self._parent / f"{self.pid}-{self.id}"
        self.room.restart(self.folder.name)
        self._lock_file: FolderLock | None = None
        self._series_file: FrameFile | None = None
        self._jobs_file: FrameFile | None = None
        self.sent = SentMark(self.folder if self._on_disk else None)
        if not self._on_disk:
            return
        making = self._parent / f".{self.folder.name}"
        try:
            self._parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with contextlib.ExitStack() as undo:
                making.mkdir(mode=0o700)
                undo.callback(_remove, making)
                lock = FolderLock(making / "lock")
                undo.callback(lock.release)
                lock.acquire()
                self._write_description(making, self._worker, self._user)
                series = FrameFile(making / "series")
                undo.callback(series.close)
                jobs = FrameFile(making / "jobs")
                undo.callback(jobs.close)
                making.rename(self.folder)
                undo.pop_all()
            self._lock_file, self._series_file, self._jobs_file = lock, series, jobs
        except OSError as error:
            raise HomeError(
                error.errno,
                f"cannot make a journal in {self._parent}: {error.strerror}; make it writable, or set ATRAINS_HOME to a folder that is",
            ) from error

    def _revive(self) -> bool:
        """In a forked child that reports for the first time, or a process that reports after its end: make a journal of its own.

        With the same ids for the same series.
        """
        with self._lock:
            if self.pid == os.getpid():
                return not self._sealed
            try:
                self._make_folder()
            except HomeError as error:
                _log.warning("atrains: %s. What this forked process reports is kept in memory, and lost when it is killed", error)
                self._on_disk, self.room.in_memory_only = False, True
                self._make_folder()
            self._unsaved = []
            for number, key in self._series.items():
                self._note_series(number, key)
            self._open_jobs.clear()
            self._sealed = False
            self.scalars.restart(self.folder)
            self.records.restart(self.folder)
        self._on_revival()
        return True

    def register_series(self, task: str, title: str, series: str) -> int:
        """The id of a series, from 1 on; the record that names it is written before the id is known to anybody.

        Raises:
            HomeError: the journal was closed.
        """
        if self.pid != os.getpid():
            self._revive()
        with self._lock:
            ids = self._ids.setdefault(task, {})
            known = ids.get((title, series))
            if known is None:
                # Taken in one step: a signal handler of this thread may register a series while the file is written.
                known = next(self._numbers)
                self._note_series(known, (task, title, series))
                self._series[known] = (task, title, series)
                ids[title, series] = known
        self._tell()
        return known

    def series(self, number: int) -> tuple[str, str, str]:
        """Task id, title and series of an id."""
        return self._series.get(number) or self._read_series()[number]

    def _read_series(self) -> dict[int, tuple[str, str, str]]:
        """All series that there ever were, from their file: someone asks for one of a task that was forgotten.

        As for the point of a thread that was held in the middle of its report call until the task was closed.
        """
        with self._lock:
            for frame in read_frames(self.folder / "series")[0]:
                header = frame.header
                self._series.setdefault(header["id"], (header["task"], header["title"], header["series"]))
            return self._series

    def forget(self, task: str) -> None:
        """Leave the series of a task to their file: it is closed, and what it reported is delivered."""
        self.records.forget(task)
        with self._lock:
            if self._series_file is None or self._unsaved or self.room.in_memory_only:
                return
            for number in self._ids.pop(task, {}).values():
                self._series.pop(number, None)

    def add_job(self, kind: str, task: str, content: Mapping[str, object]) -> int:
        """Record something that is to be done for a task, before it is tried; returns the job's number.

        Raises:
            HomeError: the journal was closed.
        """
        if self.pid != os.getpid():
            self._revive()
        with self._lock:
            number = next(self._jobs)
            self._note(self._jobs_file, {"job": number, "kind": kind, "task": task, "time": time.time(), **content})
            self._open_jobs[number] = (kind, task)
        self._tell()
        return number

    def finish_job(self, number: int) -> None:
        """Mark a job as done. A job whose mark is lost is found again: it must be harmless to repeat.

        Raises:
            HomeError: the journal was closed.
        """
        with self._lock:
            if number in self._open_jobs:  # not so in a forked child, whose parent does it
                self._note(self._jobs_file, {"done": number})
                self._open_jobs.pop(number, None)

    def folder_for_files(self) -> Path | None:
        """Where files may be made that wait here to be uploaded, named `upload-...`; None where nothing is kept on the disk."""
        if self.pid != os.getpid():
            self._revive()
        if not self._on_disk or self.room.in_memory_only or not self.folder.is_dir():
            return None
        return self.folder

    def has_open_run(self, task: str) -> bool:
        """Whether a run of a task was begun here and has not ended."""
        if self.pid == os.getpid():
            with self._lock:
                return ("run", task) in self._open_jobs.values()
        done: set[int] = set()  # in a forked child, whose parent goes on with it
        runs: set[int] = set()
        for frame in read_frames(self.folder / "jobs")[0]:
            header = frame.header
            if "done" in header:
                done.add(header["done"])
            elif header["kind"] == "run" and header["task"] == task:
                runs.add(header["job"])
        return bool(runs - done)

    @property
    def in_memory(self) -> bool:
        """Whether something is held that would not survive the process."""
        return bool(self._unsaved) or self.scalars.in_memory or self.records.in_memory or not self.folder.is_dir()

    @property
    def refusal(self) -> tuple[str, str]:
        """Why a report was refused last: the reason as the ledger names it, and the words."""
        return (NO_ROOM, "its journal was closed") if self._sealed else self.room.refusal

    @property
    def raises_when_full(self) -> bool:
        """Whether a report that is refused raises."""
        return self.settings.overflow == "raise" and not self._sealed

    def retry_disk(self) -> None:
        """Go back to the disk once it has room again; to be called now and then, not while the reader reads."""
        with self._lock:
            while self._unsaved:
                file, header = self._unsaved[0]
                try:
                    self._write(file, header)
                except OSError:  # as before; said then
                    return
                del self._unsaved[0]
        self.scalars.retry_disk()

    def sync(self) -> None:
        """Wait until everything that was reported or is to be done is on the disk.

        Raises:
            OSError: the disk does not take it.
        """
        if self._on_disk:
            sync_folder(self.folder)
            sync_file(self._parent)

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
        if not delivered and (self.scalars.in_memory or self.records.in_memory):
            _log.warning("atrains: what was not delivered and only in memory is lost, since there was no room for it in %s", self.folder)
        self.seal()
        with self._lock:
            self._close_files()
        try:
            if delivered and not self._open_jobs:
                self.scalars.close()
                self.records.close()
                _remove(self.folder)
            else:
                self.scalars.release_files()
                self.records.release_files()
        finally:
            if self._lock_file is not None:
                self._lock_file.release()

    def forget_in_child(self) -> None:
        """In a forked child: let go of the parent's journal without touching it."""
        self._lock = reentrant_lock()
        if self._lock_file is not None:
            self._lock_file.release()
        self._close_files()
        self.sent = SentMark(None)  # that of the parent is not ours to write; ours comes with our folder
        self.scalars.forget_in_child()
        self.records.forget_in_child()

    def reopen_on_report(self) -> None:
        """After `close`, as the process ends: what is reported from now on gets another journal, which the next start delivers."""
        self.forget_in_child()
        self.pid = 0  # as after a fork, it is no journal of this process

    def _close_files(self) -> None:
        for file in (self._series_file, self._jobs_file, self.sent):
            if file is not None:
                file.close()

    def _note_series(self, number: int, key: tuple[str, str, str]) -> None:
        if not self.room.in_memory_only:
            self._note(self._series_file, dict(zip(("id", "task", "title", "series"), (number, *key), strict=True)))

    def _note(self, file: FrameFile | None, header: Mapping[str, object]) -> None:
        """Append to a file, whatever the cap; what the disk has no room for is written once it has. Call with the lock held."""
        if file is None:
            if self._sealed:
                raise HomeError(f"the journal of {self.target} was closed")
            return
        if not self._unsaved:
            try:
                self._write(file, header)
            except HomeError:
                raise
            except OSError as error:  # no room, no permission: points of the series, and the job, are no less worth for that
                self._unsaid = error
            else:
                return
        self._unsaved.append((file, header))

    def _write(self, file: FrameFile, header: Mapping[str, object]) -> None:
        buffers = encode_frame(header)
        file.write(buffers)
        self.room.note(sum(map(len, buffers)))

    def _tell(self) -> None:
        error, self._unsaid = self._unsaid, None
        if error is not None:
            self.room.say_memory(self.folder, error)

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
