"""One parameter value as text and back: what is stored for a value, and what a stored text means to the code that has a default for it.

Pure. Containers are written as JSON; JSON, Python's own notation and YAML's short lists are read, since other clients write those.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import date, datetime, time
from enum import Enum
from numbers import Integral, Real
from pathlib import PurePath
from typing import Any, Final

from atrains.errors import UnsupportedTypeError, ValidationError

KINDS: Final = "str, int, float, bool, None, list, tuple, dict, Enum, pathlib paths, dates and times"
"""What a parameter may be, in words."""
_WORDS: Final[Mapping[str, bool]] = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_NOTHING: Final = frozenset({"", "~", "none", "null"})
_PARTS: Final = re.compile(r"""\s*([\[\](){},:]|"(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^\[\](){},:"'\s](?:[^\[\](){},:]|:(?!\s))*)""")
_CLOSING: Final = {"[": "]", "(": ")", "{": "}"}


def encode(value: object, path: str) -> tuple[str, str]:
    """Return the text that is stored for a value, and the name of its type ("" for None).

    Args:
        value: The value.
        path: What it is called in an error.

    Raises:
        UnsupportedTypeError: if it, or something in it, cannot be stored.
        ValidationError: if it holds itself, or is nested too deep.
    """
    if value is None:
        return "", ""
    if isinstance(value, Enum):
        return value.name, type(value).__name__
    if isinstance(value, Mapping | list | tuple):
        kind = "dict" if isinstance(value, Mapping) else "tuple" if isinstance(value, tuple) else "list"
        try:
            return json.dumps(_as_json(value, path, ()), ensure_ascii=False), kind
        except RecursionError as error:
            raise ValidationError(f"the parameter {path[:100]} is nested too deep; store it as an artifact") from error
    plain = _as_plain(value, path)
    return str(plain), type(plain).__name__


def decode(text: str, kind: str = "") -> object:
    """Return the value of a stored text by the name of its type; where that does not tell, or does not fit, the text itself.

    A text without a type is None when it is empty: that is how None is stored.
    """
    simple = {"int": int, "float": float, "bool": bool, "list": list, "tuple": tuple, "dict": dict}.get(kind.partition("/")[0])
    if not text and kind != "str":
        return None
    if simple is None:
        return text
    for wanted in (simple, list):  # Server: an argparse list has the type of its elements
        with suppress(ValueError):
            return _to_type(text, wanted)
    return text


def cast(text: str, default: object, kind: str = "", declared: type | None = None) -> object:
    """Return what a stored text means to code that has a default for it, or declares a type.

    Args:
        text: As stored.
        default: What the code would use by itself. Its type is the wanted one, unless it is None.
        kind: The name of the type that was stored beside the text.
        declared: The wanted type where the default is None.

    Raises:
        ValueError: if the text is nothing of that type.
    """
    if isinstance(default, str) and not isinstance(default, Enum):
        return text
    if not text:
        return None
    if default is not None:
        return _like(text, default)
    return decode(text, kind) if declared is None else _to_type(text, declared)


def type_name(default: object, declared: type | None = None) -> str:
    """Return the name of the type that a text is cast to, for a message."""
    return type(default).__name__ if default is not None else declared.__name__ if declared is not None else "str"


def _like(text: str, default: object) -> object:
    """The value that a text means, of the type of another value."""
    if isinstance(default, tuple) and hasattr(default, "_fields"):
        return type(default)(*_to_type(text, tuple))
    if isinstance(default, bool | Enum | Mapping | list | tuple | PurePath | datetime | date | time):
        return _to_type(text, type(default))
    if isinstance(default, Integral):
        return int(text)
    if isinstance(default, Real):
        return float(text)
    raise ValueError(f"values of type {type(default).__name__} are not read from text")


def _to_type(text: str, kind: type) -> Any:
    if kind is str:
        return text
    if kind is bool:
        return _to_bool(text)
    if kind in {int, float}:
        return kind(text)
    if issubclass(kind, Enum):
        return _member(text, kind)
    if issubclass(kind, PurePath):
        return kind(text)
    if issubclass(kind, date | time):
        return kind.fromisoformat(text)
    if not issubclass(kind, Mapping | list | tuple):
        raise ValueError(f"values of type {kind.__name__} are not read from text")  # as of any text that does not fit  # noqa: TRY004
    value = parse(text)
    if isinstance(value, Mapping) is not issubclass(kind, Mapping) or not isinstance(value, Mapping | list | tuple):
        raise ValueError(f"it is no {kind.__name__}")
    return dict(value) if isinstance(value, Mapping) else list(value) if issubclass(kind, list) else tuple(value)


def _to_bool(text: str) -> bool:
    word = text.strip().lower()
    return _WORDS[word] if word in _WORDS else float(word) != 0


def _member(text: str, kind: type[Enum]) -> Enum:
    name = text.rpartition(".")[2]  # `str()` of a member has its class before the name
    if name in kind.__members__:
        return kind.__members__[name]
    found = next((member for member in kind if str(member.value) == text), None)
    if found is None:
        raise ValueError(f"the members are {', '.join(kind.__members__)}")
    return found


def parse(text: str) -> Any:
    """Return the list, tuple, dictionary or plain value that a text stands for.

    Raises:
        ValueError: if it is none.
    """
    with suppress(ValueError, RecursionError):
        return json.loads(text)
    with suppress(ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return ast.literal_eval(text.strip())
    try:
        return _Flow(text).read()
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except TypeError as error:
        raise ValueError("a list cannot be a key") from error


class _Flow:
    """A reader of YAML's short form, `[a, 1e-3, {b: null}]`, in which words need no quotes."""

    def __init__(self, text: str) -> None:
        self._left: list[str] = []
        end = 0
        while match := _PARTS.match(text, end):
            self._left.append(match[1])
            end = match.end()
        if text[end:].strip():
            raise ValueError(f"it cannot be read from {text[end:].strip()!r} on")
        self._left.reverse()

    def read(self) -> Any:
        value = self._value()
        if self._left:
            raise ValueError(f"nothing may follow its end, and {self._left[-1]!r} does")
        return value

    def _value(self) -> Any:
        part = self._next()
        if part not in _CLOSING:
            return self._scalar(part)
        items: list[Any] = []
        while self._peek() != _CLOSING[part]:
            item = self._value()
            if part == "{":
                self._expect(":")
                item = (item, self._value())
            items.append(item)
            if self._peek() != _CLOSING[part]:
                self._expect(",")
        self._next()
        return dict(items) if part == "{" else tuple(items) if part == "(" else items

    @staticmethod
    def _scalar(part: str) -> Any:
        part = part.strip()
        if part in {"]", ")", "}", ",", ":"}:
            raise ValueError(f"a value is expected where {part!r} stands")
        if part[0] in "\"'":
            return json.loads(part) if part[0] == '"' else part[1:-1].replace("''", "'")
        if part.lower() in _NOTHING:
            return None
        if part.lower() in {"true", "false"}:
            return _WORDS[part.lower()]
        for kind in (int, float):
            with suppress(ValueError):
                return kind(part)
        return part

    def _peek(self) -> str:
        if not self._left:
            raise ValueError("a bracket is not closed")
        return self._left[-1]

    def _next(self) -> str:
        self._peek()
        return self._left.pop()

    def _expect(self, wanted: str) -> None:
        if self._next() != wanted:
            raise ValueError(f"{wanted!r} is expected between its values")


def _as_json(value: object, path: str, inside: tuple[int, ...]) -> object:
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, Mapping):
        inside = enter(value, path, inside)
        return {str(key): _as_json(item, f"{path}[{key!r}]", inside) for key, item in value.items()}
    if isinstance(value, list | tuple):
        inside = enter(value, path, inside)
        return [_as_json(item, f"{path}[{index}]", inside) for index, item in enumerate(value)]
    return None if value is None else _as_plain(value, path)


def _as_plain(value: object, path: str) -> str | int | float | bool:
    """The value as exactly one of the four scalar types: what a subclass prints is not for us to store."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, Integral):  # numpy's scalars are registered with `numbers`; that spares the import
        return int(value)
    if isinstance(value, Real):
        return float(value)
    if isinstance(value, PurePath | date | time):
        return str(value)
    raise UnsupportedTypeError(f"the parameter {path} is of type {type(value).__qualname__}, which cannot be stored; use one of: {KINDS}")


def enter(container: object, path: str, inside: tuple[int, ...]) -> tuple[int, ...]:
    """Note that we are in a container, by the identities of those around it.

    Raises:
        ValidationError: if it is one of them.
    """
    if id(container) in inside:
        raise ValidationError(f"the parameter {path} holds itself; remove the circle")
    return (*inside, id(container))
