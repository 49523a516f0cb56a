"""Files on a file server, and at any http(s) URL. The connections, with their login, proxies and TLS, are the transport's.

Server: an upload is a POST of multipart/form-data to the root of the file server; the name of the part is the path, as it is, and the file
name must be there although it says nothing. The answer is the list of stored paths. Nothing may be compressed.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import mimetypes
import os
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import Final, NoReturn, TypeVar
from urllib.parse import quote, unquote, urlsplit

import aiohttp
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from atrains._storage.base import ChangedError, FileInfo, Progress, RunInThread, SourceError, StoredFile, UnreachableError, shown
from atrains._storage.copying import read_blocks
from atrains._storage.downloads import Download
from atrains._transport.answers import TRANSIENT, retry_after
from atrains._transport.client import HttpClient
from atrains._transport.failures import Exchange, UnavailableError
from atrains.errors import AccessError, StorageError, TransportError

T = TypeVar("T")

_ATTEMPTS: Final = 3
_READ_ATTEMPTS: Final = 5
_BACKOFF: Final = wait_exponential_jitter(multiplier=0.2, max=5.0)
_LONGEST_REST: Final = 30.0
"""Seconds that a server may ask us to wait before we try again."""
_RESUMPTIONS: Final = 20
"""Times that a download is taken up again, as long as each brings something."""
_CONNECT: Final = 10.0
_SILENCE: Final = 60.0
"""Seconds without a byte after which a transfer counts as broken."""
_LIMIT: Final = aiohttp.ClientTimeout(total=None, connect=_CONNECT, sock_connect=_CONNECT, sock_read=_SILENCE)
_SLOWEST: Final = 50 * 1024
"""Bytes a second below which an upload counts as one that stands still."""
_PIECE: Final = 1 << 20
_SLICE: Final = 1 << 18
"""Bytes that are handed to a connection in one turn of the loop: some tenths of a millisecond."""


class FileServerStorage:
    """Implements Storage over http(s).

    The token of the API server goes to addresses under the configured file server, and to no others.

    Args:
        client: Connections and login.
        run: Runs what blocks in a worker thread.
    """

    def __init__(self, client: HttpClient, run: RunInThread = asyncio.to_thread) -> None:
        self._client = client
        self._run = run
        self._files_host = client.settings.api.files_host
        self._share: _Share | None = None

    async def put(self, source: Path, target_url: str, *, progress: Progress | None = None, still: bool = False) -> StoredFile:
        """Upload a file; see `Storage.put`. Its bytes are hashed while they are sent, and never all in memory."""
        del still
        root, path = self._split(target_url)
        upload = _Upload(self._run, self._share_here(), source, path, progress)
        url = self._quoted(target_url)

        async def attempt() -> None:
            try:
                await self._post(root, upload)
            except TransportError:
                if upload.error is not None:
                    raise upload.error from None
                raise

        await self._retried(attempt, f"{source} cannot be stored at {shown(url)}")
        return StoredFile(url=target_url, size=upload.size, sha256=upload.digest.hexdigest())

    async def get(self, url: str, target: Path, *, kept: Path | None = None) -> StoredFile:
        """Download a file; see `Storage.get`. A transfer that breaks is taken up where it broke."""
        download = Download(self._run, target, kept=kept)
        try:
            await download.open()
            fetch = partial(self._fetch, self._quoted(url), download)
            await self._retried(fetch, f"{shown(url)} cannot be fetched", attempts=_READ_ATTEMPTS)
            await download.finish()
        finally:
            await download.close()
        return StoredFile(url=url, size=download.size, sha256=download.digest.hexdigest())

    async def delete(self, url: str) -> bool:
        """Remove a file; see `Storage.delete`."""
        if self._is_ours(url):
            _check_whole(url)
        return await self._ask("DELETE", url, f"{shown(url)} cannot be removed") is not None

    async def exists(self, url: str) -> bool:
        """Whether there is a file; see `Storage.exists`.

        Raises:
            StorageError: the server does not say.
        """
        return await self.stat(url) is not None

    async def stat(self, url: str) -> FileInfo | None:
        """What is known of a file; see `Storage.stat`. The size is None where the server does not say it."""
        headers = await self._ask("HEAD", url, f"whether there is {shown(url)} cannot be said")
        if headers is None:
            return None
        size = headers.get("Content-Length", "")
        modified = None
        with suppress(ValueError):
            modified = parsedate_to_datetime(headers.get("Last-Modified", "")).timestamp()
        return FileInfo(url, _name(url), int(size) if size.isdecimal() else None, modified)

    async def list(self, url: str) -> AsyncGenerator[FileInfo]:
        """Refuse; see `Storage.list`. No request of http asks for the files below a URL."""
        raise StorageError(
            f"the files below {shown(url)} cannot be listed: http servers have no such request. Folders can be listed, and home:// of a "
            "local home; over http name each file, or keep a list of them in one"
        )
        yield  # what makes this an iterator

    def local_path(self, url: str) -> Path | None:
        """None: a file elsewhere has no path here."""
        del url
        return None

    def _share_here(self) -> _Share:
        """What uploads share on the running loop: a semaphore belongs to one."""
        loop = asyncio.get_running_loop()
        share = self._share
        if share is None or share.loop is not loop:
            share = self._share = _Share(loop)
        return share

    def _is_ours(self, url: str) -> bool:
        """Whether a URL lies under the configured file server."""
        if not self._files_host:
            return False
        ours, other = urlsplit(self._files_host), urlsplit(url)
        prefix = ours.path.rstrip("/") + "/"
        return (ours.scheme, ours.hostname, ours.port) == (other.scheme, other.hostname, other.port) and other.path.startswith(prefix)

    def _split(self, url: str) -> tuple[str, str]:
        """The URL to post to, and the path of the file below it, not quoted."""
        _check_whole(url)
        parts = urlsplit(url)
        root = f"{self._files_host}/" if self._files_host and self._is_ours(url) else f"{parts.scheme}://{parts.netloc}/"
        path = unquote(url[len(root) :])
        if not path.strip("/") or any(ord(character) < 32 for character in path):
            raise StorageError(f"{shown(url)!r} names no file below {shown(root)}; give a URL with a path and without control characters")
        return root, path.lstrip("/")

    def _quoted(self, url: str) -> str:
        """The URL as it goes on the wire: what is quoted stays, what is not is."""
        return quote(url, safe="%/:=&?~#+!$,;'@()*[]")

    @asynccontextmanager
    async def _response(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        limit: aiohttp.ClientTimeout = _LIMIT,
        upload: _Upload | None = None,
        redirects: bool = False,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request and give its answer; once more with another token where the first was refused."""

        def send(authorization: Mapping[str, str]) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
            given = {"Accept-Encoding": "identity", **(headers or {}), **authorization}  # ranges and lengths are of the file itself
            data = upload.pieces() if upload is not None else None
            exchange = Exchange()
            return self._client.open(method, url, headers=given, timeout=limit, exchange=exchange, data=data, redirects=redirects)

        authorization = await self._client.authorization() if self._is_ours(url) else {}
        async with AsyncExitStack() as stack:
            response = await stack.enter_async_context(send(authorization))
            if response.status == 401 and authorization:
                await stack.aclose()
                response = await stack.enter_async_context(send(await self._client.renewed_authorization(authorization)))
            yield response

    async def _ask(self, method: str, url: str, failure: str) -> Mapping[str, str] | None:
        """Send a request that is answered without a body; gives the headers, None where there is no such file."""

        async def attempt() -> Mapping[str, str] | None:
            async with self._response(method, self._quoted(url), redirects=method == "HEAD") as response:
                if response.status not in {200, 204, 404, 410}:
                    _refuse(response)
                return response.headers if response.status in {200, 204} else None

        return await self._retried(attempt, failure)

    async def _retried(self, attempt: Callable[[], Awaitable[T]], failure: str, *, attempts: int = _ATTEMPTS) -> T:
        """Do something again where it failed in passing; what remains is a StorageError."""
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(UnavailableError),
            stop=stop_after_attempt(attempts),
            wait=_rest,
            sleep=asyncio.sleep,
            reraise=True,
        )
        try:
            return await retrying(attempt)
        except (UnavailableError, AccessError) as error:
            raise UnreachableError(f"{failure}: {error}") from error
        except TransportError as error:
            raise StorageError(f"{failure}: {error}") from error

    async def _post(self, root: str, upload: _Upload) -> None:
        headers = {"Content-Type": f"multipart/form-data; boundary={upload.boundary}", "Content-Length": str(upload.length)}
        limit = aiohttp.ClientTimeout(total=max(30.0, upload.length / _SLOWEST), connect=_CONNECT, sock_connect=_CONNECT)
        async with self._response("POST", root, headers=headers, limit=limit, upload=upload) as response:
            if response.status != 200:
                _refuse(response)
            answer = await response.text()
        if upload.path not in _paths(answer):
            raise TransportError(f"the server answered without naming the file as stored; is {root} a file server?")

    async def _fetch(self, url: str, download: Download) -> None:
        for _ in range(_RESUMPTIONS):
            before = download.size
            try:
                return await self._fetch_rest(url, download)
            except UnavailableError:
                if download.size == before:
                    raise
        raise UnavailableError(f"the transfer broke {_RESUMPTIONS} times")

    async def _fetch_rest(self, url: str, download: Download) -> None:
        asked = download.range_headers()
        async with self._response("GET", url, headers=asked, redirects=True) as response:
            if response.status == 416 and asked:  # there is no rest: what was kept is all of it, or more
                await download.start_over()
                raise UnavailableError("the file is no longer the one that was begun", connected=True)
            if response.status not in {200, 206}:
                _refuse(response)
            await download.begin(response)
            try:
                async for piece in response.content.iter_chunked(_PIECE):
                    await download.write(piece)
            finally:
                await download.flush()  # what came counts, also where no more did


