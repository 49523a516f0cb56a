"""The journal folders of a home: what is there and whose it is, taking over those of dead processes, clearing away remains.

What is in a folder is read in `dead`; delivering it is in `recovery`.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from atrains._engine.journal import FORMAT_VERSION, Journal
from atrains._storage.locks import FolderLock
from atrains.errors import HomeError

if TYPE_CHECKING:
    from atrains._engine.dead import DeadJournal

RECOVERING: Final = "recovering-"
"""Prefix of a folder whose recovery has begun; a recovery that died itself leaves it, and the next one goes on with it."""
_ESSENTIAL: Final = ("journal.json", "lock", "series", "jobs")
"""Files that every journal has from before it got its name. Where one is missing, somebody began to remove a journal that nobody needs."""
_OURS: Final = re.compile(rf"(\.)?(?:{RECOVERING})?\d+-[0-9a-f]{{32}}")
_UNNAMED_SECONDS: Final = 3600.0
"""Age from which a folder that never got its name is what a killed process left, and not what one is just making."""


class Left(StrEnum):
    """Why a journal was not delivered."""

    RUNNING = "running"
    FOREIGN = "foreign"
    UNKNOWN_VERSION = "unknown version"
    DAMAGED = "damaged"
    NOT_NOW = "not now"


class Found(NamedTuple):
    """A journal folder that is there.

    Attributes:
        description: What `journal.json` says; empty when it cannot be read.
        left: Why it is left alone; None while it can be recovered.
        why: The same in words.
    """

    folder: Path
    description: Mapping[str, Any]
    left: Left | None = None
    why: str = ""


def find(parent: Path, target: str) -> list[Found]:
    """The journal folders under `parent`, oldest first, those that cannot be recovered with the reason.

    Raises:
        HomeError: `parent` cannot be read.
    """
    found = [_look(folder, target) for folder in _folders(parent) if not folder.name.startswith(".")]
    return sorted((journal for journal in found if journal is not None), key=_age)


def take(found: Found) -> DeadJournal | None:
    """Take over a journal; None when somebody else has delivered it meanwhile.

    Raises:
        BlockingIOError: its process lives, or somebody else recovers it.
        OSError: the folder cannot be read or renamed.
        ValueError: it is damaged beyond reading.
    """
    from atrains._engine.dead import DeadJournal  # which most starts do not need

    folder = found.folder
    try:
        lock = FolderLock(folder / "lock", create=False)
    except FileNotFoundError:
        return None
    try:
        if not lock.acquire():
            raise BlockingIOError(f"the journal {folder} is locked")
        if not lock.still_at(folder / "lock"):
            lock.release()
            return None
        if not folder.name.startswith(RECOVERING):
            folder = folder.rename(folder.with_name(RECOVERING + folder.name))
        return DeadJournal(folder, found.description, lock)
    except BaseException:  # whatever it was: nobody could ever recover a journal that we keep locked
        lock.release()
        raise


def has_others(parent: Path, own: str | None) -> bool:
    """Whether anything is there beside the folder of one journal, by its name.

    Raises:
        HomeError: `parent` cannot be read.
    """
    return any(name != own for name in _names(parent))


def remove(folder: Path) -> None:
    """Remove a journal that nobody needs. The description goes first: if we are killed on the way, `sweep` knows what the rest is.

    Raises:
        OSError: something cannot be removed.
    """
    (folder / "journal.json").unlink(missing_ok=True)
    with contextlib.suppress(FileNotFoundError):  # somebody else was faster
        for path in [*folder.iterdir()]:
            path.unlink(missing_ok=True)
        folder.rmdir()


def sweep(parent: Path) -> None:
    """Clear away what processes left that were killed while they made or removed a journal; none of it holds an event that is needed."""
    for folder in _folders(parent):
        name = _OURS.fullmatch(folder.name)
        if name is None:
            continue
        # What cannot be cleared away is harmless, and the next sweep tries again.
        with contextlib.suppress(OSError):
            unnamed = name[1] is not None
            left = time.time() - folder.stat().st_mtime > _UNNAMED_SECONDS
            if left if unnamed else not all((folder / file).exists() for file in _ESSENTIAL):
                _remove_remains(folder)


def holds(parent: Path, own: Journal | None, task: str) -> bool:
    """Whether some journal under `parent` may still hold something for a task, or belongs to a process that may report to it.

    Args:
        parent: The folder of all journals of a target.
        own: The journal of this process, where only runs that are open count; what a run left there is delivered by us, in order.
        task: The task's id.
    """
    while True:
        names = _names(parent)
        # A recovery may rename a journal while we look: then what we opened is gone, or the list of names lacks the old name and the new.
        with contextlib.suppress(FileNotFoundError):
            if any(_holds(parent / name, own, task) for name in names):
                return True
            if _names(parent) == names:
                return False


def _look(folder: Path, target: str) -> Found | None:
    try:
        description = orjson.loads((folder / "journal.json").read_bytes())
        if not isinstance(description, dict):
            raise ValueError("not a JSON object")  # noqa: TRY004  # the same to the caller as no JSON at all
    except FileNotFoundError:
        if _OURS.fullmatch(folder.name) or not folder.exists():
            return None  # delivered meanwhile
        return Found(folder, {}, Left.DAMAGED, "it has no journal.json")
    except (OSError, ValueError) as error:
        return Found(folder, {}, Left.DAMAGED, f"its journal.json cannot be read ({error})")
    if description.get("format") != FORMAT_VERSION:
        why = f"it has format version {description.get('format')}, this atrains reads {FORMAT_VERSION}"
        return Found(folder, description, Left.UNKNOWN_VERSION, why)
    if not isinstance(description.get("journal"), str):
        return Found(folder, description, Left.DAMAGED, "its journal.json does not say which journal it is")
    if description.get("target") != target:
        return Found(folder, description, Left.FOREIGN, f"it belongs to {description.get('target')}")
    return Found(folder, description)


def _age(found: Found) -> tuple[float, str]:
    created = found.description.get("created")
    return (created if isinstance(created, float | int) else 0.0, found.folder.name)


def _remove_remains(folder: Path) -> None:
    try:
        lock = FolderLock(folder / "lock", create=False)
    except FileNotFoundError:
        remove(folder)
        return
    try:
        if lock.acquire() and lock.still_at(folder / "lock"):
            remove(folder)
    finally:
        lock.release()


def _folders(parent: Path) -> list[Path]:
    return [path for path in map(parent.joinpath, _names(parent)) if path.is_dir()]


def _names(parent: Path) -> list[str]:
    try:
        return sorted(os.listdir(parent))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise HomeError(error.errno, f"the journals in {parent} cannot be read: {error.strerror}; check its permissions") from error


def _holds(folder: Path, own: Journal | None, task: str) -> bool:
    try:
        return own.has_open_run(task) if own is not None and folder == own.folder else _mentions(folder, task)
    except NotADirectoryError:  # somebody's file
        return False


def _mentions(folder: Path, task: str) -> bool:
    """Whether a job, a series or a record is of a task.

    A search through the bytes: in a text that somebody reported, the quotes around the id would have backslashes before them.
    """
    name = f'"{task}"'.encode()
    return any(name in content for content in _contents(folder))


def _contents(folder: Path) -> Iterator[bytes]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith(("jobs", "series", "records-")):
            yield path.read_bytes()
