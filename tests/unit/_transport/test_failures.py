"""What a call does with a server in trouble, and what it says: what is tried again, for how long, and what may have been done."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from atrains._config import Timeout
from atrains._transport.http import HttpTransport
from atrains._wire import endpoints
from atrains._wire.endpoints import Endpoint
from atrains.errors import AccessError, ServerError, TransportError
from tests.api_server import ApiServer, envelope, listening, reset, serving
from tests.fault_proxy import refused_port, silent_port

Make = Callable[..., HttpTransport]
GET = endpoints.TASKS_GET_BY_ID
CREATE = endpoints.TASKS_CREATE


@pytest.fixture(autouse=True)
def tasks(server: ApiServer) -> None:
    server.handlers["tasks.get_by_id"] = lambda _, asked: {"task": {"id": asked["task"]}}
    server.handlers["tasks.create"] = lambda *_: {"id": "new"}


@pytest.fixture
def clock() -> Callable[[], float]:
    begun = time.monotonic()
    return lambda: time.monotonic() - begun


async def ask(transport: HttpTransport, endpoint: Endpoint = GET) -> Any:
    return await transport.call(endpoint, {"task": "t", "name": "name", "type": "training"})


def calls(server: ApiServer, endpoint: Endpoint = GET) -> int:
    return sum(path.endswith(endpoint.name) for path in server.paths())


@asynccontextmanager
async def raw_server(answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]) -> AsyncIterator[str]:
    """A server that speaks what a test wants."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        finally:
            writer.close()

    opened = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{opened.sockets[0].getsockname()[1]}"
    finally:
        opened.close()


@pytest.mark.parametrize("status", [429, 502, 503, 504, 509])
async def test_what_passes_is_tried_again(server: ApiServer, transport: HttpTransport, status: int) -> None:
    server.next[GET.name] = [web.Response(status=status, text="<html>later</html>"), envelope(code=status, message="later"), reset]
    assert (await ask(transport))["task"]["id"] == "t"
    assert calls(server) == 4


@pytest.mark.parametrize("fault", [reset, web.Response(status=502), web.Response(status=504)])
async def test_what_may_have_been_done_is_not_done_twice(server: ApiServer, transport: HttpTransport, fault: Any) -> None:
    await ask(transport)
    server.next[CREATE.name] = [fault]
    with pytest.raises(TransportError) as caught:
        await ask(transport, CREATE)
    assert caught.value.outcome_unknown
    assert calls(server, CREATE) == 1


@pytest.mark.parametrize("status", [429, 503, 509])
async def test_what_was_surely_not_done_is_tried_again(server: ApiServer, transport: HttpTransport, status: int) -> None:
    server.next[CREATE.name] = [web.Response(status=status)]
    assert await ask(transport, CREATE) == {"id": "new"}


@pytest.mark.parametrize(("value", "least", "tries"), [("1", 1.0, 2), ("31", 0.0, 1), ("nonsense", 0.0, 2)])
async def test_retry_after_is_followed_up_to_half_a_minute(
    server: ApiServer, transport: HttpTransport, clock: Callable[[], float], value: str, least: float, tries: int
) -> None:
    server.next[GET.name] = [web.Response(status=503, headers={"Retry-After": value})]
    if tries == 1:
        with pytest.raises(TransportError, match="503"):
            await ask(transport)
    else:
        await ask(transport)
    assert calls(server) == tries
    assert least <= clock() < least + 2


async def test_a_burst_of_tries_has_an_end(server: ApiServer, connect: Make, clock: Callable[[], float], monkeypatch: Any) -> None:
    monkeypatch.setattr("atrains._transport.http.BURST", 1.0)
    server.next[GET.name] = [lambda _: web.Response(status=503)] * 100
    with pytest.raises(TransportError, match="cannot answer now") as caught:
        await ask(connect(server.url))
    assert type(caught.value) is TransportError
    assert not caught.value.outcome_unknown
    assert 3 < calls(server) < 20
    assert clock() < 1.5


async def test_a_stale_connection_is_replaced(server: ApiServer, connect: Make) -> None:
    """A server that closes kept connections just when they are used: what may be done twice does not fail."""
    transport = connect(server.url, http={"retries": 0})
    for _ in range(3):
        await ask(transport)
        server.next[GET.name] = [reset]
    await ask(transport)
    assert len({sent.peer for sent in server.sent}) >= 4


async def test_a_server_that_keeps_no_connections_is_fine(server: ApiServer, transport: HttpTransport) -> None:
    server.keep_alive = False
    await asyncio.gather(*(ask(transport) for _ in range(20)))
    assert len({sent.peer for sent in server.sent}) == 21


