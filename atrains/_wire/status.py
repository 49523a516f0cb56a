"""Status rules of a task: which transition is allowed, and what the server calls it. Pure; the calls are elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from atrains.errors import TaskStatusError
from atrains.types import TaskStatusEnum as Status

FINAL: Final = frozenset({Status.stopped, Status.published, Status.publishing, Status.closed, Status.failed, Status.completed})
"""A run that has one of these has ended."""

STOPPING: Final = "stopping"
"""What a status message says of a run that is asked to stop itself."""
_OF_AGENTS: Final = "worker"
"""What stands in the status messages of agents, whose own changes are not meant for the program that they run."""

_ALLOWED: Final[Mapping[Status, frozenset[Status]]] = {
    Status.created: frozenset({Status.queued, Status.in_progress}),
    Status.queued: frozenset({Status.created, Status.in_progress, Status.stopped}),
    Status.in_progress: frozenset({Status.stopped, Status.failed, Status.created, Status.completed}),
    Status.stopped: frozenset(set(Status) - {Status.unknown, Status.stopped}),
    Status.closed: frozenset({Status.created, Status.failed, Status.published, Status.publishing, Status.stopped}),
    Status.failed: frozenset({Status.created, Status.stopped, Status.published, Status.queued}),
    Status.completed: frozenset({Status.published, Status.in_progress, Status.created}),
    Status.publishing: frozenset({Status.published}),
    Status.published: frozenset(),
    Status.unknown: frozenset(),
}
_REPEATABLE: Final = frozenset({Status.in_progress, Status.stopped, Status.completed, Status.failed, Status.closed, Status.created})


def is_stop(status: str, message: str) -> bool:
    """Whether a program whose run has this status at home, and did not set it itself, is to stop."""
    if status == Status.created:
        return True
    return status in FINAL and _OF_AGENTS not in message


def check_transition(current: str, target: str, *, force: bool = False) -> None:
    """Refuse a status change that the server would refuse. Server: transitions as a ClearML 2.0 server was seen to answer them.

    Raises:
        TaskStatusError: naming both statuses and the ones reachable from `current`.
    """
    if force or (current == target and current in _REPEATABLE):
        return
    allowed = _ALLOWED.get(Status(current), frozenset()) if current in Status.__members__ else frozenset()
    if target not in allowed:
        reachable = ", ".join(sorted(allowed)) or "none"
        raise TaskStatusError(
            f"a task that is {current} cannot become {target} (reachable: {reachable}); pass force where the call has it, or reset the task"
        )
