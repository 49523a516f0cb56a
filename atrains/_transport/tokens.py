"""The session token of one server: shared by all loops and threads of the process, renewed by one of them at a time."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final, TypeAlias

from atrains._config import Secret
from atrains._transport.answers import Claims, read_claims
from atrains.errors import TransportError

_PATIENCE: Final = 30.0
"""Seconds to wait for another task's login; a loop that was dropped in the middle of one never ends it."""


@dataclass(frozen=True, slots=True)
class Token:
    """A session token, with times of the monotonic clock."""

    text: Secret
    claims: Claims
    renew_at: float
    ends_at: float


Obtain: TypeAlias = Callable[[Token | None], Awaitable[Token]]


def make_token(text: str, *, threshold: float, fresh: bool) -> Token:
    """Return the token that a text is.

    Args:
        text: As the server gave it.
        threshold: Seconds before its end at which it is to be renewed; at most half of its life.
        fresh: It was issued just now: its life is counted from here, so that no clock of another machine matters.
    """
    claims, now = read_claims(text), time.monotonic()
    if claims.expires is None:
        return Token(Secret(text), claims, math.inf, math.inf)
    begun = claims.issued if fresh and claims.issued is not None else time.time()
    life = claims.expires - begun
    return Token(Secret(text), claims, now + life - min(threshold, max(life, 0.0) / 2), now + life)


class Tokens:
    """Gives out the token that holds.

    Args:
        obtain: Logs in; is given the token until now, if it still holds.
        ready: A token to begin with.
    """

    def __init__(self, obtain: Obtain, ready: Token | None = None) -> None:
        self._obtain = obtain
        self._current = ready
        self._login: Future[Token | None] | None = None
        self._lock = threading.Lock()

    @property
    def is_empty(self) -> bool:
        """Whether there was none yet."""
        return self._current is None

    async def get(self, *, refused: Token | None = None, obtain: Obtain | None = None) -> Token:
        """Return a token that holds, obtaining one where needed.

        Args:
            refused: The token that the server no longer takes.
            obtain: Logs in, in place of the usual way.

        Raises:
            TransportError: the login failed; the same error for all who waited for it.
        """
        while True:
            with self._lock:
                current = self._current
                if current is not None and current is not refused and time.monotonic() < current.renew_at:
                    return current
                login = self._login
                if mine := login is None:
                    login = self._login = Future()
            assert login is not None
            if mine:
                return await self._lead(login, current, refused, obtain or self._obtain)
            if (obtained := await self._follow(login)) is not None:
                return obtained

    async def _lead(self, login: Future[Token | None], current: Token | None, refused: Token | None, obtain: Obtain) -> Token:
        """Log in for all who wait."""
        obtained: Token | None = None
        if current is refused or (current is not None and time.monotonic() >= current.ends_at):
            current = None
        try:
            obtained = await obtain(current)
        except TransportError as error:
            if current is None:
                self._finish(login, error=error)
                raise
            obtained = current  # it still holds: the next call tries to renew it again
        finally:
            self._finish(login, obtained)
        return obtained

    def _finish(self, login: Future[Token | None], token: Token | None = None, *, error: TransportError | None = None) -> None:
        with self._lock:
            if self._login is login:
                self._login = None
            self._current = token or self._current
        if login.done():
            return
        if error is not None:
            login.set_exception(error)
        else:
            login.set_result(token)  # None when this task was cancelled: another one takes over

    async def _follow(self, login: Future[Token | None]) -> Token | None:
        try:
            async with asyncio.timeout(_PATIENCE):
                return await asyncio.shield(asyncio.wrap_future(login))
        except TimeoutError:
            with self._lock:
                if self._login is login:
                    self._login = None
            return None
