"""A parameter value as text and back: nothing that can be stored is lost, and what does not fit a type is refused."""

from __future__ import annotations

import math
from collections import OrderedDict, namedtuple
from datetime import UTC, date, datetime, time, timedelta, timezone
from enum import Enum, IntEnum
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atrains._wire.parameters import adopt, as_nested_dict, flatten
from atrains._wire.values import cast, decode, encode, parse
from atrains.errors import ValidationError


class Color(Enum):
    RED = "r"
    BLUE = "b"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


Pair = namedtuple("Pair", "first second")  # noqa: PYI024 - an untyped named tuple is what users have

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8).filter(str.strip) | st.sampled_from(
    ["a/b", "a.b", "$x", "x y", "ä/ö", "a//b"]
)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts
inner = st.recursive(scalars, lambda each: st.lists(each, max_size=3) | st.dictionaries(names, each, max_size=3), max_leaves=6)
zones = st.just(UTC) | st.integers(-12, 12).map(lambda hours: timezone(timedelta(hours=hours)))
leaves = (
    inner
    | st.lists(inner, max_size=3).map(tuple)
    | st.sampled_from([*Color, *Level])
    | st.lists(st.text("abc.-ä", min_size=1, max_size=4), max_size=3).map(lambda parts: Path(*parts))
    | st.dates()
    | st.datetimes(timezones=st.none() | zones)
    | st.times()
)
parameters = st.recursive(
    st.dictionaries(names, leaves, max_size=4), lambda each: st.dictionaries(names, leaves | each, max_size=3), max_leaves=6
).filter(lambda values: not clashes(values))


def clashes(values: dict[str, object]) -> bool:
    """Whether two of them have one flat name, which is refused."""
    try:
        flatten(values, section="General")
    except ValidationError:
        return True
    return False


def stored(values: dict[str, object]) -> dict[str, dict[str, str]]:
    """What a home has for them in the section General."""
    return {item.name: item.as_request() for item in flatten(values, section="General")}


def no_refusal(name: str, text: str, wanted: str) -> None:
    raise AssertionError(f"{name} = {text!r} was refused as {wanted}")


@given(leaves)
def test_a_value_comes_back_as_it_was_for_code_that_has_it_as_default(value: object) -> None:
    text, kind = encode(value, "General/a")
    if isinstance(value, dict):
        assert {str(key) for key in value} == set(parse(text))
    found = cast(text, value, kind)
    assert found == value
    assert type(found) is type(value)


@given(parameters)
def test_nested_parameters_come_back_as_they_were(values: dict[str, object]) -> None:
    assert adopt(values, stored(values), no_refusal) == values


@given(parameters, st.data())
def test_what_another_run_was_given_comes_back_in_its_types(values: dict[str, object], data: st.DataObject) -> None:
    """Values of a server take the place of those of the code, of the same types."""
    numbers = {name: value for name, value in values.items() if isinstance(value, int | float) and not isinstance(value, bool | Enum)}
    others = {name: data.draw(st.integers() if isinstance(value, int) else st.floats(allow_nan=False)) for name, value in numbers.items()}
    assert adopt(numbers, stored(dict(others)), no_refusal) == others


@given(parameters)
def test_parameters_as_nested_text_flatten_to_the_same_names_again(values: dict[str, object]) -> None:
    sections = {"General": stored(values)}
    flat = {f"General/{name}": item["value"] for name, item in sections["General"].items()}
    again = {
        f"{section}/{item.name}": item.value
        for section, items in as_nested_dict(sections).items()
        if isinstance(items, dict)
        for item in flatten(items, section=section)
    }
    assert again == flat


@pytest.mark.parametrize(
    ("text", "default", "expected"),
    [
        ("7", 1, 7),
        (" 7 ", 1, 7),
        ("-3", 1, -3),
        ("1e-3", 0.5, 0.001),
        ("7", 0.5, 7.0),
        ("inf", 0.5, math.inf),
        ("False", True, False),
        ("true", False, True),
        ("yes", False, True),
        ("0", True, False),
        ("2.0", False, True),
        ("7", "d", "7"),
        ("", "d", ""),
        ("", 1, None),
        ("", [1], None),
        ("[3, null]", [1], [3, None]),
        ("(7, 8)", (1, 2), (7, 8)),
        ("[7, 8]", (1, 2), (7, 8)),
        ("(1, None, 'a')", [], [1, None, "a"]),
        ("[a, 1e-3, true, ~, 'it''s', {b: x y}]", [], ["a", 0.001, True, None, "it's", {"b": "x y"}]),
        ('{"a": 1}', {"b": 2}, {"a": 1}),
        ("{'a': (1,)}", {"b": 2}, {"a": (1,)}),
        ("{a: [1, 2], b: {c: d}}", {}, {"a": [1, 2], "b": {"c": "d"}}),
        ("[1, b]", Pair(0, "a"), Pair(1, "b")),
        ("BLUE", Color.RED, Color.BLUE),
        ("Color.BLUE", Color.RED, Color.BLUE),
        ("b", Color.RED, Color.BLUE),
        ("HIGH", Level.LOW, Level.HIGH),
        ("c/d", PurePosixPath("a"), PurePosixPath("c/d")),
        ("2024-05-06", date(2020, 1, 1), date(2024, 5, 6)),
        ("2024-05-06 07:08:09", datetime(2020, 1, 1), datetime(2024, 5, 6, 7, 8, 9)),  # noqa: DTZ001
        ("07:08", time(1), time(7, 8)),
        ('{"x": 1}', OrderedDict(y=2), {"x": 1}),
    ],
)
def test_a_text_of_a_server_becomes_the_type_of_the_default(text: str, default: object, expected: object) -> None:
    found = cast(text, default)
    assert found == expected
    assert isinstance(found, type(expected))


