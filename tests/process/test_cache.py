"""The cache of fetched files under real processes: many at once, killed ones, the end of a program."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import ClassVar

import pytest

from tests.conftest import User, finish
from tests.web_server import serving

FILES = 60
SIZE = 200_000
LIMIT = 2


def content(name: str, size: int = SIZE) -> bytes:
    """What the server has under a name."""
    block = hashlib.sha256(name.encode()).digest()
    return (block * (size // len(block) + 1))[:size]


class Web(BaseHTTPRequestHandler):
    """A web server that knows versions and ranges, and sends `/slow...` in pieces."""

    protocol_version = "HTTP/1.1"
    asked: ClassVar[list[tuple[str, str | None]]] = []
    pause: ClassVar[float] = 0.0

    def do_GET(self) -> None:
        given = self.headers.get("Range")
        self.asked.append((self.path, given))
        whole = content(self.path, 8_000_000 if self.path.startswith("/slow") else SIZE)
        begins = int(given[6:-1]) if given and self.headers.get("If-Range") == '"v1"' else 0
        self.send_response(206 if begins else 200)
        self.send_header("ETag", '"v1"')
        self.send_header("Content-Length", str(len(whole) - begins))
        if begins:
            self.send_header("Content-Range", f"bytes {begins}-{len(whole) - 1}/{len(whole)}")
        self.end_headers()
        with suppress(BrokenPipeError, ConnectionResetError):
            for at in range(begins, len(whole), 100_000):
                self.wfile.write(whole[at : at + 100_000])
                if self.path.startswith("/slow"):
                    time.sleep(self.pause)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web() -> Iterator[str]:
    Web.asked, Web.pause = [], 0.0
    with serving(Web) as url:
        yield url


FETCHER = f"""
import hashlib, json, os, random, sys
from pathlib import Path
from atrains import StorageManager

