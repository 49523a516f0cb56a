"""The file server over HTTP: what is stored where, what is sent, what is refused."""

from __future__ import annotations

import gc
import json
import logging
import os
import socket
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atrains._local.app import addresses
from atrains.testing import RunningServer

Calls = Callable[..., Any]
KIND = "multipart/form-data; boundary=B"


def form(*parts: tuple[str, bytes]) -> bytes:
    whole = b""
    for name, content in parts:
        whole += b'--B\r\nContent-Disposition: form-data; name="%b"; filename="any"\r\n\r\n%b\r\n' % (name.encode(), content)
    return whole + b"--B--\r\n"


@pytest.fixture
def upload(call: Calls) -> Calls:
    return lambda *parts: call("", form(*parts), "POST", Content_Type=KIND)


@pytest.fixture
def task(call: Calls) -> str:
    return str(call("v2.13/tasks.create", {"name": "a task", "type": "training"}).data["id"])


def test_a_file_travels_with_its_task(server: RunningServer, call: Calls, upload: Calls, task: str) -> None:
    name = f"project/sub/a task.{task}/artifacts/ä b/x.bin"
    answer = upload((name, b"content"))
    assert (answer.status, answer.json, answer.headers.get_content_type()) == (200, [name], "text/html")
    assert (server.home / "tasks" / task / "files" / name).read_bytes() == b"content"
    assert call(quote(name)).text == b"content"
    # Recorded relative to the home, shown at the address that the client knows.
    url = f"{server.url}/{quote(name)}"
    call("v2.13/tasks.add_or_update_artifacts", {"task": task, "force": True, "artifacts": [{"key": "x", "type": "custom", "uri": url}]})
    stored = json.loads((server.home / "tasks" / task / "task.json").read_bytes())
    assert stored["execution"]["artifacts"][0]["uri"] == f"home://tasks/{task}/files/{name}"
    shown = call("v2.13/tasks.get_by_id", {"task": task}).data["task"]["execution"]["artifacts"][0]["uri"]
    assert shown == url
    other = call("v2.13/tasks.get_by_id", {"task": task}, Host="other:1").data["task"]["execution"]["artifacts"][0]["uri"]
    assert other == url.replace(server.url, "http://other:1")


def test_behind_a_proxy_files_are_at_the_address_that_clients_know(server: RunningServer, ask: Calls, token: str, task: str) -> None:
    assert server._options is not None
    address, headers = server.url, {"Authorization": f"Bearer {token}"}
    server._options = replace(server._options, url="https://tracker.example")
    server.restart()
    assert server.environment["CLEARML_FILES_HOST"] == "https://tracker.example"
    name = f"p/n.{task}/x"
    for url in (f"https://tracker.example/{name}", f"{address}/{name}"):
        body = {"task": task, "artifacts": [{"key": "x", "type": "custom", "uri": url}]}
        ask(f"{address}/tasks.add_or_update_artifacts", json.dumps(body).encode(), "POST", **headers)
        shown = ask(f"{address}/tasks.get_by_id?task={task}", **headers).data["task"]["execution"]["artifacts"][0]["uri"]
        assert shown == f"https://tracker.example/{name}"


def test_what_a_script_recorded_beside_the_server_is_found_over_http(server: RunningServer, call: Calls, task: str) -> None:
    place = server.home / "tasks" / task / "files" / "artifacts" / "a b"
    place.mkdir(parents=True)
    (place / "x.json").write_text("{}")
    uri = f"home://tasks/{task}/files/artifacts/a b/x.json"
    call("tasks.edit", {"task": task, "execution": {"artifacts": [{"key": "x", "type": "JSON", "uri": uri}]}})
    shown = call("tasks.get_by_id", {"task": task}).data["task"]["execution"]["artifacts"][0]["uri"]
    assert shown == f"{server.url}/tasks/{task}/files/artifacts/a%20b/x.json"
    assert call(shown.removeprefix(f"{server.url}/")).text == b"{}"


def test_files_of_no_task_and_several_in_one_form(server: RunningServer, call: Calls, upload: Calls) -> None:
    names = ["pro ject/a%2Fb/x", f"p/n.{'0' * 32}/x", "top"]
    assert upload(*[(f"/{name}", name.encode()) for name in names]).json == names
    for name in names:
        assert (server.home / "files" / name).read_bytes() == name.encode()
        assert call(quote(name)).text == name.encode()
    assert upload(("top", b"anew")).status == 200
    assert call("top").text == b"anew"
    assert not list(server.home.rglob(".upload-*"))


