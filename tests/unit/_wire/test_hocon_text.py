"""Configuration dictionaries as text: whatever is written reads back equal, and is text that people can edit."""

from __future__ import annotations

import json
import math
import os
from collections import OrderedDict
from datetime import date, timedelta
from enum import Enum
from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from atrains._config.hocon import parse_text
from atrains._wire.hocon_text import write
from atrains.errors import ConfigurationError, UnsupportedTypeError, ValidationError

EXAMPLES = 1000 if os.environ.get("ATRAINS_SOAK") == "1" else 80  # the parser takes 10 ms and more for each
AWKWARD = (
    *(
        "",
        " ",
        ".",
        "a.b",
        "a b",
        "a/b",
        "include",
        "null",
        "true",
        "1",
        "-1",
        "1e5",
        "10 days",
        "5 m",
        "${HOME}",
        "${?x}",
        "$",
        "#x",
        "//x",
    ),
    *("{", "}", "[", "]", "=", ":", ",", "+=", '"', '"""', "'", "\\", "\\n", "\\u0041", "\n", "\t", "\r\n", " x ", "é", "😀", "\u2028"),
    *("//x", "\xa0", "\0", "\x07", "\x7f", "\ud800", "url(x)", 'include "x"', "a\n#b", "()", "*", "&", "!", "@", "`", "^", "?", "a = 1"),
)
texts = st.sampled_from(AWKWARD) | st.text(max_size=8) | st.lists(st.sampled_from(AWKWARD), max_size=4).map("".join)
leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
words = st.text("abc-_.é 1$", min_size=1, max_size=6)
CALM = st.dictionaries(
    words,
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text('ab.\n\t"\\${}#é/', min_size=1),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4),
        max_leaves=12,
    ),
    max_size=5,
)
"""What is written as HOCON, and never as JSON."""
WILD = st.dictionaries(
    texts,
    st.recursive(leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=12),
    max_size=5,
)


def read(text: str) -> dict[str, Any]:
    return parse_text(text, "the text", {"HOME": "/nowhere", "a": "b"})


def exactly(value: object) -> object:
    """A value in which 1, 1.0 and True, and 0.0 and -0.0, differ."""
    if isinstance(value, dict):
        return {key: exactly(item) for key, item in value.items()}
    return [exactly(item) for item in value] if isinstance(value, list) else (type(value), repr(value))


@given(CALM)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example({"a": {}, "b": [], "c": [[]], "d": [{}], "e": {"f": {"g": None}}, "h": [None, [None]], "i": [{"a": 1}, {"a": 2}]})
@example({"big": 10**30, "small": 5e-324, "large": 1.7e308, "minus": -0.0, "exponent": 1e22})
def test_hocon_reads_back_equal(configuration: dict[str, Any]) -> None:
    text = write(configuration)
    assert not text.startswith("{")
    assert exactly(read(text)) == exactly(configuration)


@given(WILD)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example({'say "so"': 1, "back\\slash": 2, "": 3, "line\nend": ["", "\0", "\ud800"]})
def test_whatever_json_can_say_reads_back_equal(configuration: dict[str, Any]) -> None:
    text = write(configuration)
    text.encode()  # it can be sent
    assert exactly(read(text)) == exactly(configuration)


def test_the_text_is_one_that_people_edit() -> None:
    layers = [{"kind": "conv", "size": 3}, {"kind": "pool"}]
    configuration = {"a": 1, "b": {"c": [1, 2], "n": None}, "s": "x y", "a.b": 'say "so"\n', "empty": {}, "layers": layers, "on": True}
    assert write(configuration) == (
        'a = 1\nb {\n  c = [1, 2]\n  n = null\n}\ns = "x y"\n"a.b" = "say \\"so\\"\\n"\nempty = {}\n'
        'layers = [\n  {\n    kind = "conv"\n    size = 3\n  },\n  {\n    kind = "pool"\n  }\n]\non = true\n'
    )
    assert read(write(configuration)) == configuration
    long = {"names": [f"number {number}" for number in range(20)]}
    assert len(write(long).splitlines()) == 22
    assert read(write(long)) == long
    assert write({}) == ""
    assert read("") == read(" \n") == {}


def test_what_people_make_of_it_is_understood() -> None:
    edited = """
    # by hand
    model: { layers: 3, name: resnet }   // a comment
    model.layers = 4
    paths = [ ${?HOME}"/data", plain text ]
    text = \"\"\"two
lines\"\"\"
    nothing = null
    often = 90 s
    """
    expected: dict[str, Any] = {
        "model": {"layers": 4, "name": "resnet"},
        "paths": ["/nowhere/data", "plain text"],
        "text": "two\nlines",
        "nothing": None,
    }
    expected["often"] = timedelta(seconds=90)
    assert read(edited) == expected
    assert type(read(edited)["model"]) is dict
    assert read('{"a": {"b": 1}, "a": {"c": 2}}') == {"a": {"b": 1, "c": 2}}
    assert read('{"é": "\\u00e9\\u0001"}') == {"é": "é\x01"}


class Colour(Enum):
    RED = 1


def test_other_kinds_become_plain() -> None:
    class Name(str):
        __slots__ = ()

        def __str__(self) -> str:
            return "wrong"

    given = OrderedDict(
        {1: (1, 2), Name("name"): Name("value"), "c": Colour.RED, "p": PurePosixPath("/x"), "d": date(2020, 1, 2), None: True}
    )
    assert read(write(given)) == {"1": [1, 2], "name": "value", "c": "RED", "p": "/x", "d": "2020-01-02", "None": True}
    shared = [1]
    assert read(write({"a": shared, "b": shared})) == {"a": [1], "b": [1]}


def test_what_cannot_be_written_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedTypeError, match=r"a\.b\[1\] .* of type object, .*str, int"):
        write({"a": {"b": [1, object()]}})
    for number in (math.nan, math.inf, -math.inf):
        with pytest.raises(ValidationError, match=r"a\.b .* has no HOCON form"):
            write({"a": {"b": number}})
    with pytest.raises(ValidationError, match=r"two keys .*'a\.1'"):
        write({"a": {1: 0, "1": 0}})
    circle: dict[str, Any] = {}
    circle["a"] = [circle]
    with pytest.raises(ValidationError, match=r"a\[0\] .* holds itself"):
        write(circle)


def test_a_malformed_text_says_where() -> None:
    with pytest.raises(ConfigurationError, match="the text, line 2"):
        read("a = 1\nb = {\n")
    with pytest.raises(ConfigurationError, match="the text, line 1: a list"):
        read(json.dumps([1]))
