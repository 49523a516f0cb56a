"""SIGKILL in the middle of a burst: every report that had returned is in the folder, for a reader that knows nothing but the format."""

from __future__ import annotations

import mmap
import os
import random
import signal
import struct
import subprocess
import sys
import zlib
from array import array
from pathlib import Path
from typing import Any

import orjson
import pytest

THREADS = 2
KILLS = 10
SCRIPT = """
import mmap, sys, threading
from array import array
from pathlib import Path
from atrains._engine import records
from atrains._engine.journal import Journal
from atrains._engine.workers import DaemonExecutor

records.FILE_BYTES, records.WINDOW_BYTES, records.ONE_WRITE = 100_000, 20_000, 200  # arrays do not fit in a window
threads = int(sys.argv[3])
journal = Journal(Path(sys.argv[1]), target="t", worker="w", workers=DaemonExecutor())
with open(sys.argv[2], "r+b") as file:
    counts = mmap.mmap(file.fileno(), 4096)
def note(place, number):  # not `pack_into`, which writes zeros before the number: a kill in between would count nothing
    counts[place : place + 8] = number.to_bytes(8, "little")

def work(thread):
    append, number = journal.scalars.append, 0
    while True:
        if number % 5000 == 0:
            series = journal.register_series("task", str(thread), str(number // 5000))
        append(series, number, number / 2)
        number += 1
        note(thread * 24, number)
        if number % 50 == 0:
            line = number // 50 - 1
            journal.records.append_printed(("task", "logs"), b'{"kind":"logs","task":"task","event":{"msg":"%d %d"}}' % (thread, line))
            note(thread * 24 + 8, line + 1)
        if number % 500 == 0:
            rows = number // 500 - 1
            header = {"kind": "scalars", "task": "task", "title": str(thread), "series": "array", "time": 1.5, "rows": 10}
            steps = array("q", range(rows * 10, rows * 10 + 10))
            journal.records.append(header, [memoryview(steps), memoryview(array("d", [0.5] * 10))])
            note(thread * 24 + 16, rows + 1)

for thread in range(threads):
    threading.Thread(target=work, args=(thread,)).start()
print("ready", flush=True)
"""


def whole_frames(path: Path) -> list[tuple[dict[str, Any], bytes]]:
    data, position, found = path.read_bytes(), 0, []
    while position + 16 <= len(data):
        magic, header, body, checksum = struct.unpack_from("<4sIII", data, position)
        end = position + 16 + header + body
        if magic != b"ATF1" or end > len(data):
            break
        if zlib.crc32(data[position + 16 : end], zlib.crc32(data[position + 4 : position + 12])) != checksum:
            break  # torn by the kill: nothing can stand behind it
        found.append((orjson.loads(data[position + 16 : position + 16 + header]), data[end - body : end]))
        position = end
    return found


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
@pytest.mark.parametrize("attempt", range(KILLS))
def test_a_kill_loses_nothing_that_was_reported(tmp_path: Path, attempt: int) -> None:
    shared = tmp_path / "counts"
    shared.write_bytes(bytes(4096))
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "journals"), str(shared), str(THREADS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process, shared.open("rb") as file:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        try:
            process.wait(random.Random(os.urandom(8)).uniform(0.001, 0.6))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        counts = mmap.mmap(file.fileno(), 4096, access=mmap.ACCESS_READ)
        reported = [struct.unpack_from("<QQQ", counts, thread * 24) for thread in range(THREADS)]
        counts.close()
    (folder,) = (tmp_path / "journals").iterdir()
    names = {header["id"]: (header["title"], header["series"]) for header, _ in whole_frames(folder / "series")}
    points: list[set[int]] = [set() for _ in range(THREADS)]
    for path in folder.glob("scalars-*"):
        for iteration, time, value, flags, series in struct.iter_unpack("<qddII", path.read_bytes()[: path.stat().st_size // 32 * 32]):
            if series:
                title, name = names[series]
                assert (value, flags, name) == (iteration / 2, 0, str(iteration // 5000)), "a torn slot"
                assert time > 1e9
                points[int(title)].add(iteration)
    lines: list[list[int]] = [[] for _ in range(THREADS)]
    rows: list[list[int]] = [[] for _ in range(THREADS)]
    for path in sorted(folder.glob("records-*")):
        for header, body in whole_frames(path):
            if header["kind"] == "logs":
                thread, line = map(int, header["event"]["msg"].split())
                lines[thread].append(line)
            else:
                rows[int(header["title"])] += array("q", body[:80])
    for thread, (scalars, line_count, array_count) in enumerate(reported):
        assert points[thread] >= set(range(scalars)), "a point is lost that had been reported"
        assert points[thread] <= set(range(scalars + 1)), "a point is there that nobody reported"
        assert lines[thread] == list(range(len(lines[thread])))
        assert len(lines[thread]) - line_count in {0, 1}
        assert rows[thread] == list(range(len(rows[thread])))
        assert len(rows[thread]) // 10 - array_count in {0, 1}
