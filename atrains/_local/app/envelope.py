"""The form of calls: paths and versions in, envelopes out. Pure."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from atrains._local import query
from atrains._wire import endpoints
from atrains._wire.endpoints import Version
from atrains.errors import ServerError

NEWEST: Final[Version] = (2, 31)
_PATH: Final = re.compile(r"/(?:v(?P<major>\d{1,4})\.(?P<minor>\d{1,4})/)?(?P<name>[a-z_]+\.[a-z_0-9]+)/?")
_NUMBERED: Final = re.compile(r"/v\d[^/]*(?:/|$)|/api(?:/|$)")
_ANSWERS_NUMBERS_BELOW: Final = (2, 1)
SERVICES: Final = frozenset(
    {
        "async", "auth", "datasets", "debug", "events", "login", "models", "organization", "pipelines", "projects", "queues", "reports",
        "server", "serving", "storage", "tasks", "users", "workers", "workloads",
    }
)  # fmt: skip
"""What is an API path even without a version; any other `name.suffix` is a file."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the API.

    Attributes:
        name: `service.action`.
        version: The requested version; the newest when the path names none.
        id: Of this call.
        trx: The client's name for it.
    """

    name: str
    version: Version = NEWEST
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    trx: str = ""

    @property
    def actual(self) -> Version:
        """The version of the endpoint that answers: the one that brought it; the requested one, if that is none of ours."""
        known = endpoints.BY_NAME.get(self.name)
        return self.version if known is None else min(known.since, self.version)


def parse_path(path: str) -> tuple[str, Version] | None:
    """The endpoint and the version that a path asks for; None when it is no path of the API.

    Raises:
        ServerError: 400/0, it is meant to be one and is malformed. Server: a version has a minor number, and there is no prefix `/api`.
    """
    found = _PATH.fullmatch(path)
    if found is not None and found["major"] is not None:
        return found["name"], (int(found["major"]), int(found["minor"]))
    if found is not None and found["name"].partition(".")[0] in SERVICES:
        return found["name"], NEWEST
    if _NUMBERED.match(path):
        raise query.refuse(0, f"Invalid request path {path}: it must look like /v2.13/tasks.get_all or /tasks.get_all")
    return None


def success(call: Call, data: Mapping[str, Any]) -> bytes:
    """The envelope of an answer.

    Raises:
        TypeError: `data` is no JSON.
    """
    return orjson.dumps({"meta": _meta(call, 200, 0, "OK", ""), "data": data}, option=orjson.OPT_NON_STR_KEYS)


def failure(call: Call, error: ServerError, data: Mapping[str, Any] | None = None) -> bytes:
    """The envelope of an error."""
    text = str(error).encode("utf-8", "backslashreplace").decode()
    return orjson.dumps({"meta": _meta(call, error.code, error.subcode, text, None), "data": data or {}})


def _meta(call: Call, code: int, subcode: int, message: str, stack: str | None) -> dict[str, Any]:
    # Server: for requests below 2.1 the versions are numbers.
    as_number = call.version < _ANSWERS_NUMBERS_BELOW
    requested, answered = (float(f"{major}.{minor}") if as_number else f"{major}.{minor}" for major, minor in (call.version, call.actual))
    return {
        "id": call.id,
        "trx": call.trx or call.id,
        "endpoint": {"name": call.name, "requested_version": requested, "actual_version": answered},
        "result_code": code,
        "result_subcode": subcode,
        "result_msg": message,
        "error_stack": stack,
        "error_data": {},
    }
