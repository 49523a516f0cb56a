"""What older servers lack, made from what they have. Which has what is in the endpoint table; each fallback says what it costs."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, Protocol, TypeAlias

from atrains._wire import edits, endpoints, models
from atrains._wire.edits import ARCHIVED
from atrains._wire.endpoints import Endpoint, Version
from atrains._wire.events import SINGLE_VALUE_ITERATION, ScalarBlock
from atrains._wire.parameters import DEFAULT_SECTION
from atrains.errors import ServerError

_PUBLISH_WITH_COMPLETED: Final = (2, 20)
_HYPERPARAMS: Final = (2, 9)
_PARAMETERS: Final = frozenset({endpoints.TASKS_EDIT_HYPER_PARAMS, endpoints.TASKS_DELETE_HYPER_PARAMS})
_LISTED_MODELS: Final = (2, 13)
_CONTAINERS: Final = (2, 13)
_LEGACY: Final = "legacy"
_MERGED_PARTS: Final = (2, 10)
"""Server: 2.9 has calls that merge parameters and configurations, but for a task that runs they cannot be forced."""
_DESIGN: Final = "General"
"""The configuration that servers before 2.9 keep: the design of the model."""


class Caller(Protocol):
    """What fallbacks ask: the transport that they stand in for."""

    async def call(self, endpoint: Endpoint, request: Mapping[str, Any]) -> dict[str, Any]:
        """Call an endpoint that the server has."""
        ...

    def scalars(self, task: str) -> AsyncGenerator[ScalarBlock]:
        """Every stored point of a task."""
        ...


Fallback: TypeAlias = Callable[[Caller, Mapping[str, Any]], Awaitable[dict[str, Any]]]


def fallback(endpoint: Endpoint, request: Mapping[str, Any], version: Version) -> Fallback | None:
    """Return what to do in place of a call that a server of this version does not have; None where it has it, or nothing helps."""
    if endpoint.name == endpoints.TASKS_COMPLETED.name and request.get("publish"):
        return _complete_then_publish if version < _PUBLISH_WITH_COMPLETED else None
    if endpoint.name == endpoints.TASKS_EDIT_CONFIGURATION.name and endpoint.since <= version < _MERGED_PARTS:
        return _edit_configurations
    if endpoint.name == endpoints.TASKS_EDIT.name and "models" in request and version < _LISTED_MODELS:
        return _set_models
    if endpoint.name == endpoints.TASKS_EDIT.name and "container" in request and version < _CONTAINERS:
        return _set_container
    if endpoint in _PARAMETERS and version < _MERGED_PARTS:
        return partial(_change_sections if version >= _HYPERPARAMS else _change_flat, endpoint)
    return _FALLBACKS.get(endpoint.name) if version < endpoint.since else None


def since(endpoint: Endpoint, request: Mapping[str, Any]) -> Version:
    """Return the version that a request needs: its endpoint's, unless a field came later."""
    if endpoint.name == endpoints.TASKS_COMPLETED.name and request.get("publish"):
        return _PUBLISH_WITH_COMPLETED
    return endpoint.since


def modern(data: dict[str, Any], version: Version) -> dict[str, Any]:
    """Give the tasks in an answer the hyperparameters and the configuration that a server before 2.9 keeps elsewhere."""
    if version >= _HYPERPARAMS:
        return data
    found = [data.get("task"), *(data.get("tasks") or ())]
    for record in found:
        if not isinstance(record, dict) or not ("execution" in record or "hyperparams" in record):
            continue
        if not record.get("configuration") and (described := (record.get("execution") or {}).get("model_desc")):
            text = described.get("design", next(iter(described.values())))
            record["configuration"] = {_DESIGN: {"name": _DESIGN, "value": str(text or "")}}
        # Server: a newer one that is asked as an old one has the flat ones in both places, and others that no old one could have.
        sections: dict[str, dict[str, Any]] = {}
        for section, items in (record.get("hyperparams") or {}).items():
            if kept := {name: item for name, item in items.items() if item.get("type") != _LEGACY}:
                sections[section] = kept
        for flat, value in ((record.get("execution") or {}).get("parameters") or {}).items():
            section, name = _place(flat)
            sections.setdefault(section, {})[name] = {"section": section, "name": name, "value": str(value), "type": _LEGACY}
        record["hyperparams"] = sections
    return data


