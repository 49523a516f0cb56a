"""What stands in for a channel when atrains is switched off.

Takes every call, keeps a task's record in memory, writes nothing, starts nothing.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

from atrains._config import Settings
from atrains._engine.ledger import Counts, Ledger, Receipt, Stats
from atrains._transport.base import Refusal
from atrains._wire import edits, endpoints
from atrains._wire.edits import ParameterChanges
from atrains._wire.endpoints import Endpoint
from atrains._wire.events import EventBlock, ScalarBlock, Span
from atrains.types import TaskStatusEnum

if TYPE_CHECKING:
    from atrains._engine.upload import Handle
    from atrains._storage.registry import StorageRegistry

T = TypeVar("T")

_KEPT: Final = 100
"""Tasks that are remembered although they do not run (any more): a service that is switched off opens them without end."""


class DisabledTransport:
    """Answers as a home would that forgets everything but the records of this process."""

    target = "disabled"
    status_poll_interval = 0.05
    keeps_spans = True
    batch_rows = 1
    retry_interval = 30.0

    def __init__(self) -> None:
        self._tasks: dict[str, dict[str, Any]] = {}

    async def call(self, endpoint: Endpoint, request: Mapping[str, Any]) -> dict[str, Any]:
        """Answer from memory."""
        if endpoint is endpoints.TASKS_CREATE:
            return {"id": self._record(request.get("id") or uuid.uuid4().hex, created=time.time(), **request)["id"]}
        if endpoint is endpoints.PROJECTS_CREATE:
            return {"id": uuid.uuid5(uuid.NAMESPACE_OID, request["name"]).hex}
        if endpoint is endpoints.TASKS_GET_ALL:
            found = [self._tasks[task] for task in request.get("id", ()) if task in self._tasks]
            size = request.get("page_size", len(found))
            begin = request.get("page", 0) * size
            return {"tasks": found[begin : begin + size]}
        if endpoint is endpoints.PROJECTS_GET_ALL:
            return {"projects": [{"id": uuid.uuid5(uuid.NAMESPACE_OID, request.get("name", "")).hex}]}
        if endpoint.name.startswith("models."):
            return self._model_call(endpoint, request)
        for task in request.get("tasks", ()):
            edits.apply(self._record(task), endpoint, request)
        if "task" not in request:
            return {"project": {"id": request.get("project"), "name": "disabled"}}
        return self._task_call(endpoint, request)

    def _model_call(self, endpoint: Endpoint, request: Mapping[str, Any]) -> dict[str, Any]:
        """Know of no model but the one that is asked for."""
        if endpoint == endpoints.MODELS_CREATE:
            return {"id": uuid.uuid4().hex}
        if endpoint == endpoints.MODELS_GET_ALL:
            return {"models": []}
        return {"model": {"id": request.get("model")}, "updated": 1, "fields": {}}

    def _task_call(self, endpoint: Endpoint, request: Mapping[str, Any]) -> dict[str, Any]:
        record = self._record(request["task"])
        if endpoint is endpoints.TASKS_GET_BY_ID:
            return {"task": dict(record)}
        self.change(request["task"], endpoint, request)
        return {"updated": 1, "fields": {"status": record["status"]}, "events": [], "tasks": []}

    def change(self, task: str, endpoint: Endpoint, request: Mapping[str, Any]) -> None:
        """Make an edit in memory."""
        edits.apply(self._record(task), endpoint, request)

    def _record(self, task: str, **fields: Any) -> dict[str, Any]:
        """The record of a task, made when it is not there."""
        if task not in self._tasks:
            if len(self._tasks) >= 2 * _KEPT:
                idle = [known for known, record in self._tasks.items() if record["status"] != TaskStatusEnum.in_progress]
                for known in idle[:-_KEPT]:
                    del self._tasks[known]
            self._tasks[task] = {"status": str(TaskStatusEnum.created), "hyperparams": {}, "execution": {}, **fields, "id": task}
        return self._tasks[task]

    async def keeps_task_ids(self) -> bool:
        """Say that a new task gets the id that it is given."""
        return True

    async def add_events(self, blocks: Sequence[EventBlock]) -> Mapping[Span, Refusal]:
        """Take the events and forget them."""
        del blocks
        return {}

    async def probe(self) -> None:
        """Nothing to reach."""

    async def stored_spans(self, journal: str) -> Collection[Span]:
        """Nothing was stored."""
        del journal
        return ()

    async def scalars(self, task: str) -> AsyncGenerator[ScalarBlock]:
        """Nothing was stored."""
        del task
        return
        yield  # what makes this an iterator

    async def sync(self) -> None:
        """Nothing was stored."""

    async def aclose(self) -> None:
        """Nothing to release."""


class _NoStream:
    """Takes slots and records."""

    def append(self, *_: object) -> bool:
        return True

    append_printed = append


class _NoJournal:
    """Takes whatever a journal takes."""

    id = "disabled"
    folder = None
    refusal = ("", "")
    raises_when_full = False

    def __init__(self) -> None:
        self.scalars = _NoStream()
        self.records = _NoStream()

    def register_series(self, *_: object) -> int:
        return 1

    def add_job(self, *_: object) -> int:
        return 0

    def finish_job(self, number: int) -> None:
        del number


class DisabledOutlet:
    """Looks like an `Outlet`."""

    def __init__(self) -> None:
        self.journal = _NoJournal()
        self.ledger = Ledger()
        self.flush_period: float | None = None


class DisabledChannel:
    """Looks like a `Channel`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.transport = DisabledTransport()
        self.aliases: dict[str, str] = {}
        self.outlet = DisabledOutlet()

    def open(self, task: str, runtime: object) -> DisabledOutlet:
        """Nothing to open."""
        del task, runtime
        return self.outlet

    async def close(self, task: str, *, delivered: bool) -> None:
        """Nothing to close."""
        del task, delivered

    def wake(self) -> None:
        """Nothing to deliver."""

    async def flush(self, task: str | None, timeout: float | None, *, uploads: bool = False) -> Receipt:
        """Nothing to wait for."""
        del task, timeout, uploads
        return Receipt(Counts(), Counts(), Counts())

    async def finish_uploads(
        self, task: str | None, *, timeout: float | None = None, stall: float | None = None, events: bool | None = None
    ) -> list[Handle]:
        """Nothing is uploaded."""
        del task, timeout, stall, events
        return []

    async def finish_upload(self, handle: Handle, *, patience: int | None = None) -> bool:
        """Nothing is waited for."""
        del handle, patience
        return True

    async def cancel_uploads(self, task: str, only: Handle | None = None) -> None:
        """Nothing to give up."""
        del task, only

    def change_parameters(self, task: str, changes: ParameterChanges) -> None:
        """Set or delete parameters in the record in memory."""
        for endpoint, request in edits.parameter_calls(changes):
            self.transport.change(task, endpoint, request)

    async def send_edits(self, task: str) -> None:
        """Nothing waits."""
        del task

    async def stats(self, task: str | None) -> Stats:
        """Nothing was counted."""
        del task
        return Stats(Counts(), Counts(), Counts())

    @asynccontextmanager
    async def resetting(self, task: str) -> AsyncIterator[None]:
        """Nothing to forget."""
        del task
        yield

    async def adopt(self, budget: float) -> None:
        """Nothing to deliver."""
        del budget

    def storages(self) -> StorageRegistry:
        """The storages of local files."""
        from atrains._storage.registry import default_registry

        return default_registry(self.run, home=self.settings.home.path)

    async def run(self, call: Callable[[], T]) -> T:
        """Run a call where it is: there is no worker thread."""
        return call()
