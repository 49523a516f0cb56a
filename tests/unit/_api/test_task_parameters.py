"""TaskParameters: what a class declares, and what it refuses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import pytest

from atrains import TaskParameters, param, percent_param
from atrains.errors import ValidationError


class Mine(TaskParameters):
    iterations = param(type=int, desc="how many iterations", range=(0, 100_000))
    target_accuracy = percent_param(0.5)
    optimizer = "adam"
    momentum: float = 0.9
    even = param(2, validator=lambda value: value % 2 == 0)
    name = param("x", converter=str.upper)
    _hidden = 1
    shared: ClassVar[int] = 3

    def method(self) -> int:
        return 1

    @property
    def double(self) -> float:
        return self.target_accuracy * 2  # type: ignore[no-any-return]


class More(Mine):
    depth = 3
    optimizer = "sgd"


def test_a_class_declares_its_parameters_in_their_order_and_inherits_them() -> None:
    values = Mine().to_dict()
    assert values == {
        "momentum": 0.9, "iterations": None, "target_accuracy": 0.5, "optimizer": "adam", "even": 2, "name": "X",
    }  # fmt: skip
    assert More(iterations=3).to_dict() == {**values, "iterations": 3, "optimizer": "sgd", "depth": 3}
    assert Mine().double == 1.0


def test_values_are_given_by_place_or_name_and_converted() -> None:
    class Short(TaskParameters):
        a = param(type=int)
        b = param(1.5, type=float)

    assert Short("7").to_dict() == {"a": 7, "b": 1.5}
    assert Short(7, b=2).to_dict() == {"a": 7, "b": 2.0}
    assert Short(7) == Short("7") != Short(8)
    assert repr(Short(7)) == "Short(a=7, b=1.5)"
    for arguments, named in (((1, 2, 3), {}), ((1,), {"a": 2}), ((), {"c": 1})):
        with pytest.raises(ValidationError):
            Short(*arguments, **named)


@pytest.mark.parametrize(
    ("name", "value"), [("iterations", -1), ("iterations", "many"), ("target_accuracy", 1.1), ("even", 3), ("iterations", 100_001)]
)
def test_what_is_not_allowed_is_refused_by_name_however_it_is_set(name: str, value: object) -> None:
    mine = Mine(iterations=5)
    with pytest.raises(ValidationError, match=name):
        setattr(mine, name, value)
    with pytest.raises(ValidationError, match=name):
        mine.update_from_dict({"momentum": 0.1, name: value})
    with pytest.raises(ValidationError, match=name):
        Mine(**{name: value})
    assert mine == Mine(iterations=5), "nothing was changed"


def test_an_unknown_name_is_a_value_error_that_lists_the_names() -> None:
    with pytest.raises(ValueError, match=r"no parameter 'rate'.*iterations, target_accuracy"):
        Mine().update_from_dict({"rate": 1})


def test_a_default_that_is_not_allowed_is_refused_with_the_class() -> None:
    with pytest.raises(ValidationError, match="share = 2"):

        class Wrong(TaskParameters):
            share = percent_param(2)


def test_a_data_class_declares_them_as_fields() -> None:
    @dataclass
    class Data(TaskParameters):
        depth: int = 3
        sizes: list[int] = field(default_factory=list)

    data = Data(depth=4)
    assert data.to_dict() == {"depth": 4, "sizes": []}
    data.update_from_dict({"sizes": [1]})
    assert data.sizes == [1]
