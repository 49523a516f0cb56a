"""Tables: from data frames of pandas and polars, lists of rows, and CSV text. Cells are stored column by column. Pure."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from typing import Any, Final

from atrains._wire.plots import values as given
from atrains.errors import UnsupportedTypeError

_MISSING: Final = frozenset({"", "NA", "N/A", "#N/A", "NaN", "nan", "-NaN", "-nan", "NULL", "null", "None", "<NA>", "n/a"})
"""What stands in a CSV file where there is nothing, as pandas reads it."""
_TRUTH: Final = {"True": True, "true": True, "TRUE": True, "False": False, "false": False, "FALSE": False}


def table(
    title: str,
    series: str,
    data: Any,
    *,
    extra_layout: Mapping[str, Any] | None = None,
    extra_data: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return a table. NaN and infinities, which JSON has no word for, are the texts `NaN`, `Inf` and `-Inf`; what is missing is null.

    Args:
        title: What stands above it.
        series: Its name.
        data: A data frame of pandas or polars, a table of Arrow, or a list of rows, the first of which are the heads.
        extra_layout: Put over the layout.
        extra_data: Put over the table itself.

    Raises:
        UnsupportedTypeError: something else.
    """
    if type(data).__name__ == "LazyFrame":  # before anything is asked of it, which it would warn of
        raise UnsupportedTypeError("a LazyFrame has no rows yet: report its collect()")
    heads, columns = _frame(data) if hasattr(data, "columns") else _rows(data)
    trace = {
        "type": "table",
        "header": {"values": heads, "align": "left"},
        "cells": {"values": [list(map(_cell, column)) for column in columns], "align": "left", "height": 30},
    }
    layout = {"title": title, "name": series}
    return {"data": [given.merged(trace, extra_data, "extra_data")], "layout": given.merged(layout, extra_layout)}


def read_csv(text: str) -> list[list[Any]]:
    """Return the rows of a CSV text, the heads first; a column that holds nothing but numbers or truth values holds those."""
    lines = [row for row in csv.reader(io.StringIO(text)) if row]
    if not lines:
        return []
    heads, *rest = lines
    columns = [_typed(column) for column in zip_longest(*rest, fillvalue="")][: len(heads)]
    columns += [[None] * len(rest) for _ in range(len(heads) - len(columns))]
    return [list(heads), *map(list, zip(*columns, strict=True))]


def _typed(column: Sequence[str]) -> list[Any]:
    """A column of texts as what all of them are: integers, numbers, truth values, else text."""
    known = [cell for cell in column if cell not in _MISSING]
    read: Callable[[str], Any]
    for read in (int, float, _TRUTH.__getitem__):
        try:
            for cell in known:
                read(cell)
        except (ValueError, KeyError):
            continue
        return [None if cell in _MISSING else read(cell) for cell in column]
    return [None if cell in _MISSING else cell for cell in column]


def _frame(frame: Any) -> tuple[list[Any], list[list[Any]]]:
    """Heads and columns of a data frame; an index that is more than the numbers of the rows is made of columns of its own."""
    if hasattr(frame, "column_names"):  # of Arrow
        return [[name] for name in frame.column_names], [column.to_pylist() for column in frame.columns]
    names = [*frame.columns]
    heads = [[*name] if isinstance(name, tuple) else [name] for name in names]
    if not hasattr(frame, "iloc"):  # polars and its like
        return heads, [given.nested(frame[name]) for name in names]
    columns = [given.nested(frame.iloc[:, place].tolist()) for place in range(len(names))]
    index = frame.index
    if type(index).__name__ == "RangeIndex":
        return heads, columns
    levels = [index.get_level_values(level) for level in range(index.nlevels)]
    return [["" if level.name is None else level.name] for level in levels] + heads, [level.tolist() for level in levels] + columns


def _rows(data: Any) -> tuple[list[Any], list[list[Any]]]:
    rows: Any = None if isinstance(data, str | bytes | Mapping) else given.nested(data)
    if not given.is_list(rows) or not all(map(given.is_list, rows)):
        what = next((f"a list with a {type(row).__name__}" for row in data if not given.is_list(row)), "") if given.is_list(data) else ""
        raise UnsupportedTypeError(
            "a table is a data frame or a list of rows of which the first holds the heads, "
            f"not {what or f'an object of type {type(data).__name__}'}"
        )
    if not any(rows):
        return [], []
    heads, *rest = rows
    return heads, [list(column) for column in zip_longest(*rest)]


def _cell(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Inf" if value > 0 else "-Inf"
    return value
