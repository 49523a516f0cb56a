"""Errors of connections, TLS and proxies turned into ours, once, with what to do about each. The only place that knows their kinds."""

from __future__ import annotations

import asyncio
import socket
import ssl
from dataclasses import dataclass
from typing import Final

import aiohttp

from atrains._config import Settings
from atrains.errors import AccessError, TransportError

_LENGTH: Final = 120
"""Characters that are shown of a foreign text."""
_CLIENT_CERTIFICATE: Final = "if it asks for a client certificate, name one in ATRAINS_CLIENT_CERTIFICATE"
PROXY_USER: Final = "asks for a user; write one into its address: http://user:password@proxy:port"


class UnavailableError(TransportError):
    """The server could not be reached, or said that it cannot answer now. Becomes a plain `TransportError` when the retries are over.

    Attributes:
        connected: Somebody was there: it answered, or took the connection.
        retry_after: Seconds after which it asks to be tried again; None when it does not say.
    """

    def __init__(self, message: str, *, outcome_unknown: bool = False, connected: bool = False, retry_after: float | None = None) -> None:
        super().__init__(message, outcome_unknown=outcome_unknown)
        self.connected = connected
        self.retry_after = retry_after


@dataclass(slots=True)
class Exchange:
    """How far one request came.

    Attributes:
        begun: Something of it was handed to the connection.
        whole: All of it was; before that no server can have acted on it.
        reused: The connection had served another request before.
        size: Bytes of its body.
    """

    begun: bool = False
    whole: bool = False
    reused: bool = False
    size: int = 0

    @property
    def outcome_unknown(self) -> bool:
        """Whether the server may have acted on it although it did not answer."""
        return self.begun and self.whole