def test_parts_that_are_no_files_and_forms_that_are_none(call: Calls, upload: Calls) -> None:
    plain = b'--B\r\nContent-Disposition: form-data; name="a/b"\r\n\r\ncontent\r\n--B--\r\n'
    assert call("", plain, "POST", Content_Type=KIND).json == []
    assert call("", b"content", "POST", Content_Type="text/plain").status == 400
    assert upload(("a\x00b", b"content")).status == 400
    assert call("", plain.replace(b'"a/b"', b'"a/\xff"; filename="f"'), "POST", Content_Type=KIND).status == 404
    assert upload(("a/b", b"content")).status == 200
    assert [upload((name, b"content")).status for name in ("a", "a/b/c")] == [404, 400]
    assert call("", b"--B\r\nContent-Dispo", "POST", Content_Type=KIND).status == 400
    assert call("a/b", b"x", "PUT").status == 405


@pytest.mark.parametrize("name", ["../x", "a/../../x", "a/./x", "..", "a//x", "a\\..\\x", "x" * 300, "/" * 5, "a/" * 70 + "x"])
def test_no_path_leads_out(server: RunningServer, call: Calls, upload: Calls, name: str) -> None:
    before = sorted(server.home.parent.rglob("*"))
    assert upload((name, b"content")).status == 404
    assert [path for path in sorted(server.home.parent.rglob("*")) if path not in before and path.is_file()] == []
    assert _raw(server, call, f"GET /{quote(name)}").startswith(b"HTTP/1.1 404")


def _raw(server: RunningServer, call: Calls, line: str) -> bytes:
    """A request whose path is sent as it stands: other clients take the dots out."""
    token = call("auth.login").data["token"]
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), 10) as connection:
        connection.sendall(f"{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        return b"".join(iter(lambda: connection.recv(65_536), b""))


def test_what_is_not_a_file_of_a_run_is_not_to_be_had(server: RunningServer, call: Calls, task: str) -> None:
    for path in (
        "server.json",
        "index.db",
        f"tasks/{task}/task.json",
        f"tasks/{task}/files/../task.json",
        f"tasks/{task}/files/%2e%2e/task.json",
    ):
        assert _raw(server, call, f"GET /{path}").startswith(b"HTTP/1.1 404"), path


def test_links_are_not_followed(server: RunningServer, call: Calls, upload: Calls, tmp_path: Path) -> None:
    upload(("a/real", b"content"))
    (tmp_path / "secret").write_text("secret")
    (server.home / "files" / "a" / "link").symlink_to(tmp_path / "secret")
    (server.home / "files" / "b").symlink_to(tmp_path)
    assert call("a/link").status == 404
    assert call("b/secret").status == 404
    assert upload(("b/new", b"content")).status == 404
    assert not (tmp_path / "new").exists()
    assert call("a/link", method="DELETE").status == 404


def test_parts_of_a_file_tags_and_heads(call: Calls, upload: Calls) -> None:
    upload(("a/x.txt", bytes(range(100))), ("a/x.txt.gz", b"compressed"))
    whole = call("a/x.txt", Accept_Encoding="gzip")
    assert whole.text == bytes(range(100))  # and not the other file as its compressed form
    assert call("a/x.txt.gz", Accept_Encoding="gzip").headers["Content-Encoding"] is None
    assert call("a/x.txt.gz").headers.get_content_type() == "application/octet-stream"
    part = call("a/x.txt", Range="bytes=10-19")
    assert (part.status, part.text) == (206, bytes(range(10, 20)))
    assert call("a/x.txt", Range="bytes=200-").status == 416
    assert call("a/x.txt", If_None_Match=whole.headers["ETag"]).status == 304
    head = call("a/x.txt", method="HEAD")
    assert (head.status, head.text, head.headers["Content-Length"]) == (200, b"", "100")
    assert call("a/x.txt?download").headers["Content-Disposition"] == "attachment"
    assert "sandbox" in whole.headers["Content-Security-Policy"]
    assert call("a").status == 404


def test_deletion(call: Calls, upload: Calls) -> None:
    upload(*[(f"a/{name}", b"x") for name in "pqr"])
    assert call("a/p", method="DELETE").status == 200
    assert call("a/p", method="DELETE").status == 404
    assert call("a", method="DELETE").status == 404
    many = call("delete_many", {"files": ["a/q", "/a/r", "a/s"]}, "POST").json
    assert (sorted(many["deleted"]), list(many["errors"]["Not found"])) == (["/a/r", "a/q"], ["a/s"])
    assert call("delete_many", {"files": "a"}, "POST").status == 400


def test_a_token_is_needed(server: RunningServer, ask: Calls, upload: Calls, token: str) -> None:
    upload(("a/x", b"content"))
    for method in ("GET", "DELETE"):
        assert ask(f"{server.url}/a/x", method=method).status == 401
        assert ask(f"{server.url}/a/x", method=method, Authorization="Basic eDp5").status == 401
    assert ask(f"{server.url}/", form(("a/y", b"")), "POST", Content_Type=KIND).status == 401
    assert ask(f"{server.url}/a/x", Cookie=f"clearml_token_basic={token}").text == b"content"
    assert ask(f"{server.url}/a/x", method="GET", Content_Encoding="gzip", Authorization=f"Bearer {token}").status == 415


def test_a_broken_upload_leaves_nothing(server: RunningServer, call: Calls, upload: Calls, token: str) -> None:
    upload(("a/x", b"old"))
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), 10) as connection:
        head = f"POST / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: {KIND}\r\nContent-Length: 5000000\r\n\r\n"
        connection.sendall(head.encode() + form(("a/x", b"n" * 2_000_000))[:1_000_000])
    server.stop()  # waits until what was under way has ended
    server.start()
    assert call("a/x").text == b"old"
    assert os.listdir(server.home / "files" / "a") == ["x"]


