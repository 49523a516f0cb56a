"""What a process prints is in the console of its run, looks on the terminal as ever, and the streams are given back."""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

RunScript = Callable[..., Any]
ReadTask = Callable[..., Any]

BEGIN = """
import logging, os, sys, threading, time
from atrains import Task

task = Task.init("console", "run", auto_resource_monitoring=False)
"""


def lines_of(found: dict[str, Any]) -> list[str]:
    """All lines of a console, in their order."""
    return [line for event in found["console"] for line in event.split("\n")]


def test_prints_are_kept_and_printed(run_script: RunScript, read_task: ReadTask) -> None:
    finished = run_script(BEGIN + "print('to', 'stdout')\nprint('to stderr', file=sys.stderr)\nprint('no newline', end='')\n")
    assert finished.code == 0
    assert finished.stdout == "to stdout\nno newline"
    assert "to stderr\n" in finished.stderr
    assert lines_of(read_task("console", "run")) == ["to stdout", "to stderr", "no newline"]


def test_the_traceback_that_ends_a_run_is_in_its_console(run_script: RunScript, read_task: ReadTask) -> None:
    finished = run_script(BEGIN + "def broken():\n    raise ValueError('of no use')\nbroken()\n")
    found = read_task("console", "run")
    assert finished.code == 1
    assert found["status"] == "failed"
    assert lines_of(found)[0] == "Traceback (most recent call last):"
    assert lines_of(found)[-1] == "ValueError: of no use"


def test_what_was_printed_survives_a_kill(run_script: RunScript, read_task: ReadTask) -> None:
    count = 2_000
    finished = run_script(BEGIN + f"import signal\nfor n in range({count}):\n    print('line', n)\nos.kill(os.getpid(), signal.SIGKILL)\n")
    assert finished.code == -9
    following = run_script("from atrains import Task\nTask.init('console', 'next').close()\n")
    assert lines_of(read_task("console", "run")) == [f"line {n}" for n in range(count)]
    assert "torn" not in following.stderr
    assert "damaged" not in following.stderr, "what was made ready for further lines is no damage"


def test_many_lines_are_few_events(run_script: RunScript, read_task: ReadTask) -> None:
    run_script(BEGIN + "for n in range(5_000):\n    print('line', n)\n    if n % 50 == 0: print('odd', n, file=sys.stderr)\n")
    found = read_task("console", "run")
    assert len(lines_of(found)) == 5_100
    assert len(found["console"]) <= 201 + 20  # one for each change of the level, and where a second or a delivery ends


def test_the_streams_come_back_by_identity(run_script: RunScript, read_task: ReadTask) -> None:
    script = """
import logging, sys, json
from atrains import Task

before, handle, own = (sys.stdout, sys.stderr), logging.Handler.handle, vars(logging.getLogger("atrains")).copy()
captured = {"stdout": True, "stderr": True, "logging": True}
task = Task.init("console", "run", auto_connect_streams=captured)
assert sys.stdout is not before[0] and sys.stdout.fileno() == before[0].fileno()
assert isinstance(sys.stdout, type(before[0])) and sys.stdout.encoding == before[0].encoding and not sys.stdout.isatty()
assert sys.stdout.write("four") == 4 and sys.stdout.errors == before[0].errors and sys.stdout.name == "<stdout>"
sys.stdout.line_buffering, sys.stdout.mode, sys.stdout.closed, sys.stdout.writable()
with open("copy.txt", "w") as file:
    print(" to a file", file=file)
sys.stdout.writelines([" one", " two\\n"])
sys.stdout.reconfigure(line_buffering=True)
assert before[0].line_buffering
sys.stdout.marked = 1
assert before[0].marked == 1 and sys.stdout == before[0]
task.close()
assert (sys.stdout, sys.stderr) == before and sys.stdout is before[0] and sys.stderr is before[1]
assert "write" not in vars(before[0]) and logging.Handler.handle is handle and vars(logging.getLogger("atrains")) == own
print("after")
"""
    finished = run_script(script)
    assert (finished.code, finished.stdout) == (0, "four one two\nafter\n"), finished.stderr
    assert lines_of(read_task("console", "run")) == ["four one two"]


