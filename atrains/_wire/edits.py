"""What an edit makes of a task's record, for those who cannot ask the home: it is away, or atrains is switched off. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias

from atrains._wire import endpoints
from atrains._wire.endpoints import Endpoint

_STATUS: Final[Mapping[Endpoint, str]] = {
    endpoints.TASKS_STARTED: "in_progress",
    endpoints.TASKS_STOPPED: "stopped",
    endpoints.TASKS_COMPLETED: "completed",
    endpoints.TASKS_FAILED: "failed",
    endpoints.TASKS_PUBLISH: "published",
    endpoints.TASKS_RESET: "created",
}
_CALL: Final = frozenset({"task", "force", "ids"})
"""Fields of a request that are not fields of the record."""
ARCHIVED: Final = "archived"
"""The system tag of tasks that were put away."""
_EMBEDDED: Final = frozenset({"execution", "script", "output", "models"})
"""Fields of which an edit changes only the given keys."""

ParameterChanges: TypeAlias = "Mapping[tuple[str, str], Mapping[str, str] | None]"
"""Parameters that are to be set, as a home stores them, or deleted (None), by section and name."""

CAN_WAIT: Final = frozenset(
    {
        endpoints.TASKS_EDIT,
        endpoints.TASKS_EDIT_HYPER_PARAMS,
        endpoints.TASKS_EDIT_CONFIGURATION,
        endpoints.TASKS_DELETE_HYPER_PARAMS,
        endpoints.TASKS_SET_REQUIREMENTS,
        endpoints.TASKS_UPDATE_TAGS,
        endpoints.TASKS_STARTED,
        endpoints.TASKS_STOPPED,
        endpoints.TASKS_COMPLETED,
        endpoints.TASKS_FAILED,
    }
)
"""Calls that mean the same when they are made later, and that may be repeated."""


def apply(record: dict[str, Any], endpoint: Endpoint, request: Mapping[str, Any]) -> dict[str, Any]:
    """Change a record as the home would, and return the top-level fields that changed.

    Server: an edit replaces whole fields, but for embedded documents; hyperparameters are merged by section and name unless
    `replace_hyperparams` says otherwise, configuration objects by name.
    """
    changed: dict[str, Any] = {}
    if endpoint in _STATUS:
        changed["status"] = _STATUS[endpoint]
        changed.update({name: request[name] for name in ("status_reason", "status_message") if name in request})
    elif endpoint == endpoints.TASKS_EDIT:
        changed = {
            name: {**(record.get(name) or {}), **value} if name in _EMBEDDED else value
            for name, value in request.items()
            if name not in _CALL
        }
        if "output_dest" in changed:
            changed["output"] = {**(record.get("output") or {}), "destination": changed.pop("output_dest")}
    elif endpoint == endpoints.TASKS_SET_REQUIREMENTS:
        changed["script"] = {**(record.get("script") or {}), "requirements": request["requirements"]}
    elif endpoint == endpoints.TASKS_EDIT_CONFIGURATION:
        held = {} if request.get("replace_configuration") else record.get("configuration") or {}
        changed["configuration"] = {**held, **{item["name"]: dict(item) for item in request["configuration"]}}
    elif endpoint in {endpoints.TASKS_ARCHIVE, endpoints.TASKS_UNARCHIVE_MANY}:
        kept = [tag for tag in record.get("system_tags") or [] if tag != ARCHIVED]
        changed["system_tags"] = [*kept, ARCHIVED] if endpoint == endpoints.TASKS_ARCHIVE else kept
    elif endpoint == endpoints.TASKS_UPDATE_TAGS:
        kept = [tag for tag in record.get("tags") or [] if tag not in request.get("remove_tags", ())]
        changed["tags"] = list(dict.fromkeys([*kept, *request.get("add_tags", ())]))
    elif endpoint == endpoints.TASKS_EDIT_HYPER_PARAMS:
        changed["hyperparams"] = _merged(record.get("hyperparams") or {}, request)
    elif endpoint == endpoints.TASKS_DELETE_HYPER_PARAMS:
        changed["hyperparams"] = _without(record.get("hyperparams") or {}, request)
    record.update(changed)
    return changed


def parameter_calls(changes: ParameterChanges) -> Iterator[tuple[Endpoint, dict[str, Any]]]:
    """The calls that make changes of parameters, which touch no other parameter; without the task."""
    deleted = [{"section": section, "name": name} for (section, name), item in changes.items() if item is None]
    if deleted:
        yield endpoints.TASKS_DELETE_HYPER_PARAMS, {"hyperparams": deleted, "force": True}
    given = [dict(item) for item in changes.values() if item is not None]
    if given:
        yield endpoints.TASKS_EDIT_HYPER_PARAMS, {"hyperparams": given, "replace_hyperparams": "none", "force": True}


def _merged(held: Mapping[str, Mapping[str, Any]], request: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    replace = request.get("replace_hyperparams", "none")
    given = {item["section"] for item in request["hyperparams"]}
    sections = {} if replace == "all" else {name: dict(items) for name, items in held.items() if replace == "none" or name not in given}
    for item in request["hyperparams"]:
        sections.setdefault(item["section"], {})[item["name"]] = dict(item)
    return sections


def _without(held: Mapping[str, Mapping[str, Any]], request: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    sections = {name: dict(items) for name, items in held.items()}
    for item in request["hyperparams"]:
        if item.get("name") is None:
            sections.pop(item["section"], None)
        else:
            sections.get(item["section"], {}).pop(item["name"], None)
    return {name: items for name, items in sections.items() if items}
