"""Blocking work on local files, for worker threads: an atomic copy with its checksum, or that alone. Who copies what is elsewhere."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import BinaryIO, Final

from atrains._storage.base import ChangedError, Progress, SourceError, UnreachableError
from atrains.errors import StorageError

_BLOCK: Final = 1 << 20
"""Bytes read at once: large enough that the interpreter lock is let go of for nearly all of the time."""


_PASSING: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.ESTALE, errno.EMFILE, errno.ENFILE})
"""What is wrong with a disk that may be put right."""


def hash_file(path: Path, *, stop: Event | None = None, progress: Progress | None = None) -> tuple[str, int]:
    """Return the SHA-256 of a file, in hex, and its size.

    Args:
        path: The file.
        stop: Set from another thread, it ends the reading at the next block.
        progress: Told how many bytes were read.

    Raises:
        StorageError: it cannot be read, is no regular file, or changed meanwhile.
    """
    digest = hashlib.sha256()
    size = 0
    for block in read_blocks(path):
        digest.update(block)
        size += len(block)
        if progress is not None:
            progress(size)
        if stop is not None and stop.is_set():
            raise StorageError(f"reading {path} was cancelled")
    return digest.hexdigest(), size


def link_file(source: Path, target: Path, *, stop: Event, progress: Progress | None = None) -> tuple[str, int] | None:
    """Like `copy_file`, by a second name of the same file; None where that cannot be, such as on another disk.

    Raises:
        StorageError: the source cannot be read, or `stop` was set.
    """
    found = hash_file(source, stop=stop, progress=progress)
    partial = target.parent / f".{os.urandom(8).hex()}.partial"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(source, partial)
        partial.replace(target)
    except (OSError, AttributeError):  # whatever keeps it from being linked, copying tells whether it can be stored at all
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        return None
    with suppress(OSError):  # to replace a name of a file by another one of the same file leaves both
        partial.unlink(missing_ok=True)
    return found


def copy_file(source: Path, target: Path, *, stop: Event, progress: Progress | None = None) -> tuple[str, int]:
    """Copy a file so that `target` is always the old file or the whole new one; return SHA-256 and size of what was written.

    Args:
        source: A regular file.
        target: Its folder is made where it is missing.
        stop: Set from another thread, it ends the copying at the next block.
        progress: Told how many bytes were written.

    Raises:
        StorageError: the source cannot be read or changed meanwhile, the target cannot be written, or `stop` was set; nothing is left.
    """
    digest = hashlib.sha256()
    size = 0
    # In the folder of the target: a rename is atomic only there. A name of its own: the target's may be as long as a name can be.
    partial = target.parent / f".{os.urandom(8).hex()}.partial"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("xb") as file:
            for block in read_blocks(source):
                file.write(block)
                digest.update(block)
                size += len(block)
                if progress is not None:
                    progress(size)
                if stop.is_set():
                    raise StorageError(f"copying {source} to {target} was cancelled")
        partial.replace(target)
    except OSError as error:
        with suppress(OSError):  # the folder is gone or read-only; the error that led here is the one to tell
            partial.unlink(missing_ok=True)
        if isinstance(error, StorageError):
            raise
        reason = error.strerror or error
        kind = UnreachableError if error.errno in _PASSING else StorageError
        raise kind(f"{target} cannot be written ({reason}); check the folder, its permissions and the room left") from error
    return digest.hexdigest(), size


def read_blocks(path: Path) -> Iterator[bytes]:
    """Yield the content of a file that stands still.

    Raises:
        StorageError: it cannot be read, is no regular file, or changed meanwhile, which shows at the end.
    """
    try:
        # Looked at before it is opened: opening a pipe would wait for its other end.
        if not path.is_file():
            raise SourceError(f"there is no regular file {path}; check the path")
        with path.open("rb") as file:
            before = os.fstat(file.fileno())
            yield from read_no_further(file, before.st_size)
            check_still(path, file, before)
    except OSError as error:
        if isinstance(error, StorageError):
            raise
        raise SourceError(f"{path} cannot be read ({error.strerror or error}); check that it is there and readable") from error


def check_still(path: Path, file: BinaryIO, before: os.stat_result) -> None:
    """Check that a file that was read was neither written to meanwhile, nor replaced.

    Args:
        path: Its path.
        file: What was read.
        before: What it was before that.

    Raises:
        ChangedError: it was.
        OSError: it cannot be looked at; `FileNotFoundError` where it was removed.
    """
    if {_stamp(os.fstat(file.fileno())), _stamp(path.stat())} != {_stamp(before)}:
        raise ChangedError(f"{path} changed while it was read; try again when nothing writes to it any more")


def read_no_further(file: BinaryIO, size: int) -> Iterator[bytes]:
    """Yield what a file holds up to the size that it had in the beginning.

    A writer as fast as this reader would keep it here for ever. `check_still` sees the change.
    """
    while size > 0 and (block := file.read(min(_BLOCK, size))):
        size -= len(block)
        yield block


def _stamp(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_ino, status.st_size, status.st_mtime_ns
