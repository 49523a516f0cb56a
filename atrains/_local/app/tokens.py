"""Tokens: signed claims that say who a client is, in the form that clients of the protocol read. Who may have one is in `auth`."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import Any, Final

import jwt

API_VERSION: Final = "2.31"
"""The newest version of the protocol that is spoken; clients choose theirs by it."""
SERVER_VERSION: Final = "2.0.0"
"""The release of the server whose protocol this is; clients look features up by it."""
USUAL_SECONDS: Final = 30 * 86_400
LONGEST_SECONDS: Final = 365 * 86_400
_TICKET_SECONDS: Final = 3600
_ALGORITHM: Final = "HS256"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who sends a request. A home has one user; whoever has its keys is that user."""

    user: str = "local"
    company: str = "local"
    role: str = "admin"

    def as_claim(self) -> dict[str, str]:
        """The claim `identity` of a token."""
        return {"user": self.user, "company": self.company, "role": self.role, "user_name": self.user, "company_name": self.company}


class BadTokenError(Exception):
    """A token that is expired, damaged, or signed by somebody else; the message says which."""


class Tokens:
    """Makes and checks the tokens of one server.

    Args:
        signing_key: The key that they are signed with.
    """

    def __init__(self, signing_key: str) -> None:
        self._key = signing_key

    def issue(self, identity: Identity, seconds: int = USUAL_SECONDS) -> str:
        """A token for a client. Server: the claims of a session token; a negative lifetime gives one that has expired.

        `keeps_task_ids` is ours alone: it tells a client that `tasks.create` takes an `id`.
        """
        moment = int(time.time())
        return self._sign(
            {
                "exp": moment + seconds,
                "iat": moment,
                "session_id": secrets.token_hex(16),
                "auth_type": "Bearer",
                "identity": identity.as_claim(),
                "env": "local",
                "api_version": API_VERSION,
                "server_version": SERVER_VERSION,
                "server_build": "atrains",
                "feature_set": "basic",
                "keeps_task_ids": True,
            }
        )

    def identity_of(self, token: str) -> Identity:
        """Who a token is of.

        Raises:
            BadTokenError: it is of nobody.
        """
        claims = self._claims(token)
        found = claims.get("identity")
        if not isinstance(found, dict):
            raise BadTokenError("the token names nobody")
        return Identity(*(str(found.get(part, "")) for part in ("user", "company", "role")))

    def ticket(self, path: str) -> str:
        """A token that opens one file for an hour: for links in a page, which carry no header."""
        return self._sign({"exp": int(time.time()) + _TICKET_SECONDS, "file": path})

    def opens(self, ticket: str, path: str) -> bool:
        """Whether a ticket is for this file, and still good."""
        try:
            return bool(self._claims(ticket).get("file") == path)
        except BadTokenError:
            return False

    def _sign(self, claims: dict[str, Any]) -> str:
        return jwt.encode(claims, self._key, algorithm=_ALGORITHM)

    def _claims(self, token: str) -> dict[str, Any]:
        try:
            # `iat` may lie ahead: clocks are set back, and nothing follows from it here.
            claims: dict[str, Any] = jwt.decode(
                token, self._key, algorithms=[_ALGORITHM], options={"require": ["exp"], "verify_iat": False}
            )
        except jwt.PyJWTError as error:
            raise BadTokenError(str(error)) from error
        return claims
