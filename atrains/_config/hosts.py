"""Base URLs of the three servers: what is a valid one, and how the web and file server follow from the others. Pure."""

from __future__ import annotations

from typing import Final
from urllib.parse import SplitResult, urlsplit

_API_PORT: Final = 8008
_WEB_PORT: Final = 8080
_FILES_PORT: Final = 8081


def normalise_host(text: str) -> str:
    """Return a base URL without its trailing slashes.

    Raises:
        ValueError: saying what is wrong with it; a user name or password in it is not repeated.
    """
    text = text.strip().rstrip("/")
    # A password may stand before the last @, and a message must not show it.
    shown = f"***@{text.rpartition('@')[2]}" if "@" in text else text
    try:
        parts = urlsplit(text)
        complete = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, an unclosed IPv6 bracket
        complete = False
    if not complete or any(character.isspace() for character in text):
        raise ValueError(f"{shown!r} is not the URL of a server; expected something like http://localhost:8008")
    if "@" in parts.netloc:
        raise ValueError(f"{shown!r} holds a user name; give the URL without it, and the keys as access_key and secret_key")
    return text


def derive_web_host(api_host: str) -> str | None:
    """Return the web application that belongs to an API server; None when the URL does not say.

    Server: `demoapi.` has `demoapp.`, `api.` has `app.`, port 8008 has 8080.
    """
    parts = urlsplit(api_host)
    for api, web in (("demoapi.", "demoapp."), ("api.", "app.")):
        if parts.netloc.startswith(api):
            return _with_netloc(parts, web + parts.netloc.removeprefix(api))
    return _with_port(parts, _WEB_PORT) if parts.port == _API_PORT else None


def derive_files_host(web_host: str) -> str:
    """Return the file server that belongs to a web application.

    Server: an explicit port becomes 8081; else `demoapp.` has `demofiles.`, `app.` has `files.`; else port 8081 is added.
    """
    parts = urlsplit(web_host)
    if parts.port is None:
        for web, files in (("demoapp.", "demofiles."), ("app.", "files.")):
            if parts.netloc.startswith(web):
                return _with_netloc(parts, files + parts.netloc.removeprefix(web))
    return _with_port(parts, _FILES_PORT)


def _with_port(parts: SplitResult, port: int) -> str:
    bare = parts.netloc if parts.port is None else parts.netloc.rpartition(":")[0]
    return _with_netloc(parts, f"{bare.rstrip(':')}:{port}")


def _with_netloc(parts: SplitResult, netloc: str) -> str:
    return parts._replace(netloc=netloc).geturl()
