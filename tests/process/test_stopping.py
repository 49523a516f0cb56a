"""Runs that somebody stops from outside: the callback, the clean-up of the program, its exit code, and what is left of the task."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import finish

if TYPE_CHECKING:
    import subprocess

    from tests.conftest import User

SCRIPT = """
import time
from atrains import Task

task = Task.init("stopping", "a script", auto_connect_streams=False)

def save():
    task.get_logger().report_scalar("saved", "model", 1.0, 7)
    print("callback", flush=True)

task.register_abort_callback(save, 5.0)
task.get_logger().report_scalar("loss", "train", 0.5, 1)
print(task.id, flush=True)
try:
    time.sleep(60)
finally:
    print("cleaned up", flush=True)
"""
COROUTINES = """
import asyncio
from atrains import Task

async def work(name, begun):
    task = await Task.ainit("stopping", name)
    await task.register_abort_callback(lambda: print("callback of", name, flush=True))
    print(task.id, flush=True)
    begun.set()
    try:
        await asyncio.sleep(60 if name == "first" else 6)
    finally:
        print("cleaned up", name, flush=True)
        await task.close()

async def main():
    begun = asyncio.Event()
    first = asyncio.create_task(work("first", begun))
    await begun.wait()
    await asyncio.gather(first, work("second", begun), return_exceptions=True)
    print("cancelled", first.cancelled(), flush=True)

asyncio.run(main())
"""
STOP = """
import asyncio, sys
from atrains import AsyncTask
from atrains._wire import endpoints

async def main():
    task = await AsyncTask.get_task(sys.argv[1])
    if sys.argv[2] == "ask":  # as a web page does; it is only asked, unless it is being developed
        await task.set_system_tags([])
        await task._channel.transport.call(endpoints.TASKS_STOP, {"task": task.id})
    else:
        await getattr(task, sys.argv[2])(*sys.argv[3:])

asyncio.run(main())
"""
READ = """
import json, sys
from atrains import Task
task = Task.get_task(sys.argv[1])
print(json.dumps({"scalars": task.get_reported_scalars(), **task.data}))
"""
FAST = {"ATRAINS_FLUSH_PERIOD": "0.5"}


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def stop(user: User, task: str, *how: str) -> None:
    done = user.run(STOP, task, *how, name="stop.py")
    assert done.code == 0, done.stderr


def read(user: User, task: str) -> Any:
    done = user.run(READ, task, name="read.py")
    assert done.code == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("how", ["ask", "mark_stopped"])
def test_a_script_calls_back_cleans_up_and_ends_as_stopped(somebody: User, how: str) -> None:
    process = somebody.start(SCRIPT, **FAST)
    task = first_line(process)
    stop(somebody, task, how)
    done = finish(process)
    assert done.stdout.splitlines() == ["callback", "cleaned up"]
    assert done.code == 1
    assert "Traceback" not in done.stderr
    assert f"task {task} was {'asked to stop' if how == 'ask' else 'set to stopped'} from outside" in done.stderr
    found = read(somebody, task)
    assert found["status"] == "stopped"
    assert found["scalars"]["saved"]["model"]["y"] == [1.0], "what the callback reports is kept"
    if how == "ask":
        assert found["status_reason"] == "asked to stop from outside"


def test_a_status_that_somebody_set_stays(user: User) -> None:
    process = user.start(SCRIPT, **FAST)
    task = first_line(process)
    stop(user, task, "mark_failed")
    assert finish(process).stdout.splitlines() == ["callback", "cleaned up"]
    assert read(user, task)["status"] == "failed"


def test_of_several_runs_only_the_one_that_is_stopped_ends(somebody: User) -> None:
    process = somebody.start(COROUTINES, **FAST)
    first, second = first_line(process), first_line(process)
    stop(somebody, first, "ask")
    done = finish(process)
    assert done.stdout.splitlines() == ["callback of first", "cleaned up first", "cleaned up second", "cancelled True"]
    assert done.code == 0, done.stderr
    assert (read(somebody, first)["status"], read(somebody, second)["status"]) == ("stopped", "completed")


def test_a_program_that_sets_its_own_status_goes_on(user: User) -> None:
    script = """
