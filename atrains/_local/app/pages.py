"""The web page."""

from __future__ import annotations

from aiohttp import web

from atrains._local.app.auth import Doorkeeper
from atrains._local.app.files import FileServer
from atrains._local.app.tokens import Tokens
from atrains._local.app.work import Work
from atrains._local.store import Store


class Pages:
    """Answers what people look at."""

    def __init__(self, store: Store, files: FileServer, doorkeeper: Doorkeeper, tokens: Tokens, work: Work, *, open_here: bool) -> None:
        self._store, self._files, self._doorkeeper, self._tokens, self._work = store, files, doorkeeper, tokens, work
        self._open_here = open_here

    async def answer(self, request: web.Request, path: str) -> web.Response | None:
        """The page of a path; None when it has none."""
        return web.Response(text="atrains") if (request.method, path) == ("GET", "/") else None
