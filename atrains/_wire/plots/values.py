"""What users pass as data, as plain lists: nested lists, arrays, tensors, columns, data frames. Nothing of theirs is changed. Pure."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from atrains._wire.plots.encoding import simpler
from atrains.errors import ValidationError

Column = Sequence[Any]
"""The values of one coordinate: a list, or `array` where numbers came in one."""
_PLAIN: Final = frozenset({int, float, str, bool, complex, type(None)})
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


def numbers(values: Iterable[Any], what: str) -> list[Any]:
    """Return values as a list in which truth values are 0 or 1.

    Raises:
        ValidationError: one is a complex number; `what` names the argument.
    """
    listed = list(values)
    kinds = set(map(type, listed))
    if complex in kinds:
        raise ValidationError(f"{what} holds complex numbers; give their real parts or their absolute values")
    return [int(value) if value is True or value is False else value for value in listed] if bool in kinds else listed


def rows(data: Any, what: str) -> list[list[Any]]:
    """Return data in one or two dimensions as rows of equal length.

    Raises:
        ValidationError: another shape; `what` names the argument.
    """
    return _rows(nested(data), data, what)


def matrix(data: Any, what: str) -> list[list[Any]]:
    """Return data in two dimensions as rows of equal length, of numbers.

    Raises:
        ValidationError: another shape, or something that is no number.
    """
    found = nested(data)
    if is_list(found) and found and not any(map(is_list, found)):
        raise ValidationError(f"{what} has two dimensions: a list of rows, or an array of two dimensions")
    return [_read(row, what) if str in set(map(type, row)) else row for row in _rows(found, data, what)]


def _rows(found: Any, data: Any, what: str) -> list[list[Any]]:
    if not is_list(found):
        raise ValidationError(f"{what} is a list or an array of numbers, not {_short(data)}")
    if not any(map(is_list, found)):
        found = [found]
    if not all(map(is_list, found)) or any(list in set(map(type, row)) for row in found):
        raise ValidationError(f"{what} has one or two dimensions, all rows in the same")
    widths = {len(row) for row in found}
    if len(widths) > 1:
        raise ValidationError(f"the rows of {what} differ in length: {', '.join(map(str, sorted(widths)[:5]))}")
    return [numbers(row, what) for row in found]


def _read(row: list[Any], what: str) -> list[Any]:
    """A row with the numbers that its texts stand for."""
    try:
        return [float(cell) if isinstance(cell, str) else cell for cell in row]
    except ValueError as error:
        raise ValidationError(f"{what} holds a text that is no number: {str(error).rpartition(': ')[2][:60]}") from error


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
    return [numbers(column, what) for column in zip(*points, strict=True)]


def labels(given: Iterable[Any] | None, count: int, what: str, of: str = "points") -> list[str] | None:
    """Return one label for each of `count` things, which are called `of`, as text, or None when none were given.

    Raises:
        ValidationError: not as many.
    """
    if given is None:
        return None
    if isinstance(given, str):
        raise ValidationError(f"{what} is a list of labels, not one text: {given[:60]!r}")
    found = nested(given)
    if not is_list(found):
        raise ValidationError(f"{what} is a list of labels, not {_short(given)}")
    if len(found) != count:
        raise ValidationError(f"{what} has {len(found)} labels for {count} {of}; give one for each")
    return list(map(str, found))


def is_name(series: object) -> bool:
    """Whether it is the name of one series, rather than a list of names."""
    return isinstance(series, str | bytes) or not isinstance(series, Iterable)


def merged(base: Mapping[str, Any], extra: Mapping[str, Any] | None, what: str = "extra_layout") -> dict[str, Any]:
    """Return a dictionary with another one put over it, level by level; neither is changed.

    Raises:
        ValidationError: the other one is none; `what` names the argument.
    """
    if extra is not None and not isinstance(extra, Mapping):
        raise ValidationError(f"{what} is a dictionary of what plotly knows, not {_short(extra)}")
    found = dict(base)
    for key, value in (extra or {}).items():
        held = found.get(key)
        found[key] = merged(held, value, what) if isinstance(held, Mapping) and isinstance(value, Mapping) else value
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
    if isinstance(data, list | tuple) or not hasattr(data, "__array__") or hasattr(data, "filled"):
        return None  # a masked array: what is hidden is not to be shown, and its lists have None there
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


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
