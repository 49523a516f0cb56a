"""Which task is the current one, and how a process behaves while it records: contexts, loops, modes, what it prints and loads."""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from atrains import AsyncTask, Logger, Task
from atrains.errors import SyncInAsyncError, UsageError

RunScript = Callable[..., Any]
ReadTask = Callable[..., Any]


def in_a_thread(call: Callable[[], Any]) -> Any:
    """The result of a call in a plain thread, which has no context of ours."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(call()))
    thread.start()
    thread.join()
    return found[0]


def current_id() -> str | None:
    task = Task.current_task()
    return None if task is None else task.id


# ---- many tasks in one loop


async def test_fifty_tasks_of_one_loop_do_not_mix(atrains_home: Path) -> None:
    steps = 40
    ready = asyncio.Barrier(51)
    main = await Task.ainit("project", "the service itself")
    pool = concurrent.futures.ThreadPoolExecutor(2)

    async def experiment(number: int) -> str:
        async with Task.ainit("project", f"experiment {number}") as task:
            await ready.wait()
            log = task.get_logger()
            for step in range(steps):
                log.report_scalar("value", "own", value=number * 1000 + step, iteration=step)
                assert AsyncTask.current_task() is task
                if step % 10 == 0:
                    await asyncio.sleep(0)
            log.report_text(f"I am {number}", print_console=False)
            await task.connect({"number": number})
            # A call in a worker thread belongs to whoever made it; a thread or a pool with no context belongs to the process.
            assert await asyncio.to_thread(current_id) == task.id
            assert await asyncio.to_thread(in_a_thread, current_id) == main.id
            assert await asyncio.get_running_loop().run_in_executor(pool, current_id) == main.id
            current = Logger.current_logger()
            assert current is log
        assert current_id() == main.id, "behind its block a context is the process's again"
        return task.id

    async with asyncio.TaskGroup() as group:
        running = [group.create_task(experiment(number)) for number in range(50)]
        await ready.wait()
        assert AsyncTask.current_task() is main
    pool.shutdown()
    assert len({task.result() for task in running} | {main.id}) == 51
    for number, task in enumerate(running):
        found = await AsyncTask.get_task(task.result())
        assert found is not None
        assert await found.get_status() == "completed"
        assert found.get_parameters_as_dict() == {"General": {"number": str(number)}}
        assert await found.get_reported_console_output(9) == [f"I am {number}"]
        curve = (await found.get_reported_scalars())["value"]["own"]
        assert curve == {"x": list(range(steps)), "y": [float(number * 1000 + step) for step in range(steps)]}
    assert await main.get_reported_scalars() == {}
    assert await main.get_status() == "in_progress"
    assert len(list((atrains_home / "tasks").iterdir())) == 51


async def test_a_coroutine_that_was_started_inside_sees_the_task_and_may_open_its_own() -> None:
    async def helper() -> tuple[Any, Any]:
        inherited = AsyncTask.current_task()
        async with Task.ainit("project", "a part of it") as own:
            return inherited, own

    async with Task.ainit("project", "the whole") as whole:
        inherited, own = await asyncio.create_task(helper())
        assert inherited is whole
        assert own is not whole
        assert AsyncTask.current_task() is whole


async def test_a_second_ainit_of_a_context_is_the_same_task_or_an_error() -> None:
    first = await Task.ainit("project", "the service")
    assert await Task.ainit("project", "the service") is first
    assert await Task.ainit(task_type=None) is first
    with pytest.raises(UsageError, match=r"task_name='another'.*'the service'"):
        await Task.ainit("project", "another")
    await first.close()
    assert current_id() is None
    second = await Task.ainit("project", "another")
    assert second.id != first.id
    assert current_id() == second.id


def test_threads_that_begin_together_get_the_one_main_task(atrains_home: Path) -> None:
    start = threading.Barrier(8)

    def begin() -> Task:
        start.wait()
        task = Task.init("project", "threads")
        task.get_logger().report_scalar("a", "b", 1, threading.get_native_id())
        return task

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        tasks = [pending.result() for pending in [pool.submit(begin) for _ in range(8)]]
    assert all(task is tasks[0] for task in tasks)
    assert len(tasks[0].get_reported_scalars()["a"]["b"]["x"]) == 8
    assert len(list((atrains_home / "tasks").iterdir())) == 1


# ---- loops that come and go


def test_one_loop_after_another() -> None:
    async def serve(number: int) -> str:
        async with Task.ainit("project", f"loop {number}") as task:
            task.get_logger().report_scalar("a", "b", number, number)
            assert await task.get_last_iteration() == number
        return task.id

    ids = [asyncio.run(serve(number)) for number in range(4)]
    assert len(set(ids)) == 4
    assert [Task.get_task(task).status for task in ids] == ["completed"] * 4  # type: ignore[union-attr]  # they are there


def test_a_task_outlives_the_loop_that_opened_it() -> None:
    async def begin() -> AsyncTask:
        task = await Task.ainit("project", "many loops")
        task.get_logger().report_scalar("a", "b", 0, 0)
        return task

    async def go_on(task: AsyncTask, step: int) -> dict[str, Any]:
        task.get_logger().report_scalar("a", "b", step, step)
        return dict(await task.get_reported_scalars())

    task = asyncio.run(begin())
    task.get_logger().report_scalar("a", "b", 1, 1)  # no loop runs now
    for step in (2, 3):
        assert asyncio.run(go_on(task, step))["a"]["b"]["x"] == list(range(step + 1))
    twin = Task.current_task()
    assert twin is not None
    assert twin.id == task.id
    assert twin.get_last_iteration() == 3
    twin.close()
    assert asyncio.run(task.get_status()) == "completed"


LEFT_OPEN = """
import asyncio
from atrains import Task

