"""Who we are to a server: logins, their number, tokens that end, and what is never shown."""

from __future__ import annotations

import asyncio
import base64
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from aiohttp import web

from atrains._transport.http import HttpTransport
from atrains._wire import endpoints
from atrains.errors import AccessError, ConfigurationError, TransportError
from tests.api_server import KEY, SECRET, SIGNING, ApiServer, envelope, reset

Make = Callable[..., HttpTransport]


@pytest.fixture(autouse=True)
def tasks(server: ApiServer) -> None:
    server.handlers["tasks.get_by_id"] = lambda _, asked: {"task": {"id": asked["task"]}}


async def ask(transport: HttpTransport) -> Any:
    return await transport.call(endpoints.TASKS_GET_BY_ID, {"task": "t"})


async def test_many_calls_at_once_log_in_once(server: ApiServer, transport: HttpTransport) -> None:
    await asyncio.gather(*(ask(transport) for _ in range(50)))
    assert server.paths().count("/auth.login") == 1
    assert len(server.sent) == 51


async def test_what_a_request_looks_like(server: ApiServer, connect: Make) -> None:
    transport = connect(server.url, ATRAINS_WORKER_NAME="büro:1\n")
    await transport.call(endpoints.TASKS_GET_BY_ID, {"task": "t", "nothing": None, "deep": {"nothing": None, "kept": [None]}})
    login, call = server.sent
    assert base64.b64decode(login.headers["Authorization"].removeprefix("Basic ")).decode() == f"{KEY}:{SECRET}"
    assert (call.method, call.path) == ("POST", "/v2.13/tasks.get_by_id")
    assert call.json == {"task": "t", "deep": {"kept": [None]}}
    assert call.headers["Authorization"].startswith("Bearer ")
    for family in ("X-Trains", "X-ClearML"):
        assert call.headers[f"{family}-Worker"] == "b?ro:1"
        assert call.headers[f"{family}-Client"].startswith("atrains")
    assert "Content-Encoding" not in call.headers
    assert call.headers["Content-Type"] == "application/json"


async def test_a_cookie_is_dropped(server: ApiServer, transport: HttpTransport) -> None:
    server.next["auth.login"] = [lambda _: envelope({"token": server.issue()}, **{"Set-Cookie": "clearml_token_basic=stale; Path=/"})]
    await ask(transport)
    assert "Cookie" not in server.sent[-1].headers


async def test_a_token_is_renewed_before_it_ends(server: ApiServer, connect: Make) -> None:
    server.lifetime = 2.0
    transport = connect(server.url, http={"token_refresh_threshold": 1.8})
    await ask(transport)
    await asyncio.sleep(1.1)  # past half of its life, the earliest that it is renewed
    await asyncio.gather(*(ask(transport) for _ in range(5)))
    assert server.logins == 2


async def test_a_token_that_is_refused_is_replaced_once_for_all(server: ApiServer, transport: HttpTransport) -> None:
    await ask(transport)
    server.valid.clear()  # revoked, or the server was restarted
    await asyncio.gather(*(ask(transport) for _ in range(10)))
    assert server.logins == 2


async def test_a_renewal_that_fails_does_no_harm_while_the_token_holds(server: ApiServer, connect: Make) -> None:
    transport = connect(server.url)
    await ask(transport)
    server.lifetime = 4.0
    server.valid.clear()
    await ask(transport)
    await asyncio.sleep(2.1)
    server.next["auth.login"] = [envelope(code=500, message="out of order")]
    await ask(transport)
    assert server.sent[-2].path == "/auth.login"


