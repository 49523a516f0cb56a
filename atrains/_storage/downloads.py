"""A file on its way here over http(s): a partial file, put in its place when it is whole, and taken up again where it was kept."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Lock
from typing import IO, Final

import aiohttp

from atrains._storage.base import RunInThread
from atrains._transport.failures import UnavailableError
from atrains.errors import StorageError

_PIECE: Final = 1 << 20


class Download:
    """What came of a file so far.

    Args:
        run: Runs what blocks in a worker thread.
        target: Where the whole file goes.
        kept: A partial file that outlives a transfer that fails, is cancelled or killed; which version of the file it is of stands beside
            it. None for one that is removed then.

    Attributes:
        size: Bytes so far.
        digest: Their SHA-256.
    """

    def __init__(self, run: RunInThread, target: Path, *, kept: Path | None = None) -> None:
        self._run = run
        self._target = target
        self._partial = kept or target.parent / f".{os.urandom(8).hex()}.partial"
        self._note = kept and kept.with_name(f"{kept.name}.version")
        self._file: IO[bytes] | None = None
        self._using = Lock()  # whoever is cancelled leaves a thread behind that writes still: the file is closed after it
        self._is_closed = False
        self._version = ""
        self._waiting = bytearray()
        self.digest = hashlib.sha256()
        self.size = 0

    async def open(self) -> None:
        """Make the partial file, or take up the one that is there."""
        await self._on_disk(self._make)

    def _make(self) -> None:
        with self._using:
            if self._is_closed:  # cancelled before this began
                return
            self._target.parent.mkdir(parents=True, exist_ok=True)
            if self._note is None:
                self._file = self._partial.open("xb")
                return
            self._file = self._partial.open("a+b")
            with suppress(FileNotFoundError, UnicodeDecodeError):
                self._version = self._note.read_text("utf-8")
            if not self._version:  # nobody can say whether the rest would be of the same file
                self._file.truncate(0)
            self._file.seek(0)
            while block := self._file.read(_PIECE):
                self.digest.update(block)
                self.size += len(block)

    def range_headers(self) -> dict[str, str]:
        """What to ask for: the rest of the version that was begun, where the server told versions apart."""
        if not self.size or not self._version:
            return {}
        return {"Range": f"bytes={self.size}-", "If-Range": self._version}

    async def begin(self, response: aiohttp.ClientResponse) -> None:
        """Take note of what comes: the rest, or all of it anew."""
        etag = response.headers.get("ETag", "")
        version = response.headers.get("Last-Modified", "") if not etag or etag.startswith("W/") else etag
        self._waiting.clear()
        begins = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
        if response.status != 206:
            await self.start_over(version)
        elif begins != str(self.size) or version not in {"", self._version}:
            # Not every server looks at the version that it is asked for a part of.
            await self.start_over()
            raise UnavailableError("the server sent a part of another file than the one that was begun", connected=True)

    async def start_over(self, version: str = "") -> None:
        """Forget what came; what comes next is of this version of the file."""
        await self._on_disk(partial(self._empty, version))

    def _empty(self, version: str) -> None:
        with self._using:
            assert self._file is not None
            self._file.seek(0)
            self._file.truncate()
            self.digest, self.size, self._version = hashlib.sha256(), 0, version
            if self._note is not None:  # after the file was emptied: a kill in between leaves nothing that could be mixed up
                self._note.write_text(version, "utf-8")

    async def write(self, piece: bytes) -> None:
        """Add to it; small pieces are gathered."""
        self._waiting += piece
        if len(self._waiting) >= _PIECE:
            await self.flush()

    async def flush(self) -> None:
        """Write what was gathered."""
        if self._waiting:
            piece, self._waiting = self._waiting, bytearray()
            await self._on_disk(partial(self._write, piece))

    def _write(self, piece: bytearray) -> None:
        with self._using:
            if self._file is None or self._is_closed:  # as above
                return
            self._file.write(piece)
            self._file.flush()
            self.digest.update(piece)
            self.size += len(piece)

    async def finish(self) -> None:
        """Put it in its place."""
        await self._on_disk(self._place)

    def _place(self) -> None:
        with self._using:
            assert self._file is not None
            self._file.close()
            self._partial.replace(self._target)
            if self._note is not None:
                self._note.unlink(missing_ok=True)

    async def close(self) -> None:
        """Let go of the partial file, and remove it where it is not kept."""
        await asyncio.shield(self._run(self._let_go))

    def _let_go(self) -> None:
        with self._using:
            self._is_closed = True
            if self._file is None:
                return
            self._file.close()
            if self._note is None:
                with suppress(OSError):
                    self._partial.unlink(missing_ok=True)

    async def _on_disk(self, work: Callable[[], None]) -> None:
        try:
            await self._run(work)
        except OSError as error:
            reason = error.strerror or error
            raise StorageError(
                f"{self._target} cannot be written ({reason}); check the folder, its permissions and the room left"
            ) from error
