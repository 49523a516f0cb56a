"""Files on a file server: the one of `atrains serve`, and servers that do what a test wants."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from atrains._config import load_settings
from atrains._engine.process import WORKERS
from atrains._storage.base import Storage
from atrains._storage.layout import file_path, join_url, task_folder
from atrains._storage.registry import default_registry
from atrains._transport.client import HttpClient
from atrains.errors import StorageError
from atrains.testing import RunningServer
from tests.api_server import KEY, SECRET, ApiServer, listening, serving
from tests.fault_proxy import refused_port

Open = Callable[..., Storage]
NAMES = ["plain.bin", "with space.txt", 'quo"te\\back.txt', "ünïcode 日本.csv", "per%20cent.txt", "plus+and&eq=;.txt", "x.tar.gz"]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    server = RunningServer(tmp_path_factory.mktemp("served"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def open_storage(tmp_path: Path) -> AsyncIterator[Open]:
    """Open the storage of http(s) with some variables set."""
    clients: list[HttpClient] = []

    def make(**variables: str) -> Storage:
        client = HttpClient(load_settings({"HOME": str(tmp_path), **variables}, home_directory=tmp_path), workers=WORKERS)
        clients.append(client)
        return default_registry(client=client).for_url("http://x/y")

    yield make
    for client in clients:
        await client.aclose()


@pytest.fixture
def storage(served: RunningServer, open_storage: Open) -> Storage:
    return open_storage(**served.environment)


@pytest.fixture
def root(served: RunningServer) -> str:
    return served.environment["TRAINS_FILES_HOST"]


def keys(api: str, files: str) -> dict[str, str]:
    return {"ATRAINS_API_HOST": api, "ATRAINS_FILES_HOST": files, "ATRAINS_API_ACCESS_KEY": KEY, "ATRAINS_API_SECRET_KEY": SECRET}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [0, 1, 3_000_001])
async def test_a_file_comes_back_as_it_was(storage: Storage, root: str, tmp_path: Path, name: str, size: int) -> None:
    source, content = tmp_path / "source", os.urandom(size)
    source.write_bytes(content)
    url = join_url(root, file_path(task_folder("a/project ü", "task 100%", f"id{size}"), "artifacts", "name", name))
    stored = await storage.put(source, url)
    assert (stored.url, stored.size, stored.sha256) == (url, size, hashlib.sha256(content).hexdigest())
    assert await storage.exists(url)
    fetched = await storage.get(url, tmp_path / "deep" / "target")
    assert (tmp_path / "deep" / "target").read_bytes() == content
    assert fetched == stored
    assert os.listdir(tmp_path / "deep") == ["target"]
    assert storage.local_path(url) is None
    assert await storage.delete(url)
    assert not await storage.delete(url)
    assert not await storage.exists(url)


async def test_a_file_is_replaced(storage: Storage, root: str, tmp_path: Path) -> None:
    for content in (b"one", b"two longer"):
        (tmp_path / "f").write_bytes(content)
        await storage.put(tmp_path / "f", f"{root}/p/t.1/f")
    await storage.get(f"{root}/p/t.1/f", tmp_path / "g")
    assert (tmp_path / "g").read_bytes() == b"two longer"


async def test_many_files_at_once(storage: Storage, root: str, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(os.urandom(200_000))
    stored = await asyncio.gather(*(storage.put(tmp_path / "f", f"{root}/many/t.2/{number}") for number in range(32)))
    assert len({(file.size, file.sha256) for file in stored}) == 1
    assert all(await asyncio.gather(*(storage.exists(file.url) for file in stored)))


async def test_what_is_not_there_is_an_error(storage: Storage, root: str, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="404: there is no such file"):
        await storage.get(f"{root}/no/such.3/file", tmp_path / "g")
    with pytest.raises(StorageError, match="cannot be read"):
        await storage.put(tmp_path / "missing", f"{root}/p/t.4/f")
    with pytest.raises(StorageError):
        await storage.put(tmp_path, f"{root}/p/t.4/f")
    with pytest.raises(StorageError, match="names no file"):
        await storage.put(tmp_path / "f", root)
    assert os.listdir(tmp_path) == []


async def test_what_stands_on_the_wire(open_storage: Open, tmp_path: Path) -> None:
    """The name of the part is the path, raw; the file name is there; nothing is compressed, and the length is known."""
    bodies: list[tuple[Any, bytes]] = []

    async def take(request: web.Request) -> web.Response:
        bodies.append((request, await request.read()))
        return web.json_response(["a%2Fb/My exp.0123/artifacts/ü/x0x3ay.csv"], content_type="text/html")

    (tmp_path / "data.csv").write_bytes(b"1,2\n")
    async with listening(take) as url:
        await open_storage().put(tmp_path / "data.csv", f"{url}/a%252Fb/My%20exp.0123/artifacts/%C3%BC/x0x3ay.csv")
    request, body = bodies[0]
    boundary = request.headers["Content-Type"].removeprefix("multipart/form-data; boundary=")
    assert (
        body
        == (
            f'--{boundary}\r\nContent-Disposition: form-data; name="a%2Fb/My exp.0123/artifacts/ü/x0x3ay.csv"; filename="data.csv"\r\n'
            f"Content-Type: text/csv\r\n\r\n1,2\n\r\n--{boundary}--\r\n"
        ).encode()
    )
    assert (request.method, request.path) == ("POST", "/")
    assert request.headers["Content-Length"] == str(len(body))
    assert "Authorization" not in request.headers
    assert "Content-Encoding" not in request.headers


async def test_a_file_server_below_a_path_is_posted_to_there(open_storage: Open, tmp_path: Path) -> None:
    seen: list[tuple[str, str]] = []

    async def take(request: web.Request) -> web.Response:
        form = await request.post()
        seen.extend((request.path, name) for name in form)
        return web.json_response(list(form))

    (tmp_path / "f").write_bytes(b"x")
    async with serving(ApiServer()) as api, listening(take) as url:
        storage = open_storage(**keys(api.url, f"{url}/files"))
        await storage.put(tmp_path / "f", f"{url}/files/p/t.1/f")
        await storage.put(tmp_path / "f", f"{url}/filesystem/f")
    assert seen == [("/files/", "p/t.1/f"), ("/", "filesystem/f")]


async def test_the_token_goes_to_our_file_server_alone(open_storage: Open, tmp_path: Path) -> None:
    seen: list[tuple[str, str | None]] = []

    async def other(request: web.Request) -> web.Response:
        seen.append(("other", request.headers.get("Authorization")))
        return web.Response(body=b"x")

    async with serving(ApiServer()) as api, listening(other) as elsewhere:

        async def ours(request: web.Request) -> web.Response:
            seen.append(("ours", request.headers.get("Authorization")))
            if request.path == "/away":
                return web.Response(status=302, headers={"Location": f"{elsewhere}/signed"})
            return web.Response(body=b"x")

        async with listening(ours) as files:
            storage = open_storage(**keys(api.url, files))
            await storage.get(f"{files}/f", tmp_path / "a")
            await storage.get(f"{elsewhere}/f", tmp_path / "b")
            await storage.get(f"{files}/away", tmp_path / "c")
    token = f"Bearer {next(iter(api.valid))}"
    assert seen == [("ours", token), ("other", None), ("ours", token), ("other", None)]


async def test_a_token_that_ended_is_renewed(open_storage: Open, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"hello" * 300_000)
    async with serving(ApiServer()) as api:

        async def files(request: web.Request) -> web.Response:
            form = await request.post()
            if request.headers["Authorization"].removeprefix("Bearer ") not in api.valid:
                return web.Response(status=401, text="<html>")
            return web.json_response(list(form))

        async with listening(files) as url:
            storage = open_storage(**keys(api.url, url))
            await storage.put(tmp_path / "f", f"{url}/p/f")
            api.valid.clear()
            stored = await storage.put(tmp_path / "f", f"{url}/p/f")
            assert stored.sha256 == hashlib.sha256(b"hello" * 300_000).hexdigest()
            assert api.logins == 2


@pytest.mark.parametrize("answer", ["[]", '["another"]', "<html>", '{"p/f": 1}'])
async def test_an_upload_that_is_not_confirmed_has_failed(open_storage: Open, tmp_path: Path, answer: str) -> None:
    async def skip(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(text=answer)

    (tmp_path / "f").write_bytes(b"x")
    async with listening(skip) as url:
        with pytest.raises(StorageError, match="without naming the file as stored"):
            await open_storage().put(tmp_path / "f", f"{url}/p/f")


async def test_an_upload_is_tried_again_where_it_failed_in_passing(open_storage: Open, tmp_path: Path) -> None:
    attempts: list[bytes] = []

    async def flaky(request: web.Request) -> web.Response:
        form = await request.post()
        part = form["p/f"]
        assert isinstance(part, web.FileField)
        attempts.append(part.file.read())
        return web.Response(status=503) if len(attempts) < 3 else web.json_response(["p/f"])

    (tmp_path / "f").write_bytes(b"content")
    async with listening(flaky) as url:
        stored = await open_storage().put(tmp_path / "f", f"{url}/p/f")
        assert attempts == [b"content"] * 3
        assert stored.sha256 == hashlib.sha256(b"content").hexdigest()
        attempts.clear()
    with pytest.raises(StorageError, match="cannot connect"):
        await open_storage().put(tmp_path / "f", f"http://127.0.0.1:{refused_port()}/p/f")


async def test_a_file_that_changes_while_it_is_sent_is_not_stored(open_storage: Open, tmp_path: Path) -> None:
    source = tmp_path / "f"
    source.write_bytes(b"x" * 20_000_000)
    whole: list[int] = []

    async def slow(request: web.Request) -> web.Response:
        await request.content.read(100)
        source.write_bytes(b"y" * 20_000_000)
        whole.append(len(await request.read()))
        return web.json_response(["p/f"])

    async with listening(slow) as url:
        with pytest.raises(StorageError, match="changed while it was read"):
            await open_storage().put(source, f"{url}/p/f")
    assert not whole


async def test_uploads_and_downloads_take_no_memory(storage: Storage, root: str, tmp_path: Path) -> None:
    size = 40_000_000
    with (tmp_path / "f").open("wb") as file:
        file.truncate(size)
    await storage.exists(f"{root}/p/x")
    tracemalloc.start()
    await storage.put(tmp_path / "f", f"{root}/big/t.9/f")
    fetched = await storage.get(f"{root}/big/t.9/f", tmp_path / "g")
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert fetched.size == size
    assert most < 20_000_000  # the server in this process included


@pytest.mark.parametrize("etag", ['"v1"', "", 'W/"weak"'])
async def test_a_download_that_breaks_is_taken_up_where_it_broke(open_storage: Open, tmp_path: Path, etag: str) -> None:
    content = os.urandom(5_000_000)
    asked: list[str] = []

    async def breaking(request: web.Request) -> web.StreamResponse:
        given = request.headers.get("Range", "bytes=0-")
        asked.append(given)
        start = int(given.removeprefix("bytes=").removesuffix("-"))
        headers = {"Content-Length": str(len(content) - start), **({"ETag": etag} if etag else {})}
        if "Range" in request.headers:
            assert request.headers["If-Range"] == etag
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        response = web.StreamResponse(status=206 if start else 200, headers=headers)
        await response.prepare(request)
        last = len(asked) == 4
        await response.write(content[start : len(content) if last else start + 1_500_000])
        if not last:
            await asyncio.sleep(0.05)
            assert request.transport is not None
            request.transport.abort()
        return response

    async with listening(breaking) as url:
        fetched = await open_storage().get(f"{url}/f", tmp_path / "g")
    assert (tmp_path / "g").read_bytes() == content
    assert fetched.sha256 == hashlib.sha256(content).hexdigest()
    assert len(asked) == 4
    if etag == '"v1"':
        assert asked[1] != "bytes=0-"
    else:
        assert set(asked) == {"bytes=0-"}  # without a strong mark of its version it begins anew
    assert sorted(os.listdir(tmp_path)) == ["g"]


async def test_a_file_that_is_another_one_by_now_is_fetched_anew(open_storage: Open, tmp_path: Path) -> None:
    asked: list[str | None] = []

    async def changing(request: web.Request) -> web.StreamResponse:
        asked.append(request.headers.get("Range"))
        content = b"a" * 3_000_000 if len(asked) == 1 else b"b" * 2_000_000
        response = web.StreamResponse(headers={"ETag": f'"{len(asked)}"', "Content-Length": str(len(content))})
        await response.prepare(request)
        await response.write(content[:1_500_000] if len(asked) == 1 else content)
        if len(asked) == 1:
            await asyncio.sleep(0.05)
            assert request.transport is not None
            request.transport.abort()
        return response

    async with listening(changing) as url:
        fetched = await open_storage().get(f"{url}/f", tmp_path / "g")
    assert asked[0] is None
    assert asked[1] is not None
    assert fetched == (f"{url}/f", 2_000_000, hashlib.sha256(b"b" * 2_000_000).hexdigest())
    assert (tmp_path / "g").read_bytes() == b"b" * 2_000_000


async def test_a_download_that_keeps_failing_leaves_nothing(open_storage: Open, tmp_path: Path) -> None:
    async def broken(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        assert request.transport is not None
        request.transport.abort()
        return response

    (tmp_path / "g").write_bytes(b"the old one")
    async with listening(broken) as url:
        with pytest.raises(StorageError, match="cannot be fetched"):
            await open_storage().get(f"{url}/f", tmp_path / "g")
    assert (tmp_path / "g").read_bytes() == b"the old one"
    assert os.listdir(tmp_path) == ["g"]


async def test_a_target_that_cannot_be_written(storage: Storage, root: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    await storage.put(tmp_path / "file", f"{root}/p/t.5/f")
    with pytest.raises(StorageError, match="cannot be written"):
        await storage.get(f"{root}/p/t.5/f", tmp_path / "file" / "below")


async def test_a_cancelled_transfer_leaves_nothing(open_storage: Open, tmp_path: Path) -> None:
    async def trickle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "10000000"})
        await response.prepare(request)
        for _ in range(100):
            await response.write(b"x" * 1000)
            await asyncio.sleep(0.02)
        return response

    async with listening(trickle) as url:
        getting = asyncio.create_task(open_storage().get(f"{url}/f", tmp_path / "g"))
        await asyncio.sleep(0.3)
        getting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await getting
    for _ in range(100):
        if not os.listdir(tmp_path):
            break
        await asyncio.sleep(0.01)
    assert os.listdir(tmp_path) == []


async def test_a_server_that_cannot_delete_says_so(open_storage: Open) -> None:
    async def old(request: web.Request) -> web.Response:
        return web.Response(status=405)

    async with listening(old) as url:
        with pytest.raises(StorageError, match=r"cannot be removed.*405"):
            await open_storage().delete(f"{url}/f")


async def test_the_loop_is_never_held(storage: Storage, root: str, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(os.urandom(50_000_000))
    worst = 0.0
    done = threading.Event()

    async def tick() -> None:
        nonlocal worst
        while not done.is_set():
            before = time.perf_counter()
            await asyncio.sleep(0.001)
            worst = max(worst, time.perf_counter() - before)

    ticking = asyncio.create_task(tick())
    await storage.put(tmp_path / "f", f"{root}/p/t.6/f")
    await storage.get(f"{root}/p/t.6/f", tmp_path / "g")
    done.set()
    await ticking
    assert worst < 0.5  # on a machine that does other things; a read of the file at once would be longer


def test_urls_of_http_need_a_client() -> None:
    with pytest.raises(StorageError, match=r"no storage for https://"):
        default_registry().for_url("https://x/y")
