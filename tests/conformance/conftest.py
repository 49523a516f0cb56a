"""The two worlds, and the homes. Every test of this folder runs in each home; nothing in it knows which.

The homes are the local one of this process, `atrains serve` at the other end of a socket, and any server that the variables
`ATRAINS_CONFORMANCE_HOST`, `_FILES_HOST`, `_WEB_HOST`, `_ACCESS_KEY` and `_SECRET_KEY` name. That one holds what others and earlier tests
left there: what is looked for by name has a name of its `own`, and waits in a queue of its own, which no agent serves.

A test that asks for `world` is one body, run as coroutines on AsyncTask and as blocking calls on Task.

In the body `await world(...)` stands around whatever an async program would await: there it is awaited, in the blocking world the value
is there already. The blocking world has no event loop at all: its bodies are driven as a script would run them.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from inspect import isawaitable, iscoroutinefunction
from pathlib import Path
from typing import Any, Final, TypeVar
from uuid import uuid4

import pytest

from atrains import AsyncTask, Task
from atrains._portal.portal import portal
from atrains._wire import endpoints
from tests.surface import mutants

T = TypeVar("T")

PREFIX: Final = "ATRAINS_CONFORMANCE_"
GIVEN: Final = {
    f"ATRAINS_{theirs}": value
    for ours, theirs in (
        ("HOST", "API_HOST"),
        ("FILES_HOST", "FILES_HOST"),
        ("WEB_HOST", "WEB_HOST"),
        ("ACCESS_KEY", "API_ACCESS_KEY"),
        ("SECRET_KEY", "API_SECRET_KEY"),
    )
    if (value := os.environ.get(PREFIX + ours))
}
"""The server that the environment names, as the variables of a client."""
HOMES: Final = ["in-process", "served", *(["given"] if GIVEN else [])]
REQUESTS: Final = pytest.StashKey[list[tuple[str, str, Any]]]()
"""What was sent to served homes while these tests ran: endpoint, version, body. It is checked against the official schemas."""
RECORD: Final = "ATRAINS_RECORD_REQUESTS"
"""The variable that names a file to which the same is appended, a JSON list a line."""
RECORD_PATH: Final = os.environ.get(RECORD)

if mutants.MUTANT in os.environ:  # the suite is tried on a member that does nothing
    mutants.mutate(os.environ[mutants.MUTANT])


@pytest.fixture(params=HOMES, autouse=True)
def home(request: pytest.FixtureRequest, atrains_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where the runs of this test go."""
    del atrains_home  # that of this machine; journals stand there, whatever the target is
    monkeypatch.setenv("ATRAINS_CAPTURE", "no")  # what stands in the artifacts of a run would depend on what is not committed here
    kind: str = request.param
    if kind == "in-process":
        yield kind
        return
    server = request.getfixturevalue("atrains_server") if kind == "served" else None
    monkeypatch.delenv("ATRAINS_API_HOST")
    for name, value in (GIVEN if server is None else server.environment).items():
        monkeypatch.setenv(name, value)
    yield kind
    if server is not None:
        request.config.stash.setdefault(REQUESTS, []).extend(server.requests)
        if RECORD_PATH:
            with open(RECORD_PATH, "a", encoding="utf-8") as file:
                file.writelines(json.dumps(sent) + "\n" for sent in server.requests)


class AsyncWorld:
    """An asyncio program."""

    Task: Any = AsyncTask

    async def __call__(self, value: Awaitable[T] | T) -> T:
        return await value if isawaitable(value) else value

    def run(self, body: Coroutine[Any, Any, None]) -> None:
        asyncio.run(body)

    @asynccontextmanager
    async def run_of(self, project: str, name: str) -> AsyncIterator[Any]:
        """A run as a block of code."""
        async with Task.ainit(project, name) as task:
            yield task

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def beside(self, make: Callable[[], Coroutine[Any, Any, None]]) -> Awaitable[None]:
        """Do something at the same time: in an asyncio task."""
        return asyncio.create_task(make())


class BlockingWorld:
    """An ordinary script: no event loop runs in its threads."""

    Task: Any = Task

    async def __call__(self, value: T) -> T:
        assert not isawaitable(value), f"a blocking call returned {value!r}"
        return value

    def run(self, body: Coroutine[Any, Any, None]) -> None:
        try:
            body.send(None)
        except StopIteration:
            return
        raise AssertionError("the body waited for something other than a blocking call")

    @asynccontextmanager
    async def run_of(self, project: str, name: str) -> AsyncIterator[Any]:
        """A run as a block of code."""
        with Task.init(project, name) as task:
            yield task

    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251  # there is no loop here

    def beside(self, make: Callable[[], Coroutine[Any, Any, None]]) -> threading.Thread:
        """Do something at the same time: in a thread."""
        thread = threading.Thread(target=lambda: self.run(make()))
        thread.start()
        return thread


@pytest.fixture(params=[AsyncWorld, BlockingWorld], ids=["async", "blocking"])
def world(request: pytest.FixtureRequest) -> AsyncWorld | BlockingWorld:
    made: AsyncWorld | BlockingWorld = request.param()
    return made


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run the body of a test in its world."""
    world = pyfuncitem.funcargs.get("world")
    if world is None or not iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    world.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


def own(name: str) -> str:
    """A name that nothing else in the home has, which may be full of what others and earlier tests left."""
    return f"{name} {uuid4().hex[:12]}"


async def ask_home(world: Any, task: Any, ask: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
    """Ask the transport of a task for what no member of a task asks it."""
    transport = getattr(task, "_core", task)._channel.transport
    answer: T = await world(ask(transport)) if world.Task is AsyncTask else portal().run(lambda: ask(transport))
    return answer


async def is_ours(world: Any, task: Any) -> bool:
    """Whether the home of a task is one of atrains, which does what real servers do not: it says so by keeping the ids it is given."""
    return await ask_home(world, task, lambda transport: transport.keeps_task_ids())


async def make_queue(world: Any, name: str) -> str:
    """Make a queue in the home of this test, which no documented member does, and return its id."""
    task = await world(world.Task.create("queues", "a task that knows the way"))
    made = await ask_home(world, task, lambda transport: transport.call(endpoints.QUEUES_CREATE, {"name": name}))
    return str(made["id"])