class Advice:
    """The words for errors of one server: where its address was set, and what to change."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.host = settings.api.api_host or ""

    def source(self, path: str) -> str:
        """Where a setting comes from, in words."""
        return self._settings.sources.get(path, "its default")

    @property
    def named(self) -> str:
        """The API server and what named it."""
        return f"{self.host} (named by {self._settings.target.source})"

    def no_keys(self) -> str:
        """What to say when nothing tells who we are."""
        missing = [
            name
            for name, value in (("access key", self._settings.api.access_key), ("secret key", self._settings.api.secret_key))
            if value is None
        ]
        return (
            f"there is no {' and no '.join(missing)} for the server {self.named}; set ATRAINS_API_ACCESS_KEY and ATRAINS_API_SECRET_KEY, "
            "or api.credentials.access_key and secret_key in ~/clearml.conf, or ATRAINS_API_HOST=local to record on this machine"
        )

    def wrong_keys(self, said: str) -> str:
        """What to say when the server does not know us."""
        paths = ("api.auth_token",) if self._settings.api.auth_token is not None else ("api.access_key", "api.secret_key")
        sources = " and ".join(dict.fromkeys(map(self.source, paths)))
        what = "session token" if self._settings.api.auth_token is not None else "key pair"
        return (
            f"the server {self.host} does not accept the {what} from {sources} ({said}); create new credentials in the settings of the "
            f"web application{f' {self._settings.api.web_host}' if self._settings.api.web_host else ''} and set them there"
        )

    def no_api(self, status: int, kind: str) -> str:
        """What to say when something else answers at the address of the API server."""
        return (
            f"what answers at {self.named} is no API server (status {status}, {kind or 'no content type'}); correct the address: "
            "the API is usually on port 8008 or at https://api.<domain>, the web application is on 8080 and the file server on 8081"
        )


def translate(error: Exception, exchange: Exchange, url: str, advice: Advice) -> TransportError:
    """Return our error for one that a request met."""
    is_api = bool(advice.host) and (url == advice.host or url.startswith(f"{advice.host}/"))
    where = advice.named if is_api else _origin(url)
    if isinstance(error, aiohttp.ClientHttpProxyError | aiohttp.ClientProxyConnectionError):
        return _proxy(error, where)
    if (found := _tls_error(error)) is not None:
        return AccessError(_tls(found, where), outcome_unknown=exchange.outcome_unknown)
    unknown = exchange.outcome_unknown
    if isinstance(error, aiohttp.InvalidURL):
        return AccessError(f"{where} is not the address of a server; correct it")
    if isinstance(error, TimeoutError | asyncio.TimeoutError):
        what = "did not answer in time" if exchange.begun else "could not be reached in time"
        return UnavailableError(
            f"{where} {what}; check that it runs and that nothing between here and there blocks it", outcome_unknown=unknown
        )
    if isinstance(error, aiohttp.ClientConnectorError):
        return _not_connected(error.os_error, where, url)
    if isinstance(error, aiohttp.TooManyRedirects):
        return TransportError(f"{where} points from one address to the next without an end; check the address", outcome_unknown=unknown)
    if isinstance(error, aiohttp.ClientResponseError):
        text = f"{where} answered with something that is no HTTP ({_short(error.message)}); check the address and whether it is https"
        return TransportError(text, outcome_unknown=unknown)
    said = getattr(error, "strerror", None) or str(error) or type(error).__name__
    # Servers that want a client certificate say so after the handshake of TLS 1.3, and by then a reset may have overtaken the words.
    hint = f"; {_CLIENT_CERTIFICATE}" if url.startswith("https:") and not exchange.reused else ""
    return UnavailableError(f"the connection to {where} broke ({_short(said)}){hint}", outcome_unknown=unknown, connected=True)


def _not_connected(cause: object, where: str, url: str) -> TransportError:
    if isinstance(cause, socket.gaierror):
        return UnavailableError(f"the name of {where} cannot be resolved ({cause.strerror or cause}); check the address and the network")
    if isinstance(cause, ConnectionError) and not isinstance(cause, ConnectionRefusedError) and url.startswith("https:"):
        return UnavailableError(f"{where} broke off the TLS handshake; {_CLIENT_CERTIFICATE}", connected=True)
    reason = (cause.strerror if isinstance(cause, OSError) else None) or cause
    return UnavailableError(f"cannot connect to {where} ({reason}); check that the server runs and that the address is right")


def is_stale(error: Exception, exchange: Exchange) -> bool:
    """Whether a connection that was kept open was closed by the server just when it was used again."""
    broken = aiohttp.ServerDisconnectedError | aiohttp.ClientOSError | ConnectionResetError | BrokenPipeError
    return exchange.reused and isinstance(error, broken) and not isinstance(error, aiohttp.ClientConnectorError)


def _proxy(error: aiohttp.ClientHttpProxyError | aiohttp.ClientProxyConnectionError, where: str) -> TransportError:
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return UnavailableError(
            f"the proxy on the way to {where} cannot be reached; check ATRAINS_PROXY or HTTPS_PROXY, or add the host to NO_PROXY"
        )
    if error.status == 407:
        return AccessError(f"the proxy on the way to {where} {PROXY_USER}")
    return UnavailableError(
        f"the proxy on the way to {where} refused it ({error.status} {_short(error.message)}); check the host and the proxy"
    )


def _tls_error(error: BaseException) -> BaseException | None:
    """The error of TLS that is at the bottom of one, if there is one."""
    inner = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error.__cause__
    if isinstance(inner, BaseException) and (found := _tls_error(inner)) is not None:
        return found
    return error if isinstance(error, ssl.SSLError | ssl.CertificateError) else None


def _tls(error: BaseException, where: str) -> str:
    text = str(error)
    if isinstance(error, ssl.SSLCertVerificationError | ssl.CertificateError):
        reason = _short(getattr(error, "verify_message", "") or text)
        return (
            f"the certificate of {where} cannot be verified ({reason}); give the file of its authority in api.verify_certificate or "
            "ATRAINS_API_HOST_VERIFY_CERT, or `false` there to trust any server"
        )
    if "CERTIFICATE_REQUIRED" in text or "HANDSHAKE_FAILURE" in text or "BAD_CERTIFICATE" in text or "UNKNOWN_CA" in text:
        return (
            f"{where} does not accept this client's certificate ({_short(text)}); give the right one in atrains.client_certificate or "
            "ATRAINS_CLIENT_CERTIFICATE"
        )
    if "WRONG_VERSION_NUMBER" in text or "RECORD_LAYER_FAILURE" in text or "record layer failure" in text:
        return f"{where} does not speak TLS; write http:// instead of https://, or the port that does"
    return f"no TLS connection to {where} ({_short(text)}); check the address, its port and the TLS settings"


def _origin(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('/')[0].rpartition('@')[2]}"  # without a password


def _short(text: object) -> str:
    words = " ".join(str(text).split())
    return words if len(words) <= _LENGTH else f"{words[:_LENGTH]}..."
