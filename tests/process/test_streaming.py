"""Millions of points, read piece by piece: memory stays flat, and a loop that is left early leaves nothing open."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from tests.conftest import User

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="cannot tell what a process holds")

POINTS: Final = 3_000_000
MOST: Final = 24 << 20
"""Bytes that reading may take: a third of what these points take as columns (69 MiB), whatever their number."""

SCRIPT: Final = """
import json, os, resource, sys
from array import array
from collections import Counter
from atrains import Task

points, part = int(sys.argv[1]), 100_000

def held():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

def open_files():
    names = (f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd"))
    return sum(os.readlink(name).endswith("events/scalars") for name in names if os.path.exists(name))

task = Task.init("project", "many points")
values = array("d", range(part))
for begin in range(0, points, part):
    task.get_logger().report_scalars("loss", "train", values=values, iterations=range(begin, begin + part))
for step in range(10_000):
    task.get_logger().report_scalar("accuracy", f"part {step % 10}", step, step)
assert task.flush(timeout=60)

for chunk in task.iter_reported_scalars():  # whatever is imported and started once
    inside = open_files()
    break
after = open_files()
before, largest, expected, count = held(), 0, 0, 0
for chunk in task.iter_reported_scalars("loss"):
    assert chunk.iterations[0] == expected and chunk.iterations[-1] == expected + len(chunk) - 1
    expected += len(chunk)
    largest = max(largest, held())
rest = Counter()
for chunk in task.iter_reported_scalars("accuracy"):
    rest[chunk.series] += len(chunk)
print(json.dumps({"points": expected, "rest": rest, "growth": largest - before, "inside": inside, "after": after, "end": open_files()}))
"""


def test_memory_is_flat_and_files_are_closed(user: User) -> None:
    finished = user.run(SCRIPT, str(POINTS))
    assert finished.code == 0, finished.stderr
    found = json.loads(finished.stdout)
    assert found["points"] == POINTS
    assert found["rest"] == {f"part {number}": 1000 for number in range(10)}
    assert found["growth"] < MOST, f"{found['growth'] / 2**20:.0f} MiB"
    assert (found["inside"], found["after"], found["end"]) == (1, 0, 0)
