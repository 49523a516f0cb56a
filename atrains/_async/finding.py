"""Tasks that are there already: one by its id or names, many by names and filters. A part of AsyncTask."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Self

from atrains._async import opening, paging
from atrains._async.base import TaskPart, call, connect
from atrains._engine.channel import Channel
from atrains._engine.disabled import DisabledChannel
from atrains._engine.runtime import Runtime
from atrains._wire import endpoints
from atrains._wire.names import validate_task_id
from atrains.errors import NotFoundError, UsageError, ValidationError
from atrains.types import CallResult

_WHOLE: Final = 50
"""Whole records that are asked for at once: each may hold a difference of code, or configurations, of a megabyte."""
_LISTS: Final = frozenset({"id", "user", "project", "type", "tags", "system_tags", "status", "order_by", "only_fields", "status_changed"})
"""Filters that are lists on the wire; one value may be given for a list of one."""
_FILTERS: Final = _LISTS | {
    "name", "comment", "parent", "page", "page_size", "search_text", "search_hidden", "scroll_id", "size", "include_subprojects",
    "_all_", "_any_", "created", "started", "completed", "last_update", "last_changed", "active_duration",
}  # fmt: skip
_OF_ONE_PAGE: Final = frozenset({"page", "page_size", "scroll_id", "size"})
"""Filters of who goes through the pages himself."""
_log = logging.getLogger("atrains")


class Finding(TaskPart):
    """Looking tasks up."""

    @classmethod
    async def get_task(cls, task_id: str | None = None, project_name: str | None = None, task_name: str | None = None) -> Self | None:
        """Get a task by its id, or by project and name.

        Args:
            task_id: The id; if given, the names are ignored.
            project_name: The exact name of the project; all projects by default.
            task_name: The exact name of the task. Of several the one updated last is taken, archived ones only when there is no other.

        Returns:
            The task, or None when no task has that name.

        Raises:
            NotFoundError: there is no task of that id, or no such project.
            UsageError: neither an id nor a name was given.
        """
        channel, runtime = await connect()
        found = validate_task_id(task_id) if task_id else await _find(channel, project_name, task_name)
        return None if found is None else await cls._load(channel, runtime, found)

    @classmethod
    async def get_by_name(cls, task_name: str) -> Self:
        """Get a task by its name alone, whatever its project.

        Args:
            task_name: The exact name; of several tasks the one updated last is taken, archived ones only when there is no other.

        Returns:
            The task.

        Raises:
            NotFoundError: no task has that name.
            UsageError: the name is empty.
            TransportError: the home cannot be reached.
        """
        found = await cls.get_task(task_name=task_name)
        if found is None:
            raise NotFoundError(f"no task is named {task_name!r}; Task.get_tasks(task_name=...) finds parts of names")
        return found

    @classmethod
    async def get_tasks(
        cls,
        task_ids: Sequence[str] | str | None = None,
        project_name: str | None = None,
        task_name: str | None = None,
        task_filter: Mapping[str, Any] | None = None,
    ) -> list[Self]:
        """Get many tasks, by their ids or by names.

        Args:
            task_ids: Their ids, in the order in which they are wanted; if given, everything else is ignored.
            project_name: The exact name of their project; all projects by default.
            task_name: Part of their names: a regular expression that matches anywhere in the name, by case. All names by default.
            task_filter: Further fields of `tasks.get_all`: `status`, `type`, `tags`, `order_by` and so on, passed on as they are.

        Returns:
            The tasks, however many there are; in the order of the filter's `order_by`, else oldest first.

        Raises:
            NotFoundError: there is no task of one of the ids, or no such project.
            ValidationError: what is no list of ids, a filter that no home knows, or a bad regular expression.
            TransportError: the home cannot be reached.
        """
        channel, runtime = await connect()
        if task_ids is not None:
            if not isinstance(task_ids, Iterable):
                raise ValidationError(f"task_ids is a list of ids, or one, not {task_ids!r}; give them as texts")
            ids = [task_ids] if isinstance(task_ids, str) else list(task_ids)
            return [await cls._load(channel, runtime, validate_task_id(task)) for task in ids]
        request = _checked_filter(task_filter or {})
        request["only_fields"] = sorted({"id", "name", "last_update", "system_tags", *request.get("only_fields", ())})
        if project_name:
            request["project"] = [await _project_named(channel, project_name)]
        if task_name:
            request["name"] = task_name
        found = [task["id"] for task in await _list(channel, request)]
        loaded: list[Self] = []
        for begin in range(0, len(found), _WHOLE):
            loaded += await cls._load_those_there(channel, runtime, found[begin : begin + _WHOLE])
        return loaded

    @classmethod
    async def get_all(cls, session: object = None, log: object = None, **kwargs: Any) -> CallResult:
        """List the records of tasks, by the fields of `tasks.get_all`.

        Args:
            session: Kept for compatibility: the connection is that of this process.
            log: Kept for compatibility.
            **kwargs: Filters (`name`, `project`, `status`, `type`, `tags` ...), `only_fields`, `order_by`, `page`, `page_size`. Where the
                wire has a list, one value may be given.

        Returns:
            The answer: `result.response.tasks` are the records, `result.response_data` the whole as a dictionary.

        Raises:
            ValidationError: a keyword that is no field of `tasks.get_all`, or a value that the home does not take.
            TransportError: the home cannot be reached.

        Example:
            >>> found = await AsyncTask.get_all(status="completed", only_fields=["id", "name"])
            >>> names = [task["name"] for task in found.response.tasks]
        """
        del session, log
        channel, _ = await connect()
        request = _checked_filter(kwargs)
        if _OF_ONE_PAGE.isdisjoint(request):
            return CallResult({"tasks": await _list(channel, request)})
        return CallResult(await call(channel, endpoints.TASKS_GET_ALL, "cannot list tasks", **request))

    @classmethod
    async def _load(cls, channel: Channel | DisabledChannel, runtime: Runtime | None, task_id: str) -> Self:
        await channel.send_edits(task_id)  # of a run of this process
        answer = await call(channel, endpoints.TASKS_GET_BY_ID, f"cannot read task {task_id}", task=task_id)
        return cls._bound(answer["task"], channel, runtime)

    @classmethod
    async def _load_those_there(cls, channel: Channel | DisabledChannel, runtime: Runtime | None, ids: Sequence[str]) -> list[Self]:
        """The tasks of some ids, in their order; one that somebody deleted since it was found is left out."""
        for task in ids:
            await channel.send_edits(task)  # of a run of this process
        answer = await call(channel, endpoints.TASKS_GET_ALL, "cannot read tasks", id=list(ids), page=0, page_size=len(ids))
        records = {record["id"]: record for record in answer["tasks"]}
        return [cls._bound(records[task], channel, runtime) for task in ids if task in records]

    @classmethod
    def _bound(cls, record: Mapping[str, Any], channel: Channel | DisabledChannel, runtime: Runtime | None) -> Self:
        task = object.__new__(cls)
        task._attach(record, channel, runtime)
        return task


def _checked_filter(given: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of `tasks.get_all`, with one value for a list made one.

    Raises:
        ValidationError: a field that there is not; lists those that there are.
    """
    unknown = sorted(set(given) - _FILTERS)
    if unknown:
        raise ValidationError(f"unsupported keyword {unknown[0]!r}: tasks are filtered by {', '.join(sorted(_FILTERS))}")
    return {
        name: [value] if name in _LISTS and (isinstance(value, str) or not isinstance(value, Sequence)) else value
        for name, value in given.items()
        if value is not None
    }