def test_what_somebody_wraps_meanwhile_stays_and_passes_through(run_script: RunScript, read_task: ReadTask) -> None:
    script = (
        BEGIN
        + """
class Tee:
    def __init__(self, inner): self.inner, self.kept = inner, []
    def write(self, text): self.kept.append(text); return self.inner.write(text)
    def flush(self): self.inner.flush()

tee = sys.stdout = Tee(sys.stdout)
print("through a tee")
task.close()
assert sys.stdout is tee
print("closed")
second = Task.init("console", "second", reuse_last_task_id=False)
print("again")
import contextlib, io
with contextlib.redirect_stdout(io.StringIO()) as kept:
    print("somewhere else")
assert kept.getvalue() == "somewhere else\\n"
second.close()
assert sys.stdout is tee and "write" not in vars(tee)
print("over")
assert "".join(tee.kept) == "through a tee\\nclosed\\nagain\\nover\\n"
"""
    )
    finished = run_script(script)
    assert (finished.code, finished.stdout) == (0, "through a tee\nclosed\nagain\nover\n"), finished.stderr
    assert lines_of(read_task("console", "run")) == ["through a tee"]
    assert lines_of(read_task("console", "second")) == ["again"]


def test_a_write_that_is_replaced_for_a_while_is_itself_again(run_script: RunScript, read_task: ReadTask) -> None:
    """As IPython does around each cell: begun before the run or within it, ended within it or after it."""
    script = """
import contextlib, sys
from atrains import Task

kept = []

@contextlib.contextmanager
def teed(name):
    stream = sys.stdout
    original = stream.write
    def write(text):
        kept.append((name, text.strip()))
        return original(text)
    stream.write = write
    yield
    stream.write = original

stream = sys.stdout
first = teed("first"); first.__enter__()
task = Task.init("console", "run", auto_resource_monitoring=False)
print("one")
first.__exit__(None, None, None)
print("bare")
with teed("second"):
    print("two")
sys.stdout.write = lambda text: kept.append(("set", text.strip()))
print("to nobody")
del sys.stdout.write
print("three")
last = teed("last"); last.__enter__()
print("four")
task.close()
assert sys.stdout is stream
last.__exit__(None, None, None)
print("five")
assert stream.write.__self__ is stream, stream.write
found = [pair for pair in kept if pair[1]]
assert found == [("first", "one"), ("second", "two"), ("set", "to nobody"), ("last", "four")], found
"""
    finished = run_script(script)
    assert (finished.code, finished.stdout) == (0, "one\nbare\ntwo\nthree\nfour\nfive\n"), finished.stderr
    assert lines_of(read_task("console", "run")) == ["one", "bare", "two", "three", "four"]


def test_a_stream_that_both_names_share_is_captured_once(run_script: RunScript, read_task: ReadTask) -> None:
    script = "import sys\nsys.stderr = sys.stdout\nkept = sys.stdout\n" + BEGIN
    script += (
        "print('out')\nprint('err', file=sys.stderr)\nprint('kept', file=kept)\ntask.close()\nassert sys.stdout is sys.stderr is kept\n"
    )
    finished = run_script(script)
    assert finished.code == 0, finished.stderr
    assert lines_of(read_task("console", "run")) == ["out", "err", "kept"]


def test_handlers_of_logging_are_captured_once_with_their_level(run_script: RunScript, read_task: ReadTask) -> None:
    script = """
import json, logging, sys
from atrains import Task

logging.basicConfig(format="%(levelname)s %(message)s", level=logging.INFO)  # keeps the stream that is there now
logging.getLogger().addHandler(logging.StreamHandler(sys.stdout))
streams = {"stdout": True, "stderr": True, "logging": True} if "logging" in sys.argv else True
task = Task.init("console", "run", auto_connect_streams=streams)
logging.getLogger("a").warning("careful")
logging.getLogger("a").debug("not asked for")
print("printed")
task.close()
"""
    finished = run_script(script, "logging")
    assert finished.code == 0
    assert finished.stdout == "careful\nprinted\n"
    assert finished.stderr.endswith("WARNING careful\n")
    assert read_task("console", "run")["console"] == ["WARNING careful", "printed"]
    assert run_script(script, "streams").code == 0
    assert lines_of(read_task("console", "run")) == ["WARNING careful", "careful", "printed"]


@pytest.mark.parametrize("configure", [None, "", "filename='log.txt'"], ids=["not configured", "on stderr", "in a file"])
def test_what_atrains_says_and_logs_is_not_in_the_console(configure: str | None, run_script: RunScript, read_task: ReadTask) -> None:
    configured = f"import logging\nlogging.basicConfig({configure})\n" if configure is not None else ""
    script = configured + BEGIN
    script += "task.get_logger().report_scalar('a', 'b', float('nan'), 1)\ntask.get_logger().report_text('by hand')\ntask.flush()\n"
    finished = run_script(script)
    assert finished.stderr.count("dropped 1 of") == ("file" not in (configure or "")), finished.stderr
    assert finished.stdout == "by hand\n"
    assert read_task("console", "run")["console"] == ["by hand"]


