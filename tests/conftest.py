"""Fixtures that every test sees. What belongs to one folder of tests lives in that folder."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Async tests and fixtures run on asyncio, the one backend that atrains has."""
    return "asyncio"
