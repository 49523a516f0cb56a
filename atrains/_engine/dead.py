"""The journal of a process that ended: opened read-only from its files, in the form that `JournalReader` reads.

Delivering it is in `recovery`.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from atrains._engine.files import FolderLock
from atrains._engine.journal import FORMAT_VERSION
from atrains._engine.records import FrameFile, RecordFile, RecordStream, read_frames
from atrains._engine.segments import SLOT, Segment

RECOVERING: Final = "recovering-"
"""Prefix of a folder whose recovery has begun; a recovery that died itself leaves it, and the next one goes on with it."""
UNKNOWN_SERIES: Final = ("", "", "")
"""What stands for a series whose record was damaged: nobody can say where its points belong."""


@dataclass(frozen=True, slots=True)
class Job:
    """Something that was to be done for a task and was not marked as done."""

    number: int
    kind: str
    task: str
    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Found:
    """A journal folder that is there, as `atrains sync` lists it.

    Attributes:
        description: What `journal.json` says; empty when it cannot be read.
        why_left: Why it is left alone; empty when it can be recovered.
    """

    folder: Path
    description: Mapping[str, Any]
    why_left: str = ""


class DeadSlots:
    """The scalar segments of a dead journal, as `ScalarStream` shows those of a live one."""

    def __init__(self, folder: Path) -> None:
        self._segments = [_open_segment(path) for path in sorted(folder.glob("scalars-*")) if path.stat().st_size >= SLOT.size]

    def segments(self) -> list[Segment]:
        """Every segment, oldest first."""
        return list(self._segments)

    def is_sealed(self, segment: Segment) -> bool:
        """Whether more points were written behind it; what is empty at the end of the last one was never claimed."""
        return any(later.first > segment.first and later.committed_end(0) for later in self._segments)

    def drop(self, segment: Segment) -> None:
        """Let go of a segment; its file goes with the folder."""
        self._segments.remove(segment)


class DeadJournal:
    """A journal folder, locked by us, of a process that does not live any more.

    Args:
        folder: The folder.
        lock: The lock on it, held.
    """

    def __init__(self, folder: Path, lock: FolderLock) -> None:
        self.folder = folder
        self._lock = lock
        description = read_description(folder)
        self.id = str(description["journal"])
        self.worker = str(description.get("worker", ""))
        self.scalars = DeadSlots(folder)
        self.records = _open_records(folder)
        self._series = _read_series(folder)
        self.jobs, self.opened_tasks = _read_jobs(folder)

    def series(self, number: int) -> tuple[str, str, str]:
        """Task id, title and series of an id."""
        return self._series.get(number, UNKNOWN_SERIES)

    def mark_done(self, number: int) -> None:
        """Note that a job was done, so that a recovery which dies after this does not do it again."""
        file = FrameFile(self.folder / "jobs")
        try:
            file.append({"done": number})
        finally:
            file.close()

    def release(self) -> None:
        """Let go of the folder, as it is."""
        self.records.release_files()
        self._lock.release()

    def delete(self) -> None:
        """Remove the folder: everything in it was delivered."""
        self.records.release_files()
        for path in [*self.folder.iterdir()]:
            path.unlink(missing_ok=True)
        self.folder.rmdir()
        self._lock.release()


def find_journals(parent: Path, target: str) -> list[Found]:
    """The journal folders under `parent`, those that cannot be recovered with the reason."""
    found = []
    for folder in sorted(parent.iterdir()) if parent.is_dir() else []:
        if folder.name.startswith(".") or not folder.is_dir():
            continue
        try:
            description = read_description(folder)
        except (OSError, ValueError) as error:
            found.append(Found(folder, {}, f"its journal.json cannot be read ({error})"))
            continue
        if description.get("format") != FORMAT_VERSION:
            why = f"it has format version {description.get('format')}, this atrains reads {FORMAT_VERSION}"
        elif description.get("target") != target:
            why = f"it belongs to {description.get('target')}"
        else:
            why = ""
        found.append(Found(folder, description, why))
    return found


def take(folder: Path) -> DeadJournal | None:
    """Take over a journal folder; None when its process lives, or when somebody else recovers it already.

    Raises:
        OSError: the folder cannot be read.
        ValueError: it is damaged beyond reading.
    """
    try:
        lock = FolderLock(folder / "lock", create=False)
    except FileNotFoundError:  # delivered and deleted by somebody else meanwhile
        return None
    if not lock.acquire() or not lock.still_at(folder / "lock"):
        lock.release()
        return None
    try:
        if not folder.name.startswith(RECOVERING):
            folder = folder.rename(folder.with_name(RECOVERING + folder.name))
        return DeadJournal(folder, lock)
    except BaseException:  # whatever it was: nobody could ever recover a journal that we keep locked
        lock.release()
        raise


def read_description(folder: Path) -> Mapping[str, Any]:
    """What `journal.json` says.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no JSON object.
    """
    description = orjson.loads((folder / "journal.json").read_bytes())
    if not isinstance(description, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004  # the same to the caller as no JSON at all
    return description


def held_tasks(parent: Path, own: Path | None) -> set[str]:
    """The tasks that some journal under `parent` may still hold something for.

    Args:
        parent: The folder of all journals of a target.
        own: The journal of this process, where only runs that are open count; what a run left there is delivered by us, in order.
    """
    tasks: set[str] = set()
    for folder in parent.iterdir() if parent.is_dir() else []:
        jobs, opened = _read_jobs(folder)
        tasks |= {job.task for job in jobs if job.kind == "run"} if folder == own else opened
    return tasks


def _open_segment(path: Path) -> Segment:
    capacity = path.stat().st_size // SLOT.size
    return Segment(int(path.name.partition("-")[2]), capacity, None, itertools.count().__next__, path)


def _open_records(folder: Path) -> RecordStream:
    files = [
        RecordFile(int(path.name.partition("-")[2]), FrameFile(path), path.stat().st_size) for path in sorted(folder.glob("records-*"))
    ]
    return RecordStream.over(folder, files)


def _read_series(folder: Path) -> dict[int, tuple[str, str, str]]:
    try:
        frames, _ = read_frames(folder / "series")
    except FileNotFoundError:
        return {}
    return {frame.header["id"]: (frame.header["task"], frame.header["title"], frame.header["series"]) for frame in frames}


def _read_jobs(folder: Path) -> tuple[list[Job], set[str]]:
    """The jobs that were not done, in order, and every task that has had one."""
    try:
        frames, _ = read_frames(folder / "jobs")
    except (FileNotFoundError, NotADirectoryError):
        return [], set()
    jobs: dict[int, Job] = {}
    tasks = set()
    for frame in frames:
        header = frame.header
        if "done" in header:
            jobs.pop(header["done"], None)
        else:
            tasks.add(header["task"])
            jobs[header["job"]] = Job(header["job"], header["kind"], header["task"], header)
    return list(jobs.values()), tasks
