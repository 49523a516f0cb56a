"""TaskBase: the state of one task object and everything it can answer without asking its home. What does I/O is in `_async`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, SupportsIndex

from atrains._api import current
from atrains._api.console import TaskConsole
from atrains._api.deprecation import deprecated
from atrains._api.logger import Logger
from atrains._api.reporter import Reporter
from atrains._api.task_files import TaskFiles
from atrains._config import Settings, settings
from atrains._engine.channel import Channel
from atrains._engine.disabled import DisabledChannel
from atrains._engine.places import place_of
from atrains._engine.process import process
from atrains._engine.runtime import Runtime
from atrains._engine.turns import Turn
from atrains._wire.events import whole_number
from atrains.errors import NotFoundError, TaskClosedError, UsageError, ValidationError
from atrains.types import TaskStatusEnum, TaskTypes


class TaskBase:
    """What the two worlds share; do not use it directly."""

    TaskTypes: ClassVar = TaskTypes
    TaskStatusEnum: ClassVar = TaskStatusEnum

    _record: dict[str, Any]
    _reported_as: str
    _channel: Channel | DisabledChannel
    _runtime: Runtime | None
    _logger: Logger | None
    _closed: bool
    _owns_run: bool
    _owner_pid: int
    _run_job: int
    _status_job: int
    _ended: bool
    _deleted: bool
    _ending_turn: Turn
    _ending_pid: int
    _offset: int
    _last_iteration: int
    _project_name: str | None
    _uploads: dict[str, Any]
    """What this object has uploaded, by name; see `_async.artifacts`."""
    _upload_urls: dict[str, str]
    """The names of artifacts by where they go, or went."""
    _tables: Any
    """The tables that are registered with it, once there are any; see `_async.tables`."""
    _console: TaskConsole | None
    _capturing: Any
    """What records the program of this run, if anything does; see `_async.capturing`."""
    _opened: Any
    """What the contexts that opened or inherited it hold of it; see `current`."""
    _unpickled: tuple[str, str, int]
    """Id, place and initial iteration of a task that came here in a pickle."""

    # ---- identity

    @property
    def id(self) -> str:
        """The task's id, 32 hexadecimal digits."""
        channel: Channel | DisabledChannel | None = self.__dict__.get("_channel")  # none in one that was unpickled and not loaded yet
        return self._reported_as if channel is None else channel.aliases.get(self._reported_as, self._reported_as)

    @property
    def task_id(self) -> str:
        """The task's id; the same as `id`."""
        return self.id

    @property
    def name(self) -> str:
        """The task's name, as of the last `reload`."""
        return str(self._record.get("name", ""))

    @property
    def comment(self) -> str:
        """The task's comment, as of the last `reload`."""
        return str(self._record.get("comment") or "")

    @property
    def project(self) -> str | None:
        """The id of the task's project."""
        return self._record.get("project")

    @property
    def parent(self) -> str | None:
        """The id of the parent task, or None."""
        return self._record.get("parent")

    @property
    def task_type(self) -> str:
        """The task's type, as a string equal to a member of `TaskTypes`."""
        return str(self._record.get("type", TaskTypes.training))

    @property
    def output_uri(self) -> str | None:
        """Where the task's models and artifacts go, or None for the home itself."""
        return (self._record.get("output") or {}).get("destination") or None

    @property
    def data(self) -> Mapping[str, Any]:
        """The raw record, as of the last `reload`."""
        return self._record

    def get_tags(self) -> list[str]:
        """The task's tags, as of the last `reload`; the system's own are not among them."""
        return list(self._record.get("tags") or [])

    def get_system_tags(self) -> list[str]:
        """The tags that the system itself keeps (`development`, `archived`)."""
        return list(self._record.get("system_tags") or [])

    # ---- where it stands among the tasks of this process

    def is_main_task(self) -> bool:
        """Whether this is the process's main task."""
        return current.main_task() is self

    @deprecated(since="0.13.0", instead="is_main_task")
    def is_current_task(self) -> bool:
        """Whether this is the current task of this context.

        Deprecated since version 0.13.0: use `is_main_task`, or `Task.current_task() is task` where a service runs several tasks.
        """
        return current.current_task() is self

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called; what is reported or edited then raises `TaskClosedError`, reading still works."""
        return self._closed

    @staticmethod
    def running_locally() -> bool:
        """Whether the task runs here, started by its user, rather than by an agent."""
        return settings().remote_task_id is None

    # ---- reporting

    def get_logger(self) -> Logger:
        """The logger of this task.

        Raises:
            TaskClosedError: the task was closed.
        """
        self._check_open()
        with process().lock:
            if self._logger is None:
                channel = self._channel
                outlet = channel.open(self.reported_as, self._runtime)
                worker, largest = channel.settings.reporting.worker, channel.settings.api.http.max_req_size
                self._logger = Logger(
                    self.reported_as,
                    outlet,
                    worker=worker,
                    wake=channel.wake,
                    reference=self._reference,
                    largest=largest,
                    files=TaskFiles(self),
                )
                self._logger.set_offset(self._offset)
            return self._logger

    @property
    def logger(self) -> Logger:
        """The logger of this task; the same as `get_logger()`."""
        return self.get_logger()

    @property
    def reporter(self) -> Reporter:
        """A simple reporter of metrics; what it reports goes through the task's logger.

        Raises:
            TaskClosedError: the task was closed.
        """
        return Reporter(self.get_logger())

    @property
    def labels_stats(self) -> dict[str, Any]:
        """Nothing: `{}`, always. It counted the labels of frames, which belong to data sets that no open home has."""
        return {}

    def set_initial_iteration(self, offset: SupportsIndex = 0) -> int:
        """Shift the iterations of what is reported from now on, for training that continues from a checkpoint.

        Args:
            offset: Added to every iteration at the call; an integer of 64 bits, as Python or NumPy have it.

        Returns:
            The offset.

        Raises:
            ValidationError: `offset` is not an integer.
        """
        number = whole_number(offset)
        if number is None:
            raise ValidationError(f"the initial iteration of task {self.id} is an integer of 64 bits, not {offset!r}; give an int")
        self._offset = number
        if self._logger is not None:
            self._logger.set_offset(number)
        return number

    def get_initial_iteration(self) -> int:
        """The number that is added to every reported iteration; 0 by default."""
        return self._offset

    # ---- where to look at it

    def get_output_log_web_page(self) -> str:
        """The address that shows this task: of the server's page, or of the task's folder when it is kept in the local home.

        Where no web server is known it is that at the address of the API, which `atrains serve` answers.
        """
        settings = self._channel.settings
        if settings.target.kind == "local":
            return (settings.home.path / "tasks" / self.id).resolve().as_uri()
        return f"{settings.api.web_host or settings.api.api_host}/projects/{self.project or '*'}/experiments/{self.id}/output/log"

    @property
    def cache_dir(self) -> Path:
        """The folder for files that belong to this task; not created before it is used."""
        return self._channel.settings.home.cache_dir / self.id

    # ---- inner workings

    @property
    def begun_here(self) -> bool:
        """Whether this very process began the run: a forked or started child only reports to it."""
        return self._owner_pid == os.getpid()

    @property
    def reported_as(self) -> str:
        """The id under which this process reports, in journal and ledger.

        Another one than `id` only where the run began while its server was away, and that gave the task an id of its own.
        """
        return self._reported_as

    @property
    def known_project_name(self) -> str | None:
        """The name of the project, if this object was opened with it or asked for it before."""
        return self._project_name

    def _attach(self, record: Mapping[str, Any], channel: Channel | DisabledChannel, runtime: Runtime | None) -> None:
        self._record = dict(record)
        self._reported_as = str(record["id"])
        self._channel = channel
        self._runtime = runtime
        self._logger = None
        self._closed = False
        self._owns_run = False
        self._owner_pid = 0
        self._run_job = self._status_job = 0
        self._ended = self._deleted = False
        self._renew_ending_turn()
        self._offset = self._last_iteration = 0
        self._project_name = None
        self._uploads, self._upload_urls = {}, {}
        self._tables = None
        self._console = None
        self._capturing = None
        self._opened = None

    def _renew_ending_turn(self) -> None:
        """Make the lock under which the run ends: a forked child may inherit one that is held by a thread which it does not have."""
        self._ending_turn, self._ending_pid = Turn(), os.getpid()

    def _check_there(self) -> None:
        if self._deleted:
            raise NotFoundError(f"task {self.id} was deleted by this object, and is gone for good")

    def _check_open(self) -> None:
        self._check_there()
        if self._closed:
            raise TaskClosedError(f"task {self.id} was closed: do this before close(), or open it again with Task.get_task({self.id!r})")

    @property
    def _settings(self) -> Settings:
        return self._channel.settings

    # ---- as a reference: pickled, copied

    @property
    def _is_loaded(self) -> bool:
        """Whether there is a record: not so in a task that was unpickled, before `reload`."""
        return "_record" in self.__dict__

    def _reference(self) -> tuple[str, str, int]:
        """What finds this task again from another process: id, place and initial iteration, and never a key."""
        return (self.id, place_of(self._settings), self._offset) if self._is_loaded else self._unpickled

    def __reduce__(self) -> tuple[object, ...]:
        return unpickle, (type(self), *self._reference())

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        return self

    if not TYPE_CHECKING:  # a type checker would take any name for granted

        def __getattr__(self, name: str) -> object:
            if name in TaskBase.__annotations__ and not self._is_loaded:
                raise UsageError(
                    f"task {self._reported_as} was unpickled, and only its id is here: `await task.reload()` first, which fetches the rest"
                )
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    # ---- as it looks

    def _repr_html_(self) -> str:
        from atrains._api.html import table  # for notebooks

        if not self._is_loaded:
            return table(type(self).__name__, self.id, "", [("", "await task.reload()")])
        fields = ("status", "type", "comment")
        rows: list[tuple[str, object]] = [("id", self.id), *((field, self._record.get(field)) for field in fields)]
        rows += [("project", self._project_name or self.project), ("tags", ", ".join(self.get_tags()))]
        return table(type(self).__name__, self.name or self.id, self.get_output_log_web_page(), rows)

    def __repr__(self) -> str:
        kind = type(self).__name__
        if not self._is_loaded:
            return f"<{kind} {self.id} (not loaded: await task.reload())>"
        return f"<{kind} {self.id} {self.name!r} {self._record.get('status', '?')}{' (closed)' if self._closed else ''}>"


def unpickle(kind: type[TaskBase], task: str, place: str, offset: int) -> TaskBase:
    """The task of a pickle: the very object where its run is open in this process, else one that knows no more than its id."""
    for run in list(process().open_runs.values()):
        if run.id == task and isinstance(run, kind) and place_of(run._settings) == place:  # noqa: SLF001  # one module
            return run
    made = object.__new__(kind)
    made._reported_as, made._unpickled = task, (task, place, offset)
    return made