async def _complete_then_publish(caller: Caller, request: Mapping[str, Any]) -> dict[str, Any]:
    """Complete and publish by two calls: between them the task is seen as completed."""
    await caller.call(endpoints.TASKS_COMPLETED, {name: value for name, value in request.items() if name != "publish"})
    kept = {name: request[name] for name in ("task", "status_reason", "status_message", "force") if name in request}
    return await caller.call(endpoints.TASKS_PUBLISH, kept)


async def _update_artifacts(caller: Caller, request: Mapping[str, Any]) -> dict[str, Any]:
    """Write the whole list of artifacts again: two writers at a time overwrite each other. Server: known by key and mode."""
    execution = await _execution_of(caller, request["task"])
    merged = {_identity(item): item for item in execution.get("artifacts") or ()}
    merged |= {_identity(item): {"mode": "output", **item} for item in request["artifacts"]}
    execution["artifacts"] = list(merged.values())
    return await caller.call(endpoints.TASKS_EDIT, {"task": request["task"], "execution": execution, "force": True})


def _identity(artifact: Mapping[str, Any]) -> tuple[str, str]:
    return artifact["key"], artifact.get("mode") or "output"


async def _change_sections(endpoint: Endpoint, caller: Caller, request: Mapping[str, Any]) -> dict[str, Any]:
    """Write all parameters again: what another process sets at the same moment may be lost."""
    record = (await caller.call(endpoints.TASKS_GET_BY_ID, {"task": request["task"]}))["task"]
    changed = edits.apply(record, endpoint, request)
    return await caller.call(endpoints.TASKS_EDIT, {"task": request["task"], **changed, "force": request.get("force")})


async def _change_flat(endpoint: Endpoint, caller: Caller, request: Mapping[str, Any]) -> dict[str, Any]:
    """Write the whole map of parameters again, in the flat form of servers before 2.9: their names have no section."""
    execution = await _execution_of(caller, request["task"])
    held: dict[str, str] = dict(execution.get("parameters") or {})
    given = request["hyperparams"]
    if endpoint == endpoints.TASKS_DELETE_HYPER_PARAMS:
        gone = {(item["section"], item.get("name")) for item in given}
        execution["parameters"] = {flat: value for flat, value in held.items() if not {_place(flat), (_place(flat)[0], None)} & gone}
    else:
        replace = request.get("replace_hyperparams")
        replaced = {item["section"] for item in given} if replace == "section" else set()
        kept = {} if replace == "all" else {flat: value for flat, value in held.items() if _place(flat)[0] not in replaced}
        execution["parameters"] = kept | {_flat(item["section"], item["name"]): str(item["value"]) for item in given}
    return await caller.call(endpoints.TASKS_EDIT, {"task": request["task"], "execution": execution, "force": request.get("force")})


def _flat(section: str, name: str) -> str:
    return name if section == DEFAULT_SECTION and "/" not in name else f"{section}/{name}"


def _place(flat: str) -> tuple[str, str]:
    """Section and name of a flat name."""
    section, slash, name = flat.partition("/")
    return (section, name) if slash and section and name else (DEFAULT_SECTION, flat)


async def _edit_configurations(caller: Caller, request: Mapping[str, Any]) -> dict[str, Any]:
    """Write the whole map of configurations again: two writers at a time overwrite each other."""
    held: dict[str, Any] = {}
    if not request.get("replace_configuration"):
        held = (await caller.call(endpoints.TASKS_GET_BY_ID, {"task": request["task"]}))["task"].get("configuration") or {}
    configuration = {**held, **{item["name"]: dict(item) for item in request["configuration"]}}
    edit = {"task": request["task"], "configuration": configuration, "force": request.get("force")}
    return await caller.call(endpoints.TASKS_EDIT, edit)