import time
from atrains import Task
task = Task.init("stopping", "a script of its own mind")
Task.get_task(task.id).mark_completed()
task.mark_completed()
time.sleep(3)
task.reset(set_started_on_success=True)
time.sleep(2)
print(task.status)
"""
    done = user.run(script, **FAST)
    assert (done.code, done.stdout) == (0, "in_progress\n"), done.stderr


@pytest.mark.parametrize(("taken", "interrupted"), [(["SIGTERM"], False), (["SIGTERM", "SIGHUP"], True)])
def test_a_program_with_handlers_of_its_own_is_not_surprised(user: User, taken: list[str], interrupted: bool) -> None:
    """Its handlers are not called; where it leaves us no signal, it is interrupted."""
    script = "import signal\n" + "".join(f"signal.signal(signal.{name}, lambda *_: print('no'))\n" for name in taken) + SCRIPT
    process = user.start(script, **FAST)
    task = first_line(process)
    stop(user, task, "ask")
    done = finish(process)
    assert done.stdout.splitlines() == ["callback", "cleaned up"]
    assert ("KeyboardInterrupt" in done.stderr) == interrupted
    assert read(user, task)["status"] == "stopped"


def test_a_program_that_does_not_go_is_ended(user: User) -> None:
    script = """
import time
import atrains._portal.signals as signals
signals._GRACE = 1.0
from atrains import Task
task = Task.init("stopping", "a script that stays", auto_connect_streams=False)
task.register_abort_callback(lambda: time.sleep(60), 0.5)
task.get_logger().report_scalar("loss", "train", 0.5, 1)
print(task.id, flush=True)
while True:
    try:
        time.sleep(60)
    except SystemExit:
        print("stays", flush=True)
"""
    process = user.start(script, **FAST)
    task = first_line(process)
    stop(user, task, "ask")
    began = time.monotonic()
    done = finish(process)
    assert time.monotonic() - began < 20
    assert (done.code, done.stdout) == (1, "stays\n")
    assert "its abort callback took longer than 0.5 s" in done.stderr
    found = read(user, task)
    assert (found["status"], found["scalars"]["loss"]["train"]["y"]) == ("stopped", [0.5])


def test_it_can_be_switched_off(user: User) -> None:
    script = SCRIPT.replace("sleep(60)", "sleep(4)")
    (user.directory / "own.conf").write_text("sdk.development.support_stopping: false")
    process = user.start(script, **FAST, CLEARML_CONFIG_FILE="own.conf")
    task = first_line(process)
    stop(user, task, "ask")
    done = finish(process)
    assert (done.code, done.stdout.splitlines()) == (0, ["cleaned up"])
    assert read(user, task)["status"] == "completed"


@pytest.mark.parametrize("prefix", ["TRAINS_", "CLEARML_"])
def test_under_an_agent_the_callback_is_called_and_the_agent_told(somebody: User, prefix: str) -> None:
    """The status is up to the agent, who waits for the callback as long as the runtime properties say."""
    created = somebody.run("from atrains import Task; print(Task.create('stopping', 'for an agent').id)", name="create.py")
    task = created.stdout.strip()
    process = somebody.start(SCRIPT, **FAST, **{f"{prefix}TASK_ID": task})
    assert first_line(process) == task
    runtime = read(somebody, task)["runtime"]
    assert (runtime["_abort_callback_timeout"], runtime["_abort_poll_freq"]) == ("5", "0.5")
    stop(somebody, task, "ask")
    done = finish(process)
    assert (done.code, done.stdout.splitlines()) == (137, ["callback", "cleaned up"])  # which an agent takes for an aborted one
    found = read(somebody, task)
    assert (found["status"], found["runtime"]["_abort_callback_completed"]) == ("in_progress", "1")
    assert found["scalars"]["saved"]["model"]["y"] == [1.0]


def test_a_kernel_goes_on_when_its_run_is_stopped_or_handed_over(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cell that runs is interrupted; the next one runs, and may begin another run."""
    nbclient = pytest.importorskip("nbclient", reason="NOT TESTED: no kernel of Jupyter; nbclient and ipykernel are in the extra `dev`")
    pytest.importorskip("ipykernel", reason="NOT TESTED: no kernel of Jupyter; nbclient and ipykernel are in the extra `dev`")
    nbformat = pytest.importorskip("nbformat")
    begin = """
import time
from atrains import Task
task = Task.init("stopping", "a notebook", auto_connect_streams=False)
task.register_abort_callback(lambda: print("callback", flush=True))
open("id", "w").write(task.id)
"""
    hand_over = "another = Task.init('stopping', 'handed over', auto_connect_streams=False); another.execute_remotely('default')"
    cells = (begin, "time.sleep(60)", "print(task.status, task.is_closed)", hand_over, "print(another.status)")
    monkeypatch.chdir(user.directory)
    for name, value in user.environment(**FAST).items():
        monkeypatch.setenv(name, value)
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])

    def stop_it() -> None:
        while not (user.directory / "id").exists():
            time.sleep(0.1)
        time.sleep(0.5)  # the cell that sleeps has begun
        stop(user, (user.directory / "id").read_text(), "ask")

    outside = threading.Thread(target=stop_it)
    outside.start()
    nbclient.NotebookClient(book, timeout=90, allow_errors=True).execute()
    outside.join()
    outputs = [
        "".join(output.get("text", output.get("ename", "")) for output in cell.outputs if output.get("name") != "stderr")
        for cell in book.cells
    ]
    assert "KeyboardInterrupt" in outputs[1]
    assert outputs[2:] == ["stopped True\n", "", "queued\n"]


