"""The table of endings: however a program ends, a second process finds its run with the right status and everything that was reported.

Every row is a program of its own, in a home of its own; a few of them run at once. Rows run on this interpreter, on those that the
variable ATRAINS_TEST_PYTHONS names (separated as in PATH), and on those that `tests.interpreters` finds.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

import atrains
from tests.interpreters import interpreters

AT_ONCE: Final = 4
VERSIONS: Final = ("3.11", "3.12", "3.13")
HOLD: Final[dict[str, Any]] = {"locked": True, "next_start": True}
UNCLOSED: Final = "process ended without closing"
PER_REPORT: Final = 500

COMMON: Final = """
import asyncio, atexit, concurrent.futures, os, shutil, signal, sys, threading, time
from atrains import AsyncTask, Task

def report(log, part=0):
    for step in range(part * 500, part * 500 + 500):
        log.report_scalar("loss", "train", step, step)
    log.report_text(f"part {part}", print_console=False)

def ready():
    print("ready", flush=True)

def sleep():
    while True:
        time.sleep(0.01)
"""
SCRIPT: Final = COMMON + "task = Task.init('project', 'ending', auto_connect_streams=False); log = task.get_logger(); report(log)\n"
BLOCK: Final = COMMON + "with Task.init('project', 'ending', auto_connect_streams=False) as task:\n    report(task.get_logger()); ready(); "
SERVICE: Final = (
    COMMON
    + """
async def begin():
    task = await Task.ainit("project", "ending", auto_connect_streams=False)
    report(task.get_logger())
    return task
"""
)


def in_thread(body: str) -> str:
    """A script that goes on after something happened in a thread."""
    return SCRIPT + f"ready(); t = threading.Thread(target=lambda: {body}); t.start(); t.join(); report(log, 1)"


def loop(body: str) -> str:
    """A coroutine that leaves its run open."""
    return SERVICE + f"async def main():\n    task = await begin(); {body}\nasyncio.run(main())"


def loop_block(body: str) -> str:
    """A coroutine that reports inside `async with`."""
    opening = "async with Task.ainit('project', 'ending', auto_connect_streams=False) as task"
    return COMMON + f"async def main():\n    {opening}:\n        report(task.get_logger()); ready(); {body}\nasyncio.run(main())"


WAITING: Final = "waiting up to"
"""A line that a slow machine may see anywhere."""
NO_ROOM: Final = "no room for the journal"
"""Said of a home that is gone, if the journal is written to once more."""
HELD: Final = "ready(); input()\n"
REMOVED: Final = "home = os.environ['ATRAINS_HOME']; shutil.rmtree(home); open(home, 'w').close(); report(log, 1); ready()\n"
STUCK_POOL: Final = "concurrent.futures.ThreadPoolExecutor(1).submit(sleep); ready()"
READER: Final = """
import json, sys
from atrains import Task

if sys.argv[1] == "next start":
    Task.init("project", "next").close()
