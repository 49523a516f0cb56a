"""What is recorded of the program behind a run: begun with the run, in a worker thread, and ended with it. What is found is in `_capture`.

What is recorded goes the way of edits that nobody waits for: into the journal, and to the home with the next delivery.
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
import sys
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextvars import Context
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from atrains._api import current
from atrains._async.connections import TaskRecorder
from atrains._config import Settings
from atrains._config.env import process_variables, set_variables
from atrains._engine.channel import Channel
from atrains._engine.process import WORKERS, Budget, process
from atrains._wire import edits, endpoints
from atrains._wire.endpoints import Endpoint
from atrains._wire.parameters import item_of
from atrains.errors import AtrainsError, HomeError

if TYPE_CHECKING:
    from atrains._async.artifacts import Artifacts
    from atrains._async.base import TaskPart
    from atrains._async.parameters import Parameters
    from atrains._capture.commands import Deadline
    from atrains._capture.script import Beginning, Captured

DELAY: Final = 0.1
"""Seconds after its beginning at which a run is looked at: a program has something to do then, and imports most of what it needs."""
FINISH_BUDGET: Final = 5.0
"""Seconds that the end of a run waits for what is still being found out."""
SETTLE_BUDGET: Final = 20.0
"""The same of a run that is handed over to an agent, which needs it: longer than all of it may take."""
_RESERVE: Final = 1.5
"""Seconds of the former that are kept for what is found out without git."""
PATCH: Final = "auxiliary_git_diff"
"""The artifact that holds a difference which is too large for the record."""
_ENVIRONMENT: Final = "Environment"
_DETECT: Final = "detect_repository"
_REMARKS: Final = "program"
"""The entry of the record's `runtime` that holds what else there is to know."""
_log = logging.getLogger("atrains")


