"""The handle of an upload: whoever asks for its end hears of it once, early or late, whatever others do who wait for it too."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from atrains._engine.upload import Handle, Upload
from atrains.errors import StorageError
from atrains.types import UploadState


@pytest.fixture
def handle() -> Handle:
    return Handle(Upload(task="t", name="a", kind="artifact", record={}, url="file:///a", source=Path("a"), size=3))


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize("state", [UploadState.stored, UploadState.failed, UploadState.cancelled])
def test_its_end_is_heard_of_early_and_late(handle: Handle, state: UploadState, early: bool) -> None:
    futures = [handle.future] if early else []
    assert not handle.is_over
    handle.settle(state, error="why", entry={"key": "a"})
    handle.settle(UploadState.replaced)
    handle.abandon(StorageError("too late"))
    futures.append(handle.future)
    assert [future.result(0) for future in futures] == [state is UploadState.stored] * len(futures)
    assert (handle.is_over, handle.state, handle.error, handle.entry) == (True, state, "why", {"key": "a"})
    assert handle.sent == (3 if state is UploadState.stored else 0)


@pytest.mark.parametrize("early", [True, False])
def test_who_waits_is_told_that_nobody_goes_on_with_it(handle: Handle, early: bool) -> None:
    future = handle.future if early else None
    handle.abandon(StorageError("kept for the next start"))
    handle.settle(UploadState.stored)
    with pytest.raises(StorageError, match="next start"):
        (future or handle.future).result(0)
    assert handle.is_over


async def test_who_gives_up_waiting_does_not_end_it_for_others(handle: Handle) -> None:
    waiting = asyncio.wrap_future(handle.future)
    waiting.cancel()
    await asyncio.sleep(0)
    assert not handle.is_over
    handle.settle(UploadState.stored)
    assert await asyncio.wrap_future(handle.future) is True


def test_each_of_many_that_ask_while_it_ends_hears_of_it(handle: Handle) -> None:
    for _ in range(200):
        each = Handle(handle.upload)
        heard: list[bool] = []
        threads = [threading.Thread(target=lambda each=each, heard=heard: heard.append(each.future.result(10))) for _ in range(4)]
        for thread in threads:
            thread.start()
        each.settle(UploadState.stored)
        for thread in threads:
            thread.join()
        assert heard == [True] * 4