async def main():
    task = await Task.ainit("project", "left open")
    for step in range(1000):
        task.get_logger().report_scalar("a", "b", step, step)
    %s

%s
"""


@pytest.mark.parametrize(
    ("last", "run", "code", "status"),
    [
        ("", "asyncio.run(main())", 0, "completed"),
        ("", "loop = asyncio.new_event_loop()\nloop.run_until_complete(main())\nloop.close()", 0, "completed"),
        pytest.param(
            "",
            "loop = asyncio.new_event_loop()\nloop.run_until_complete(main())",
            0,
            "completed",
        ),
        ("raise RuntimeError('out of memory')", "asyncio.run(main())", 1, "failed"),
    ],
    ids=["asyncio.run", "a closed loop", "a loop that only stopped", "an exception"],
)
def test_a_loop_that_ends_before_its_task_is_closed_still_delivers(
    last: str, run: str, code: int, status: str, run_script: RunScript, read_task: ReadTask
) -> None:
    finished = run_script(LEFT_OPEN % (last, run), PYTHONWARNINGS="default")
    assert finished.code == code, finished.stderr
    found = read_task(finished.task_ids[0])
    assert (found["status"], len(found["scalars"]["a"]["b"]["x"])) == (status, 1000)


# ---- blocking calls beside a running loop


async def test_init_works_where_a_loop_runs_already_as_in_a_notebook() -> None:
    task = Task.init("project", "a notebook")
    task.get_logger().report_scalar("a", "b", 1, 1)
    task.connect({"lr": 0.1})
    assert task.get_last_iteration() == 1
    assert Task.current_task() is task
    await asyncio.sleep(0)
    task.close()
    assert task.status == "completed"
    assert Task.current_task() is None


async def test_library_code_in_an_async_service_has_the_task_but_may_not_block_its_loop() -> None:
    async with Task.ainit("project", "a service") as core:
        task = Task.current_task()
        assert task is not None
        assert (task.id, task.name, task.is_main_task()) == (core.id, "a service", True)
        task.get_logger().report_scalar("a", "b", 1, 1)
        assert task.get_parameters_as_dict() == {}
        assert task.get_output_log_web_page().startswith("file://")
        for name, call in {
            "task.close": task.close,
            "task.flush": task.flush,
            "task.get_last_iteration": task.get_last_iteration,
            "task.connect": lambda: task.connect({"lr": 1}),
            "task.status": lambda: task.status,
        }.items():
            with pytest.raises(SyncInAsyncError) as raised:
                call()
            assert f"await {name}" in str(raised.value)
        # In a worker thread the same calls are served by the loop.
        assert await asyncio.to_thread(task.get_last_iteration) == 1
        assert await asyncio.to_thread(lambda: task.status) == "in_progress"


# ---- switched off, quiet, and what is printed


DISABLED = """
import asyncio, os, sys, threading
from atrains import AsyncTask, Task

