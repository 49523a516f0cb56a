"""AsyncStorageManager: files at any URL, with or without a task. The places are in `_storage`, and the cache of what was fetched."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

from atrains._async.base import connect
from atrains._async.locations import WEB, as_path, as_url, below_host, fits, metadata_of, path_of
from atrains._config import settings
from atrains._engine.channel import Channel
from atrains._engine.disabled import DisabledChannel
from atrains._engine.process import process
from atrains._engine.runtime import TRANSFERS, Runtime
from atrains._engine.unpacking import is_archive, unpack_archive
from atrains._storage.base import FileInfo, Storage, shown
from atrains._storage.cache import DEFAULT_CONTEXT, FileCache, Unpack, cache_of
from atrains._storage.folder import FolderStorage
from atrains._storage.layout import join_url
from atrains._storage.registry import scheme_of
from atrains._wire.artifacts import HOME_URL
from atrains.errors import StorageError, UsageError, ValidationError
from atrains.types import FileMetadata

Listing: TypeAlias = list[str] | list[FileMetadata]
"""Paths of files; with metadata what is known of each."""
_file_limits: Final[dict[str, int]] = {}
"""How many files this process keeps in the cache, by context, where it was told."""
_log = logging.getLogger("atrains")


class AsyncStorageManager:
    """Fetches and stores files by URL, with or without a task. All of it is called on the class.

    A URL is a path or `file:///...` (a file of this machine), `home://...` (in the local home), or `http(s)://...` (a file server, or
    anything that can be downloaded). Eight files are on their way at once at most, however many calls there are. A file is there whole or
    not at all, also where a call is cancelled or the process killed.

    Example:
        >>> path = await StorageManager.get_local_copy("https://example.com/data.zip")  # the folder that it was unpacked to
        >>> await StorageManager.upload_folder("results", StorageManager.get_files_server() + "/experiments/1")
    """

    @classmethod
    async def get_local_copy(
        cls,
        remote_url: str | Path,
        cache_context: str | None = None,
        extract_archive: bool = True,  # documented
        name: str | None = None,
        force_download: bool = False,
    ) -> str:
        """A file of this machine with the content of a URL: the file itself where it is on this machine, else a copy in the cache.

        Args:
            remote_url: Where it is.
            cache_context: The part of the cache to use, which has limits of its own; `global` by default.
            extract_archive: Give the folder that the file was unpacked to, where its name ends in `.zip`, `.tar.gz` or `.tgz`.
            name: What it is called in errors.
            force_download: Fetch it although it is in the cache, which is not told when the file at the URL changes.

        Returns:
            An absolute path. Do not change what is there: others get it too. It stays for as long as it is one of the last eight that this
            process was given, or the limits of the cache allow.

        Raises:
            StorageError: it cannot be fetched or unpacked.
        """
        remote_url = as_url(remote_url)
        channel, runtime = await connect()
        try:
            return await local_copy(channel, runtime, remote_url, cache_context, extract=extract_archive, force=force_download)
        except StorageError as error:
            if name is None:
                raise
            raise type(error)(f"{name}: {error}") from error

    @classmethod
    async def upload_file(cls, local_file: str | Path, remote_url: str | Path, wait_for_upload: bool = True) -> str:  # documented
        """Store a file, replacing what is there.

        Args:
            local_file: The file.
            remote_url: Where to, with the name that it gets there.
            wait_for_upload: False to return at once: what goes wrong then is logged. The end of the program waits for it, up to the
                10 seconds that it has for all that is open; `asyncio.run` cancels what its coroutine leaves behind.

        Returns:
            `remote_url`.

        Raises:
            StorageError: the file cannot be read, changes meanwhile, or cannot be stored.
        """
        remote_url, source = as_url(remote_url), as_path(local_file)
        channel, runtime = await connect()
        if isinstance(channel, DisabledChannel):
            return remote_url
        storage = await _storage_of(channel, remote_url)
        if remote_url.endswith("/"):
            raise ValidationError(f"{shown(remote_url)!r} names a folder: add the name that the file gets there, such as {source.name}")
        if wait_for_upload:
            await _put(runtime, storage, source, remote_url)
        else:
            transfer = asyncio.create_task(_put_or_log(runtime, storage, source, remote_url), name="atrains-upload")
            process().transfers.add(transfer)
            transfer.add_done_callback(process().transfers.discard)
        return remote_url

    @classmethod
    async def upload_folder(cls, local_folder: str | Path, remote_url: str | Path, match_wildcard: str | None = None) -> str | None:
        """Store the files of a folder, at any depth, below a URL, replacing what is there. Links to folders are not followed.

        Args:
            local_folder: The folder. `a/b.txt` in it goes to `<remote_url>/a/b.txt`.
            remote_url: Where to.
            match_wildcard: Only files whose name, or path in the folder, fits: `*.csv`, `sub/*`.

        Returns:
            `remote_url`; None where there was no such file.

        Raises:
            StorageError: a file cannot be read or stored; those that were stored by then stay there.
        """
        remote_url, folder = as_url(remote_url), as_path(local_folder)
        channel, runtime = await connect()
        if isinstance(channel, DisabledChannel):
            return remote_url
        storage = await _storage_of(channel, remote_url)
        if not await channel.run(folder.is_dir):
            raise StorageError(f"there is no folder {folder}; check the path")

        async def put(info: FileInfo) -> None:
            try:
                url = join_url(remote_url, info.path)
            except UnicodeEncodeError:
                raise StorageError(f"{folder / info.path} has a name that is no text, which no URL takes; rename it") from None
            await _put(runtime, storage, folder / info.path, url)

        found = _matching(FolderStorage(channel.run).list(str(folder)), match_wildcard)
        if not await _for_each(found, put):
            _log.warning("atrains: nothing was uploaded to %s: no file in %s fits %r", shown(remote_url), folder, match_wildcard or "*")
            return None
        return remote_url

    @classmethod
    async def download_file(
        cls, remote_url: str | Path, local_folder: str | Path | None = None, overwrite: bool = False
    ) -> str:  # documented
        """Fetch a file into a folder, below the path that it has in its URL.

        Args:
            remote_url: Where it is.
            local_folder: `https://host/a/b.txt` becomes `<local_folder>/a/b.txt`. None for a copy in the cache.
            overwrite: Fetch it although there is such a file.

        Returns:
            The path of the file.

        Raises:
            StorageError: it cannot be fetched or written.
        """
        remote_url = as_url(remote_url)
        if local_folder is None:
            return await cls.get_local_copy(remote_url, extract_archive=False, force_download=overwrite)
        channel, runtime = await connect()
        storage = await _storage_of(channel, remote_url)
        return str(await _get(channel, runtime, storage, remote_url, as_path(local_folder), overwrite=overwrite))

    @classmethod
    async def download_folder(
        cls,
        remote_url: str | Path,
        local_folder: str | Path | None = None,
        match_wildcard: str | None = None,
        overwrite: bool = False,  # documented
    ) -> str:
        """Fetch every file below a URL into a folder, each below the path that it has in its URL.

        Args:
            remote_url: The folder; one of http(s) servers cannot be listed.
            local_folder: Where to. None gives the folder itself, where it is on this machine.
            match_wildcard: Only files whose name, or path in the folder, fits: `*.csv`, `sub/*`.
            overwrite: Fetch also those that are there already.

        Returns:
            `local_folder`.

        Raises:
            StorageError: there is nothing, it cannot be listed, or a file cannot be fetched; those that were fetched by then stay.
        """
        remote_url = as_url(remote_url)
        channel, runtime = await connect()
        storage = await _storage_of(channel, remote_url)
        if local_folder is None:
            local = storage.local_path(remote_url)
            if local is None:
                raise StorageError(f"{shown(remote_url)} is not on this machine: name the local_folder that it is to be fetched to")
            return str(local)
        folder = as_path(local_folder)
        fitting = 0

        async def get(info: FileInfo) -> None:
            nonlocal fitting
            if fits(info, match_wildcard):
                fitting += 1
                await _get(channel, runtime, storage, info.url, folder, overwrite=overwrite)

        if not await _for_each(storage.list(remote_url), get):
            raise StorageError(f"there is no file below {shown(remote_url)}; check the path")
        if not fitting:
            _log.warning("atrains: nothing was downloaded from %s: no file there fits %r", shown(remote_url), match_wildcard)
        return str(folder)

    @classmethod
    async def list(cls, remote_url: str | Path, return_full_path: bool = False, with_metadata: bool = False) -> Listing:  # documented
        """The files below a URL, at any depth, in the order of their names; none where there is nothing.

        Args:
            remote_url: The folder; one of http(s) servers cannot be listed.
            return_full_path: Give whole URLs rather than paths below `remote_url`.
            with_metadata: Give a dictionary of name and size for each rather than its name alone.

        Raises:
            StorageError: it cannot be listed.
        """
        remote_url = as_url(remote_url)
        channel, _ = await connect()
        storage = await _storage_of(channel, remote_url)
        async with aclosing(storage.list(remote_url)) as found:
            files = [info async for info in found]
        if with_metadata:
            return [metadata_of(info, full=return_full_path) for info in files]
        return [info.url if return_full_path else info.path for info in files]

    @classmethod
    async def exists_file(cls, remote_url: str | Path) -> bool:
        """Whether there is a file at a URL; a folder is none.

        Raises:
            StorageError: the place does not say.
        """
        remote_url = as_url(remote_url)
        channel, _ = await connect()
        return await (await _storage_of(channel, remote_url)).exists(remote_url)

    @classmethod
    async def get_file_size_bytes(cls, remote_url: str | Path) -> int | None:
        """The size of a file, in bytes; None where there is no file, or a server that does not say.

        Raises:
            StorageError: the place does not answer.
        """
        found = await cls.get_metadata(remote_url)
        return None if found is None else found["size"]

    @classmethod
    async def get_metadata(cls, remote_url: str | Path, return_full_path: bool = False) -> FileMetadata | None:  # documented
        """What is known of a file without fetching it: its name, and its size in bytes (None where a server does not say).

        Args:
            remote_url: Where it is.
            return_full_path: Give the whole URL as its name, rather than the last part of it.

        Returns:
            A dictionary; None where there is no such file.

        Raises:
            StorageError: the place does not answer.
        """
        remote_url = as_url(remote_url)
        channel, _ = await connect()
        info = await (await _storage_of(channel, remote_url)).stat(remote_url)
        return None if info is None else metadata_of(info, full=return_full_path)

    @classmethod
    async def delete(cls, remote_url: str | Path) -> bool:
        """Remove a file.

        Returns:
            True; False where there was none.

        Raises:
            StorageError: it is there and cannot be removed.
        """
        remote_url = as_url(remote_url)
        channel, _ = await connect()
        if isinstance(channel, DisabledChannel):
            return False
        return await (await _storage_of(channel, remote_url)).delete(remote_url)

    @classmethod
    def set_cache_file_limit(cls, cache_file_limit: int, cache_context: str | None = None) -> int:
        """Set how many files this process keeps in the cache, in place of the setting `cache.max_files` (1,000 unless configured).

        Args:
            cache_file_limit: At least 1. What is too much goes with the next file that is fetched, the least recently used first.
            cache_context: The part of the cache that it holds for; `global` by default.

        Returns:
            The limit.

        Raises:
            ValidationError: it is less than 1, or no whole number.
        """
        if not isinstance(cache_file_limit, int) or cache_file_limit < 1:
            raise ValidationError(f"the limit of the cache is {cache_file_limit!r}; keep at least 1 file, and give a whole number")
        _file_limits[_context(cache_context)] = cache_file_limit
        return cache_file_limit

    @classmethod
    def get_files_server(cls) -> str:
        """The URL below which files are kept when nothing else is said: the server's file server, or a folder in the local home.

        Raises:
            StorageError: no file server is known for the configured server.
        """
        chosen = settings()
        if chosen.target.kind == "local":
            return f"{HOME_URL}files"
        if chosen.api.files_host is None:
            raise StorageError(f"no file server is known for {chosen.api.api_host}: set ATRAINS_FILES_HOST (or api.files_server)")
        return chosen.api.files_host


AnyChannel: TypeAlias = Channel | DisabledChannel


async def local_copy(
    channel: AnyChannel,
    runtime: Runtime | None,
    url: str,
    context: str | None = None,
    *,
    extract: bool = False,
    force: bool = False,
    version: str = "",
) -> str:
    """A file of this machine with the content of a URL, from a home; see `AsyncStorageManager.get_local_copy`.

    Args:
        channel: The home.
        runtime: Of the loop.
        url: Where it is.
        context: The part of the cache.
        extract: Give the folder that an archive was unpacked to.
        force: Fetch it although it is in the cache.
        version: What tells the contents apart that the URL has had, where something does.
    """
    storage = await _storage_of(channel, url)
    unpack = _unpack if extract and is_archive(path_of(url)) else None
    local = storage.local_path(url)
    if local is None:
        return str(await _fetched(channel, runtime, storage, url, context, force=force, unpack=unpack, version=version))
    if not await channel.run(partial(os.path.exists, local)):  # which takes what cannot be asked for as not there
        raise StorageError(f"there is no file {local}; check the path")
    if unpack is None or await channel.run(partial(os.path.isdir, local)):
        return str(local)
    if isinstance(channel, DisabledChannel):
        raise UsageError(f"{local} is not unpacked: {_switched_off(channel)}; ask for it with extract_archive=False")
    return str(await _cache(channel, context).unpack(local, unpack))


async def _storage_of(channel: AnyChannel, url: str) -> Storage:
    """The storage of a URL."""
    if scheme_of(url) in WEB and isinstance(channel, DisabledChannel):
        raise UsageError(f"nothing is fetched from {shown(url)}: {_switched_off(channel)}")
    return await channel.storages().open(url)


def _switched_off(channel: DisabledChannel) -> str:
    return f"atrains is switched off here ({channel.settings.target.source})"


def _context(name: str | None) -> str:
    """The part of the cache of that name."""
    if not isinstance(name, str | None):
        raise ValidationError(f"the context of the cache is a name, not {name!r}")
    return name or DEFAULT_CONTEXT


def _cache(channel: AnyChannel, context: str | None) -> FileCache:
    return cache_of(channel.settings, context, channel.run, max_files=_file_limits.get(_context(context)))


def _unpack(archive: Path, target: Path, stop: Any) -> None:
    unpack_archive(archive, target, stop=stop)


async def _fetched(
    channel: AnyChannel,
    runtime: Runtime | None,
    storage: Storage,
    url: str,
    context: str | None,
    *,
    force: bool,
    unpack: Unpack | None,
    version: str,
) -> Path:
    """A file in the cache."""

    async def fetch(target: Path, kept: Path) -> Any:
        async with _transfers(runtime):
            return await storage.get(url, target, kept=kept)

    known_as = f"{url}#{version}" if version else url  # what is behind a # is no part of a file's name
    return await _cache(channel, context).get(known_as, fetch, force=force, unpack=unpack)


async def _get(channel: AnyChannel, runtime: Runtime | None, storage: Storage, url: str, folder: Path, *, overwrite: bool) -> Path:
    """Fetch a file into a folder."""
    target = folder / below_host(storage, url)
    if overwrite or not await channel.run(partial(os.path.exists, target)):
        if isinstance(channel, DisabledChannel):
            raise UsageError(f"{target} is not written: {_switched_off(channel)}")
        async with _transfers(runtime):
            await storage.get(url, target)
    return target


async def _put(runtime: Runtime | None, storage: Storage, source: Path, url: str) -> None:
    async with _transfers(runtime):
        await storage.put(source, url)


async def _put_or_log(runtime: Runtime | None, storage: Storage, source: Path, url: str) -> None:
    """Store a file that nobody waits for."""
    try:
        await _put(runtime, storage, source, url)
    except StorageError as error:
        _log.error("atrains: %s was not stored at %s: %s", source, shown(url), error)
    except asyncio.CancelledError:
        _log.error("atrains: %s was not stored at %s: the program ended before; upload it with wait_for_upload=True", source, shown(url))
        raise


def _transfers(runtime: Runtime | None) -> asyncio.Semaphore:
    """What bounds how many files are on their way at once."""
    assert runtime is not None  # there is none only where atrains is switched off, and then nothing is transferred
    return runtime.transfers


async def _for_each(found: AsyncGenerator[FileInfo], work: Callable[[FileInfo], Awaitable[None]]) -> int:
    """Do something with each file, with a few at once and no list of all; returns how many there were. The first failure ends it."""
    taking, number = asyncio.Lock(), 0

    async def serve() -> None:
        nonlocal number
        while True:
            async with taking:
                try:
                    info = await anext(found)
                except StopAsyncIteration:
                    return
                number += 1
            await work(info)

    failure: BaseException | None = None
    try:
        async with aclosing(found), asyncio.TaskGroup() as group:
            for _ in range(TRANSFERS):
                group.create_task(serve())
    except BaseExceptionGroup as failures:
        failure = failures.exceptions[0]
    if failure is not None:
        raise failure
    return number


async def _matching(found: AsyncGenerator[FileInfo], pattern: str | None) -> AsyncGenerator[FileInfo]:
    async with aclosing(found):
        async for info in found:
            if fits(info, pattern):
                yield info