task = Task.get_task(project_name="project", task_name="ending")
print(json.dumps({
    "status": task.status,
    "reason": task.data.get("status_reason"),
    "scalars": task.get_reported_scalars(),
    "console": task.get_reported_console_output(1000),
}))
"""


@dataclass(frozen=True)
class Row:
    """A program, how it is brought to its end, and what is to be found then.

    Attributes:
        signals: Sent when the program says that it is ready; a number is a pause in seconds.
        status: As found by another process; empty where no home is left to look at.
        locked: Hold the home from when the program is ready until it has ended; the program waits for a line on its input meanwhile.
        within: Seconds from when the program is ready to its end.
        reports: How many parts it reports.
        says: Texts of the lines it prints on standard error, apart from how its run began; nothing else may stand there.
        next_start: The status is that after the next start, which recovers what was left.
        first_of_container: Run it as the first process of a PID namespace.
        reasons: The reasons of versions where it is not that of the others.
    """

    name: str
    script: str
    status: str
    reason: str
    code: int = 0
    signals: tuple[str | float, ...] = ()
    locked: bool = False
    within: float = 5.0
    reports: int = 1
    says: tuple[str, ...] = ()
    next_start: bool = False
    first_of_container: bool = False
    reasons: dict[str, str] = field(default_factory=dict)


COMPLETED: Final = ("completed", "completed")
NO_DATA: Final = ("failed", "ValueError: no data", 1)
INTERRUPTED: Final = ("stopped", "interrupted", -2)
TERMINATED: Final = ("stopped", "SIGTERM", -15)
LOOP_TERMINATED: Final = ("stopped", "SIGTERM", 128 + 15)
TERM: Final = ("SIGTERM",)
TRACEBACK: Final = "Traceback"
SAID: Final = (TRACEBACK,)

SCRIPTS: Final = [
    Row("return", SCRIPT + "ready()", *COMPLETED),
    Row("an exception", SCRIPT + "ready(); raise ValueError('no data')", *NO_DATA, says=SAID),
    Row("an exception in a thread", in_thread("1 / 0"), *COMPLETED, reports=2, says=("Exception in thread", TRACEBACK)),
    Row("sys.exit(0)", SCRIPT + "ready(); sys.exit(0)", *COMPLETED),
    Row("sys.exit()", SCRIPT + "ready(); sys.exit()", *COMPLETED),
    Row("sys.exit(3)", SCRIPT + "ready(); sys.exit(3)", "failed", "exit code 3", 3),
    Row("sys.exit with a text", SCRIPT + "ready(); sys.exit('no data')", "failed", "exit code 1: no data", 1, says=("no data",)),
    Row("sys.exit with a list", SCRIPT + "ready(); sys.exit(['a'])", "failed", "exit code 1: ['a']", 1, says=("['a']",)),
    Row("a caught exit", SCRIPT + "ready()\ntry:\n    sys.exit(3)\nexcept SystemExit as error:\n    assert error.code == 3", *COMPLETED),
    Row("sys.exit in a thread", in_thread("sys.exit(3)"), *COMPLETED, reports=2),
    Row(
        "raise SystemExit(3)",
        SCRIPT + "ready(); raise SystemExit(3)",
        "failed",
        "exit code 3",
        3,
        reasons={"3.11": "exit code unknown: it was raised as SystemExit, not by sys.exit"},
    ),
    Row("exit()", SCRIPT + "ready(); exit()", *COMPLETED),
    Row("exit(3)", SCRIPT + "ready(); exit(3)", "failed", "exit code 3", 3),
    Row("os._exit", SCRIPT + "ready(); os._exit(4)", "failed", UNCLOSED, 4, next_start=True),
    Row("a block left at its end", BLOCK, *COMPLETED),
    Row("a block left by return", BLOCK.replace("with", "def main():\n  with", 1) + "return\nmain()", *COMPLETED),
    Row("a block left by an exception", BLOCK + "raise ValueError('no data')", *NO_DATA, says=SAID),
    Row("a block left by sys.exit(3)", BLOCK + "sys.exit(3)", "failed", "exit code 3", 3),
    Row("a block left by sys.exit(0)", BLOCK + "sys.exit(0)", *COMPLETED),
    Row(
        "a script that only reports",
        COMMON
        + "Task.init('project', 'ending', auto_connect_streams=False).close()\n"
        + "report(Task.get_task(project_name='project', task_name='ending').get_logger()); ready()",
        *COMPLETED,
    ),
]
LOOPS: Final = [
    Row("an async block left by an exception", loop_block("raise ValueError('no data')"), *NO_DATA, says=SAID),
    Row("an async block left by return", loop_block("return"), *COMPLETED),
    Row("an async block left by sys.exit(3)", loop_block("sys.exit(3)"), "failed", "exit code 3", 3),
    Row("asyncio.run that ends without close", loop("ready()"), *COMPLETED),
    Row(
        "a loop that only stopped",
        SERVICE + "import warnings; warnings.simplefilter('ignore')\nasyncio.new_event_loop().run_until_complete(begin()); ready()",
        *COMPLETED,
    ),
    Row("an exception in a loop", loop("ready(); raise ValueError('no data')"), *NO_DATA, says=SAID),
    Row(
        "a cancelled main coroutine",
        loop("ready(); asyncio.current_task().cancel(); await asyncio.sleep(9)"),
        "stopped",
        "cancelled",
        1,
        says=SAID,
    ),
    Row("SIGINT in await", loop("ready(); await asyncio.sleep(60)"), *INTERRUPTED, ("SIGINT",), says=SAID),
    Row("SIGINT in an async block", loop_block("await asyncio.sleep(60)"), "stopped", "cancelled", -2, ("SIGINT",), says=SAID),
    Row("SIGTERM in await", loop("ready(); await asyncio.sleep(60)"), *LOOP_TERMINATED, TERM),
    Row(
        "SIGTERM in a loop of a script",
        SCRIPT + "async def main():\n    ready(); await asyncio.sleep(60)\nasyncio.run(main())",
        *LOOP_TERMINATED,
        TERM,
    ),
    Row("SIGTERM in an async block", loop_block("await asyncio.sleep(60)"), *LOOP_TERMINATED, TERM),
    Row("SIGTERM in a coroutine that is busy", loop_block("sleep()"), *LOOP_TERMINATED, TERM),
    Row(
        "SIGTERM handled by the program's loop",
        loop(
            "ended = asyncio.Event(); asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set); "
            "ready(); await ended.wait(); report(task.get_logger(), 1)"
        ),
        *COMPLETED,
        signals=TERM,
        reports=2,
    ),
]
SIGNALS: Final = [
    Row("SIGINT in user code", SCRIPT + "ready(); sleep()", *INTERRUPTED, ("SIGINT",), says=SAID),
    Row("SIGINT in a blocking call", SCRIPT + "ready(); task.wait_for_status('published')", *INTERRUPTED, ("SIGINT",), says=SAID),
    Row(
        "SIGINT, and source that is evaluated at exit, as by many an import",
        SCRIPT + "import collections; atexit.register(collections.namedtuple, 'Point', 'x y'); ready(); sleep()",
        *INTERRUPTED,
        ("SIGINT",),
        says=SAID,
    ),
    Row("SIGTERM", SCRIPT + "ready(); sleep()", *TERMINATED, TERM),
    Row("SIGTERM in a blocking call", SCRIPT + "ready(); task.wait_for_status('published')", *TERMINATED, TERM),
    Row("SIGTERM in a block", BLOCK + "sleep()", *TERMINATED, TERM),
    Row(
        "SIGTERM as the first process of a container",
        SCRIPT + "assert os.getpid() == 1; ready(); sleep()",
        *LOOP_TERMINATED,
        TERM,
        first_of_container=True,
    ),
    Row("SIGHUP", SCRIPT + "ready(); sleep()", "stopped", "SIGHUP", -1, ("SIGHUP",)),
    Row("SIGKILL", SCRIPT + "ready(); sleep()", "failed", UNCLOSED, -9, ("SIGKILL",), next_start=True),
    Row(
        "SIGTERM handled by the program before",
        COMMON
        + "seen = threading.Event(); signal.signal(signal.SIGTERM, lambda *_: seen.set())"
        + SCRIPT
        + "ready(); seen.wait(); report(log, 1)",
        *COMPLETED,
        signals=TERM,
        reports=2,
    ),
    Row(
        "SIGTERM handled by the program afterwards",
        SCRIPT + "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7)); ready(); sleep()",
        "failed",
        "exit code 7",
        7,
        TERM,
    ),
    Row(
        "SIGTERM handled by the program and passed on",
        SCRIPT
        + "def handle(*signal):\n    report(log, 1); before(*signal)\n"
        + "before = signal.signal(signal.SIGTERM, handle); ready(); sleep()",
        *TERMINATED,
        TERM,
        reports=2,
    ),
    Row(
        "SIGTERM where the run was opened in a thread",
        COMMON
        + "begin = lambda: Task.init('project', 'ending', auto_connect_streams=False).get_logger()\n"
        + "thread = threading.Thread(target=lambda: report(begin())); thread.start(); thread.join()\n"
        + "ready(); sleep()",
        "failed",
        UNCLOSED,
        -15,
        TERM,
        next_start=True,
    ),
]
THREADS: Final = [
    Row(
        "a thread that still reports",
        SCRIPT + "def work():\n    time.sleep(0.5); report(log, 1)\nready(); threading.Thread(target=work).start()",
        *COMPLETED,
        reports=2,
    ),
    Row(
        "a thread that starts another one",  # which Python 3.12 refuses once the main thread has ended
        SCRIPT
        + "def work():\n    time.sleep(0.2)\n    try: threading.Thread(target=report, args=(log, 1)).start()\n"
        + "    except RuntimeError: report(log, 1)\nready(); threading.Thread(target=work).start()",
        *COMPLETED,
        reports=2,
    ),
    Row(
        "a pool whose jobs still run",
        SCRIPT
        + "def work(part):\n    time.sleep(0.1); report(log, part)\n"
        + "pool = concurrent.futures.ThreadPoolExecutor(2); ready()\nfor part in range(1, 6): pool.submit(work, part)",
        *COMPLETED,
        reports=6,
    ),
    Row("a report at exit", SCRIPT + "atexit.register(report, log, 1); ready()", *COMPLETED, reports=2),
    Row(
        "a report at exit by who was there before us",
        COMMON + "atexit.register(lambda: report(log, 1))" + SCRIPT + "ready()",
        *COMPLETED,
        reports=2,
        next_start=True,
    ),
    Row("a stuck daemon thread", SCRIPT + "threading.Thread(target=sleep, daemon=True).start(); ready()", *COMPLETED),
    Row("a stuck pool, and SIGTERM", SCRIPT + STUCK_POOL, *TERMINATED, (0.3, "SIGTERM")),
    Row(
        "a stuck pool, and SIGINT",
        SCRIPT + STUCK_POOL,
        "stopped",
        "interrupted",
        signals=(0.3, "SIGINT"),
        says=("Exception ignored", TRACEBACK),
    ),
]
HOMES: Final = [
    Row("a held home", SCRIPT + HELD, *COMPLETED, within=12, says=("waiting up to 10 s", "within 10 s"), **HOLD),
    Row(
        "a held home, and SIGTERM", SCRIPT + HELD + "sleep()", *TERMINATED, TERM, within=8, says=("waiting up to 6 s", "within 6 s"), **HOLD
    ),
    Row(
        "a held home, and SIGTERM twice",
        SCRIPT + HELD + "sleep()",
        *TERMINATED,
        (*TERM, 1.0, *TERM),
        within=4,
        says=("waiting up to 6 s",),
        **HOLD,
    ),
    Row(
        "a held home, and SIGINT twice",
        SCRIPT + HELD + "sleep()",
        *INTERRUPTED,
        ("SIGINT", 1.0, "SIGINT"),
        within=4,
        says=(TRACEBACK, "waiting up to 10 s", "interrupted"),
        **HOLD,
    ),
    Row(
        "a held home, and SIGINT at exit",
        SCRIPT + HELD,
        *COMPLETED,
        signals=(1.0, "SIGINT"),
        within=4,
        says=("waiting up to 10 s", "interrupted"),
        **HOLD,
    ),
    Row("a removed home", SCRIPT + REMOVED + "sys.exit(3)", "", "", 3, says=("was removed",)),
    Row("a removed home, and SIGTERM", SCRIPT + REMOVED + "sleep()", "", "", -15, TERM, says=("was removed",)),
]
ROWS: Final = [*SCRIPTS, *LOOPS, *SIGNALS, *THREADS, *HOMES]


@dataclass(frozen=True)
class Ended:
    """How a row's program ended, and what another process found afterwards."""

    code: int
    seconds: float
    said: list[str]
    stderr: str
    found: dict[str, Any]
    journals: list[Path]


