"""Every implementation of the Transport protocol, each on an empty home."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from atrains._local.transport import LocalTransport
from atrains._transport.base import Transport


@pytest.fixture(params=["local"])
async def transport(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Transport]:
    opened: Transport = {"local": LocalTransport}[request.param](tmp_path / "home")
    yield opened
    await opened.aclose()
