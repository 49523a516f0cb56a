"""What a home refuses, in the terms of our error tree. Pure; the one place where codes of the server become classes."""

from __future__ import annotations

from typing import Final

from atrains.errors import AtrainsError, NotFoundError, ServerError, TaskStatusError, ValidationError

_CLASSES: Final[dict[tuple[int, int], tuple[type[AtrainsError], str]]] = {
    (400, 101): (NotFoundError, "check the task id; `atrains ls` lists the tasks of the local home"),
    (400, 201): (NotFoundError, "check the model id"),
    (400, 401): (NotFoundError, "check the project id"),
    (400, 701): (NotFoundError, "check the queue"),
    (400, 706): (TaskStatusError, "take it out with Task.dequeue first"),
    (400, 707): (NotFoundError, "name a queue"),
    (400, 123): (TaskStatusError, "use force where the call has it"),
    (400, 110): (TaskStatusError, "look at task.status first, or reset the task"),
    (400, 12): (ValidationError, "correct the argument"),
    (400, 16): (ValidationError, "check the id of the project"),  # Server: a bad value; of what we send, only that can be one
    (400, 20): (ValidationError, "correct the argument"),
    (400, 21): (ValidationError, "correct the regular expression"),
    (400, 800): (ValidationError, "correct the argument"),
}


def as_public_error(error: ServerError, what: str) -> AtrainsError:
    """The error to raise for a refusal: what was attempted, the home's own words, what to do."""
    known = _CLASSES.get((error.code, error.subcode))
    if known is None:
        return ServerError(f"{what}: {error}", code=error.code, subcode=error.subcode, endpoint=error.endpoint)
    kind, advice = known
    return kind(f"{what}: {error} ({error.endpoint}, {error.code}/{error.subcode}); {advice}")