async def test_errors_of_the_server_keep_their_codes_and_words(server: ApiServer, transport: HttpTransport) -> None:
    server.next[GET.name] = [
        envelope(code=400, subcode=101, message="Invalid task id: id=t"),
        envelope(code=500, subcode=4, message="low disk"),
    ]
    with pytest.raises(ServerError, match=r"^Invalid task id: id=t$") as caught:
        await ask(transport)
    assert (caught.value.code, caught.value.subcode, caught.value.endpoint) == (400, 101, "tasks.get_by_id")
    assert not caught.value.outcome_unknown
    with pytest.raises(ServerError, match="low disk") as caught:
        await ask(transport)
    assert caught.value.outcome_unknown
    assert calls(server) == 2


@pytest.mark.parametrize("body", [b"", b"not json", b"[1, 2]", b'{"data": {}}', b'{"meta": 7}', b"\xff\xfe", b"[" * 100_000])
async def test_an_answer_that_is_no_envelope_is_an_error_and_the_outcome_unknown(
    server: ApiServer, transport: HttpTransport, body: bytes
) -> None:
    await ask(transport)
    server.next[GET.name] = [web.Response(body=body)]
    with pytest.raises(TransportError, match="cannot be understood") as caught:
        await ask(transport)
    assert caught.value.outcome_unknown


async def test_nan_in_an_answer_is_read(server: ApiServer, transport: HttpTransport) -> None:
    server.next[GET.name] = [web.Response(text='{"meta": {"result_code": 200}, "data": {"task": {"id": "t", "x": NaN}}}')]
    assert (await ask(transport))["task"]["id"] == "t"


async def test_a_large_answer_is_read(server: ApiServer, transport: HttpTransport) -> None:
    server.handlers[GET.name] = lambda *_: {"task": {"comment": "x" * 3_000_000}}
    assert len((await ask(transport))["task"]["comment"]) == 3_000_000


async def test_a_refused_connection_fails_at_once_where_no_server_was_ever_seen(connect: Make, clock: Callable[[], float]) -> None:
    url = f"http://127.0.0.1:{refused_port()}"
    with pytest.raises(TransportError, match=rf"cannot connect to {url} \(named by ATRAINS_API_HOST\)") as caught:
        await ask(connect(url))
    assert clock() < 0.3
    assert not caught.value.outcome_unknown
    assert not isinstance(caught.value, AccessError)


async def test_a_name_that_does_not_resolve(connect: Make) -> None:
    with pytest.raises(TransportError, match=r"the name of http://no-such-host\.invalid:8008 .*cannot be resolved"):
        await ask(connect("http://no-such-host.invalid:8008"))


async def test_a_silent_server_is_given_up(connect: Make, clock: Callable[[], float]) -> None:
    with silent_port() as port:
        transport = connect(f"http://127.0.0.1:{port}", http={"first_timeout": Timeout(0.3, 0.5)})
        with pytest.raises(TransportError, match="did not answer in time") as caught:
            await ask(transport)
        assert clock() < 1
        assert caught.value.outcome_unknown


async def test_an_answer_that_stops_midway(server: ApiServer, connect: Make, clock: Callable[[], float]) -> None:
    async def stall(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b"{")
        await asyncio.sleep(30)
        return response

    transport = connect(server.url, http={"timeout": Timeout(1.0, 0.4), "retries": 1})
    await ask(transport)
    server.next[GET.name] = [stall] * 9
    with pytest.raises(TransportError, match="did not answer in time") as caught:
        await ask(transport)
    assert caught.value.outcome_unknown
    assert clock() < 3


@pytest.mark.parametrize("garbage", [b"SSH-2.0-OpenSSH_9.6\r\n", b"\x16\x03\x01\x00\x05garbage" * 40, b"HTTP/1.1 banana\r\n\r\n"])
async def test_a_port_that_speaks_something_else(connect: Make, clock: Callable[[], float], garbage: bytes) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(garbage)
        await writer.drain()

    async with raw_server(greet) as url:
        with pytest.raises(TransportError) as caught:
            await ask(connect(url))
        assert url in str(caught.value)
        assert clock() < 2


@pytest.mark.parametrize(
    ("status", "kind", "body"),
    [
        (200, "text/html", "<html>app</html>"),
        (405, "text/html", "<html>Not allowed</html>"),
        (404, "text/plain", "no"),
        (200, "application/json", "[]"),
    ],
)
async def test_a_host_that_is_no_api_server(connect: Make, clock: Callable[[], float], status: int, kind: str, body: str) -> None:
    """The web application answers every path with its page, the file server with 405."""

    async def page(_: web.Request) -> web.Response:
        return web.Response(status=status, content_type=kind, text=body)

    async with listening(page) as url:
        with pytest.raises(AccessError, match=rf"what answers at {url} \(named by ATRAINS_API_HOST\) is no API server .*8008") as caught:
            await ask(connect(url))
        with pytest.raises(AccessError):
            await connect(url).probe()
    assert clock() < 2
    assert f"status {status}, {kind}" in str(caught.value)


