"""What is recorded once a file is stored, or never will be: one recorder a kind of upload. Only calls to the home."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from atrains._engine.image_records import record_images
from atrains._engine.model_records import MODEL, record_models
from atrains._engine.upload import IMAGE, Upload
from atrains._storage.base import StoredFile
from atrains._transport.base import Transport
from atrains._wire import endpoints
from atrains._wire.artifacts import failed_entry

ARTIFACT: Final = "artifact"
"""`entry`: the entry of the task's list of artifacts, without size and checksum."""
CALLS: Final = "calls"
"""`calls`: pairs of an endpoint's name and a request, made in order; `failed`: those that are made instead when it failed for good."""


@dataclass(frozen=True, slots=True)
class Carried:
    """An upload whose bytes have arrived, or never will.

    Attributes:
        upload: Which.
        stored: What the place says of the file; None where there was none to store.
        failure: Why it failed; None where it did not.
    """

    upload: Upload
    stored: StoredFile | None
    failure: str | None = None


Entries: TypeAlias = "list[Mapping[str, Any] | None]"
Recorder: TypeAlias = Callable[[Transport, str, Sequence[Carried]], Awaitable[Entries]]
"""Records uploads of one task, whose id at home is given, and returns what was recorded of each. Harmless to repeat.

Raises:
    ServerError: the home refuses.
    TransportError, HomeError: it cannot be reached.
"""


async def record_artifacts(transport: Transport, task: str, carried: Sequence[Carried]) -> Entries:
    """Write the entries of artifacts, all by one call. An earlier artifact of a name whose new one failed stays, and says so."""
    held: dict[str, Mapping[str, Any]] = {}
    if any(item.failure is not None for item in carried):
        found = (await transport.call(endpoints.TASKS_GET_BY_ID, {"task": task}))["task"]
        held = {entry["key"]: entry for entry in (found.get("execution") or {}).get("artifacts") or ()}
    entries = [_entry_of(item, held) for item in carried]
    latest = {entry["key"]: entry for entry in entries}
    await transport.call(
        endpoints.TASKS_ADD_OR_UPDATE_ARTIFACTS, {"task": task, "artifacts": [dict(entry) for entry in latest.values()], "force": True}
    )
    return list(entries)


def _entry_of(item: Carried, held: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    entry: Mapping[str, Any] = item.upload.record["entry"]
    if item.failure is not None:
        return failed_entry(entry, held.get(entry["key"]), item.failure)
    if item.stored is None:
        return entry
    return {**entry, "content_size": item.stored.size, "hash": item.stored.sha256}


async def make_calls(transport: Transport, task: str, carried: Sequence[Carried]) -> Entries:
    """Make the calls of each upload, in order; where a request names a task, it is this one."""
    for item in carried:
        for name, request in item.upload.record["failed" if item.failure is not None else "calls"]:
            await transport.call(endpoints.BY_NAME[name], {**request, "task": task} if "task" in request else request)
    return [None] * len(carried)


RECORDERS: Final[dict[str, Recorder]] = {ARTIFACT: record_artifacts, CALLS: make_calls, MODEL: record_models, IMAGE: record_images}
