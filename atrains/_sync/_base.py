"""What the blocking classes need beyond delegation, written by hand: twins of async objects, `init` and `ainit`, context managers.

The rest is generated.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator, Mapping
from importlib import import_module
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, ClassVar, Final, Self, TypeVar, cast

from atrains import _config
from atrains._api import current
from atrains._api.task import unpickle as unpickle_core
from atrains._async import capturing, connections, watching
from atrains._async.artifact import ArtifactMapping
from atrains._async.task import AsyncTask
from atrains._async.watching import check_watch
from atrains._async.wish import check_same, check_wish
from atrains._engine.disabled import DisabledChannel
from atrains._engine.endings import ending_of
from atrains._engine.process import process
from atrains._portal import exit as process_exit
from atrains._portal.portal import LoopGoneError, run_on
from atrains.errors import SyncInAsyncError, UsageError
from atrains.types import TaskStatusEnum, TaskTypes

T = TypeVar("T")
_END: Final = object()


class Twin:
    """The blocking face of an async object. One twin per object, so that identity means the same in both worlds."""

    _core: Any
    _twins: ClassVar[dict[type, type[Twin]]] = {}

    @classmethod
    def _of(cls, core: Any) -> Self:
        """The twin of an async object."""
        twin = core.__dict__.get("_twin")
        if twin is None:
            made = object.__new__(cls)
            made._core = core
            twin = core.__dict__.setdefault("_twin", made)  # of two threads that ask first, both get the same one
        return cast("Self", twin)

    @staticmethod
    def _block(core: Any, make: Callable[[], Coroutine[Any, Any, T]], name: str) -> T:
        """Run a coroutine of an async object (or of its class) where it belongs, and wait for it; `name` is what to await instead."""
        channel = vars(core).get("_channel")  # none in what was unpickled: it is connected by its first call
        if isinstance(channel, DisabledChannel) or (channel is None and _config.settings().mode is _config.Mode.DISABLED):
            return _run_inline(make())
        runtime = vars(core).get("_runtime")
        task = f" of task {core.id}" if isinstance(core, AsyncTask) else ""
        instead = f"`await {name}` on the async twin{task}"
        if runtime is None or runtime.is_gone:
            return process_exit.watched_portal().run(make, instead=instead)
        if runtime.loop is process_exit.watched_portal().loop:
            return process_exit.watched_portal().run(make, instead=instead)
        if runtime.loop is _running_loop():
            raise SyncInAsyncError(f"{name} would stop the event loop that has to serve it: use {instead}")
        with contextlib.suppress(LoopGoneError):
            return run_on(runtime.loop, make, is_gone=lambda: bool(runtime.is_gone))
        return process_exit.watched_portal().run(make, instead=instead)

    @classmethod
    def _iterate(cls, core: Any, make: Callable[[], AsyncGenerator[Any]], name: str) -> Generator[Any]:
        """Go through an async generator where it belongs, one blocking call an item; left early or not, it is closed in the end."""
        source = make()
        is_finalizing = sys.is_finalizing  # a name of its own: the modules may be empty by the time that it is asked
        try:
            while (item := cls._block(core, lambda: fetch(anext(source, _END)), name)) is not _END:
                yield wrap(item)
        finally:
            # Dropped on the thread that serves it (the garbage collector runs anywhere), as the process ends, or while a second Ctrl-C left
            # it running: its loop closes it.
            if not is_finalizing():
                with contextlib.suppress(UsageError, RuntimeError):
                    cls._block(core, source.aclose, name)

    def __reduce__(self) -> tuple[object, ...]:
        if all("__reduce__" not in vars(kind) for kind in type(self._core).__mro__[:-1]):
            raise TypeError(f"a {type(self).__name__} cannot be pickled; pass its id, and open it there")
        return unpickle, (type(self), self._core)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        return self

    def _repr_html_(self) -> str | None:
        show: Callable[[], str] | None = getattr(self._core, "_repr_html_", None)
        return None if show is None else show().replace(type(self._core).__name__, type(self).__name__, 1)

    def __repr__(self) -> str:
        return repr(self._core).replace(type(self._core).__name__, type(self).__name__, 1)


def wrap(value: Any) -> Any:
    """What the async core returned, with every async object replaced by its twin."""
    twin = Twin._twins.get(type(value)) or _load_twin(type(value))  # one module  # noqa: SLF001
    if twin is not None:
        return twin._of(value)  # noqa: SLF001
    if isinstance(value, list | tuple):
        return type(value)(wrap(item) for item in value)
    if isinstance(value, ArtifactMapping | MappingProxyType | dict):
        return type(value)({key: wrap(item) for key, item in value.items()})
    return value


def _load_twin(kind: type) -> type[Twin] | None:
    """The twin of a class whose module nobody has asked for yet: it has the name of that of the async class."""
    package, _, module = kind.__module__.rpartition(".")
    if package != "atrains._async":
        return None
    with contextlib.suppress(ModuleNotFoundError):  # a part of a class, or something that has no twin
        import_module(f"atrains._sync.{module}")
    return Twin._twins.get(kind)  # noqa: SLF001


def unwrap(value: Any) -> Any:
    """An argument, with every twin replaced by its async object."""
    if isinstance(value, Twin):
        return value._core  # one module  # noqa: SLF001
    return type(value)(unwrap(item) for item in value) if isinstance(value, list | tuple) else value


def unpickle(kind: type[Twin], core: Any) -> Twin:
    """The twin of a pickle. A task is loaded: its blocking members have nowhere to wait."""
    twin = kind._of(core)  # noqa: SLF001  # one module
    if isinstance(twin, TaskTwin):
        twin._load()  # noqa: SLF001
    return twin


async def fetch(pending: Awaitable[T]) -> T:
    """Await something as a coroutine."""
    return await pending


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _run_inline(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends, without any loop: with atrains disabled there is no thread."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return cast("T", stop.value)
    coroutine.close()
    raise RuntimeError("a disabled call waited for something")


class Opening:
    """What `Task.ainit` returns: await it for the task, or enter it to have the run closed at the end of the block."""

    def __init__(self, make: Callable[[], Coroutine[Any, Any, AsyncTask]]) -> None:
        self._make = make
        self._task: AsyncTask | None = None

    def __await__(self) -> Generator[Any, Any, AsyncTask]:
        return self._make().__await__()

    async def __aenter__(self) -> AsyncTask:
        self._task = await self._make()
        return self._task

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._task is not None:
            await self._task.__aexit__(kind, error, trace)


class Enumerations:
    """The enumerations as members of `Task`.

    A class of their own: inside the class that has them, their names would stand for the members.
    """

    TaskTypes: ClassVar = TaskTypes
    TaskStatusEnum: ClassVar = TaskStatusEnum


class TaskTwin(Enumerations, Twin):
    """The hand-written part of `Task`."""

    def __init__(self) -> None:
        raise UsageError(
            "a task is not made by calling Task(): use Task.init for the current run, Task.ainit in asyncio code, "
            "Task.get_task for an existing one"
        )

    @classmethod
    def init(
        cls,
        project_name: str | None = None,
        task_name: str | None = None,
        task_type: TaskTypes | str | None = TaskTypes.training,
        reuse_last_task_id: bool | str = True,  # the documented signature
        output_uri: str | Path | bool | None = None,
        auto_connect_arg_parser: bool | dict[str, bool] = True,
        auto_connect_frameworks: bool | dict[str, bool] = True,
        auto_resource_monitoring: bool | Mapping[str, Any] = True,
        *,
        auto_connect_streams: bool | Mapping[str, bool] = True,
        continue_last_task: bool | str = False,
    ) -> Self:
        """Begin the process's main run. Two lines in a script; the run ends with the process, with the right status.

        Args:
            project_name: At least 3 characters; the repository's name by default. Created when there is none.
            task_name: At least 3 characters; the script's file name by default.
            task_type: A member of `TaskTypes` or its name.
            reuse_last_task_id: True, the default, resets and reuses the last task of this project, name and type, unless it has artifacts
                or models, or was published or archived. A text reuses the task of that id in the same way; where there is none, the new
                task gets the id, if the home lets a program choose it (the local home and `atrains serve` do). False always creates one.
            output_uri: A folder or a file server for artifacts and models, instead of the home itself, which True means as well.
            auto_connect_arg_parser: Which arguments of argparse are stored, under `Args`, and take the values of the task under an agent:
                True for all, False for none, or a dictionary of their names, with `*` for those that it does not name (True by default;
                an empty one means False). They may be parsed before or after this call, but not before atrains is imported.
            auto_connect_frameworks: No framework is connected on its own yet. `{"detect_repository": False}` keeps the program itself from
                being recorded: repository, difference, entry point and packages.
            auto_resource_monitoring: Whether the machine is watched while the main run is open; or a dictionary with `report_start_sec`
                (seconds to the first point, 10 by default), `report_frequency_sec` (30), `sample_frequency_per_sec` (0.5) and
                `report_mem_used_per_process` (True: this process and its children; False: the whole machine).
            auto_connect_streams: What is captured to the task's console while the run is open: True for standard output and standard
                error, False for nothing, or a dictionary with some of `stdout`, `stderr` and `logging`. Never under an agent, which
                captures the output itself.
            continue_last_task: Go on with the last task (or the one of that id) behind its last iteration, keeping what it holds.

        Returns:
            The main task; the open one when there is one already; in a child of a process with a main task that one, to report to.

        Raises:
            UsageError: the open main task is of another project, name or type.
            ValidationError: a name that is too short, an unknown type, what cannot be an id.
            NotFoundError: there is no task of the id to continue, or to reuse on a server that makes ids itself; no task was made.
            HomeError: the local home cannot be written to.

        Example:
            >>> task = Task.init("project", "name")
            >>> task.get_logger().report_scalar("loss", "train", value=0.25, iteration=10)
        """
        watch = check_watch(auto_connect_streams, auto_resource_monitoring)
        with process().opening:
            open_task = current.open_task_at(_config.settings())
            if open_task is not None:
                check_same(open_task, (project_name, task_name, task_type))
                process_exit.install()  # the main thread may set the signals that the thread of the first call could not
                return cls._of(open_task)
            wish = check_wish(
                project_name, task_name, task_type, reuse=reuse_last_task_id, output_uri=output_uri, continued=continue_last_task
            )
            task = cls._block(AsyncTask, lambda: AsyncTask.open(wish), "Task.ainit(...)")
            current.enter(task)
            current.offer_main(task)
            connections.begin(task, auto_connect_arg_parser)
            watching.begin(task, watch)
            capturing.begin(task, auto_connect_frameworks)
        process_exit.install()
        return cls._of(task)

    @classmethod
    def ainit(
        cls,
        project_name: str | None = None,
        task_name: str | None = None,
        task_type: TaskTypes | str | None = TaskTypes.training,
        reuse_last_task_id: bool | str = False,  # the documented signature
        output_uri: str | Path | bool | None = None,
        auto_connect_arg_parser: bool | dict[str, bool] = True,
        auto_connect_frameworks: bool | dict[str, bool] = True,
        auto_resource_monitoring: bool | Mapping[str, Any] = True,
        *,
        auto_connect_streams: bool | Mapping[str, bool] = True,
        continue_last_task: bool | str = False,
    ) -> Opening:
        """Begin a run in asyncio code: `await` it, or use it in `async with`, which closes the run at the end of the block.

        See `AsyncTask.init` for the arguments; a new task is created unless `reuse_last_task_id` says otherwise.

        Returns:
            Something to await or to enter; either gives an `AsyncTask`.

        Example:
            >>> async with Task.ainit("project", "name") as task:
            ...     task.get_logger().report_scalar("loss", "train", value=0.25, iteration=10)
        """

        async def make() -> AsyncTask:
            task = await AsyncTask.init(
                project_name,
                task_name,
                task_type,
                reuse_last_task_id,
                output_uri,
                auto_connect_arg_parser,
                auto_connect_frameworks,
                auto_resource_monitoring,
                auto_connect_streams=auto_connect_streams,
                continue_last_task=continue_last_task,
            )
            process_exit.install()
            return task

        return Opening(make)

    @classmethod
    def _from_pickle(cls, task: str, place: str, offset: int) -> Self:
        """The task of a pickled logger."""
        return cast("Self", unpickle(cls, unpickle_core(AsyncTask, task, place, offset)))

    def _load(self) -> None:
        core: AsyncTask = self._core
        if not core._is_loaded:  # noqa: SLF001  # one class in two worlds
            self._block(core, core.reload, "task.reload()")
            process_exit.install()

    def execute_remotely(
        self,
        queue_name: str | None = None,
        clone: bool = False,  # documented
        exit_process: bool = True,
    ) -> Self | None:
        """Have an agent execute the task, or a copy of it, instead of this process. Under an agent it does nothing: the program goes on.

        The queue is looked up first: where there is none of that name, the run goes on. What was reported is delivered and the program is
        recorded before anything is handed over.

        Args:
            queue_name: The exact name of the queue. None leaves the task, or the copy, as a draft.
            clone: Hand over a copy, and leave this task as it is. False ends this run and resets the task, which becomes a draft without
                what it reported, and hands that over.
            exit_process: Leave the process with exit code 0, by a SystemExit that is raised here. A notebook's kernel goes on.

        Returns:
            None under an agent, and with atrains disabled. Otherwise, where the process goes on, the task that was handed over.

        Raises:
            SystemExit: all is done, and the process is to end.
            ValidationError: neither a copy nor the end of the process is wanted: two would work on one task.
            NotFoundError: there is no such queue; the message lists those that there are.
            UsageError: this process only reports to the run, which belongs to the one that started it: only a copy can be handed over.
            TaskStatusError: the task cannot be reset: it was published. The run has ended.
            TransportError: the home cannot be reached.

        Example:
            >>> task = Task.init("project", "name")
            >>> task.execute_remotely("default")  # here the program ends, and under an agent it goes on
        """
        core: AsyncTask = self._core
        task, leaves = self._block(
            core,
            lambda: core._hand_over(queue_name, clone=clone, exit_process=exit_process),  # noqa: SLF001  # one class in two worlds
            "task.execute_remotely(...)",
        )
        if leaves:
            sys.exit(0)  # here, and not on the loop, which it would end
        return cast("Self | None", wrap(task))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        core: AsyncTask = self._core
        self._block(core, lambda: core.end(ending_of(error)), "task.close()")
