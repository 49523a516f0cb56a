"""Uploads of real processes: a file server that goes away at each stage, kills, exits, forks. Nothing recorded has nothing behind it."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from atrains.testing import RunningServer
from tests.conftest import User, finish
from tests.fault_proxy import FaultProxy

SIZE = 300_000

UPLOAD = f"""
import os, sys, time
from atrains import Task

task = Task.init("project", "uploads", reuse_last_task_id=False)
print(task.id, flush=True)
for number in range(int(sys.argv[1])):
    with open(f"file {{number}}.bin", "wb") as file:
        file.write(bytes([number]) * {SIZE})
    assert task.upload_artifact(f"file {{number}}", f"file {{number}}.bin")
    assert task.upload_artifact(f"object {{number}}", {{"number": number}})
print("accepted", flush=True)
"""


@pytest.fixture
def files(atrains_server: RunningServer) -> Iterator[FaultProxy]:
    """What stands before the file server, and before nothing else."""
    with FaultProxy(int(atrains_server.url.rpartition(":")[2])) as proxy:
        yield proxy


@pytest.fixture
def remote(user: User, atrains_server: RunningServer, files: FaultProxy) -> User:
    """A user of the server, whose files go through the proxy."""
    return replace(user, variables={**atrains_server.environment, "ATRAINS_FILES_HOST": files.url, "ATRAINS_API_HOST": atrains_server.url})


def api(server: RunningServer, endpoint: str, **request: Any) -> Any:
    from base64 import b64encode

    def post(path: str, body: bytes, authorization: str) -> Any:
        headers = {"Authorization": authorization, "Content-Type": "application/json"}
        with urllib.request.urlopen(urllib.request.Request(f"{server.url}/{path}", body, headers), timeout=30) as answer:
            return json.loads(answer.read())["data"]

    pair = b64encode(f"{server.access_key}:{server.secret_key}".encode()).decode()
    token = post("auth.login", b"{}", f"Basic {pair}")["token"]
    return post(endpoint, json.dumps(request).encode(), f"Bearer {token}"), token


def check_records(server: RunningServer, files: FaultProxy, task: str) -> tuple[dict[str, Any], str]:
    """Every address in the record gives the recorded bytes, or it has none and says why; the entries by name, and the task's status."""
    found, token = api(server, "tasks.get_by_id", task=task)
    entries = {entry["key"]: entry for entry in found["task"]["execution"].get("artifacts", [])}
    for name, entry in entries.items():
        if not entry.get("uri"):
            assert "upload failed" in dict(entry["display_data"]), name
            continue
        url = entry["uri"].replace(files.url, server.url)
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            content = answer.read()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (entry["content_size"], entry["hash"]), name
    return entries, found["task"]["status"]


def sync(user: User) -> Any:
    finished = user.run("import sys; from atrains.cli import main; sys.exit(main(['sync', '--json']))", name="sync.py")
    return json.loads(finished.stdout)


def test_a_script_ends_with_everything_uploaded(remote: User, atrains_server: RunningServer, files: FaultProxy) -> None:
    done = remote.run(UPLOAD, "5")
    assert done.code == 0, done.stderr
    entries, status = check_records(atrains_server, files, done.stdout.split()[0])
    assert (len(entries), status) == (10, "completed")
    assert list((remote.home / "journals").glob("*")) == []


@pytest.mark.parametrize("fault", ["reset before", "reset during", "reset after", "lost answer", "500", "503", "garbage", "half an answer"])
def test_faults_of_the_file_server_cost_nothing(remote: User, atrains_server: RunningServer, files: FaultProxy, fault: str) -> None:
    files.plan = lambda request: fault if request.method == "POST" and request.number % 3 == 1 else ""
    done = remote.run(UPLOAD, "4")
    task = done.stdout.split()[0]
    entries, status = check_records(atrains_server, files, task)
    assert files.done[fault] > 0
    if status != "completed":  # it was left to the next start
        files.plan = lambda _: ""
        assert "not everything was uploaded yet" in done.stderr
        sync(remote)
        entries, status = check_records(atrains_server, files, task)
    failed = [name for name, entry in entries.items() if not entry.get("uri")]
    assert status == "completed"
    assert len(entries) == 8
    assert fault in {"garbage", "half an answer"} or not failed


