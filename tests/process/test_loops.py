"""Many event loops in one process, which begin and end all the time, and share the way to a home: what waits on one goes on on another."""

from __future__ import annotations

import json
from typing import Any

import pytest

LOOPS = """
import asyncio, json, random, sys, threading, time
from collections import Counter
from atrains import AsyncTask, Task

end, rounds, errors = time.monotonic() + 4, Counter(), Counter()
is_cancelled = sys.argv[1] == "cancelled"

async def one(name):
    task = await AsyncTask.create("project", name)
    task.get_logger().report_scalar("title", "series", value=1, iteration=1)
    await asyncio.gather(*(task.upload_artifact(f"object {n}", {"n": n}, wait_on_upload=n % 2 == 0) for n in range(4)))
    await task.close()

async def several():
    tasks = [asyncio.create_task(one("of a loop")) for _ in range(2)]
    if is_cancelled:
        await asyncio.sleep(random.random() * 0.05)
        for task in tasks:
            task.cancel()
        return  # and the loop, which ends, cancels them once more
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if outcome is not None:
            errors[repr(outcome)] += 1

def loop():
    asyncio.run(several())

def blocking():
    task = Task.create("project", "blocking")
    task.upload_artifact("object", {"n": 1}, wait_on_upload=True)
    task.close()

def again_and_again(call):
    while time.monotonic() < end:
        try:
            call()
        except BaseException as error:
            errors[repr(error)] += 1
        rounds[call.__name__] += 1

threads = [threading.Thread(target=again_and_again, args=(call,), daemon=True) for call in (loop, loop, blocking)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join(max(0, end + 20 - time.monotonic()))
print(json.dumps({"rounds": rounds, "errors": errors, "hang": sum(thread.is_alive() for thread in threads)}), flush=True)
"""


@pytest.mark.parametrize("manner", ["ended", "cancelled"])
def test_loops_that_begin_and_end_disturb_no_other(user: Any, manner: str) -> None:
    done = user.run(LOOPS, manner, PYTHONWARNINGS="default")
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found["hang"], found["errors"]) == (0, {}), done.stderr
    assert min(found["rounds"].values()) > 3
    assert "could not be stored" not in done.stderr, done.stderr
    assert "Traceback" not in done.stderr, done.stderr


ENDING = """
import asyncio, json, threading, time
from collections import Counter
from atrains import AsyncTask, Task

found, end = Counter(), time.monotonic() + 3

def call(task, over):
    while not over.is_set():
        try:
            task.get_status()
            found["answered"] += 1
        except BaseException as error:
            found[type(error).__name__] += 1

while time.monotonic() < end:
    over = threading.Event()

    async def open_one():
        task = await AsyncTask.create("project", "of a loop")
        thread = threading.Thread(target=call, args=(Task._of(task), over), daemon=True)
        thread.start()
        await asyncio.sleep(0.01)
        return thread

    thread = asyncio.run(open_one())
    time.sleep(0.01)
    over.set()
    thread.join(5)
    found["hanging"] += thread.is_alive()
print(json.dumps(found), flush=True)
"""


def test_a_blocking_call_does_not_wait_for_a_loop_that_has_ended(user: Any) -> None:
    done = user.run(ENDING, PYTHONWARNINGS="default")
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["hanging"] == 0, done.stderr
    assert found.keys() <= {"answered", "hanging", "UsageError"}, found