def test_bytes_other_encodings_and_halves_of_characters(run_script: RunScript, read_task: ReadTask) -> None:
    script = (
        BEGIN
        + """
for number in (1, 2):  # what comes now is no UTF-8
    os.dup2(os.open(os.devnull, os.O_WRONLY), number)
sys.stdout.buffer.write("gr\u00fc\u00df".encode("latin-1")[:3]); sys.stdout.buffer.write("gr\u00fc\u00df\\n".encode("latin-1")[3:])
sys.stdout.buffer.write(bytes(range(256)))
sys.stdout.buffer.flush()
print("caf\u00e9")
try:
    print("\u2603")
except UnicodeEncodeError:
    print(" is no latin")
print(f"half {chr(0xdcff)} a character", file=sys.stderr)
"""
    )
    finished = run_script(script, PYTHONIOENCODING="latin-1:surrogateescape", PYTHONUTF8="0")
    assert finished.code == 0, finished.stderr
    found = lines_of(read_task("console", "run"))
    assert found == ["gr\u00fc\u00df", "caf\u00e9", "\u2603 is no latin", "half \ufffd a character"]


def test_a_line_of_two_mebibytes_and_one_that_no_terminal_takes(run_script: RunScript, read_task: ReadTask) -> None:
    script = BEGIN + "print('x' * (2 << 20) + 'end')\nprint(5, file=sys.stdout)\nsys.stdout.close()\n"
    script += "try:\n    print('said to nobody')\nexcept ValueError:\n    pass\nsys.stdout = None\n"
    finished = run_script(script)
    assert finished.code == 0, finished.stderr
    found = read_task("console", "run")["console"]
    assert [len(event) for event in found[:2]] == [1 << 20, 1 << 20]
    assert found[2:] == ["end\n5\nsaid to nobody"]


def test_it_can_be_switched_off(run_script: RunScript, read_task: ReadTask) -> None:
    assert run_script(BEGIN + "print('hello')\n", ATRAINS_CONSOLE="no").code == 0
    assert read_task("console", "run")["console"] == []
    script = BEGIN.replace("auto_resource", "auto_connect_streams={'stderr': True}, auto_resource")
    assert run_script(script + "print('hello')\nprint('error', file=sys.stderr)\n").code == 0
    assert read_task("console", "run")["console"] == ["error"]
    refused = run_script("from atrains import Task\nTask.init('console', 'run', auto_connect_streams={'stdin': True})\n")
    assert "auto_connect_streams is True, False or a dict with some of stdout, stderr, logging" in refused.stderr


def test_an_agent_captures_by_itself(run_script: RunScript, read_task: ReadTask) -> None:
    made = run_script("from atrains import Task\nprint(Task.create('console', 'remote').id)\n")
    task = made.stdout.strip()
    finished = run_script(BEGIN + "before = sys.stdout\nprint('hello')\nassert sys.stdout is sys.__stdout__\n", CLEARML_TASK_ID=task)
    assert finished.code == 0, finished.stderr
    assert read_task(task)["console"] == []


def test_forks_threads_and_spawned_processes_print_to_the_run(run_script: RunScript, read_task: ReadTask) -> None:
    script = """
import multiprocessing, os, sys, threading
from atrains import Task

def work(number):
    print("process", number)
    print("not ended", number, end="", file=sys.stderr)

if __name__ == "__main__":
    task = Task.init("console", "run", auto_resource_monitoring=False)
    print("begun by the parent ", end="")
    pid = os.fork()
    if not pid:
        print("in a fork")
        sys.exit(0)
    os.waitpid(pid, 0)
    print("ended by the parent")
    fork = multiprocessing.get_context("fork").Process(target=work, args=(1,))
    fork.start()
    fork.join()
    threads = [threading.Thread(target=print, args=(f"thread {number}",)) for number in range(20)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
"""
    finished = run_script(script, PYTHONWARNINGS="error,ignore:This process:DeprecationWarning")
    assert finished.code == 0, finished.stderr
    found = lines_of(read_task("console", "run"))
    expected = ["in a fork", "begun by the parent ended by the parent", "process 1", *(f"thread {number}" for number in range(20))]
    assert sorted(line for line in found if "not ended" not in line) == sorted(expected)


def test_each_coroutine_prints_to_its_own_task(run_script: RunScript, read_task: ReadTask) -> None:
    script = """
import asyncio, json, threading
from atrains import Task

async def serve(number):
    async with Task.ainit("console", f"request {number}", auto_connect_streams=number != 3):
        for step in range(20):
            print(f"{number} ", end="")
            await asyncio.sleep(0)
            print(f"step {step}")
            await asyncio.sleep(0)

async def main():
    async with Task.ainit("console", "main"):
        print("of the main task")
        await asyncio.gather(*(serve(number) for number in range(4)))
        thread = threading.Thread(target=print, args=("in a thread",))
        thread.start()
        thread.join()
        print("still of the main task")

asyncio.run(main())
"""
    finished = run_script(script)
    assert finished.code == 0, finished.stderr
    assert lines_of(read_task("console", "main")) == ["of the main task", "in a thread", "still of the main task"]
    for number in range(3):
        assert lines_of(read_task("console", f"request {number}")) == [f"{number} step {step}" for step in range(20)]
    assert read_task("console", "request 3")["console"] == []


