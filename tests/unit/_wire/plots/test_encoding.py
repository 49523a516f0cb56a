"""A figure is strict JSON to its last cell, whatever stands in it."""

from __future__ import annotations

import copy
import json
import math
from collections import OrderedDict, UserDict
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import PurePath
from typing import Any
from uuid import UUID

import numpy as np  # noqa: TID253  # what users pass
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atrains._wire.plots.encoding import encode, plain
from atrains.errors import ValidationError


class Colour(Enum):
    RED = "red"


class Tensor:
    """What tensors of a training framework have."""

    def __init__(self, data: Any) -> None:
        self._data = np.asarray(data)

    def detach(self) -> Tensor:
        return self

    def cpu(self) -> Tensor:
        return self

    def __array__(self, *_: Any, **__: Any) -> Any:
        return self._data


class Weight:
    def __float__(self) -> float:
        return 0.5


def strict(data: bytes) -> Any:
    """What a strict reader makes of it."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    return json.loads(data.decode("utf-8"), parse_constant=refuse)


NUMPY = st.one_of(
    st.floats(width=32).map(np.float32),
    st.floats().map(np.float64),
    st.integers(-(2**63), 2**63 - 1).map(np.int64),
    st.integers(0, 2**64 - 1).map(np.uint64),
    st.booleans().map(np.bool_),
    st.lists(st.floats(), max_size=5).map(np.array),
    st.lists(st.floats(), max_size=4).map(lambda row: np.array([row, row])),
    st.lists(st.integers(0, 255), max_size=5).map(lambda row: np.array(row, dtype=">u2")[::2]),
    st.sampled_from(
        [np.datetime64("2024-05-06T07:08"), np.datetime64("NaT", "s"), np.array(["2024-05-06", "NaT"], "M8[ns]"), np.array(1.5)]
    ),
)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(st.characters(codec=None)),  # halves of characters too
    st.binary(max_size=5),
    st.datetimes(),
    st.dates(),
    st.times(),
    st.timedeltas(),
    st.decimals(allow_nan=False),
    st.complex_numbers(),
    st.uuids(),
    st.sampled_from([Colour.RED, PurePath("a/b"), Weight(), Tensor([1.0, math.nan]), Tensor(2), range(3), object]),
    NUMPY,
)
KEYS = st.one_of(st.text(st.characters(codec=None)), st.integers(), st.floats(), st.booleans(), st.none(), st.dates(), st.tuples(st.text()))
NESTED = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(KEYS, inner, max_size=4),
        st.dictionaries(st.text(), inner, max_size=3).map(OrderedDict),
        st.dictionaries(st.text(), inner, max_size=3).map(UserDict),
        st.frozensets(st.integers(), max_size=3),
    ),
    max_leaves=20,
)


def finite(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and finite(held) for key, held in value.items())
    if isinstance(value, list):
        return all(map(finite, value))
    return value is None or isinstance(value, str | bool | int) or math.isfinite(value)


@given(st.dictionaries(st.text(st.characters(codec=None)), NESTED, max_size=4))
def test_any_nested_structure_is_valid_json(figure: dict[str, Any]) -> None:
    assert finite(strict(encode(figure)))


@given(st.dictionaries(st.text(), st.lists(st.one_of(st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False)))))
def test_what_json_has_words_for_comes_back_as_it_was(figure: dict[str, Any]) -> None:
    assert strict(encode(figure)) == figure


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([math.nan, math.inf, -math.inf], [None, None, None]),
        ([[1, [math.nan]]], [[1, [None]]]),
        (np.array([[1.0, math.nan], [math.inf, 2.0]]), [[1.0, None], [None, 2.0]]),
        (np.arange(6).reshape(2, 3)[:, ::2], [[0, 2], [3, 5]]),
        (np.float32(0.5), 0.5),
        (np.array(3), 3),
        (2**70, float(2**70)),
        (10**400, None),
        (datetime(2024, 5, 6, 7, 8, tzinfo=UTC), "2024-05-06T07:08:00+00:00"),
        (date(2024, 5, 6), "2024-05-06"),
        (time(7, 8), "07:08:00"),
        (np.datetime64("2024-05-06"), "2024-05-06"),
        (np.array(["2024-05-06", "NaT"], "M8[D]"), ["2024-05-06", None]),
        (timedelta(hours=1), "1:00:00"),
        (Decimal("0.5"), 0.5),
        (Fraction(1, 4), 0.25),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Colour.RED, "red"),
        (b"a\xff", "a�"),
        ("a\ud800b", "a�b"),
        ("\ud83d\ude00", "\U0001f600"),
        (range(3), [0, 1, 2]),
        (Tensor([[1.0, 2.0]]), [[1.0, 2.0]]),
        (Weight(), 0.5),
    ],
)
def test_what_things_become(value: Any, expected: Any) -> None:
    assert strict(encode({"value": value})) == {"value": expected}
    assert strict(encode({"value": value, "odd": "\ud800"})) == {"value": expected, "odd": "�"}, "the long way"


def test_what_data_frames_have_for_nothing() -> None:
    pd = pytest.importorskip("pandas")
    pl = pytest.importorskip("polars")
    nothing = {"x": [pd.NaT, pd.NA, pd.Timestamp("2024-05-06"), pd.Series([1.5, math.nan]), pl.Series([1, None])]}
    assert strict(encode(nothing)) == {"x": [None, None, "2024-05-06T00:00:00", [1.5, None], [1, None]]}


def test_what_contains_itself_is_refused() -> None:
    figure: dict[str, Any] = {}
    figure["data"] = [figure]
    with pytest.raises(ValidationError, match="contains itself"):
        encode(figure)


def test_nothing_is_changed() -> None:
    figure = {"data": [{"x": [1, math.nan], "y": (2, "\ud800"), 3: {"z": np.array([math.inf])}}]}
    before = copy.deepcopy(figure)
    encode(figure)
    plain(figure)
    assert repr(figure) == repr(before)