async def test_wrong_keys_are_an_error_that_says_where_they_came_from(
    server: ApiServer, connect: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    transport = connect(server.url, ATRAINS_API_ACCESS_KEY=KEY, ATRAINS_API_SECRET_KEY="wrong-secret-1234")
    begun = time.monotonic()
    with pytest.raises(AccessError, match="does not accept the key pair from ATRAINS_API_ACCESS_KEY and ATRAINS_API_SECRET_KEY") as caught:
        await ask(transport)
    assert time.monotonic() - begun < 2
    assert isinstance(caught.value, ConfigurationError)
    assert isinstance(caught.value, TransportError)
    assert "401/22" in str(caught.value)
    assert "failed to locate provided credentials" in str(caught.value)
    shown = f"{caught.value!r} {caplog.text} {transport.client.settings!r} {transport.target}"
    assert "wrong-secret" not in shown
    assert KEY not in shown
    assert base64.b64encode(f"{KEY}:wrong-secret-1234".encode()).decode() not in shown


async def test_a_token_that_stays_refused_is_an_access_error(server: ApiServer, transport: HttpTransport) -> None:
    server.handlers["tasks.get_by_id"] = lambda *_: envelope(code=401, subcode=21, message="no company")
    with pytest.raises(AccessError, match="401/21: no company"):
        await ask(transport)
    assert server.paths().count("/auth.login") == 2


async def test_without_keys_nothing_is_tried(connect: Make) -> None:
    with pytest.raises(ConfigurationError, match=r"no access key and no secret key for the server .*ATRAINS_API_HOST") as caught:
        connect("http://localhost:1", ATRAINS_API_ACCESS_KEY="", ATRAINS_API_SECRET_KEY="")
    assert "ATRAINS_API_SECRET_KEY" in str(caught.value)


async def test_a_token_that_is_no_jwt_is_used_all_the_same(server: ApiServer, transport: HttpTransport) -> None:
    server.api_version = None
    await ask(transport)
    assert server.paths()[-1] == "/v2.9/tasks.get_by_id"


async def test_a_ready_token_needs_no_login(server: ApiServer, connect: Make) -> None:
    token = server.issue()
    server.lifetime = 100_000
    token = server.issue()
    transport = connect(server.url, ATRAINS_API_ACCESS_KEY="", CLEARML_AUTH_TOKEN=token)
    await ask(transport)
    assert server.paths() == ["/v2.13/tasks.get_by_id"]
    assert transport.target == connect(server.url, ATRAINS_API_ACCESS_KEY="", CLEARML_AUTH_TOKEN=server.issue()).target
    assert "u1" not in transport.target


async def test_a_ready_token_that_ends_soon_is_renewed_with_itself(server: ApiServer, connect: Make) -> None:
    server.lifetime = 100.0
    token = server.issue()
    server.valid.add(token)
    claims = {"iat": time.time() - 90, "exp": time.time() + 0.5, "api_version": "2.31", "identity": {"user": "u1"}}
    ending = jwt.encode(claims, SIGNING)
    server.valid.add(ending)
    transport = connect(server.url, ATRAINS_API_ACCESS_KEY="", CLEARML_AUTH_TOKEN=ending)
    await asyncio.sleep(0.3)
    await ask(transport)
    assert server.sent[0].path == "/auth.login"
    assert server.sent[0].headers["Authorization"] == f"Bearer {ending}"


async def test_a_ready_token_that_has_ended_says_so(server: ApiServer, connect: Make) -> None:
    ended = jwt.encode({"exp": time.time() - 5, "api_version": "2.31"}, SIGNING)
    transport = connect(server.url, ATRAINS_API_ACCESS_KEY="", CLEARML_AUTH_TOKEN=ended)
    with pytest.raises(AccessError, match="does not accept the session token from CLEARML_AUTH_TOKEN") as caught:
        await ask(transport)
    assert ended not in str(caught.value)


async def test_keys_stand_in_for_a_ready_token_that_has_ended(server: ApiServer, connect: Make) -> None:
    ended = jwt.encode({"exp": time.time() - 5, "api_version": "2.31"}, SIGNING)
    await ask(connect(server.url, CLEARML_AUTH_TOKEN=ended))
    assert server.sent[0].headers["Authorization"].startswith("Basic ")


async def test_the_target_is_known_without_a_request_and_tells_users_apart(server: ApiServer, connect: Make) -> None:
    one = connect(server.url).target
    assert one == connect(server.url, ATRAINS_API_ACCESS_KEY=KEY, ATRAINS_API_SECRET_KEY="another").target
    assert one != connect(server.url, ATRAINS_API_ACCESS_KEY="somebody", ATRAINS_API_SECRET_KEY="x").target
    who, _, host = one.partition("@")
    assert (len(who), host) == (12, server.url)
    assert not server.sent


async def test_loops_of_one_process_share_a_login(server: ApiServer, transport: HttpTransport) -> None:
    await ask(transport)
    results: list[Any] = []

    def elsewhere() -> None:
        async def several() -> list[Any]:
            return await asyncio.gather(*(ask(transport) for _ in range(4)))

        results.append(asyncio.run(several()))  # and leaves no session open: warnings are errors here

    threads = [threading.Thread(target=elsewhere) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        await asyncio.to_thread(thread.join)
    assert len(results) == 3
    assert server.logins == 1


async def test_a_login_that_is_cancelled_is_taken_over(server: ApiServer, transport: HttpTransport) -> None:
    async def slow(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.3)
        return reset(request)

    server.next["auth.login"] = [slow]
    first = asyncio.create_task(ask(transport))
    await asyncio.sleep(0.1)
    others = [asyncio.create_task(ask(transport)) for _ in range(3)]
    await asyncio.sleep(0.05)
    first.cancel()
    assert [found["task"]["id"] for found in await asyncio.gather(*others)] == ["t"] * 3
    assert server.logins == 1
