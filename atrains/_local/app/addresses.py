"""Where a file of a task lives, and the URL that it has for clients. In the home its address is relative: a home can be moved, and copied.

An artifact or a model that a client uploaded to this server is recorded as `home://...`, and shown to each client under the address at
which that client has found the server; so scripts that record to the home in-process read it from the disk, and the other way round. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote, unquote

from atrains._wire.artifacts import HOME_URL
from atrains._wire.names import TASK_ID

_TASK_FILE: Final = re.compile(rf"tasks/(?P<id>{TASK_ID.pattern})/files/(?P<rest>.+)", re.DOTALL)
_IN_TASK_FOLDER: Final = re.compile(
    rf"(?:[^/]+/)+[^/]*\.(?P<id>[0-9a-f]{{32}}|{TASK_ID.pattern}(?=/(?:artifacts|models|metrics)/))/[^/].*", re.DOTALL
)
"""Where clients put the files of a task: `<project>/<task name>.<task id>/...`; an id that a program chose looks like much else."""
_MOST_PARTS: Final = 64
_LONGEST_PART: Final = 255


def check_path(path: str) -> str | None:
    """A path below the file server's root without the slashes at its ends; None when it is none, or could lead out of it."""
    path = path.strip("/")
    parts = path.split("/")
    if len(parts) > _MOST_PARTS or any(
        not part.strip(". ") or "\0" in part or "\\" in part or len(part.encode("utf-8", "surrogateescape")) > _LONGEST_PART
        for part in parts
    ):
        return None
    return path


def task_of(path: str) -> str | None:
    """The task that a file belongs to, by its path; None when the path names none."""
    found = _TASK_FILE.fullmatch(path) or _IN_TASK_FOLDER.fullmatch(path)
    return found["id"] if found else None


def places_of(path: str) -> list[str]:
    """Where a file may be, relative to the home, best first: in its task's folder, so that it travels with it; else among all others."""
    within = _TASK_FILE.fullmatch(path)
    if within is not None:
        return [path]
    task = task_of(path)
    return [*([f"tasks/{task}/files/{path}"] if task else []), f"files/{path}"]


def to_home(url: str, *, bases: Iterable[str], is_task: Callable[[str], bool]) -> str:
    """The URL as it is recorded: relative to the home for a file of this server, else as it is.

    Args:
        url: As a client gave it, its path percent-quoted.
        bases: The addresses of this server that clients may know.
        is_task: Whether an id is that of a task of the home: many a folder has a name that ends like one.
    """
    base = next((base for base in bases if url.startswith(f"{base}/")), None)
    if base is None:
        return url
    path = check_path(unquote(url[len(base) :], errors="surrogateescape"))
    task = task_of(path) if path is not None else None
    return url if path is None or task is None or not is_task(task) else f"{HOME_URL}{places_of(path)[0]}"


def to_client(url: str, base: str) -> str:
    """The URL at which a client finds a file that is recorded as one of the home; any other URL is left as it is."""
    if not url.startswith(HOME_URL):
        return url
    path = url.removeprefix(HOME_URL)
    found = _TASK_FILE.fullmatch(path)
    if found is not None and task_of(found["rest"]) == found["id"]:
        path = found["rest"]  # as the client that uploaded it has named it
    return f"{base}/{quote(path, errors='surrogateescape')}"


def convert_artifacts(task: Mapping[str, Any], convert: Callable[[str], str]) -> dict[str, Any]:
    """A copy of a task, or of an edit of one, with the URLs of its artifacts converted."""
    execution = task.get("execution")
    if not isinstance(execution, Mapping) or not isinstance(execution.get("artifacts"), list):
        return dict(task)
    artifacts = [_converted(artifact, convert) for artifact in execution["artifacts"]]
    return {**task, "execution": {**execution, "artifacts": artifacts}}


def convert_uris(model: Mapping[str, Any], convert: Callable[[str], str]) -> dict[str, Any]:
    """A copy of a model, or of a request about models, with its URI converted; a filter has several."""
    uri = model.get("uri")
    if isinstance(uri, str):
        return {**model, "uri": convert(uri)}
    if isinstance(uri, list):
        return {**model, "uri": [convert(each) if isinstance(each, str) else each for each in uri]}
    return dict(model)


def convert_images(data: Mapping[str, Any], convert: Callable[[str], str]) -> dict[str, Any]:
    """A copy of an answer of `events.*` with the URLs of its images converted; any other answer as it is."""

    def converted(event: Any) -> Any:
        is_image = isinstance(event, Mapping) and event.get("type") == "training_debug_image"
        return {**event, "url": convert(event["url"])} if is_image else event

    found = dict(data)
    if isinstance(data.get("event"), Mapping):
        found["event"] = converted(data["event"])
    if isinstance(events := data.get("events"), list) and events and events[0].get("type") == "training_debug_image":
        found["events"] = [converted(event) for event in events]
    if isinstance(tasks := data.get("metrics"), list):
        found["metrics"] = [
            {**task, "iterations": [{**page, "events": list(map(converted, page["events"]))} for page in task["iterations"]]}
            if isinstance(task, Mapping) and "iterations" in task
            else task
            for task in tasks
        ]
    return found


def convert_list(artifacts: object, convert: Callable[[str], str]) -> object:
    """A copy of a list of artifacts with their URLs converted; anything else as it is."""
    return [_converted(artifact, convert) for artifact in artifacts] if isinstance(artifacts, list) else artifacts


def _converted(artifact: Any, convert: Callable[[str], str]) -> Any:
    if isinstance(artifact, Mapping) and isinstance(artifact.get("uri"), str):
        return {**artifact, "uri": convert(artifact["uri"])}
    return artifact
