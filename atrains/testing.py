"""The pytest plugin for projects that record with atrains: every test gets a home of its own, and leaves nothing open for the next one.

Enable it in the `conftest.py` at the root of your tests::

    pytest_plugins = ["atrains.testing"]

From then on a test may record as the program does, and read back what was recorded::

    from atrains import Task

    from my_project import train


    def test_training_reports_its_loss():
        train(epochs=3)  # calls Task.init("my project", "training") and reports
        task = Task.get_task(project_name="my project", task_name="training")
        assert task.get_reported_scalars()["loss"]["train"]["x"] == [0, 1, 2]


    async def test_a_service_reports_its_requests():  # with anyio's or pytest-asyncio's plugin
        async with Task.ainit("my project", "service") as task:
            task.get_logger().report_scalar("requests", "served", value=1, iteration=0)
        assert await task.get_last_iteration() == 0

A test of something that talks to a server gets a real one, on a socket, with `atrains_server`.

Nothing is written outside the test's temporary folder, and no server is called, whatever the machine is configured for.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from atrains import _config
from atrains._api import current
from atrains._capture import forced
from atrains._config.env import PREFIXES, process_variables
from atrains._connect import parsing
from atrains._engine.endings import COMPLETED
from atrains._engine.process import process
from atrains._portal.portal import portal

if TYPE_CHECKING:
    from atrains._local.app.application import Options, Running

__all__ = ["RunningServer", "atrains_home", "atrains_server"]

_PATIENCE = 30.0
"""Seconds that a server in a thread may take to begin or to end."""
_NOTED_EVENTS = 200_000


@pytest.fixture(autouse=True)
def atrains_home(tmp_path: Path) -> Iterator[Path]:
    """The home of this test, an empty place in its `tmp_path`; used by every test, asked for by those that look inside.

    Variables and configuration files of the machine do not count, and nothing is printed on standard error. A test that wants a setting
    sets its variable before the first task (`monkeypatch.setenv("ATRAINS_QUIET", "0")`), or writes the file that `ATRAINS_CONFIG_FILE`
    names. What the test left open is closed after it, also where it ran on an event loop that has ended since: runs become `completed`.

    Yields:
        The folder; it does not exist before something is recorded.
    """
    home = tmp_path / "atrains"
    _config.reset()
    parsing.forget()
    forced.forget()
    with pytest.MonkeyPatch.context() as patch:  # not the test's own, which the test may undo
        for name in process_variables():
            if name.startswith(PREFIXES):
                patch.delenv(name)
        patch.setenv("ATRAINS_HOME", str(home))
        patch.setenv("ATRAINS_API_HOST", "local")
        patch.setenv("ATRAINS_CONFIG_FILE", str(tmp_path / "atrains.conf"))
        patch.setenv("ATRAINS_QUIET", "1")
        yield home
        _close_what_is_open()
    _config.reset()


def _close_what_is_open() -> None:
    """Close every run and connection of this process, and forget them. On the portal, since the loop of the test may have ended."""
    if process().channels:
        portal().run(_close_all)
    current.forget()


async def _close_all() -> None:
    state = process()
    for run in reversed(list(state.open_runs.values())):
        await run.end(COMPLETED)
    for channel in list(state.channels.values()):
        if channel.outlet is not None:
            await channel.shut()
        await channel.aclose()
    state.channels.clear()


class RunningServer:
    """A real server on a socket of this machine, in a thread of its own: what `atrains serve` runs.

    Attributes:
        home: The folder that it serves.
        requests: Every request that was let in, in order: the endpoint, the version that was asked for, and the body (of a batch, the
            list of its events). Of a test that sends more than 200,000 events, those up to then.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.requests: list[tuple[str, str, Any]] = []
        self._room = _NOTED_EVENTS
        self._options: Options | None = None
        self._running: Running | None = None
        self._stop: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Where it is found; stays the same after `restart`."""
        return self._known().url

    @property
    def access_key(self) -> str:
        """The key that clients log in with."""
        return self._known().keys.access_key

    @property
    def secret_key(self) -> str:
        """Its secret."""
        return self._known().keys.secret_key

    @property
    def environment(self) -> dict[str, str]:
        """The variables that point any client at it: hosts and keys, `TRAINS_...` and `CLEARML_...`."""
        return self._known().environment

    def start(self) -> None:
        """Begin to serve; after `stop` at the same address, with the same keys.

        Raises:
            HomeError: the home cannot be opened, or the port was taken meanwhile.
        """
        from atrains._local.app.application import Options  # aiohttp: only for tests that want a server

        if self._options is None:
            self._options = Options(home=self.home, port=0, record=self._note)
        started: Future[Running] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(started)), name="atrains-server", daemon=True)
        self._thread.start()
        self._running = started.result(_PATIENCE)
        self._options = replace(self._options, port=self._running.port)

    def _note(self, endpoint: str, version: str, read: Callable[[], Any]) -> None:
        if self._room > 0:
            body = read()
            self._room -= len(body) if isinstance(body, list) else 1
            self.requests.append((endpoint, version, body))

    def stop(self) -> None:
        """End it, as a signal would; a second call does nothing."""
        if self._stop is None or self._thread is None:
            return
        loop, event = self._stop
        self._stop = None
        loop.call_soon_threadsafe(event.set)
        self._thread.join(_PATIENCE)

    def restart(self) -> None:
        """End it and begin anew, at the same address."""
        self.stop()
        self.start()

    async def _serve(self, started: Future[Running]) -> None:
        from atrains._local.app.application import running

        assert self._options is not None
        try:
            async with running(self._options) as found:
                event = asyncio.Event()
                self._stop = asyncio.get_running_loop(), event
                started.set_result(found)
                await event.wait()
        except BaseException as error:  # who waits for the start is told
            if started.done():
                raise
            started.set_exception(error)

    def _known(self) -> Running:
        assert self._running is not None, "the server was not started"
        return self._running


@pytest.fixture
def atrains_server(tmp_path_factory: pytest.TempPathFactory, atrains_home: Path) -> Iterator[RunningServer]:
    """A server for this test, with an empty home of its own, apart from `atrains_home`. What the test left open is closed while it serves.

    Point a client at it with its `environment`::

        def test_against_a_server(atrains_server, monkeypatch):
            monkeypatch.delenv("ATRAINS_API_HOST")
            for name, value in atrains_server.environment.items():
                monkeypatch.setenv(name, value)
            ...

    Yields:
        The server; it can be stopped, started and restarted.
    """
    del atrains_home  # that of the clients; there is one before the server, and it goes after it
    server = RunningServer(tmp_path_factory.mktemp("server") / "home")
    server.start()
    yield server
    _close_what_is_open()  # while there is somebody to deliver to
    server.stop()
