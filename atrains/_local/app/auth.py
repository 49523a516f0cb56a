"""Who may call: headers, cookie and key pair, and the endpoint that gives tokens for them."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from atrains._local import query
from atrains._local.app.keys import Keys
from atrains._local.app.tokens import LONGEST_SECONDS, USUAL_SECONDS, BadTokenError, Identity, Tokens
from atrains.errors import ServerError

COOKIE: Final = "clearml_token_basic"


class Doorkeeper:
    """Tells who sends a request.

    Args:
        keys: The key pair that is let in.
        tokens: What the pair is exchanged for.
    """

    def __init__(self, keys: Keys, tokens: Tokens) -> None:
        self._keys = keys
        self._tokens = tokens

    def identify(self, request: web.Request, *, basic: bool = True) -> Identity:
        """Who sends a request, by its header, else by its cookie. Server: the header wins.

        Args:
            request: Its body is not looked at.
            basic: Whether the key pair itself is good, and not just a token. Server: not on the file server.

        Raises:
            ServerError: 401 with the server's sub-codes: 20 nothing given, 10 an unknown scheme, 22 wrong keys, 30 a bad token.
        """
        header = request.headers.get("Authorization")
        if header is None:
            cookie = request.cookies.get(COOKIE)
            if not cookie:
                raise refuse_access(20, "Unauthorized (missing credentials)")
            return self._by_token(cookie)
        scheme, _, given = header.strip().partition(" ")
        match scheme.lower():
            case "bearer":
                return self._by_token(given.strip())
            case "basic" if basic:
                return self._by_keys(given.strip())
        raise refuse_access(10, f"Unauthorized (unsupported authentication scheme {scheme[:20]!r})")

    def is_pair(self, access_key: str, secret_key: str) -> bool:
        """Whether this is the key pair; the time that it takes says nothing of how much of it was right."""
        right_access = hmac.compare_digest(access_key.encode(), self._keys.access_key.encode())
        right_secret = hmac.compare_digest(secret_key.encode(), self._keys.secret_key.encode())
        return right_access and right_secret

    def _by_token(self, token: str) -> Identity:
        try:
            return self._tokens.identity_of(token)
        except BadTokenError as error:
            raise refuse_access(30, f"Unauthorized (invalid token) ({error})") from error

    def _by_keys(self, given: str) -> Identity:
        try:
            access_key, _, secret_key = base64.b64decode(given, validate=True).decode().partition(":")
        except (binascii.Error, ValueError) as error:
            raise refuse_access(21, "Unauthorized (the credentials are no base64 of KEY:SECRET)") from error
        if not self.is_pair(access_key, secret_key):
            raise refuse_access(22, "Unauthorized (invalid credentials) (failed to locate provided credentials)")
        return Identity()

    def login(self, identity: Identity, body: Mapping[str, Any]) -> tuple[str, int]:
        """A token for somebody who was identified, and its lifetime in seconds. Server: `auth.login`; 0 means the usual 30 days.

        Raises:
            ServerError: 400/12, a lifetime that is no number or beyond a year.
        """
        seconds = query.take(body, "expiration_sec", int, 0) or USUAL_SECONDS
        if seconds > LONGEST_SECONDS:
            raise query.refuse(12, f"Validation error: expiration_sec is at most {LONGEST_SECONDS}, not {seconds}")
        return self._tokens.issue(identity, seconds), seconds


def refuse_access(subcode: int, message: str) -> ServerError:
    """The error for somebody who is not let in."""
    return query.refuse(subcode, message, code=401)
