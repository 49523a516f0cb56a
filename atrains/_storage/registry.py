"""Which storage serves a URL, by its scheme. The drivers are made at first use, so that a scheme costs nothing until it is met."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from atrains._storage.base import RunInThread, Storage
from atrains.errors import StorageError

if TYPE_CHECKING:
    from atrains._transport.client import HttpClient  # aiohttp is slow to import, and only http(s) needs it

# At least two letters: one letter is a drive.
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")

StorageFactory = Callable[[], Storage]


class StorageRegistry:
    """The storages of one event loop, by scheme.

    Args:
        factories: What makes each.
        run: Runs what blocks in a worker thread.
    """

    def __init__(self, factories: Mapping[str, StorageFactory], run: RunInThread = asyncio.to_thread) -> None:
        self._factories = dict(factories)
        self._run = run
        self._made: dict[str, Storage] = {}

    def for_url(self, url: str) -> Storage:
        """Return the storage of a URL; a path without a scheme is a file.

        Raises:
            StorageError: if the scheme is unknown, with a list of the known ones, or the URL is none.
        """
        scheme = scheme_of(url)
        _check_address(scheme, url)
        if scheme not in self._factories:
            known = ", ".join(f"{name}://" for name in sorted(self._factories))
            raise StorageError(f"no storage for {scheme}:// ({url!r}); use a local path or one of: {known}")
        if scheme not in self._made:
            self._made.setdefault(scheme, self._factories[scheme]())
        return self._made[scheme]

    async def open(self, url: str) -> Storage:
        """The same; what the first one of a kind imports, which takes up to tens of milliseconds, does not hold the loop."""
        scheme = scheme_of(url)
        _check_address(scheme, url)
        made = self._made.get(scheme)
        return made if made is not None else await self._run(partial(self.for_url, url))


def _check_address(scheme: str, url: str) -> None:
    """Refuse a URL of the web that nothing could be asked for by."""
    if scheme not in {"http", "https"}:
        return
    try:
        url.encode()
        complete = bool(urlsplit(url).hostname) and urlsplit(url).port != 0
    except ValueError as error:  # a port out of range, half an address in brackets, half a character
        raise StorageError(f"{url!r} is not the address of a file ({error}); correct it") from error
    if not complete:
        raise StorageError(f"{url!r} is not the address of a file; write one such as https://example.com/file")


def scheme_of(url: str) -> str:
    """Return the scheme of a URL in lower case; `file` for a path."""
    found = _SCHEME.match(url)
    return found[1].lower() if found else "file"


def default_registry(
    run: RunInThread = asyncio.to_thread,
    *,
    client: HttpClient | None = None,
    connect: Callable[[], HttpClient] | None = None,
    home: Path | None = None,
) -> StorageRegistry:
    """Return a registry of every storage that there is.

    Args:
        run: Runs their blocking work.
        client: The connections for http(s).
        connect: Makes them when they are first needed, where there are none yet. Without either http(s) is unknown.
        home: The local home; without it `home://` is unknown.
    """

    def folder() -> Storage:
        from atrains._storage.folder import FolderStorage

        return FolderStorage(run, home=home)

    def file_server() -> Storage:
        from atrains._storage.fileserver import FileServerStorage

        connections = client or (connect() if connect is not None else None)
        assert connections is not None  # or the schemes would not lead here
        return FileServerStorage(connections, run)

    factories: dict[str, StorageFactory] = {"file": folder}
    if home is not None:
        factories["home"] = folder
    if client is not None or connect is not None:
        factories |= {"http": file_server, "https": file_server}
    return StorageRegistry(factories, run)
