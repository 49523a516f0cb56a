"""What is left of a long curve: its ends, its extremes and its gaps."""

from __future__ import annotations

import math
from array import array
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atrains._wire.plots.thinning import shares, thin

Y = st.lists(st.one_of(st.floats(-1e9, 1e9), st.just(math.nan), st.none()), min_size=17, max_size=400)


@given(Y, st.integers(16, 100))
def test_ends_extremes_and_the_bound(y: list[Any], points: int) -> None:
    x = list(range(len(y)))
    kept = thin([x, y], points)
    if len(y) <= points:
        assert kept is None
        return
    assert kept is not None
    assert len(kept) <= points
    assert kept == sorted(set(kept))
    assert {kept[0], kept[-1]} == {0, len(y) - 1}
    numbers = [value for value in y if value is not None and not math.isnan(value)]
    if numbers:
        left = [y[place] for place in kept if y[place] is not None and not math.isnan(y[place])]
        assert (min(left), max(left)) == (min(numbers), max(numbers))


def test_a_gap_stays_a_gap_and_the_outline_stays() -> None:
    y = [math.sin(number / 1000) for number in range(100_000)]
    y[50_000] = math.nan
    y[70_001] = 5.0
    kept = thin([range(len(y)), array("d", y)], 3000)
    assert kept is not None
    assert {50_000, 70_001} <= set(kept)
    assert max(after - before for before, after in pairwise(kept)) < 300


def test_extremes_of_every_coordinate_stay() -> None:
    x = [0.0] * 1000
    x[333], x[777] = -9.0, 9.0
    kept = thin([x, [0.0] * 1000], 50)
    assert kept is not None
    assert {333, 777} <= set(kept)


@pytest.mark.parametrize(
    ("sizes", "budget", "expected"),
    [
        ([], 100, []),
        ([10, 10], 100, [10, 10]),
        ([100, 100], 100, [50, 50]),
        ([10, 1000, 1000], 100, [10, 45, 45]),
        ([1000, 1, 1], 12, [10, 1, 1]),
    ],
)
def test_a_budget_is_shared(sizes: list[int], budget: int, expected: list[int]) -> None:
    assert shares(sizes, budget) == expected
