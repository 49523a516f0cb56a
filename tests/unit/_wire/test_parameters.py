"""Hyperparameters: what is stored for a value, what comes back, and what is refused."""

from __future__ import annotations

import json
from collections import OrderedDict, namedtuple
from collections.abc import Mapping
from datetime import date
from enum import Enum, IntEnum
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atrains._wire import hocon_text
from atrains._wire.artifacts import metadata_pairs
from atrains._wire.parameters import HyperParameter, as_nested_dict, flatten
from atrains.errors import UnsupportedTypeError, ValidationError


class Optimizer(Enum):
    ADAM = "adam"


class Level(IntEnum):
    LOW = 1


Pair = namedtuple("Pair", "first second")  # noqa: PYI024 - an untyped named tuple is what users have


def stored(parameters: Mapping[str, object], section: str = "General") -> dict[str, tuple[str, str]]:
    return {item.name: (item.value, item.type) for item in flatten(parameters, section=section)}


@pytest.mark.parametrize(
    ("value", "text", "kind"),
    [
        (1, "1", "int"),
        (0.5, "0.5", "float"),
        (1e-3, "0.001", "float"),
        (float("inf"), "inf", "float"),
        (True, "True", "bool"),
        ("text", "text", "str"),
        ("", "", "str"),
        (None, "", ""),
        ([1, None], "[1, null]", "list"),
        ((7, 8), "[7, 8]", "tuple"),
        (Pair(1, "b"), '[1, "b"]', "tuple"),
        ([{"a": (1,)}], '[{"a": [1]}]', "list"),
        ([Optimizer.ADAM, Path("a/b"), date(2024, 1, 2)], '["ADAM", "a/b", "2024-01-02"]', "list"),
        (["ä"], '["ä"]', "list"),
        ({}, "{}", "dict"),
        (Optimizer.ADAM, "ADAM", "Optimizer"),
        (Level.LOW, "LOW", "Level"),
        (Path("a/b"), "a/b", "str"),
        (date(2024, 1, 2), "2024-01-02", "str"),
        (2**80, str(2**80), "int"),
    ],
)
def test_a_value_is_stored_as_text_that_other_clients_read(value: object, text: str, kind: str) -> None:
    assert stored({"a": value}) == {"a": (text, kind)}


def test_numbers_of_numpy_are_numbers_and_its_arrays_are_refused() -> None:
    import numpy as np

    numbers = {"i": np.int64(3), "f": np.float32(0.5), "d": np.float64(0.1), "l": [np.int8(1)]}
    assert stored(numbers) == {"i": ("3", "int"), "f": ("0.5", "float"), "d": ("0.1", "float"), "l": ("[1]", "list")}
    with pytest.raises(UnsupportedTypeError, match=r"General/w .* ndarray"):
        flatten({"w": np.zeros(2)}, section="General")


def test_nested_dictionaries_become_names_with_slashes_and_keep_their_order() -> None:
    nested = {"opt": {"lr": 1, "schedule": OrderedDict(steps=[1, 2], warm={})}, 3: "three", "plain/name": 0}
    assert list(stored(nested)) == ["opt/lr", "opt/schedule/steps", "opt/schedule/warm", "3", "plain/name"]  # type: ignore[arg-type]


def test_a_section_with_a_slash_is_the_section_and_a_beginning_of_the_names() -> None:
    assert flatten({"lr": 1}, section="Model/encoder") == [HyperParameter("Model", "encoder/lr", "1", "int")]


def test_a_none_is_sent_without_a_type_so_that_it_is_read_as_none() -> None:
    (item,) = flatten({"a": None}, section="General")
    assert item.as_request() == {"section": "General", "name": "a", "value": ""}


@pytest.mark.parametrize(
    ("parameters", "place", "kind"),
    [
        ({"opt": {"net": object()}}, "General/opt/net", "object"),
        ({"layers": [1, {"x": {1, 2}}]}, "General/layers[1]['x']", "set"),
        ({"f": len}, "General/f", "builtin_function_or_method"),
        ({"z": 1j}, "General/z", "complex"),
    ],
)
def test_a_value_that_cannot_be_stored_is_named_with_its_place_and_what_can(parameters: dict[str, object], place: str, kind: str) -> None:
    with pytest.raises(UnsupportedTypeError) as caught:
        flatten(parameters, section="General")
    assert place in str(caught.value)
    assert kind in str(caught.value)
    assert "list, tuple, dict" in str(caught.value)


