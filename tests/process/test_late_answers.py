"""A record that comes late must not undo, in the object at hand, what was edited after it was read."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest

import atrains
from atrains import AsyncTask, Task
from atrains.testing import RunningServer
from tests.fault_proxy import FaultProxy, Request

LATE = 0.5
"""Seconds that the answer takes to a read which began before the edit."""


@pytest.fixture
def slow(atrains_server: RunningServer) -> Iterator[FaultProxy]:
    with FaultProxy(int(atrains_server.url.rpartition(":")[2])) as proxy:
        yield proxy
        from atrains import testing

        testing._close_what_is_open()


def make_next_read_late(proxy: FaultProxy) -> threading.Event:
    """Have the answer to the next read of a record take its time; the event is set once the server got it."""
    begun = threading.Event()

    def plan(request: Request) -> str:
        if request.endpoint == "tasks.get_by_id" and not begun.is_set():
            begun.set()
            return f"late {LATE}"
        return ""

    proxy.plan = plan
    return begun


async def test_a_late_read_undoes_no_edit_of_another_coroutine(atrains_server: RunningServer, slow: FaultProxy) -> None:
    with atrains.credentials(api_host=slow.url, key=atrains_server.access_key, secret=atrains_server.secret_key):
        task = await AsyncTask.create("project", "late")
    begun = make_next_read_late(slow)
    reading = asyncio.create_task(task.reload())
    assert await asyncio.to_thread(begun.wait, 10)
    await asyncio.sleep(LATE / 5)  # the server has answered by now
    await task.add_tags("kept")
    await reading
    assert (task.get_tags(), slow.done["late"]) == (["kept"], 1)


def test_a_late_read_undoes_no_edit_of_another_thread(atrains_server: RunningServer, slow: FaultProxy) -> None:
    with atrains.credentials(api_host=slow.url, key=atrains_server.access_key, secret=atrains_server.secret_key):
        task = Task.create("project", "late")
    begun = make_next_read_late(slow)
    reading = threading.Thread(target=task.reload)
    reading.start()
    assert begun.wait(10)
    time.sleep(LATE / 5)  # as above
    task.set_comment("kept")
    reading.join()
    assert (task.comment, slow.done["late"]) == ("kept", 1)


@pytest.mark.parametrize("fault", ["silence", "503"])
def test_closing_takes_no_longer_than_it_says_whatever_the_server_does(
    atrains_server: RunningServer, slow: FaultProxy, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """The final status and the last delivery had no limit: closing took 19 seconds, and minutes where a server took calls in silence."""
    monkeypatch.setattr("atrains._async.lifecycle.CLOSE_BUDGET", 1.0)
    with atrains.credentials(api_host=slow.url, key=atrains_server.access_key, secret=atrains_server.secret_key):
        task = Task.init("project", "not answered", auto_connect_streams=False)
    task.get_logger().report_scalar("a", "b", 1.0, 1)
    assert task.flush()
    slow.plan = lambda _: fault
    task.get_logger().report_scalar("a", "b", 2.0, 2)
    began = time.monotonic()
    task.close()
    assert time.monotonic() - began < 7
    slow.plan = lambda _: ""
