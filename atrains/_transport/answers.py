"""What goes to a server and what its answer means: request, envelope, token, version. Pure.

Server: every answer of an API server is `{"meta": {"result_code", "result_subcode", "result_msg", ...}, "data": {...}}` with the HTTP
status of `result_code`; anything else came from somebody else: a proxy, a web page, a file server.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, Final

import jwt
import orjson

from atrains._wire.endpoints import Version
from atrains.errors import ValidationError

TRANSIENT: Final = frozenset({429, 502, 503, 504, 509})
"""Statuses of a server, or of what stands before it, that cannot answer now. Server: maintenance is 503."""
MAYBE_DONE: Final = frozenset({502, 504})
"""Those of a proxy whose server was asked and did not answer it: it may have done what it was asked for."""
UNKNOWN_VERSION: Final = (2, 9)
"""What a server is taken for whose token says nothing."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The envelope of an answer."""

    code: int
    subcode: int
    message: str
    data: dict[str, Any] = field(repr=False)
    error_data: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Claims:
    """What a session token says, unverified.

    Attributes:
        api_version: The highest API version of the server.
        server_version: Its release; empty when it does not say.
        expires: Its end, in seconds since the epoch by the server's clock; None for never.
        issued: Its beginning by the same clock.
        user: The id of the user; empty when it does not say.
        keeps_task_ids: Whether a new task gets the id that `tasks.create` names; only homes of ours say so.
    """

    api_version: Version = UNKNOWN_VERSION
    server_version: str = ""
    expires: float | None = None
    issued: float | None = None
    user: str = ""
    keeps_task_ids: bool = False


def parse_answer(body: bytes) -> Answer | None:
    """Return the envelope of an answer; None when the body is none."""
    try:
        content = _parse(body)
        meta = content["meta"]
        code, subcode = int(meta["result_code"]), int(meta.get("result_subcode") or 0)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    data, error_data = content.get("data"), meta.get("error_data")
    return Answer(
        code,
        subcode,
        str(meta.get("result_msg") or "no reason given"),
        data if isinstance(data, dict) else {},
        error_data if isinstance(error_data, dict) else {},
    )


def _parse(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:  # Python servers write NaN, which is no JSON
        return json.loads(body)


def read_claims(token: str) -> Claims:
    """Return what a token says; the defaults for one that is no JWT.

    Server: a token without `api_version` is of 2.2 in the environment `prod`, else of 2.1.
    """
    try:
        content = jwt.decode(token, options={"verify_signature": False})  # it is the server's to verify
    except jwt.PyJWTError:
        return Claims()
    stated = parse_version(content.get("api_version"))
    identity = content.get("identity")
    return Claims(
        api_version=stated or ((2, 2) if content.get("env") == "prod" else (2, 1)),
        server_version=str(content.get("server_version") or ""),
        expires=_seconds(content.get("exp")),
        issued=_seconds(content.get("iat")),
        user=str(identity.get("user") or "") if isinstance(identity, dict) else "",
        keeps_task_ids=content.get("keeps_task_ids") is True,
    )


def parse_version(text: object) -> Version | None:
    """Return `2.13` as (2, 13); None for what is no version."""
    parts = str(text).split(".")
    return (int(parts[0]), int(parts[1])) if len(parts) >= 2 and all(part.isdecimal() for part in parts[:2]) else None


def requested_version(server: Version, since: Version) -> Version:
    """Return the version to ask for in the URL.

    Server: the version selects how documents are converted, so it is one of few: 2.13 where it is spoken, else 2.9, else exactly what
    the server has; a single call that came later is asked for by its own.
    """
    usual = (2, 13) if server >= (2, 13) else min((2, 9), server)
    return max(usual, since)


def retry_after(value: str | None, now: float) -> float | None:
    """Return the seconds that a `Retry-After` header asks for, given as seconds or as a date."""
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except ValueError:
        return None


def _seconds(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def encode_request(request: Mapping[str, Any]) -> bytes:
    """Return the body of a call, without the fields that are None: a server takes a null for no change, and old ones refuse it.

    Raises:
        ValidationError: a value has no JSON form.
    """
    pruned = _pruned(request)
    try:
        return orjson.dumps(pruned, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY)
    except orjson.JSONEncodeError:  # half a character in a text, an integer of more than 64 bits
        try:
            return json.dumps(pruned, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
        except (TypeError, ValueError) as error:
            raise ValidationError(f"a value cannot be sent ({error}); give text, numbers, lists and dicts") from error


def _pruned(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _pruned(item) for key, item in value.items() if item is not None}
    return [_pruned(item) for item in value] if isinstance(value, list | tuple) else value
