"""Cancellation of every coroutine of a task, at every place where it waits.

Each coroutine is run again and again, and cancelled at its first suspension, at its second, and so on until it completes before its turn:
counted, not timed. It is cancelled in two ways: the moment it begins to wait, and the moment in which what it waited for is there already
but it does not know yet. After each: nothing is left behind, and the same call succeeds.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from atrains import AsyncInputModel, AsyncTask
from atrains._engine.process import process
from atrains._engine.runtime import Runtime
from atrains.errors import NotFoundError, TaskStatusError, ValidationError, WaitTimeoutError
from tests.conformance.conftest import AsyncWorld, make_queue, own

Task = Any
Make = Callable[[Task], Coroutine[Any, Any, Any]]

BACKGROUND: Final = {"atrains-host", "atrains-reporter", "atrains-recovery", "atrains-monitor", "atrains-uploads", "atrains-lookout"}
SPARE: Final = 4
"""Sockets, of both ends, that may have come to be kept for further calls."""
PATIENCE: Final = 5.0
"""Seconds in which what a cancelled call left to its clean-up has to be gone."""


class Counted(Awaitable[Any]):
    """A coroutine whose suspensions are counted, and which is cancelled at one of them.

    Args:
        coroutine: What is run.
        at: The suspension at which it is cancelled, from 1.
        late: Cancel it once what it waits for has happened, just before it goes on.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, Any], at: int, *, late: bool) -> None:
        self.coroutine = coroutine
        self.at = at
        self.late = late
        self.suspensions = 0

    def __await__(self) -> Generator[Any, Any, Any]:
        send: Callable[[], Any] = lambda: self.coroutine.send(None)  # noqa: E731
        while True:
            try:
                waits_for = send()
            except StopIteration as stop:
                return stop.value
            self.suspensions += 1
            if self.suspensions == self.at:
                self._cancel(waits_for)
            try:
                value = yield waits_for
            except BaseException as error:  # all of it belongs to the coroutine  # noqa: BLE001
                send = self._throwing(error)
            else:
                send = self._sending(value)

    def _cancel(self, waits_for: Any) -> None:
        task = asyncio.current_task()
        assert task is not None
        if self.late and waits_for is not None:
            waits_for.add_done_callback(lambda _: task.cancel())  # before the task's own, which comes with the suspension
        else:
            task.cancel()

    def _throwing(self, error: BaseException) -> Callable[[], Any]:
        return lambda: self.coroutine.throw(error)

    def _sending(self, value: Any) -> Callable[[], Any]:
        return lambda: self.coroutine.send(value)


class NEVER(Exception):  # noqa: N818  # no call raises it
    """Where the same call may always be made again."""


@dataclass(frozen=True)
class Call:
    """A coroutine with its arguments.

    Attributes:
        make: Makes it, of a task that is there.
        of: What the task is: a `draft` of its own for each call, or a `run` that reported. An `enqueuable` one is a draft, and there is
            a queue of its name; a `queued` one waits there. A `registered` one is a run with a registered table.
        done: What the second call raises where the cancelled one had been carried out.
    """

    make: Make
    of: str = "draft"
    done: type[Exception] = NEVER


async def _leave(task: Task, *queue: str, clone: bool = False) -> None:
    with contextlib.suppress(SystemExit):  # which would end this process
        await task.execute_remotely(*queue, clone=clone)


async def _ended(task: Task) -> None:
    await task.mark_started(force=True)
    await task.mark_completed()


async def _read_all(task: Task) -> int:
    async with aclosing(task.iter_reported_scalars()) as chunks:
        return sum([len(chunk) async for chunk in chunks])