async def _edit_design(caller: Caller, request: Mapping[str, Any]) -> dict[str, Any]:
    """Write the one configuration that servers before 2.9 have; its type and description are lost.

    Raises:
        ServerError: 400/12, a configuration of another name.
    """
    for item in request["configuration"]:
        if item["name"] != _DESIGN:
            raise ServerError(
                f"a server before API 2.9 has no configuration {item['name']!r}, only {_DESIGN!r}",
                code=400,
                subcode=12,
                endpoint=endpoints.TASKS_EDIT_CONFIGURATION.name,
            )
    execution = await _execution_of(caller, request["task"])
    execution["model_desc"] = {"design": request["configuration"][-1]["value"]}
    return await caller.call(endpoints.TASKS_EDIT, {"task": request["task"], "execution": execution, "force": request.get("force")})


async def _list_model(caller: Caller, request: Mapping[str, Any]) -> dict[str, Any]:
    """Give a task its output model, or one more input model, which its comment names beside the first. Server: no lists before 2.13."""
    task, model = request["task"], request["model"]
    if request["type"] == "output":
        asked = {"task": task, "override_model_id": model, **{name: request[name] for name in ("iteration",) if name in request}}
        return await caller.call(endpoints.MODELS_UPDATE_FOR_TASK, asked)
    record = (await caller.call(endpoints.TASKS_GET_BY_ID, {"task": task}))["task"]
    return await _set_models(caller, {"task": task, "models": {"input": [*models.entries_of(record, "input"), {"model": model}]}})


async def _set_models(caller: Caller, request: Mapping[str, Any]) -> dict[str, Any]:
    """Put the first input and the last output model of a list where older servers have them; the other input models into the comment."""
    record = (await caller.call(endpoints.TASKS_GET_BY_ID, {"task": request["task"]}))["task"]
    edit: dict[str, Any] = {name: value for name, value in request.items() if name != "models"} | {"force": True}
    listed = request["models"]
    if "input" in listed:
        given = [entry["model"] for entry in listed["input"]]
        execution = dict(record.get("execution") or {}) | dict(edit.get("execution") or {})
        edit["execution"] = {**execution, "model": given[0] if given else ""}
        before = [entry["model"] for entry in models.entries_of(record, "input")] if given else []
        comment = str(edit.get("comment", record.get("comment") or ""))
        for model in dict.fromkeys([*before, *given]):
            comment = models.with_used(comment, model)
        edit["comment"] = comment
    if "output" in listed:
        edit["output"] = {**(record.get("output") or {}), "model": next((entry["model"] for entry in reversed(listed["output"])), "")}
    return await caller.call(endpoints.TASKS_EDIT, edit)


async def _set_container(caller: Caller, request: Mapping[str, Any]) -> dict[str, Any]:
    """Put image and arguments of a container into the one text that older servers have; its script is lost."""
    container = request["container"]
    execution = await _execution_of(caller, request["task"]) | dict(request.get("execution") or {})
    execution["docker_cmd"] = " ".join(part for part in (container.get("image"), container.get("arguments")) if part)
    edit = {name: value for name, value in request.items() if name != "container"}
    return await caller.call(endpoints.TASKS_EDIT, {**edit, "execution": execution, "force": True})


async def _archive_models(caller: Caller, request: Mapping[str, Any], *, archived: bool) -> dict[str, Any]:
    """Give models the system tag of archived ones, or take it from them, one after the other."""
    for model in request["ids"]:
        held = (await caller.call(endpoints.MODELS_GET_BY_ID, {"model": model}))["model"].get("system_tags") or []
        tags = [tag for tag in held if tag != ARCHIVED]
        await caller.call(endpoints.MODELS_EDIT, {"model": model, "system_tags": [*tags, ARCHIVED] if archived else tags})
    return {"succeeded": [{"id": model} for model in request["ids"]], "failed": []}


