"""StorageManager: generated from `_async` by generate.py. Do not edit."""

from __future__ import annotations

from pathlib import Path

from atrains._async.storage import AsyncStorageManager, Listing
from atrains._sync._base import Twin
from atrains.types import FileMetadata


class StorageManager(Twin):
    """Fetches and stores files by URL, with or without a task. All of it is called on the class.

    A URL is a path or `file:///...` (a file of this machine), `home://...` (in the local home), or `http(s)://...` (a file server, or
    anything that can be downloaded). Eight files are on their way at once at most, however many calls there are. A file is there whole or
    not at all, also where a call is cancelled or the process killed.

    Example:
        >>> path = StorageManager.get_local_copy("https://example.com/data.zip")  # the folder that it was unpacked to
        >>> StorageManager.upload_folder("results", StorageManager.get_files_server() + "/experiments/1")
    """

    _core: AsyncStorageManager

    @classmethod
    def get_local_copy(
        cls,
        remote_url: str | Path,
        cache_context: str | None = None,
        extract_archive: bool = True,
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
        return cls._block(
            AsyncStorageManager,
            lambda: AsyncStorageManager.get_local_copy(remote_url, cache_context, extract_archive, name, force_download),
            "AsyncStorageManager.get_local_copy(...)",
        )

    @classmethod
    def upload_file(cls, local_file: str | Path, remote_url: str | Path, wait_for_upload: bool = True) -> str:
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
        return cls._block(
            AsyncStorageManager,
            lambda: AsyncStorageManager.upload_file(local_file, remote_url, wait_for_upload),
            "AsyncStorageManager.upload_file(...)",
        )

    @classmethod
    def upload_folder(cls, local_folder: str | Path, remote_url: str | Path, match_wildcard: str | None = None) -> str | None:
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
        return cls._block(
            AsyncStorageManager,
            lambda: AsyncStorageManager.upload_folder(local_folder, remote_url, match_wildcard),
            "AsyncStorageManager.upload_folder(...)",
        )

    @classmethod
    def download_file(cls, remote_url: str | Path, local_folder: str | Path | None = None, overwrite: bool = False) -> str:
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
        return cls._block(
            AsyncStorageManager,
            lambda: AsyncStorageManager.download_file(remote_url, local_folder, overwrite),
            "AsyncStorageManager.download_file(...)",
        )

    @classmethod
    def download_folder(
        cls, remote_url: str | Path, local_folder: str | Path | None = None, match_wildcard: str | None = None, overwrite: bool = False
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
        return cls._block(
            AsyncStorageManager,
            lambda: AsyncStorageManager.download_folder(remote_url, local_folder, match_wildcard, overwrite),
            "AsyncStorageManager.download_folder(...)",
        )

    @classmethod
    def list(cls, remote_url: str | Path, return_full_path: bool = False, with_metadata: bool = False) -> Listing:
        """The files below a URL, at any depth, in the order of their names; none where there is nothing.

        Args:
            remote_url: The folder; one of http(s) servers cannot be listed.
            return_full_path: Give whole URLs rather than paths below `remote_url`.
            with_metadata: Give a dictionary of name and size for each rather than its name alone.

        Raises:
            StorageError: it cannot be listed.
        """
        return cls._block(
            AsyncStorageManager,
            lambda: AsyncStorageManager.list(remote_url, return_full_path, with_metadata),
            "AsyncStorageManager.list(...)",
        )

    @classmethod
    def exists_file(cls, remote_url: str | Path) -> bool:
        """Whether there is a file at a URL; a folder is none.

        Raises:
            StorageError: the place does not say.
        """
        return cls._block(AsyncStorageManager, lambda: AsyncStorageManager.exists_file(remote_url), "AsyncStorageManager.exists_file(...)")

    @classmethod
    def get_file_size_bytes(cls, remote_url: str | Path) -> int | None:
        """The size of a file, in bytes; None where there is no file, or a server that does not say.

        Raises:
            StorageError: the place does not answer.
        """
        return cls._block(
            AsyncStorageManager, lambda: AsyncStorageManager.get_file_size_bytes(remote_url), "AsyncStorageManager.get_file_size_bytes(...)"
        )

    @classmethod
    def get_metadata(cls, remote_url: str | Path, return_full_path: bool = False) -> FileMetadata | None:
        """What is known of a file without fetching it: its name, and its size in bytes (None where a server does not say).

        Args:
            remote_url: Where it is.
            return_full_path: Give the whole URL as its name, rather than the last part of it.

        Returns:
            A dictionary; None where there is no such file.

        Raises:
            StorageError: the place does not answer.
        """
        return cls._block(
            AsyncStorageManager,
            lambda: AsyncStorageManager.get_metadata(remote_url, return_full_path),
            "AsyncStorageManager.get_metadata(...)",
        )

    @classmethod
    def delete(cls, remote_url: str | Path) -> bool:
        """Remove a file.

        Returns:
            True; False where there was none.

        Raises:
            StorageError: it is there and cannot be removed.
        """
        return cls._block(AsyncStorageManager, lambda: AsyncStorageManager.delete(remote_url), "AsyncStorageManager.delete(...)")

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
        return AsyncStorageManager.set_cache_file_limit(cache_file_limit, cache_context)

    @classmethod
    def get_files_server(cls) -> str:
        """The URL below which files are kept when nothing else is said: the server's file server, or a folder in the local home.

        Raises:
            StorageError: no file server is known for the configured server.
        """
        return AsyncStorageManager.get_files_server()


Twin._twins[AsyncStorageManager] = StorageManager
