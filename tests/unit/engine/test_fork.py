"""A forked child inherits the parent's journal in memory, and must not touch it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

SCRIPT = """
import json, os, sys, threading, time
from pathlib import Path
from atrains._storage.locks import FolderLock
from atrains._engine.journal import Journal
from atrains._engine.ledger import Ledger
from atrains._engine.reader import JournalReader
from atrains._engine.frame_files import read_frames
from atrains._engine.workers import DaemonExecutor

journal = Journal(Path(sys.argv[1]), target="t", worker="w", workers=DaemonExecutor())
os.register_at_fork(after_in_child=journal.forget_in_child)
series = journal.register_series("task", "t", "s")
stop = threading.Event()
numbers = [0, 0]

def report(thread):
    while not stop.is_set():
        journal.scalars.append(series, thread * 10**9 + numbers[thread], 0.5)
        journal.records.append({"kind": "logs", "task": "task", "event": {"msg": f"{thread} {numbers[thread]}"}})
        numbers[thread] += 1
        if numbers[thread] % 20 == 0:
            time.sleep(0.0005)

threads = [threading.Thread(target=report, args=(number,)) for number in range(2)]
for thread in threads:
    thread.start()

def attempt(call):
    try:
        call()
    except OSError:
        pass  # a child may be refused; what it must not do is to write here

def child():
    parents = journal.folder
    attempt(lambda: journal.scalars.append(series, -1, -1.0))
    attempt(lambda: journal.records.append({"kind": "logs", "task": "task", "event": {"msg": "child"}}))
    attempt(lambda: journal.register_series("task", "t", "child"))
    attempt(lambda: journal.add_job("run", "child", {}))
    journal.close(delivered=True)
    os._exit(0 if (parents / 'journal.json').is_file() else 1)

codes = []
for _ in range(10):
    time.sleep(0.005)
    pid = os.fork()
    if pid == 0:
        child()
    deadline = time.monotonic() + 20
    while (done := os.waitpid(pid, os.WNOHANG))[0] == 0 and time.monotonic() < deadline:
        time.sleep(0.005)
    if done[0] == 0:
        os.kill(pid, 9)
    codes.append(done[1] if done[0] else "hangs")
stop.set()
for thread in threads:
    thread.join()
other = journal.register_series("task", "t", "after")
lock = FolderLock(journal.folder / "lock").acquire()
names = [frame.header["series"] for frame in read_frames(journal.folder / "series")[0]]
jobs = len(read_frames(journal.folder / "jobs")[0])
reader, points, lines = JournalReader(journal, Ledger()), [], []
while blocks := reader.read(large=True):
    for block in blocks:
        if block.span.stream.startswith("scalars"):
            points += block.iterations
        else:
            lines += [event["msg"] for event in block.events]
    reader.advance(blocks)
wanted = {thread * 10**9 + number for thread in (0, 1) for number in range(numbers[thread])}
wanted_lines = {f"{thread} {number}" for thread in (0, 1) for number in range(numbers[thread])}
print(json.dumps({
    "codes": codes,
    "points": len(points) == len(wanted) and set(points) == wanted,
    "lines": len(lines) == len(wanted_lines) and set(lines) == wanted_lines,
    "lock": lock, "names": names, "jobs": jobs, "other": other,
}), flush=True)
os._exit(0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_children_leave_the_parents_journal_alone_and_do_not_hang(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, str(tmp_path)]
    result = subprocess.run(command, capture_output=True, timeout=150, check=False)
    assert result.returncode == 0, result.stderr.decode()
    assert orjson.loads(result.stdout) == {
        "codes": [0] * 10,
        "points": True,
        "lines": True,
        "lock": False,
        "names": ["s", "after"],
        "jobs": 0,
        "other": 2,
    }