CALLS: Final[dict[str, Call]] = {
    "add_tags": Call(lambda task: task.add_tags(["one"])),
    "clone": Call(lambda task: AsyncTask.clone(task, comment="")),
    "close": Call(lambda task: task.close(), of="run"),
    "connect_configuration": Call(lambda task: task.connect_configuration({"layers": 3})),
    "connect_label_enumeration": Call(lambda task: task.connect_label_enumeration({"cat": 1})),
    "completed": Call(lambda task: task.completed(), of="run"),
    "connect": Call(lambda task: task.connect({"lr": 0.1})),
    "connect: a model": Call(lambda task: task.connect(task.input_model), of="modelled"),
    "create": Call(lambda _: AsyncTask.create("project of its own", "a draft")),
    "delete": Call(lambda task: task.delete(raise_on_error=True), done=NotFoundError),
    "delete: with files": Call(lambda task: task.delete(raise_on_error=True, force=True), of="run", done=NotFoundError),
    "dequeue": Call(AsyncTask.dequeue, of="queued"),
    "enqueue": Call(lambda task: AsyncTask.enqueue(task, task.name), of="enqueuable", done=TaskStatusError),
    "execute_remotely": Call(lambda task: _leave(task, "default"), of="run", done=TaskStatusError),
    "execute_remotely: a copy": Call(lambda task: _leave(task, "default", clone=True), of="run"),
    "execute_remotely: no queue": Call(_leave),
    "flush": Call(lambda task: task.flush(), of="run"),
    "get_all": Call(lambda _: AsyncTask.get_all(name="^a draft$")),
    "get_by_name": Call(lambda _: AsyncTask.get_by_name("a draft")),
    "get_configuration_object_as_dict": Call(lambda task: task.get_configuration_object_as_dict("General"), of="configured"),
    "get_debug_samples": Call(lambda task: task.get_debug_samples("title", "series"), of="run"),
    "get_last_iteration": Call(lambda task: task.get_last_iteration(), of="run"),
    "get_last_scalar_metrics": Call(lambda task: task.get_last_scalar_metrics(), of="run"),
    "get_models": Call(lambda task: task.get_models(), of="modelled"),
    "get_project_name": Call(lambda task: task.get_project_name()),
    "get_reported_console_output": Call(lambda task: task.get_reported_console_output(5), of="run"),
    "get_reported_plots": Call(lambda task: task.get_reported_plots(), of="run"),
    "get_reported_scalars": Call(lambda task: task.get_reported_scalars(), of="run"),
    "get_reported_single_values": Call(lambda task: task.get_reported_single_values(), of="run"),
    "get_status": Call(lambda task: task.get_status()),
    "get_task": Call(lambda _: AsyncTask.get_task(project_name="project", task_name="a draft")),
    "get_tasks": Call(lambda task: AsyncTask.get_tasks(project_name="project", task_filter={"id": [task.id]})),
    "init": Call(lambda _: AsyncTask.init("project", "opened", reuse_last_task_id=True), of="nothing"),
    "iter_reported_scalars": Call(_read_all, of="run"),
    "mark_completed": Call(lambda task: task.mark_completed(), of="run"),
    "mark_failed": Call(lambda task: task.mark_failed(), of="run"),
    "mark_started": Call(lambda task: task.mark_started(force=True)),
    "mark_stopped": Call(lambda task: task.mark_stopped(force=True), of="run"),
    "publish": Call(lambda task: task.publish(), of="ended", done=TaskStatusError),
    "reload": Call(lambda task: task.reload()),
    "reset": Call(lambda task: task.reset(set_started_on_success=True), of="run"),
    "save_exec_model_design_file": Call(lambda task: task.save_exec_model_design_file("design.txt"), of="configured"),
    "set_input_model": Call(lambda task: task.set_input_model(model_name="a published one"), of="modelled"),
    "set_output_model_id": Call(lambda task: task.set_output_model_id(task.input_model_id), of="modelled"),
    "set_base_docker": Call(lambda task: task.set_base_docker("image --ipc=host")),
    "set_archived": Call(lambda task: task.set_archived(True)),
    "set_comment": Call(lambda task: task.set_comment("why")),
    "set_configuration_object": Call(lambda task: task.set_configuration_object("General", "layers = 3")),
    "set_last_iteration": Call(lambda task: task.set_last_iteration(5), of="run"),
    "set_model_label_enumeration": Call(lambda task: task.set_model_label_enumeration({"cat": 1})),
    "set_name": Call(lambda task: task.set_name("a draft")),
    "set_output_uri": Call(lambda task: task.set_output_uri(os.path.join(tempfile.gettempdir(), "..", "models"))),
    "set_parameter": Call(lambda task: task.set_parameter("lr", 0.1)),
    "set_parameters": Call(lambda task: task.set_parameters({"lr": 0.1})),
    "set_parameters_as_dict": Call(lambda task: task.set_parameters_as_dict({"General": {"lr": 0.1}})),
    "set_parent": Call(lambda task: task.set_parent(None)),
    "set_project": Call(lambda task: task.set_project(project_name="another project")),
    "set_system_tags": Call(lambda task: task.set_system_tags(["mine"])),
    "set_tags": Call(lambda task: task.set_tags(["one"])),
    "setup_upload": Call(lambda task: task.setup_upload(os.path.join(tempfile.gettempdir(), "..", "models"))),
    "started": Call(lambda task: task.started()),
    "stats": Call(lambda task: task.stats(), of="run"),
    "stopped": Call(lambda task: task.stopped(), of="run"),
    "unregister_artifact": Call(lambda task: task.unregister_artifact("table"), of="registered", done=ValidationError),
    "update_model_desc": Call(lambda task: task.update_model_desc(__file__)),
    "update_output_model": Call(lambda task: task.update_output_model("file:///elsewhere/model.pt"), of="modelled"),
    "update_output_model_and_upload": Call(lambda task: task.update_output_model_and_upload(__file__, iteration=3), of="run"),
    "update_parameters": Call(lambda task: task.update_parameters({"lr": 0.1})),
    "set_artifacts": Call(
        lambda task: task.set_artifacts([{"key": "elsewhere", "type": "custom", "uri": "https://example.com/x"}]), of="run"
    ),
    "upload_artifact": Call(lambda task: task.upload_artifact("table", {"a": 1}), of="run"),
    "wait_for_status": Call(lambda task: task.wait_for_status("created", timeout=20)),
    "wait_for_status: in vain": Call(
        lambda task: task.wait_for_status("queued", check_interval_sec=0.03, timeout=0.1), done=WaitTimeoutError
    ),
}
INNER: Final = {"open", "end"}
"""What `init` and `close` consist of."""
UNDER_AN_AGENT: Final = {"register_abort_callback"}
"""What waits only there."""


