"""One aiohttp session for each event loop, closed with its loop; name look-ups in our worker threads; TLS. Nothing about the API."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
import threading
from collections.abc import AsyncGenerator
from concurrent.futures import Executor, Future
from contextlib import suppress
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from atrains._config import ApiSettings, Secret
from atrains._transport.failures import Exchange
from atrains.errors import AccessError, ConfigurationError

Address = tuple[str, int, int]
_log: Final = logging.getLogger("atrains")


class Sessions:
    """The sessions of one set of settings.

    A session belongs to the loop that it was made on. An asynchronous generator on that loop holds it: `asyncio.run` closes those that
    are left, so a session needs no call at the end of a loop.

    Args:
        api: TLS settings.
        workers: Where names are looked up and certificates read: at interpreter exit asyncio's own threads cannot be started any more.
    """

    def __init__(self, api: ApiSettings, workers: Executor) -> None:
        self._api = api
        self._workers = workers
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._held: dict[asyncio.AbstractEventLoop, tuple[aiohttp.ClientSession, AsyncGenerator[aiohttp.ClientSession]]] = {}
        self._resolver = _Lookups(workers)
        self._context: ssl.SSLContext | None = None

    async def get(self) -> aiohttp.ClientSession:
        """Return the session of the running loop."""
        loop = asyncio.get_running_loop()
        if os.getpid() != self._process:
            self._leave_to_parent()
        found = self._held.get(loop)
        if found is not None and not found[0].closed:
            return found[0]
        holder = self._hold()
        session = await anext(holder)  # nothing is waited for in it, so one task at a time comes by here
        with self._lock:
            self._held = {other: held for other, held in self._held.items() if not other.is_closed()} | {loop: (session, holder)}
        return session

    async def tls(self) -> ssl.SSLContext:
        """Return the context for https connections.

        Raises:
            AccessError: a certificate that is configured cannot be used.
        """
        if self._context is None:
            self._context = await asyncio.get_running_loop().run_in_executor(self._workers, _make_context, self._api)
        return self._context

    async def aclose(self) -> None:
        """Close the session of this loop, and have those of other loops closed by them."""
        if os.getpid() != self._process:
            self._leave_to_parent()
        with self._lock:
            held, self._held = self._held, {}
        for loop, (_, holder) in held.items():
            if loop is asyncio.get_running_loop():
                await holder.aclose()
            else:
                with suppress(RuntimeError):  # the loop was closed, and closed it
                    loop.call_soon_threadsafe(_close_soon, holder)

    def __del__(self) -> None:
        if os.getpid() != self._process:
            self._leave_to_parent()

    def _leave_to_parent(self) -> None:
        """Let go of what the parent of a forked child uses, without closing it.

        The loop's epoll instance is one for both: a connection that is closed here would go silent there.
        """
        for session, holder in self._held.values():
            session.detach()
            _of_parents.append(holder)
        self._process, self._lock, self._held, self._resolver = os.getpid(), threading.Lock(), {}, _Lookups(self._workers)

    async def _hold(self) -> AsyncGenerator[aiohttp.ClientSession]:
        connector = _Connector(limit=0, resolver=_Resolver(self._resolver), enable_cleanup_closed=False)
        session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),  # Server: a login sets a cookie, which would go stale
            trust_env=False,  # no netrc: an entry there would take the place of our header
            skip_auto_headers={"User-Agent"},
            trace_configs=[_trace()],
        )
        try:
            yield session
        finally:
            await session.close()
            await asyncio.sleep(0)  # the transports close in the next turn of the loop


def _close_soon(holder: AsyncGenerator[aiohttp.ClientSession]) -> None:
    task = asyncio.ensure_future(_close(holder))
    _closing.add(task)
    task.add_done_callback(_closing.discard)


async def _close(holder: AsyncGenerator[aiohttp.ClientSession]) -> None:
    await holder.aclose()


class _Connector(aiohttp.TCPConnector):
    """A connector that is not closed when a forked child drops it; see `Sessions`."""

    def __init__(self, **options: Any) -> None:
        self._process = os.getpid()
        super().__init__(**options)

    def __del__(self, *arguments: Any) -> None:
        if os.getpid() == self._process:
            super().__del__(*arguments)


_of_parents: Final[list[object]] = []
"""What a forked child keeps as it is, to the end."""
_closing: Final[set[asyncio.Future[None]]] = set()
"""Closings under way on loops that nobody awaits: a loop keeps no reference to its tasks."""


def _trace() -> aiohttp.TraceConfig:
    """Notes in the request's `Exchange` how far it came."""

    async def reused(_session: aiohttp.ClientSession, context: Any, _params: aiohttp.TraceConnectionReuseconnParams) -> None:
        if isinstance(exchange := context.trace_request_ctx, Exchange):
            exchange.reused = True

    async def begun(_session: aiohttp.ClientSession, context: Any, _params: aiohttp.TraceRequestHeadersSentParams) -> None:
        if isinstance(exchange := context.trace_request_ctx, Exchange):
            exchange.begun = True

    trace = aiohttp.TraceConfig()
    trace.on_connection_reuseconn.append(reused)
    trace.on_request_headers_sent.append(begun)
    return trace


