"""A home as the commands see it: opened for reading, never made, and asked by endpoint. What is printed is up to the commands."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from atrains._async.paging import walk
from atrains._config import Settings, load_settings
from atrains._config.env import process_variables
from atrains._engine.places import open_transport
from atrains._transport.base import Transport
from atrains._wire import endpoints
from atrains._wire.endpoints import Endpoint
from atrains._wire.names import validate_task_id
from atrains._wire.refusals import as_public_error
from atrains.errors import HomeError, NotFoundError, ServerError

_NAMED: Final = 10
"""The most candidates or alternatives that an error lists."""


class Home:
    """The home that the settings name.

    Attributes:
        settings: What chose it, and where its folders are.
        transport: The connection to it.
    """

    def __init__(self, settings: Settings, transport: Transport) -> None:
        self.settings = settings
        self.transport = transport

    async def call(self, endpoint: Endpoint, what: str, **request: Any) -> dict[str, Any]:
        """Call an endpoint; a refusal is raised as an error of our tree that begins with `what`."""
        try:
            return await self.transport.call(endpoint, request)
        except ServerError as error:
            raise as_public_error(error, what) from error

    async def all_of(self, endpoint: Endpoint, what: str, *, most: int | None = None, **request: Any) -> list[dict[str, Any]]:
        """Every record that an endpoint answers, however many there are; with `most`, the first ones."""

        async def ask(paged: Mapping[str, Any]) -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = (await self.call(endpoint, what, **paged))[endpoint.name.partition(".")[0]]
            return found

        return [record async for record in walk(ask, request, most=most)]

    async def find_task(self, given: str) -> str:
        """The id of the task that has this id, or whose id alone begins with it.

        Raises:
            NotFoundError: there is none, or there are several; lists them.
            ValidationError: no id could begin like this.
        """
        prefix = validate_task_id(given)
        what = f"cannot look up task {prefix}"
        if (await self.call(endpoints.TASKS_GET_ALL, what, id=[prefix], only_fields=["id"]))["tasks"]:
            return prefix
        query = {"pattern": f"^{re.escape(prefix)}", "fields": ["id"]}
        answer = await self.call(endpoints.TASKS_GET_ALL, what, _any_=query, only_fields=["id", "name"], page_size=_NAMED + 1)
        found = answer["tasks"]
        if not found:
            raise NotFoundError(f"there is no task {prefix} in {self.transport.target}; `atrains ls` lists the tasks")
        if len(found) > 1:
            listed = ", ".join(f"{task['id']} {task['name']!r}" for task in found[:_NAMED])
            more = ", and more" if len(found) > _NAMED else ""
            raise NotFoundError(f"several tasks begin with {prefix}: {listed}{more}; give more of the id")
        return str(found[0]["id"])

    async def find_projects(self, name: str) -> list[str]:
        """The ids of the project of this name and of those below it.

        Raises:
            NotFoundError: there is none; lists those that are there.
        """
        what = "cannot list the projects"
        projects = await self.all_of(endpoints.PROJECTS_GET_ALL, what, only_fields=["id", "name"], order_by=["name"], search_hidden=True)
        found = [project["id"] for project in projects if project["name"] == name or project["name"].startswith(f"{name}/")]
        if not found:
            known = ", ".join(repr(project["name"]) for project in projects[:_NAMED]) or "none"
            more = ", and more" if len(projects) > _NAMED else ""
            raise NotFoundError(f"there is no project {name!r} in {self.transport.target}; there are: {known}{more}")
        return found

    async def project_names(self, ids: Collection[str]) -> Mapping[str, str]:
        """The name of each of these projects."""
        if not ids:
            return {}
        projects = await self.all_of(
            endpoints.PROJECTS_GET_ALL, "cannot read the projects", id=sorted(ids), only_fields=["id", "name"], search_hidden=True
        )
        return {project["id"]: project["name"] for project in projects}


@asynccontextmanager
async def opened(path: str | None) -> AsyncIterator[Home]:
    """Open the home for the length of a block.

    Args:
        path: The folder of a local home; None for the home that this process would record to.

    Raises:
        NotFoundError: there is no home in that folder.
        HomeError: it cannot be read.
        ConfigurationError: the settings cannot be used.
    """
    settings = _settings(path)
    transport = open_transport(settings)
    if settings.target.kind == "local":
        _require_home(settings.home.path)
    try:
        yield Home(settings, transport)
    finally:
        await transport.aclose()


def _settings(path: str | None) -> Settings:
    variables = process_variables()
    if path is not None:
        variables |= {"ATRAINS_HOME": os.path.abspath(path), "ATRAINS_API_HOST": "local"}
    return load_settings(variables)


def _require_home(path: Path) -> None:
    """Raise unless there is a home already: its first call would make one, and looking must leave no trace."""
    try:
        os.stat(path / "home.json")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFoundError(
            f"there is no home at {path}: nothing was recorded there yet; "
            "run a script that calls Task.init, or name another folder with --home or ATRAINS_HOME"
        ) from error
    except OSError as error:
        raise HomeError(f"the home {path} cannot be read ({error.strerror}); check its permissions") from error
