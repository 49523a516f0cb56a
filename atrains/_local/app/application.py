"""The application: which part answers which path, on one port. The parts have a file each beside this one."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from atrains._local.app import envelope
from atrains._local.app.api import Api, Recorder, malformed
from atrains._local.app.auth import Doorkeeper
from atrains._local.app.files import FileServer
from atrains._local.app.keys import Keys, load_keys
from atrains._local.app.pages import Pages
from atrains._local.app.tokens import Tokens
from atrains._local.app.work import Work
from atrains._local.store import open_home
from atrains.errors import ConfigurationError, HomeError, ServerError

_LARGEST_BODY: Final = 64 << 20
"""Bytes of a call's body; clients keep to 15 MiB. Uploads of files are not bounded: they pass through to the disk."""
_CLOSING_SECONDS: Final = 2.0
_READS: Final = frozenset({hdrs.METH_GET, hdrs.METH_HEAD})
_log = logging.getLogger("atrains")
_requests = logging.getLogger("atrains.requests")


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether something went wrong here: who sends what is no HTTP is told so, and the log would show what he sent, a token perhaps."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


_requests.addFilter(_is_ours)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a server is run.

    Attributes:
        home: The folder of the home; made when it is not there.
        host: The address to listen at.
        port: The port to listen at; 0 for any free one.
        access_key: The key that clients log in with; None for the one that the home keeps.
        secret_key: Its secret.
        url: The address that clients find the server at, where it is not that which it listens at: behind a proxy, under a name.
        page_login: Whether the page asks for a login on this machine as well.
        record: Told of every request; for tests.
    """

    home: Path
    host: str = "127.0.0.1"
    port: int = 8008
    access_key: str | None = None
    secret_key: str | None = None
    url: str | None = None
    page_login: bool = False
    record: Recorder | None = None


@dataclass(frozen=True, slots=True)
class Running:
    """A server that listens.

    Attributes:
        url: Where clients find it.
        port: The port that it listens at.
        keys: What clients log in with.
    """

    url: str
    port: int
    keys: Keys

    @property
    def environment(self) -> dict[str, str]:
        """The variables that point any client at the server."""
        return environment_for(self.url, self.keys)


def environment_for(url: str, keys: Keys) -> dict[str, str]:
    """The variables that point any client, old or new, at a server with this address."""
    values = {
        "API_HOST": url,
        "WEB_HOST": url,
        "FILES_HOST": url,
        "API_ACCESS_KEY": keys.access_key,
        "API_SECRET_KEY": keys.secret_key,
    }
    return {f"{prefix}_{name}": value for prefix in ("TRAINS", "CLEARML") for name, value in values.items()}


def url_of(host: str, port: int) -> str:
    """The address of a server that listens at `host`, for clients on this machine."""
    address = _as_address(host)
    if address is not None and address.is_unspecified:
        host = "127.0.0.1" if address.version == 4 else "::1"
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens at `host`."""
    address = _as_address(host)
    return host == "localhost" if address is None else address.is_loopback


def _as_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


@asynccontextmanager
async def running(options: Options) -> AsyncIterator[Running]:
    """Serve for the length of a block.

    Raises:
        ConfigurationError: it would be reachable from other machines, with keys that nobody has chosen.
        HomeError: the home cannot be opened, or the port is taken.
    """
    chosen = bool(options.access_key and options.secret_key)
    if not chosen and not is_loopback(options.host):
        raise ConfigurationError(
            f"a server at {options.host} can be reached from other machines: set the keys that clients log in with "
            "(ATRAINS_SERVE_ACCESS_KEY and ATRAINS_SERVE_SECRET_KEY), or leave out --host"
        )
    work = Work()
    try:
        store = await work.run(lambda: open_home(options.home))
        try:
            keys = await work.run(lambda: load_keys(store.home, access_key=options.access_key, secret_key=options.secret_key))
            tokens = Tokens(keys.signing_key)
            doorkeeper = Doorkeeper(keys, tokens)
            files = FileServer(store.home, work)
            open_here = is_loopback(options.host) and not options.page_login
            site = _Site(
                Api(store, doorkeeper, work, record=options.record, url=options.url),
                files,
                Pages(store, doorkeeper, tokens, work, open_here=open_here),
                doorkeeper,
                tokens,
            )
            async with _listening(site, options) as port:
                yield Running(options.url or url_of(options.host, port), port, keys)
        finally:
            store.close()
    finally:
        work.close()