CHILDREN = """
import multiprocessing, os, signal, subprocess, sys, time
from concurrent.futures import ProcessPoolExecutor
from atrains import Task

FOREVER = "import time; time.sleep(600)"

def work(number):
    task = Task.current_task() or Task.init("stopping", "with children", auto_connect_streams=False)
    task.get_logger().report_scalar("of children", str(number), float(number), 1)
    print("begun", os.getpid(), flush=True)
    if number == 2:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("stubborn", flush=True)
    time.sleep(600)

if __name__ == "__main__":
    task = Task.init("stopping", "with children", auto_connect_streams=False)
    print(task.id, flush=True)
    own = subprocess.Popen([sys.executable, "-c", FOREVER])
    deep = subprocess.Popen([sys.executable, "-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {FOREVER!r}])"])
    multiprocessing.get_context("spawn").Process(target=work, args=(1,)).start()
    multiprocessing.get_context("fork").Process(target=work, args=(2,)).start()
    print("pids", own.pid, deep.pid, flush=True)
    try:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
            pool.submit(work, 3)
            time.sleep(600)
    finally:
        own.kill()
        print("cleaned up", own.wait(), flush=True)
"""


def test_child_processes_end_with_the_program_and_what_they_reported_is_kept(somebody: User) -> None:
    import psutil

    process = somebody.start(CHILDREN, **FAST)
    task = first_line(process)
    lines: list[str] = []
    while sorted(line.split()[0] for line in lines) != ["begun", "begun", "begun", "pids", "stubborn"]:
        lines.append(first_line(process))
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 6  # with the one of a child, and those that multiprocessing starts for itself
    stop(somebody, task, "ask")
    began = time.monotonic()
    done = finish(process)
    assert time.monotonic() - began < 20, "the pool waits for what it was given, which never ends"
    assert (done.code, done.stdout.splitlines()) == (1, ["cleaned up -15"])
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    found = read(somebody, task)
    assert found["status"] == "stopped"
    assert {series: curve["y"] for series, curve in found["scalars"]["of children"].items()} == {"1": [1.0], "2": [2.0], "3": [3.0]}


def test_child_processes_of_a_program_that_goes_on_are_left_alone(user: User) -> None:
    begin = "async def main():\n"
    script = COROUTINES.replace(begin, f"{begin}    import subprocess\n    child = subprocess.Popen(['sleep', '60'])\n")
    script = script.replace('print("cancelled", first', 'print("child", child.poll()); child.kill(); print("cancelled", first')
    process = user.start(script, **FAST)
    first, _ = first_line(process), first_line(process)
    stop(user, first, "ask")
    done = finish(process)
    assert done.stdout.splitlines()[-2:] == ["child None", "cancelled True"]