def test_a_large_file_passes_through_in_flat_memory(server: RunningServer, token: str) -> None:
    import resource

    size, piece = 200 << 20, bytes(1 << 20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), 60) as connection:
        first, last = form(("a/large", b"")).split(b"\r\n\r\n")
        length = len(first) + 4 + size + len(last)
        head = f"POST / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: {KIND}\r\nContent-Length: {length}\r\n\r\n"
        connection.sendall(head.encode() + first + b"\r\n\r\n")
        for _ in range(size >> 20):
            connection.sendall(piece)
        connection.sendall(last)
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
    assert (server.home / "files" / "a" / "large").stat().st_size == size
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10


def test_who_connects_while_the_server_ends_is_closed_too(server: RunningServer) -> None:
    address = urlsplit(server.url)
    for _ in range(5):
        with socket.create_connection((address.hostname, address.port), 60):
            server.stop()
        gc.collect()  # a connection that nobody closed is a warning, and that an error
        server.start()


def test_what_is_no_request_is_refused_and_not_logged(server: RunningServer, caplog: pytest.LogCaptureFixture) -> None:
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), 60) as connection, connection.makefile("rb") as answers:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
        assert answers.readline().startswith(b"HTTP/1.1 ")
        connection.sendall(b"Cookie: a secret\r\n\r\n")
        assert b" 400 Bad Request\r\n" in answers.read()
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_two_who_upload_the_same_file_leave_one_of_both(server: RunningServer, call: Calls, upload: Calls) -> None:
    contents = [bytes([number]) * 3_000_000 for number in range(4)]
    threads = [threading.Thread(target=upload, args=[("a/x", content)]) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert call("a/x").text in contents
    assert os.listdir(server.home / "files" / "a") == ["x"]


@given(st.lists(st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=8), min_size=1, max_size=4))
def test_addresses_go_there_and_back(parts: list[str]) -> None:
    path = addresses.check_path("/".join(["p", f"n.{'a' * 32}", *parts]))
    if path is None:
        return
    assert ".." not in path.split("/")
    url = f"http://h:1/{quote(path)}"
    recorded = addresses.to_home(url, bases=["http://h:1"], is_task={"a" * 32}.__contains__)
    assert recorded == f"home://tasks/{'a' * 32}/files/{path}"
    assert addresses.to_client(recorded, "http://h:1") == url
    assert addresses.to_home(url, bases=["http://h:2"], is_task={"a" * 32}.__contains__) == url


@pytest.mark.parametrize(
    ("path", "task"),
    [
        ("project/a run.my-id/artifacts/weights.v2/weights.v2.bin", "my-id"),
        (f"project/a run.{'a' * 32}/artifacts/weights.v2/weights.v2.bin", "a" * 32),
        ("project.v1/a run.my-id/models/weights", "my-id"),
        ("project.v1/data/x", None),
        ("project/release.2/models/x", None),
    ],
)
def test_a_folder_is_that_of_a_task_if_there_is_one_of_its_id(path: str, task: str | None) -> None:
    found = addresses.to_home(f"http://h:1/{path}", bases=["http://h:1"], is_task={"my-id", "a" * 32}.__contains__)
    assert found == (f"http://h:1/{path}" if task is None else f"home://tasks/{task}/files/{path}")
