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

Nothing is written outside the test's temporary folder, and no server is called, whatever the machine is configured for.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from atrains import _config
from atrains._api import current
from atrains._config.env import PREFIXES, process_variables
from atrains._engine.endings import COMPLETED
from atrains._engine.process import process
from atrains._portal.portal import portal

__all__ = ["atrains_home"]


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
        await channel.transport.aclose()
    state.channels.clear()
