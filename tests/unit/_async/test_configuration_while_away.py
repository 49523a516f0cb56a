"""Configurations and labels that are set while the server is away: they are seen here at once, and at the server once it is back."""

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


async def test_they_wait_in_the_journal(proxy: FaultProxy) -> None:
    proxy.refuse()
    async with Task.ainit("project", "away") as task:
        await task.connect_configuration({"a": 1}, description="kept")
        await task.connect_configuration({"b": 1}, name="second")
        await task.connect_configuration({"a": 2})
        await task.set_model_label_enumeration({"car": 1})
        expected = {"General": "a = 2\n", "second": "b = 1\n"}
        assert {name: task.get_configuration_object(name) for name in expected} == expected
        assert task.get_labels_enumeration() == {"car": 1}
        proxy.listen()
        assert await task.flush(timeout=30)
    found = await AsyncTask.get_task(task.id)
    assert found is not None
    assert {name: item["value"] for name, item in found.data["configuration"].items()} == expected
    assert found.data["configuration"]["General"]["description"] == "kept"
    assert found.get_labels_enumeration() == {"car": 1}