def test_empty_names_are_refused_since_a_server_refuses_them() -> None:
    for parameters, section in (({"": 1}, "General"), ({"a": {" ": 1}}, "General"), ({"a": 1}, ""), ({"a": 1}, "/a")):
        with pytest.raises(ValidationError, match="empty"):
            flatten(parameters, section=section)


def test_two_values_for_one_flat_name_are_refused_instead_of_one_lost() -> None:
    with pytest.raises(ValidationError, match="General/a/b"):
        flatten({"a/b": 1, "a": {"b": 2}}, section="General")


def test_containers_that_hold_themselves_are_an_error_and_no_endless_run() -> None:
    folder: dict[str, object] = {}
    folder["inner"] = {"again": folder}
    listed: list[object] = []
    listed.append(listed)
    for parameters in (folder, {"a": listed}):
        with pytest.raises(ValidationError, match="holds itself"):
            flatten(parameters, section="General")


def test_what_is_nested_too_deep_is_refused() -> None:
    dictionaries: dict[str, object] = {}
    lists: list[object] = []
    for _ in range(100_000):
        dictionaries, lists = {"in": dictionaries}, [lists]
    for parameters in (dictionaries, {"a": lists}):
        with pytest.raises(ValidationError, match="nested too deep"):
            flatten(parameters, section="General")
        with pytest.raises(ValidationError, match="nested too deep"):
            hocon_text.write(parameters)
        with pytest.raises(ValidationError, match="nested too deep"):
            metadata_pairs({"a": parameters})


def test_one_object_under_two_names_is_no_circle() -> None:
    shared = {"x": [1]}
    assert stored({"a": shared, "b": shared}) == {"a/x": ("[1]", "list"), "b/x": ("[1]", "list")}


def test_a_file_name_that_is_no_utf8_can_still_be_sent() -> None:
    (item,) = flatten({"data": Path("caf\udce9")}, section="General")
    assert item.value.encode() == rb"caf\udce9"


def test_stored_parameters_nest_on_every_slash_and_stay_text() -> None:
    items = {"Args": {"lr": {"value": "0.1", "type": "float"}}, "General": {"opt/lr": {"value": "1"}, "opt/deep/x": {"value": "[1]"}}}
    assert as_nested_dict(items) == {"Args": {"lr": "0.1"}, "General": {"opt": {"lr": "1", "deep": {"x": "[1]"}}}}


@pytest.mark.parametrize("order", [("a", "a/b", "a/b/c", "x/y"), ("x/y", "a/b/c", "a/b", "a")])
def test_a_name_that_is_also_the_beginning_of_others_loses_nothing(order: tuple[str, ...]) -> None:
    nested = as_nested_dict({"General": {name: {"value": name.upper()} for name in order}})
    assert nested == {"General": {"a": "A", "a/b": "A/B", "a/b/c": "A/B/C", "x": {"y": "X/Y"}}}


names = st.text(min_size=1, max_size=6).filter(lambda text: text.strip() and "/" not in text and text.isprintable())
flat_names = st.lists(names, min_size=1, max_size=4).map("/".join)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=8)


@given(st.dictionaries(flat_names, st.text(max_size=5), max_size=8))
def test_what_is_nested_for_reading_flattens_to_the_same_names_and_texts(texts: dict[str, str]) -> None:
    nested = as_nested_dict({"General": {name: {"value": value} for name, value in texts.items()}})
    general = nested["General"]
    assert isinstance(general, dict)
    assert {item.name: item.value for item in flatten(general, section="General")} == texts


@given(st.dictionaries(names, values, max_size=5))
def test_every_item_of_a_request_is_text_that_can_be_encoded(parameters: dict[str, object]) -> None:
    for item in flatten(parameters, section="General"):
        assert all(isinstance(part, str) and part.encode().decode() == part for part in item.as_request().values())


@given(st.lists(values, max_size=4))
def test_a_list_is_read_back_from_its_json_as_it_was(value: list[object]) -> None:
    (item,) = flatten({"a": value}, section="General")
    assert json.loads(item.value) == value
