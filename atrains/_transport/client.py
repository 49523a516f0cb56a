"""The one way to a server's API and files: TLS, proxies, login, headers, time limits. What is asked for is in `http` and `_storage`."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp

from atrains._config import Settings, Timeout, proxy_for
from atrains._transport.answers import MAYBE_DONE, TRANSIENT, Answer, Claims, parse_answer, read_claims, retry_after
from atrains._transport.failures import PROXY_USER, Advice, Exchange, UnavailableError, is_stale, translate
from atrains._transport.sessions import Sessions
from atrains._transport.tokens import Token, Tokens, make_token
from atrains._wire.endpoints import Version
from atrains.errors import AccessError, AtrainsError, ConfigurationError, TransportError

PIECE: Final = 512 * 1024
"""Bytes of a body that are handed to the connection at once: few turns of the loop, each of less than a millisecond."""
_SMALL: Final = 64 * 1024
"""Bytes of a body that is handed over as one."""
_SLOWEST: Final = 64 * 1024
"""Bytes a second below which a connection that takes a body counts as one that stands still."""
_READY_TOKEN_THRESHOLD: Final = 3600.0
"""Seconds before its end at which a token that was given to us is renewed. Clients: at least an hour, since nobody else renews it."""
_LARGE_ANSWER: Final = 256 * 1024
"""Bytes of an answer that is parsed in a worker thread."""
_UNPRINTABLE: Final = re.compile(r"[^\x20-\x7e]")
Body = bytes | bytearray


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as it came."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def kind(self) -> str:
        """Its content type."""
        return self.headers.get("Content-Type", "").partition(";")[0]


class HttpClient:
    """Connections to one server as one user. May be used from several event loops and threads of a process, which share its login.

    Args:
        settings: With an API host, and a key pair or a token. On the local home there is neither: then only `open` is of use.
        workers: Where what blocks is done.

    Raises:
        ConfigurationError: nothing tells who we are to the server.
    """

    def __init__(self, settings: Settings, *, workers: Executor) -> None:
        api = settings.api
        self.settings = settings
        self.advice = Advice(settings)
        self.workers = workers
        if api.api_host and api.auth_token is None and (api.access_key is None or api.secret_key is None):
            raise ConfigurationError(self.advice.no_keys())
        self.host = api.api_host or ""
        self._sessions = Sessions(api, workers)
        ready = None
        if api.auth_token is not None:
            threshold = max(api.http.token_refresh_threshold, _READY_TOKEN_THRESHOLD)
            ready = make_token(api.auth_token.reveal(), threshold=threshold, fresh=False)
        self._tokens = Tokens(self._login, ready)
        self._reached = False
        self._names = _names(settings)

    @property
    def user(self) -> str:
        """Who we are, as 12 hex digits: known without a request, the same in every process, and never a key."""
        api = self.settings.api
        if api.auth_token is not None:
            token = api.auth_token.reveal()
            identity = read_claims(token).user or token
        else:
            identity = api.access_key.reveal() if api.access_key else ""
        return hashlib.sha256(identity.encode()).hexdigest()[:12]

    @property
    def reached(self) -> bool:
        """Whether an API server has answered already."""
        return self._reached

    async def version(self) -> Version:
        """Return the highest API version that both sides speak; logs in where that was not done yet."""
        server = (await self.claims()).api_version
        return min(server, self.settings.api.max_api_version or server)

    async def claims(self) -> Claims:
        """Return what the server says of itself in the token that holds; logs in where that was not done yet."""
        return (await self._tokens.get()).claims

    async def post(self, path: str, body: Body, *, kind: str = "application/json", read: float | None = None, repeatable: bool) -> Answer:
        """Send a request with our token to the API, and return the envelope of its answer, whatever code it has.

        Args:
            path: Behind the API host.
            body: Its bytes.
            kind: Its content type, as it stands on the wire.
            read: Seconds to wait for the answer at most; None leaves it to the settings.
            repeatable: Whether it may be sent once more where a kept connection turns out to be closed.

        Raises:
            AccessError: the server does not accept our credentials.
            UnavailableError: no answer, or one that says to come back later.
            TransportError: something else answered.
        """
        timeout = self._timeout(len(body))
        if read is not None:
            timeout = Timeout(timeout.connect, min(read, timeout.read))
        token = await self._tokens.get()
        reply = await self._exchange(path, body, kind=kind, authorization=_bearer(token), timeout=timeout, repeatable=repeatable)
        if reply.status == 401:
            token = await self._tokens.get(refused=token)
            reply = await self._exchange(path, body, kind=kind, authorization=_bearer(token), timeout=timeout, repeatable=repeatable)
        answer = await self._parse(reply.body)
        if reply.status in TRANSIENT or reply.status in self.settings.api.http.extra_retry_codes:
            raise self._busy(reply, answer)
        if reply.status == 401:
            said = f"401/{answer.subcode}: {answer.message}" if answer else f"401, {reply.kind or 'no content type'}"
            raise AccessError(self.advice.wrong_keys(said))
        if answer is None:
            raise self._no_envelope(reply)
        self._reached = True
        return answer

    async def probe(self, timeout: Timeout) -> None:
        """Find out, by one request, whether an API server answers: by the login where there was none yet, else without credentials.

        Raises:
            AccessError: it does not accept our credentials.
            TransportError: none does.
        """
        if self._tokens.is_empty:  # what comes next needs it anyway
            await self._tokens.get(obtain=partial(self._login, timeout=timeout))
            return
        reply = await self._exchange("auth.login", b"{}", timeout=timeout, repeatable=False)
        answer = parse_answer(reply.body)
        if reply.status in TRANSIENT:
            raise self._busy(reply, answer)
        if answer is None:
            raise AccessError(self.advice.no_api(reply.status, reply.kind))

    async def authorization(self) -> dict[str, str]:
        """Return the header that lets a request to the file server in."""
        return _bearer(await self._tokens.get())

    async def renewed_authorization(self, refused: Mapping[str, str]) -> dict[str, str]:
        """Return the header again, with another token than the one that was refused."""
        token = await self._tokens.get()
        return _bearer(await self._tokens.get(refused=token) if _bearer(token) == refused else token)

    @asynccontextmanager
    async def open(
        self, method: str, url: str, *, headers: Mapping[str, str], timeout: aiohttp.ClientTimeout, exchange: Exchange, data: Any = None,
        redirects: bool = False,
    ) -> AsyncIterator[aiohttp.ClientResponse]:  # fmt: skip
        """Send a request and give its answer, to be read while the context lasts; foreign errors become ours.

        Args:
            method: Of HTTP.
            url: Whole, and quoted.
            headers: All but those of the connection.
            timeout: As aiohttp has them.
            exchange: Told how far the request came.
            data: The body, as aiohttp takes it.
            redirects: Whether to go where the answer points.

        Raises:
            TransportError: see `failures`.
        """
        context = await self._sessions.tls() if url.startswith("https:") or redirects else True
        session = await self._sessions.get()
        try:
            async with session.request(
                method, url, headers=headers, data=data, timeout=timeout, ssl=context, proxy=proxy_for(url, self.settings.api.proxy),
                allow_redirects=redirects, trace_request_ctx=exchange,
            ) as response:  # fmt: skip
                yield response
        except AtrainsError:
            raise
        except (aiohttp.ClientError, TimeoutError, OSError, ssl.SSLError) as error:
            if is_stale(error, exchange):
                text = str(translate(error, exchange, url, self.advice))
                raise StaleConnectionError(text, outcome_unknown=exchange.outcome_unknown, connected=True) from error
            # Not chained where the foreign error holds the request with its headers, and so the token.
            raise translate(error, exchange, url, self.advice) from (None if isinstance(error, aiohttp.ClientResponseError) else error)

    async def aclose(self) -> None:
        """Close the connections of all loops."""
        await self._sessions.aclose()

    async def _exchange(
        self, path: str, body: Body, *, timeout: Timeout, repeatable: bool, kind: str = "application/json",
        authorization: Mapping[str, str] | None = None,
    ) -> Reply:  # fmt: skip
        """Send one request to the API, once more where a kept connection was closed meanwhile, and read its answer."""
        headers = {"Content-Type": kind, "Content-Length": str(len(body)), **self._names, **(authorization or {})}
        total = timeout.connect + timeout.read + len(body) / _SLOWEST
        limits = aiohttp.ClientTimeout(total=total, connect=timeout.connect, sock_connect=timeout.connect, sock_read=timeout.read)
        while True:
            exchange = Exchange(size=len(body))
            try:
                data = _pieces(body, exchange)
                async with self.open(
                    "POST", f"{self.host}/{path}", headers=headers, timeout=limits, exchange=exchange, data=data
                ) as response:
                    return Reply(response.status, response.headers.copy(), await response.read())
            except StaleConnectionError as error:
                if not (repeatable or not error.outcome_unknown):
                    raise
                repeatable = False

    async def _login(self, current: Token | None, *, timeout: Timeout | None = None) -> Token:
        """Obtain a token with the key pair, or with a token that holds. Server: `auth.login` without version and with Basic or Bearer."""
        api = self.settings.api
        if api.access_key is not None and api.secret_key is not None and (api.auth_token is None or current is None):
            pair = f"{api.access_key.reveal()}:{api.secret_key.reveal()}"
            authorization = {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
        elif current is not None:
            authorization = _bearer(current)
        else:
            raise AccessError(self.advice.wrong_keys("it has ended"))
        timeout = timeout or (api.http.timeout if self._reached else api.http.first_timeout)
        reply = await self._exchange("auth.login", b"{}", authorization=authorization, timeout=timeout, repeatable=True)
        answer = parse_answer(reply.body)
        if reply.status in TRANSIENT:
            raise self._busy(reply, answer)
        if answer is None:
            raise self._no_envelope(reply)
        if answer.code in {401, 403}:
            raise AccessError(self.advice.wrong_keys(f"{answer.code}/{answer.subcode}: {answer.message}"))
        text = answer.data.get("token")
        if answer.code != 200:
            raise TransportError(f"the login at {self.host} failed ({answer.code}/{answer.subcode}: {answer.message}); try again later")
        if not isinstance(text, str) or not text:
            raise AccessError(self._not_the_api(reply))
        self._reached = True
        return make_token(text, threshold=api.http.token_refresh_threshold, fresh=True)

    async def _parse(self, body: bytes) -> Answer | None:
        if len(body) < _LARGE_ANSWER:
            return parse_answer(body)
        return await asyncio.get_running_loop().run_in_executor(self.workers, parse_answer, body)

    def _timeout(self, size: int) -> Timeout:
        http = self.settings.api.http
        if not self._reached:
            return http.first_timeout
        return http.large_timeout if size > http.large_body else http.timeout

    def _busy(self, reply: Reply, answer: Answer | None) -> UnavailableError:
        said = f": {answer.message}" if answer else ""
        return UnavailableError(
            f"the server {self.host} cannot answer now (status {reply.status}{said}); it is tried again",
            outcome_unknown=reply.status in MAYBE_DONE,
            connected=True,
            retry_after=retry_after(reply.headers.get("Retry-After"), time.time()),
        )

    def _no_envelope(self, reply: Reply) -> TransportError:
        if reply.status == 407:
            return AccessError(f"the proxy on the way to {self.advice.named} {PROXY_USER}")
        if not self._reached:
            return AccessError(self._not_the_api(reply))
        shown = f"status {reply.status}, {reply.kind or 'no content type'}"
        message = f"the answer of {self.host} cannot be understood ({shown}); something between here and the server may have given it"
        if reply.status == 413:
            return BodyTooLargeError(f"{self.host} takes no body of this size ({shown}); lower api.http.max_req_size")
        return TransportError(message, outcome_unknown=reply.status < 300 or reply.status >= 500)

    def _not_the_api(self, reply: Reply) -> str:
        target = reply.headers.get("Location")
        if reply.status in {301, 302, 303, 307, 308} and target:
            parts = urlsplit(target)
            where = f"{parts.scheme}://{parts.netloc}" if parts.netloc else target.partition("?")[0]
            return f"{self.advice.named} points to {where}; give that address as api.api_server or ATRAINS_API_HOST"
        return self.advice.no_api(reply.status, reply.kind)


class BodyTooLargeError(TransportError):
    """What stands before the server does not let a body of this size through."""


class StaleConnectionError(UnavailableError):
    """A connection that was kept open was closed by the server when it was used again."""


def _bearer(token: Token) -> dict[str, str]:
    return {"Authorization": f"Bearer {token.text.reveal()}"}


def _pieces(body: Body, exchange: Exchange) -> AsyncGenerator[memoryview] | bytes:
    """A body as aiohttp sends it without copying, noting when all of it was handed over."""
    if len(body) <= _SMALL:
        exchange.whole = True
        return bytes(body)
    return _generate(memoryview(body), exchange)


async def _generate(view: memoryview, exchange: Exchange) -> AsyncGenerator[memoryview]:
    for start in range(0, len(view), PIECE):
        # Before the last piece, not after it: whoever waits for room may fail when all of it is on its way.
        exchange.whole = start + PIECE >= len(view)
        yield view[start : start + PIECE]


def _names(settings: Settings) -> dict[str, str]:
    """The headers that say who calls. Server: before 1.0 it knows only the older names."""
    try:
        client = f"atrains-{version('atrains')}"
    except PackageNotFoundError:  # run from a folder of sources
        client = "atrains"
    worker = _UNPRINTABLE.sub("?", settings.reporting.worker)
    headers = {"User-Agent": client}
    for prefix in ("X-Trains", "X-ClearML"):
        headers |= {f"{prefix}-Worker": worker, f"{prefix}-Client": client}
    return headers
