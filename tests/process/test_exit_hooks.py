"""What is wrapped to see how a program ends belongs to the program: it is chained while a run is open, and given back when none is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

RunScript = Callable[..., Any]

COMMON = """
import asyncio, atexit, builtins, signal, sys, threading
from atrains import Task

def hooks():
    names = ((sys, "excepthook"), (sys, "exit"), (builtins, "exit"), (builtins, "quit"))
    signals = tuple(signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
    monitor = sys.monitoring.get_tool(4) if hasattr(sys, "monitoring") else None
    return (*(getattr(holder, name) for holder, name in names), *signals, monitor)

def same(before):
    return all(now is then for now, then in zip(hooks(), before, strict=True))

before = hooks()
"""
CLOSED = {
    "close": """
task = Task.init("project", "a run")
assert not same(before)
task.close()
""",
    "a block": """
with Task.init("project", "a run"):
    assert not same(before)
""",
    "a block left by an exception": """
try:
    with Task.init("project", "a run"):
        raise ValueError
except ValueError:
    pass
""",
    "the last of two runs": """
async def main():
    first = await Task.ainit("project", "a run")
    async with Task.ainit("project", "a run"):
        pass
    assert not same(before)
    await first.close()
asyncio.run(main())
""",
    "an async block": """
async def main():
    async with Task.ainit("project", "a run"):
        assert not same(before)
asyncio.run(main())
""",
    "one run after another": """
for number in range(3):
    with Task.init("project", "a run"):
        assert not same(before)
    assert same(before)
""",
    "a run of a thread": """
def work():
    with Task.init("project", "a run"):
        assert not same(before)
thread = threading.Thread(target=work)
thread.start()
thread.join()
""",
}


@pytest.mark.parametrize("script", CLOSED.values(), ids=CLOSED.keys())
def test_a_closed_run_gives_back_what_it_wrapped(script: str, run_script: RunScript) -> None:
    finished = run_script(COMMON + script + "assert same(before), (hooks(), before)\n")
    assert finished.code == 0, finished.stderr


def test_what_the_program_sets_meanwhile_stays(run_script: RunScript) -> None:
    script = """
task = Task.init("project", "a run")
ours = sys.excepthook
sys.excepthook = hook = lambda *error: (print("seen", error[0].__name__), ours(*error))
handler = lambda *_: None
signal.signal(signal.SIGTERM, handler)
task.close()
assert sys.excepthook is hook
assert signal.getsignal(signal.SIGTERM) is handler
assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
Task.init("project", "another run")
raise ValueError("no data")
"""
    finished = run_script(COMMON + script)
    assert finished.code == 1
    assert finished.stdout == "seen ValueError\n"
    assert finished.stderr.count("ValueError: no data") == 1


def test_a_hook_that_was_there_before_is_called(run_script: RunScript, read_task: Callable[..., Any]) -> None:
    script = """
sys.excepthook = lambda *error: print("seen", error[0].__name__)
Task.init("project", "a run")
raise ValueError("no data")
"""
    finished = run_script(COMMON + script)
    assert (finished.code, finished.stdout) == (1, "seen ValueError\n")
    assert read_task(finished.task_ids[0])["reason"] == "ValueError: no data"


SIGNALS = {
    "the main thread": ("task = Task.init('project', 'a run')", True),
    "a program that handles them itself": (
        "for number in (signal.SIGTERM, signal.SIGHUP): signal.signal(number, lambda *_: None)\ntask = Task.init('project', 'a run')",
        False,
    ),
    "a thread": (
        "t = threading.Thread(target=lambda: Task.init('project', 'a run')); t.start(); t.join(); task = Task.current_task()",
        False,
    ),
    "a thread, then the main thread": (
        "t = threading.Thread(target=lambda: Task.init('project', 'a run')); t.start(); t.join(); task = Task.init('project', 'a run')",
        True,
    ),
    "a closed run": ("task = Task.init('project', 'a run'); task.close()", False),
}


@pytest.mark.parametrize(("script", "handled"), SIGNALS.values(), ids=SIGNALS.keys())
def test_stats_say_whether_signals_end_the_run(script: str, handled: bool, run_script: RunScript) -> None:
    finished = run_script(COMMON + script + "\nprint(task.stats().signals_handled)\n")
    assert (finished.code, finished.stdout) == (0, f"{handled}\n"), finished.stderr


def test_a_call_after_the_end_says_so(run_script: RunScript) -> None:
    script = """
def late():
    try:
        task.flush()
    except Exception as error:
        print(type(error).__name__, error)
atexit.register(late)
task = Task.init("project", "a run")
"""
    finished = run_script(COMMON + script)
    assert finished.code == 0, finished.stderr
    assert finished.stdout.startswith("UsageError the process ends")
