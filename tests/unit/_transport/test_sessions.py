"""Connections belong to loops: each loop has its own, and none is left open, however the loop ends. Warnings are errors here."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from atrains._engine.workers import DaemonExecutor
from atrains._transport.http import HttpTransport
from atrains._wire import endpoints
from atrains.testing import RunningServer
from tests.unit._transport.conftest import settings_for

Make = Callable[[], HttpTransport]
PROJECTS = endpoints.PROJECTS_GET_ALL


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    server = RunningServer(tmp_path_factory.mktemp("served"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def make(served: RunningServer, workers: DaemonExecutor) -> Make:
    settings = settings_for(served.url, ATRAINS_API_ACCESS_KEY=served.access_key, ATRAINS_API_SECRET_KEY=served.secret_key)
    return lambda: HttpTransport(settings, workers=workers)


def test_one_transport_serves_one_loop_after_the_other(make: Make) -> None:
    transport = make()
    for _ in range(5):
        assert asyncio.run(transport.call(PROJECTS, {}))["projects"] == []
    assert len(transport.client._sessions._held) == 1  # those of loops that ended are let go of
    gc.collect()


def test_a_loop_that_closes_what_it_used(make: Make) -> None:
    async def use() -> None:
        transport = make()
        await transport.call(PROJECTS, {})
        await transport.aclose()
        await transport.aclose()
        assert (await transport.call(PROJECTS, {}))["projects"] == []  # and may be used again
        await transport.aclose()

    asyncio.run(use())
    gc.collect()


def test_closing_reaches_other_loops(make: Make) -> None:
    transport = make()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(transport.call(PROJECTS, {}), loop).result()
    session = transport.client._sessions._held[loop][0]

    async def close_all() -> None:
        await transport.call(PROJECTS, {})
        await transport.aclose()

    asyncio.run(close_all())
    for _ in range(200):
        if session.closed:
            break
        threading.Event().wait(0.01)
    assert session.closed
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
    gc.collect()


def test_a_call_that_is_cancelled_leaves_nothing_open(make: Make) -> None:
    async def use() -> None:
        transport = make()
        calls = [asyncio.create_task(transport.call(PROJECTS, {})) for _ in range(20)]
        await asyncio.sleep(0.005)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        assert (await transport.call(PROJECTS, {}))["projects"] == []

    asyncio.run(use())
    gc.collect()


@pytest.mark.parametrize("host", ["", "http://localhost:8008"])
def test_nothing_of_http_is_imported_before_it_is_needed(host: str, tmp_path: Path) -> None:
    modules = "[name for name in ('aiohttp', 'tenacity', 'jwt') if name in sys.modules]"
    code = f"import sys, atrains, atrains._config; atrains._config.settings(); print({modules})"
    environment = {"PATH": "", "HOME": str(tmp_path), "ATRAINS_API_HOST": host}
    finished = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert finished.stdout.strip() == "[]"


FORKS = """
import asyncio, gc, os, sys, threading
from atrains._config import settings
from atrains._engine.workers import DaemonExecutor
from atrains._transport.http import HttpTransport
from atrains._wire import endpoints

def call(loop, transport):
    return asyncio.run_coroutine_threadsafe(transport.call(endpoints.PROJECTS_GET_ALL, {}), loop).result(20)

loop = asyncio.new_event_loop()
threading.Thread(target=loop.run_forever, daemon=True).start()
transport = HttpTransport(settings(), workers=DaemonExecutor())
call(loop, transport)
if (child := os.fork()) == 0:
    how = sys.argv[1]
    if how == "drop":
        transport = HttpTransport(settings(), workers=DaemonExecutor())
    if how != "leave":
        transport._workers = transport.client.workers = transport.client._sessions._workers = DaemonExecutor()
        transport.client._sessions._resolver._workers = transport.client.workers
        asyncio.run(transport.call(endpoints.PROJECTS_GET_ALL, {}))
    gc.collect()
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
call(loop, transport)  # on the connection that was there before the fork
call(loop, transport)
asyncio.run_coroutine_threadsafe(transport.aclose(), loop).result(20)
print("fine")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("how", ["drop", "use", "leave"])
def test_a_forked_child_leaves_the_connections_of_its_parent_alone(served: RunningServer, tmp_path: Path, how: str) -> None:
    """Parent and child share the kernel's list of what the loop waits for: what a child closes goes silent in the parent."""
    environment = {"PATH": "", "HOME": str(tmp_path), **served.environment}
    finished = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "ignore:This process:DeprecationWarning", "-c", FORKS, how],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (finished.stdout.strip(), finished.stderr) == ("fine", "")
