"""What older servers lack, made from what they have. Which has what is in the endpoint table; each fallback says what it costs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Final, Protocol, TypeAlias

from atrains._wire import endpoints
from atrains._wire.endpoints import Endpoint, Version
from atrains._wire.events import SINGLE_VALUE_ITERATION, ScalarBlock

_PUBLISH_WITH_COMPLETED: Final = (2, 20)
_HYPERPARAMS: Final = (2, 9)


class Caller(Protocol):
    """What fallbacks ask: the transport that they stand in for."""

    async def call(self, endpoint: Endpoint, request: Mapping[str, Any]) -> dict[str, Any]:
        """Call an endpoint that the server has."""
        ...

    def scalars(self, task: str) -> AsyncIterator[ScalarBlock]:
        """Every stored point of a task."""
        ...


Fallback: TypeAlias = Callable[[Caller, Mapping[str, Any]], Awaitable[dict[str, Any]]]


def fallback(endpoint: Endpoint, request: Mapping[str, Any], version: Version) -> Fallback | None:
    """Return what to do in place of a call that a server of this version does not have; None where it has it, or nothing helps."""
    if endpoint.name == endpoints.TASKS_COMPLETED.name and request.get("publish"):
        return _complete_then_publish if version < _PUBLISH_WITH_COMPLETED else None
    return _FALLBACKS.get(endpoint.name) if version < endpoint.since else None


def since(endpoint: Endpoint, request: Mapping[str, Any]) -> Version:
    """Return the version that a request needs: its endpoint's, unless a field came later."""
    if endpoint.name == endpoints.TASKS_COMPLETED.name and request.get("publish"):
        return _PUBLISH_WITH_COMPLETED
    return endpoint.since


def modern(data: dict[str, Any], version: Version) -> dict[str, Any]:
    """Give the tasks in an answer the hyperparameters that a server before 2.9 keeps elsewhere."""
    if version >= _HYPERPARAMS:
        return data
    found = [data.get("task"), *(data.get("tasks") or ())]
    for record in found:
        if not isinstance(record, dict) or record.get("hyperparams"):
            continue
        sections: dict[str, dict[str, dict[str, str]]] = {}
        for flat, value in ((record.get("execution") or {}).get("parameters") or {}).items():
            head, slash, tail = flat.partition("/")
            section, name = (head, tail) if slash and head and tail else ("General", flat)
            sections.setdefault(section, {})[name] = {"section": section, "name": name, "value": str(value), "type": "legacy"}
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


async def _edit_parameters(caller: Caller, request: Mapping[str, Any]) -> dict[str, Any]:
    """Write the whole map of parameters again, in the flat form of servers before 2.9: their names have no section."""
    execution = await _execution_of(caller, request["task"])
    held: dict[str, str] = dict(execution.get("parameters") or {})
    items = {_flat(item["section"], item["name"]): str(item["value"]) for item in request["hyperparams"]}
    replaced = {item["section"] for item in request["hyperparams"]} if request.get("replace_hyperparams") == "section" else set()
    if request.get("replace_hyperparams") == "all":
        held = {}
    kept = {name: value for name, value in held.items() if _section(name) not in replaced}
    execution["parameters"] = kept | items
    edit = {"task": request["task"], "execution": execution, "force": request.get("force")}
    return await caller.call(endpoints.TASKS_EDIT, edit)


def _flat(section: str, name: str) -> str:
    return name if section == "General" and "/" not in name else f"{section}/{name}"


def _section(flat: str) -> str:
    return flat.partition("/")[0] if "/" in flat else "General"


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
    old = Endpoint(endpoints.EVENTS_GET_TASK_LOG.name)
    asked = {"task": request["task"], "order": request.get("order"), "batch_size": request.get("batch_size"), "from": "tail"}
    return await caller.call(old, asked)


_FALLBACKS: Final[Mapping[str, Fallback]] = {
    endpoints.TASKS_ADD_OR_UPDATE_ARTIFACTS.name: _update_artifacts,
    endpoints.TASKS_EDIT_HYPER_PARAMS.name: _edit_parameters,
    endpoints.EVENTS_SINGLE_VALUES.name: _single_values,
    endpoints.EVENTS_GET_TASK_LOG.name: _task_log,
}