async def make_task(kind: str) -> Task:
    """A task in the state that a call needs."""
    if kind == "nothing":
        return None
    if kind in {"run", "registered"}:
        task = await AsyncTask.init("project", "a run")
        if kind == "registered":
            import pandas as pd

            task.register_artifact("table", pd.DataFrame({"a": [1, 2]}))
        log = task.get_logger()
        log.report_scalar("a", "b", 1.0, 1)
        log.report_text("a line", print_console=False)
        return task
    task = await AsyncTask.create("project", own("a draft") if kind in {"enqueuable", "queued"} else "a draft")
    if kind in {"enqueuable", "queued"}:
        await make_queue(AsyncWorld(), task.name)
    if kind == "configured":
        await task.set_configuration_object("General", "layers = 3")
    if kind == "modelled":
        model = await AsyncInputModel.import_model(
            "file:///model.pt", "layers = 3", None, {"cat": 1}, "a published one", create_as_published=True
        )
        await task.connect(model)
    if kind == "queued":
        await AsyncTask.enqueue(task, task.name)
    if kind == "ended":
        await _ended(task)
    return task


def open_files() -> Counter[str]:
    """The open descriptors of this process by what they are."""
    found: Counter[str] = Counter()
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # that of the listing itself
            target = os.readlink(f"/proc/self/fd/{name}")
            found["socket" if target.startswith("socket:") else target] += 1
    return found


