"""Zip and tar files, unpacked without trusting a word of what is inside. Blocking work. How folders are packed is in `archives`."""

from __future__ import annotations

import lzma
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from threading import Event
from typing import IO, Final

from atrains._wire.artifacts import human_size
from atrains.errors import StorageError

SUFFIXES: Final = (".zip", ".tar.gz", ".tgz")
"""What a file is called that official clients unpack on their own."""
MOST_ENTRIES: Final = 1_000_000
"""Files and folders of an archive."""
FREE_OF_DOUBT: Final = 1 << 30
"""Bytes to which any archive may unpack."""
MOST_GROWTH: Final = 200
"""Times its own size to which a larger one may: what is made of text or numbers stays far below, a bomb is thousands of times as large."""
_BLOCK: Final = 1 << 20
_DAMAGED: Final = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, RuntimeError, ValueError, OSError)
"""What a damaged archive raises."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """A file or a folder in an archive: what it says of itself, and how it is read (None for a folder)."""

    name: str
    size: int
    mode: int
    open: Callable[[], AbstractContextManager[IO[bytes]]] | None
    fault: str = ""


def is_archive(name: str) -> bool:
    """Whether a file is taken for an archive, by its name."""
    return name.lower().endswith(SUFFIXES)


def unpack_archive(path: Path, target: Path, *, stop: Event | None = None) -> Path:
    """Unpack a zip or tar file into `target`, all or nothing, and return it; a `target` that is there is taken as it is.

    Args:
        path: The archive; what it is shows in its content.
        target: The folder to make.
        stop: Set from another thread, it ends the unpacking at the next block.

    Raises:
        StorageError: if it is no archive, is damaged, does not fit on the disk, has more than 1,000,000 entries, grows to more than 1 GiB
            and 200 times its size, or has an entry that is a link or would be written outside of the folder; nothing is left.
    """
    if target.is_dir():
        return target
    partial_folder = target.with_name(f".{os.urandom(8).hex()}.partial")
    try:
        with ExitStack() as stack:
            entries = stack.enter_context(_opened(path))
            partial_folder.mkdir(parents=True)
            _unpack(entries, path, partial_folder, stop or Event())
        partial_folder.rename(target)
    except _DAMAGED as error:
        shutil.rmtree(partial_folder, ignore_errors=True)
        if target.is_dir():  # somebody else was faster
            return target
        if isinstance(error, StorageError):
            raise
        raise StorageError(f"{path} cannot be unpacked ({error}); fetch it again, or upload the artifact once more") from error
    return target


@contextmanager
def _opened(path: Path) -> Iterator[Iterator[_Entry]]:
    """The entries of an archive, in their order."""
    if tarfile.is_tarfile(path) and not zipfile.is_zipfile(path):
        with tarfile.open(path, "r:*") as tar:
            yield (_of_tar(tar, member) for member in tar)
    else:
        if not zipfile.is_zipfile(path):
            raise zipfile.BadZipFile("it is neither a zip nor a tar file, or was cut")
        with zipfile.ZipFile(path) as archive:
            entries = [_of_zip(archive, entry) for entry in archive.infolist()]
            for entry in entries:  # a zip file tells all of them at once: it is refused before anything is written
                _check(entry, path)
            yield iter(entries)


def _of_tar(tar: tarfile.TarFile, member: tarfile.TarInfo) -> _Entry:
    if member.isdir():
        return _Entry(member.name, 0, member.mode, None)

    def read() -> IO[bytes]:
        file = tar.extractfile(member)
        assert file is not None  # of a regular file there is one
        return file

    if member.issym() or member.islnk():
        fault = "is a link, which could lead anywhere"
    else:
        fault = "" if member.isreg() and member.size >= 0 else "is no regular file"
    return _Entry(member.name, member.size, member.mode, read, fault)


def _of_zip(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> _Entry:
    mode = entry.external_attr >> 16
    fault = "is a link, which could lead anywhere" if stat.S_ISLNK(mode) else ""
    return _Entry(entry.filename, entry.file_size, mode, None if entry.is_dir() else partial(archive.open, entry), fault)


def _check(entry: _Entry, path: Path) -> None:
    """Refuse the whole archive for one entry that would be written, or lead, elsewhere."""
    # Read both ways: an archive packed on one system is unpacked on another.
    parts = {*PurePosixPath(entry.name).parts, *PureWindowsPath(entry.name).parts}
    absolute = entry.name.startswith(("/", "\\")) or PureWindowsPath(entry.name).is_absolute()
    reason = "would be written outside of the folder" if absolute or ".." in parts else entry.fault
    if reason:
        raise StorageError(f"{path} was not unpacked: its entry {entry.name!r} {reason}; do not trust this file")


def _unpack(entries: Iterator[_Entry], path: Path, folder: Path, stop: Event) -> None:
    free, most = shutil.disk_usage(folder).free, max(FREE_OF_DOUBT, MOST_GROWTH * path.stat().st_size)
    total = 0
    for number, entry in enumerate(entries):
        _check(entry, path)
        total += entry.size  # no more than this is ever read of it
        if total > free:
            raise StorageError(f"{path} was not unpacked: it needs {human_size(total)} or more, and {human_size(free)} are free; make room")
        if total > most or number >= MOST_ENTRIES:
            grown = f"{human_size(total)} in {number + 1:,} entries of {human_size(path.stat().st_size)}"
            raise StorageError(
                f"{path} was not unpacked: {grown} or more would come of it, as of a file that is made to fill a disk; "
                "if you trust it, take the file itself and unpack it with a program of your own"
            )
        _write(entry, folder.joinpath(*PurePosixPath(entry.name).parts), stop, path)


def _write(entry: _Entry, target: Path, stop: Event, path: Path) -> None:
    if entry.open is None:
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with entry.open() as source, target.open("wb") as file:
        while block := source.read(_BLOCK):
            file.write(block)
            if stop.is_set():
                raise StorageError(f"unpacking {path} was cancelled")
    if entry.mode & 0o100:  # a program stays one, for whoever may read it; nothing else of its rights is taken over
        mode = target.stat().st_mode
        target.chmod(mode | (mode & 0o444) >> 2)
