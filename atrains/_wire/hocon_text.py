"""Configuration dictionaries as HOCON text that people edit. Pure; the reader is `_config.hocon`."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from datetime import date, time
from enum import Enum
from numbers import Integral, Real
from pathlib import PurePath
from typing import Any, Final, TypeAlias

from atrains.errors import UnsupportedTypeError, ValidationError

Plain: TypeAlias = "bool | int | float | str | list[Plain] | dict[str, Plain] | None"
"""What a configuration is made of, once stored."""

_KINDS: Final = "dict with keys that become strings, list, tuple, str, int, float, bool, None, Enum, pathlib paths, dates and times"
_BARE_KEY: Final = re.compile(r"(?!include\b)[A-Za-z_][A-Za-z0-9_-]*")
_AWKWARD_KEY: Final = re.compile(r'["\\\x00-\x1f\ud800-\udfff]|\A\Z')
"""Keys that HOCON readers split or refuse, also in quotes."""
_AWKWARD_TEXT: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")
"""Characters that HOCON readers do not unescape."""
_ESCAPES: Final = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})
_LINE: Final = 100
"""Characters of a list that stands on one line, at most."""


def write(configuration: Mapping[Any, Any]) -> str:
    r"""Write a configuration as text that reads back equal.

    It is HOCON with one key a line. Where HOCON readers go wrong, all of it is JSON, which is HOCON as well: at a key that is empty or has
    a quote, a backslash or a control character in it, at empty text in a list, at control characters other than tab and line ends.

    Args:
        configuration: Nested dictionaries and lists. Keys that are no strings are taken as their `str()`; tuples become lists, members of
            an `Enum` their names, paths, dates and times their text.

    Raises:
        UnsupportedTypeError: it holds a value of another kind; names it.
        ValidationError: it holds a number that is not finite, or itself, or two keys that are one as text, or is nested too deep.

    Example:
        >>> print(write({"a": 1, "b": {"c": [1, 2], "n": None}, "s": "x y"}), end="")
        a = 1
        b {
          c = [1, 2]
          n = null
        }
        s = "x y"
    """
    try:
        plain = _plain_dict(configuration, "", ())
        if _is_awkward(plain):
            return json.dumps(plain, indent=2) + "\n"
        return "".join(f"{line}\n" for line in _block(plain, ""))
    except RecursionError as error:
        raise ValidationError("the configuration is nested too deep; store it as an artifact") from error


def _plain_dict(values: Mapping[Any, Any], path: str, inside: tuple[int, ...]) -> dict[str, Plain]:
    inside = _enter(values, path, inside)
    plain: dict[str, Plain] = {}
    for key, value in values.items():
        name = str.__str__(key) if isinstance(key, str) else str(key)
        below = f"{path}.{name}" if path else name
        if name in plain:
            raise ValidationError(f"two keys of the configuration are {below!r} as text; rename one of them")
        plain[name] = _plain(value, below, inside)
    return plain


def _plain(value: object, path: str, inside: tuple[int, ...]) -> Plain:
    """The value as exactly one of the kinds that are stored: what a subclass prints is not for us to store."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, Integral):  # numpy's scalars are registered with `numbers`; that spares the import
        return int(value)
    if isinstance(value, Real):
        if not math.isfinite(value):
            raise ValidationError(f"the value {path} of the configuration is {float(value)}, which has no HOCON form; use null or text")
        return float(value)
    if isinstance(value, Mapping):
        return _plain_dict(value, path, inside)
    if isinstance(value, list | tuple):
        inside = _enter(value, path, inside)
        return [_plain(item, f"{path}[{index}]", inside) for index, item in enumerate(value)]
    if isinstance(value, PurePath | date | time):
        return str(value)
    raise UnsupportedTypeError(
        f"the value {path} of the configuration is of type {type(value).__qualname__}, which cannot be stored; use one of: {_KINDS}"
    )


def _enter(container: object, path: str, inside: tuple[int, ...]) -> tuple[int, ...]:
    if id(container) in inside:
        raise ValidationError(f"the value {path or 'at the top'} of the configuration holds itself; remove the circle")
    return (*inside, id(container))


def _is_awkward(value: Plain) -> bool:
    if isinstance(value, str):
        return _AWKWARD_TEXT.search(value) is not None
    if isinstance(value, dict):
        return any(_AWKWARD_KEY.search(key) or _is_awkward(item) for key, item in value.items())
    return isinstance(value, list) and ("" in value or any(_is_awkward(item) for item in value))


def _block(values: Mapping[str, Plain], indent: str) -> Iterator[str]:
    """The lines of the keys of a dictionary."""
    for key, value in values.items():
        name = key if _BARE_KEY.fullmatch(key) else _quoted(key)
        if isinstance(value, dict) and value:
            yield f"{indent}{name} {{"
            yield from _block(value, f"{indent}  ")
            yield f"{indent}}}"
        else:
            first, *rest = _item(value, indent)
            yield f"{indent}{name} = {first}"
            yield from rest


def _item(value: Plain, indent: str) -> list[str]:
    """The lines of a value, the first of them without indentation."""
    if isinstance(value, dict):
        return ["{", *_block(value, f"{indent}  "), f"{indent}}}"] if value else ["{}"]
    if isinstance(value, list):
        inner = f"{indent}  "
        items = [_item(item, inner) for item in value]
        if all(len(lines) == 1 for lines in items) and sum(len(lines[0]) + 2 for lines in items) <= _LINE:
            return [f"[{', '.join(lines[0] for lines in items)}]"]
        lines = ["["]
        for first, *rest in items:
            lines += [f"{inner}{first}", *rest]
            lines[-1] += ","
        return [*lines[:-1], lines[-1][:-1], f"{indent}]"]
    if isinstance(value, str):
        return [_quoted(value)]
    return [json.dumps(value)]


def _quoted(text: str) -> str:
    return f'"{text.translate(_ESCAPES)}"'