async def _list(channel: Channel | DisabledChannel, request: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every task that matches, unless one page of them was asked for."""

    async def ask(paged: Mapping[str, Any]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await call(channel, endpoints.TASKS_GET_ALL, "cannot list tasks", **paged))["tasks"]
        return found

    return [task async for task in paging.walk(ask, request)] if _OF_ONE_PAGE.isdisjoint(request) else await ask(request)


async def _project_named(channel: Channel | DisabledChannel, name: str) -> str:
    project = await opening.find_project(channel, name)
    if project is None:
        raise NotFoundError(f"there is no project {name!r} in {channel.transport.target}; check the name, or give none to search all")
    return project


async def _find(channel: Channel | DisabledChannel, project_name: str | None, task_name: str | None) -> str | None:
    """The id of the task of exactly these names."""
    if not project_name and not task_name:
        raise UsageError("Task.get_task needs a task_id, or the task_name (and best the project_name) of the task to get")
    request: dict[str, Any] = {"only_fields": ["id", "name", "last_update", "system_tags"], "order_by": ["-last_update"]}
    if project_name:
        request["project"] = [await _project_named(channel, project_name)]
    if task_name:
        request["name"] = f"^{re.escape(task_name)}$"
    found = (await call(channel, endpoints.TASKS_GET_ALL, f"cannot look up task {task_name!r}", **request))["tasks"]
    visible = [task for task in found if "archived" not in (task.get("system_tags") or [])] or found
    if len(visible) > 1:
        newest = max(visible, key=lambda task: str(task.get("last_update") or ""))
        others = ", ".join(task["id"] for task in visible if task is not newest)
        _log.warning(
            "atrains: %d tasks are named %r in %r: taking %s, updated last; the others: %s",
            len(visible),
            task_name,
            project_name,
            newest["id"],
            others,
        )
        return str(newest["id"])
    return str(visible[0]["id"]) if visible else None
