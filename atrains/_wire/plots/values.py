"""What users pass as data, as plain lists: nested lists, arrays, tensors, columns, data frames. Nothing of theirs is changed. Pure."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from atrains._wire.plots.encoding import simpler
from atrains.errors import ValidationError

Column = Sequence[Any]
"""The values of one coordinate: a list, or `array` where numbers came in one."""
_PLAIN: Final = frozenset({int, float, str, bool, type(None)})
_NUMBERS: Final = frozenset("fiub")
"""The kinds of numpy's number types."""


def nested(data: Any) -> Any:
    """Return data as new nested lists of plain values; a single value as itself."""
    if type(data) in _PLAIN:
        return data
    if isinstance(data, list | tuple):  # first: a question about `Mapping` takes as long as a row of numbers
        return [item if type(item) in _PLAIN else nested(item) for item in data]
    if isinstance(data, str | bytes | Mapping):
        return data
    if hasattr(data, "__array__") or hasattr(data, "tolist") or hasattr(data, "to_list"):
        listed = simpler(data)
        return listed if getattr(getattr(data, "dtype", None), "kind", "") in _NUMBERS else nested(listed)
    if isinstance(data, Iterable):
        return [nested(item) for item in data]
    return simpler(data)


def is_list(value: object) -> bool:
    """Whether a value is one of the lists that `nested` makes."""
    return isinstance(value, list)


def numbers(values: Iterable[Any]) -> list[Any]:
    """Return values as a list in which truth values are 0 or 1."""
    listed = list(values)
    return [int(value) if value is True or value is False else value for value in listed] if bool in set(map(type, listed)) else listed


def rows(data: Any, what: str) -> list[list[Any]]:
    """Return data in one or two dimensions as rows of equal length.

    Raises:
        ValidationError: another shape; `what` names the argument.
    """
    found = nested(data)
    if not is_list(found):
        raise ValidationError(f"{what} is a list or an array of numbers, not {_short(data)}")
    if not any(map(is_list, found)):
        found = [found]
    if not all(map(is_list, found)) or any(list in set(map(type, row)) for row in found):
        raise ValidationError(f"{what} has one or two dimensions, all rows in the same")
    widths = {len(row) for row in found}
    if len(widths) > 1:
        raise ValidationError(f"the rows of {what} differ in length: {', '.join(map(str, sorted(widths)[:5]))}")
    return list(map(numbers, found))


def matrix(data: Any, what: str) -> list[list[Any]]:
    """Return data in two dimensions as rows of equal length.

    Raises:
        ValidationError: another shape.
    """
    found = rows(data, what)
    if len(found) == 1 and getattr(data, "ndim", 2 if _holds_rows(data) else 1) != 2:
        raise ValidationError(f"{what} has two dimensions: a list of rows, or an array of two dimensions")
    return found


def columns(data: Any, count: int, what: str) -> list[Column]:
    """Return points, one a row, as `count` columns; numbers from arrays stay compact.

    Raises:
        ValidationError: another shape.
    """
    found = _array_columns(data, count, what)
    if found is not None:
        return found
    points = nested(data)
    if not is_list(points):
        raise ValidationError(f"{what} is a list of points with {count} coordinates each, not {_short(data)}")
    if not points:
        return [[] for _ in range(count)]
    wrong = next((place for place, point in enumerate(points) if not is_list(point) or len(point) != count), None)
    if wrong is not None:
        raise ValidationError(f"each point of {what} has {count} coordinates; number {wrong} is {_short(points[wrong])}")
    return list(map(numbers, zip(*points, strict=True)))


def labels(given: Iterable[Any] | None, count: int, what: str) -> list[str] | None:
    """Return one label for each of `count` things as text, or None when none were given.

    Raises:
        ValidationError: not as many.
    """
    if given is None:
        return None
    if isinstance(given, str):
        raise ValidationError(f"{what} is a list of labels, not one text: {given[:60]!r}")
    found = [str(label) for label in nested(given)]
    if len(found) != count:
        raise ValidationError(f"{what} has {len(found)} labels for {count} things; give one for each")
    return found


def merged(base: Mapping[str, Any], extra: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a dictionary with another one put over it, level by level; neither is changed."""
    found = dict(base)
    for key, value in (extra or {}).items():
        held = found.get(key)
        found[key] = merged(held, value) if isinstance(held, Mapping) and isinstance(value, Mapping) else value
    return found


def titled(title: str, comment: str | None) -> str:
    """Return a title with a comment under it. Server: the form in which the official clients send it."""
    return f"{title}<br><sup>{comment}</sup>" if comment else title


def one_of(value: str, allowed: Sequence[str], what: str) -> str:
    """Return a word if it is one of those allowed.

    Raises:
        ValidationError: it is not; names them.
    """
    if value not in allowed:
        raise ValidationError(f"unknown {what} {value!r}; use one of {', '.join(allowed)}")
    return value


def _array_columns(data: Any, count: int, what: str) -> list[Column] | None:
    """The columns of an array of numbers, without an object for each; None for anything else."""
    if hasattr(data, "detach"):  # a tensor: off the graph and to this machine first
        data = data.detach().cpu()
    if isinstance(data, list | tuple) or not hasattr(data, "__array__"):
        return None
    import numpy as np  # what has `__array__` has imported it

    found = np.asarray(data)
    if found.size == 0:
        return [[] for _ in range(count)]
    if found.ndim != 2 or found.shape[1] != count:
        raise ValidationError(f"{what} has {count} columns, one for each coordinate; it has the shape {found.shape}")
    if found.dtype.kind not in _NUMBERS:
        return None
    code = "d" if found.dtype.kind == "f" or found.dtype == np.uint64 else "q"
    kept: list[Column] = []
    for place in range(count):
        column = array(code)
        column.frombytes(np.ascontiguousarray(found[:, place], dtype=code).tobytes())
        kept.append(column)
    return kept


def _holds_rows(data: Any) -> bool:
    """Whether the first thing in a list is a row."""
    return is_list(nested(data[:1] if isinstance(data, list | tuple) else data)[0])


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
