"""The Storage protocol: what a place for files must do. Implementations: one file each beside this one; `registry` picks by scheme."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Final, NamedTuple, Protocol, TypeAlias, TypeVar

from atrains.errors import StorageError

Result = TypeVar("Result")
_USER: Final = re.compile(r"(?<=://)[^/?#]*@")
Progress: TypeAlias = Callable[[int], None]
"""Told how many bytes of a file have gone, from any thread; fewer than before where a transfer begins anew."""


def shown(url: str) -> str:
    """A URL as messages name it: without the user and password that may stand in it."""
    return _USER.sub("", url)


class UnreachableError(StorageError):
    """The place cannot take or give a file now, and may do so later: it is away, or its disk is full."""


class SourceError(StorageError):
    """The file that is to be stored cannot be read."""


class ChangedError(SourceError):
    """The file that is to be stored changed while it was read."""


READ_AGAIN: Final = 0.2
"""Seconds until a file that changed while it was read is read once more."""


class OtherFileError(StorageError):
    """The file at a place is not the one that was recorded there."""


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


class FileInfo(NamedTuple):
    """What is known of a file without fetching it.

    Attributes:
        url: Where it is.
        path: Its path below the URL that was listed, with `/`; its name where it was asked for itself.
        size: Bytes; None where the place does not say.
        modified: When it was stored, in seconds since 1970; None where the place does not say.
    """

    url: str
    path: str
    size: int | None
    modified: float | None


class Storage(Protocol):
    """One kind of place. Every method may be called many times at once; a reader never sees half a file."""

    async def put(self, source: Path, target_url: str, *, progress: Progress | None = None, still: bool = False) -> StoredFile:
        """Store a file, replacing what is there.

        Args:
            source: The file.
            target_url: Where to.
            progress: Told how far it is.
            still: Whether nobody will ever write to the source again, so that a link to it is as good as a copy.

        Raises:
            SourceError: the source cannot be read; `ChangedError` if it changed meanwhile.
            UnreachableError: the target cannot be written now.
            StorageError: it never can. Nothing half-written is left, whatever is raised.
        """
        ...

    async def get(self, url: str, target: Path, *, kept: Path | None = None) -> StoredFile:
        """Fetch a file, replacing `target`.

        Args:
            url: Where it is.
            target: Where to.
            kept: A file that holds what came, where the transfer fails, is cancelled or killed: the next one goes on from there, if the
                place can tell that it is the same file. Nobody else may use it meanwhile. Without it nothing is left.

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

    async def stat(self, url: str) -> FileInfo | None:
        """What is known of a file; None when there is none."""
        ...

    def list(self, url: str) -> AsyncGenerator[FileInfo]:
        """Yield every file below a URL, at any depth, or the one that it names itself; nothing where there is none.

        Raises:
            StorageError: this kind of place has no way to list files.
        """
        ...

    def local_path(self, url: str) -> Path | None:
        """The file itself where it can be read in place, without a copy; None otherwise. Says nothing of whether it exists."""
        ...
