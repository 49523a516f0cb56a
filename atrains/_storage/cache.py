"""Fetched files below a folder of this machine, shared by all its processes. How they are fetched, and unpacked, is the caller's.

An entry is a folder, named by what was asked for:

    <context>/<key>/.used      locked, shared, by each process that uses the entry; its time is that of the last use
                    .lock      locked by who fetches or unpacks
                    .partial   what came of a file so far, and beside it of which version of the file it is
                    .entry     what the file is: URL, size, SHA-256
                    file/      the file, under the last part of its URL
                    unpacked/  a folder for each version of the file that was unpacked, and beside it
                    .unpacked  how many bytes came of that

An entry is removed as a whole, by a rename, by whoever holds `.used` alone: never while it is fetched, read to be checked or unpacked, nor
while it is one of the last that a living process was given.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import shutil
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event
from typing import Final
from urllib.parse import unquote, urlsplit

from atrains._config import Settings
from atrains._storage.base import OtherFileError, RunInThread, StoredFile, shown
from atrains._storage.copying import hash_file
from atrains._storage.layout import escape_component
from atrains._storage.locks import FolderLock
from atrains.errors import AtrainsError, StorageError

Fetch = Callable[[Path, Path], Awaitable[StoredFile]]
"""Puts a file at the first path; at the second it may keep what came of it when it fails. See `Storage.get`."""
Unpack = Callable[[Path, Path, Event], object]
"""Unpacks an archive to a folder, all or nothing; ends early once the event is set. For a worker thread."""

DEFAULT_CONTEXT: Final = "global"
RECENT: Final = 8
"""Entries that each process keeps from being removed: those that it was given last."""
_FIRST_LOOK: Final = 0.01
_LAST_LOOK: Final = 0.25
"""Seconds between two looks whether another one is done with an entry."""
_ARCHIVE_SUFFIX: Final = re.compile(r"(?:\.tar)?\.\w+$")
_recent: Final[deque[FolderLock]] = deque()


@dataclass(frozen=True, slots=True)
class CacheLimits:
    """How much is kept; the least recently used goes first.

    Attributes:
        max_bytes: Of all entries of a context together, with what was unpacked.
        max_files: Entries of a context.
    """

    max_bytes: int
    max_files: int


class FileCache:
    """The fetched files of one context.

    Args:
        folder: Its folder; made when it is not there.
        limits: How much is kept.
        run: Runs what blocks in a worker thread.
    """

    def __init__(self, folder: Path, limits: CacheLimits, run: RunInThread = asyncio.to_thread) -> None:
        self._folder = folder
        self._limits = limits
        self._run = run

    async def get(
        self, url: str, fetch: Fetch, *, sha256: str = "", size: int | None = None, force: bool = False, unpack: Unpack | None = None
    ) -> Path:
        """The file of a URL, fetched where it is not here or was damaged here. One process fetches it, the others wait.

        Args:
            url: Where it is.
            fetch: Fetches it.
            sha256: What its content is recorded to be, in hex: another content at the same URL is another entry.
            size: Bytes that it is recorded to have.
            force: Fetch it although it is here.
            unpack: Gives the folder that the file was unpacked to in place of the file.

        Raises:
            StorageError: it cannot be fetched, is not what was recorded, or the folder of the cache cannot be written.
        """
        sha256 = sha256.lower()
        entry = _Entry(self._folder / _digest(url, sha256), _file_name(url))
        with _as_ours(self._folder):
            async with self._using(entry):
                if force or not await self._run(partial(entry.is_whole, size)):
                    async with self._changing(entry):
                        if force or not await self._run(partial(entry.is_whole, size)):  # somebody else was faster
                            await self._fetch(entry, fetch, url, sha256, size)
                if unpack is None:
                    return entry.file
                version = await self._run(entry.version)
                return await self._unpacked(entry, entry.file, entry.unpacked(version), unpack)

    async def unpack(self, archive: Path, unpack: Unpack) -> Path:
        """The folder that an archive of this machine was unpacked to; anew after the archive has changed.

        Raises:
            StorageError: it cannot be read or unpacked, or the folder of the cache cannot be written.
        """
        try:
            status = await self._run(archive.stat)
        except OSError as error:
            raise StorageError(f"{archive} cannot be read ({error.strerror or error}); check that it is there and readable") from error
        version = f"{status.st_dev} {status.st_ino} {status.st_size} {status.st_mtime_ns}"
        entry = _Entry(self._folder / _digest(str(archive), version), archive.name)
        with _as_ours(self._folder):
            async with self._using(entry):
                return await self._unpacked(entry, archive, entry.unpacked("local"), unpack)

    @asynccontextmanager
    async def _using(self, entry: _Entry) -> AsyncIterator[None]:
        """Keep an entry from being removed while the block lasts and, if it ends well, for a while after it."""
        lock = await self._locked(entry.take)
        try:
            yield
        except BaseException:  # whatever ended the block, a cancellation too: nobody reads the entry any more
            lock.release()
            raise
        else:
            _recent.append(lock)
            while len(_recent) > min(RECENT, self._limits.max_files):
                with suppress(IndexError):  # another thread did it
                    _recent.popleft().release()
        finally:
            if entry.is_changed:
                await self._run(self.shrink)

    @asynccontextmanager
    async def _changing(self, entry: _Entry) -> AsyncIterator[None]:
        """Be the one who changes an entry; waits for who does."""
        lock = await self._locked(entry.take_over)
        try:
            yield
        finally:
            lock.release()

    async def _locked(self, take: Callable[[], FolderLock | None]) -> FolderLock:
        """The lock, once nobody is in its way any more; no system tells when that is, so it is tried now and then."""
        rest = _FIRST_LOOK
        while True:
            lock = await self._run(take)
            if lock is not None:
                return lock
            await asyncio.sleep(rest)
            rest = min(2 * rest, _LAST_LOOK)

    async def _fetch(self, entry: _Entry, fetch: Fetch, url: str, sha256: str, size: int | None) -> None:
        entry.is_changed = True
        problem = ""
        for _ in range(2):  # what was kept of an earlier transfer may have been of another file after all
            stored = await fetch(entry.arriving, entry.kept)
            problem = _difference(stored, sha256, size)
            if not problem:
                return await self._run(partial(entry.place, url, stored))
            await self._run(partial(entry.arriving.unlink, missing_ok=True))
        raise OtherFileError(
            f"what is at {shown(url)} is not the file that was recorded ({problem}); store it again, or ask who has replaced it"
        )

    async def _unpacked(self, entry: _Entry, archive: Path, target: Path, unpack: Unpack) -> Path:
        if await self._run(target.is_dir):
            return target
        entry.is_changed = True
        async with self._changing(entry):
            stop = Event()
            work = asyncio.ensure_future(self._run(partial(entry.unpack, archive, target, unpack, stop)))
            try:
                await asyncio.shield(work)
            except asyncio.CancelledError:
                stop.set()
                await asyncio.wait({work})  # nothing may be left of it once the next one begins
                if not work.cancelled():
                    work.exception()  # seen: that it was stopped is no news
                raise
        return target

    def shrink(self) -> None:
        """Remove what was not used for longest, until the limits hold; blocking. What is in use stays, however much it is."""
        entries = sorted(self._entries())
        count, total = len(entries), sum(size for _, size, _ in entries)
        for used, size, folder in entries:
            too_much = count > self._limits.max_files or total > self._limits.max_bytes
            if (too_much or used < 0) and self._remove(folder):
                count, total = count - 1, total - size

    def _entries(self) -> Iterator[tuple[float, int, Path]]:
        """Last use, bytes and folder of each entry; an entry that holds nothing is one of before all times."""
        for folder in [*self._folder.iterdir()]:
            if folder.name.endswith(_GONE):  # whoever renamed it was killed
                shutil.rmtree(folder, ignore_errors=True)
                continue
            size = _Entry(folder, "").size()
            with suppress(OSError):  # it was removed meanwhile, is no entry, or another user's
                yield (folder / _USED).stat().st_mtime if size else -1.0, size, folder

    def _remove(self, folder: Path) -> bool:
        """Remove an entry that nobody uses; says whether it is gone."""
        used = folder / _USED
        gone = folder.with_name(f".{os.urandom(8).hex()}{_GONE}")
        try:
            lock = FolderLock(used, create=False)
        except FileNotFoundError:  # not an entry yet: whoever makes it begins anew
            with suppress(OSError):
                folder.rmdir()
            return not folder.exists()
        except OSError:  # another user's
            return False
        try:
            if not lock.acquire() or not lock.still_at(used):
                return not folder.exists()
            folder.rename(gone)
        except OSError:  # gone already, or not ours to rename: then it stays
            return not folder.exists()
        finally:
            lock.release()
        shutil.rmtree(gone, ignore_errors=True)
        return True


_USED: Final = ".used"
_GONE: Final = ".gone"


class _Lock(FolderLock):
    """A lock that is released when nobody knows of it any more: a cancelled caller does not get it from the thread that took it."""

    def __del__(self) -> None:
        self.release()


class _Entry:
    """The paths of an entry, and blocking work on them.

    Attributes:
        is_changed: Whether something was added here, so that the limits have to be looked at.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.used = folder / _USED
        self.lock = folder / ".lock"
        self.kept = folder / ".partial"
        self.arriving = folder / ".whole"
        self.note = folder / ".entry"
        self.file = folder / "file" / name
        self.growth = folder / ".unpacked"
        self.is_changed = False

    def take(self) -> FolderLock | None:
        """Make the entry where it is not there, and use it; None where it is removed at this moment."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = _Lock(self.used)
            if lock.acquire(shared=True) and lock.still_at(self.used):
                os.utime(self.used)
                return lock
        except FileNotFoundError:
            return None
        lock.release()
        return None

    def take_over(self) -> FolderLock | None:
        """Be the one who changes the entry; None where another one is."""
        lock = _Lock(self.lock)
        if lock.acquire():
            return lock
        lock.release()
        return None

    def unpacked(self, version: str) -> Path:
        """The folder that a version of the file is unpacked to. Others may be reading what an older one became."""
        return self.folder / "unpacked" / version / (_ARCHIVE_SUFFIX.sub("", self.file.name) or "archive")

    def version(self) -> str:
        """What tells the content that is here from others."""
        return str(json.loads(self.note.read_bytes())["sha256"])[:16]

    def is_whole(self, size: int | None) -> bool:
        """Whether the file is here as it came: its size, and its content where it was touched since."""
        try:
            note = json.loads(self.note.read_bytes())
            status = self.file.stat()
            if status.st_size != note["size"] or size not in {None, status.st_size}:
                return False
            if [status.st_ino, status.st_mtime_ns] == note["stamp"]:
                return True
            return hash_file(self.file) == (note["sha256"], note["size"])
        except (OSError, ValueError, KeyError, TypeError):  # not here, or damaged
            return False

    def place(self, url: str, stored: StoredFile) -> None:
        """Put what was fetched in its place."""
        self.file.parent.mkdir(exist_ok=True)
        status = self.arriving.stat()
        self.arriving.replace(self.file)
        # Afterwards: who is killed in between has a file here that is not the noted one, and is checked by its content.
        note = {"url": url, "size": stored.size, "sha256": stored.sha256, "stamp": [status.st_ino, status.st_mtime_ns]}
        written = self.note.with_name(".entry.written")
        written.write_text(json.dumps(note), "utf-8")
        written.replace(self.note)

    def unpack(self, archive: Path, target: Path, unpack: Unpack, stop: Event) -> None:
        """Unpack an archive; what an earlier attempt left is removed first."""
        if not target.is_dir():  # nobody was faster
            shutil.rmtree(target.parent, ignore_errors=True)
            try:
                unpack(archive, target, stop)
            except BaseException:  # whatever it was, what is half unpacked must not be taken for the whole
                shutil.rmtree(target.parent, ignore_errors=True)
                raise
            grown = sum(_bytes(Path(parent)) for parent, _, _ in os.walk(self.folder / "unpacked"))
            self.growth.write_text(str(grown), "utf-8")  # read each time that the limits are looked at, where counting takes long

    def size(self) -> int:
        """Bytes of everything in the entry, names left aside."""
        grown = 0
        with suppress(OSError, ValueError):
            grown = int(self.growth.read_text("utf-8"))
        return _bytes(self.folder) + _bytes(self.folder / "file") + grown


def _bytes(folder: Path) -> int:
    """Bytes of the files in a folder, not of those in folders below it."""
    total = 0
    with suppress(OSError), os.scandir(folder) as found:  # not there (any more), or another user's
        for each in found:
            with suppress(OSError):
                total += each.stat(follow_symlinks=False).st_size if each.is_file(follow_symlinks=False) else 0
    return total


def cache_of(settings: Settings, context: str | None, run: RunInThread, *, max_files: int | None = None) -> FileCache:
    """The cache of a context in the configured folder, with the configured limits.

    Args:
        settings: Those of the home.
        context: Its name; the common one by default.
        run: Runs what blocks in a worker thread.
        max_files: In place of the configured limit.
    """
    limits = CacheLimits(settings.cache.max_bytes, max_files or settings.cache.max_files)
    return FileCache(settings.home.cache_dir / "storage_manager" / escape_component(context or DEFAULT_CONTEXT), limits, run)


def _digest(url: str, version: str) -> str:
    return hashlib.sha256(f"{url}\n{version}".encode(errors="surrogatepass")).hexdigest()[:32]


def _file_name(url: str) -> str:
    """The last part of a URL, fit for a path."""
    path = unquote(urlsplit(url).path) if url.lower().startswith(("http://", "https://")) else url
    return escape_component(path.rstrip("/").rpartition("/")[2])


def _difference(stored: StoredFile, sha256: str, size: int | None) -> str:
    """What tells a file that came from the recorded one; nothing where it is the same as far as known."""
    if size is not None and stored.size != size:
        return f"{stored.size:,} bytes, recorded {size:,}"
    return f"SHA-256 {stored.sha256}, recorded {sha256}" if sha256 not in {"", stored.sha256} else ""


@contextmanager
def _as_ours(folder: Path) -> Iterator[None]:
    """Turn what the file system says of the cache's folder into our error."""
    try:
        yield
    except OSError as error:
        if isinstance(error, AtrainsError | TimeoutError):
            raise
        raise StorageError(
            f"the cache {folder} cannot be used ({error.strerror or error}); make room there, or name another folder in ATRAINS_CACHE_DIR"
        ) from error
