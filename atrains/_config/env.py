"""The environment of the process. The only module that reads or writes `os.environ`; what a variable means is decided in `load`."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

OWN_PREFIX: Final = "ATRAINS_"
PREFIXES: Final = (OWN_PREFIX, "CLEARML_", "TRAINS_")
"""In falling precedence."""
_REFERENCE: Final = re.compile(r"\$(?:(\w+)|\{([^}]*)\})")
_MASTER: Final = "PROC_MASTER_ID"
"""The variable, without prefix, in which a process with a main task tells its children `<process id>:<task id>`."""
_left_for_children: dict[str, str] = {}


class Variable(NamedTuple):
    """A variable that is set."""

    name: str
    value: str


class Environment:
    """A view of variables under our prefixes. A variable that is empty or blank counts as unset."""

    __slots__ = ("variables",)

    def __init__(self, variables: Mapping[str, str]) -> None:
        self.variables = variables

    def get(self, name: str) -> Variable | None:
        """Return the variable of exactly this name."""
        value = self.variables.get(name, "").strip()
        return Variable(name, value) if value else None

    def first(self, suffix: str) -> Variable | None:
        """Return the variable of this suffix under the prefix that comes first."""
        return next((found for prefix in PREFIXES if (found := self.get(prefix + suffix))), None)

    def own(self, suffix: str) -> Variable | None:
        """Return the variable of a setting that only atrains has."""
        return self.get(OWN_PREFIX + suffix)

    def user_directory(self) -> Path | None:
        """Return the user's home directory; None for a user without one (a container run under a bare number)."""
        home = self.get("USERPROFILE" if os.name == "nt" else "HOME")
        path = home.value if home else os.path.expanduser("~")
        return None if path.startswith("~") else Path(path)

    def expand(self, text: str, user_directory: Path | None) -> str:
        """Replace `$NAME`, `${NAME}` and a leading `~` in a path; a name that is not set stays as it is written."""
        text = _REFERENCE.sub(lambda match: self.variables.get(match[1] or match[2], match[0]), text)
        if user_directory is not None and (text == "~" or text.startswith(("~/", f"~{os.sep}"))):
            return str(user_directory) + text[1:]
        return os.path.expanduser(text)


def process_variables() -> dict[str, str]:
    """Return the variables of this process, without those that `leave_for_children` set."""
    return {name: value for name, value in os.environ.items() if _left_for_children.get(name) != value}


def set_variables(values: Mapping[str, str]) -> None:
    """Set variables that a task holds for whoever runs it; never one that tells us or the official clients how to run."""
    os.environ.update({name: value for name, value in values.items() if name and "=" not in name and not name.startswith(PREFIXES)})


def leave_for_children(values: Mapping[str, str]) -> None:
    """Set variables, given by suffix, that are unset, so that child processes find what this one was told by a call.

    The last prefix is taken: the official clients read it as well, and any other variable wins over it.
    """
    for suffix, value in values.items():
        name = PREFIXES[-1] + suffix
        if name not in process_variables():
            os.environ[name] = _left_for_children[name] = value


def take_back_from_children() -> None:
    """Unset what was left for child processes, unless somebody changed it since."""
    for name in list(_left_for_children):
        _take_back(name)


def leave_task_for_children(task: str) -> None:
    """Let child processes find the task that this process runs, in place of what an earlier process left here."""
    name = PREFIXES[-1] + _MASTER
    os.environ[name] = _left_for_children[name] = f"{os.getpid()}:{task}"


def take_back_task_from_children() -> None:
    """Unset what `leave_task_for_children` set, unless somebody changed it since."""
    _take_back(PREFIXES[-1] + _MASTER)


def tasks_of_masters() -> list[str]:
    """Return the ids of the tasks that other processes, of which this may be a child, left in its environment; the likeliest first."""
    tasks = []
    for prefix in PREFIXES:
        # Not `process_variables`: what a forked child's parent left is meant for the child.
        process, _, task = os.environ.get(prefix + _MASTER, "").strip().partition(":")
        if task and process.isdecimal() and int(process) != os.getpid():
            tasks.append(task)
    return list(dict.fromkeys(tasks))


def _take_back(name: str) -> None:
    value = _left_for_children.pop(name, None)
    if value is not None and os.environ.get(name) == value:
        del os.environ[name]


def host_name() -> str:
    """Return the name of this machine."""
    if hasattr(os, "uname"):
        return os.uname().nodename or "localhost"
    import platform  # only where there is no uname: it costs milliseconds

    return platform.node() or "localhost"
