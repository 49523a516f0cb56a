"""A server on a socket, and transports to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from atrains._config import Settings, load_settings
from atrains._engine.workers import DaemonExecutor
from atrains._transport.http import HttpTransport
from tests.api_server import KEY, SECRET, ApiServer, serving

Make = Callable[..., HttpTransport]


@pytest.fixture(scope="session")
def workers() -> Iterator[DaemonExecutor]:
    executor = DaemonExecutor()
    yield executor
    executor.shutdown()


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    async with serving(ApiServer()) as running:
        yield running


def settings_for(url: str, **variables: str) -> Settings:
    """The settings of a user whose environment names a server."""
    keys = {} if "ATRAINS_API_ACCESS_KEY" in variables else {"ATRAINS_API_ACCESS_KEY": KEY, "ATRAINS_API_SECRET_KEY": SECRET}
    environ = {"HOME": "/nowhere", "ATRAINS_API_HOST": url, **keys, **variables}
    return load_settings({name: value for name, value in environ.items() if value}, home_directory=Path("/nowhere"))


@pytest.fixture
async def connect(workers: DaemonExecutor) -> AsyncIterator[Make]:
    """Open a transport: `connect(url, http={...}, ATRAINS_...="...")`; closed after the test."""
    opened: list[HttpTransport] = []

    def make(url: str, *, http: dict[str, Any] | None = None, **variables: str) -> HttpTransport:
        settings = settings_for(url, **variables)
        changed = settings._replace(api=settings.api._replace(http=settings.api.http._replace(**(http or {}))))
        transport = HttpTransport(changed, workers=workers)
        opened.append(transport)
        return transport

    yield make
    for transport in opened:
        await transport.aclose()


@pytest.fixture
def transport(server: ApiServer, connect: Make) -> HttpTransport:
    return connect(server.url)