class _Lookups:
    """Name look-ups under way, of all loops: one that hangs holds one thread, however many wait for the same name."""

    def __init__(self, workers: Executor) -> None:
        self._workers = workers
        self._lock = threading.Lock()
        self._under_way: dict[Address, Future[list[Any]]] = {}

    def find(self, host: str, port: int, family: int) -> Future[list[Any]]:
        key = (host, port, family)
        with self._lock:
            future = self._under_way.get(key)
            if future is None or future.done():
                future = self._workers.submit(socket.getaddrinfo, host, port, family, socket.SOCK_STREAM)
                self._under_way[key] = future
            return future


class _Resolver(AbstractResolver):
    """Resolves names for one connector."""

    def __init__(self, lookups: _Lookups) -> None:
        self._lookups = lookups

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        # Shielded: whoever gives up waiting must not take the look-up away from the others.
        found = await asyncio.shield(asyncio.wrap_future(self._lookups.find(host, port, family)))
        return [
            ResolveResult(
                hostname=host, host=str(address[0]), port=int(address[1]), family=kind, proto=protocol, flags=socket.AI_NUMERICHOST
            )
            for kind, _, protocol, _, address in found
        ]

    async def close(self) -> None:
        """Nothing is held."""


def _make_context(api: ApiSettings) -> ssl.SSLContext:
    """Read the certificates; blocking."""
    authorities = api.verify_certificate if isinstance(api.verify_certificate, str) else None
    try:
        if authorities and os.path.isdir(authorities):
            context = ssl.create_default_context(capath=authorities)
        else:
            context = ssl.create_default_context(cafile=authorities)
    except (OSError, ssl.SSLError) as error:
        raise AccessError(
            f"api.verify_certificate: {authorities} holds no certificates that can be read ({error}); give a PEM file"
        ) from error
    if api.verify_certificate is False:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        _log.warning("atrains: TLS certificates are not verified, as api.verify_certificate says; anybody can pose as the server")
    if api.client_certificate is not None:
        _load_client_certificate(context, api)
    return context


def _load_client_certificate(context: ssl.SSLContext, api: ApiSettings) -> None:
    certificate, key = api.client_certificate, api.client_key
    assert certificate is not None
    try:
        # A callable: without one an encrypted key would have OpenSSL ask on the terminal.
        context.load_cert_chain(certificate, key, password=lambda: _password(api.client_key_password))
    except (OSError, ssl.SSLError, ConfigurationError) as error:
        files = f"{certificate} and {key}" if key else str(certificate)
        raise AccessError(
            f"the client certificate in {files} cannot be used ({error}); give PEM files of a certificate and its key in "
            "atrains.client_certificate and client_key, and the key's password in ATRAINS_CLIENT_KEY_PASSWORD"
        ) from error


def _password(secret: Secret | None) -> str:
    if secret is None:
        raise ConfigurationError("the key is encrypted, and no password is set")
    return secret.reveal()
