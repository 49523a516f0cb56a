"""Hyperparameters as a home stores them: nested values become flat names and text, and flat names become nested again.

Pure; which parameters a task has, and when they are sent, is elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import date, time
from enum import Enum
from numbers import Integral, Real
from pathlib import PurePath
from typing import Final, NamedTuple, TypeAlias

from atrains.errors import UnsupportedTypeError, ValidationError

NestedParameters: TypeAlias = "dict[str, str | NestedParameters]"
"""Parameters by section and by the parts of their names; the values are text, as stored."""

_KINDS: Final = "str, int, float, bool, None, list, tuple, dict, Enum, pathlib paths, dates and times"


class HyperParameter(NamedTuple):
    """One stored parameter.

    Attributes:
        section: What stands before the first `/` of the flat name, such as `Args` or `General`.
        name: The rest of the flat name; may hold `/`.
        value: The value as text; containers are JSON, None is "".
        type: The name of the value's type, "" for None.
    """

    section: str
    name: str
    value: str
    type: str

    def as_request(self) -> dict[str, str]:
        """Return the item of a request; `type` is left out where there is none, so that readers take "" for None."""
        item = {"section": self.section, "name": self.name, "value": self.value}
        if self.type:
            item["type"] = self.type
        return item


def flatten(parameters: Mapping[str, object], *, section: str) -> list[HyperParameter]:
    """Turn nested parameters into stored ones, in their order; the names of nested dictionaries are joined with `/`.

    Args:
        parameters: The values by name; other keys than strings are taken as their `str()`.
        section: Where they belong. What follows a `/` in it becomes the beginning of every name.

    Raises:
        UnsupportedTypeError: if a value, also one inside a container, cannot be stored.
        ValidationError: if the section or a key is empty, two keys give one flat name, or a container holds itself.
    """
    section, _, prefix = section.partition("/")
    if not section.strip():
        raise ValidationError("the section of a parameter is empty; give a name such as 'General'")
    prefix = f"{prefix}/" if prefix else ""
    found: dict[str, HyperParameter] = {}
    for name, value in _leaves(parameters, prefix, section, ()):
        if name in found:
            raise ValidationError(f"two parameters have the one flat name {section}/{name}; rename one of the keys that lead to it")
        text, kind = _as_text(value, f"{section}/{name}")
        found[name] = HyperParameter(_encodable(section), _encodable(name), _encodable(text), kind)
    return list(found.values())


def as_nested_dict(hyperparams: Mapping[str, Mapping[str, Mapping[str, str]]]) -> NestedParameters:
    """Turn stored parameters, by section and name, into nested dictionaries of their texts; every `/` in a name nests.

    Where a name is also the beginning of another one (`a` and `a/b`), both are kept: the longer one stays unsplit from there on
    (`{"a": ..., "a/b": ...}`), so that nothing is lost and `flatten` gives the same flat names again.
    """
    return {section: _nest({name: item.get("value") or "" for name, item in items.items()}) for section, items in hyperparams.items()}


def _nest(values: Mapping[str, str]) -> NestedParameters:
    nested: NestedParameters = {}
    for name, value in values.items():
        *folders, last = _split(name, values)
        level = nested
        for folder in folders:
            # Always a dictionary: `_split` never goes below a name that holds a value itself.
            level = level.setdefault(folder, {})  # type: ignore[assignment]
        level[last] = value
    return nested


def _split(name: str, taken: Mapping[str, str]) -> list[str]:
    """The parts of a name, as far as no beginning of it is a parameter of its own."""
    parts = name.split("/")
    for length in range(1, len(parts)):
        if "/".join(parts[:length]) in taken:
            return [*parts[: length - 1], "/".join(parts[length - 1 :])]
    return parts


def _leaves(values: Mapping[str, object], prefix: str, section: str, inside: tuple[int, ...]) -> Iterator[tuple[str, object]]:
    inside = _enter(values, f"{section}/{prefix}".rstrip("/"), inside)
    for key, value in values.items():
        text = str(key)
        if not text.strip():
            raise ValidationError(f"a parameter below {section}/{prefix} has an empty name; give every key at least one character")
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{text}/", section, inside)
        else:
            yield prefix + text, value


def _as_text(value: object, path: str) -> tuple[str, str]:
    """The text of a value and the name of its type."""
    if value is None:
        return "", ""
    if isinstance(value, Enum):
        return value.name, type(value).__name__
    if isinstance(value, Mapping | list | tuple):
        kind = "dict" if isinstance(value, Mapping) else "tuple" if isinstance(value, tuple) else "list"
        return json.dumps(_as_json(value, path, ()), ensure_ascii=False), kind
    plain = _as_plain(value, path)
    return str(plain), type(plain).__name__


def _as_json(value: object, path: str, inside: tuple[int, ...]) -> object:
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, Mapping):
        inside = _enter(value, path, inside)
        return {str(key): _as_json(item, f"{path}[{key!r}]", inside) for key, item in value.items()}
    if isinstance(value, list | tuple):
        inside = _enter(value, path, inside)
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
    raise UnsupportedTypeError(f"the parameter {path} is of type {type(value).__qualname__}, which cannot be stored; use one of: {_KINDS}")


def _enter(container: object, path: str, inside: tuple[int, ...]) -> tuple[int, ...]:
    if id(container) in inside:
        raise ValidationError(f"the parameter {path} holds itself; remove the circle")
    return (*inside, id(container))


def _encodable(text: str) -> str:
    """The text without lone surrogates (undecodable file names have them), which no transport could encode."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