@asynccontextmanager
async def _listening(site: _Site, options: Options) -> AsyncIterator[int]:
    application = web.Application(client_max_size=_LARGEST_BODY)
    application.router.add_route("*", "/{path:.*}", site.handle)
    runner = web.AppRunner(application, access_log=None, logger=_requests, handle_signals=False, shutdown_timeout=_CLOSING_SECONDS)
    await runner.setup()
    try:
        # One address: the name stands for two, which would get a free port each.
        tcp = web.TCPSite(runner, "127.0.0.1" if options.host == "localhost" else options.host, options.port)
        try:
            await tcp.start()
        except OSError as error:
            raise HomeError(
                error.errno, f"cannot listen at {options.host}, port {options.port} ({error.strerror or error}); choose another --port"
            ) from error
        yield _port_of(runner)
        await _accept_no_more(tcp)
    finally:
        await runner.cleanup()


async def _accept_no_more(site: web.TCPSite) -> None:
    """Let those connect who were just accepted: asyncio (3.11) never closes one whose server was closed meanwhile."""
    loop = asyncio.get_running_loop()
    for listening in getattr(site._server, "sockets", ()):  # noqa: SLF001  # aiohttp gives only its address
        with suppress(NotImplementedError):  # not every loop has it
            loop.remove_reader(listening.fileno())
    for _ in range(3):  # the acceptance, its transport, its protocol
        await asyncio.sleep(0)


def _port_of(runner: web.AppRunner) -> int:
    return int(runner.addresses[0][1])


class _Site:
    """Sends each request to the part that answers it."""

    def __init__(self, api: Api, files: FileServer, pages: Pages, doorkeeper: Doorkeeper, tokens: Tokens) -> None:
        self._api = api
        self._files = files
        self._pages = pages
        self._doorkeeper = doorkeeper
        self._tokens = tokens

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer a request."""
        if request.headers.get(hdrs.CONTENT_ENCODING):
            return web.Response(status=415, text="compressed requests are not taken; send the body as it is, without Content-Encoding")
        path = unquote(request.rel_url.raw_path, errors="surrogateescape")
        try:
            wanted = envelope.parse_path(path)
        except ServerError as error:
            return malformed(path, error)
        if wanted is not None:
            return await self._api.answer(request, *wanted)
        try:
            page = await self._pages.answer(request, path)
            # Not `or`: before aiohttp 3.10 a response without items of its own counts as false.
            return page if page is not None else await self._file(request, path)
        except ServerError as error:
            return web.Response(status=error.code, text=str(error))
        except HomeError as error:
            _log.warning("atrains: %s", error)
            return web.Response(status=500, text=str(error))

    async def _file(self, request: web.Request, path: str) -> web.StreamResponse:
        ticket = request.query.get("ticket")
        if ticket is None or request.method not in _READS or not self._tokens.opens(ticket, path.strip("/")):
            self._doorkeeper.identify(request, basic=False)
        match request.method:
            case hdrs.METH_POST if path == "/":
                return await self._files.upload(request)
            case hdrs.METH_POST if path == "/delete_many":
                return await self._files.delete_many(request)
            case hdrs.METH_DELETE:
                return await self._files.delete(path)
            case hdrs.METH_GET | hdrs.METH_HEAD:
                return await self._files.download(request, path)
        return web.Response(status=405, text=f"{request.method} is not for files", headers={hdrs.ALLOW: "GET, HEAD, POST, DELETE"})
