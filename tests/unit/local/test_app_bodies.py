"""Whatever is sent as a body: every event is stored or refused by name, and nothing but the server's own errors comes out."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from atrains._local import services
from atrains._local.app import bodies, conversion
from atrains._local.app.ingestion import Batches
from atrains._local.store import Store
from atrains._wire import endpoints
from atrains.errors import ServerError
from atrains.testing import RunningServer

TASK = "0123456789abcdef" * 2
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(st.characters(), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)


def refusal(work: Callable[[], Any]) -> tuple[int, int] | None:
    """Code and sub-code of the server's own error, None without one; any other error is none that a client should see."""
    try:
        work()
    except ServerError as error:
        return error.code, error.subcode
    return None


def mostly(*usual: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(usual) | JSON


EVENTS = st.fixed_dictionaries(
    {},
    optional={
        "type": mostly("training_stats_scalar", "plot", "log", "training_debug_image", "training stats scalar"),
        "task": mostly(TASK, TASK, "f" * 32),
        "metric": mostly("a", "b"),
        "variant": mostly("v"),
        "iter": mostly(1, 2),
        "value": mostly(0.5, 1),
        "timestamp": mostly(1000),
        "msg": mostly("text"),
        "level": mostly("info"),
        "worker": mostly("w"),
        "plot_str": mostly("{}"),
        "model_event": mostly(False),
        "allow_locked": mostly(True),
    },
)


@pytest.fixture
def batches(store: Store) -> Batches:
    services.call(store, endpoints.TASKS_CREATE, {"name": "a task", "type": "training", "id": TASK})
    return Batches(store)


@given(events=st.lists(EVENTS, max_size=8))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_every_event_is_stored_or_refused(batches: Batches, events: list[dict[str, Any]]) -> None:
    body = b"\n".join(json.dumps(event).encode() for event in events)
    answers: list[dict[str, Any]] = []
    refused = refusal(lambda: answers.append(batches.add(bodies.parse_lines(body), "worker")))
    if refused:
        assert refused == (400, 131 if events else 17)
        return
    assert answers[0]["added"] + answers[0]["errors"] == len(events)
    assert sum(answers[0]["errors_info"].values()) == answers[0]["errors"]


@given(st.binary(max_size=60) | st.text(alphabet='{}[]",:\n\r 1eE.-ntf', max_size=60).map(str.encode))
def test_any_bytes_are_lines_or_no_lines(body: bytes) -> None:
    events: list[Any] = []
    refused = refusal(lambda: events.extend(event for found in bodies.parse_lines(body) for event in found))
    assert refused in {None, (400, 0)}
    assert all(isinstance(event, dict) for event in events)


def test_lines_are_cut_at_slices_and_numbered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "_SLICE", 64)
    lines = [b'{"n": %d, "t": "%s"}' % (number, b"x" * (number % 70)) for number in range(200)]
    events = [event for found in bodies.parse_lines(b"\n".join(lines)) for event in found]
    assert [event["n"] for event in events] == list(range(200))
    lines[150] = b"{"
    with pytest.raises(ServerError, match="line 151"):
        list(bodies.parse_lines(b"\n".join(lines)))


@given(st.binary(max_size=40), st.sampled_from(["", "application/json", bodies.FORM, "text/plain"]))
def test_any_body_is_fields_or_an_error(body: bytes, content_type: str) -> None:
    refused = refusal(lambda: bodies.parse_body(body, content_type, [("a", "1"), ("a", "true"), ("b", "x")]).items())
    assert refused in {None, (400, 0), (500, 0)}


def test_fields_of_a_form_are_taken_by_what_they_look_like() -> None:
    fields = bodies.parse_body(b"n=3&f=-1.5&t=true&id=" + b"1" * 32 + b"&l=1&l=x&e=", bodies.FORM, [])
    assert fields == {"n": 3, "f": -1.5, "t": True, "id": "1" * 32, "l": [1, "x"], "e": ""}


TASKS = st.fixed_dictionaries(
    {"id": st.just("x")},
    optional={
        "execution": st.dictionaries(st.sampled_from(["model", "docker_cmd", "parameters", "model_desc", "artifacts"]), JSON),
        "output": JSON,
        "models": JSON,
        "tags": JSON,
        "only_fields": JSON,
    },
)


@given(TASKS, st.sampled_from([(2, 1), (2, 2), (2, 5), (2, 8), (2, 9), (2, 12), (2, 13), (2, 31)]))
def test_what_old_clients_send_is_converted_or_left_alone(request: dict[str, Any], version: tuple[int, int]) -> None:
    assert refusal(lambda: conversion.from_request("tasks.edit", request, version).items()) in {None, (400, 12)}


@pytest.mark.parametrize(
    "head",
    [
        b"GET /v2/\xff HTTP/1.1", b"GET /%ff/%fe HTTP/1.1", b"GET /tasks.get_all?id=%ff HTTP/1.1",
        b"GET /tasks.get_all HTTP/1.1\r\nX-Trains-Trx: \xff\xfe", b"POST /events.add_batch HTTP/1.1\r\nX-Clearml-Worker: \xff",
        b"GET /projects/%ff/tasks/%ff HTTP/1.1", b"GET /login?next=%ff HTTP/1.1", b"HEAD // HTTP/1.1", b"OPTIONS * HTTP/1.1",
    ],
)  # fmt: skip
def test_bytes_that_are_no_text_are_no_fault_of_the_server(server: RunningServer, token: str, head: bytes) -> None:
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), 10) as connection:
        connection.sendall(head + f"\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    assert int(answer.split()[1]) < 500, answer


FIELDS = (
    "task", "tasks", "id", "name", "type", "models", "artifacts", "hyperparams", "configuration", "project", "scroll_id", "metric",
    "metrics", "event_type", "only_fields", "order_by", "batch_size", "page", "tags", "_any_", "execution", "output", "script", "container",
    "parent", "status", "last_update", "queue", "force", "iteration", "model", "requirements", "names", "key", "order", "iters", "samples",
)  # fmt: skip


@given(
    endpoint=st.sampled_from(sorted(services.SERVICES)),
    body=st.dictionaries(st.sampled_from(FIELDS), JSON | st.just(TASK) | st.just([TASK]), max_size=6),
    known=st.booleans(),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=500)
def test_wrong_types_are_refused(batches: Batches, store: Store, endpoint: str, body: dict[str, Any], known: bool) -> None:
    request = {"task": TASK, "tasks": [TASK], **body} if known else body
    refused = refusal(lambda: services.call(store, endpoints.BY_NAME[endpoint], request))
    assert refused is None or refused != (500, 0)


@pytest.mark.parametrize(
    "document",
    [
        {"hyperparams": {"a": 1}}, {"hyperparams": {"a": {"b": "1"}}}, {"configuration": {"a": "text"}}, {"models": {"input": {"a": 1}}},
        {"models": {"input": ["a"]}}, {"execution": {"artifacts": ["a"]}}, {"execution": {"artifacts": [{"type": "t"}]}},
        {"execution": {"artifacts": "a"}},
    ],
)  # fmt: skip
def test_documents_of_another_shape_are_refused(batches: Batches, store: Store, document: dict[str, Any]) -> None:
    assert refusal(lambda: services.call(store, endpoints.TASKS_EDIT, {"task": TASK, **document})) == (400, 800)