@pytest.mark.parametrize("how", ["refused", "503"])
def test_a_file_server_that_is_away_at_the_end_is_told_and_the_next_start_finishes_it(
    remote: User, atrains_server: RunningServer, files: FaultProxy, how: str
) -> None:
    if how == "refused":
        files.refuse()
    else:
        files.plan = lambda request: "503" if request.method == "POST" else ""
    done = remote.run(UPLOAD, "1")
    assert done.code == 0, done.stderr
    task = done.stdout.split()[0]
    assert "'file 0'" in done.stderr
    assert "'object 0'" in done.stderr
    assert str(remote.home / "journals") in done.stderr
    assert check_records(atrains_server, files, task) == ({}, "in_progress")
    (remote.directory / "file 0.bin").rename(remote.directory / "moved")
    (remote.directory / "moved").rename(remote.directory / "file 0.bin")
    if how == "refused":
        files.listen()
    files.plan = lambda _: ""
    outcome = sync(remote)
    assert sorted(outcome["uploads"]["stored"]) == ["file 0", "object 0"]
    entries, status = check_records(atrains_server, files, task)
    assert (set(entries), status) == ({"file 0", "object 0"}, "completed")


def test_a_users_file_that_is_gone_at_the_next_start_is_marked(remote: User, atrains_server: RunningServer, files: FaultProxy) -> None:
    files.refuse()
    task = remote.run(UPLOAD, "1").stdout.split()[0]
    (remote.directory / "file 0.bin").unlink()
    files.listen()
    outcome = sync(remote)
    assert outcome["uploads"]["stored"] == ["object 0"]
    assert "cannot be read" in outcome["uploads"]["failed"]["file 0"]
    entries, _ = check_records(atrains_server, files, task)
    assert "uri" not in entries["file 0"]


@pytest.mark.parametrize("after", [0.0, 0.05, 0.1, 0.2, 0.4, 0.8])
def test_a_kill_in_the_middle_of_uploads_loses_none(remote: User, atrains_server: RunningServer, files: FaultProxy, after: float) -> None:
    files.plan = lambda request: "stall 0.05" if request.method == "POST" else ""
    process = remote.start(UPLOAD + "time.sleep(60)", "6")
    assert process.stdout is not None
    task = process.stdout.readline().strip()
    assert process.stdout.readline().strip() == "accepted"
    time.sleep(after)
    process.kill()
    finish(process)
    check_records(atrains_server, files, task)  # at every moment
    files.plan = lambda _: ""
    sync(remote)
    entries, status = check_records(atrains_server, files, task)
    assert set(entries) == {f"{kind} {number}" for number in range(6) for kind in ("file", "object")}
    assert status == "failed"


def test_the_server_stops_in_the_middle_and_comes_back(remote: User, atrains_server: RunningServer, files: FaultProxy) -> None:
    files.plan = lambda request: "stall 0.1" if request.method == "POST" else ""
    process = remote.start(UPLOAD, "10")
    assert process.stdout is not None
    task = process.stdout.readline().strip()
    time.sleep(0.4)
    atrains_server.stop()
    time.sleep(1.0)
    atrains_server.start()
    done = finish(process)
    assert done.code == 0, done.stderr
    sync(remote)
    entries, status = check_records(atrains_server, files, task)
    assert (len(entries), status) == (20, "completed"), done.stderr


def test_a_signal_leaves_what_is_not_uploaded_to_the_next_start(remote: User, atrains_server: RunningServer, files: FaultProxy) -> None:
    files.refuse()
    process = remote.start(UPLOAD + "time.sleep(60)", "1")
    assert process.stdout is not None
    task = process.stdout.readline().strip()
    assert process.stdout.readline().strip() == "accepted"
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    done = finish(process)
    assert time.monotonic() - begun < 9
    assert done.code == -signal.SIGTERM
    assert "'file 0'" in done.stderr
    files.listen()
    sync(remote)
    entries, status = check_records(atrains_server, files, task)
    assert (set(entries), status) == ({"file 0", "object 0"}, "stopped")


