"""What a run is asked to be, and what became of it: names filled in and checked, before anything is opened.

Does no I/O but for default names.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

from atrains._api.task import TaskBase
from atrains._config.env import process_variables
from atrains._storage.destinations import destination_url
from atrains._wire.names import validate_name, validate_task_id, validate_task_type
from atrains.errors import UsageError
from atrains.types import TaskTypes


class Origin(Enum):
    """Where the record of an opened run comes from."""

    CREATED = "created"
    REUSED = "reused"
    CONTINUED = "continued"
    LATER = "later"
    """Its home was away: the task is made there once it is back."""


class Wish(NamedTuple):
    """What `init` was asked for, with names filled in and checked.

    Attributes:
        output_uri: The destination as a URL; empty for the home itself, None for that of the settings.
        reuse: True for the last task of the name, False for a new one, a text for the task of that id.
        continued: Keep what the reused task holds, and go on behind its last iteration.
    """

    project: str
    name: str
    type: TaskTypes
    reuse: bool | str
    output_uri: str | None
    continued: bool


class Opened(NamedTuple):
    """A run that was begun.

    Attributes:
        record: Its task's record.
        origin: Where that comes from.
        cleared: What a reuse cleared.
        first_iteration: What is added to the iterations of a run that goes on.
        fields: What a task that could not be made yet is to be made with.
        away: Why it could not be made, in words.
    """

    record: dict[str, Any]
    origin: Origin
    cleared: str = ""
    first_iteration: int = 0
    fields: Mapping[str, Any] = {}
    away: str = ""


def check_wish(
    project_name: str | None,
    task_name: str | None,
    task_type: TaskTypes | str | None,
    *,
    reuse: bool | str,
    output_uri: str | Path | bool | None,
    continued: bool | str,
) -> Wish:
    """Fill in default names and refuse what no home would take, before anything is opened.

    Raises:
        ValidationError: a name under 3 characters, an unknown task type, a bad id.
    """
    from atrains._capture.defaults import default_project_name, default_task_name

    if isinstance(continued, str):
        reuse, continued = continued, True
    if isinstance(reuse, str) and reuse:
        reuse = validate_task_id(reuse)
    return Wish(
        project=validate_name(project_name, what="project") if project_name is not None else default_project_name(process_variables()),
        name=validate_name(task_name, what="task") if task_name is not None else default_task_name(process_variables()),
        type=validate_task_type(task_type),
        reuse=reuse or continued,
        output_uri="" if isinstance(output_uri, bool) else destination_url(output_uri),
        continued=continued,
    )


def check_same(open_task: TaskBase, wish: tuple[str | None, str | None, TaskTypes | str | None]) -> None:
    """Refuse a second `init` that asks for another project, name or type than the open task has.

    A child process reports to the run of its parent, whatever it asks for.

    Raises:
        UsageError: naming the field, what was asked for and what is open.
    """
    if not open_task.begun_here:
        return
    project_name, task_name, task_type = wish
    kind = None if task_type is None else str(validate_task_type(task_type))
    for field, asked, is_open in (
        ("project_name", project_name and project_name.strip(), open_task.known_project_name),
        ("task_name", task_name and task_name.strip(), open_task.name),
        ("task_type", kind, open_task.task_type),
    ):
        if asked is not None and is_open is not None and asked != is_open:
            raise UsageError(
                f"Task.init was asked for {field}={asked!r}, but task {open_task.id} is open with {is_open!r}: "
                "one script runs one main task; close it first, or use Task.create or Task.get_task for another one"
            )
