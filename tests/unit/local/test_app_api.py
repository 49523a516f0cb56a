"""The API of a served home, over a real socket: envelopes, codes, versions, who is let in. What the protocol facts say, line by line."""

from __future__ import annotations

import base64
from collections.abc import Callable
from contextlib import closing
from typing import Any

import jwt
import pytest

from atrains._local import connections
from atrains.testing import RunningServer

Calls = Callable[..., Any]


def basic(access_key: str, secret_key: str) -> str:
    return "Basic " + base64.b64encode(f"{access_key}:{secret_key}".encode()).decode()


# ---- the envelope and the path


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_every_method_reaches_an_endpoint_and_the_body_counts(call: Calls, method: str) -> None:
    created = call("v2.13/tasks.create", {"name": "a task", "type": "training"}, method).data["id"]
    assert call("v2.13/tasks.get_by_id/", {"task": created}, method).data["task"]["name"] == "a task"


def test_the_envelope_names_endpoint_and_versions(call: Calls) -> None:
    meta = call("v2.13/tasks.completed", {"task": "x"}, X_Trains_Trx="mine").json["meta"]
    assert meta["endpoint"] == {"name": "tasks.completed", "requested_version": "2.13", "actual_version": "2.2"}
    assert (meta["trx"], meta["error_data"], meta["error_stack"]) == ("mine", {}, None)
    assert len(meta["id"]) == 32
    meta = call("v2.13/tasks.get_all", {}).json["meta"]
    assert (meta["result_msg"], meta["error_stack"], meta["trx"]) == ("OK", "", meta["id"])
    endpoint = call("v2.0/tasks.get_all", {}).json["meta"]["endpoint"]
    assert (type(endpoint["requested_version"]), type(endpoint["actual_version"])) == (float, float)


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("tasks.get_all", (200, 0)),
        ("v99.1/tasks.get_all", (200, 0)),
        ("v2.1/tasks.completed", (404, 0)),
        ("v2.13/tasks.nothing", (404, 0)),
        ("nothing.get_all", (404, 0)),
        ("v2/tasks.get_all", (400, 0)),
        ("api/v2.13/tasks.get_all", (400, 0)),
        ("v2.13/tasks", (400, 0)),
    ],
)
def test_paths(call: Calls, path: str, code: tuple[int, int]) -> None:
    if path == "nothing.get_all":  # without a version only the names of services are the API's: it could be a file
        assert call(path, {}).status == 404
    else:
        assert call(path, {}).code == code


# ---- bodies


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", (400, 0)),
        (b"[]", (500, 0)),
        (b"3", (500, 0)),
        (b"", (200, 0)),
        (b'{"unknown": 1}', (200, 0)),
        (b'{"page": "x"}', (400, 12)),
        (b'{"name": "("}', (400, 21)),
        (b'{"only_fields": ["nothing"]}', (400, 14)),
        (b'{"id": [3]}', (400, 12)),
    ],
)
def test_bodies(call: Calls, body: bytes, code: tuple[int, int]) -> None:
    assert call("v2.13/tasks.get_all", body).code == code


def test_parameters_may_be_arguments_or_a_form(call: Calls) -> None:
    created = call("v2.13/tasks.create", {"name": "a task", "type": "training"}).data["id"]
    assert call(f"v2.13/tasks.get_by_id?task={created}").data["task"]["id"] == created
    form = call("v2.13/tasks.get_by_id", f"task={created}&force=true".encode(), Content_Type="application/x-www-form-urlencoded")
    assert form.data["task"]["id"] == created
    curl = call("v2.13/tasks.get_by_id", {"task": created}, Content_Type="application/x-www-form-urlencoded")
    assert curl.data["task"]["id"] == created


def test_compressed_and_oversized_bodies_are_refused(call: Calls) -> None:
    answer = call("v2.13/tasks.get_all", {}, Content_Encoding="gzip")
    assert (answer.status, answer.headers.get_content_type()) == (415, "text/plain")
    assert call("v2.13/tasks.get_all", b" " * (65 << 20), "POST").code == (413, 0)


def test_a_name_that_is_too_short_and_an_id_that_is_not_there(call: Calls) -> None:
    assert call("v2.13/tasks.create", {"name": "ab", "type": "training"}).code == (400, 800)
    assert call("v2.13/tasks.get_by_id", {"task": "0" * 32}).code == (400, 101)
    assert call("v2.13/projects.get_by_id", {"project": "0" * 32}).code == (400, 401)


