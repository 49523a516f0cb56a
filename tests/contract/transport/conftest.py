"""Every implementation of the Transport protocol, each on an empty home."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from atrains._config import load_settings
from atrains._engine.process import WORKERS
from atrains._local.transport import LocalTransport
from atrains._transport.base import Transport
from atrains._transport.http import HttpTransport
from atrains.testing import RunningServer


@pytest.fixture
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RunningServer]:
    """`atrains serve`, on a socket."""
    server = RunningServer(tmp_path / "served")
    server.start()
    yield server
    server.stop()


@pytest.fixture(params=["local", "http"])
async def transport(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Transport]:
    opened: Transport
    if request.param == "local":
        opened = LocalTransport(tmp_path / "home")
    else:
        variables = request.getfixturevalue("served").environment
        opened = HttpTransport(load_settings({"HOME": str(tmp_path), **variables}), workers=WORKERS)
    yield opened
    await opened.aclose()
