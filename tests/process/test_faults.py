"""A network that breaks, a server that goes and comes back: nothing of it is felt in the program, and everything reported arrives.

`ATRAINS_SOAK=1` makes the runs of seconds runs of minutes.
"""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from atrains._local.store import open_home
from atrains._local.streams import read_records
from atrains._wire.events import EventKind
from atrains.testing import RunningServer
from tests.conftest import Finished, User, finish
from tests.fault_proxy import ANSWERS, RESETS, FaultProxy, Request, refused_port, silent_port

SOAK = os.environ.get("ATRAINS_SOAK") == "1"
SECONDS = 60.0 if SOAK else 5.0

REPORT = """
import json, sys, threading, time
from atrains import Task

seconds, flush = float(sys.argv[1]), float(sys.argv[2])
before = time.perf_counter()
task = Task.init("faults", "a run", auto_connect_streams=False, auto_resource_monitoring=False)
opened = time.perf_counter() - before
task.connect({"rate": 0.5})
logger = task.get_logger()
counts, longest = [], []


def report(thread):
    points, rounds, worst, end = 0, 0, 0.0, time.monotonic() + seconds
    while time.monotonic() < end:
        for _ in range(50):
            before = time.perf_counter()
            logger.report_scalar("points", str(thread), points / 2, points)
            worst = max(worst, time.perf_counter() - before)
            points += 1
        logger.report_scalars("arrays", str(thread), values=[0.5] * 10, iterations=range(rounds * 10, rounds * 10 + 10))
        logger.report_text(f"{thread} {rounds}", print_console=False)
        rounds += 1
        if rounds % 5 == 0:
            logger.flush()  # many small requests
        time.sleep(0.01)
    counts.append([thread, points, rounds])
    longest.append(worst)


threads = [threading.Thread(target=report, args=(number,)) for number in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
if len(sys.argv) > 3:
    print("reported", flush=True)
    sys.stdin.readline()
receipt = task.flush(timeout=flush)
ledger = [[kind.acknowledged, kind.pending, dict(kind.dropped)] for kind in (receipt.scalars, receipt.logs)]
print(json.dumps({"task": task.id, "opened": opened, "counts": counts, "longest": max(longest), "ledger": ledger, "ok": bool(receipt)}))
"""


@pytest.fixture
def proxy(atrains_server: RunningServer) -> Iterator[FaultProxy]:
    with FaultProxy(int(atrains_server.url.rpartition(":")[2])) as made:
        yield made


def through(user: User, server: RunningServer, url: str) -> User:
    """A user who reaches a server at another address."""
    return replace(user, variables={name: value.replace(server.url, url) for name, value in server.environment.items()})


def check(server: RunningServer, said: dict[str, Any], *, status: str = "completed") -> None:
    """Compare what a program reported with what its server stored."""
    store = open_home(server.home)
    try:
        points: dict[tuple[str, str], set[int]] = {}
        for block in store.read_scalars(said["task"]):
            for number, iteration in zip(block.series or [0] * len(block), block.iterations, strict=True):
                points.setdefault(block.names[number], set()).add(iteration)
        lines = Counter(line["msg"] for line in read_records(store.task_folder(said["task"]), EventKind.LOGS))
        record = store.record(said["task"])
    finally:
        store.close()
    for thread, count, rounds in said["counts"]:
        assert points.pop(("points", str(thread))) == set(range(count))
        assert points.pop(("arrays", str(thread))) == set(range(rounds * 10))
        for number in range(rounds):
            assert lines.pop(f"{thread} {number}") == 1, f"line {number} of thread {thread} is there twice"
    assert not points
    assert not lines
    assert record["status"] == status
    assert record["hyperparams"]["General"]["rate"]["value"] == "0.5"


def balance(said: dict[str, Any]) -> None:
    """The ledger adds up to what the program counted."""
    reported = [sum(points + rounds * 10 for _, points, rounds in said["counts"]), sum(rounds for *_, rounds in said["counts"])]
    assert [acknowledged + pending + sum(dropped.values()) for acknowledged, pending, dropped in said["ledger"]] == reported


