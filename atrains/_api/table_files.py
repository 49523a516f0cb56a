"""CSV files that a table is reported from: read from a disk, fetched from the web. What stands in them is for `_wire.plots.tables`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final
from urllib.parse import urlparse

from atrains.errors import StorageError, SyncInAsyncError, ValidationError

_SECONDS: Final = 10.0
_LARGEST: Final = 64 << 20
"""Bytes of a file; a table of as many does not fit in a request by far."""


def read_file(path: str | Path) -> str:
    """Return the text of a file.

    Raises:
        StorageError: it cannot be read, or is larger than 64 MiB.
    """
    try:
        with Path(path).open("rb") as file:
            return _text(file.read(_LARGEST + 1), str(path))
    except OSError as error:
        raise StorageError(f"the table {str(path)!r} cannot be read: {error}") from error


def check_thread(url: str) -> None:
    """Refuse to wait for a web server on the thread of an event loop.

    Raises:
        ValidationError: it is no address of the web.
        SyncInAsyncError: a loop runs on this thread.
    """
    if not isinstance(url, str) or urlparse(url).scheme not in {"http", "https"}:
        raise ValidationError(f"url is an http(s) address, not {url!r}; for a file of this machine use csv=")
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise SyncInAsyncError(f"fetching {url} would stop this event loop; use `await asyncio.to_thread(logger.report_table, ..., url=...)`")


def fetch(url: str) -> str:
    """Return the text at an address.

    Raises:
        StorageError: it cannot be fetched within 10 seconds without an answer, or is larger than 64 MiB.
    """
    from urllib.request import urlopen  # 20 ms, for what is rarely used

    try:
        with urlopen(url, timeout=_SECONDS) as answer:  # the scheme was looked at  # noqa: S310
            return _text(answer.read(_LARGEST + 1), url)
    except OSError as error:
        raise StorageError(f"the table at {url} cannot be fetched: {error}") from error


def _text(content: bytes, where: str) -> str:
    if len(content) > _LARGEST:
        raise StorageError(f"the table {where!r} is larger than {_LARGEST >> 20} MiB")
    return content.decode("utf-8-sig", "replace")
