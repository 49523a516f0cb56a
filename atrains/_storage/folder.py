"""Files in folders of this machine: plain paths and `file://` URLs. The work on the files is in `copying`."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncGenerator, Callable, Iterator
from itertools import islice
from pathlib import Path, PurePosixPath
from stat import S_ISREG
from threading import Event
from typing import Final

from atrains._storage.base import FileInfo, Progress, Result, RunInThread, StoredFile
from atrains._storage.copying import copy_file, link_file
from atrains._wire.artifacts import HOME_URL
from atrains.errors import StorageError

_FILE_URL: Final = re.compile(r"file://(?P<host>[^/\\]*)(?P<path>.*)", re.IGNORECASE | re.DOTALL)
_DRIVE: Final = re.compile(r"/[A-Za-z]:(?:[/\\]|$)")
_ON_ITS_WAY: Final = re.compile(r"\.[0-9a-f]{16}\.partial")
_BATCH: Final = 256
"""Files that are looked at in one turn of a worker thread."""


class FolderStorage:
    """Implements Storage on the file system.

    Args:
        run: Runs blocking work in a worker thread.
        home: The local home, for `home://` URLs.
    """

    def __init__(self, run: RunInThread = asyncio.to_thread, *, home: Path | None = None) -> None:
        self._run = run
        self._home = home

    async def put(self, source: Path, target_url: str, *, progress: Progress | None = None, still: bool = False) -> StoredFile:
        """Copy a file to a path or `file://` URL; see `Storage.put`."""
        return await self._copy(source, self._path(target_url), target_url, progress=progress, still=still)

    async def get(self, url: str, target: Path, *, kept: Path | None = None) -> StoredFile:
        """Copy a file from a path or `file://` URL; see `Storage.get`. It is begun anew each time."""
        del kept
        return await self._copy(self._path(url), target, url)

    async def delete(self, url: str) -> bool:
        """Remove a file; see `Storage.delete`. Its folder stays."""
        return await self._run(_bind(_delete, self._path(url)))

    async def exists(self, url: str) -> bool:
        """Whether there is a regular file; see `Storage.exists`."""
        return await self._run(self._path(url).is_file)

    async def stat(self, url: str) -> FileInfo | None:
        """Size and time of a regular file; see `Storage.stat`."""
        path = self._path(url)
        return await self._run(lambda: _info(url, path, path.name))

    async def list(self, url: str) -> AsyncGenerator[FileInfo]:
        """Yield the files below a folder; see `Storage.list`. Links to folders are not followed."""
        found = _walk(url, self._path(url))
        while batch := await self._run(lambda: [*islice(found, _BATCH)]):
            for info in batch:
                yield info

    def local_path(self, url: str) -> Path | None:
        """The path of the file; see `Storage.local_path`."""
        return self._path(url)

    def _path(self, url: str) -> Path:
        if self._home is not None and url.startswith(HOME_URL):
            path = PurePosixPath(url.removeprefix(HOME_URL))
            if path.is_absolute() or ".." in path.parts:
                raise StorageError(f"{url!r} leads out of the home; write home://folder/file, or file:///absolute/path for another place")
            return self._home / path
        return to_path(url)

    async def _copy(self, source: Path, target: Path, url: str, *, progress: Progress | None = None, still: bool = False) -> StoredFile:
        stop = Event()

        def work() -> tuple[str, int]:
            linked = link_file(source, target, stop=stop, progress=progress) if still else None
            return linked or copy_file(source, target, stop=stop, progress=progress)

        try:
            digest, size = await self._run(work)
        finally:
            # A cancelled caller leaves the thread behind: it must not go on copying gigabytes, nor put them in place afterwards.
            stop.set()
        return StoredFile(url=url, size=size, sha256=digest)


def to_path(url: str) -> Path:
    """Return the absolute path that a path or a `file://` URL stands for.

    Such a URL is the raw path behind `file://`: nothing in it is percent-quoted, as other clients write and read it.

    Raises:
        StorageError: if the URL names another machine, or nothing.
    """
    found = _FILE_URL.fullmatch(url)
    if found is None:
        path = url
    elif found["host"] in {"", "localhost"}:
        path = found["path"][1:] if _DRIVE.match(found["path"]) else found["path"]
    else:
        raise StorageError(f"{url!r} names the machine {found['host']!r}; write a local path as file:///absolute/path")
    if not path or "\0" in path:
        raise StorageError(f"{url!r} names no file; give a path or a URL such as file:///absolute/path")
    return Path(path).absolute()


def _info(url: str, path: Path, relative: str) -> FileInfo | None:
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StorageError(f"{path} cannot be read ({error.strerror or error}); check that it is readable") from error
    return FileInfo(url, relative, status.st_size, status.st_mtime) if S_ISREG(status.st_mode) else None


def _walk(url: str, root: Path) -> Iterator[FileInfo]:
    """What can be fetched below a folder, in the order of names; nothing that is only on its way there."""
    itself = _info(url, root, root.name)
    if itself is not None:
        yield itself
        return
    below = "home:/" if url == HOME_URL else url.rstrip("/")
    for parent, folders, names in os.walk(root, onerror=_refuse):
        folders.sort()
        for path in (Path(parent, name) for name in sorted(names) if not _ON_ITS_WAY.fullmatch(name)):
            relative = path.relative_to(root).as_posix()
            info = _info(f"{below}/{relative}", path, relative)
            if info is not None:
                yield info


def _refuse(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise StorageError(f"{error.filename} cannot be listed ({error.strerror or error}); check its permissions") from error


def _bind(work: Callable[[Path], Result], path: Path) -> Callable[[], Result]:
    return lambda: work(path)


def _delete(path: Path) -> bool:
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        reason = error.strerror or error
        raise StorageError(f"{path} cannot be removed ({reason}); check that it is a file and its folder writable") from error
    return True