def told(finished: Finished) -> dict[str, Any]:
    assert finished.code == 0, finished.stderr
    assert "Traceback" not in finished.stderr, finished.stderr
    said: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    return said


@pytest.mark.timeout(600)
def test_whatever_breaks_on_the_way_everything_arrives_and_no_line_twice(
    user: User, atrains_server: RunningServer, proxy: FaultProxy
) -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)  # noqa: T201  # shown when it fails
    chance = random.Random(seed)
    faults = [*RESETS, *ANSWERS, "401", "stall 1", *(["stall 30"] if SOAK else [])]

    def plan(request: Request) -> str:
        often = 0.5 if request.endpoint == "events.add_batch" else 0.15
        return chance.choice(faults) if chance.random() < often else ""

    proxy.plan = plan
    process = through(user, atrains_server, proxy.url).start(REPORT, str(SECONDS), "120" if SOAK else "60", "wait")
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == "reported\n"
    proxy.plan = lambda _: ""
    process.stdin.write("\n")
    process.stdin.flush()
    said = told(finish(process))
    print(dict(proxy.done), dict(proxy.seen), said["longest"])  # noqa: T201
    assert said["ok"], said
    balance(said)
    check(atrains_server, said)
    assert sum(count for fault, count in proxy.done.items() if fault) >= 5, "hardly anything broke"


@pytest.mark.timeout(600)
def test_a_server_that_restarts_and_one_that_is_away_for_a_while_lose_nothing(
    user: User, atrains_server: RunningServer, proxy: FaultProxy
) -> None:
    process = through(user, atrains_server, proxy.url).start(REPORT, str(2 * SECONDS), "60", "wait")
    try:
        wait_until(lambda: proxy.seen["events.add_batch"] > 0)
        atrains_server.restart()
        proxy.refuse()
        time.sleep(SECONDS / 2)
        before = proxy.seen["events.add_batch"]
        proxy.listen()
        took = wait_until(lambda: proxy.seen["events.add_batch"] > before)
        print(f"delivery resumed {took:.2f} s after the server was back")  # noqa: T201
        assert took < 4  # twice of what is promised: a loaded machine is no reason to fail
    finally:
        finished = finish_after_line(process)
    said = told(finished)
    assert said["ok"], said
    balance(said)
    check(atrains_server, said)


def wait_until(condition: Any, seconds: float = 30) -> float:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds
        time.sleep(0.01)
    return time.monotonic() - began


def finish_after_line(process: subprocess.Popen[str]) -> Finished:
    assert process.stdout is not None
    assert process.stdin is not None
    process.stdout.readline()
    process.stdin.write("\n")
    process.stdin.flush()
    return finish(process)