web, seed, times = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
StorageManager.set_cache_file_limit({LIMIT})
chosen, most = random.Random(seed), 0
for _ in range(times):
    name = f"/f{{chosen.randrange({FILES})}}"
    path = Path(StorageManager.get_local_copy(web + name))
    found = path.read_bytes()  # it is there, whole and the right one, whoever removes others meanwhile
    block = hashlib.sha256(name.encode()).digest()
    assert found == (block * ({SIZE} // len(block) + 1))[:{SIZE}], name
    most = max(most, sum(not entry.startswith(".") for entry in os.listdir(path.parents[2])))
print(json.dumps(most))
"""
SLOW = """
import sys
from atrains import StorageManager

print(StorageManager.get_local_copy(sys.argv[1]), flush=True)
"""


def cached(user: User) -> list[Path]:
    return sorted((user.home / "cache" / "storage_manager").glob("*/*/file/*"))


def test_eight_processes_fetch_and_remove_at_once(user: User, web: str) -> None:
    """Nobody gets a file that is not whole or loses the one that it was just given, and the limit holds."""
    processes = [user.start(FETCHER, web, str(number), "40", name="fetcher.py") for number in range(8)]
    ended = [finish(process) for process in processes]
    assert [done.stderr for done in ended if done.code] == []
    most = [json.loads(done.stdout) for done in ended]
    assert len(Web.asked) > FILES, "files were removed and fetched again"
    # What is in use stays: each process keeps as many as the limit at most, and has one more while it fetches.
    assert max(most) <= 8 * (LIMIT + 1), most
    last = finish(user.start(FETCHER, web, "9", "3", name="fetcher.py"))
    assert last.code == 0, last.stderr
    assert len(cached(user)) <= LIMIT
    left = os.listdir(user.home / "cache" / "storage_manager" / "global")
    assert len(left) == len(cached(user)), "nothing else is left of those that were removed"


def test_processes_that_want_one_file_fetch_it_once(user: User, web: str) -> None:
    Web.pause = 0.005
    processes = [user.start(SLOW, f"{web}/slow", name="slow.py") for _ in range(6)]
    ended = [finish(process) for process in processes]
    assert [done.stderr for done in ended if done.code] == []
    assert len({done.stdout for done in ended}) == 1
    assert Web.asked == [("/slow", None)]


@pytest.mark.parametrize("kills", [3])
def test_a_killed_download_is_taken_up(user: User, web: str, kills: int) -> None:
    """What came before the kill is not fetched again, is never taken for the file, and nobody waits for the dead."""
    Web.pause = 0.02
    for number in range(kills):
        process = user.start(SLOW, f"{web}/slow", name="slow.py")
        wait_for_part(user, at_least=(number + 1) * 1_500_000, process=process)
        process.send_signal(signal.SIGKILL)
        finish(process)
        assert cached(user) == []
    Web.pause = 0.0
    begun = time.monotonic()
    done = finish(user.start(SLOW, f"{web}/slow", name="slow.py"))
    assert done.code == 0, done.stderr
    assert time.monotonic() - begun < 10
    assert Path(done.stdout.strip()).read_bytes() == content("/slow", 8_000_000)
    ranges = [int(given[6:-1]) for _, given in Web.asked[1:] if given]
    assert len(ranges) == kills, Web.asked
    assert ranges == sorted(ranges)
    assert all(begins > 1_000_000 for begins in ranges)


def wait_for_part(user: User, *, at_least: int, process: subprocess.Popen[str]) -> None:
    """Wait until so much of a download has come."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        parts = list((user.home / "cache").rglob(".partial"))
        if parts and parts[0].stat().st_size >= at_least:
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    raise AssertionError("nothing came")


def test_the_end_of_a_program_waits_for_an_upload_that_nobody_awaits(user: User, tmp_path: Path) -> None:
    source = tmp_path / "large"
    source.write_bytes(os.urandom(1 << 20) * 100)
    script = """
import sys
from atrains import StorageManager

StorageManager.upload_file(sys.argv[1], sys.argv[2], wait_for_upload=False)
print("going on", flush=True)
"""
    done = user.run(script, str(source), str(tmp_path / "target" / "file"))
    assert done.code == 0, done.stderr
    assert done.stdout == "going on\n"
    assert (tmp_path / "target" / "file").read_bytes() == source.read_bytes()
    assert not re.findall("Traceback|was not stored", done.stderr)


def test_in_a_forked_child(user: User, web: str) -> None:
    """A child fetches by itself, keeps what it was given, and takes nothing from its parent."""
    script = f"""
import os, sys
from pathlib import Path
from atrains import StorageManager

StorageManager.set_cache_file_limit(1)
first = Path(StorageManager.get_local_copy(sys.argv[1] + "/first"))
child = os.fork()
if child == 0:
    second = Path(StorageManager.get_local_copy(sys.argv[1] + "/second"))
    assert len(second.read_bytes()) == {SIZE}
    assert first.exists(), "it is the last that the parent was given"
    sys.exit(0)
_, status = os.waitpid(child, 0)
third = Path(StorageManager.get_local_copy(sys.argv[1] + "/third"))
print(os.waitstatus_to_exitcode(status), third.exists(), first.exists())
"""
    done = user.run(script, web, PYTHONWARNINGS="ignore")
    assert done.stdout == "0 True False\n", done.stderr


def test_a_switched_off_program(user: User, web: str, tmp_path: Path) -> None:
    """Files of this machine are read, nothing is stored, and what cannot be had says why."""
    (tmp_path / "file").write_text("x")
    script = """
import sys
from atrains import StorageManager
from atrains.errors import UsageError

web, file = sys.argv[1:]
assert StorageManager.get_local_copy(file) == file
assert StorageManager.exists_file(file)
assert StorageManager.upload_file(file, file + ".copy") == file + ".copy"
assert StorageManager.upload_folder(".", file + ".folder") == file + ".folder"
assert StorageManager.delete(file) is False
for call in (lambda: StorageManager.get_local_copy(web + "/f"), lambda: StorageManager.download_file(file, "target")):
    try:
        call()
    except UsageError as error:
        print(error)
"""
    done = user.run(script, web, str(tmp_path / "file"), ATRAINS_MODE="disabled")
    assert done.code == 0, done.stderr
    assert done.stdout.count("atrains is switched off here (ATRAINS_MODE)") == 2
    assert sorted(os.listdir(tmp_path)) == ["file", "user"]
    assert Web.asked == []
