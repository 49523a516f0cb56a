"""Images through kills, outages and forks: each whose call had returned is there in the end, once, with its own file behind its URL."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from atrains._local.services.images import images_of
from atrains._local.store import open_home
from tests.conftest import finish
from tests.fault_proxy import FaultProxy

if TYPE_CHECKING:
    from atrains.testing import RunningServer
    from tests.conftest import User

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL, no fork")

KILLS = 40 if os.environ.get("ATRAINS_SOAK") == "1" else 4

REPORT = """
import io, sys
from atrains import Task

task = Task.init("kills", "images", reuse_last_task_id=False, auto_connect_streams=False, auto_resource_monitoring=False)
print(task.id, flush=True)
log = task.get_logger()
for number in range(100_000):
    log.report_media("media", "s", number, stream=io.BytesIO(number.to_bytes(4, "big") * 1000), file_extension="bin", max_history=-1)
    print(number, flush=True)
"""
SYNC = """
import sys
from atrains.cli import main
sys.exit(main(["sync"]))
"""


def stored(home: Path, task: str) -> list[tuple[str, int, int]]:
    """Title, iteration and the number in the file of every image event of a task, as its home has them."""
    store = open_home(home)
    try:
        events = images_of(store, task)
    finally:
        store.close()
    found = []
    for event in events:
        content = (home / event["url"].removeprefix("home://")).read_bytes()
        assert content == content[:4] * 1000, "half a file"
        found.append((event["metric"], event["iter"], int.from_bytes(content[:4], "big")))
    return found


@pytest.fixture(params=["local", "server"])
def place(request: pytest.FixtureRequest, user: User) -> tuple[User, Path]:
    """A user, and the home that his runs end in."""
    if request.param == "local":
        return user, user.home
    server: RunningServer = request.getfixturevalue("atrains_server")
    return replace(user, variables=server.environment), Path(server.home)


@pytest.mark.timeout(600)
def test_a_kill_loses_no_image_whose_call_had_returned(place: tuple[User, Path]) -> None:
    user, home = place
    seed = random.randrange(1 << 32)
    print("seed", seed)  # noqa: T201  # shown when it fails
    chance = random.Random(seed)
    for _ in range(KILLS):
        process = user.start(REPORT)
        with process:
            assert process.stdout is not None
            task = process.stdout.readline().strip()
            time.sleep(chance.uniform(0.05, 0.4))
            process.send_signal(signal.SIGKILL)
            said = process.stdout.read().split()
        done = user.run(SYNC, name="sync.py")
        assert done.code == 0, done.stderr
        found = Counter(stored(home, task))
        returned = int(said[-1]) + 1 if said else 0
        assert set(found) >= {("media", number, number) for number in range(returned)}
        assert len(found) <= returned + 1, "what was never reported"
        assert set(found.values()) <= {1}, "an image is there twice"


AWAY = """
import io, json, sys
from atrains import Task

task = Task.init("faults", "images", auto_connect_streams=False, auto_resource_monitoring=False)
log = task.get_logger()
print("open", flush=True)
sys.stdin.readline()
for number in range(40):
    content = number.to_bytes(4, "big") * 1000
    log.report_media("all", "s", number, stream=io.BytesIO(content), file_extension="bin", max_history=-1)
    log.report_media("last", "s", number, stream=io.BytesIO(content), file_extension="bin", max_history=5)
receipt = task.flush(timeout=1)
waiting = len(list(task.stats().journal.glob("upload-*")))
print(json.dumps([bool(receipt), receipt.images.reported, receipt.images.pending, waiting]), flush=True)
sys.stdin.readline()
if len(sys.argv) > 1:
    import os
    os._exit(0)
receipt = task.flush(timeout=60)
samples = [[sample["iter"] for sample in task.get_debug_samples(title, "s")] for title in ("all", "last")]
print(json.dumps([task.id, bool(receipt), receipt.images.acknowledged, receipt.images.pending, samples]))
"""


@pytest.fixture
def proxy(atrains_server: RunningServer) -> Iterator[FaultProxy]:
    with FaultProxy(int(atrains_server.url.rpartition(":")[2])) as made:
        yield made


@pytest.mark.timeout(300)
@pytest.mark.parametrize("dies", [False, True])
def test_images_that_were_reported_while_the_server_was_away_arrive_after_its_return(
    user: User, atrains_server: RunningServer, proxy: FaultProxy, dies: bool
) -> None:
    variables = {name: value.replace(atrains_server.url, proxy.url) for name, value in atrains_server.environment.items()}
    there = replace(user, variables=variables)
    process = there.start(AWAY, *(["dies"] if dies else []))
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == "open\n"
    proxy.refuse()
    process.stdin.write("\n")
    process.stdin.flush()
    *ledger, waiting = json.loads(process.stdout.readline())
    assert ledger == [False, 80, 80]
    assert 45 <= waiting <= 45 + 8  # of the 40 that share five file names the latest files, and those that are being tried
    if not dies:
        proxy.listen()
    process.stdin.write("\n")
    process.stdin.flush()
    if dies:
        finish(process)
        proxy.listen()
        synced = there.run(SYNC, name="sync.py")
        assert synced.code == 0, synced.stderr
        (folder,) = (Path(atrains_server.home) / "tasks").iterdir()
        task = folder.name
    else:
        done = finish(process)
        assert done.code == 0, done.stderr
        task, ok, acknowledged, pending, samples = json.loads(done.stdout.splitlines()[-1])
        assert (ok, acknowledged, pending) == (True, 80, 0)
        assert samples == [list(range(39, -1, -1)), [39, 38, 37, 36, 35]]
    found = stored(Path(atrains_server.home), task)
    # Each event is there; of those that share a file the latest one's content.
    expected: list[tuple[str, int, int]] = [("all", number, number) for number in range(40)]
    assert sorted(found) == sorted([*expected, *(("last", number, 35 + number % 5) for number in range(40))])


FORK = """
import io, os, warnings
from atrains import Task

warnings.simplefilter("ignore", DeprecationWarning)
task = Task.init("forks", "images", auto_connect_streams=False, auto_resource_monitoring=False)
print(task.id, flush=True)
log = task.get_logger()

def report(who):
    for number in range(5):
        step = who * 100 + number
        log.report_media("media", "s", step, stream=io.BytesIO(step.to_bytes(4, "big") * 1000), file_extension="bin")

report(0)
children = []
for who in (1, 2):
    child = os.fork()
    if not child:
        report(who)
        os._exit(0)
    children.append(child)
report(3)
for child in children:
    assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.timeout(120)
def test_the_files_of_forked_processes_do_not_collide(place: tuple[User, Path]) -> None:
    user, home = place
    done = user.run(FORK, PYTHONWARNINGS="default")
    assert done.code == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    found: Any = sorted(stored(home, done.stdout.strip()))
    assert found == [("media", step, step) for step in (*range(5), *range(100, 105), *range(200, 205), *range(300, 305))]