@pytest.fixture
def full_port() -> Iterator[int]:
    """A port whose machine does not answer: the queue of those who want to connect is full, so that their first packet is dropped."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@pytest.mark.parametrize("manner", ["refused", "unroutable", "accepting and silent", "no such name"])
def test_a_run_begins_and_ends_without_its_server_and_is_delivered_later(
    user: User, atrains_server: RunningServer, manner: str, full_port: int
) -> None:
    with silent_port() as silent:
        away = {
            "refused": f"http://127.0.0.1:{refused_port()}",
            "unroutable": f"http://127.0.0.1:{full_port}",
            "accepting and silent": f"http://127.0.0.1:{silent}",
            "no such name": "http://api.no-such-name.invalid:8008",
        }[manner]
        somewhere = through(user, atrains_server, away)
        began = time.monotonic()
        finished = somewhere.run(REPORT, "0.5", "0.5")
        took = time.monotonic() - began
    said = told(finished)
    print(f"{manner}: init {said['opened']:.2f} s, whole program {took:.1f} s")  # noqa: T201
    assert not said["ok"]
    assert said["opened"] < 5
    assert took < 17  # its budget at the end is 10 s
    balance(said)
    assert "kept" in finished.stderr
    (journal,) = (user.home / "journals").iterdir()
    assert open_home(atrains_server.home).task_folder(said["task"]).exists() is False
    # Its server is found under another address later: what names a target is its address, so the journal is given the new one.
    description = json.loads((journal / "journal.json").read_bytes())
    description["target"] = description["target"].replace(away, atrains_server.url)
    (journal / "journal.json").write_text(json.dumps(description))
    done = subprocess.run(
        [sys.executable, "-m", "atrains", "sync", "--json"],
        env=through(user, atrains_server, atrains_server.url).environment(), capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["left"] == []
    check(atrains_server, said)


def test_a_run_that_began_without_its_server_appears_when_that_is_back(
    user: User, atrains_server: RunningServer, proxy: FaultProxy
) -> None:
    proxy.refuse()
    process = through(user, atrains_server, proxy.url).start(REPORT, "4", "30", "wait")
    time.sleep(2)
    proxy.listen()
    wait_until(lambda: proxy.seen["events.add_batch"] > 0)
    said = told(finish_after_line(process))
    assert said["ok"], said
    check(atrains_server, said)


WRONG = """
import time
from atrains import Task, errors

began = time.perf_counter()
try:
    Task.init("faults", "refused")
except errors.AtrainsError as error:
    print(type(error).__name__, round(time.perf_counter() - began, 2), error)
"""


@pytest.mark.parametrize("wrong", ["secret", "not an API"])
def test_a_server_that_does_not_let_us_in_is_an_error_that_says_what_to_change(
    user: User, atrains_server: RunningServer, wrong: str
) -> None:
    variables = dict(atrains_server.environment)
    secret = "a-secret-that-nobody-may-see"
    if wrong == "secret":
        variables = {name: secret if name.endswith("SECRET_KEY") else value for name, value in variables.items()}
    else:
        variables = {name: value + "/somewhere" if name.endswith("API_HOST") else value for name, value in variables.items()}
    finished = replace(user, variables=variables).run(WRONG)
    assert finished.code == 0, finished.stderr
    kind, seconds, text = finished.stdout.split(" ", 2)
    assert kind == "AccessError", finished.stdout
    assert float(seconds) < 5
    assert "API" in text
    assert secret not in finished.stdout + finished.stderr
    assert not list(Path(user.home).glob("journals/*"))


FORKED = """
import os, signal, sys
from atrains import Task

task = Task.init("faults", "forked", auto_connect_streams=False, auto_resource_monitoring=False)
logger = task.get_logger()
for number in range(10):
    logger.report_text(f"parent {number}", print_console=False)
assert task.flush(timeout=20)
pid = os.fork()
if pid == 0:
    for number in range(2000):
        logger.report_text(f"child {number}", print_console=False)
    assert task.flush(timeout=30)
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
print(task.id, flush=True)
sys.stdin.readline()
for number in range(10, 20):
    logger.report_text(f"parent {number}", print_console=False)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_what_a_child_delivered_does_not_count_as_delivered_by_its_killed_parent(
    user: User, atrains_server: RunningServer, proxy: FaultProxy
) -> None:
    somebody = through(user, atrains_server, proxy.url)
    process = somebody.start(FORKED)
    assert process.stdout is not None
    assert process.stdin is not None
    task = process.stdout.readline().strip()
    assert task, finish(process)
    proxy.refuse()
    process.stdin.write("\n")
    process.stdin.flush()
    finish(process)
    proxy.listen()
    done = subprocess.run(
        [sys.executable, "-m", "atrains", "sync"], env=somebody.environment(), capture_output=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    store = open_home(atrains_server.home)
    try:
        lines = Counter(line["msg"] for line in read_records(store.task_folder(task), EventKind.LOGS))
    finally:
        store.close()
    assert lines == Counter([*(f"parent {number}" for number in range(20)), *(f"child {number}" for number in range(2000))])
