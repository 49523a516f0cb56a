"""A task's life: opened, delivered, closed. A part of AsyncTask; how a run begins in detail is in `opening`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from atrains._api import current
from atrains._async import capturing, connections, opening, tables, watching
from atrains._async.base import connect
from atrains._async.finding import Finding
from atrains._async.status import FLUSH_BUDGET, StatusPart
from atrains._async.watching import check_watch
from atrains._async.wish import Origin, Wish, check_same, check_wish
from atrains._capture.seeds import seed_generators
from atrains._config import Settings, set_credentials, settings
from atrains._config.env import process_variables, tasks_of_masters
from atrains._engine.channel import Channel, names_of
from atrains._engine.disabled import DisabledChannel
from atrains._engine.endings import Ending, ending_of
from atrains._engine.ledger import Receipt, Stats
from atrains._engine.notices import say
from atrains._engine.places import is_elsewhere
from atrains._engine.process import Budget, process
from atrains._engine.runtime import Runtime
from atrains._wire import endpoints
from atrains._wire.metrics import iteration_behind
from atrains._wire.names import validate_name, validate_task_id, validate_task_type
from atrains.errors import HomeError, NotFoundError, TransportError, UsageError, ValidationError
from atrains.types import TaskStatusEnum, TaskTypes

CLOSE_BUDGET: Final = 10.0
"""Seconds that `close` waits for the home; what is not delivered by then stays in the journal."""
_LAST_CALL: Final = 2.0
"""Seconds in which the status is set at least, where the others were used up."""

_FINAL_CALLS: Final = {
    TaskStatusEnum.completed: endpoints.TASKS_COMPLETED,
    TaskStatusEnum.failed: endpoints.TASKS_FAILED,
    TaskStatusEnum.stopped: endpoints.TASKS_STOPPED,
    TaskStatusEnum.created: endpoints.TASKS_RESET,
}
_log = logging.getLogger("atrains")


class Lifecycle(Finding, StatusPart):
    """Opening and closing."""

    _stopped_as: Ending | None = None
    """How the run ends, once it was stopped from outside."""

    # ---- opening

    @classmethod
    def current_task(cls) -> Self | None:
        """The current task: the open task of this context, else the process's main task, else None."""
        task = current.current_task()
        assert task is None or isinstance(task, cls)
        return task

    @classmethod
    async def init(
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
    ) -> Self:
        """Begin the run of this asyncio context; the first of the process becomes its main task.

        Args:
            project_name: At least 3 characters; the repository's name by default. Created when there is none.
            task_name: At least 3 characters; the script's file name by default.
            task_type: A member of `TaskTypes` or its name.
            reuse_last_task_id: True resets and reuses the last task of this project, name and type, unless it has artifacts or models, or
                was published or archived. A text reuses the task of that id in the same way; where there is none, the new task gets the id,
                if the home lets a program choose it (the local home and `atrains serve` do). False, the default here, always creates one.
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
            The task; the open one when this context has one already; in a child of a process with a main task that one, to report to.

        Raises:
            UsageError: this context has an open task of another project, name or type.
            ValidationError: a name that is too short, an unknown type, what cannot be an id.
            NotFoundError: there is no task of the id to continue, or to reuse on a server that makes ids itself; no task was made.
            HomeError: the local home cannot be written to.
        """
        watch = check_watch(auto_connect_streams, auto_resource_monitoring)
        open_task = current.opened_here(settings())
        if open_task is not None:
            check_same(open_task, (project_name, task_name, task_type))
            assert isinstance(open_task, cls)
            return open_task
        task = await cls.open(
            check_wish(project_name, task_name, task_type, reuse=reuse_last_task_id, output_uri=output_uri, continued=continue_last_task)
        )
        current.enter(task)
        current.offer_main(task)
        connections.begin(task, auto_connect_arg_parser)
        watching.begin(task, watch)
        capturing.begin(task, auto_connect_frameworks)
        return task

    @classmethod
    async def create(
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
        from atrains._capture.defaults import default_task_name

        kind = validate_task_type(task_type)
        name = validate_name(task_name, what="task") if task_name is not None else default_task_name(process_variables())
        main = current.open_task_at(settings())  # a project is one of its home
        if project_name is None and main is None:
            raise UsageError("Task.create needs project_name when there is no main task to take it from; name one, or call Task.init first")
        channel, runtime = await connect()
        project = main.project if project_name is None and main is not None else None
        if project is None:  # or of a main task that began while its home was away
            name_of_project = project_name or (main.known_project_name if main is not None else None) or ""
            project = await opening.project_id(channel, validate_name(name_of_project, what="project"))
        return await cls._load(channel, runtime, await opening.create_task(channel, name, kind, project))

    @classmethod
    async def open(cls, wish: Wish) -> Self:
        """Begin a run without making it current; for `Task.init`, which does that where the user's code runs.

        In a process that one with a main task started, that task is opened instead: this process reports to it, and never ends its run.
        """
        channel, runtime = await connect()
        remote = channel.settings.remote_task_id
        if remote is not None and isinstance(channel, Channel):
            return await cls._open_agents(channel, runtime, remote)
        return await cls._open_masters(channel, runtime) or await cls._begin(channel, runtime, wish)

    @classmethod
    async def _open_agents(cls, channel: Channel, runtime: Runtime | None, task_id: str) -> Self:
        """The task that an agent runs this process for: how it begins and ends is up to the agent, and what it is called is known."""
        task = await cls._load(channel, runtime, validate_task_id(task_id))
        await task.started()
        await task.reload()
        # What a process that has this one as its child has reported by now is of this run.
        behind = 0 if task.id in tasks_of_masters() else iteration_behind(task._record)  # noqa: SLF001  # one class
        if offset := task.set_initial_iteration(_first_iteration(channel.settings, behind)):
            say(channel.settings, f"task {task_id} goes on from iteration {offset} on")
        task._join()  # noqa: SLF001  # one class
        return task

    @classmethod
    async def _begin(cls, channel: Channel | DisabledChannel, runtime: Runtime | None, wish: Wish) -> Self:
        opened = await opening.open_run(channel, wish)
        opened = opened._replace(first_iteration=_first_iteration(channel.settings, opened.first_iteration))
        task = cls._bound(opened.record, channel, runtime)
        is_theirs = isinstance(wish.reuse, str) and opened.origin in {Origin.REUSED, Origin.CONTINUED}
        task._project_name = None if is_theirs else wish.project  # noqa: SLF001
        task.set_initial_iteration(opened.first_iteration)
        task.get_logger()
        seed_generators()
        task._owns_run, task._owner_pid = task.running_locally(), os.getpid()  # noqa: SLF001
        if isinstance(channel, Channel) and channel.outlet is not None and opened.origin is Origin.LATER:
            channel.outlet.outbox.create(task.reported_as, wish.project, opened.fields)
        task._run_job = channel.outlet.journal.add_job("run", task.reported_as, {"name": task.name}) if channel.outlet else 0  # noqa: SLF001
        if isinstance(channel, Channel):
            process().open_runs[task.reported_as] = task
            for line in opening.start_lines(opened, channel.settings, channel.transport.target):
                say(channel.settings, line)
        return task

    @classmethod
    async def _open_masters(cls, channel: Channel | DisabledChannel, runtime: Runtime | None) -> Self | None:
        """The task of the process that this one is a child of, if there is such a process and its task is in this home."""
        if isinstance(channel, DisabledChannel) or is_elsewhere(channel.settings):
            return None
        task_ids = tasks_of_masters()
        for task_id in task_ids:
            joined = process().open_runs.get(task_id)
            if isinstance(joined, cls):  # it came here in a pickle
                return joined
            try:
                task = await cls._load(channel, runtime, validate_task_id(task_id))
            except (NotFoundError, ValidationError):
                continue
            task.set_initial_iteration(_first_iteration(channel.settings, 0))
            task._join()  # noqa: SLF001  # one class
            return task
        if task_ids:
            say(
                channel.settings,
                f"task {task_ids[0]} of the process that started this one is not in {channel.transport.target}: this is a run of its own",
            )
        return None

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
        set_credentials(api_host=api_host, web_host=web_host, files_host=files_host, key=key, secret=secret, host=host)

    # ---- delivering and closing

    async def flush(self, wait_for_uploads: bool = False, *, timeout: float | None = FLUSH_BUDGET) -> Receipt:
        """Wait until everything that this task reported so far is stored.

        Args:
            wait_for_uploads: Wait for artifacts and other files as well.
            timeout: Seconds to wait at most; None for ever. What is not stored by then stays in the journal.

        Returns:
            What happened to everything ever reported; true when all of it was stored. `uploads` says which files are on their way and
            which failed.
        """
        begun = time.monotonic()
        failure = await tables.look(self)
        left = None if timeout is None else max(0.0, begun + timeout - time.monotonic())
        receipt = await self._channel.flush(self.reported_as, left, uploads=wait_for_uploads)
        return receipt if failure is None else receipt._replace(error=receipt.error or failure)

    async def stats(self) -> Stats:
        """How this task's reports stand right now: the ledger, and the journal behind it.

        Returns:
            The counts by kind. They are those of the open journal: a task that was closed starts again at zero.
        """
        return await self._channel.stats(self.reported_as)

    async def close(self) -> None:
        """End the run: deliver what was reported, set the final status, let go of everything. Closing twice is fine.

        A run that `init` began becomes `completed`, unless it was marked otherwise before; any other task keeps its status. What could not
        be delivered within 10 seconds stays on disk, and one line says where.
        """
        await self.end(ending_of(None))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.end(ending_of(error))

    async def end(self, ending: Ending, *, at_exit: bool = False) -> None:
        """Close with a given ending; at the exit of the process what is reported after this is still taken, and delivered last."""
        if self._ending_pid != os.getpid():
            self._renew_ending_turn()
        async with self._ending_turn:
            if self._ended:
                return
            current.unset_main(self)
            connections.end(self)
            watching.end(self, at_exit=at_exit)
            owns_run = self._owns_run and self.begun_here  # a child reports to the task, but does not end it
            ends_run = owns_run and self._record.get("status") == TaskStatusEnum.in_progress
            ending = process().ending or self._stopped_as or ending
            if ends_run:
                self._record_ending(ending)
            budget = Budget(CLOSE_BUDGET)
            await capturing.end(self)  # these may upload something, while that is taken
            await tables.end(self)
            self._closed = not at_exit
            reported = self._logger is not None and not at_exit
            if self._logger is not None and not at_exit:
                self._logger.close()
            receipt = await self._channel.flush(self.reported_as, budget.left())
            if owns_run:
                await self._channel.adopt(budget.left())
            undone = [f"not everything was stored ({receipt.error})"] if receipt.error is not None else []
            left = await self._channel.finish_uploads(self.reported_as, timeout=budget.left())
            if left:
                undone.append(f"not everything was uploaded yet ({names_of(left)})")
            if ends_run:
                can_be_set = not left or ending.status == TaskStatusEnum.created
                undone += await self._set_final_status(ending, can_be_set=can_be_set, within=max(_LAST_CALL, budget.left()))
            self._finish_job(self._run_job)
            self._ended = True
            if self._closed:
                current.leave(self)
            process().run_ended(self)
            self._say_what_is_missing(receipt)
            if undone:
                say(self._settings, f"task {self.id}: {' and '.join(undone)}; {self._where_it_is_kept()}")
            if reported:
                await self._channel.close(self.reported_as, delivered=bool(receipt) and not left)

    def _say_what_is_missing(self, receipt: Receipt) -> None:
        for kind, counts in (("scalars", receipt.scalars), ("logs", receipt.logs), ("plots", receipt.plots), ("images", receipt.images)):
            if counts.dropped:
                reasons = ", ".join(f"{count} {reason}" for reason, count in counts.dropped.items())
                say(self._settings, f"task {self.id}: some {kind} were not stored: {reasons}")
        for refusal in receipt.refused:
            say(self._settings, f"task {self.id}: {refusal}")

    def _record_ending(self, ending: Ending) -> None:
        """Note in the journal how the run ended, before anything is waited for: recovery applies it, whatever happens to this process."""
        outlet = self._channel.outlet
        if outlet is not None and not self._status_job:
            # Where there is no room the run ends all the same, if its home can be reached.
            with contextlib.suppress(OSError):
                self._status_job = outlet.journal.add_job(
                    "status", self.reported_as, {"status": ending.status, "status_reason": ending.reason}
                )

    async def _set_final_status(self, ending: Ending, *, can_be_set: bool, within: float) -> list[str]:
        """Set the status with which the run ended; returns what could not be done."""
        if self._is_ahead or not can_be_set:  # the status comes after what waits; it is in the journal, too
            return [f"its status could not be set to {ending.status} yet"]
        forgetting = self._channel.resetting(self.reported_as) if ending.status == TaskStatusEnum.created else contextlib.nullcontext()
        # There is no loop where atrains is disabled, nor anything to wait for.
        limit = asyncio.timeout(within) if isinstance(self._channel, Channel) else contextlib.nullcontext()
        try:
            async with limit, forgetting:
                await self._signal(_FINAL_CALLS[ending.status], "end", ignore_errors=True, reason=ending.reason, can_wait=False)
                self._finish_job(self._status_job)
                self._status_job = 0
        except TimeoutError:  # the home does not answer; what it has not done a recovery does
            return [f"its status could not be set to {ending.status} yet"]
        except (HomeError, TransportError) as error:
            return [f"its status could not be set to {ending.status} ({error})"]
        return []

    def _where_it_is_kept(self) -> str:
        outlet = self._channel.outlet
        folder = outlet.journal.folder if outlet is not None else None
        if folder is not None and folder.exists():
            return f"the rest is kept in {folder}, and stored at the next start"
        return f"nothing keeps the rest, since {folder} was removed" if folder is not None else "nothing keeps the rest"

    def _finish_job(self, job: int) -> None:
        outlet = self._channel.outlet
        if outlet is not None and job:
            # A mark that cannot be written costs a repetition at the next start, and jobs can be repeated.
            with contextlib.suppress(OSError):
                outlet.journal.finish_job(job)


def _first_iteration(settings: Settings, behind: int) -> int:
    """What is added to the iterations of a run that begins; `behind` its last one unless the settings say otherwise."""
    wished = settings.task.iteration_offset
    return behind if wished is None else wished
