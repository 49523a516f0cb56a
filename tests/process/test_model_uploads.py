"""SIGKILL while weights are uploaded: what was accepted is the task's model in the end, once, with a file behind its URL."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from atrains.testing import RunningServer
    from tests.conftest import User

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")

KILLS = 40 if os.environ.get("ATRAINS_SOAK") == "1" else 3

UPLOAD = """
import sys
from pathlib import Path
from atrains import Task

names = sys.argv[1]
task = Task.init("kills", "weights", reuse_last_task_id=False, auto_connect_streams=False, auto_resource_monitoring=False)
print(task.id, flush=True)
for number in range(1000):
    path = Path(f"w{number}.bin" if names == "many" else "w.bin")
    fresh = path.with_suffix(".new")
    fresh.write_bytes(number.to_bytes(4, "big") * 200_000)
    fresh.replace(path)
    task.update_output_model_and_upload(path, name="weights", async_enable=names == "many")
    print(number, flush=True)
"""
SYNC = """
import sys
from atrains.cli import main

sys.exit(main(["sync"]))
"""
READ = """
import json, sys
from pathlib import Path
from atrains import Task

task = Task.get_task(sys.argv[1])
found = []
for model in task.get_models()["output"]:
    content = Path(model.get_weights(raise_on_error=True)).read_bytes()
    assert content == content[:4] * 200_000, "half a file"
    found.append([model.id, model.name, int.from_bytes(content[:4], "big")])
print(json.dumps({"models": found, "status": str(task.get_status()), "listed": task.output_model_id}))
"""


def kill_while_uploading(user: User, names: str, seconds: float) -> tuple[str, int]:
    """The task, and the number of the last weights whose call returned."""
    process = user.start(UPLOAD, names, name="upload.py")
    with process:
        assert process.stdout is not None
        task = process.stdout.readline().strip()
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        lines = process.stdout.read().split()
        process.wait(30)
    return task, int(lines[-1]) if lines else -1


def after_recovery(user: User, task: str) -> Any:
    assert (done := user.run(SYNC, name="sync.py")).code == 0, done.stderr
    done = user.run(READ, task, name="read.py")
    assert done.code == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("seed", range(KILLS))
@pytest.mark.parametrize("names", ["one", "many"])
@pytest.mark.parametrize("home", ["local", "served"])
def test_weights_that_were_accepted_are_the_model_once(
    user: User, request: pytest.FixtureRequest, home: str, names: str, seed: int
) -> None:
    if home == "served":
        server: RunningServer = request.getfixturevalue("atrains_server")
        user = replace(user, variables=server.environment)
    chance = random.Random(f"{home} {names} {seed}")
    task, last = kill_while_uploading(user, names, chance.uniform(0.0, 0.8))
    found = after_recovery(user, task)
    assert found["status"] == "failed"
    assert len(found["models"]) <= 1
    if last >= 0:
        ((model, name, number),) = found["models"]
        assert (name, found["listed"]) == ("weights", model)
        assert number in {last, last + 1}  # whose call may have got as far as that
