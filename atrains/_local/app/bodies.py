"""What stands in the body of a call: JSON, form fields, arguments of the query, lines of events. Pure; the socket is not here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final
from urllib.parse import parse_qsl

import orjson

from atrains._local import query

JSON_LINES: Final = "application/json-lines"
"""Compared as it stands: with a parameter behind it a body is one JSON document. Server: the same."""
FORM: Final = "application/x-www-form-urlencoded"
_SLICE: Final = 1 << 18
"""Bytes of lines parsed at once: about 2 ms in which the interpreter is held, and twice as fast as line by line."""
_NUMBER: Final = re.compile(r"-?[0-9]{1,18}(?:\.[0-9]{1,18})?")
"""An id may consist of digits alone; it is longer."""
_MALFORMED: Final = "The browser (or proxy) sent a request that this server could not understand: "


def parse_body(body: bytes, content_type: str, arguments: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """The fields of a request. Server: the content type is not checked, but that of forms; arguments of the query count as fields.

    Raises:
        ServerError: 400/0, it is no JSON; 500/0, it is a list or a bare value.
    """
    fields = _from_pairs(arguments)
    # `curl -d '{...}'` calls its JSON a form.
    if content_type.partition(";")[0].strip().lower() == FORM and not body.lstrip().startswith(b"{"):
        return fields | _from_pairs(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
    if not body.strip():
        return fields
    parsed = parse_json(body)
    if not isinstance(parsed, dict):
        raise query.refuse(0, "Data should be a dict", code=500)
    return fields | parsed


def parse_json(text: bytes) -> Any:
    """One JSON document, as lenient as the server's own parser: it takes `NaN` and lone surrogates.

    Raises:
        ServerError: 400/0, it is none.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise query.refuse(0, f"{_MALFORMED}{error}") from error


def parse_lines(body: bytes) -> Iterator[list[dict[str, Any]]]:
    """The events of a batch, some at a time. Server: a final line end is fine, an empty line is not.

    Raises:
        ServerError: 400/0, a line is no JSON object; names the line.
    """
    end, position, number = len(body), 0, 1
    if body.endswith(b"\n"):
        end -= 1
    while position < end:
        edge = body.find(b"\n", min(position + _SLICE, end), end)
        lines = body[position : edge if edge != -1 else end]
        events = _parse_slice(lines, number)
        yield events
        number += lines.count(b"\n") + 1
        position = edge + 1 if edge != -1 else end


def _parse_slice(lines: bytes, number: int) -> list[dict[str, Any]]:
    try:
        # A raw line end cannot stand inside a JSON text, so that a list of the lines is one replacement away.
        events: list[Any] = orjson.loads(b"[%b]" % lines.replace(b"\n", b","))
    except orjson.JSONDecodeError:
        events = [_parse_line(line, number + place) for place, line in enumerate(lines.split(b"\n"))]
    for place, event in enumerate(events):
        if type(event) is not dict:
            raise query.refuse(0, f"{_MALFORMED}line {number + place} is no JSON object")
    return events


def _parse_line(line: bytes, number: int) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        pass
    try:
        return _encodable(json.loads(line))
    except (ValueError, RecursionError) as error:
        raise query.refuse(0, f"{_MALFORMED}line {number}: {error}") from error


def _encodable(value: Any) -> Any:
    """The value without lone surrogates, which could be stored nowhere."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    return [_encodable(item) for item in value] if isinstance(value, list) else value


def _from_pairs(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, text in pairs:
        value = _from_text(text)
        if name not in fields:
            fields[name] = value
        elif isinstance(fields[name], list):
            fields[name].append(value)
        else:
            fields[name] = [fields[name], value]
    return fields


def _from_text(text: str) -> Any:
    """A field of a form. Server: numbers and `true`, `false` are taken as such."""
    if text in {"true", "false"}:
        return text == "true"
    if _NUMBER.fullmatch(text):
        return int(text) if text.removeprefix("-").isdecimal() else float(text)
    return text
