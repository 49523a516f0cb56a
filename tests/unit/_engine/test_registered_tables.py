"""Registered tables: that no change is missed, that no other look writes anything, and what is said of their rows."""

from __future__ import annotations

import gc
import gzip
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np  # noqa: TID253  # what tables are made of
import pandas as pd  # noqa: TID253  # what this file is about
import pytest

from atrains._engine import table_marks
from atrains._engine.audit_table import look, rows_of, statistics
from atrains._engine.table_marks import Table, copied, is_frame
from atrains.errors import UnsupportedTypeError

Frame = pd.DataFrame


def frame() -> Frame:
    return pd.DataFrame(
        {
            "float": [0.5, np.nan, 0.0],
            "int": [1, 2, 3],
            "bool": [True, False, True],
            "text": ["a", "b", None],
            "object": pd.Series([1, "two", None], dtype=object),
            "time": pd.date_range("2020", periods=3, tz="UTC"),
            "kind": pd.Categorical(["x", "y", "x"]),
            "whole": pd.array([1, None, 3], dtype="Int64"),
            "period": pd.period_range("2020", periods=3),
            "small": np.array([1, 2, 3], dtype=np.int8),
            "arrow": pd.array([1, 2, None], dtype="int64[pyarrow]"),
        }
    )


def through_memory(table: Frame) -> None:
    view = table["int"].to_numpy()
    view.flags.writeable = True
    view[1] = 7


def in_place(method: Callable[..., Any], **arguments: object) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer pandas advise against it; programs do it all the same
        method(**arguments, inplace=True)


def swap_categories(table: Frame) -> None:
    table["kind"] = table["kind"].cat.rename_categories({"x": "y", "y": "x"})


CHANGES: dict[str, Callable[[Frame], Any]] = {
    "a value": lambda table: table.__setitem__("float", [0.5, 1.0, 0.0]),
    "one float": lambda table: table.loc.__setitem__((0, "float"), 0.25),
    "the sign of zero": lambda table: table.loc.__setitem__((2, "float"), -0.0),
    "NaN": lambda table: table.loc.__setitem__((1, "float"), 0.0),
    "memory behind its back": through_memory,
    "a boolean": lambda table: table.loc.__setitem__((1, "bool"), True),
    "text": lambda table: table.loc.__setitem__((0, "text"), "c"),
    "an object": lambda table: table.loc.__setitem__((1, "object"), "TWO"),
    "an equal object": lambda table: table.loc.__setitem__((0, "object"), True),
    "a time": lambda table: table.loc.__setitem__((0, "time"), pd.Timestamp("1999", tz="UTC")),
    "a category": lambda table: table.loc.__setitem__((0, "kind"), "y"),
    "what categories are called": swap_categories,
    "what is missing": lambda table: table.loc.__setitem__((1, "whole"), 2),
    "a period": lambda table: table.loc.__setitem__((0, "period"), pd.Period("1999-01-01")),
    "a small number": lambda table: table.loc.__setitem__((0, "small"), 9),
    "a number of Arrow": lambda table: table.loc.__setitem__((2, "arrow"), 9),
    "a dtype": lambda table: table.__setitem__("int", table["int"].astype(float)),
    "a new column": lambda table: table.__setitem__("new", 1),
    "a column less": lambda table: table.pop("int"),
    "a label": lambda table: setattr(table, "columns", [*"abcdefghijk"]),
    "a new row": lambda table: table.loc.__setitem__(3, table.loc[0]),
    "a row less": lambda table: in_place(table.drop, index=1),
    "the order of rows": lambda table: in_place(table.sort_values, by="int", ascending=False),
}


@pytest.mark.parametrize("kept", [table_marks.KEPT_BYTES, 0], ids=["kept", "digested"])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_no_change_is_missed(change: Callable[[Frame], Any], kept: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_marks, "KEPT_BYTES", kept)
    table = Table(frame())
    first = look("table", table, tmp_path)
    assert first is not None
    assert first.marks is not None
    assert first.encoded is not None
    table.note(first)
    assert look("table", table, tmp_path) is None
    change(table.frame)
    second = look("table", table, tmp_path)
    assert second is not None
    assert second.encoded is not None
    table.note(second)
    assert look("table", table, tmp_path) is None
    assert len(list(tmp_path.iterdir())) == 2


