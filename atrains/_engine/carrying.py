"""What is done for one upload, whoever asks for it: the queue of a run, or a recovery. No order, no waiting for a home that is away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from atrains._engine.upload import Upload
from atrains._storage.base import READ_AGAIN, ChangedError, StoredFile
from atrains.errors import StorageError

if TYPE_CHECKING:
    from atrains._storage.registry import StorageRegistry

_log = logging.getLogger("atrains")


async def carry(upload: Upload, storages: StorageRegistry, note: Callable[[int], None] | None = None) -> StoredFile | None:
    """Store the file of an upload; one that changes meanwhile is read once more.

    Returns:
        What was stored; None where there is nothing to store.

    Raises:
        UnreachableError: it cannot be stored now.
        StorageError: it never can.
    """
    if upload.source is None:
        return None
    storage = await storages.open(upload.url)
    try:
        stored = await storage.put(upload.source, upload.url, progress=note, still=upload.ours)
    except ChangedError:
        await asyncio.sleep(READ_AGAIN)
        stored = await storage.put(upload.source, upload.url, progress=note, still=upload.ours)
    if upload.sha256 is not None and stored.sha256 != upload.sha256:
        raise StorageError(f"{upload.source} is not what was written to it (SHA-256 {stored.sha256}, not {upload.sha256}); check the disk")
    return stored


def clear_away(upload: Upload, *, is_stored: bool, begun: float) -> None:
    """Remove the source of an upload that is over: ours in any case, the user's once it is stored and if that was asked for. Blocks.

    Args:
        upload: Which.
        is_stored: Whether its file is there and recorded.
        begun: When its file was begun to be read, in seconds since the epoch.
    """
    if upload.ours and upload.source is not None:
        with suppress(OSError):  # it goes with the journal's folder
            upload.source.unlink(missing_ok=True)
    for path in map(Path, upload.remove if is_stored else ()):
        try:
            _remove(path, upload.since or begun)
        except OSError as error:
            _log.warning("atrains: %s was uploaded but cannot be removed (%s)", path, error.strerror or error)


def _remove(path: Path, since: float) -> None:
    import shutil

    if newer := next((found for found in _with_all_in(path) if found.lstat().st_mtime > since), None):
        _log.warning("atrains: %s is kept although it was uploaded: %s changed after that", path, newer)
    elif path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _with_all_in(path: Path) -> Iterator[Path]:
    if path.is_symlink() or path.exists():
        yield path
    if path.is_dir() and not path.is_symlink():
        yield from path.rglob("*")