async def _execution_of(caller: Caller, task: str) -> dict[str, Any]:
    """The part of a task that an edit replaces whole."""
    record = (await caller.call(endpoints.TASKS_GET_BY_ID, {"task": task}))["task"]
    return dict(record.get("execution") or {})


async def _single_values(caller: Caller, request: Mapping[str, Any]) -> dict[str, Any]:
    """Look for the single values among all points: every page of them is read. Server: they are those of one iteration."""
    found: list[dict[str, Any]] = []
    for task in dict.fromkeys(request["tasks"]):
        latest: dict[tuple[str, str], dict[str, Any]] = {}
        async for block in caller.scalars(task):
            for row in range(len(block)):
                if block.iterations[row] == SINGLE_VALUE_ITERATION:
                    name = block.names[block.series[row] if block.series is not None else 0]
                    moment = block.times if isinstance(block.times, float) else block.times[row]
                    latest[name] = {"metric": name[0], "variant": name[1], "value": block.values[row], "timestamp": round(moment * 1000)}
        if latest:
            found.append({"task": task, "values": [latest[name] for name in sorted(latest)]})
    return {"tasks": found}


async def _task_log(caller: Caller, request: Mapping[str, Any]) -> dict[str, Any]:
    """Ask for the end of the console; the older form cannot begin at a time. Server: `from` instead of `navigate_earlier` before 2.9."""
    if "from_timestamp" in request:
        return {"events": []}
    old = Endpoint(endpoints.EVENTS_GET_TASK_LOG.name)
    asked = {"task": request["task"], "order": request.get("order"), "batch_size": request.get("batch_size"), "from": "tail"}
    return await caller.call(old, asked)


async def _archive(caller: Caller, request: Mapping[str, Any]) -> dict[str, Any]:
    """Give tasks the system tag of archived ones, one after the other. Server: an edit replaces all of them."""
    return {"archived": await _tag(caller, request["tasks"], "system_tags", add=[ARCHIVED])}


async def _unarchive(caller: Caller, request: Mapping[str, Any]) -> dict[str, Any]:
    """Take that tag from them."""
    await _tag(caller, request["ids"], "system_tags", remove=[ARCHIVED])
    return {"succeeded": [{"id": task, "unarchived": True} for task in request["ids"]], "failed": []}


async def _update_tags(caller: Caller, request: Mapping[str, Any]) -> dict[str, Any]:
    """Write the whole list of tags again, as it is now: only who changes it between our reading and our writing is overwritten."""
    changes = {"add": request.get("add_tags") or (), "remove": request.get("remove_tags") or ()}
    return {"updated": await _tag(caller, request["ids"], "tags", **changes)}


async def _tag(caller: Caller, tasks: Sequence[str], field: str, *, add: Sequence[str] = (), remove: Sequence[str] = ()) -> int:
    for task in tasks:
        held = (await caller.call(endpoints.TASKS_GET_BY_ID, {"task": task}))["task"].get(field) or []
        tags = list(dict.fromkeys([*(tag for tag in held if tag not in remove), *add]))
        if tags != held:
            await caller.call(endpoints.TASKS_EDIT, {"task": task, field: tags, "force": True})
    return len(tasks)


_FALLBACKS: Final[Mapping[str, Fallback]] = {
    endpoints.TASKS_ARCHIVE.name: _archive,
    endpoints.TASKS_UNARCHIVE_MANY.name: _unarchive,
    endpoints.TASKS_UPDATE_TAGS.name: _update_tags,
    endpoints.TASKS_ADD_OR_UPDATE_ARTIFACTS.name: _update_artifacts,
    endpoints.TASKS_ADD_OR_UPDATE_MODEL.name: _list_model,
    endpoints.MODELS_ARCHIVE_MANY.name: partial(_archive_models, archived=True),
    endpoints.MODELS_UNARCHIVE_MANY.name: partial(_archive_models, archived=False),
    endpoints.TASKS_EDIT_CONFIGURATION.name: _edit_design,
    endpoints.EVENTS_SINGLE_VALUES.name: _single_values,
    endpoints.EVENTS_GET_TASK_LOG.name: _task_log,
}