class Bench:
    """Where the rows of one interpreter run."""

    def __init__(self, python: str, directory: Path) -> None:
        self._python = python
        self._directory = directory
        packages = directory / "packages"
        packages.mkdir(parents=True)
        # Not the folder that atrains stands in: beside it may be packages that were built for this interpreter.
        (packages / "atrains").symlink_to(Path(atrains.__file__).parent)
        self._packages = str(packages)

    def run(self, row: Row) -> Ended:
        """Run a row's program to its end, and read its run."""
        place = self._directory / row.name.replace(" ", "-").replace("/", "-")
        place.mkdir()
        (place / "script.py").write_text(row.script, encoding="utf-8")
        (place / "reader.py").write_text(READER, encoding="utf-8")
        prefix = namespace_command() or [] if row.first_of_container else []
        with self._start(place, [*prefix, self._python, "script.py"]) as process:
            try:
                seconds, stderr = self._bring_to_its_end(process, row, place)
            except BaseException:
                process.kill()
                raise
        said = [line for line in stderr.splitlines() if not line.startswith(("atrains: created task", "atrains: kept in"))]
        found = self._read(row, place) if row.status else {}
        return Ended(process.returncode, seconds, said, stderr, found, list((place / "home" / "journals").glob("*")))

    def _bring_to_its_end(self, process: subprocess.Popen[str], row: Row, place: Path) -> tuple[float, str]:
        assert process.stdin is not None
        assert process.stdout is not None
        line = process.stdout.readline()
        if line != "ready\n":
            return 0.0, process.communicate(timeout=60)[1]
        with hold(place / "home") if row.locked else contextlib.nullcontext():
            if row.locked:
                process.stdin.write("\n")
                process.stdin.flush()
            began = time.monotonic()
            for step in row.signals:
                if isinstance(step, str):
                    import psutil

                    target = psutil.Process(process.pid).children()[0].pid if row.first_of_container else process.pid
                    os.kill(target, signal.Signals[step])
                else:
                    time.sleep(step)
            _, stderr = process.communicate(timeout=60)
            return time.monotonic() - began, stderr

    def _read(self, row: Row, place: Path) -> dict[str, Any]:
        with self._start(place, [self._python, "reader.py", "next start" if row.next_start else "now"]) as process:
            stdout, stderr = process.communicate(timeout=60)
        return dict(json.loads(stdout)) if process.returncode == 0 else {"status": None, "error": stderr}

    def _start(self, place: Path, command: list[str]) -> subprocess.Popen[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ATRAINS_", "CLEARML_", "TRAINS_", "PYTHON"))}
        own = {"HOME": str(place), "ATRAINS_HOME": str(place / "home"), "PYTHONPATH": self._packages, "PYTHONWARNINGS": "error"}
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=place, env=kept | own, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


@contextlib.contextmanager
def hold(home: Path) -> Iterator[None]:
    """Keep everybody else from writing to a home."""
    with contextlib.closing(sqlite3.connect(home / "index.db", isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield


def namespace_command() -> list[str] | None:
    """What starts a command as the first process of a PID namespace; None where that is not permitted."""
    if shutil.which("unshare") is None:
        return None
    for rights in ([], ["--user", "--map-root-user"]):
        command = ["unshare", *rights, "--pid", "--fork", "--mount-proc", "--kill-child"]
        if subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0:
            return command
    return None


PYTHONS: Final = interpreters(VERSIONS)


def cases() -> Iterator[Any]:
    """Every row on every interpreter that is there, and one skipped test for each that is not."""
    for version in sorted({*VERSIONS, *PYTHONS}):
        if version in PYTHONS:
            for row in ROWS:
                yield pytest.param(version, row, id=f"{version}-{row.name}")
        else:
            reason = f"no Python {version} with the dependencies of atrains was found: name one in ATRAINS_TEST_PYTHONS"
            yield pytest.param(version, ROWS[0], id=f"{version}-every row", marks=pytest.mark.skip(reason=reason))


@pytest.fixture(scope="module")
def ended(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[tuple[str, str], Future[Ended]]]:
    """The end of every row that was asked for; they were all started at the first question, a few at once, the longest first."""
    benches = {version: Bench(python, tmp_path_factory.mktemp("endings") / version) for version, python in PYTHONS.items()}
    wanted = [item.callspec.params for item in request.session.items if getattr(item, "originalname", "") == "test_ending"]  # type: ignore[attr-defined]
    rows = sorted(((one["version"], one["row"]) for one in wanted if one["version"] in benches), key=lambda one: -one[1].within)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {(version, row.name): pool.submit(benches[version].run, row) for version, row in rows}


@pytest.mark.parametrize(("version", "row"), list(cases()))
def test_ending(version: str, row: Row, ended: dict[tuple[str, str], Future[Ended]]) -> None:
    if row.first_of_container and namespace_command() is None:
        pytest.skip(
            "this machine does not permit PID namespaces (unshare --pid): nothing here shows what the first process of a container does"
        )
    end = ended[version, row.name].result()
    assert end.code == row.code, end.stderr
    assert end.seconds < row.within, end.stderr
    for text in row.says:
        assert any(text in line for line in end.said), end.stderr
    if TRACEBACK not in row.says:
        assert len([line for line in end.said if not any(word in line for word in (WAITING, NO_ROOM))]) == len(
            [text for text in row.says if WAITING not in text]
        ), end.stderr
    if not row.status:
        return
    assert (end.found["status"], end.found.get("reason")) == (row.status, row.reasons.get(version, row.reason)), (end.found, end.stderr)
    points = list(range(row.reports * PER_REPORT))
    assert end.found["scalars"]["loss"]["train"] == {"x": points, "y": [float(point) for point in points]}
    assert sorted(end.found["console"]) == [f"part {part}" for part in range(row.reports)]
    assert end.journals == []
