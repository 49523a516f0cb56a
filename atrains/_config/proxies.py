"""Which proxy leads to a URL: reading their addresses, and the hosts that are reached without one. Pure."""

from __future__ import annotations

import ipaddress
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

from atrains._config.settings import ProxySettings

LOOPBACK: Final = ("localhost", "127.0.0.0/8", "::1")
"""This machine: what other programs' variables say of proxies is not meant for it."""
_PORTS: Final = {"http": 80, "https": 443}


def normalise_proxy(text: str) -> str:
    """Return the URL of a proxy; without a scheme it is http.

    Raises:
        ValueError: saying what is wrong; what stands before an `@` is not repeated.
    """
    url = text if "://" in text else f"http://{text}"
    shown = f"***@{text.rpartition('@')[2]}" if "@" in text else text
    try:
        parts = urlsplit(url)
        complete = parts.scheme in _PORTS and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number
        complete = False
    if not complete:
        raise ValueError(f"{shown!r} is not the URL of an http proxy; expected something like http://proxy.example:3128")
    return url


def proxy_for(url: str, settings: ProxySettings) -> str | None:
    """Return the URL of the proxy that leads to `url`; None when it is reached directly."""
    parts = urlsplit(url)
    proxy = settings.https if parts.scheme == "https" else settings.http
    host = (parts.hostname or "").lower()
    port = parts.port or _PORTS.get(parts.scheme, 0)
    if proxy is None or any(_covers(entry, host, port) for entry in settings.bypass):
        return None
    return proxy.reveal()


def _covers(entry: str, host: str, port: int) -> bool:
    """Whether one entry of the list of exceptions is meant for a host."""
    entry = entry.strip().lower()
    if entry == "*":
        return True
    with suppress(ValueError):  # not an address, so a name
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry.strip("[]"), strict=False)
    name, colon, only = entry.rpartition(":")
    if colon and only.isdecimal():
        if int(only) != port:
            return False
        entry = name
    entry = entry.strip("[]").lstrip("*").lstrip(".")
    return bool(entry) and (host == entry or host.endswith(f".{entry}"))
