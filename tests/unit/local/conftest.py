"""Homes and blocks for the tests of the embedded home."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from atrains._local import services
from atrains._local.store import Store, open_home
from atrains._wire import endpoints
from atrains._wire.events import EventKind, RecordBlock, ScalarBlock, Span
from atrains.testing import RunningServer


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


@dataclass(frozen=True)
class Answer:
    """What came back over HTTP."""

    status: int
    text: bytes
    headers: Any

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def code(self) -> tuple[int, int]:
        """Result code and sub-code; the former is the HTTP status as well."""
        meta = self.json["meta"]
        assert meta["result_code"] == self.status
        return meta["result_code"], meta["result_subcode"]

    @property
    def data(self) -> Any:
        assert self.code == (200, 0), self.text
        return self.json["data"]


def _ask(url: str, body: bytes | None = None, method: str = "GET", **headers: str) -> Answer:
    request = urllib.request.Request(url, body, {name.replace("_", "-"): value for name, value in headers.items()}, method=method)
    if body is not None:
        request.add_header("Content-Type", headers.get("Content_Type", "application/json"))
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return Answer(answer.status, answer.read(), answer.headers)
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.read(), error.headers)


@pytest.fixture
def ask() -> Callable[..., Answer]:
    """Send a request: `ask(url, body, method, Some_Header="value")`."""
    return _ask


@pytest.fixture
def server(atrains_server: RunningServer) -> RunningServer:
    return atrains_server


@pytest.fixture
def token(server: RunningServer) -> str:
    keys = base64.b64encode(f"{server.access_key}:{server.secret_key}".encode()).decode()
    return str(_ask(f"{server.url}/auth.login", Authorization=f"Basic {keys}").data["token"])


@pytest.fixture
def call(server: RunningServer, token: str) -> Callable[..., Answer]:
    """Send a request of somebody who is logged in; a body that is no bytes becomes JSON."""

    def send(path: str, body: Any = None, method: str = "GET", **headers: str) -> Answer:
        text = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        return _ask(f"{server.url}/{path}", text, method, **{"Authorization": f"Bearer {token}", **headers})

    return send