async def test_a_redirect_names_the_address_to_use(connect: Make) -> None:
    async def elsewhere(_: web.Request) -> web.Response:
        return web.Response(status=301, headers={"Location": "https://api.example.com/auth.login?x=1"})

    async with listening(elsewhere) as url:
        with pytest.raises(
            AccessError, match=r"points to https://api\.example\.com; give that address as api\.api_server or ATRAINS_API_HOST"
        ):
            await ask(connect(url))


async def test_a_server_that_starts_late_is_waited_for_a_little(server: ApiServer, connect: Make) -> None:
    server.next["auth.login"] = [web.Response(status=503), web.Response(status=502, text="<html>")]
    assert (await ask(connect(server.url)))["task"]["id"] == "t"


async def test_a_restarted_server_is_found_again(connect: Make) -> None:
    port = refused_port()
    first = ApiServer(handlers={GET.name: lambda *_: {"task": {}}})
    async with serving(first, port=port):
        transport = connect(f"http://127.0.0.1:{port}")
        await ask(transport)
    asking = asyncio.create_task(ask(transport))
    await asyncio.sleep(0.7)
    assert not asking.done()
    second = ApiServer(handlers={GET.name: lambda *_: {"task": {"id": "again"}}})
    async with serving(second, port=port):  # it does not know the old token either
        assert (await asking)["task"]["id"] == "again"


async def test_a_probe_is_one_request_and_says_whether_the_server_is_there(server: ApiServer, connect: Make) -> None:
    transport = connect(server.url)
    await transport.probe()
    await ask(transport)
    assert [path.rpartition("/")[2] for path in server.paths()] == ["auth.login", GET.name]  # a start needs the login anyway
    await transport.probe()
    assert "Authorization" not in server.sent[2].headers
    for fault in (web.Response(status=503), web.Response(status=429), reset, envelope(code=502, message="x")):
        for probed in (transport, connect(server.url)):
            server.next["auth.login"] = [fault]
            with pytest.raises(TransportError):
                await probed.probe()
    assert len(server.sent) == 11
    with pytest.raises(TransportError):
        await connect(f"http://127.0.0.1:{refused_port()}").probe()


async def test_a_probe_of_a_silent_server_is_short(connect: Make, clock: Callable[[], float]) -> None:
    with silent_port() as port, pytest.raises(TransportError):
        await connect(f"http://127.0.0.1:{port}").probe()
    assert clock() < 4


async def test_a_stuck_look_up_holds_one_thread_and_nobody_else(
    server: ApiServer, connect: Make, monkeypatch: pytest.MonkeyPatch, clock: Callable[[], float]
) -> None:
    """A name server that is gone: each look-up hangs for many seconds, in C, where nothing can end it."""
    looked_up = []
    real = socket.getaddrinfo

    def hang(host: Any, *arguments: Any, **more: Any) -> Any:
        if host != "slow.example":
            return real(host, *arguments, **more)
        looked_up.append(host)
        time.sleep(3)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    transport = connect("http://slow.example:8008", http={"first_timeout": Timeout(0.2, 0.2)})
    for _ in range(4):
        with pytest.raises(TransportError):
            await ask(transport)
    assert len(looked_up) == 1
    await ask(connect(server.url))
    assert clock() < 3
    await asyncio.sleep(3 - clock())


async def test_no_secret_is_logged_however_it_fails(server: ApiServer, connect: Make, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    transport = connect(server.url, http={"retries": 1})
    server.next[GET.name] = [web.Response(status=400, text="no"), reset, reset, web.Response(status=502), envelope(code=500, message="x")]
    errors = []
    for _ in range(3):
        with pytest.raises(TransportError) as caught:
            await ask(transport)
        errors.append(caught.value)
    seen: list[str] = [caplog.text]
    for error in errors:
        link: BaseException | None = error
        while link is not None:
            seen.append(f"{link!r} {link} {link.__dict__}")
            link = link.__cause__ or link.__context__
    tokens = [*server.valid, "test-secret-key", "Bearer ey"]
    assert not [text for text in seen if any(token in text for token in tokens)]


@pytest.mark.parametrize("value", [{1, 2}, object(), lambda: 1])
async def test_a_value_without_a_json_form_is_refused_before_anything_is_sent(
    transport: HttpTransport, server: ApiServer, value: Any
) -> None:
    from atrains.errors import ValidationError

    with pytest.raises(ValidationError, match="cannot be sent"):
        await transport.call(GET, {"task": value})
    assert calls(server) == 0


async def test_odd_texts_and_numbers_arrive(transport: HttpTransport, server: ApiServer) -> None:
    await transport.call(GET, {"task": "half \ud83d of it", "number": 2**70, "int": {1: "key"}})
    assert server.sent[-1].json == {"task": "half ? of it", "number": 2**70, "int": {"1": "key"}}
