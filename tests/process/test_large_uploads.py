"""A file that is larger than the memory of many machines is uploaded in pieces: memory stays flat, and it is copied nowhere.

`ATRAINS_SOAK=1` makes 256 MiB the 5 GiB that are promised.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from tests.conftest import User

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="cannot tell how much memory a process has")

MIB: Final = 1 << 20
SOAK: Final = os.environ.get("ATRAINS_SOAK") == "1"
SIZE: Final = 5 * 1024 * MIB if SOAK else 256 * MIB
SECONDS: Final = 600 if SOAK else 60
SINK: Final = Path(__file__).parents[1] / "bench" / "sink.py"

UPLOAD = """
import json, os, pathlib, sys, tempfile, threading
from atrains import Task

size, places = int(sys.argv[1]), [pathlib.Path(os.environ["ATRAINS_HOME"]), pathlib.Path(tempfile.gettempdir())]

def resident():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) * 1024

def written():
    total = 0
    for path in (path for place in places for path in place.rglob("*")):
        try:
            total += path.stat().st_blocks * 512
        except OSError:
            pass
    return total

def watch():
    while not over.wait(0.02):
        highest[0] = max(highest[0], resident())
        most[0] = max(most[0], written())

with open("large.bin", "wb") as file:
    file.truncate(size)
task = Task.init("project", "large uploads", reuse_last_task_id=False)
pathlib.Path("small.bin").write_bytes(bytes(5_000_000))
assert task.upload_artifact("small", "small.bin")
assert task.flush(wait_for_uploads=True)
begin, before = resident(), written()
over, highest, most = threading.Event(), [begin], [before]
watcher = threading.Thread(target=watch)
watcher.start()
assert task.upload_artifact("large", "large.bin")
receipt = task.flush(wait_for_uploads=True, timeout=float(sys.argv[2]))
over.set()
watcher.join()
assert receipt, receipt
artifact = task.artifacts["large"]
print(json.dumps([artifact.size, artifact.hash, highest[0] - begin, most[0] - before]))
task.close()
"""


@pytest.fixture
def sink(user: User, tmp_path: Path) -> Iterator[User]:
    """A user of a server that keeps nothing of what it is sent."""
    with subprocess.Popen([sys.executable, str(SINK)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdin is not None
        url = json.loads(server.stdout.readline())["url"]
        hosts = {f"ATRAINS_{kind}_HOST": url for kind in ("API", "WEB", "FILES")}
        (tmp_path / "tmp").mkdir()
        others = {
            "ATRAINS_API_ACCESS_KEY": "key",
            "ATRAINS_API_SECRET_KEY": "secret",
            "ATRAINS_CAPTURE": "no",
            "TMPDIR": str(tmp_path / "tmp"),
        }
        try:
            yield replace(user, variables={**hosts, **others})
        finally:
            server.stdin.close()
            server.wait(10)


def test_a_large_file_is_uploaded_with_flat_memory_and_without_a_copy(sink: User) -> None:
    with sink.start(UPLOAD, str(SIZE), str(SECONDS)) as process:
        try:
            stdout, stderr = process.communicate(timeout=SECONDS + 60)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert process.returncode == 0, stderr
    size, digest, growth, written = json.loads(stdout.splitlines()[-1])
    expected = hashlib.sha256()
    for _ in range(SIZE // MIB):
        expected.update(bytes(MIB))
    assert (size, digest) == (SIZE, expected.hexdigest())
    assert growth < 32 * MIB
    assert written < 8 * MIB  # the journal; nothing of the file
