"""A figure as strict JSON, to its last nested cell: no NaN, no infinity, no half of a character, whatever the figure is made of. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from operator import attrgetter
from typing import Any, Final

import orjson

from atrains._wire.json_lines import clean
from atrains.errors import ValidationError

_INTEGERS: Final = range(-(2**63), 2**64)
"""What the encoder takes; a larger number becomes a float."""
_DEEPEST: Final = 200
_NO_TIME: Final = frozenset({"NaTType", "NAType"})

_SIMPLER: Final[Sequence[tuple[Any, Callable[[Any], Any]]]] = (
    (float, float),  # one of a class derived from it
    (Mapping, dict),
    (Enum, attrgetter("value")),
    ((bytes, bytearray), lambda value: bytes(value).decode("utf-8", "replace")),
)


def encode(figure: Mapping[str, Any]) -> bytes:
    """Return a figure as JSON; what is no number is null. About 50 ns a number in lists, ten times that for odd things.

    Raises:
        ValidationError: it is nested more than 200 deep, or contains itself.
    """
    try:
        return orjson.dumps(figure, default=simpler, option=orjson.OPT_NON_STR_KEYS)
    except orjson.JSONEncodeError:  # half of a character, an integer of more than 64 bits, a key of an odd kind: all of it the long way
        return orjson.dumps(plain(figure))


def plain(value: object, depth: int = 0) -> Any:
    """Return a value as what JSON has: dictionaries with text as keys, lists, text, finite numbers, truth values and None."""
    if depth > _DEEPEST:
        raise ValidationError(f"a figure that is nested more than {_DEEPEST} deep, or contains itself")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return clean(str.__str__(value))
    if isinstance(value, int | float):
        return _number(value)
    if isinstance(value, Mapping):
        return {_key(key): plain(held, depth + 1) for key, held in value.items()}
    if isinstance(value, list | tuple):
        return [plain(held, depth + 1) for held in value]
    return plain(simpler(value), depth + 1)


def simpler(value: Any) -> Any:
    """Return what JSON has no word for as something that is closer to it: an array as lists, a moment as ISO 8601, a set as a list."""
    for kinds, convert in _SIMPLER:
        if isinstance(value, kinds):
            return convert(value)
    if type(value).__name__ in _NO_TIME:  # how pandas says that there is nothing
        return None
    if hasattr(value, "isoformat"):
        return value.isoformat()
    found = _listed(value)
    if found is not value and type(found) is not type(value):
        return found
    if hasattr(value, "__float__"):
        return float(value)
    return list(value) if isinstance(value, Iterable) else str(value)


def _listed(value: Any) -> Any:
    """What arrays, tensors, columns and data frames are as lists; the value itself when it is none of them."""
    if hasattr(value, "detach"):  # a tensor: off the graph and to this machine first
        value = value.detach().cpu()
    if getattr(getattr(value, "dtype", None), "kind", "") in {"M", "m"} and hasattr(value, "astype"):  # tolist makes numbers of these
        return _moments(value.astype(str).tolist())
    if hasattr(value, "tolist"):
        return value.tolist()
    if hasattr(value, "to_list"):
        return value.to_list()
    if hasattr(value, "__array__"):
        return value.__array__().tolist()
    return value


def _moments(texts: Any) -> Any:
    """Dates and durations of numpy as text; None for what is no time."""
    return [_moments(text) for text in texts] if isinstance(texts, list) else None if texts == "NaT" else texts


def _number(value: float) -> float | None:
    """A number that JSON has a word for: what is no number is None, an integer beyond 64 bits a float."""
    if isinstance(value, int) and value in _INTEGERS:
        return int(value)
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _key(key: object) -> str:
    return clean(str(plain(key, _DEEPEST - 3) if not isinstance(key, tuple | list | Mapping | frozenset) else key))