class _Share:
    """What the uploads of one event loop share, so that eight of them leave room for whatever else runs there.

    Args:
        loop: Which.

    Attributes:
        reading: How many read and hash at once, in worker threads: two, or half of the processors; the loop has to wait for more of them.
        waiting: Those and one more, which is there when one of them is done, while the loop may have other things to do.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        readers = max(2, (os.cpu_count() or 1) // 2)
        self.reading, self.waiting = threading.Semaphore(readers), asyncio.Semaphore(readers + 1)
        self._is_taken = False

    async def turn(self) -> None:
        """Wait for a turn of the loop in which nobody else hands over a slice."""
        while self._is_taken:  # each turn is somebody's, so nobody waits for more of them than there are others  # noqa: ASYNC110
            await asyncio.sleep(0)
        self._is_taken = True
        self.loop.call_soon(self._end)

    def _end(self) -> None:
        self._is_taken = False


class _Upload:
    """A file on its way: the bytes of the request's body, made as they are sent."""

    def __init__(self, run: RunInThread, share: _Share, source: Path, path: str, progress: Progress | None) -> None:
        self._run = run
        self._share = share
        self._progress = progress
        self._source = source
        self.path = path
        self.boundary = os.urandom(16).hex()
        self.error: StorageError | None = None
        self._head, self._tail = _frame(self.boundary, path, source.name)
        self.size = 0
        self.digest = hashlib.sha256()
        self._is_read = False
        try:
            self._expected = self._source.stat().st_size
        except OSError as error:
            raise SourceError(f"{self._source} cannot be read ({error.strerror or error}); check that it is there and readable") from error

    @property
    def length(self) -> int:
        """Bytes of the body."""
        return len(self._head) + self._expected + len(self._tail)

    async def pieces(self) -> AsyncGenerator[bytes | memoryview]:
        """The body, from its beginning; fails where the file cannot be read or changes."""
        self.size, self.digest, self._is_read = 0, hashlib.sha256(), False
        yield self._head
        blocks = read_blocks(self._source)
        try:
            while block := await self._read(blocks):
                for start in range(0, len(block), _SLICE):
                    await self._share.turn()
                    yield memoryview(block)[start : start + _SLICE]
                if self._progress is not None:
                    self._progress(self.size)
        except StorageError as error:
            self.error = error  # aiohttp hides it behind one of its own
            raise
        yield self._tail

    async def _read(self, blocks: Iterator[bytes]) -> bytes:
        """The next block; empty at the end."""
        if self._is_read:
            return b""
        async with self._share.waiting:
            return await self._run(partial(self._next, blocks))

    def _next(self, blocks: Iterator[bytes]) -> bytes:
        with self._share.reading:
            block = next(blocks, b"")
            self.digest.update(block)
        self.size += len(block)
        if self.size == self._expected:  # what follows is whether it changed, which is known before the last bytes go
            self.size += len(next(blocks, b""))
            self._is_read = True
        # Against the size that the request was begun with: it may have changed before the first byte was read, and a server that is
        # promised more than comes waits for it.
        if self.size > self._expected or (not block and self.size < self._expected):
            raise ChangedError(f"{self._source} changed while it was read; try again when nothing writes to it any more")
        return block


