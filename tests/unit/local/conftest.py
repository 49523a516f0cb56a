"""Homes and blocks for the tests of the embedded home."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from atrains._local import services
from atrains._local.store import Store, open_home
from atrains._wire import endpoints
from atrains._wire.events import EventKind, RecordBlock, ScalarBlock, Span


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    opened = open_home(home)
    yield opened
    opened.close()


@pytest.fixture
def task(store: Store) -> str:
    project = services.call(store, endpoints.PROJECTS_CREATE, {"name": "parent/child"})["id"]
    created: str = services.call(store, endpoints.TASKS_CREATE, {"name": "a task", "type": "training", "project": project})["id"]
    return created


@pytest.fixture
def scalars(task: str) -> Callable[[int, int], ScalarBlock]:
    def block(first: int, count: int, journal: str = "j") -> ScalarBlock:
        iterations, values = array("q", range(first, first + count)), array("d", [0.5 * place for place in range(first, first + count)])
        series = array("I", [place % 2 for place in range(count)])
        return ScalarBlock(task, Span(journal, "s", first, first + count), [("loss", "a"), ("loss", "b")], series, iterations, 1.5, values)

    return block


@pytest.fixture
def logs(task: str) -> Callable[[int, int], RecordBlock]:
    def block(first: int, count: int) -> RecordBlock:
        events = [{"timestamp": place, "level": "info", "msg": f"line {place}", "worker": "w"} for place in range(first, first + count)]
        return RecordBlock(task, Span("j", "logs", first, first + count), EventKind.LOGS, events)

    return block
