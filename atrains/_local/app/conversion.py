"""Documents as old clients know them: what a request below some version of the protocol gives and gets in other places. Pure.

Server: below 2.13 the models and the container stand in `execution` and `output`, below 2.9 parameters and configuration do, below 2.3
there is one list of tags.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from atrains._local import query
from atrains._wire.endpoints import Version

_Task = dict[str, Any]
_Model = dict[str, Any]
_WITH_MODELS: Final = (2, 13)
_WITH_SECTIONS: Final = (2, 9)
_WITH_SYSTEM_TAGS: Final = (2, 3)
_SYSTEM_TAGS: Final = frozenset({"development", "archived", "hidden", "pipeline", "shared"})
_WRITES: Final = frozenset(
    {"tasks.create", "tasks.edit", "tasks.update", "models.create", "models.edit", "models.update", "models.update_for_task"}
)
_MOVED: Final[Mapping[str, tuple[str, ...]]] = {
    "execution.model": ("models",), "output.model": ("models",), "execution.docker_cmd": ("container",),
    "execution.parameters": ("hyperparams",), "execution.model_desc": ("configuration",), "tags": ("tags", "system_tags"),
    "execution": ("execution", "models", "container", "hyperparams", "configuration"), "output": ("output", "models"),
}  # fmt: skip
"""What has to be read for a field that an old client asks for."""
_LEGACY: Final = "legacy"
_ARGUMENTS: Final = "Args"


def from_request(name: str, request: Mapping[str, Any], version: Version) -> dict[str, Any]:
    """The request as the newest version would have made it.

    Raises:
        ServerError: 400/12, a list of tags that is none.
    """
    given = dict(request)
    if version >= _WITH_MODELS:
        return given
    if isinstance(given.get("only_fields"), list):
        given["only_fields"] = [field for asked in given["only_fields"] for field in _moved(asked)]
    if name in _WRITES:
        _move_models(given)
        if version < _WITH_SECTIONS:
            _move_sections(given)
        if version < _WITH_SYSTEM_TAGS and query.take_strings(given, "tags"):
            given["system_tags"] = [tag for tag in given["tags"] if tag in _SYSTEM_TAGS]
            given["tags"] = [tag for tag in given["tags"] if tag not in _SYSTEM_TAGS]
    return given


def _moved(asked: Any) -> list[Any]:
    """What is to be read for one of `only_fields`."""
    return list(dict.fromkeys([asked, *_MOVED.get(asked, ())])) if isinstance(asked, str) else [asked]


def _move_models(given: _Task) -> None:
    execution, output = given.get("execution"), given.get("output")
    models: dict[str, Any] = dict(given["models"]) if isinstance(given.get("models"), Mapping) else {}
    if isinstance(execution, Mapping):
        given["execution"] = execution = dict(execution)
        if "model" in execution and "input" not in models:
            model = execution.pop("model")
            models["input"] = [{"name": "Input Model", "model": model}] if model else []
        if isinstance(command := execution.pop("docker_cmd", None), str) and "container" not in given:
            image, _, arguments = command.strip().partition(" ")
            given["container"] = {"image": image, "arguments": arguments.strip(), "setup_shell_script": ""} if image else {}
    if isinstance(output, Mapping) and "model" in output:
        given["output"] = output = dict(output)
        model = output.pop("model")
        models.setdefault("output", [{"name": "Output Model", "model": model}] if model else [])
    if models:
        given["models"] = models


def _move_sections(given: _Task) -> None:
    execution = given.get("execution")
    if not isinstance(execution, Mapping):
        return
    given["execution"] = execution = dict(execution)
    parameters, described = execution.pop("parameters", None), execution.pop("model_desc", None)
    if isinstance(parameters, Mapping) and "hyperparams" not in given:
        sections: dict[str, dict[str, Any]] = {}
        for flat, value in parameters.items():
            section, name = ("TF_DEFINE", flat[10:]) if flat.startswith("TF_DEFINE/") else (_ARGUMENTS, flat)
            sections.setdefault(section, {})[name] = {"section": section, "name": name, "value": str(value), "type": _LEGACY}
        given["hyperparams"] = sections
    if isinstance(described, Mapping) and "configuration" not in given:
        given["configuration"] = {name: {"name": name, "value": str(text), "type": _LEGACY} for name, text in described.items()}


def to_answer(data: dict[str, Any], version: Version) -> dict[str, Any]:
    """An answer as a client of that version reads it."""
    if version >= _WITH_MODELS:
        return data
    data = map_tasks(data, lambda task: _as_old(task, version))
    return map_models(data, _with_one_list_of_tags) if version < _WITH_SYSTEM_TAGS else data


def map_tasks(data: dict[str, Any], convert: Callable[[_Task], _Task]) -> dict[str, Any]:
    """A copy of an answer with each task in it converted."""
    if isinstance(data.get("task"), dict):
        data = {**data, "task": convert(data["task"])}
    if isinstance(data.get("tasks"), list):
        data = {**data, "tasks": [convert(task) if isinstance(task, dict) and "id" in task else task for task in data["tasks"]]}
    return data


def map_models(data: dict[str, Any], convert: Callable[[_Model], _Model]) -> dict[str, Any]:
    """A copy of an answer of `models.*` with each model in it converted."""
    if isinstance(data.get("model"), dict):
        data = {**data, "model": convert(data["model"])}
    if isinstance(data.get("models"), list):
        data = {**data, "models": [convert(model) for model in data["models"]]}
    return data


def _with_one_list_of_tags(document: dict[str, Any]) -> dict[str, Any]:
    if "tags" not in document and "system_tags" not in document:
        return document
    kept = {name: value for name, value in document.items() if name != "system_tags"}
    return {**kept, "tags": [*document.get("tags", []), *document.get("system_tags", [])]}


def _as_old(task: _Task, version: Version) -> _Task:
    task = dict(task)
    models, container = task.get("models") or {}, task.get("container") or {}
    execution, output = dict(task.get("execution") or {}), dict(task.get("output") or {})
    if models.get("input"):
        execution["model"] = models["input"][0].get("model")
    if models.get("output"):
        output["model"] = models["output"][-1].get("model")
    if container.get("image"):
        execution["docker_cmd"] = " ".join(part for part in (container["image"], container.get("arguments")) if part)
    if version < _WITH_SECTIONS:
        execution |= _old_sections(task)
    for name, document in (("execution", execution), ("output", output)):
        if document or name in task:
            task[name] = document
    return _with_one_list_of_tags(task) if version < _WITH_SYSTEM_TAGS else task


def _old_sections(task: _Task) -> dict[str, Any]:
    parameters = {
        name if section == _ARGUMENTS else f"{section}/{name}": item.get("value")
        for section, items in (task.get("hyperparams") or {}).items()
        for name, item in items.items()
        if item.get("type") == _LEGACY
    }
    described = {
        ("design" if name == "General" else name): item.get("value")
        for name, item in (task.get("configuration") or {}).items()
        if item.get("type") == _LEGACY
    }
    return {**({"parameters": parameters} if parameters else {}), **({"model_desc": described} if described else {})}