class Capturing:
    """The recording of one program, for its main task.

    Args:
        task: The task.
        channel: Its channel.
        whole: Whether the program is recorded, rather than only what the settings name: variables, a container.

    Attributes:
        has_container: Whether the program named a container, in place of that of the settings.
    """

    def __init__(self, task: TaskPart, channel: Channel, *, whole: bool) -> None:
        self._task = task
        self._channel = channel
        self._whole = whole
        # Taken down now, since the program may change them. What makes something of them is imported by the worker, after `init`.
        self._argv, self._folder, self._variables = tuple(getattr(sys, "argv", ())), _folder(), process_variables()
        self._main = sys.modules.get("__main__")
        self._deadline: Deadline | None = None
        self._finish_by = math.inf
        self._imported: frozenset[str] = frozenset()
        self._requirements: Mapping[str, str] = {}
        self.has_container = False
        self._changes = False
        self._patch = self._preview = ""
        self._uploading: asyncio.Task[None] | None = None
        self._ended = False
        self._lock = threading.Lock()
        self._starting = threading.Lock()
        self._running: Future[None] | None = None

    def start(self) -> Future[None]:
        """Record it, unless that has begun; from any thread."""
        with self._starting:
            if self._running is None:
                self._running = WORKERS.submit(self._work)
            return self._running

    def again(self) -> Future[None]:
        """Record it once more, for what changed since."""
        with self._starting:
            self._running = WORKERS.submit(self._work)
            return self._running

    async def settle(self, budget: Budget) -> Future[None]:
        """Wait until everything is recorded that there is by now, or for a bounded time; on any loop."""
        running = self.start()
        await _wait(running, budget)
        if self._changes:  # a notebook has got more cells since
            running = self.again()
        elif self._imported and not _is_all(self._imported):
            with self._starting:
                running = self._running = WORKERS.submit(self._work, self._record_packages)
        await _wait(running, budget)
        return running

    async def finish(self) -> None:
        """The same, and record nothing from then on."""
        budget = Budget(FINISH_BUDGET)
        self._finish_by = time.monotonic() + budget.left() - _RESERVE
        if self._deadline is not None:
            self._deadline.shorten(budget.left() - _RESERVE)
        running = await self.settle(budget)
        self._ended = True
        if not running.done():
            _log.debug("atrains: the program of task %s is not recorded: it could not be looked at in time", self._task.id)
        uploading = self._uploading
        if uploading is not None and uploading.get_loop() is asyncio.get_running_loop():
            await asyncio.wait({uploading}, timeout=budget.left())
        await self._upload_patch()

    def _work(self, record: Callable[[], None] | None = None) -> None:
        with self._lock:  # one after the other
            try:
                (record or self._record)()
            except HomeError:  # the journal was closed: the run ended meanwhile
                _log.debug("atrains: the program of task %s was looked at too late to record it", self._task.id)
            except Exception:  # a bug here must not end a worker's call unseen, nor the run that it is about  # noqa: BLE001
                _log.debug("atrains: the program of task %s is not recorded", self._task.id, exc_info=True)

    def _record(self) -> None:
        from atrains._capture import script
        from atrains._capture.forced import forced

        settings = self._channel.settings
        begun = script.Beginning(self._argv, self._folder, self._variables, self._main)
        self._record_variables(begun)
        fields: dict[str, Any] = {}
        captured = script.capture(begun, settings.capture, secrets_in(settings), forced(), self._until()) if self._whole else None
        if settings.capture.docker_image and not self.has_container:
            image, _, arguments = settings.capture.docker_image.partition(" ")
            setup = settings.capture.docker_script or ""
            fields["container"] = {"image": image, "arguments": arguments.strip(), "setup_shell_script": setup}
        if captured is not None:
            fields["script"] = dict(captured.script)
            held = self._task._record.get("runtime") or {}  # noqa: SLF001  # one package
            if captured.remarks or _REMARKS in held:
                fields["runtime"] = {**held, _REMARKS: dict(captured.remarks)}
        if fields:
            self._edit(endpoints.TASKS_EDIT, force=True, **fields)
        if captured is not None:
            self._edit(endpoints.TASKS_SET_REQUIREMENTS, requirements=dict(captured.requirements))
            self._note(captured)

    def _record_packages(self) -> None:
        """Record the packages once more, if those that were imported since make a difference."""
        from atrains._capture import script
        from atrains._capture.forced import forced

        begun = script.Beginning(self._argv, self._folder, self._variables, self._main)
        found = script.packages(begun, self._channel.settings.capture, forced(), self._until())
        if found != self._requirements:
            self._requirements = found
            self._edit(endpoints.TASKS_SET_REQUIREMENTS, requirements=found)

    def _until(self) -> Deadline:
        """When nothing is waited for any more: moved nearer as the run ends."""
        from atrains._capture.commands import Deadline

        deadline = self._deadline = Deadline()
        deadline.shorten(self._finish_by - time.monotonic())  # it may end already
        return deadline

    def _record_variables(self, begun: Beginning) -> None:
        from atrains._capture.script import chosen_variables

        chosen = self._channel.settings.capture
        if chosen.environment:
            found = chosen_variables(begun, chosen, secrets_in(self._channel.settings))
            items = [item_of(_ENVIRONMENT, name, value) for name, value in sorted(found.items())]
            TaskRecorder(cast("Parameters", self._task)).record_parameters(items)

    def _edit(self, endpoint: Endpoint, **request: Any) -> None:
        """Have an edit made soon, and show it here at once."""
        outlet = self._channel.outlet
        if outlet is None or self._ended:
            return
        with process().lock:
            edits.apply(self._task._record, endpoint, request)  # noqa: SLF001
        outlet.outbox.call(self._task.reported_as, endpoint, request, soon=True)

    def _note(self, captured: Captured) -> None:
        self._changes, self._imported, self._requirements = captured.is_growing, captured.imported, captured.requirements
        for part, reason in captured.missing.items():
            _log.debug("atrains: the %s of the program of task %s is not recorded: %s", part, self._task.id, reason)
        runtime = self._task._runtime  # noqa: SLF001
        if captured.patch and runtime is not None:
            self._patch = captured.patch
            self._preview = "\n".join(found[0] for found in re.finditer(r"^diff --.*", captured.patch, re.MULTILINE))
            runtime.call_soon(self._begin_upload)

    def _begin_upload(self) -> None:
        if not self._ended:
            self._uploading = asyncio.create_task(self._upload_patch(), name="atrains-capture")

    async def _upload_patch(self) -> None:
        patch, self._patch = self._patch, ""
        if not patch:
            return
        task = cast("Artifacts", self._task)
        try:
            await task.upload_artifact(PATCH, patch, preview=self._preview or None)
        except AtrainsError as error:  # the run ended meanwhile, or there is no room: the run is worth more than the note
            _log.debug("atrains: the difference of task %s is not stored: %s", self._task.id, error)