before = threading.active_count()
task = Task.init("project", "a run")
log = task.get_logger()
log.report_scalar("a", "b", 1, 1)
log.report_scalar("a", "b", "no number", 1)
log.report_scalars("a", "b", values=[1, 2], iterations=[1, 2])
log.report_single_value("a", 1)
log.report_text("hello", print_console=False)
assert task.connect({"lr": 0.1, "deep": {"er": 1}}) == {"lr": 0.1, "deep": {"er": 1}}
assert task.get_parameters_as_dict() == {"General": {"lr": "0.1", "deep": {"er": "1"}}}
assert task.upload_artifact("a", {"b": 1}) is True
assert dict(task.artifacts) == {}
task.set_name("another"), task.set_comment("text"), task.set_tags("a b"), task.add_tags(["c"])
assert (task.name, task.comment, task.get_tags()) == ("another", "text", ["a", "b", "c"])
assert task.flush()
assert task.stats().scalars.pending == 0
assert task.get_reported_scalars() == {} == task.get_last_scalar_metrics() == task.get_reported_single_values()
assert (task.get_last_iteration(), task.get_reported_console_output(), task.status) == (0, [], "in_progress")
task.get_output_log_web_page(), task.cache_dir, task.reload(), task.get_project_name(), repr(task)
assert Task.current_task() is task and Task.get_task(task.id).id == task.id
Task.create("project", "a draft").close()
task.wait_for_status("in_progress", timeout=1)
task.mark_stopped(), task.mark_started(force=True), task.mark_completed(), task.publish(), task.reset()
task.close()
with Task.init("project", "a block") as task:
    task.get_logger().report_scalar("a", "b", 1, 1)
assert task.status == "completed"

async def serve():
    async with Task.ainit("project", "a service") as task:
        task.get_logger().report_scalar("a", "b", 1, 1)
        assert await task.flush()
    return await task.status

assert asyncio.run(serve()) == "completed"
assert threading.active_count() == before, threading.enumerate()
Task.init("project", "left open")
print("done")
"""


def test_disabled_takes_every_call_writes_nothing_and_starts_no_thread(
    user: Any, run_script: RunScript, tmp_path: Path, atrains_home: Path
) -> None:
    finished = run_script(DISABLED, ATRAINS_MODE="disabled", XDG_STATE_HOME=str(tmp_path / "state"))
    assert (finished.code, finished.stdout, finished.stderr) == (0, "done\n", "")
    assert not atrains_home.exists()
    assert not (tmp_path / "state").exists()
    assert [path.name for path in user.directory.iterdir()] == ["script.py"]


def test_the_lines_of_a_run_go_to_standard_error(run_script: RunScript, atrains_home: Path) -> None:
    script = "from atrains import Task\ntask = Task.init('project', 'a run')\nprint(task.id)\n"
    finished = run_script(script)
    task = finished.stdout.strip()
    created, kept = finished.stderr.splitlines()
    assert created == f"atrains: created task {task} 'a run'"
    assert str(atrains_home) in kept
    assert f"atrains show {task}" in kept
    again = run_script(script.replace("'a run'", "'a run', continue_last_task=True"))
    assert f"continuing task {task}" in again.stderr or f"continuing task from iteration 0, {task}" in again.stderr


def test_quiet_prints_nothing(run_script: RunScript, read_task: ReadTask) -> None:
    finished = run_script("from atrains import Task\nprint(Task.init('project', 'a run').id)\n", ATRAINS_QUIET="1")
    assert finished.stderr == ""
    assert read_task(finished.stdout.strip())["status"] == "completed"


def test_a_script_without_streams_records(run_script: RunScript, read_task: ReadTask) -> None:
    script = """
import sys
from atrains import Task