@pytest.mark.parametrize(
    ("text", "default"),
    [
        ("2.5", 1), ("1e3", 1), ("seven", 1), ("x", 0.5), ("maybe", True), ("abc", [1]), ("{}", [1]), ("[1, 2", [1]), ("[1]", {"a": 1}),
        ("[1, 2]]", [1]), ("[1 : 2]", [1]), ("{a}", {"a": 1}), ('["a', [1]), ("GREEN", Color.RED), ("tomorrow", date(2020, 1, 1)),
        ("[]", 1), ("7", [7]),
    ],
)  # fmt: skip
def test_a_text_that_is_nothing_of_that_type_is_refused(text: str, default: object) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        cast(text, default)


@pytest.mark.parametrize(
    ("text", "kind", "declared", "expected"),
    [
        ("7", "", None, "7"),
        ("7", "int", None, 7),
        ("", "", None, None),
        ("", "int", int, None),
        ("7", "", int, 7),
        ("7", "int", str, "7"),
        ("a/b", "", Path, Path("a/b")),
        ("[1]", "list/int", None, [1]),
        ("[1, 2]", "int", None, [1, 2]),
    ],
)
def test_where_the_default_is_none_the_declared_or_the_stored_type_says_what_a_text_is(
    text: str, kind: str, declared: Any, expected: object
) -> None:
    assert cast(text, None, kind, declared) == expected


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ("1", "int", 1), ("x", "int", "x"), ("0.5", "float", 0.5), ("True", "bool", True), ("", "bool", None), ("", "str", ""),
        ("(1, 2)", "tuple", (1, 2)), ("[1, 2]", "tuple/int", (1, 2)), ("{'a': 1}", "dict", {"a": 1}), ("?[", "list", "?["),
        ("RED", "Color", "RED"), ("a", "legacy", "a"),
    ],
)  # fmt: skip
def test_a_stored_text_is_read_by_its_stored_type_and_stays_text_where_that_does_not_fit(text: str, kind: str, expected: object) -> None:
    assert decode(text, kind) == expected


def test_what_cannot_be_cast_keeps_the_default_and_is_named() -> None:
    refused: list[tuple[str, str, str]] = []
    values = {"a": 1, "n": {"x": [1]}, "s": "d"}
    held = stored({"a": "2.5", "n": {"x": "no list"}, "s": "7", "only": "1"})
    assert adopt(values, held, lambda *told: refused.append(told)) == {"a": 1, "n": {"x": [1]}, "s": "7"}
    assert refused == [("a", "2.5", "int"), ("n/x", "no list", "list")]


def test_the_check_of_the_other_clients() -> None:
    """Server: the same values, code and results as theirs."""
    held = {name: {"value": value} for name, value in {
        "a": "2.5", "b": "hello", "t": "False", "s": "7", "f": "1e-3", "n/x": "[3, null]", "n/y": "(7, 8)", "only": "1",
    }.items()}  # fmt: skip
    code = {"a": 1, "b": None, "n": {"x": [1, None], "y": (1, 2)}, "t": True, "s": "d", "new": 3, "f": 0.5}
    found = adopt(code, held, lambda *_: None)
    assert found == {"a": 1, "b": "hello", "n": {"x": [3, None], "y": (7, 8)}, "t": False, "s": "7", "new": 3, "f": 0.001}


def test_a_list_that_holds_itself_is_an_error() -> None:
    listed: list[object] = []
    listed.append(listed)
    with pytest.raises(ValidationError, match="holds itself"):
        encode(listed, "General/a")


@pytest.mark.parametrize("text", ["{[1]: 2}", "[" * 50_000, "{" * 50_000])
def test_a_text_that_no_value_can_be_made_of_stays_text(text: str) -> None:
    """Whoever edits a task can write anything: the programs that read it go on."""
    refused: list[str] = []
    assert decode(text, "dict") == text
    assert adopt({"a": {}, "b": [1]}, {"a": {"value": text}, "b": {"value": text}}, lambda name, *_: refused.append(name)) == {
        "a": {}, "b": [1],
    }  # fmt: skip
    assert refused == ["a", "b"]