@dataclass(frozen=True)
class Held:
    """What a process holds that a call could leave behind."""

    tasks: frozenset[asyncio.Task[Any]]
    files: Counter[str]
    journals: frozenset[str]
    temporary: frozenset[str]
    runs: frozenset[str]
    waits: int
    locks: tuple[bool, ...]

    @classmethod
    async def now(cls, folder: Path) -> Held:
        return cls(
            frozenset(asyncio.all_tasks()),
            open_files(),
            frozenset(path.name for path in (folder / "atrains" / "journals").glob("*")),
            frozenset(os.listdir(tempfile.gettempdir())),
            frozenset(process().open_runs),
            len(Runtime.current().waits._shared),
            await asyncio.to_thread(locks_held),
        )

    def left_by(self, before: Held, *, at_rest: bool) -> dict[str, Any]:
        """What is there now that was not there before, by what it is; while a task is open, without what may run in its background."""
        files = self.files - before.files
        # Connections that are kept for the next call, to a server and (one a worker thread) to the index, come when they are first needed.
        kept = {name: count for name, count in files.items() if name != "socket" and "index.db" not in name}
        found = {
            "tasks": [repr(task) for task in self.tasks - before.tasks if at_rest or task.get_name() not in BACKGROUND],
            "files": kept if at_rest else {},
            "journals": self.journals - before.journals if at_rest else (),
            "temporary files": self.temporary - before.temporary,
            "runs": self.runs - before.runs,
            "waits": self.waits - before.waits,
            "locks": self.locks.count(True),
        }
        return {name: value for name, value in found.items() if value}


def locks_held() -> tuple[bool, ...]:
    """Whether another thread could not take the locks of the process."""
    held = []
    for lock in (process().lock, process().opening, process().stamping):
        taken = lock.acquire(timeout=1)
        if taken:
            lock.release()
        held.append(not taken)
    return tuple(held)


async def left_behind(before: Held, folder: Path, *, at_rest: bool) -> dict[str, Any]:
    """What a call left, once its clean-up had its time."""
    end = asyncio.get_running_loop().time() + PATIENCE
    while True:
        left = (await Held.now(folder)).left_by(before, at_rest=at_rest)
        if not left or asyncio.get_running_loop().time() > end:
            return left
        await asyncio.sleep(0.005)


async def try_at(call: Call, at: int, *, late: bool, folder: Path, cold: bool = False) -> bool:
    """Cancel a call at one suspension, and make the same call again; False when it was not suspended so often."""
    where = f"cancelled at suspension {at}{', late' if late else ''}"
    at_first = await Held.now(folder)
    task = await make_task(call.of)
    if cold:
        await disconnect()
    before = await Held.now(folder)
    counted = Counted(call.make(task), at, late=late)
    running = asyncio.create_task(_await(counted))
    await asyncio.wait({running}, timeout=PATIENCE)
    assert running.done(), f"{where}: it goes on"
    cancelled = running.cancelled()
    if cancelled:
        left = await left_behind(before, folder, at_rest=False)
        assert not left, f"{where}: left {left}"
    elif running.exception() is None:
        assert counted.suspensions < at or not at, f"{where}: it went on as if it had not been"
    else:
        assert isinstance(running.exception(), call.done), f"{where}: {running.exception()!r}"
    del running
    again = None
    with contextlib.suppress(call.done):  # the cancelled one had been carried out
        again = await asyncio.wait_for(call.make(task), PATIENCE)
    for opened in (again, task, *process().open_runs.values()):
        if isinstance(opened, AsyncTask):
            await opened.close()
    del again, task
    left = await left_behind(at_first, folder, at_rest=True)
    assert not left, f"{where}, and closed: left {left}"
    return counted.suspensions >= at > 0


async def disconnect() -> None:
    """Leave the homes, as if the process had not called any yet."""
    for channel in list(process().channels.values()):
        await channel.transport.aclose()
    process().channels.clear()


