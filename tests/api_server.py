"""A small API server on a socket, for the tests of what talks to one: it keeps what it is sent, and fails on request.

It knows logins, tokens and `events.add_batch` by the facts of a real server; everything else is answered as a test says.
"""

from __future__ import annotations

import base64
import json
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import jwt
from aiohttp import web

KEY, SECRET = "test-access-key", "test-secret-key-never-shown"
SIGNING = "a signing key of at least thirty-two bytes"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def envelope(data: object = None, *, code: int = 200, subcode: int = 0, message: str = "OK", **headers: str) -> web.Response:
    """An answer as the API server gives it."""
    meta = {
        "id": "x",
        "trx": "x",
        "result_code": code,
        "result_subcode": subcode,
        "result_msg": message,
        "error_stack": None,
        "error_data": {},
    }
    return web.json_response({"meta": meta, "data": data or {}}, status=code, headers=headers)


def reset(request: web.Request) -> web.StreamResponse:
    """Break the connection without an answer."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


@dataclass
class Sent:
    """A request that arrived."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    peer: object

    @property
    def json(self) -> Any:
        """Its body."""
        return json.loads(self.body)


@dataclass
class ApiServer:
    """The server; what tests change while it runs.

    Attributes:
        api_version: What tokens say; None for tokens that are no JWT.
        lifetime: Seconds that a token lives.
        valid: Tokens that are accepted.
        sent: Every request, in order.
        next: For an endpoint the handlers of its next calls, one each, before the usual ones.
        handlers: For an endpoint its usual handler.
        stored: The events by their identity; console lines by number.
        is_poison: What makes a whole body fail with a 500.
    """

    api_version: str | None = "2.31"
    lifetime: float = 3600.0
    valid: set[str] = field(default_factory=set)
    sent: list[Sent] = field(default_factory=list)
    next: dict[str, list[Handler | web.Response | Callable[[web.Request], web.StreamResponse]]] = field(default_factory=dict)
    handlers: dict[str, Callable[[web.Request, Any], object]] = field(default_factory=dict)
    stored: dict[object, dict[str, Any]] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    is_poison: Callable[[dict[str, Any]], bool] = lambda _: False
    keep_alive: bool = True
    url: str = ""
    logins: int = 0

    def paths(self) -> list[str]:
        """What was asked for, in order."""
        return [sent.path for sent in self.sent]

    def events(self, kind: str) -> list[dict[str, Any]]:
        """The stored events of a type."""
        return [event for event in self.stored.values() if event["type"] == kind]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        peer = request.transport.get_extra_info("peername") if request.transport else None
        self.sent.append(Sent(request.method, request.path, request.headers.copy(), body, peer))
        name = request.path.rpartition("/")[2]
        if queue := self.next.get(name):
            planned = queue.pop(0)
            if isinstance(planned, web.Response):
                return planned
            answer = planned(request)
            return answer if isinstance(answer, web.StreamResponse) else await answer
        response = self._answer(request, name, body)
        if not self.keep_alive:
            response.force_close()
        return response

    def _answer(self, request: web.Request, name: str, body: bytes) -> web.Response:
        given = request.headers.get("Authorization", "")
        if name == "auth.login" and given.startswith("Basic "):
            if base64.b64decode(given.removeprefix("Basic ")).decode() != f"{KEY}:{SECRET}":
                return envelope(code=401, subcode=22, message="Invalid credentials (failed to locate provided credentials)")
        elif given.removeprefix("Bearer ") not in self.valid:
            return envelope(code=401, subcode=30, message="Invalid token (Signature has expired)")
        if name == "auth.login":
            return envelope({"token": self.issue()})
        if name == "events.add_batch":
            return self._add(request, body)
        if name in self.handlers:
            answer = self.handlers[name](request, json.loads(body))
            return answer if isinstance(answer, web.Response) else envelope(answer)
        return envelope(code=404, subcode=0, message=f"Unable to find endpoint for name {name}")

    def issue(self) -> str:
        """A new token."""
        self.logins += 1
        now = time.time()
        claims = {"iat": now, "exp": now + self.lifetime, "identity": {"user": "u1"}, "server_version": "2.0.0", "n": self.logins}
        token = (
            jwt.encode({**claims, "api_version": self.api_version}, SIGNING)
            if self.api_version is not None
            else f"opaque-token-{self.logins}"
        )
        self.valid.add(token)
        return token

    def _add(self, request: web.Request, body: bytes) -> web.Response:
        if request.headers.get("Content-Type") != "application/json-lines" or "Content-Encoding" in request.headers:
            return envelope(code=400, message="The browser (or proxy) sent a request that this server could not understand.")
        try:
            events = [json.loads(line) for line in body.splitlines()]
        except ValueError:
            return envelope(code=400, message="a bad line")
        errors: Counter[str] = Counter()
        added = 0
        for start in range(0, len(events), 500):  # as the real one: chunks before the bad one are stored
            chunk = events[start : start + 500]
            if any(map(self.is_poison, chunk)):
                return envelope(code=500, subcode=100, message="General data error (mapper_parsing_exception)")
            for event in chunk:
                if event["task"] in self.deleted:
                    errors[f"Invalid task id {event['task']}"] += 1
                    continue
                key = tuple(event.get(name) for name in ("type", "task", "iter", "metric", "variant"))
                self.stored[len(self.stored) if event["type"] == "log" else key] = event
                added += 1
        if not added:
            return envelope(code=400, subcode=131, message=f"Events not added: {dict(errors)}")
        return envelope({"added": added, "errors": sum(errors.values()), "errors_info": dict(errors)})


@asynccontextmanager
async def serving(server: ApiServer, *, port: int = 0, tls: ssl.SSLContext | None = None) -> AsyncIterator[ApiServer]:
    """Run a server on a loopback port while the context lasts."""
    async with listening(server.handle, port=port, tls=tls) as url:
        server.url = url
        yield server


@asynccontextmanager
async def listening(handler: Handler, *, port: int = 0, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Run one handler for every request while the context lasts; gives the base URL."""
    application = web.Application(client_max_size=1 << 30)
    application.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls)
    await site.start()
    try:
        bound = runner.addresses[0][1]
        yield f"http{'s' if tls else ''}://127.0.0.1:{bound}"
    finally:
        await runner.cleanup()
