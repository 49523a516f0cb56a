"""How a model is recorded once its file is stored: made, or given its new uri, and listed by its task. Only calls to the home."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from atrains._transport.base import Transport
from atrains._wire import endpoints
from atrains._wire.models import entry_name

if TYPE_CHECKING:
    from atrains._engine.upload_records import Carried, Entries

MODEL: Final = "model"
"""`model`: its id, or None for one that is to be made; `changes`: what an edit sets; `fields`: what a new one has besides; `known_as`:
names and uris under which it may have been made meanwhile; `listed`: the name that its task lists it under; `iteration`: of the weights,
or None."""


async def record_models(transport: Transport, task: str, carried: Sequence[Carried]) -> Entries:
    """Record models one after the other; of one whose file could not be stored nothing is, so that what it had before stays."""
    return [None if item.failure is not None else await record_model(transport, task, item.upload.record) for item in carried]


async def record_model(transport: Transport, task: str, record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Make a model or edit it, and list it as the last output model of its task; returns its id and what was set.

    Harmless to repeat: of a task's drafts, the one with this name and this uri is the one that an earlier try has made.
    """
    model, changes = record["model"], dict(record["changes"])
    iteration = {} if record["iteration"] is None else {"iteration": record["iteration"]}
    fields = changes
    if model is None:
        fields = {**record["fields"], **changes, "task": task}
        model = await _find(transport, task, [*record["known_as"], [fields["name"], fields["uri"]]])
    if model is None:
        model = (await transport.call(endpoints.MODELS_CREATE, {**fields, "ready": False}))["id"]
    else:
        await transport.call(endpoints.MODELS_EDIT, {"model": model, **fields})
    held = (await transport.call(endpoints.TASKS_GET_BY_ID, {"task": task}))["task"]
    name = entry_name(held, "output", model, record["listed"])
    listed = {"task": task, "name": name, "model": model, "type": "output", **iteration}
    await transport.call(endpoints.TASKS_ADD_OR_UPDATE_MODEL, listed)
    return {"id": model, **changes}


async def _find(transport: Transport, task: str, known_as: Sequence[Sequence[str]]) -> str | None:
    """The draft of a task that has one of these names and the uri beside it."""
    request = {"task": [task], "uri": [uri for _, uri in known_as], "only_fields": ["id", "name", "uri", "ready"]}
    found = (await transport.call(endpoints.MODELS_GET_ALL, request))["models"]
    same = [held["id"] for held in found if [held.get("name"), held.get("uri")] in known_as and not held.get("ready")]
    return same[-1] if same else None