async def _await(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


@pytest.fixture
def temporary(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Temporary files of their own, in which nobody else leaves any, and a working directory."""
    monkeypatch.chdir(tmp_path_factory.mktemp("working"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("temporary")))


async def try_everywhere(call: Call, folder: Path, *, late: bool, cold: bool = False) -> None:
    assert not await try_at(call, 0, late=late, folder=folder)  # makes what is kept for the next call
    connections = open_files()["socket"]
    at = 1
    while await try_at(call, at, late=late, folder=folder, cold=cold):
        at += 1
    assert at > 1, "it never waits"
    assert open_files()["socket"] <= connections + SPARE


@pytest.mark.parametrize("late", [False, True], ids=["waiting", "woken"])
@pytest.mark.parametrize("name", sorted(CALLS))
async def test_a_call_can_be_cancelled_wherever_it_waits(name: str, late: bool, tmp_path: Path, temporary: None) -> None:
    await try_everywhere(CALLS[name], tmp_path, late=late)


@pytest.mark.parametrize("late", [False, True], ids=["waiting", "woken"])
@pytest.mark.parametrize("name", ["create", "init", "get_task"])
async def test_the_first_call_of_a_process_can_be_cancelled_wherever_it_waits(
    name: str, late: bool, tmp_path: Path, temporary: None
) -> None:
    """It opens the home, or connects and logs in."""
    await try_everywhere(CALLS[name], tmp_path, late=late, cold=True)


def test_every_coroutine_is_cancelled() -> None:
    waits = (inspect.iscoroutinefunction, inspect.isasyncgenfunction)
    coroutines = {name for kind in waits for name, _ in inspect.getmembers(AsyncTask, kind) if not name.startswith("_")}
    named = {name.partition(":")[0] for name in CALLS}
    assert coroutines - INNER - UNDER_AN_AGENT == named, "a coroutine needs a call in CALLS, by which it is cancelled"


@pytest.mark.parametrize("late", [False, True], ids=["waiting", "woken"])
async def test_a_run_whose_begin_is_cancelled_does_not_stay_in_progress(late: bool) -> None:
    """Nobody holds it: nobody would ever end it."""
    name = own("project")
    project = (await AsyncTask.create(name, "a draft")).project
    at = 1
    while True:
        running = asyncio.create_task(_await(Counted(AsyncTask.init(name, "a run"), at, late=late)))
        await asyncio.wait({running})
        if not running.cancelled():
            break
        found = await AsyncTask.get_all(status="in_progress", project=[project], only_fields=["id"])
        assert found.response.tasks == [], f"cancelled at suspension {at}"
        at += 1
    assert at > 1


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("late", [False, True], ids=["waiting", "woken"])
async def test_a_deletion_that_is_cancelled_leaves_no_file_of_a_task_that_is_gone(late: bool, tmp_path: Path) -> None:
    suspensions, at = 0, 0
    while suspensions >= at:
        at += 1
        run = await AsyncTask.init("project", "a run", output_uri=tmp_path / "elsewhere")
        await run.upload_artifact("table", {"a": 1})
        await run.close()
        counted = Counted(run.delete(), at, late=late)
        await asyncio.wait({asyncio.create_task(_await(counted))}, timeout=PATIENCE)
        suspensions = counted.suspensions
        files = await asyncio.to_thread(files_below, tmp_path / "elsewhere")
        assert bool(files) == bool(await AsyncTask.get_tasks(task_filter={"id": [run.id]})), f"cancelled at suspension {at}"
        if files:
            await run.delete()


@pytest.mark.parametrize("late", [False, True], ids=["waiting", "woken"])
async def test_an_upload_that_is_cancelled_is_made_whole_or_not_at_all(late: bool) -> None:
    """Once it is in the journal its file is needed: it was removed, and the artifact was recorded as failed."""
    task = await AsyncTask.init("project", "a run")
    names: list[str] = []
    suspensions, at = 0, 0
    while suspensions >= at:
        at += 1
        counted = Counted(task.upload_artifact(f"table {at}", {"a": at}), at, late=late)
        await asyncio.wait({asyncio.create_task(_await(counted))}, timeout=PATIENCE)
        suspensions = counted.suspensions
        receipt = await task.flush(wait_for_uploads=True)
        assert receipt, f"cancelled at suspension {at}: {receipt}"
        names += task.uploads
    assert at > 1
    await task.close()
    found = await AsyncTask.get_task(task.id)
    for name in names:
        assert await found.artifacts[name].get() == {"a": int(name.split()[1])}