def test_a_given_id_is_kept_once(call: Calls) -> None:
    wished = "0123456789abcdef" * 2
    assert call("tasks.create", {"name": "a task", "type": "training", "id": wished}).data["id"] == wished
    assert call("tasks.create", {"name": "a task", "type": "training", "id": wished}).data["id"] != wished
    assert call("tasks.create", {"name": "a task", "type": "training", "id": "../x"}).data["id"] != "../x"


# ---- who is let in


def test_what_a_token_says(server: RunningServer, token: str) -> None:
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["api_version"] == "2.31"
    assert claims["server_version"] == "2.0.0"
    assert claims["exp"] - claims["iat"] == 30 * 86_400
    assert set(claims["identity"]) == {"user", "company", "role", "user_name", "company_name"}


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (None, (401, 20)),
        ("Digest x", (401, 10)),
        ("Basic !", (401, 21)),
        (basic("wrong", "keys"), (401, 22)),
        ("Bearer x", (401, 30)),
        ("Bearer " + jwt.encode({"exp": 2**40, "identity": {}}, "k" * 32), (401, 30)),
    ],
)
@pytest.mark.parametrize("path", ["auth.login", "v2.13/tasks.get_all"])
def test_who_is_not_let_in(server: RunningServer, ask: Calls, path: str, header: str | None, code: tuple[int, int]) -> None:
    # The body is broken as well: it is not looked at.
    headers = {} if header is None else {"Authorization": header}
    assert ask(f"{server.url}/{path}", b"{", **headers).code == code


def test_tokens_are_refreshed_and_expire(server: RunningServer, ask: Calls, call: Calls) -> None:
    answer = call("auth.login", {"expiration_sec": 60})
    fresh = jwt.decode(answer.data["token"], options={"verify_signature": False})
    assert fresh["exp"] - fresh["iat"] == 60
    assert call("auth.login", {"expiration_sec": 40_000_000}).code == (400, 12)
    expired = call("auth.login", {"expiration_sec": -5}).data["token"]
    refused = ask(f"{server.url}/tasks.get_all", Authorization=f"Bearer {expired}")
    assert refused.code == (401, 30)
    assert "expired" in refused.json["meta"]["result_msg"]
    cookie = answer.headers["Set-Cookie"].partition(";")[0]
    assert cookie.startswith("clearml_token_basic=")
    assert ask(f"{server.url}/tasks.get_all", Cookie=cookie).code == (200, 0)
    assert ask(f"{server.url}/tasks.get_all", Cookie=cookie, Authorization="Bearer x").code == (401, 30)  # the header wins


def test_the_key_pair_is_good_anywhere_and_survives_a_restart(server: RunningServer, ask: Calls, token: str) -> None:
    keys = basic(server.access_key, server.secret_key)
    assert ask(f"{server.url}/v2.13/users.get_current_user", Authorization=keys).data["user"]["id"] == "local"
    server.restart()
    assert basic(server.access_key, server.secret_key) == keys
    assert ask(f"{server.url}/tasks.get_all", Authorization=f"Bearer {token}").code == (200, 0)
    assert (server.home / "server.json").stat().st_mode & 0o777 == 0o600


def test_what_was_asked_is_noted(server: RunningServer, call: Calls) -> None:
    call("v2.9/tasks.get_all", {"id": ["x"]})
    call("v2.13/events.add_batch", b'{"type": "log"}\n{"type": "plot"}', "POST", Content_Type="application/json-lines")
    assert server.requests[-2:] == [
        ("tasks.get_all", "2.9", {"id": ["x"]}),
        ("events.add_batch", "2.13", [{"type": "log"}, {"type": "plot"}]),
    ]


def test_a_home_that_cannot_be_written_now_is_worth_another_try(
    server: RunningServer, call: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "BUSY_SECONDS", 0.2)
    server.restart()  # with that patience
    with closing(connections.connect(server.home / "index.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        answer = call("v2.13/tasks.create", {"name": "a task", "type": "training"})
        assert answer.code == (503, 0)
        assert "another process" in answer.json["meta"]["result_msg"]
        assert call("v2.13/tasks.get_all", {}).code == (200, 0)
        other.execute("ROLLBACK")
    assert call("v2.13/tasks.create", {"name": "a task", "type": "training"}).code == (200, 0)
