"""A proxy that breaks what passes through it: connections reset before, during and after a request, answers lost, errors, garbage, silence.

It runs on a thread of its own, speaks HTTP/1.1 with one request a connection, and passes everything on unless its plan says otherwise.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

RESETS: Final = ("reset before", "reset during", "reset after", "lost answer")
"""Faults that end the connection; after the last two the server has done what it was asked."""
UNAUTHORIZED: Final = (
    b'{"meta": {"id": "1", "trx": "1", "endpoint": {"name": "", "requested_version": "2.13", "actual_version": "2.13"}, '
    b'"result_code": 401, "result_subcode": 30, "result_msg": "Unauthorized (Signature has expired)", "error_stack": null}, "data": {}}'
)
"""What a server says whose tokens have run out."""
ANSWERS: Final = ("500", "502", "503", "413", "garbage", "half an answer")


@dataclass(frozen=True)
class Request:
    """A request as the proxy sees it."""

    number: int
    method: str
    path: str

    @property
    def endpoint(self) -> str:
        """`service.action`, where it is one."""
        return self.path.rpartition("/")[2].partition("?")[0]


Plan = Callable[[Request], str]


class FaultProxy:
    """Stands between a client and the server at a port of this machine.

    Attributes:
        plan: The fault of each request, empty for none: one of RESETS or ANSWERS, `401`, `silence` (no answer, ever), `stall SECONDS`,
            or `late SECONDS` where the server has answered and the answer takes its time.
        seen: How many requests each endpoint got, whatever became of them.
        done: The faults that were met.
    """

    def __init__(self, upstream: int) -> None:
        self.upstream = upstream
        self.plan: Plan = lambda _: ""
        self.seen: Counter[str] = Counter()
        self.done: Counter[str] = Counter()
        self._numbers = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy", daemon=True)
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.port = 0

    @property
    def url(self) -> str:
        """Where clients go."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        self.listen()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.refuse()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def listen(self) -> None:
        """Take connections, at the same port as before."""
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()

    def refuse(self) -> None:
        """Take no connections any more, and end those that there are."""
        asyncio.run_coroutine_threadsafe(self._refuse(), self._loop).result()

    async def _listen(self) -> None:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        self._server = await asyncio.start_server(self._serve, sock=listener)
        self.port = listener.getsockname()[1]

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in tuple(self._connections):
            connection.cancel()
        if self._connections:
            await asyncio.wait(tuple(self._connections))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._one_request(reader, writer)
        except (OSError, EOFError, ValueError):  # somebody went away: that is what this is for
            writer.transport.abort()
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            self._connections.discard(task)
            writer.close()

    async def _one_request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        method, path, _ = head.split(b"\r\n", 1)[0].decode().split(" ", 2)
        self._numbers += 1
        request = Request(self._numbers, method, path)
        self.seen[request.endpoint] += 1
        fault = self.plan(request)
        self.done[fault.partition(" ")[0] if fault.startswith(("stall", "late")) else fault] += 1
        if fault == "reset before":
            _reset(writer)
            return
        if fault == "reset during":
            await reader.read(64)
            _reset(writer)
            return
        body = await _body(head, reader)
        if fault.startswith("stall"):
            await asyncio.sleep(float(fault.partition(" ")[2]))
        elif fault == "silence":
            await asyncio.sleep(3600)
        elif fault == "reset after":
            with contextlib.suppress(OSError, EOFError):
                await self._pass_on(head, body)
            _reset(writer)
            return
        elif fault in {"500", "502", "503", "413"}:
            text = b"<html>not now</html>"
            head = f"HTTP/1.1 {fault} Not Now\r\nContent-Type: text/html\r\nContent-Length: {len(text)}\r\nConnection: close\r\n"
            writer.write(head.encode() + (b"Retry-After: 1\r\n" if fault == "503" else b"") + b"\r\n" + text)
            await writer.drain()
            return
        elif fault == "401":
            head = f"HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json\r\nContent-Length: {len(UNAUTHORIZED)}\r\n"
            writer.write(head.encode() + b"Connection: close\r\n\r\n" + UNAUTHORIZED)
            await writer.drain()
            return
        elif fault == "garbage":
            writer.write(b"\x16\x03\x01 this is no answer\r\n\r\n" * 20)
            await writer.drain()
            return
        answer = await self._pass_on(head, body)
        if fault.startswith("late"):
            await asyncio.sleep(float(fault.partition(" ")[2]))
        if fault == "lost answer":
            writer.transport.abort()
            return
        if fault == "half an answer":
            answer = answer[: len(answer) // 2]
        writer.write(answer)
        await writer.drain()

    async def _pass_on(self, head: bytes, body: bytes) -> bytes:
        """Have the server answer, in a connection that it closes afterwards."""
        lines = [
            line
            for line in head[:-4].split(b"\r\n")
            if not line.lower().startswith((b"connection:", b"transfer-encoding:", b"content-length:"))
        ]
        lines += [b"Connection: close", b"Content-Length: %d" % len(body)]
        upstream, out = await asyncio.open_connection("127.0.0.1", self.upstream)
        try:
            out.write(b"\r\n".join(lines) + b"\r\n\r\n" + body)
            await out.drain()
            return await upstream.read()
        finally:
            out.close()


async def _body(head: bytes, reader: asyncio.StreamReader) -> bytes:
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in head.split(b"\r\n")[1:])}
    if headers.get(b"expect"):
        raise ValueError("100-continue is not for this proxy")
    if headers.get(b"transfer-encoding", b"").lower() == b"chunked":
        parts = []
        while size := int((await reader.readline()).split(b";")[0], 16):
            parts.append(await reader.readexactly(size))
            await reader.readexactly(2)
        await reader.readline()
        return b"".join(parts)
    return await reader.readexactly(int(headers.get(b"content-length", 0)))


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection so that the other side sees a reset, and no orderly end."""
    connection = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@contextlib.contextmanager
def silent_port() -> Iterator[int]:
    """A port where connections are taken and nothing is ever answered."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()


def refused_port() -> int:
    """A port where nobody listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
