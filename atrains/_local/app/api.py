"""The API: a call is told apart, its sender identified, its body read, its service run in a thread, its answer put in an envelope."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, Protocol

from aiohttp import web

from atrains._local import query, services
from atrains._local.app import addresses, bodies, conversion, envelope
from atrains._local.app.auth import COOKIE, Doorkeeper
from atrains._local.app.envelope import Call
from atrains._local.app.ingestion import Batches
from atrains._local.app.tokens import SERVER_VERSION, Identity
from atrains._local.app.work import Work
from atrains._local.services.raw import get_old_task_log
from atrains._local.store import Store
from atrains._wire import endpoints
from atrains._wire.endpoints import Endpoint, Version
from atrains.errors import HomeError, ServerError

_JSON: Final = "application/json"
_OLDEST: Final[Version] = (2, 1)
"""What the table has for endpoints as old as the protocol; requests below it get them as well."""
_MOVED_AFTER: Final[Mapping[Endpoint, tuple[Version, str]]] = {
    endpoints.MODELS_UPDATE_FOR_TASK: ((2, 13), endpoints.TASKS_ADD_OR_UPDATE_MODEL.name)
}
"""Server: calls that later versions refuse, and what takes their place."""
_PASSING: Final = frozenset({errno.EBUSY, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})
_log = logging.getLogger("atrains")


class Recorder(Protocol):
    """Takes note of what clients send; for tests."""

    def __call__(self, endpoint: str, version: str, read: Callable[[], object], /) -> None:
        """Note one request; `read` gives its body, for who wants it."""


class Api:
    """Answers calls.

    Args:
        store: The home.
        doorkeeper: Who lets clients in.
        work: Runs services.
        record: Told of every request that was let in.
        url: The address that clients know the server by; None for the one that each request was sent to.
    """

    def __init__(self, store: Store, doorkeeper: Doorkeeper, work: Work, *, record: Recorder | None = None, url: str | None = None) -> None:
        self._store = store
        self._doorkeeper = doorkeeper
        self._work = work
        self._record = record
        self._url = url
        self._batches = Batches(store)

    async def answer(self, request: web.Request, name: str, version: Version) -> web.Response:
        """Answer a call; every failure is an envelope as well."""
        call = Call(name, version, trx=_header(request, "Trx"))
        try:
            endpoint = _resolve(call)
            identity = self._doorkeeper.identify(request)  # Server: before the body is looked at
            if endpoint == endpoints.AUTH_LOGIN:
                return await self._login(request, call, identity)
            body = await request.read()
            content_type = request.headers.get("Content-Type", "")
            arguments = list(request.query.items())
            asked, worker = f"{request.scheme}://{request.host}", _header(request, "Worker") or "<unknown>"

            def work() -> bytes:
                if endpoint == endpoints.EVENTS_ADD_BATCH:
                    data = self._add_batch(call, body, content_type, worker, self._to_home(asked))
                else:
                    fields = self._fields(call, body, content_type, arguments)
                    data = self._call(endpoint, call, fields, identity, asked)
                return envelope.success(call, data)

            return web.Response(body=await self._work.run(work), content_type=_JSON)
        except (ServerError, HomeError, web.HTTPRequestEntityTooLarge) as error:
            return _failed(call, error)
        except Exception as error:  # a bug of ours: the client is told that there was one, the log says which  # noqa: BLE001
            _log.exception("atrains: %s failed", name)
            text = f"General error: {type(error).__name__} in {name}; the server's log says more"
            return _failed(call, query.refuse(0, text, code=500))

    async def _login(self, request: web.Request, call: Call, identity: Identity) -> web.Response:
        fields = self._fields(call, await request.read(), request.headers.get("Content-Type", ""), list(request.query.items()))
        token, seconds = self._doorkeeper.login(identity, fields)
        response = web.Response(body=envelope.success(call, {"token": token}), content_type=_JSON)
        set_cookie(response, token, max(seconds, 0))
        return response

    def _fields(self, call: Call, body: bytes, content_type: str, arguments: list[tuple[str, str]]) -> dict[str, Any]:
        fields = bodies.parse_body(body, content_type, arguments)
        if self._record is not None:
            self._record(call.name, _text(call.version), lambda: fields)
        return fields

    def _to_home(self, asked: str) -> Callable[[str], str]:
        """What makes of the URL of a file the one that is recorded; `asked` is where this client has found the server."""
        return partial(addresses.to_home, bases=(self._url or asked, asked), is_task=self._store.has_record)

    def _add_batch(self, call: Call, body: bytes, content_type: str, worker: str, to_home: Callable[[str], str]) -> dict[str, Any]:
        if content_type != bodies.JSON_LINES:
            # Server: one document then, which a single event still is.
            body = body.replace(b"\r", b" ").replace(b"\n", b" ")
            if not isinstance(bodies.parse_json(body), dict):
                raise query.refuse(0, "Data should be a dict", code=500)
        if self._record is not None:
            self._record(call.name, _text(call.version), lambda: [event for events in bodies.parse_lines(body) for event in events])
        return self._batches.add(bodies.parse_lines(body), worker, to_home)

    def _call(self, endpoint: Endpoint, call: Call, fields: dict[str, Any], identity: Identity, asked: str) -> dict[str, Any]:
        if endpoint in _OF_SESSION:
            return _OF_SESSION[endpoint](identity)
        base = self._url or asked
        to_home = self._to_home(asked)
        fields = conversion.from_request(call.name, fields, call.version)
        fields = addresses.convert_artifacts(fields, to_home)
        if endpoint == endpoints.TASKS_ADD_OR_UPDATE_ARTIFACTS:
            fields["artifacts"] = addresses.convert_list(fields.get("artifacts"), to_home)
        if call.name.startswith("models."):
            fields = addresses.convert_uris(fields, to_home)
        older = endpoint == endpoints.EVENTS_GET_TASK_LOG and call.version < endpoint.since
        data = get_old_task_log(self._store, fields) if older else services.call(self._store, endpoint, fields)
        data = conversion.to_answer(data, call.version)
        if call.name.startswith("tasks."):
            data = conversion.map_tasks(data, lambda task: addresses.convert_artifacts(task, lambda url: addresses.to_client(url, base)))
            if "urls" in data:
                data["urls"] = {kind: [addresses.to_client(url, base) for url in urls] for kind, urls in data["urls"].items()}
        elif call.name.startswith("events."):
            data = addresses.convert_images(data, lambda url: addresses.to_client(url, base))
        elif call.name.startswith("models."):
            data = conversion.map_models(data, lambda model: addresses.convert_uris(model, lambda url: addresses.to_client(url, base)))
            if isinstance(data.get("url"), str):
                data["url"] = addresses.to_client(data["url"], base)
        return data


def set_cookie(response: web.Response, token: str, seconds: int) -> None:
    """Let a browser stay logged in. Strictly for our own pages: a link on another page must not act for who follows it."""
    response.set_cookie(COOKIE, token, max_age=seconds, httponly=True, samesite="Strict", path="/")


def _resolve(call: Call) -> Endpoint:
    endpoint = endpoints.BY_NAME.get(call.name)
    if endpoint is None or (endpoint.name not in services.SERVICES and endpoint not in _OF_SERVER):
        raise query.refuse(0, f"Unknown service or action: {call.name} (this server does not have it)", code=404)
    if call.version < endpoint.since != _OLDEST and endpoint != endpoints.EVENTS_GET_TASK_LOG:  # which was another one below
        raise query.refuse(0, f"Unknown service or action: {call.name} needs version {_text(endpoint.since)} or later", code=404)
    last, instead = _MOVED_AFTER.get(endpoint, (call.version, ""))
    if call.version > last:
        raise query.refuse(1, f"{call.name} is not supported above version {_text(last)}: use {instead}", code=301)
    return endpoint


def _failed(call: Call, error: Exception) -> web.Response:
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        error = query.refuse(0, f"Request too large: {error.text}", code=413)
    if not isinstance(error, ServerError):
        # 503 is what clients wait for and try again: a full disk or a home that somebody else writes is no fault of the request.
        passing = isinstance(error, OSError) and error.errno in _PASSING
        error = query.refuse(0, f"{'Service unavailable' if passing else 'General error'}: {error}", code=503 if passing else 500)
    return web.Response(status=error.code, body=envelope.failure(call, error), content_type=_JSON)


def malformed(path: str, error: ServerError) -> web.Response:
    """The answer to a path that is none."""
    return _failed(Call(path.encode("utf-8", "backslashreplace").decode()), error)


def _header(request: web.Request, name: str) -> str:
    given = request.headers.get(f"X-Clearml-{name}") or request.headers.get(f"X-Trains-{name}") or ""
    return given.encode("utf-8", "backslashreplace").decode()  # bytes that are no UTF-8 come as lone surrogates


def _text(version: Version) -> str:
    return f"{version[0]}.{version[1]}"


def _current_user(identity: Identity) -> dict[str, Any]:
    company = {"id": identity.company, "name": identity.company}
    user = {"id": identity.user, "name": identity.user, "company": company, "role": identity.role}
    return {"user": user, "getting_started": None}


def _users(identity: Identity) -> dict[str, Any]:
    return {"users": [{"id": identity.user, "name": identity.user, "company": identity.company}]}


def _server_info(_: Identity) -> dict[str, Any]:
    return {"version": SERVER_VERSION, "build": "atrains", "commit": "", "uid": "atrains"}


_OF_SESSION: Final[Mapping[Endpoint, Callable[[Identity], dict[str, Any]]]] = {
    endpoints.USERS_GET_CURRENT_USER: _current_user,
    endpoints.USERS_GET_ALL: _users,
    endpoints.USERS_GET_ALL_EX: _users,
    endpoints.SERVER_INFO: _server_info,
}
"""What is answered from the session alone."""
_OF_SERVER: Final = frozenset({endpoints.AUTH_LOGIN, endpoints.EVENTS_ADD_BATCH, *_OF_SESSION})