def test_an_unchanged_table_costs_no_file_even_where_its_cells_can_change_themselves(tmp_path: Path) -> None:
    table = Table(pd.DataFrame({"lists": [[1], [2]], "text": ["a", "b"]}))
    first = look("table", table, tmp_path)
    assert first is not None
    assert first.marks is None  # nothing would tell
    table.note(first)
    again = look("table", table, tmp_path)
    assert again is not None
    assert again.encoded is None
    table.frame.loc[0, "lists"].append(3)
    changed = look("table", table, tmp_path)
    assert changed is not None
    assert changed.encoded is not None
    assert len(list(tmp_path.iterdir())) == 2


def test_a_text_that_comes_to_stand_where_another_one_was_is_seen() -> None:
    table = pd.DataFrame({"text": pd.Series([f"text {number}" for number in range(1000)], dtype=object)})
    _, marks = copied(table)
    assert marks is not None
    for number in range(1000):
        table.loc[number, "text"] = None
        gc.collect(0)
        table.loc[number, "text"] = f"TEXT {number}"
        assert not marks.fit(table)
        if number == 20:
            break


def test_a_copy_that_is_half_old_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    table = pd.DataFrame({"a": [0], "b": [0]})
    copy = pd.DataFrame.copy
    made = []

    def torn(self: Frame, deep: bool = True) -> Frame:
        result = copy(self, deep=deep)
        made.append(result)
        if len(made) == 1:
            table.loc[0] = [1, 1]  # between the copy of the first value and the end of the second
            result.loc[0, "b"] = 1
        return result

    monkeypatch.setattr(pd.DataFrame, "copy", torn)
    taken, marks = copied(table)
    assert marks is not None
    assert taken.loc[0].to_list() == [1, 1]
    assert taken is not made[0]


def test_the_file_is_the_same_for_the_same_content(tmp_path: Path) -> None:
    table = frame()
    one = look("table", Table(table), tmp_path)
    table.index = [7, 8, 9]
    time.sleep(1.1)  # gzip would note the second
    two = look("other", Table(table), tmp_path)
    assert one is not None
    assert two is not None
    assert one.encoded is not None
    assert two.encoded is not None
    assert one.encoded.path is not None
    assert two.encoded.path is not None
    assert one.encoded.path.read_bytes() == two.encoded.path.read_bytes()
    assert one.data_hash == two.data_hash != one.encoded.hash
    assert gzip.decompress(one.encoded.path.read_bytes()).decode() == table.to_csv(index=False)


def test_what_cannot_be_written_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ValueError("no")

    monkeypatch.setattr(pd.DataFrame, "to_csv", refuse)
    with pytest.raises(UnsupportedTypeError, match="'table' cannot be written as CSV"):
        look("table", Table(frame()), tmp_path)
    assert not list(tmp_path.iterdir())


def test_statistics(caplog: pytest.LogCaptureFixture) -> None:
    one = pd.DataFrame({"a": [*range(90), *range(10)], "b": ["x"] * 100, "c": range(100)})
    other = pd.DataFrame({"k": [*range(85, 100)], "l": ["x"] * 15})
    rows, others = rows_of("one", one, ["a", "b"]), rows_of("other", other, None)
    assert rows is not None
    assert others is not None
    assert statistics({"one": rows}) == "[one]: shape=(100, 3), 90 unique rows, 90.0% uniqueness"
    assert statistics({"one": rows, "other": others}).splitlines() == [
        "[one]: shape=(100, 3), 90 unique rows, 90.0% uniqueness",
        "\tIntersection with [other] 5 rows: 33.3%",
        "[other]: shape=(15, 2), 15 unique rows, 100.0% uniqueness",
        "\tIntersection with [one] 5 rows: 5.6%",
    ]
    assert rows_of("one", one, ["gone"]) is None
    assert "has no column 'gone'" in caplog.text
    lists = rows_of("lists", pd.DataFrame({"a": [[1], [1], [2]]}), None)
    assert lists is not None
    assert len(lists.unique) == 2
    for empty in (pd.DataFrame(), pd.DataFrame({"a": []})):
        rows = rows_of("empty", empty, None)
        assert rows is not None
        assert statistics({"empty": rows}) == f"[empty]: shape={empty.shape}, 0 unique rows, 0.0% uniqueness"


def test_what_is_a_frame() -> None:
    assert is_frame(frame())
    assert not any(map(is_frame, (None, {}, frame()["int"], np.zeros(3))))


def test_a_table_without_columns_or_rows_is_a_table(tmp_path: Path) -> None:
    for empty in (pd.DataFrame(), pd.DataFrame({"a": []})):
        table = Table(empty)
        first = look("empty", table, tmp_path)
        assert first is not None
        table.note(first)
        assert look("empty", table, tmp_path) is None