def test_what_others_do_with_the_streams_works(run_script: RunScript, read_task: ReadTask) -> None:
    script = (
        BEGIN
        + """
import faulthandler, io, subprocess
faulthandler.enable(file=sys.stderr)
faulthandler.dump_traceback(file=sys.stderr)
subprocess.run([sys.executable, "-c", "print('of a child')"], stdout=sys.stdout, check=True)
subprocess.run([sys.executable, "-c", "print('inherited')"], check=True)
wrapped = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8", write_through=True)
print("wrapped again", file=wrapped)
wrapped.detach()
"""
    )
    finished = run_script(script)
    assert finished.code == 0, finished.stderr
    assert "Current thread" in finished.stderr
    assert sorted(finished.stdout.splitlines()) == ["inherited", "of a child", "wrapped again"]
    assert lines_of(read_task("console", "run")) == ["wrapped again"]


# ---- on a terminal

BARS = {
    "tqdm": """
from tqdm import tqdm
for _ in tqdm(range(30), desc="training"):
    time.sleep(0.02)
""",
    "tqdm, nested": """
from tqdm import tqdm
for _ in tqdm(range(3), desc="training"):
    for _ in tqdm(range(10), desc="inner", leave=False):
        time.sleep(0.02)
""",
    "rich": """
from rich.progress import track
for _ in track(range(30), description="training"):
    time.sleep(0.02)
""",
    "rich, two bars": """
from rich.progress import Progress
with Progress() as progress:
    first, second = progress.add_task("training", total=30), progress.add_task("loading", total=30)
    for _ in range(30):
        progress.advance(first); progress.advance(second)
        time.sleep(0.02)
""",
}


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="no pseudo terminals")
@pytest.mark.parametrize("name", BARS)
def test_progress_bars_are_alive_on_the_terminal_and_tidy_in_the_log(user: Any, read_task: ReadTask, name: str) -> None:
    script = user.directory / "bars.py"
    body = BEGIN.replace(
        "auto_resource_monitoring=False",
        "reuse_last_task_id=False, auto_resource_monitoring=False, auto_connect_streams='bare' not in sys.argv",
    )
    script.write_text(body + BARS[name] + "print('done')\ntask.close()\n", encoding="utf-8")
    bare, shown = (_on_a_terminal(user, str(script), *arguments) for arguments in (["bare"], []))
    # As without atrains: it is a terminal, in colours where there are any, with as many redraws; how many is up to the time.
    assert ("\x1b[" in shown) == ("\x1b[" in bare)
    assert shown.count("\r") > 5
    assert "100%" in shown
    assert shown.rstrip().endswith("done")
    found = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in lines_of(read_task("console", "run"))]
    assert found[-1] == "done"
    assert 1 <= sum("training" in line for line in found) <= 2
    assert any("100%" in line and "training" in line for line in found)
    assert len(found) <= 5
    assert not any(control in line for line in found for control in "\r\b\x1b")


def _on_a_terminal(user: Any, *command: str) -> str:
    import fcntl
    import termios

    parent, child = os.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    environment = user.environment(ATRAINS_QUIET="1", TERM="xterm-256color", COLUMNS="100", LINES="30")
    process = subprocess.Popen([sys.executable, *command], stdin=child, stdout=child, stderr=child, env=environment, cwd=user.directory)
    os.close(child)
    shown = b""
    try:
        while piece := os.read(parent, 65536):
            shown += piece
    except OSError:  # the other end was closed
        pass
    os.close(parent)
    assert process.wait(60) == 0, shown.decode()
    return shown.decode()


def test_printing_costs_microseconds(run_script: RunScript) -> None:
    """A bound that only a mistake (a lock that is held, a look at the disk for each line) would break; figures are in the benchmark."""
    script = BEGIN + "sys.stdout.flush()\nbegin = time.perf_counter()\nfor n in range(20_000): print('a line of some fifty characters')\n"
    script += "print('cost', (time.perf_counter() - begin) / 20_000 * 1e6, file=sys.stderr)\n"
    begin = time.monotonic()
    finished = run_script(script)
    assert finished.code == 0
    assert float(finished.stderr.split("cost ")[1].split()[0]) < 200
    assert time.monotonic() - begin < 30
