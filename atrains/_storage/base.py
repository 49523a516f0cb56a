"""The Storage protocol: what a place for files must do. Implementations: one file each beside this one; `registry` picks by scheme."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

Result = TypeVar("Result")


class RunInThread(Protocol):
    """Runs blocking work where it does not hold the event loop, such as `asyncio.to_thread`."""

    def __call__(self, work: Callable[[], Result], /) -> Awaitable[Result]:
        """Run `work` in a worker thread; awaiting gives its result."""
        ...


class StoredFile(NamedTuple):
    """A file as it was written.

    Attributes:
        url: Where it is.
        size: Bytes.
        sha256: Of the bytes that were written, in hex; compare it with what was meant to be stored.
    """

    url: str
    size: int
    sha256: str


class Storage(Protocol):
    """One kind of place. Every method may be called many times at once; a reader never sees half a file."""

    async def put(self, source: Path, target_url: str) -> StoredFile:
        """Store a file, replacing what is there.

        Raises:
            StorageError: the source cannot be read or changed meanwhile, or the target cannot be written. Nothing half-written is left.
        """
        ...

    async def get(self, url: str, target: Path) -> StoredFile:
        """Fetch a file, replacing `target`.

        Raises:
            StorageError: there is no such file, or it cannot be read or written.
        """
        ...

    async def delete(self, url: str) -> bool:
        """Remove a file; False when there was none.

        Raises:
            StorageError: it is there and cannot be removed.
        """
        ...

    async def exists(self, url: str) -> bool:
        """Whether there is a file."""
        ...

    def local_path(self, url: str) -> Path | None:
        """The file itself where it can be read in place, without a copy; None otherwise. Says nothing of whether it exists."""
        ...
