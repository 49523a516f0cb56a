"""An id that a program chooses for its task, at a server that makes ids itself, and while the server is away."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from atrains import AsyncTask, Task
from atrains.errors import NotFoundError
from atrains.testing import RunningServer
from tests.api_server import KEY, SECRET, ApiServer, serving
from tests.fault_proxy import FaultProxy


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ApiServer]:
    """A server that knows no task yet, and gives each a number."""
    made = iter(range(1, 100))
    handlers: dict[str, Any] = {
        "projects.get_all": lambda *_: {"projects": [{"id": "p" * 32}]},
        "tasks.get_all": lambda *_: {"tasks": []},
        "tasks.create": lambda *_: {"id": f"{next(made):032}"},
    }
    async with serving(ApiServer(handlers=handlers)) as running:
        monkeypatch.setenv("ATRAINS_API_HOST", running.url)
        monkeypatch.setenv("ATRAINS_API_ACCESS_KEY", KEY)
        monkeypatch.setenv("ATRAINS_API_SECRET_KEY", SECRET)
        yield running


@pytest.mark.parametrize("api_version", ["2.31", "2.9"])
async def test_a_server_that_makes_ids_itself_is_not_asked_for_one(server: ApiServer, api_version: str) -> None:
    server.api_version = api_version
    with pytest.raises(ValueError, match=r"cannot reuse task my-id: .*this server makes ids itself") as caught:
        await Task.ainit("project", "chosen", reuse_last_task_id="my-id")
    assert isinstance(caught.value, NotFoundError)
    assert not [path for path in server.paths() if "tasks.create" in path], "a task that nobody wants was left there"
    assert AsyncTask.current_task() is None


@pytest.fixture
def proxy(atrains_server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """The way to a server of ours, which can be cut."""
    with FaultProxy(int(atrains_server.url.rpartition(":")[2])) as made:
        monkeypatch.delenv("ATRAINS_API_HOST")
        for name, value in atrains_server.environment.items():
            monkeypatch.setenv(name, value.replace(atrains_server.url, made.url))
        yield made


@pytest.mark.parametrize("is_taken", [False, True], ids=["free", "taken"])
async def test_an_id_that_was_chosen_while_the_server_was_away_is_given_if_it_is_free_then(proxy: FaultProxy, is_taken: bool) -> None:
    if is_taken:
        async with Task.ainit("project", "before", reuse_last_task_id="my-id") as task:
            task.get_logger().report_scalar("loss", "train", 1.0, 1)
    proxy.refuse()
    async with Task.ainit("project", "chosen", reuse_last_task_id="my-id") as task:
        begun_as = task.id
        assert begun_as != "my-id", "it may be that of another task"
        task.get_logger().report_scalar("loss", "train", 0.5, 7)
        proxy.listen()
        assert await task.flush(timeout=30)
        assert (task.id == "my-id") is not is_taken
        assert task.id != begun_as or is_taken
    found = await AsyncTask.get_task(task.id)
    assert found is not None
    assert (found.name, await found.get_status()) == ("chosen", "completed")
    assert await found.get_reported_scalars() == {"loss": {"train": {"x": [7], "y": [0.5]}}}
    tasks = await AsyncTask.get_tasks(project_name="project")
    assert sorted(each.name for each in tasks) == (["before", "chosen"] if is_taken else ["chosen"])
    if is_taken:
        before = await AsyncTask.get_task("my-id")
        assert before is not None
        assert await before.get_reported_scalars() == {"loss": {"train": {"x": [1], "y": [1.0]}}}


async def test_nothing_is_gone_on_with_that_cannot_be_looked_up(proxy: FaultProxy) -> None:
    async with Task.ainit("project", "before") as first:
        first.get_logger().report_scalar("loss", "train", 1.0, 1)
    proxy.refuse()
    async with Task.ainit("project", "before", continue_last_task=first.id) as task:
        task.get_logger().report_scalar("loss", "train", 0.5, 0)
        proxy.listen()
        assert await task.flush(timeout=30)
    assert task.id != first.id
    assert await first.get_reported_scalars() == {"loss": {"train": {"x": [1], "y": [1.0]}}}


def test_a_disabled_run_has_the_id_that_was_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATRAINS_MODE", "disabled")
    assert Task.init("project", "chosen", reuse_last_task_id="my-id").id == "my-id"
