"""Every implementation of the Storage protocol, each with a root of its own that holds nothing."""

from __future__ import annotations

import asyncio
import functools
import http.server
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from atrains._config import load_settings
from atrains._engine.process import WORKERS
from atrains._storage.base import Storage
from atrains._storage.layout import join_url
from atrains._storage.registry import default_registry
from atrains._transport.client import HttpClient
from atrains.testing import RunningServer
from tests.web_server import serving


@dataclass
class Place:
    """A storage, and a root in it.

    Attributes:
        kind: The implementation.
        folder: Where the files of the root are on this machine.
        writable: Whether files can be stored there, and removed.
        listable: Whether it can say which files there are.
    """

    kind: str
    storage: Storage
    root: str
    folder: Path
    writable: bool = True
    listable: bool = True

    def url(self, path: str) -> str:
        return join_url(self.root, path)

    async def store(self, path: str, content: bytes, scratch: Path) -> str:
        """Put a file there, through the storage where it can be, and return its URL."""

        def write(target: Path) -> None:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)

        if self.writable:
            await asyncio.to_thread(write, scratch)
            await self.storage.put(scratch, self.url(path))
        else:
            await asyncio.to_thread(write, self.folder / path)
        return self.url(path)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def plain_http(folder: Path) -> Iterator[str]:
    """The web server of the standard library: reads only, no ranges, no marks of versions but times."""
    folder.mkdir()
    with serving(functools.partial(_Quiet, directory=str(folder))) as url:
        yield url


@pytest.fixture(params=["path", "file", "home", "file server", "plain http"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    folder, kind = tmp_path / "place", str(request.param)
    if kind in {"path", "file", "home"}:
        root = {"path": str(folder), "file": f"file://{folder}", "home": "home://files"}[kind]
        registry = default_registry(home=folder)
        yield Place(kind, registry.for_url(root), root, folder / "files" if kind == "home" else folder)
        return
    if kind == "plain http":
        client = HttpClient(load_settings({"HOME": str(tmp_path)}), workers=WORKERS)
        with plain_http(folder) as url:
            yield Place(kind, default_registry(client=client).for_url(url), url, folder, writable=False, listable=False)
            await client.aclose()
        return
    server = RunningServer(folder)
    server.start()
    client = HttpClient(load_settings({"HOME": str(tmp_path), **server.environment}), workers=WORKERS)
    root = server.environment["TRAINS_FILES_HOST"]
    yield Place(kind, default_registry(client=client).for_url(root), root, folder / "files", listable=False)
    await client.aclose()
    server.stop()
