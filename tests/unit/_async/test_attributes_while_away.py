"""Tags and the last iteration that are set while the server is away: seen here at once, and at the server once it is back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from atrains import AsyncTask, Task
from atrains.testing import RunningServer
from tests.fault_proxy import FaultProxy


@pytest.fixture
def proxy(atrains_server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """The way to a server of ours, which can be cut."""
    with FaultProxy(int(atrains_server.url.rpartition(":")[2])) as made:
        monkeypatch.delenv("ATRAINS_API_HOST")
        for name, value in atrains_server.environment.items():
            monkeypatch.setenv(name, value.replace(atrains_server.url, made.url))
        yield made


async def test_tags_wait_and_are_added_to_what_is_there_then(proxy: FaultProxy) -> None:
    async with Task.ainit("project", "away later") as task:
        await task.set_tags(["first"])
        other = await AsyncTask.get_task(task.id)
        assert other is not None
        proxy.refuse()
        await task.add_tags(["second", "first"])
        await task.add_tags("third")
        assert task.get_tags() == ["first", "second", "third"]
        proxy.listen()
        await other.add_tags(["by somebody else"])
        assert await task.flush(timeout=30)
    found = await AsyncTask.get_task(task.id)
    assert found is not None
    assert found.get_tags() == ["first", "by somebody else", "second", "third"]


async def test_what_is_set_on_a_run_that_began_while_its_server_was_away(proxy: FaultProxy) -> None:
    proxy.refuse()
    async with Task.ainit("project", "away") as task:
        await task.add_tags("first second")
        await task.set_last_iteration(12)
        assert task.get_tags() == ["first", "second"]
        proxy.listen()
        assert await task.flush(timeout=30)
        assert await task.get_last_iteration() == 12
    found = await AsyncTask.get_task(task.id)
    assert found is not None
    assert (found.get_tags(), await found.get_last_iteration()) == (["first", "second"], 12)
