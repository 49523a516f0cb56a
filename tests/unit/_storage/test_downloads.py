"""Downloads over http: taken up after a kill, never mixed up, asked for again in time; what is known of a file without fetching it."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from atrains._config import load_settings
from atrains._engine.process import WORKERS
from atrains._storage.base import Storage
from atrains._storage.registry import default_registry
from atrains._transport.client import HttpClient
from atrains.errors import StorageError
from tests.api_server import listening

CONTENT = os.urandom(4_000_000)


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[Storage]:
    """The storage of http(s), on the local home: without a login."""
    client = HttpClient(load_settings({"HOME": str(tmp_path)}, home_directory=tmp_path), workers=WORKERS)
    yield default_registry(connect=lambda: client).for_url("http://x/y")
    await client.aclose()


class Server:
    """Serves CONTENT in one version, and sends `first` bytes of it at first; keeps what it was asked."""

    def __init__(self, *, version: str = '"v1"', first: int = 2_500_000) -> None:
        self.version = version
        self.content = CONTENT
        self.left = first
        self.asked: list[tuple[str | None, str | None]] = []
        self.checks = True

    async def answer(self, request: web.Request) -> web.StreamResponse:
        given, condition = request.headers.get("Range"), request.headers.get("If-Range")
        self.asked.append((given, condition))
        begins = int(given[6:-1]) if given and (condition == self.version or not self.checks) else 0
        if begins >= len(self.content):
            return web.Response(status=416)
        headers = {"ETag": self.version, "Content-Length": str(len(self.content) - begins)}
        if begins:
            headers["Content-Range"] = f"bytes {begins}-{len(self.content) - 1}/{len(self.content)}"
        response = web.StreamResponse(status=206 if begins else 200, headers=headers)
        await response.prepare(request)
        if self.left:
            await response.write(self.content[begins : begins + self.left])
            self.left = 0
            await asyncio.sleep(30)
        await response.write(self.content[begins:])
        return response


async def cancelled(storage: Storage, url: str, target: Path, kept: Path) -> None:
    """A download that is given up in its middle."""
    task = asyncio.create_task(storage.get(url, target, kept=kept))
    async with asyncio.timeout(10):
        while not os.path.exists(kept) or os.path.getsize(kept) < 2_000_000:  # noqa: ASYNC110, ASYNC240  # a file tells nobody
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not os.path.exists(target)  # noqa: ASYNC240


async def test_what_came_is_not_fetched_again(storage: Storage, tmp_path: Path) -> None:
    server = Server()
    async with listening(server.answer) as url:
        await cancelled(storage, f"{url}/f", tmp_path / "f", tmp_path / "kept")
        got = await storage.get(f"{url}/f", tmp_path / "f", kept=tmp_path / "kept")
    assert got == (f"{url}/f", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
    assert (tmp_path / "f").read_bytes() == CONTENT
    begins, condition = server.asked[1]
    assert condition == '"v1"'
    assert begins is not None
    assert int(begins[6:-1]) >= 2_000_000
    assert os.listdir(tmp_path) == ["f"], "nothing is kept of a transfer that ended well"


@pytest.mark.parametrize("checks", [True, False], ids=["a server that looks at If-Range", "one that does not"])
async def test_a_file_that_is_another_one_by_now_is_never_mixed_up(storage: Storage, tmp_path: Path, checks: bool) -> None:
    server = Server()
    async with listening(server.answer) as url:
        await cancelled(storage, f"{url}/f", tmp_path / "f", tmp_path / "kept")
        server.version, server.content, server.checks = '"v2"', CONTENT[::-1], checks
        got = await storage.get(f"{url}/f", tmp_path / "f", kept=tmp_path / "kept")
    assert got.sha256 == hashlib.sha256(CONTENT[::-1]).hexdigest()
    assert (tmp_path / "f").read_bytes() == CONTENT[::-1]


async def test_one_that_is_shorter_by_now_is_begun_anew(storage: Storage, tmp_path: Path) -> None:
    server = Server()
    async with listening(server.answer) as url:
        await cancelled(storage, f"{url}/f", tmp_path / "f", tmp_path / "kept")
        server.version, server.content, server.checks = '"v2"', b"short", False
        await storage.get(f"{url}/f", tmp_path / "f", kept=tmp_path / "kept")
    assert (tmp_path / "f").read_bytes() == b"short"


async def test_without_a_mark_of_its_version_it_is_begun_anew(storage: Storage, tmp_path: Path) -> None:
    server = Server(version='W/"weak"')
    async with listening(server.answer) as url:
        await cancelled(storage, f"{url}/f", tmp_path / "f", tmp_path / "kept")
        await storage.get(f"{url}/f", tmp_path / "f", kept=tmp_path / "kept")
    assert [given for given, _ in server.asked] == [None, None]
    assert (tmp_path / "f").read_bytes() == CONTENT


async def test_a_server_that_asks_for_patience_gets_it(storage: Storage, tmp_path: Path) -> None:
    asked: list[float] = []

    async def busy(request: web.Request) -> web.Response:
        asked.append(time.monotonic())
        return web.Response(status=429, headers={"Retry-After": "2"}) if len(asked) == 1 else web.Response(body=b"x")

    async with listening(busy) as url:
        await storage.get(f"{url}/f", tmp_path / "f")
    assert 1.9 < asked[1] - asked[0] < 5


async def test_a_server_that_stays_away_is_given_up(storage: Storage, tmp_path: Path) -> None:
    asked: list[str] = []

    async def broken(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(status=500)

    async with listening(broken) as url:
        with pytest.raises(StorageError, match=r"/f cannot be fetched: .*cannot answer now \(status 500\)"):
            await storage.get(f"{url}/f", tmp_path / "f")
    assert asked == ["/f"] * 5
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("status", [400, 403, 404, 410, 451])
async def test_a_refusal_is_not_asked_for_again(storage: Storage, tmp_path: Path, status: int) -> None:
    asked: list[str] = []

    async def refuse(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(status=status)

    async with listening(refuse) as url:
        with pytest.raises(StorageError, match=str(status)):
            await storage.get(f"{url}/f", tmp_path / "f")
    assert len(asked) == 1


async def test_what_is_known_without_fetching(storage: Storage) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/gone":
            return web.Response(status=410)
        headers = {"Content-Length": "1234", "Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"}
        if request.path == "/endless":
            headers = {"Transfer-Encoding": "chunked"}
        elif request.path == "/strange":
            headers = {"Content-Length": "5", "Last-Modified": "yesterday"}
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        return response

    async with listening(answer) as url:
        assert await storage.stat(f"{url}/a/b%20c.txt?x=1") == (f"{url}/a/b%20c.txt?x=1", "b c.txt", 1234, 1445412480.0)
        assert await storage.stat(f"{url}/endless") == (f"{url}/endless", "endless", None, None)
        assert (await storage.stat(f"{url}/strange") or (0, 0, 0))[2] == 5
        assert await storage.stat(f"{url}/gone") is None