def begin(task: TaskPart, frameworks: bool | Mapping[str, bool]) -> None:
    """Record the program of a main task, unless that is switched off; under an agent, which knows it, take over its variables instead."""
    channel = task._channel  # noqa: SLF001  # one package
    if not isinstance(channel, Channel):
        return
    if task._takes_values_from_home:  # noqa: SLF001
        held = TaskRecorder(cast("Parameters", task)).held_parameters(_ENVIRONMENT) or {}
        set_variables({name: str(item.get("value", "")) for name, item in held.items()})
    if current.main_task() is not task or not task.begun_here or not task.running_locally():
        return
    chosen = channel.settings.capture
    whole = chosen.enabled and not (isinstance(frameworks, Mapping) and not frameworks.get(_DETECT, True))
    if whole or chosen.environment or chosen.docker_image:
        capturing = task._capturing = Capturing(task, channel, whole=whole)  # noqa: SLF001
        runtime = task._runtime  # noqa: SLF001
        assert runtime is not None  # there is one wherever there is a channel
        runtime.call_soon(partial(_start_later, runtime.loop, weakref.ref(capturing)))


async def settle(task: TaskPart) -> None:
    """Have recorded what is not recorded yet, within a bounded time, of a run that goes on."""
    if task._capturing is not None and task.begun_here:  # noqa: SLF001
        await task._capturing.settle(Budget(SETTLE_BUDGET))  # noqa: SLF001


async def end(task: TaskPart) -> None:
    """Have recorded what is not recorded yet, within a bounded time."""
    if task._capturing is not None and task.begun_here:  # noqa: SLF001
        await task._capturing.finish()  # noqa: SLF001


def secrets_in(settings: Settings) -> list[str]:
    """The texts of the credentials in use."""
    api = settings.api
    proxies = [proxy.reveal().rpartition("@")[0].rpartition(":")[2] for proxy in (api.proxy.http, api.proxy.https) if proxy is not None]
    keys = (api.access_key, api.secret_key, api.auth_token, api.client_key_password)
    return [*(key.reveal() for key in keys if key is not None), *proxies]


def _start_later(loop: asyncio.AbstractEventLoop, capturing: weakref.ref[Capturing]) -> None:
    # It outlives a short run, and must keep neither it nor the context in which it began.
    loop.call_later(DELAY, _start, capturing, context=Context())


def _start(capturing: weakref.ref[Capturing]) -> None:
    held = capturing()
    if held is not None:  # a run that ended before was looked at then
        held.start()


def _folder() -> Path:
    """The working directory; that of the start where Hydra has made one for the run, which nobody else has."""
    hydra = getattr(sys.modules.get("hydra.core.hydra_config"), "HydraConfig", None)
    try:
        if hydra is not None and hydra.initialized():
            return Path(hydra.get().runtime.cwd)
    except Exception:  # one that is made otherwise: the run is worth more than the note  # noqa: BLE001
        _log.debug("atrains: Hydra does not say where it was started", exc_info=True)
    try:
        return Path.cwd()
    except OSError:  # it was deleted
        return Path("/")


def _is_all(imported: frozenset[str]) -> bool:
    """Whether no module was imported since that may belong to another package."""
    from atrains._capture.imports import imported_names

    return imported_names() <= imported


async def _wait(running: Future[None], budget: Budget) -> None:
    """Wait for a worker's call, which goes on when the time is up."""
    await asyncio.wait({asyncio.shield(asyncio.wrap_future(running))}, timeout=budget.left())
