"""Task: generated from `_async` by generate.py. Do not edit."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, MutableMapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, SupportsIndex, cast

from atrains._api.deprecation import deprecated, quietly
from atrains._api.logger import Logger
from atrains._api.reporter import Reporter
from atrains._async.configuration import _SUCCESSOR, ConfigurationT
from atrains._async.labels import LabelsT
from atrains._async.parameters import T
from atrains._async.status import FLUSH_BUDGET, StatusAnswer
from atrains._async.task import AsyncTask
from atrains._engine.ledger import Receipt, Stats
from atrains._sync._base import TaskTwin, fetch, unwrap, wrap
from atrains.types import (
    Answer,
    CallResult,
    DebugSample,
    Deletion,
    LastMetric,
    ReportedPlot,
    ScalarChunk,
    ScalarCurve,
    TaskStatusEnum,
    TaskTypes,
    XAxis,
)

if TYPE_CHECKING:
    from atrains._sync.artifact import Artifact
    from atrains._sync.input_model import InputModel
    from atrains._sync.metrics import MetricsManager
    from atrains._sync.model import Model
    from atrains._sync.output_model import OutputModel
    from atrains._sync.upload import Upload


class Task(TaskTwin):
    """A task for ordinary programs: every call waits until it is done.

    Get one with `Task.init`, `Task.create` or `Task.get_task`.

    Every member may be called from any thread, from many at once: edits of one object take their turn, and none is lost.
    A pickle holds the id and the home, and opens the task again in another process; where its run is open it is the
    very same object.
    """

    _core: AsyncTask

    @property
    def id(self) -> str:
        """The task's id, 32 hexadecimal digits."""
        return self._core.id

    @property
    def task_id(self) -> str:
        """The task's id; the same as `id`."""
        return self._core.task_id

    @property
    def name(self) -> str:
        """The task's name, as of the last `reload`."""
        return self._core.name

    @name.setter
    def name(self, value: str) -> None:
        self._block(self._core, lambda: self._core.set_name(value), "task.set_name(...)")

    @property
    def comment(self) -> str:
        """The task's comment, as of the last `reload`."""
        return self._core.comment

    @comment.setter
    def comment(self, value: str) -> None:
        self._block(self._core, lambda: self._core.set_comment(value), "task.set_comment(...)")

    @property
    def project(self) -> str | None:
        """The id of the task's project."""
        return self._core.project

    @property
    def parent(self) -> str | None:
        """The id of the parent task, or None."""
        return self._core.parent

    @parent.setter
    def parent(self, value: str | None) -> None:
        self._block(self._core, lambda: self._core.set_parent(value), "task.set_parent(...)")

    @property
    def task_type(self) -> str:
        """The task's type, as a string equal to a member of `TaskTypes`."""
        return self._core.task_type

    @property
    def output_uri(self) -> str | None:
        """Where the task's models and artifacts go, or None for the home itself."""
        return self._core.output_uri

    @output_uri.setter
    def output_uri(self, value: str | None) -> None:
        self._block(self._core, lambda: self._core.set_output_uri(value), "task.set_output_uri(...)")

    @property
    def data(self) -> Mapping[str, Any]:
        """The raw record, as of the last `reload`."""
        return self._core.data

    def get_tags(self) -> list[str]:
        """The task's tags, as of the last `reload`; the system's own are not among them."""
        return self._core.get_tags()

    def get_system_tags(self) -> list[str]:
        """The tags that the system itself keeps (`development`, `archived`)."""
        return self._core.get_system_tags()

    def is_main_task(self) -> bool:
        """Whether this is the process's main task."""
        return self._core.is_main_task()

    @deprecated(since="0.13.0", instead="is_main_task")
    def is_current_task(self) -> bool:
        """Whether this is the current task of this context.

        Deprecated since version 0.13.0: use `is_main_task`, or `Task.current_task() is task` where a service runs several tasks.
        """
        return quietly(self._core.is_current_task)()

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called; what is reported or edited then raises `TaskClosedError`, reading still works."""
        return self._core.is_closed

    @staticmethod
    def running_locally() -> bool:
        """Whether the task runs here, started by its user, rather than by an agent."""
        return AsyncTask.running_locally()

    def get_logger(self) -> Logger:
        """The logger of this task.

        Raises:
            TaskClosedError: the task was closed.
        """
        return self._core.get_logger()

    @property
    def logger(self) -> Logger:
        """The logger of this task; the same as `get_logger()`."""
        return self._core.logger

    @property
    def reporter(self) -> Reporter:
        """A simple reporter of metrics; what it reports goes through the task's logger.

        Raises:
            TaskClosedError: the task was closed.
        """
        return self._core.reporter

    @property
    def labels_stats(self) -> dict[str, Any]:
        """Nothing: `{}`, always. It counted the labels of frames, which belong to data sets that no open home has."""
        return self._core.labels_stats

    def set_initial_iteration(self, offset: SupportsIndex = 0) -> int:
        """Shift the iterations of what is reported from now on, for training that continues from a checkpoint.

        Args:
            offset: Added to every iteration at the call; an integer of 64 bits, as Python or NumPy have it.

        Returns:
            The offset.

        Raises:
            ValidationError: `offset` is not an integer.
        """
        return self._core.set_initial_iteration(offset)

    def get_initial_iteration(self) -> int:
        """The number that is added to every reported iteration; 0 by default."""
        return self._core.get_initial_iteration()

    def get_output_log_web_page(self) -> str:
        """The address that shows this task: of the server's page, or of the task's folder when it is kept in the local home.

        Where no web server is known it is that at the address of the API, which `atrains serve` answers.
        """
        return self._core.get_output_log_web_page()

    @property
    def cache_dir(self) -> Path:
        """The folder for files that belong to this task; not created before it is used."""
        return self._core.cache_dir

    @property
    def reported_as(self) -> str:
        """The id under which this process reports, in journal and ledger.

        Another one than `id` only where the run began while its server was away, and that gave the task an id of its own.
        """
        return self._core.reported_as

    def reload(self) -> None:
        """Fetch the record again, with whatever others changed. While edits wait for a home that is away, the record stays as they left it.

        A task that was unpickled is loaded by this.

        Raises:
            NotFoundError: the task was deleted.
            UsageError: the task was unpickled where another home is in use.
        """
        self._block(self._core, lambda: self._core.reload(), "task.reload()")

    @classmethod
    def current_task(cls) -> Self | None:
        """The current task: the open task of this context, else the process's main task, else None."""
        return cast("Self | None", wrap(AsyncTask.current_task()))

    @classmethod
    def create(
        cls, project_name: str | None = None, task_name: str | None = None, task_type: TaskTypes | str | None = TaskTypes.training
    ) -> Self:
        """Create a task without running it: it stays a draft, and does not become the main task.

        Args:
            project_name: The project; that of the main task by default. Created when there is none.
            task_name: At least 3 characters; the script's file name by default.
            task_type: A member of `TaskTypes` or its name.

        Returns:
            The new task, with status `created`.

        Raises:
            UsageError: no project was named, and there is no main task to take it from.
            ValidationError: a name that is too short, an unknown type.
        """
        return cast(
            "Self", wrap(cls._block(AsyncTask, lambda: AsyncTask.create(project_name, task_name, task_type), "AsyncTask.create(...)"))
        )

    @classmethod
    def set_credentials(
        cls,
        api_host: str | None = None,
        web_host: str | None = None,
        files_host: str | None = None,
        key: str | None = None,
        secret: str | None = None,
        host: str | None = None,
    ) -> None:
        """Set the server and the key pair to use where neither the environment nor a configuration file names them.

        Args:
            api_host: The API server, such as `http://localhost:8008`; `local` for the local home.
            web_host: The web server.
            files_host: The file server.
            key: The user key.
            secret: Its secret.
            host: Overrides `api_host`.

        Raises:
            UsageError: a task was opened already.
            ValidationError: an address that is no URL.
        """
        AsyncTask.set_credentials(api_host, web_host, files_host, key, secret, host)

    def flush(self, wait_for_uploads: bool = False, *, timeout: float | None = FLUSH_BUDGET) -> Receipt:
        """Wait until everything that this task reported so far is stored.

        Args:
            wait_for_uploads: Wait for artifacts and other files as well.
            timeout: Seconds to wait at most; None for ever. What is not stored by then stays in the journal.

        Returns:
            What happened to everything ever reported; true when all of it was stored. `uploads` says which files are on their way and
            which failed.
        """
        return self._block(self._core, lambda: self._core.flush(wait_for_uploads, timeout=timeout), "task.flush(...)")

    def stats(self) -> Stats:
        """How this task's reports stand right now: the ledger, and the journal behind it.

        Returns:
            The counts by kind. They are those of the open journal: a task that was closed starts again at zero.
        """
        return self._block(self._core, lambda: self._core.stats(), "task.stats()")

    def close(self) -> None:
        """End the run: deliver what was reported, set the final status, let go of everything. Closing twice is fine.

        A run that `init` began becomes `completed`, unless it was marked otherwise before; any other task keeps its status. What could not
        be delivered within 10 seconds stays on disk, and one line says where.
        """
        self._block(self._core, lambda: self._core.close(), "task.close()")

    @classmethod
    def get_task(cls, task_id: str | None = None, project_name: str | None = None, task_name: str | None = None) -> Self | None:
        """Get a task by its id, or by project and name.

        Args:
            task_id: The id; if given, the names are ignored.
            project_name: The exact name of the project; all projects by default.
            task_name: The exact name of the task. Of several the one updated last is taken, archived ones only when there is no other.

        Returns:
            The task, or None when no task has that name.

        Raises:
            NotFoundError: there is no task of that id, or no such project.
            UsageError: neither an id nor a name was given.
        """
        return cast(
            "Self | None",
            wrap(cls._block(AsyncTask, lambda: AsyncTask.get_task(task_id, project_name, task_name), "AsyncTask.get_task(...)")),
        )

    @classmethod
    def get_by_name(cls, task_name: str) -> Self:
        """Get a task by its name alone, whatever its project.

        Args:
            task_name: The exact name; of several tasks the one updated last is taken, archived ones only when there is no other.

        Returns:
            The task.

        Raises:
            NotFoundError: no task has that name.
            UsageError: the name is empty.
            TransportError: the home cannot be reached.
        """
        return cast("Self", wrap(cls._block(AsyncTask, lambda: AsyncTask.get_by_name(task_name), "AsyncTask.get_by_name(...)")))

    @classmethod
    def get_tasks(
        cls,
        task_ids: Sequence[str] | str | None = None,
        project_name: str | None = None,
        task_name: str | None = None,
        task_filter: Mapping[str, Any] | None = None,
    ) -> list[Self]:
        """Get many tasks, by their ids or by names.

        Args:
            task_ids: Their ids, in the order in which they are wanted; if given, everything else is ignored.
            project_name: The exact name of their project; all projects by default.
            task_name: Part of their names: a regular expression that matches anywhere in the name, by case. All names by default.
            task_filter: Further fields of `tasks.get_all`: `status`, `type`, `tags`, `order_by` and so on, passed on as they are.

        Returns:
            The tasks, however many there are; in the order of the filter's `order_by`, else oldest first.

        Raises:
            NotFoundError: there is no task of one of the ids, or no such project.
            ValidationError: what is no list of ids, a filter that no home knows, or a bad regular expression.
            TransportError: the home cannot be reached.
        """
        return cast(
            "list[Self]",
            wrap(
                cls._block(
                    AsyncTask, lambda: AsyncTask.get_tasks(task_ids, project_name, task_name, task_filter), "AsyncTask.get_tasks(...)"
                )
            ),
        )

    @classmethod
    def get_all(cls, session: object = None, log: object = None, **kwargs: Any) -> CallResult:
        """List the records of tasks, by the fields of `tasks.get_all`.

        Args:
            session: Kept for compatibility: the connection is that of this process.
            log: Kept for compatibility.
            **kwargs: Filters (`name`, `project`, `status`, `type`, `tags` ...), `only_fields`, `order_by`, `page`, `page_size`. Where the
                wire has a list, one value may be given.

        Returns:
            The answer: `result.response.tasks` are the records, `result.response_data` the whole as a dictionary.

        Raises:
            ValidationError: a keyword that is no field of `tasks.get_all`, or a value that the home does not take.
            TransportError: the home cannot be reached.

        Example:
            >>> found = await AsyncTask.get_all(status="completed", only_fields=["id", "name"])
            >>> names = [task["name"] for task in found.response.tasks]
        """
        return cls._block(AsyncTask, lambda: AsyncTask.get_all(session, log, **kwargs), "AsyncTask.get_all(...)")

    @classmethod
    def clone(
        cls,
        source_task: Task | str | None = None,
        name: str | None = None,
        comment: str | None = None,
        parent: Task | str | None = None,
        project: str | None = None,
    ) -> Self:
        """Make a draft that is a copy of a task: with its code, parameters and configuration, and nothing of its run.

        Args:
            source_task: The task or its id; the current task by default.
            name: The copy's name; that of the source by default.
            comment: The copy's comment; that of the source by default.
            parent: The parent of the copy, a task or its id; by default that of the source, or the source itself where it has none.
            project: The id of the copy's project; that of the source by default.

        Returns:
            The copy, with status `created`.

        Raises:
            UsageError: no source was named, and there is no current task.
            NotFoundError: there is no such task.
            ValidationError: something that is neither a task nor an id; a name under 3 characters.
            TransportError: the home cannot be reached.
        """
        return cast(
            "Self",
            wrap(
                cls._block(
                    AsyncTask, lambda: AsyncTask.clone(unwrap(source_task), name, comment, unwrap(parent), project), "AsyncTask.clone(...)"
                )
            ),
        )

    @classmethod
    def enqueue(cls, task: Task | str, queue_name: str | None = None, queue_id: str | None = None) -> Answer:
        """Put a task into a queue, from which an agent takes it to run it.

        Args:
            task: The task or its id.
            queue_name: The exact name of the queue; either this or `queue_id` has to be given.
            queue_id: The id of the queue.

        Returns:
            `{"queued": 1, "updated": 1, "fields": {"status": "queued", "status_reason": ..., "status_message": ..., "status_changed": ...,
            "last_update": ..., "execution.queue": <queue id>}}`, with its keys as attributes as well.

        Raises:
            UsageError: neither a queue's name nor its id was given, or both.
            NotFoundError: there is no such task or queue.
            TaskStatusError: a task of its status cannot be enqueued: one that completed has to be reset first.
            TransportError: the home cannot be reached.
        """
        return cls._block(AsyncTask, lambda: AsyncTask.enqueue(unwrap(task), queue_name, queue_id), "AsyncTask.enqueue(...)")

    @classmethod
    def dequeue(cls, task: Task | str) -> Answer:
        """Take a task out of its queue.

        Args:
            task: The task or its id.

        Returns:
            `{"dequeued": 1, "updated": 1, "fields": {"status": "created", ..., "execution.queue": None}}`, with its keys as attributes as
            well; `updated` is 0 when the task was in no queue.

        Raises:
            NotFoundError: there is no such task.
            TransportError: the home cannot be reached.
        """
        return cls._block(AsyncTask, lambda: AsyncTask.dequeue(unwrap(task)), "AsyncTask.dequeue(...)")

    def set_parent(self, parent: Task | str | None) -> None:
        """Set the parent of this task.

        Args:
            parent: The task or its id; None for none, which only some homes can do.

        Raises:
            ValidationError: the task itself, or something that is no task.
            NotFoundError: there is no such task.
            UsageError: the server cannot take a parent away.
            TaskStatusError: the run has ended.
            TransportError: the home cannot be reached.
        """
        self._block(self._core, lambda: self._core.set_parent(unwrap(parent)), "task.set_parent(...)")

    @property
    def status(self) -> str:
        """The task's status, fetched from the home: a string equal to a member of `TaskStatusEnum`."""
        return self._block(self._core, lambda: fetch(self._core.status), "task.status")

    def get_status(self) -> str:
        """The task's status, fetched without the rest of the record.

        Returns:
            A string equal to a member of `TaskStatusEnum`.

        Raises:
            NotFoundError: the task was deleted.
            TransportError: the home cannot be reached.
        """
        return self._block(self._core, lambda: self._core.get_status(), "task.get_status()")

    def started(self, ignore_errors: bool = True, *, force: bool = False) -> StatusAnswer:
        """Signal that the task started.

        Args:
            ignore_errors: Log a refusal instead of raising it.
            force: Whatever the status is now.

        Returns:
            How many tasks were updated, and the fields that changed.

        Raises:
            TaskStatusError: the status does not allow it.
        """
        return self._block(self._core, lambda: self._core.started(ignore_errors, force=force), "task.started(...)")

    def stopped(self, ignore_errors: bool = True, *, force: bool = False) -> StatusAnswer:
        """Signal that the task was stopped before its end.

        Args:
            ignore_errors: Log a refusal instead of raising it.
            force: Whatever the status is now.

        Returns:
            How many tasks were updated, and the fields that changed.

        Raises:
            TaskStatusError: the status does not allow it.
        """
        return self._block(self._core, lambda: self._core.stopped(ignore_errors, force=force), "task.stopped(...)")

    def completed(self, ignore_errors: bool = True) -> StatusAnswer:
        """Signal that the task completed.

        Args:
            ignore_errors: Log a refusal instead of raising it.

        Returns:
            How many tasks were updated, and the fields that changed.

        Raises:
            TaskStatusError: the status does not allow it.
        """
        return self._block(self._core, lambda: self._core.completed(ignore_errors), "task.completed(...)")

    def mark_started(self, *, force: bool = False) -> None:
        """Mark the task as started; a run that `init` began is.

        Args:
            force: Whatever the status is now.

        Raises:
            TaskStatusError: the status does not allow it.
        """
        self._block(self._core, lambda: self._core.mark_started(force=force), "task.mark_started(...)")

    def mark_stopped(self, *, force: bool = False, status_message: str | None = None) -> None:
        """Deliver what was reported, then mark the task as stopped before its end.

        Args:
            force: Whatever the status is now.
            status_message: What the home shows beside the status.

        Raises:
            TaskStatusError: the status does not allow it.
        """
        self._block(self._core, lambda: self._core.mark_stopped(force=force, status_message=status_message), "task.mark_stopped(...)")

    def mark_completed(self, ignore_errors: bool = True, status_message: str | None = None) -> StatusAnswer:
        """Deliver what was reported, then mark the task as completed.

        Args:
            ignore_errors: Log a refusal instead of raising it.
            status_message: What the home shows beside the status.

        Returns:
            How many tasks were updated, and the fields that changed.

        Raises:
            TaskStatusError: the status does not allow it.
        """
        return self._block(self._core, lambda: self._core.mark_completed(ignore_errors, status_message), "task.mark_completed(...)")

    def mark_failed(self, ignore_errors: bool = True, status_reason: str | None = None, status_message: str | None = None) -> StatusAnswer:
        """Mark the task as failed.

        Args:
            ignore_errors: Log a refusal instead of raising it.
            status_reason: Why, in a few words.
            status_message: What the home shows beside the status.

        Returns:
            How many tasks were updated, and the fields that changed.

        Raises:
            TaskStatusError: the status does not allow it.
        """
        return self._block(
            self._core, lambda: self._core.mark_failed(ignore_errors, status_reason, status_message), "task.mark_failed(...)"
        )

    def publish(self, ignore_errors: bool = True) -> StatusAnswer:
        """Publish the task: what it holds can no longer be changed.

        Args:
            ignore_errors: Log a refusal of the home instead of raising it.

        Returns:
            How many tasks were updated, and the fields that changed.

        Raises:
            TaskStatusError: the task is neither stopped nor completed.
        """
        return self._block(self._core, lambda: self._core.publish(ignore_errors), "task.publish(...)")

    def reset(self, set_started_on_success: bool = False, force: bool = False) -> None:
        """Clear what the task reported and produced; parameters, tags and names stay.

        Args:
            set_started_on_success: Start it again at once.
            force: Also while an agent executes it, where it otherwise does nothing.

        Raises:
            TaskStatusError: the task was published.
        """
        self._block(self._core, lambda: self._core.reset(set_started_on_success, force), "task.reset(...)")

    def wait_for_status(
        self,
        status: Sequence[TaskStatusEnum | str] | TaskStatusEnum | str = (
            TaskStatusEnum.completed,
            TaskStatusEnum.stopped,
            TaskStatusEnum.closed,
        ),
        raise_on_status: Sequence[TaskStatusEnum | str] | TaskStatusEnum | str | None = (TaskStatusEnum.failed,),
        check_interval_sec: float = 60.0,
        *,
        timeout: float | None = None,
    ) -> None:
        """Wait until the task has one of some statuses; looks at once, then again and again.

        Args:
            status: What to wait for: one or several.
            raise_on_status: What to give up at: one, several or None.
            check_interval_sec: Seconds between two looks at most, more than 0; a home that is cheap to ask is asked more often.
            timeout: Seconds to wait at most; None for ever.

        Raises:
            TaskFailedError: the task has a status of `raise_on_status`; names task, status and reason.
            WaitTimeoutError: the time is up.
            ValidationError: an unknown status, or an interval or timeout that is none.
        """
        self._block(
            self._core,
            lambda: self._core.wait_for_status(status, raise_on_status, check_interval_sec, timeout=timeout),
            "task.wait_for_status(...)",
        )

    def set_name(self, name: str) -> None:
        """Rename the task.

        Args:
            name: At least 3 characters after stripping (a server rule).

        Raises:
            ValidationError: the name is shorter.
            TransportError: the home cannot be reached.
        """
        self._block(self._core, lambda: self._core.set_name(name), "task.set_name(...)")

    def set_comment(self, comment: str) -> None:
        """Set the comment, the free text that describes the task.

        Args:
            comment: The text; empty to clear it.

        Raises:
            TransportError: the home cannot be reached.
        """
        self._block(self._core, lambda: self._core.set_comment(comment), "task.set_comment(...)")

    def set_tags(self, tags: Sequence[str] | str) -> None:
        """Replace the task's tags.

        Args:
            tags: The new ones; a text is split at spaces.

        Raises:
            ValidationError: they are no texts.
            TransportError: the home cannot be reached.
        """
        self._block(self._core, lambda: self._core.set_tags(tags), "task.set_tags(...)")

    def add_tags(self, tags: Sequence[str] | str) -> None:
        """Add tags to those that the task has, now, whoever else adds some. Has no effect while an agent executes the task.

        Args:
            tags: The ones to add; a text is split at spaces.

        Raises:
            ValidationError: they are no texts.
            NotFoundError: the task was deleted.
            TransportError: the home cannot be reached.
        """
        self._block(self._core, lambda: self._core.add_tags(tags), "task.add_tags(...)")

    def set_system_tags(self, tags: Sequence[str] | str) -> None:
        """Replace the tags that the system itself keeps: `archived` hides the task from lists and protects it from being reused.

        Args:
            tags: The new ones.

        Raises:
            ValidationError: they are no texts.
            TransportError: the home cannot be reached.
        """
        self._block(self._core, lambda: self._core.set_system_tags(tags), "task.set_system_tags(...)")

    def set_project(self, project_id: str | None = None, project_name: str | None = None) -> None:
        """Move the task to another project.

        Args:
            project_id: The id of the project; either this or `project_name` has to be given.
            project_name: The name of the project, which is created when there is none.

        Raises:
            UsageError: neither was given, or both.
            NotFoundError: there is no project of that id.
            ValidationError: the name has under 3 characters.
            TransportError: the home cannot be reached.
        """
        self._block(self._core, lambda: self._core.set_project(project_id, project_name), "task.set_project(...)")

    def get_project_name(self) -> str | None:
        """The name of the task's project, or None when it has none.

        Raises:
            TransportError: the home cannot be reached.
        """
        return self._block(self._core, lambda: self._core.get_project_name(), "task.get_project_name()")

    @classmethod
    def get_random_seed(cls) -> int | None:
        """The seed that tasks which begin in this process give to the generators of random numbers; None when they leave them alone."""
        return AsyncTask.get_random_seed()

    @classmethod
    def set_random_seed(cls, random_seed: int | None) -> None:
        """Have each task that begins in this process from now on seed the generators: `random`, and NumPy's where it was imported before.

        Call it before `init`. Without it, atrains never touches them.

        Args:
            random_seed: From 0 to 4,294,967,295; None to leave the generators alone again.

        Raises:
            ValidationError: it is no such number.
        """
        AsyncTask.set_random_seed(random_seed)

    def set_output_uri(self, uri: str | Path | bool | None) -> None:
        """Set where the models and artifacts go that are uploaded from now on; `task.output_uri = ...` does the same.

        Args:
            uri: A folder, or the URL of a file server; None (or True) for the home itself, or the server's own file server.

        Raises:
            ConfigurationError: nothing can be stored there.
            StorageError: the folder cannot be made or written.
            TaskStatusError: the run has ended.
            TransportError: the home cannot be reached.
        """
        self._block(self._core, lambda: self._core.set_output_uri(uri), "task.set_output_uri(...)")

    def get_output_destination(self, extra_path: str | None = None, **kwargs: bool | str | None) -> str | None:
        """Where the task's models and artifacts go, as of the last `reload`.

        Args:
            extra_path: Appended to it, behind a slash.
            **kwargs: What to do where the task has no destination of its own: `default` to return that, `raise_on_error=True` to raise,
                `log_on_error=True` to log it.

        Returns:
            The URL; `default`, which is None unless given, where the task has none.

        Raises:
            NotFoundError: with `raise_on_error`, the task has no destination.
            ValidationError: an unknown keyword.
        """
        return self._core.get_output_destination(extra_path, **kwargs)

    @classmethod
    def add_requirements(cls, package_name: str, package_version: str | None = None) -> None:
        """Have a package among those that an agent installs for the main task, whether or not the program imports it.

        Call it before `init`. Afterwards it changes the requirements of the open main task, and a line says so, since they may have been
        read by then. Nothing is installed, and nothing is sent by the call itself. Under an agent it has no effect.

        Args:
            package_name: The package, as an index knows it; `name[extra]` is taken as well. The path of a file of requirements wants each
                line of that.
            package_version: Its version, with an operator (`">=1.2"`) or without one, which means exactly that version. None for the one
                that is installed here; a package that is not gets no version.

        Raises:
            ValidationError: the name is empty or no text.

        Example:
            >>> Task.add_requirements("torch", ">=2.1")
            >>> task = Task.init("project", "name")
        """
        AsyncTask.add_requirements(package_name, package_version)

    def get_base_docker(self) -> str | None:
        """The image in which agents are to execute this task, with the arguments for docker behind it, as of the last `reload`; or None."""
        return self._core.get_base_docker()

    def set_base_docker(self, docker_cmd: str | None) -> None:
        """Set the image in which agents are to execute this task. While an agent executes it this has no effect.

        Args:
            docker_cmd: The image, and behind it the arguments for docker, such as `"python:3.12 --ipc=host"`. None or an empty text for
                none.

        Raises:
            ValidationError: it is no text.
            TaskStatusError: the run has ended.
            TransportError: the home cannot be reached.
        """
        self._block(self._core, lambda: self._core.set_base_docker(docker_cmd), "task.set_base_docker(...)")

    def get_archived(self) -> bool:
        """Whether the task is archived, as of the last `reload`."""
        return self._core.get_archived()

    def set_archived(self, archive: bool) -> None:
        """Put the task away, or take it out again. An archived task is left out of lists, and never reused; nothing of it is lost.

        Args:
            archive: True to archive it, False to take it out.

        Raises:
            NotFoundError: the task was deleted.
            TransportError: the home cannot be reached.
        """
        self._block(self._core, lambda: self._core.set_archived(archive), "task.set_archived(...)")

    def delete(
        self,
        *,
        delete_artifacts_and_models: bool = True,
        raise_on_error: bool = False,
        callback: Callable[[str, str], bool] | None = None,
        force: bool = False,
    ) -> Deletion:
        """Delete the task for good, with what it reported and the files that it made. It cannot be taken back; `set_archived` can.

        Every later call on this object that has to do with its home raises `NotFoundError`. A run that this process began ends without a
        final status.

        Args:
            delete_artifacts_and_models: False keeps the files. It is refused where they are in the task's folder in a home of atrains,
                which goes with the task.
            raise_on_error: Raise when files could not be deleted, instead of naming them in what is returned and in a line.
            callback: Called with the kind (`artifact`, `model`, `event`) and the URL of each file, in a thread; the file is deleted if that
                returns True.
            force: Also a task that runs or is published.

        Returns:
            Which files were deleted, which were kept, and which could not be deleted; true when nothing failed.

        Raises:
            TaskStatusError: the task runs or is published, and `force` was not given.
            NotFoundError: the task was deleted already.
            ValidationError: the files are to be kept, and are in the task's folder.
            StorageError: with `raise_on_error`: a file could not be deleted. The task is gone.
            TransportError: the home cannot be reached.
        """
        return self._block(
            self._core,
            lambda: self._core.delete(
                delete_artifacts_and_models=delete_artifacts_and_models, raise_on_error=raise_on_error, callback=callback, force=force
            ),
            "task.delete(...)",
        )

    def register_abort_callback(self, callback_function: Callable[[], object] | None, callback_execution_timeout: float = 30.0) -> None:
        """Have a function called when somebody stops the run from outside: from a web page, with another program, through an agent.

        It is called once, in a thread of its own, while the program still runs. Once it returns, or its time is over, the run ends as
        `stopped`, and with the main run the program. Ctrl-C and signals are not meant: a program sees those itself.

        Args:
            callback_function: A function without arguments; it takes the place of an earlier one. None for none.
            callback_execution_timeout: Seconds that it may take.

        Raises:
            ValidationError: what cannot be called, a time that is none.
            UsageError: the run is not one of this process.
            TransportError: an agent runs the task, and the home, which has to tell it, cannot be reached.

        Example:
            >>> task.register_abort_callback(lambda: save_checkpoint(model), callback_execution_timeout=60)
        """
        self._block(
            self._core,
            lambda: self._core.register_abort_callback(callback_function, callback_execution_timeout),
            "task.register_abort_callback(...)",
        )

    def connect(self, mutable: T, *, name: str | None = None) -> T:
        """Connect what a run is configured with: its parameters are stored, and under an agent it takes the values that the task holds.

        A dictionary stays connected: use the one that is returned. What is set in it or deleted from it, at any depth, is stored in the
        background, and is there once `flush` or `close` has returned. Lists are values: only assigning one is noticed. Other objects are
        stored once.

        Under an agent each value of the task is cast to the type of the code's own; what is nothing of that type is refused with a line
        that names it, and the code's value is kept. The passed dictionary or object gets the values, too. What the task does not hold yet
        is stored. A key that the task held keeps the task's value when the code assigns to it later.

        Args:
            mutable: A dictionary, some hundred levels at most; a `TaskParameters`, an argparse parser or namespace, an instance of a data
                class or of a class of attrs or pydantic; any other object, or class, whose public attributes are the parameters. Or a
                model: an `InputModel` (or `Model`) that the task uses, an `OutputModel` that it makes.
            name: The section to store it under; `General` by default, `Args` for what argparse made. What follows a `/` in it is the
                beginning of every name. A parser is always stored under `Args`, with all of its arguments, whatever `init` was told.

        Returns:
            The connected dictionary, or the object that was passed.

        Raises:
            UnsupportedTypeError: it is of another kind, or a dictionary that holds a value which cannot be stored; names it.
            ValidationError: an empty name, or two keys that are one flat name.
            TaskStatusError: the run has ended.
            TransportError: the home cannot be reached.

        Example:
            >>> parameters = task.connect({"rate": 0.1, "optimizer": {"name": "sgd"}})
            >>> parameters["optimizer"]["name"] = "adam"  # stored as General/optimizer/name
        """
        return self._block(self._core, lambda: self._core.connect(mutable, name=name), "task.connect(...)")

    def set_parameter(self, name: str, value: Any, description: str | None = None, *, value_type: type | None = None) -> None:
        """Set one parameter.

        Args:
            name: Its flat name, `section/name`. A bare name is the parameter of exactly that flat name, else the one that a section holds,
                else one of the section `General`.
            value: Its value; stored as text, containers as JSON.
            description: What it is for; what was said before stays when it is None.
            value_type: Its type; by default the one that it has, or for a new one that of `value`.

        Raises:
            ValidationError: several sections hold the bare name, it lists them; or the name is empty.
            UnsupportedTypeError: the value cannot be stored.
            TaskStatusError: the run has ended.
            TransportError: the home cannot be reached.
        """
        self._block(
            self._core, lambda: self._core.set_parameter(name, value, description, value_type=value_type), "task.set_parameter(...)"
        )

    def set_parameters(self, *args: Mapping[str, Any] | Iterable[tuple[str, Any]], **kwargs: Any) -> None:
        """Set all parameters: those that are not given are deleted. Types and descriptions stay.

        Args:
            *args: Dictionaries or iterables of pairs, of flat names and values; later ones win. Names as of `set_parameter`.
            **kwargs: More of them; they win.

        Raises:
            ValidationError: an argument is neither; several sections hold a bare name, it lists them.
            UnsupportedTypeError: a value cannot be stored; names it.
            TaskStatusError: the run has ended.
            TransportError: the home cannot be reached.
        """
        self._block(self._core, lambda: self._core.set_parameters(*args, **kwargs), "task.set_parameters(...)")

    def update_parameters(self, *args: Mapping[str, Any] | Iterable[tuple[str, Any]], **kwargs: Any) -> None:
        """Set some parameters: all others stay as they are.

        Args:
            *args: Dictionaries or iterables of pairs, of flat names and values; later ones win. Names as of `set_parameter`.
            **kwargs: More of them; they win.

        Raises:
            ValidationError: an argument is neither; several sections hold a bare name, it lists them.
            UnsupportedTypeError: a value cannot be stored; names it.
            TaskStatusError: the run has ended.
            TransportError: the home cannot be reached.
        """
        self._block(self._core, lambda: self._core.update_parameters(*args, **kwargs), "task.update_parameters(...)")

    def set_parameters_as_dict(self, dictionary: Mapping[str, Any]) -> None:
        """Set parameters from a nested dictionary, once: it is not connected. All others stay as they are.

        Args:
            dictionary: As `get_parameters_as_dict` returns it: by section, then by the parts of the name. What is no dictionary at the
                first level has a bare name; see `set_parameter`.

        Raises:
            ValidationError: it is no dictionary; a name is empty; several sections hold a bare name, it lists them.
            UnsupportedTypeError: a value cannot be stored; names it.
            TaskStatusError: the run has ended.
            TransportError: the home cannot be reached.
        """
        self._block(self._core, lambda: self._core.set_parameters_as_dict(dictionary), "task.set_parameters_as_dict(...)")

    def get_parameter(self, name: str, default: Any = None) -> Any:
        """Get one parameter, as stored.

        Args:
            name: Its flat name, `section/name`, or a bare name that one section holds; of several sections, `General`.
            default: What to return where there is none.

        Returns:
            Its text, or `default`.
        """
        return self._core.get_parameter(name, default)

    def get_parameters(self, *, backwards_compatibility: bool = True, cast: bool = False) -> dict[str, Any]:
        """Get the parameters by their flat names, `section/name`.

        Args:
            backwards_compatibility: Leave out the section of those that a client stored which knew no sections.
            cast: Read each by its stored type; what has none, or does not fit it, stays text. By default all are text, as stored.

        Returns:
            Names and values.
        """
        return self._core.get_parameters(backwards_compatibility=backwards_compatibility, cast=cast)

    def get_parameters_as_dict(self) -> dict[str, Any]:
        """Get the parameters as a nested dictionary of text: the first level is the section. Nothing is parsed."""
        return self._core.get_parameters_as_dict()

    def connect_configuration(
        self, configuration: ConfigurationT, *, name: str | None = None, description: str | None = None
    ) -> ConfigurationT:
        """Connect a configuration dictionary or file. Call it before the configuration is read.

        Under an agent it is the other way round: the passed dictionary is cleared and refilled with what the task holds, a file is
        overwritten with it. A file that cannot be overwritten, is not there, or has an absolute path is left alone, and the path of a
        temporary copy is returned. What the task does not hold yet is stored.

        Args:
            configuration: A dictionary, stored as HOCON text that can be edited; or the path of a text file, stored as it is.
            name: What it is called; `General` by default. Servers before API 2.9 have only that one.
            description: What it is for; the one before stays when it is not given.

        Returns:
            `configuration`, or under an agent the path of the temporary copy, of the same kind as the one that was passed.

        Raises:
            UnsupportedTypeError: it is neither a dictionary nor a path, or holds a value that cannot be stored; names it.
            ValidationError: the file cannot be read.
            ConfigurationError: under an agent: the text at home is malformed; says where.
            TaskStatusError: the run has ended.
            TransportError: the home cannot be reached.

        Example:
            >>> config_file = await task.connect_configuration("config/model.json")
            >>> settings = json.loads(Path(config_file).read_text())
        """
        return self._block(
            self._core,
            lambda: self._core.connect_configuration(configuration, name=name, description=description),
            "task.connect_configuration(...)",
        )

    def get_configuration_object(self, name: str) -> str | None:
        """Get the text of a configuration object.

        Args:
            name: What it is called, such as `General`.

        Returns:
            None when there is none of that name.
        """
        return self._core.get_configuration_object(name)

    def get_configuration_object_as_dict(self, name: str) -> dict[str, Any] | None:
        """Get a configuration object as a dictionary, read from its HOCON or JSON text.

        Args:
            name: What it is called, such as `General`.

        Returns:
            None when there is none of that name.

        Raises:
            ConfigurationError: its text is of another kind, or malformed; says where.
        """
        return self._block(
            self._core, lambda: self._core.get_configuration_object_as_dict(name), "task.get_configuration_object_as_dict(...)"
        )

    def set_configuration_object(
        self,
        name: str,
        config_text: str | None = None,
        description: str | None = None,
        config_type: str | None = None,
        config_dict: Mapping[Any, Any] | None = None,
    ) -> None:
        """Store a configuration object, in place of the one of that name.

        Args:
            name: What it is called. Servers before API 2.9 have only `General`.
            config_text: Its text; or
            config_dict: a dictionary, stored as HOCON text.
            description: What it is for; the one before stays when it is not given.
            config_type: What kind of text it is, such as `json`; `dictionary` for a dictionary.

        Raises:
            UsageError: both a text and a dictionary are given, or neither.
            UnsupportedTypeError: the dictionary holds a value that cannot be stored; names it.
            TaskStatusError: the run has ended.
            TransportError: the home cannot be reached.
        """
        self._block(
            self._core,
            lambda: self._core.set_configuration_object(name, config_text, description, config_type, config_dict),
            "task.set_configuration_object(...)",
        )

    @deprecated(since="0.14.1", instead=_SUCCESSOR)
    def set_model_config(self, config_text: str | None = None, config_dict: Mapping[Any, Any] | None = None) -> None:
        """Set the model's configuration. Deprecated since version 0.14.1: use `connect_configuration` instead.

        Args:
            config_text: Its text; or
            config_dict: a dictionary, stored as HOCON text. With neither nothing is changed.

        Raises:
            UsageError: both are given.
            UnsupportedTypeError: the dictionary holds a value that cannot be stored; names it.
            TaskStatusError: the run has ended.
            TransportError: the home cannot be reached.
        """
        self._block(self._core, lambda: quietly(self._core.set_model_config)(config_text, config_dict), "task.set_model_config(...)")

    @deprecated(since="0.14.1", instead=_SUCCESSOR)
    def get_model_config_text(self) -> str:
        """Get the text of the model's configuration. Deprecated since version 0.14.1: use `connect_configuration` instead.

        Returns:
            "" when there is none.
        """
        return quietly(self._core.get_model_config_text)()

    @deprecated(since="0.14.1", instead=_SUCCESSOR)
    def get_model_config_dict(self) -> dict[str, Any]:
        """Get the model's configuration as a dictionary. Deprecated since version 0.14.1: use `connect_configuration` instead.

        Returns:
            An empty dictionary when there is none.

        Raises:
            ConfigurationError: its text is neither HOCON nor JSON; says where.
        """
        return self._block(self._core, lambda: quietly(self._core.get_model_config_dict)(), "task.get_model_config_dict()")

    def get_model_design(self) -> str:
        """Get the model's configuration as text: the object `General`, else the first by name.

        Returns:
            "" when there is none.
        """
        return self._core.get_model_design()

    def update_model_desc(self, new_model_desc_file: str | PathLike[str] | None = None) -> dict[str, Any]:
        """Set the model's configuration to the text of a file.

        Args:
            new_model_desc_file: Its path; None changes nothing.

        Returns:
            The answer of the edit: how many tasks were `updated`.

        Raises:
            StorageError: the file cannot be read; it is an `OSError`.
            ValidationError: it is no path.
            TaskStatusError: the run has ended.
            TransportError: the home cannot be reached.
        """
        return self._block(self._core, lambda: self._core.update_model_desc(new_model_desc_file), "task.update_model_desc(...)")

    def save_exec_model_design_file(self, filename: str = "model_design.txt", use_cache: bool = False) -> str:
        """Save the model's configuration to a file below `cache_dir`.

        Args:
            filename: The name of the file, without folders.
            use_cache: Take the file that is there already, if there is one.

        Returns:
            Its path.

        Raises:
            NotFoundError: the task has no model configuration.
            ValidationError: the name is that of no file in the folder.
            StorageError: the file cannot be written.
        """
        return self._block(
            self._core, lambda: self._core.save_exec_model_design_file(filename, use_cache), "task.save_exec_model_design_file(...)"
        )

    def connect_label_enumeration(self, enumeration: LabelsT) -> LabelsT:
        """Connect the names of the classes and their numbers.

        Under an agent the dictionary is cleared and refilled with what the task holds, if it holds any labels.

        Args:
            enumeration: Names and integers, such as `{"background": 0, "person": 1}`.

        Returns:
            `enumeration`.

        Raises:
            UnsupportedTypeError: it is no dictionary, or a name is no text or a number no integer; names it.
            TaskStatusError: the run has ended.
            TransportError: the home cannot be reached.
        """
        return self._block(self._core, lambda: self._core.connect_label_enumeration(enumeration), "task.connect_label_enumeration(...)")

    def set_model_label_enumeration(self, enumeration: dict[str, int] | None = None) -> None:
        """Set the label enumeration, in place of the one before.

        Args:
            enumeration: Names and integers, such as `{"background": 0, "person": 1}`; None or an empty one for no labels.

        Raises:
            UnsupportedTypeError: it is no dictionary, or a name is no text or a number no integer; names it.
            TaskStatusError: the run has ended.
            TransportError: the home cannot be reached.
        """
        self._block(self._core, lambda: self._core.set_model_label_enumeration(enumeration), "task.set_model_label_enumeration(...)")

    def get_labels_enumeration(self) -> dict[str, int]:
        """Get the label enumeration: the number of each name. Empty when there is none."""
        return self._core.get_labels_enumeration()

    def get_label_num_description(self) -> dict[int, str]:
        """Get the names of each number; several of one number are joined with commas."""
        return self._core.get_label_num_description()

    def get_num_of_classes(self) -> int:
        """Get the number of classes: the highest number of a label and one for number 0, the background.

        Returns:
            0 where there are no labels. A warning is logged then, and where numbers are missing or used twice.
        """
        return self._core.get_num_of_classes()

    @property
    def artifacts(self) -> Mapping[str, Artifact]:
        """The task's artifacts by name, read-only: as of the last `reload`, and those that this object has uploaded or is uploading."""
        return cast("Mapping[str, Artifact]", wrap(self._core.artifacts))

    @property
    def uploads(self) -> Mapping[str, Upload]:
        """What this object has uploaded in this process, by name, the last one of each: how far it is, and what became of it."""
        return cast("Mapping[str, Upload]", wrap(self._core.uploads))

    def upload_artifact(
        self,
        name: str,
        artifact_object: object,
        metadata: Mapping[str, object] | None = None,
        delete_after_upload: bool = False,
        *,
        auto_pickle: bool = False,
        preview: object = None,
        wait_on_upload: bool = False,
        extension_name: str | None = None,
        serialization_function: Callable[[object], bytes | bytearray] | None = None,
        sort_keys: bool = True,
        progress: Callable[[int, int], object] | None = None,
    ) -> bool:
        """Store an object or file with the task, in the background.

        When this returns, an object was written to a file of the journal: it may change, and is uploaded whatever happens to the process.
        A file of the user's is read where it is, once it is its turn. The artifact is recorded at its home once its bytes are there.

        Args:
            name: The artifact's name; an artifact of that name is replaced.
            artifact_object: A dict or list, text, bytes, a data frame of pandas or polars, an array, an image of PIL, a figure of plotly or
                matplotlib, or the path (text or `Path`) of a file, a folder or a wildcard, or a list of such paths. Text that is an address
                elsewhere (http, https, s3, gs, azure) is recorded as it is.
            metadata: Pairs to show beside it, kept as text.
            delete_after_upload: Remove the file or folder once it is stored and recorded.
            auto_pickle: Pickle what is of no other kind.
            preview: Text to show in place of the content, or what `str` makes one of; False for none.
            wait_on_upload: Wait until it is stored, or never will be.
            extension_name: Another form of the file: `.parquet`, `.feather` and `.csv` for data frames, `.csv.gz` for arrays, `.yaml` for
                dictionaries, `.jpg` and others for images, `.svg` and `.pdf` for figures of matplotlib.
            serialization_function: Makes the file's content of the object, whatever that is.
            sort_keys: Write the keys of a dictionary in their order.
            progress: Called in a worker thread with the bytes that have gone and those in all.

        Returns:
            True once it is accepted: it is uploaded now or later, and `task.uploads[name]` says how far it is; with `wait_on_upload`,
            whether it is stored. False for a `Path` that is not there, or a wildcard in one that matches nothing; one line says which.
            Text that names no file is stored as text.

        Raises:
            UnsupportedTypeError: the object is of a kind that cannot be stored; lists those that can.
            ValidationError: an artifact of this name is registered; an argument is of a wrong kind.
            StorageError: the object cannot be written to the disk; with `wait_on_upload`: its home stays away (it is kept, and uploaded
                then).
            TaskStatusError: the run has ended.
        """
        return self._block(
            self._core,
            lambda: self._core.upload_artifact(
                name,
                artifact_object,
                metadata,
                delete_after_upload,
                auto_pickle=auto_pickle,
                preview=preview,
                wait_on_upload=wait_on_upload,
                extension_name=extension_name,
                serialization_function=serialization_function,
                sort_keys=sort_keys,
                progress=progress,
            ),
            "task.upload_artifact(...)",
        )

    def set_artifacts(self, artifacts_list: Sequence[Artifact | Mapping[str, Any] | object] | None = None) -> bool:
        """Record artifacts whose files are somewhere already. Those of the same names are replaced, others stay.

        Args:
            artifacts_list: Artifacts of this or another task, or entries in the form of the server: `{"key": "name", "type": "custom",
                "uri": "https://..."}`.

        Returns:
            True once they are recorded.

        Raises:
            ValidationError: it is no list, or an entry has no key and type.
            TaskStatusError: the run has ended.
        """
        return self._block(self._core, lambda: self._core.set_artifacts(unwrap(artifacts_list)), "task.set_artifacts(...)")

    def register_artifact(
        self,
        name: str,
        artifact: object,
        metadata: Mapping[str, object] | None = None,
        uniqueness_columns: bool | str | Sequence[object] = True,
    ) -> None:
        """Watch a table, and store it with the task whenever it has changed.

        It is stored soon after this call, then looked at every 30 seconds (`artifacts.watch_period`), and by `flush`, `close` and
        `unregister_artifact`. It may be changed by any thread at any time: a copy is stored that was the same for a moment.

        Args:
            name: The artifact's name; what was registered or uploaded under that name is replaced.
            artifact: A data frame of pandas.
            metadata: Pairs to show beside it, kept as text.
            uniqueness_columns: The columns that tell its rows apart, for the statistics in its preview; True for all.

        Raises:
            UnsupportedTypeError: it is no data frame of pandas.
            ValidationError: the name, the metadata or `uniqueness_columns` are not what they have to be.
            TaskStatusError: the run has ended.
            TaskClosedError: the task was closed.
        """
        self._core.register_artifact(name, artifact, metadata, uniqueness_columns)

    def unregister_artifact(self, name: str) -> None:
        """Store a registered table as it is now, and watch it no more. What was stored stays with the task.

        Args:
            name: What it was registered as.

        Raises:
            ValidationError: nothing is registered under that name; lists what is.
            StorageError: it cannot be written to the disk; it stays registered.
            TaskStatusError: the run has ended.
            TaskClosedError: the task was closed.
        """
        self._block(self._core, lambda: self._core.unregister_artifact(name), "task.unregister_artifact(...)")

    def get_registered_artifacts(self) -> MutableMapping[str, Any]:
        """The tables that are registered here, by name: a live dictionary.

        Assigning a data frame to a name registers it, in place of the one that is there with its metadata and uniqueness columns. A name
        that is deleted is stored a last time at the next look, and watched no more.

        Returns:
            The dictionary: name to data frame.
        """
        return self._core.get_registered_artifacts()

    def get_reported_scalars(self, max_samples: SupportsIndex = 0, x_axis: XAxis = "iter") -> dict[str, dict[str, ScalarCurve]]:
        """Every curve that the task reported, by title and series.

        Args:
            max_samples: Points of a curve at most, each the mean of a window; 0 for every point, exactly as reported.
            x_axis: What `x` holds: `iter` (iterations), `timestamp` (seconds from the start of the task) or `iso_time` (ISO 8601, UTC).

        Returns:
            `{title: {series: {"x": [...], "y": [...]}}}`, in the order of the iterations.

        Raises:
            ValidationError: an unknown x axis, or a negative number of samples.
            TransportError: the home cannot be reached.
        """
        return self._block(self._core, lambda: self._core.get_reported_scalars(max_samples, x_axis), "task.get_reported_scalars(...)")

    def iter_reported_scalars(self, title: str | None = None, series: str | None = None) -> Generator[ScalarChunk]:
        """Go through the points of the task's curves piece by piece: memory stays flat, however many there are.

        The points come in the order in which they were reported. Of a point that was reported again at its iteration a server has only the
        later one left; the local home has both, and gives the later one behind the earlier. Single values are not among them.

        Args:
            title: Only this graph.
            series: Only curves of this name.

        Yields:
            Columns of one series, 65,536 points at most. Where many series are reported in turn, a series has many short pieces. What is
            left early is closed by `contextlib.aclosing` in the async world, and by itself in the blocking one.

        Raises:
            NotFoundError: the task was deleted.
            TransportError: the home cannot be reached.

        Example:
            >>> for chunk in task.iter_reported_scalars("loss"):  # `async for`, of an AsyncTask
            ...     print(chunk.series, len(chunk), max(chunk.values))
        """
        return self._iterate(self._core, lambda: self._core.iter_reported_scalars(title, series), "task.iter_reported_scalars(...)")

    def get_reported_single_values(self) -> dict[str, float]:
        """The values that belong to the whole run, by name.

        Raises:
            TransportError: the home cannot be reached.
        """
        return self._block(self._core, lambda: self._core.get_reported_single_values(), "task.get_reported_single_values()")

    def get_last_scalar_metrics(self) -> dict[str, dict[str, LastMetric]]:
        """The last, smallest and largest value of every curve.

        Returns:
            `{title: {series: {"last": ..., "min": ..., "max": ...}}}`.

        Raises:
            TransportError: the home cannot be reached.
        """
        return self._block(self._core, lambda: self._core.get_last_scalar_metrics(), "task.get_last_scalar_metrics()")

    def get_last_iteration(self) -> int:
        """The largest iteration that was reported, or that `set_last_iteration` set since; 0 when there is none.

        Raises:
            NotFoundError: the task was deleted.
            TransportError: the home cannot be reached.
        """
        return self._block(self._core, lambda: self._core.get_last_iteration(), "task.get_last_iteration()")

    def set_last_iteration(self, last_iteration: SupportsIndex) -> None:
        """Set the last iteration, whatever was reported so far; a larger one that is reported afterwards counts again.

        A home of atrains keeps it: every process sees it, and a run that continues goes on behind it. No call of another server sets the
        last iteration: there it is only what `get_last_iteration` of this object returns at least, and it cannot be lowered.

        Args:
            last_iteration: The iteration, 0 or more, as it would be reported; the initial iteration is not added.

        Raises:
            ValidationError: it is no such number.
            TaskStatusError: the run has ended.
            TransportError: the home cannot be reached.
        """
        self._block(self._core, lambda: self._core.set_last_iteration(last_iteration), "task.set_last_iteration(...)")

    def get_reported_console_output(self, number_of_reports: SupportsIndex = 1) -> list[str]:
        """The latest texts of the task's console, the oldest of them first.

        Args:
            number_of_reports: How many reports at most; one may hold several lines.

        Returns:
            The texts, one for each report; none when nothing was reported.

        Raises:
            ValidationError: less than one report.
            TransportError: the home cannot be reached.
        """
        return self._block(
            self._core, lambda: self._core.get_reported_console_output(number_of_reports), "task.get_reported_console_output(...)"
        )

    @property
    def metrics_manager(self) -> MetricsManager:
        """What manages the metrics of this task: which there are, what the home keeps of each, and reporting many at once."""
        return cast("MetricsManager", wrap(self._core.metrics_manager))

    def get_reported_plots(self, max_iterations: int | None = None) -> list[ReportedPlot]:
        """The plots of the task, those of the latest iterations first.

        Args:
            max_iterations: How many of the latest iterations of each title and series; 1 by default.

        Returns:
            One dictionary for each plot: `metric` (title), `variant` (series), `iter`, `timestamp` (milliseconds since 1970), and in
            `plot_str` the JSON text of a plotly figure, for `json.loads` or `plotly.io.from_json`.

        Raises:
            ValidationError: less than one iteration.
            TransportError: the home cannot be reached.
        """
        return self._block(self._core, lambda: self._core.get_reported_plots(max_iterations), "task.get_reported_plots(...)")

    def get_debug_samples(self, title: str, series: str, n_last_iterations: int | None = None) -> list[DebugSample]:
        """The images, and other media, that the task reported under a title and a series, those of the latest iterations first.

        Only those whose file was not replaced: of each title and series the last 100 are kept (see `Logger.report_image`).

        Args:
            title: The title.
            series: The series.
            n_last_iterations: Of how many of the latest iterations that have any; None for all.

        Returns:
            One dictionary for each: `url`, for `StorageManager.get_local_copy`; `iter`, `timestamp` (milliseconds since 1970), `key` (the
            path below its destination), `metric` (title) and `variant` (series).

        Raises:
            ValidationError: less than one iteration.
            TransportError: the home cannot be reached.
        """
        return self._block(
            self._core, lambda: self._core.get_debug_samples(title, series, n_last_iterations), "task.get_debug_samples(...)"
        )

    @property
    def models(self) -> Mapping[str, list[Model]]:
        """The models that the task uses and makes, read-only: `input` and `output`, each a list of `Model`, as they are now."""
        return cast("Mapping[str, list[Model]]", wrap(self._block(self._core, lambda: fetch(self._core.models), "task.models")))

    def get_models(self) -> dict[str, list[Model]]:
        """Get the models that the task uses and makes.

        Returns:
            `input`: those that it was given, the one that `input_model` is first. `output`: those that it made, oldest first, the one that
            `output_model` is last. A model that was deleted is left out.

        Raises:
            NotFoundError: the task was deleted.
            TransportError: the home cannot be reached.
        """
        return cast("dict[str, list[Model]]", wrap(self._block(self._core, lambda: self._core.get_models(), "task.get_models()")))

    @property
    def input_model_id(self) -> str | None:
        """The id of the model that the task begins with, as of the last `reload`; None where there is none."""
        return self._core.input_model_id

    @property
    def output_model_id(self) -> str | None:
        """The id of the last model that the task made, as of the last `reload`; None where there is none."""
        return self._core.output_model_id

    @output_model_id.setter
    def output_model_id(self, value: str | None) -> None:
        self._block(self._core, lambda: self._core.set_output_model_id(value), "task.set_output_model_id(...)")

    @property
    def input_model(self) -> InputModel | None:
        """The model that the task begins with, as of the last `reload`; None where there is none."""
        return cast("InputModel | None", wrap(self._core.input_model))

    @property
    def output_model(self) -> OutputModel:
        """The model that the task makes: the last one of those that it has, as of the last `reload`, else one without weights yet."""
        return cast("OutputModel", wrap(self._core.output_model))

    def create_output_model(self) -> OutputModel:
        """A new model for the task to make, beside those that it has. Nothing is stored before it is given weights."""
        return cast("OutputModel", wrap(self._core.create_output_model()))

    def set_input_model(
        self, model_id: str | None = None, model_name: str | None = None, update_task_design: bool = True, update_task_labels: bool = True
    ) -> None:
        """Set the model that the task begins with. It should be published: one that is not may still change, and a warning is logged.

        Args:
            model_id: Its id; "" for none. Or
            model_name: exactly its name: of several the newest that is published.
            update_task_design: Copy the model's configuration, if it has one, to the task, in place of the task's own.
            update_task_labels: Copy the model's labels, if it has any, to the task, in place of the task's own.

        Raises:
            UsageError: neither is given.
            NotFoundError: there is no such model.
            TaskStatusError: the run has ended.
            TransportError: the home cannot be reached.
        """
        self._block(
            self._core,
            lambda: self._core.set_input_model(model_id, model_name, update_task_design, update_task_labels),
            "task.set_input_model(...)",
        )

    def set_output_model_id(self, model_id: str | None) -> None:
        """Make a stored model the last output model of the task; `task.output_model_id = ...` does the same.

        Args:
            model_id: Its id, which is not checked; None for no output model. The models themselves stay.

        Raises:
            TaskStatusError: the run has ended.
            TransportError: the home cannot be reached.
        """
        self._block(self._core, lambda: self._core.set_output_model_id(model_id), "task.set_output_model_id(...)")

    def update_output_model(
        self, model_uri: str, name: str | None = None, comment: str | None = None, tags: Sequence[str] | None = None
    ) -> None:
        """Say where the weights of the task's output model are. Nothing is uploaded; `update_output_model_and_upload` does.

        The output model is made if there is none, or if it is published. A task that was only created is started.

        Args:
            model_uri: The URL of the weights, such as `file:///path/to/file`; or a path.
            name: At least 3 characters; the name of the task by default.
            comment: What is said about it.
            tags: Its tags.

        Raises:
            ValidationError: a name that is too short, tags that are no list.
            TaskStatusError: the run has ended.
            TransportError: the home cannot be reached.
        """
        self._block(self._core, lambda: self._core.update_output_model(model_uri, name, comment, tags), "task.update_output_model(...)")

    def update_output_model_and_upload(
        self,
        model_file: str | Path,
        name: str | None = None,
        comment: str | None = None,
        tags: Sequence[str] | None = None,
        async_enable: bool = False,
        cb: Callable[[str | bool], object] | None = None,
        iteration: int | None = None,
    ) -> str:
        """Upload a file of weights, and then say that the task's output model is there.

        It goes to the task's `output_uri`, or without one to the home itself: in the local home into the task's folder, else to the file
        server. The output model is made if there is none, or if it is published. A task that was only created is started.

        Args:
            model_file: The path of the file, which stays.
            name: At least 3 characters; the name of the task by default.
            comment: What is said about it.
            tags: Its tags.
            async_enable: Return at once: the file has to stay as it is until it is stored, which `flush(wait_for_uploads=True)` and `close`
                wait for.
            cb: With `async_enable`: called in a thread of its own, once, with the URL when file and record are there, with False when they
                never will be.
            iteration: Of the weights, for the task's last iteration.

        Returns:
            The URL of the stored file; with `async_enable` the one that it will have.

        Raises:
            ValidationError: there is no such file, a name that is too short, tags that are no list, an iteration that is no whole number.
            StorageError: it cannot be stored.
            TaskStatusError: the run has ended.
            TransportError: the home cannot be reached.
        """
        return self._block(
            self._core,
            lambda: self._core.update_output_model_and_upload(model_file, name, comment, tags, async_enable, cb, iteration),
            "task.update_output_model_and_upload(...)",
        )

    def setup_upload(self, bucket_name: str, host: str | None = None) -> None:
        """Set where output models and artifacts go: the same as `task.output_uri = ...`, in the words of older programs.

        Args:
            bucket_name: A folder or a URL; of a bucket its name.
            host: Of the bucket's server.

        Raises:
            ConfigurationError: nothing can be stored there: buckets cannot be used yet.
            StorageError: the folder cannot be made or written.
            TaskStatusError: the run has ended.
            TransportError: the home cannot be reached.
        """
        self._block(self._core, lambda: self._core.setup_upload(bucket_name, host), "task.setup_upload(...)")


TaskTwin._twins[AsyncTask] = Task