FORK = """
import os
from atrains import Task

task = Task.init("project", "forks", reuse_last_task_id=False)
print(task.id, flush=True)
task.upload_artifact("of the parent", {"a": 1})
child = os.fork()
if child == 0:
    assert dict(task.uploads) == {}
    assert task.upload_artifact("of the child", {"a": 2})
    assert task.upload_artifact("waited for", {"a": 3}, wait_on_upload=True) is True
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert task.uploads["of the parent"].wait(30) is True
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_uploads_and_its_parent_takes_over_what_it_leaves(
    remote: User, atrains_server: RunningServer, files: FaultProxy
) -> None:
    done = remote.run(FORK)
    assert done.code == 0, done.stderr
    entries, status = check_records(atrains_server, files, done.stdout.split()[0])
    assert (set(entries), status) == ({"of the parent", "of the child", "waited for"}, "completed")


ASYNC = """
import asyncio
from atrains import Task

async def main():
    task = await Task.ainit("project", "loops")
    print(task.id, flush=True)
    for number in range(20):
        await task.upload_artifact(f"object {number}", {"number": number})

asyncio.run(main())
"""


def test_uploads_of_a_loop_that_ended_are_finished_as_the_process_ends(
    remote: User, atrains_server: RunningServer, files: FaultProxy
) -> None:
    done = remote.run(ASYNC)
    assert done.code == 0, done.stderr
    entries, status = check_records(atrains_server, files, done.stdout.split()[0])
    assert (len(entries), status) == (20, "completed")


OFFLINE = """
from atrains import Task

task = Task.init("project", "offline", reuse_last_task_id=False)
assert task.upload_artifact("object", {"a": 1}) is True
assert task.flush().uploads.pending == ("object",)
"""


def test_a_run_that_begins_while_its_server_is_away_uploads_later(user: User, atrains_server: RunningServer) -> None:
    away = replace(user, variables=atrains_server.environment)
    atrains_server.stop()
    done = away.run(OFFLINE)
    assert done.code == 0, done.stderr
    assert "'object'" in done.stderr
    atrains_server.start()
    outcome = sync(away)
    assert outcome["uploads"]["stored"] == ["object"]
    (found, _) = api(atrains_server, "tasks.get_all", name="offline", only_fields=["execution.artifacts", "status"])
    assert [entry["key"] for entry in found["tasks"][0]["execution"]["artifacts"]] == ["object"]
    assert found["tasks"][0]["status"] == "completed"


def test_the_journal_keeps_objects_and_its_cap_is_for_events(user: User, tmp_path: Path) -> None:
    script = """
from atrains import Task

task = Task.init("project", "large", reuse_last_task_id=False)
task.upload_artifact("large", bytes(3_000_000))
for i in range(2_000):
    task.get_logger().report_scalar("a", "b", i, i)
receipt = task.flush(wait_for_uploads=True)
assert receipt, receipt
"""
    done = user.run(script, ATRAINS_JOURNAL_MAX_BYTES="2000000")
    assert done.code == 0, done.stderr


CALLING_BACK = """
import os, sys, threading, time
from atrains import Task

task = Task.init("project", "functions", reuse_last_task_id=False)
together = threading.Barrier(6)

def call(*_):
    try:
        together.wait(2)  # until there is one in each worker thread, or more
    except threading.BrokenBarrierError:
        pass
    return task.get_status().encode()

def upload(number):
    ways = {"serialization_function": {"serialization_function": call, "extension_name": ".txt"}, "progress": {"progress": call}}
    task.upload_artifact(f"object {number}", {"number": number}, wait_on_upload=True, **ways[sys.argv[1]])

threads = [threading.Thread(target=upload, args=(number,), daemon=True) for number in range(6)]
for thread in threads:
    thread.start()
end = time.monotonic() + 20
for thread in threads:
    thread.join(max(0, end - time.monotonic()))
if any(thread.is_alive() for thread in threads):
    print("they wait for each other", file=sys.stderr, flush=True)
    os._exit(1)
"""


@pytest.mark.parametrize("function", ["serialization_function", "progress"])
def test_functions_of_many_uploads_may_make_calls_at_once(user: User, function: str) -> None:
    """They run in worker threads, and so does what they wait for."""
    done = user.run(CALLING_BACK, function)
    assert done.code == 0, done.stderr
