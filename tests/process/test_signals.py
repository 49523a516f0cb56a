"""A signal that comes in the midst of a report, an import or a fork: the run is closed all the same, at once, and nothing stays locked."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any, Final

import pytest

RunScript = Callable[..., Any]

WHOLE_BUDGET: Final = 4.9
"""Seconds after which the end of a run gives up looking at its program, and somewhat later everything else."""
REPORTING = """
import importlib, logging, os, pathlib, signal, sys, threading, time
import atrains._capture
from atrains import Task

def fork(n):
    "Fork while a thread of ours imports something, which the fork waits for."
    if not n:
        pathlib.Path("slow_to_import.py").write_text("import time; time.sleep(0.02)")
        threading.Thread(target=import_slowly, name="atrains-importing", daemon=True).start()
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)

def import_slowly():
    while True:
        sys.modules.pop("slow_to_import", None)
        import slow_to_import
        time.sleep(0.01)

def load(n):
    "Import what the end of a run imports as well."
    sys.modules.pop("atrains._capture.script", None)
    vars(atrains._capture).pop("script", None)
    importlib.import_module("atrains._capture.script")

task = Task.init("project", "a run")
log = task.get_logger()
root = logging.getLogger()
root.addHandler(logging.FileHandler(os.devnull))
WAYS = {
    "text": lambda n: log.report_text(f"line {n}", print_console=False),
    "print": lambda n: print(f"line {n}"),
    "logging": lambda n: root.warning("line %d", n),
    "scalars": lambda n: log.report_scalar("title", str(n % 5_000), value=n, iteration=n),
    "by two": lambda n: (log.report_text(f"line {n}", print_console=False), log.report_scalar("title", "series", value=n, iteration=n)),
    "fork": fork,
    "import": load,
}
report = WAYS[sys.argv[1]]
print("ready", task.id, file=sys.__stderr__, flush=True)
n = 0
while True:
    report(n)
    n += 1
"""


@pytest.mark.parametrize("way", ["text", "print", "logging", "scalars", "by two", "fork", "import"])
def test_a_signal_in_the_midst_of_a_report_closes_the_run_at_once(way: str, user: Any, read_task: Callable[..., Any]) -> None:
    for _ in range(4):
        with user.start(REPORTING, way, ATRAINS_QUIET="0") as process:
            while not (line := process.stderr.readline()).startswith("ready"):
                pass
            time.sleep(random.SystemRandom().random() * 0.05)
            process.send_signal(signal.SIGTERM)
            sent = time.monotonic()
            try:
                _, stderr = process.communicate(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        assert process.returncode == -signal.SIGTERM, stderr
        assert "not everything could be stored" not in stderr
        assert time.monotonic() - sent < WHOLE_BUDGET, stderr
        found = read_task(line.split()[1])
        assert (found["status"], found["reason"]) == ("stopped", "SIGTERM"), stderr


INTERRUPTED = """
import logging, os, random, signal, sys, threading, time
from atrains import Task

task = Task.init("project", "a run")
raised, main, over = [], threading.main_thread().ident, threading.Event()

def interrupt(number, frame):
    "As Ctrl-C does, but only in what is called around a fork: that of logging, and ours."
    while frame is not None:
        if frame.f_code.co_name in ("_releaseLock", "before_fork", "_before_fork", "_after_fork_in_parent"):
            raised.append(frame.f_code.co_name)
            raise KeyboardInterrupt
        frame = frame.f_back

def press():
    while not over.is_set():
        signal.pthread_kill(main, signal.SIGINT)
        time.sleep(random.random() * 0.001)

sys.unraisablehook = lambda _: None  # a hook of a fork cannot raise
signal.signal(signal.SIGINT, interrupt)
threading.Thread(target=press, daemon=True).start()
end = time.monotonic() + 4
while len(raised) < 3 and time.monotonic() < end:
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
over.set()
task.get_logger().report_scalar("title", "series", value=1, iteration=1)
other = threading.Thread(target=logging.getLogger, args=("of another thread",), daemon=True)
other.start()
other.join(5)
assert not other.is_alive()
receipt = task.flush(timeout=5)
print(len(raised), receipt.error, flush=True)
"""


def test_a_fork_that_ctrl_c_interrupts_leaves_nothing_locked(user: Any) -> None:
    done = user.run(INTERRUPTED)
    assert (done.code, done.stdout.split(" ", 1)[1].strip()) == (0, "None"), done