def _frame(boundary: str, path: str, name: str) -> tuple[bytes, bytes]:
    """What stands before and after the file in a body of one part. Raw UTF-8: the server takes the name of the part literally."""
    kind = mimetypes.guess_type(path.rpartition("/")[2])[0] or "application/octet-stream"
    names = f'name="{_escaped(path)}"; filename="{_escaped(name)}"'
    head = f"--{boundary}\r\nContent-Disposition: form-data; {names}\r\nContent-Type: {kind}\r\n\r\n"
    return head.encode("utf-8", "replace"), f"\r\n--{boundary}--\r\n".encode()


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\r", " ").replace("\n", " ")


def _paths(answer: str) -> list[object]:
    try:
        paths = json.loads(answer)
    except ValueError:
        return []
    return paths if isinstance(paths, list) else []


def _rest(state: RetryCallState) -> float:
    """Seconds until the next attempt: as many as the server asks for, within reason."""
    error = state.outcome.exception() if state.outcome is not None else None
    asked = error.retry_after if isinstance(error, UnavailableError) else None
    return max(_BACKOFF(state), min(asked or 0.0, _LONGEST_REST))


def _name(url: str) -> str:
    """The last part of the path of a URL."""
    return unquote(urlsplit(url).path.rstrip("/").rpartition("/")[2])


def _refuse(response: aiohttp.ClientResponse) -> NoReturn:
    """Raise for a status that is no success."""
    host = f"{response.url.scheme}://{response.url.authority}"
    if response.status in TRANSIENT or response.status in {401, 408} or response.status >= 500:
        after = retry_after(response.headers.get("Retry-After"), time.time())
        raise UnavailableError(f"{host} cannot answer now (status {response.status})", connected=True, retry_after=after)
    words = {
        403: "it does not allow that",
        404: "there is no such file",
        405: "it does not do that; is it a file server?",
        413: "the file is too large for it",
    }
    raise TransportError(f"{host} refused ({response.status}: {words.get(response.status, response.reason or 'no reason given')})")


def _check_whole(url: str) -> None:
    """Refuse what a file server does not see: `run#1` and `run#2` would be one file there."""
    if "?" in url or "#" in url:
        raise StorageError(f"{shown(url)!r} names a file by more than a path, which ends at ? and #; write %23 and %3F for # and ?")
