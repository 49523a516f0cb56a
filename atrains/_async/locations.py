"""What callers of StorageManager name files by, and what a file is called where it comes to lie. Pure."""

from __future__ import annotations

import os
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import unquote, urlsplit

from atrains._storage.base import FileInfo, Storage
from atrains._storage.registry import scheme_of
from atrains.errors import StorageError, ValidationError
from atrains.types import FileMetadata

WEB: Final = frozenset({"http", "https"})


def as_path(path: str | Path) -> Path:
    """A path of the caller's, absolute."""
    if not isinstance(path, str | os.PathLike):
        raise ValidationError(f"a file of this machine is named by its path, a text or Path, not {path!r}")
    return Path(path).expanduser().absolute()


def as_url(url: str | Path) -> str:
    """A URL of the caller's, who may give a path as it is."""
    if not isinstance(url, str | os.PathLike):
        raise ValidationError(f"a file is named by its URL or path, not {url!r}")
    return os.path.expanduser(os.fsdecode(url))


def path_of(url: str) -> str:
    """The path in a URL, not quoted."""
    return unquote(urlsplit(url).path) if scheme_of(url) in WEB else url


def below_host(storage: Storage, url: str) -> PurePosixPath:
    """Where a file goes in a folder: the path that it has below its host, or below the root of this machine's files."""
    local = storage.local_path(url)
    path = PurePosixPath(local.relative_to(local.anchor).as_posix()) if local is not None else PurePosixPath(path_of(url).lstrip("/"))
    if ".." in path.parts or not path.parts or "\0" in str(path):
        raise StorageError(f"{url!r} names no file, or one outside of the folder; give a URL with the path of a file")
    return path


def fits(info: FileInfo, pattern: str | None) -> bool:
    """Whether a file is meant by a wildcard, by its name or by its path."""
    return pattern is None or fnmatchcase(info.path, pattern) or fnmatchcase(info.path.rpartition("/")[2], pattern)


def metadata_of(info: FileInfo, *, full: bool) -> FileMetadata:
    return FileMetadata(name=info.url if full else info.path, size=info.size)
