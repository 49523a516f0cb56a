"""Names, task types and ids as a caller gives them: what every home would refuse is refused here, in words. Pure."""

from __future__ import annotations

import re
from typing import Final

from atrains.errors import ValidationError
from atrains.types import TaskTypes

MINIMUM_LENGTH: Final = 3
"""Characters of a name after stripping. Server: tasks, projects, models and queues."""

TASK_ID: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}")
"""What an id can be: the name of a folder (no separator, no dot). Server: in a list of ids, one after a hyphen is left out."""


def validate_name(name: str, *, what: str, of: str = "") -> str:
    """Return the name, stripped.

    Args:
        name: At least 3 characters after stripping (a server rule).
        what: What is named, for the message: `task`, `project`, ...
        of: Which one, where it is there already.

    Raises:
        ValidationError: if it is shorter, no string, or cannot be encoded.
    """
    if not isinstance(name, str):
        raise ValidationError(f"the name of a {what}{of} must be a string, not {type(name).__qualname__}: {name!r}")
    stripped = name.strip()
    if len(stripped) < MINIMUM_LENGTH:
        raise ValidationError(f"the {what} name {name!r}{of} is too short; give at least {MINIMUM_LENGTH} characters besides blanks")
    try:
        stripped.encode()
    except UnicodeEncodeError as error:
        at = f"character {error.start}"
        raise ValidationError(f"the {what} name {name!r}{of} cannot be written as UTF-8 ({at}); replace that character") from error
    return stripped


def validate_task_type(value: TaskTypes | str | None) -> TaskTypes:
    """Return the task type; None means `training`.

    Raises:
        ValidationError: if the type is unknown; lists the known ones.
    """
    if value is None:
        return TaskTypes.training
    try:
        return TaskTypes(value)
    except ValueError as error:
        raise ValidationError(f"unknown task type {value!r}; use one of: {', '.join(TaskTypes)}") from error


def validate_task_id(task_id: str) -> str:
    """Return the id of a task, stripped.

    Raises:
        ValidationError: if no task could have this id.
    """
    stripped = task_id.strip() if isinstance(task_id, str) else ""
    if not TASK_ID.fullmatch(stripped):
        raise ValidationError(
            f"{task_id!r} is no task id (up to 64 letters, digits, '_' and '-', which is not the first); "
            "pass what `task.id` or `atrains ls` shows"
        )
    return stripped