sys.stdout.close()
sys.stderr.close()
sys.stdout = sys.stderr = None
task = Task.init("project", "no streams")
task.get_logger().report_text("still kept")
task.get_logger().report_scalar("a", "b", float("nan"), 1)
"""
    assert run_script(script).code == 0
    found = read_task("project", "no streams")
    assert (found["status"], found["console"]) == ("completed", ["still kept"])


# ---- what is loaded


HEAVY = [
    "aiohttp",
    "pyhocon",
    "pyparsing",
    "tenacity",
    "rich",
    "psutil",
    "numpy",
    "pandas",
    "aiofiles",
    "anyio",
    "jwt",
    "zipfile",
    "plotly",
]
LATER = [
    "atrains._capture.script",
    "atrains._engine.dead",
    "atrains._engine.recovery",
    "atrains._wire.hocon_text",
    "bz2",
    "hashlib",
    "lzma",
    "shutil",
]
"""What few starts need, a millisecond or two each."""
NEVER = ["csv", "email", "http.client", "importlib.metadata", "random", "tempfile", "urllib.request", "zipfile"]
"""What looking at a program can do without: together 20 ms, which a short script would wait for at its end."""
DATA_CLASSES = 18
"""Those of our own that a start may make: half a millisecond each, frozen ones; a named tuple takes a tenth."""
START = """
import dataclasses, json, sys
from atrains import Task

task = Task.init("project", "a run")
task.get_logger().report_scalar("a", "b", 1, 1)
task.connect({"lr": 0.1})
task.flush()
print(json.dumps(sorted(sys.modules)))
"""
ASYNC_START = """
import asyncio, json, sys
from atrains import Task

async def main():
    async with Task.ainit("project", "a run") as task:
        task.get_logger().report_scalar("a", "b", 1, 1)

asyncio.run(main())
print(json.dumps(sorted(sys.modules)))
"""


@pytest.mark.parametrize("script", [START, ASYNC_START], ids=["Task.init", "Task.ainit"])
def test_the_first_run_loads_nothing_that_it_does_not_need(script: str, run_script: RunScript) -> None:
    finished = run_script(script, ATRAINS_CAPTURE="no")  # which begins a moment later, and loads what it takes to look at packages
    assert finished.code == 0, finished.stderr
    loaded = json.loads(finished.stdout)
    assert "atrains._engine.journal" in loaded
    assert [name for name in [*HEAVY, *LATER] if name in loaded] == []


def test_a_short_script_loads_and_makes_little(run_script: RunScript) -> None:
    count = (
        "made = {kind for name, module in list(sys.modules.items()) if name.startswith('atrains') for kind in vars(module).values()\n"
        "    if isinstance(kind, type) and dataclasses.is_dataclass(kind)}\n"
        "task.close()\n"
        "print(json.dumps([sorted(sys.modules), len(made)]))\n"
    )
    finished = run_script(START.replace("print(json.dumps(sorted(sys.modules)))\n", count))
    assert finished.code == 0, finished.stderr
    loaded, made = json.loads(finished.stdout)
    assert "atrains._capture.script" in loaded
    assert [name for name in [*HEAVY, *NEVER] if name in loaded] == []
    assert made <= DATA_CLASSES


def test_importing_atrains_touches_nothing(run_script: RunScript, atrains_home: Path) -> None:
    script = """
import json, logging, os, sys, threading
before = (sys.excepthook, sys.exit, threading.active_count(), dict(os.environ))
import atrains
assert before == (sys.excepthook, sys.exit, threading.active_count(), dict(os.environ))
assert [type(handler).__name__ for handler in logging.getLogger("atrains").handlers] == []
print(json.dumps(sorted(sys.modules)))
"""
    finished = run_script(script)
    assert (finished.code, finished.stderr) == (0, "")
    assert not {"asyncio", "sqlite3", "atrains._sync.task", "atrains._engine"} & set(json.loads(finished.stdout))
    assert not atrains_home.exists()


# ---- nothing of ours stays behind


@pytest.fixture
def threads() -> Iterator[None]:
    """No thread that would hold the process stays behind."""
    yield
    assert [thread for thread in threading.enumerate() if not thread.daemon and thread is not threading.main_thread()] == []


@pytest.mark.usefixtures("threads")
def test_a_closed_run_leaves_no_journal_and_no_thread_that_holds_the_process(atrains_home: Path) -> None:
    with Task.init("project", "a run") as task:
        task.get_logger().report_scalar("a", "b", 1, 1)
        assert list((atrains_home / "journals").iterdir())
    assert list((atrains_home / "journals").iterdir()) == []
