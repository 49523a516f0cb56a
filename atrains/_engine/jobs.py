"""Jobs: what is to be done for a task besides delivering its events, noted in a journal before it is tried, and how each is carried out.

Edits, and tasks that are made once their server can be reached. A job may be carried out twice (its done-mark was lost): each is harmless
to repeat.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from atrains._transport.base import Transport
from atrains._wire import endpoints
from atrains._wire.edits import ParameterChanges, parameter_calls
from atrains.errors import ServerError

CREATE: Final = "create"
"""A run that began while its server was away: `project` (a name) and `task` (the fields of `tasks.create`)."""
CALL: Final = "call"
"""An edit: `endpoint` and `request`."""
PARAMETERS: Final = "parameters"
"""Changes of parameters: `set`, a list of them as a home stores them, and `deleted`, a list of their sections and names."""
UPLOAD: Final = "upload"
"""A file that is to be stored and then recorded; see `upload`. Carried out by `uploads`, beside the jobs below."""
TO_DO: Final = frozenset({CREATE, CALL, PARAMETERS})
"""The kinds that are to be carried out, in their order."""
ALIAS: Final = "alias"
"""Not to be done but to be known, done or not: `at_home`, the id that the server gave a task that was made later."""


class Job(NamedTuple):
    """Something that was to be done for a task and was not marked as done."""

    number: int
    kind: str
    task: str
    content: Mapping[str, Any]


_PASSING: Final = frozenset({401, 403, 408, 429})
"""Refusals that may be lifted: keys that are renewed, a limit that passes."""


def is_refused(error: ServerError) -> bool:
    """Whether an answer says that a job will never be done, rather than not now."""
    return error.code < 500 and error.code not in _PASSING


async def carry_out(job: Job, transport: Transport, aliases: Mapping[str, str]) -> str | None:
    """Do a job of one of the kinds in TO_DO.

    Returns:
        The id that the server gave a task, if it is not the one that the run reports under.

    Raises:
        ServerError: the home refuses it; `is_refused` says whether for good.
        TransportError: the home cannot be reached.
    """
    if job.kind == CREATE:
        made = await _create(job, transport)
        return made if made != job.task else None
    task = aliases.get(job.task, job.task)
    if job.kind == PARAMETERS:
        for endpoint, request in parameter_calls(changes_of(job)):
            await transport.call(endpoint, {**request, "task": task})
        return None
    request = {**job.content["request"], "task": task}
    if "ids" in request:  # a call that is about several tasks, made for this one
        request["ids"] = [task]
    await transport.call(endpoints.BY_NAME[job.content["endpoint"]], request)
    return None


def parameter_content(changes: ParameterChanges) -> dict[str, Any]:
    """What a job of kind PARAMETERS holds."""
    given = [dict(item) for item in changes.values() if item is not None]
    return {"set": given, "deleted": [list(key) for key, item in changes.items() if item is None]}


def changes_of(job: Job) -> dict[tuple[str, str], Mapping[str, str] | None]:
    """The changes that a job of kind PARAMETERS is to make."""
    deleted: dict[tuple[str, str], Mapping[str, str] | None] = dict.fromkeys((section, name) for section, name in job.content["deleted"])
    return deleted | {(item["section"], item["name"]): item for item in job.content["set"]}


async def project_id(transport: Transport, name: str) -> str:
    """The id of the project of exactly this name, created when there is none.

    Raises:
        ServerError: the home refuses the name.
        TransportError: the home cannot be reached.
    """
    found = await find_project(transport, name)
    if found is not None:
        return found
    try:
        return str((await transport.call(endpoints.PROJECTS_CREATE, {"name": name, "description": ""}))["id"])
    except Exception:  # whatever it was: somebody may have created it between our question and our request; if not, it is raised
        found = await find_project(transport, name)
        if found is None:
            raise
        return found


async def find_project(transport: Transport, name: str) -> str | None:
    """The id of the project of exactly this name, or None. Server: blanks around the parts of a name are not stored."""
    pattern = r"\s*/\s*".join(re.escape(part.strip()) for part in name.split("/"))
    request = {"name": f"^{pattern}$", "only_fields": ["id"], "search_hidden": True}
    found = (await transport.call(endpoints.PROJECTS_GET_ALL, request))["projects"]
    return str(found[0]["id"]) if found else None


async def _create(job: Job, transport: Transport) -> str:
    task = await _find(job, transport)
    if task is None:
        project = await project_id(transport, job.content["project"])
        # A home of ours keeps the id (or the one that was chosen), others make one. Server: `tasks.create` ignores what it does not know.
        fields = {"id": job.task, **job.content["fields"], "project": project}
        task = str((await transport.call(endpoints.TASKS_CREATE, fields))["id"])
    await transport.call(endpoints.TASKS_STARTED, {"task": task})
    return task


async def _find(job: Job, transport: Transport) -> str | None:
    """The task, if an earlier try made it and we were not told: under its own id, or with that id in its comment."""
    for key in ({"id": [job.task]}, {"comment": re.escape(job.task)}):
        found = (await transport.call(endpoints.TASKS_GET_ALL, {**key, "only_fields": ["id"]}))["tasks"]
        if found:
            return str(found[0]["id"])
    return None
