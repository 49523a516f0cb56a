"""What of a parser is a parameter, and back; and that a parser with atrains gives what it gives without, whatever it is like."""

from __future__ import annotations

import argparse
import contextlib
import copy
import io
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atrains._connect import arguments, parsing
from atrains._wire.parameters import HyperParameter

Held = dict[str, dict[str, str]]


class Noting:
    """A recorder, with everything that it is told."""

    def __init__(self, held: Mapping[str, Mapping[str, str]] | None = None) -> None:
        self.held = held
        self.items: dict[str, HyperParameter] = {}
        self.refused: list[str] = []
        self.remarks: list[str] = []

    def held_parameters(self, section: str) -> Mapping[str, Mapping[str, str]] | None:
        assert section == "Args"
        return self.held

    def record_parameters(self, items: Sequence[HyperParameter]) -> None:
        self.items.update({item.name: item for item in items})

    def refuse_parameter(self, section: str, name: str, text: str, wanted: str) -> None:
        assert section == "Args"
        assert text or wanted
        self.refused.append(name)

    def remark(self, text: str) -> None:
        self.remarks.append(text)


def held_of(**texts: str) -> Held:
    return {name: {"section": "Args", "name": name, "value": text} for name, text in texts.items()}


def parsed(parser: argparse.ArgumentParser, line: Sequence[str], method: str = "parse_known_args") -> tuple[Any, Any]:
    """What a parse gives, or how it ends the program."""
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(errors):
        try:
            return getattr(parser, method)(list(line)), None
        except SystemExit as end:
            return None, (end.code, errors.getvalue())
        except TypeError as error:  # of `parse_intermixed_args`, which does not take every parser
            return None, str(error)


TYPES: dict[str, Any] = {
    "none": None,
    "int": int,
    "float": float,
    "str": str,
    "bool": bool,
    "csv": lambda text: [int(part) for part in text.split(",")],
    "upper": str.upper,
}
ACTIONS = ["store", "store_true", "store_false", "store_const", "append", "append_const", "count", "extend", "boolean"]
SCALARS = [None, 1, 0.5, "1", "X", True]
LISTS = [[1], ["X"], []]
DEFAULTS: dict[str, list[Any]] = {"count": [None, 1], **{name: [None, *LISTS] for name in ("append", "append_const", "extend")}}
TOKENS = st.sampled_from(
    ["1", "2", "0.5", "x", "a,b", "1,2", "true", "", "--a0", "--a1", "--a2", "--no-a1", "-v", "one", "two", "--", "--a1=3"]
)


@st.composite
def an_argument(draw: st.DrawFn, name: str) -> tuple[list[str], dict[str, Any]]:
    """What `add_argument` may be called with."""
    positional = draw(st.booleans())
    action = "store" if positional else draw(st.sampled_from(ACTIONS))
    found: dict[str, Any] = {} if positional else {"dest": name}
    if action != "store":
        found["action"] = argparse.BooleanOptionalAction if action == "boolean" else action
    if action in {"store_const", "append_const"}:
        found["const"] = draw(st.sampled_from([1, "c", None, True]))
    if action in {"store", "append", "extend"}:
        found |= draw(a_type(action))
    if draw(st.booleans()):
        found["default"] = draw(st.sampled_from(DEFAULTS.get(action, [*SCALARS, *LISTS, argparse.SUPPRESS])))
    if not positional and draw(st.booleans()):
        found["required"] = True
    if draw(st.booleans()):
        found["help"] = draw(st.sampled_from(["what it is (%(default)s)", "100 %", argparse.SUPPRESS]))
    return [name] if positional else [f"--{name}"], found


@st.composite
def a_type(draw: st.DrawFn, action: str) -> dict[str, Any]:
    # For lists none of those whose values are another one's texts: a default that is no value of the type would come back as one.
    kind = TYPES[draw(st.sampled_from([name for name in TYPES if action == "store" or name not in {"bool", "csv"}]))]
    nargs = draw(st.sampled_from(["*", "+"] if action == "extend" else [None, "?", "*", "+", 1, 2]))
    choices = {"choices": [1, 2, 3]} if kind is int and draw(st.booleans()) else {}
    return {"type": kind, **({} if nargs is None else {"nargs": nargs}), **choices}


@st.composite
def makers(draw: st.DrawFn) -> Any:
    """A function that makes the same parser each time, or raises what argparse says to it."""
    top = [draw(an_argument(f"a{number}")) for number in range(draw(st.integers(0, 3)))]
    grouped = [draw(an_argument(f"g{number}")) for number in range(draw(st.integers(0, 2)))]
    commands = {name: [draw(an_argument(f"a{number + 2}")) for number in range(draw(st.integers(0, 2)))]
                for name in draw(st.sampled_from([(), ("one",), ("one", "two")]))}  # fmt: skip
    named = draw(st.sampled_from([{}, {"dest": "command"}, {"title": "commands"}, {"dest": "command", "required": True}]))
    is_required = draw(st.booleans())

    def make() -> argparse.ArgumentParser:
        parser = argparse.ArgumentParser(prog="p")
        for names, options in copy.deepcopy(top):
            parser.add_argument(*names, **options)
        if grouped:
            group = parser.add_mutually_exclusive_group(required=is_required)
            for names, options in copy.deepcopy(grouped):
                group.add_argument(*names, **{key: value for key, value in options.items() if key != "required"})
        if commands:
            inner = parser.add_subparsers(**named)
            for name, chosen in commands.items():
                command = inner.add_parser(name)
                command.set_defaults(kind=name)
                for names, options in copy.deepcopy(chosen):
                    command.add_argument(*names, **options)
        return parser

    return make


def make_valid(make: Any) -> argparse.ArgumentParser | None:
    try:
        parser: argparse.ArgumentParser = make()
    except (TypeError, ValueError, argparse.ArgumentError):
        return None
    return parser


@pytest.fixture(autouse=True)
def nothing_connected() -> Any:
    parsing.install()
    parsing.forget()
    yield
    parsing.forget()


@settings(deadline=None, max_examples=400)
@given(
    makers(),
    st.lists(TOKENS, max_size=6),
    st.sampled_from(["parse_known_args", "parse_args", "parse_intermixed_args", "parse_known_intermixed_args"]),
)
def test_a_parse_gives_what_it_gives_without(make: Any, line: list[str], method: str) -> None:
    """Whatever the parser and the command line are like, and whether or not there is a run that it is connected to."""
    if make_valid(make) is None:
        return
    parsing.remove()
    expected = parsed(make(), line, method)
    parsing.install()
    parsing.forget()
    assert parsed(make(), line, method) == expected
    recorder = Noting()
    parsing.begin(recorder, True)
    assert parsed(make(), line, method) == expected
    recorder = Noting({})
    parsing.begin(recorder, True)
    assert parsed(make(), line, method) == expected
    assert recorder.remarks == []


def state_of(parser: argparse.ArgumentParser) -> list[tuple[object, bool]]:
    return [(named.action.default, named.action.required) for named in arguments.walk(parser)]


@settings(deadline=None, max_examples=400)
@given(makers(), st.lists(TOKENS.filter(lambda token: token != "--"), max_size=6))  # of which argparse 3.11 makes values of no type
def test_what_was_stored_comes_back_as_it_was(make: Any, line: list[str]) -> None:
    """A run that an agent repeats without a command line has the values of the run that was stored, and its parser is as it was."""
    if make_valid(make) is None:
        return
    parsing.forget()
    source = Noting()
    parsing.begin(source, True)
    result, ended = parsed(make(), line)
    if ended is not None:
        return
    first = {name: meaning(value) for name, value in vars(result[0]).items()}
    parsing.forget()
    agent = Noting({name: item.as_request() for name, item in source.items.items()})
    parsing.begin(agent, True)
    parser = make()
    before = state_of(parser)
    repeated, ended = parsed(parser, [])
    assert state_of(parser) == before
    assert agent.remarks == []
    if ended is None and not agent.refused:
        again = {name: meaning(value) for name, value in vars(repeated[0]).items()}
        if "kind" in first:  # a command: without text its arguments keep their defaults
            again = {name: value for name, value in again.items() if first.get(name) != ""}
            first = {name: value for name, value in first.items() if value != ""}
        assert again == first


def meaning(value: object) -> object:
    """A value as far as its text tells it: an argument without a type is cast to that of its default, and no text is None."""
    if isinstance(value, list):
        return [meaning(item) for item in value]
    text = arguments.text_of(value)
    try:
        return float({"true": "1", "false": "0"}.get(text.lower(), text))
    except ValueError:
        return text


def an_action(**options: Any) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    parser.add_argument("--x", **options)
    return parser


@pytest.mark.parametrize(
    ("options", "text", "expected"),
    [
        ({"type": int}, "7", 7),
        ({"type": int, "default": 1}, "", None),
        ({"type": float, "default": 1.0}, "1e-3", 0.001),
        ({"default": 5}, "6", 6),
        ({"default": 0.5}, "6", 6.0),
        ({"default": 5}, "6.0", 6),
        ({"default": 5}, "6.5", 6.5),
        ({"default": 5}, "auto", "auto"),
        ({"default": 5}, "", None),
        ({"default": 0.5}, "auto", "auto"),
        ({"default": False}, "runs/last.pt", "runs/last.pt"),
        ({"default": False, "nargs": "?", "const": True}, "True", True),
        ({"nargs": "?", "const": True}, "True", True),
        ({"nargs": "?", "const": True}, "runs/last.pt", "runs/last.pt"),
        ({"nargs": "+", "default": [1]}, '["3", "x"]', [3, "x"]),
        ({"default": "a"}, "", ""),
        ({}, "text", "text"),
        ({"type": bool, "default": False}, "true", True),
        ({"type": bool, "default": True}, "0", False),
        ({"action": "store_true"}, "yes", True),
        ({"action": "store_false"}, "False", False),
        ({"action": "store_const", "const": 7}, "7", 7),
        ({"action": "count", "default": 0}, "3", 3),
        ({"action": "append"}, '["a", "b"]', ["a", "b"]),
        ({"action": "append", "type": int}, "[1, 2]", [1, 2]),
        ({"action": "append", "nargs": 2, "type": int}, "[[1, 2], [3, 4]]", [[1, 2], [3, 4]]),
        ({"nargs": "+", "type": float}, "[1, 2.5]", [1.0, 2.5]),
        ({"nargs": "*"}, "[a, b]", ["a", "b"]),
        ({"nargs": 2, "type": int}, "(1, 2)", [1, 2]),
        ({"nargs": "*", "default": [1]}, "[2, 3]", [2, 3]),
        ({"type": str.upper}, "abc", "ABC"),
        ({"choices": ["a", "b"]}, "b", "b"),
        ({"action": argparse.BooleanOptionalAction}, "False", False),
    ],
)
def test_a_stored_text_becomes_the_value_that_the_command_line_would_give(options: dict[str, Any], text: str, expected: object) -> None:
    recorder = Noting(held_of(x=text))
    parsing.begin(recorder, True)
    value = an_action(**options).parse_args([]).x
    assert (value, type(value)) == (expected, type(expected))
    assert recorder.refused == recorder.remarks == []


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"type": int, "default": 1}, "2.5"),
        ({"type": int, "default": 1}, "x"),
        ({"default": 1, "choices": [1, 2]}, "x"),
        ({"choices": ["a", "b"], "default": "a"}, "c"),
        ({"nargs": 2, "type": int}, "[1]"),
        ({"nargs": "+", "type": int}, "[1, x]"),
        ({"nargs": "+", "type": int, "choices": [1, 2]}, "[1, 3]"),
        ({"nargs": "+"}, "abc"),
        ({"action": "store_true"}, "perhaps"),
        ({"action": "count", "default": 0}, "many"),
        ({"action": "append"}, "[a"),
    ],
)
def test_a_text_that_does_not_fit_is_refused_by_name(options: dict[str, Any], text: str) -> None:
    recorder = Noting(held_of(x=text))
    expected = an_action(**options).parse_args([]).x
    parsing.begin(recorder, True)
    assert an_action(**options).parse_args([]).x == expected
    assert recorder.refused == ["x"]


@pytest.mark.parametrize("held", ['["a", "b"]', "[]"])
@pytest.mark.parametrize("options", [{"nargs": "*"}, {"nargs": "*", "choices": ["a", "b"]}, {"nargs": argparse.REMAINDER}])
def test_a_list_without_a_dash_comes_back(options: dict[str, Any], held: str) -> None:
    """Where the command line has nothing of it argparse makes it an empty list, and takes no default for that."""

    def parser() -> argparse.ArgumentParser:
        made = argparse.ArgumentParser()
        made.add_argument("x", **options)
        return made

    recorder = Noting(held_of(x=held))
    parsing.begin(recorder, True)
    expected = ["a", "b"] if held != "[]" else []
    assert parser().parse_args([]).x == expected
    assert parser().parse_args(["b"]).x == ["b"]
    outer = argparse.ArgumentParser()
    outer.add_subparsers(dest="command").add_parser("train").add_argument("x", **options)
    parsing.forget()
    recorder.held = held_of(x=held, command="train")
    parsing.begin(recorder, True)
    assert vars(outer.parse_args([])) == vars(outer.parse_args(["train"])) == {"command": "train", "x": expected}
    assert recorder.refused == recorder.remarks == []


def test_a_list_without_a_dash_comes_back_that_was_parsed_before_the_run() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("x", nargs="*")
    result = parser.parse_args([])
    parsing.begin(Noting(held_of(x="[a, b]")), True)
    assert result.x == ["a", "b"]


def test_a_list_without_a_dash_is_refused_where_it_is_no_choice() -> None:
    recorder = Noting(held_of(x="[c]"))
    parsing.begin(recorder, True)
    parser = argparse.ArgumentParser()
    parser.add_argument("x", nargs="*", choices=["a", "b"])
    assert parser.parse_args([]).x == []
    assert recorder.refused == ["x"]


def test_what_is_required_is_not_where_the_task_has_a_value(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("place")
    parser.add_argument("--n", type=int, required=True)
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("--a")
    group.add_argument("--b")
    parsing.begin(Noting(held_of(place="here", n="1", b="2")), True)
    assert vars(parser.parse_args([])) == {"place": "here", "n": 1, "a": None, "b": "2"}
    parsing.begin(Noting(held_of(place="here", b="2")), True)
    with pytest.raises(SystemExit):
        parser.parse_args([])
    assert "required: --n" in capsys.readouterr().err
    parsing.begin(Noting(None), True)
    with pytest.raises(SystemExit):
        parser.parse_args(["--n", "1"])
    assert "required: place" in capsys.readouterr().err


def test_a_namespace_that_the_program_brings_gets_the_values_of_the_task() -> None:
    parsing.begin(Noting(held_of(x="2")), True)
    given = argparse.Namespace(x=1, other=3)
    assert an_action(type=int).parse_args([], given) is given
    assert (given.x, given.other) == (2, 3)
    assert an_action(type=int).parse_args(["--x", "5"], argparse.Namespace(x=1)).x == 5


def test_the_command_line_of_an_earlier_step_wins_over_the_task() -> None:
    parsing.begin(Noting(held_of(x="2", y="3")), True)
    parser = an_action(type=int)
    parser.add_argument("--y", type=int)
    result, rest = parser.parse_known_args(["--x", "5", "--z"])
    assert rest == ["--z"]
    parser.add_argument("--z", action="store_true")
    for _ in range(2):
        assert vars(parser.parse_args(rest, result)) == {"x": 5, "y": 3, "z": True}


def test_a_file_is_opened_once_and_only_if_it_is_meant(tmp_path: Any) -> None:
    held, given = tmp_path / "held.txt", tmp_path / "given.txt"
    held.write_text("kept")
    parsing.begin(Noting(held_of(x=str(held))), True)
    with pytest.warns(PendingDeprecationWarning) if hasattr(argparse, "_never") else contextlib.nullcontext():
        parser = an_action(type=argparse.FileType("w"))
    parser.parse_args(["--x", str(given)]).x.close()
    assert held.read_text() == "kept"
    parser.parse_args([]).x.close()
    assert held.read_text() == ""


def test_only_the_last_parses_are_kept() -> None:
    parsers = [an_action(type=int) for _ in range(20)]
    results = [parser.parse_args(["--x", str(number)]) for number, parser in enumerate(parsers)]
    assert parsing.last_parse(results[0]) is None
    assert parsing.last_parse(results[-1]) is parsing.last_parse(parsers[-1]) is not None
    again = parsers[-1].parse_args([])
    assert parsing.last_parse(results[-1]) is None
    assert parsing.last_parse(again) is not None


def test_dests_that_stand_for_no_parameter_are_left_out() -> None:
    recorder = Noting()
    parsing.begin(recorder, True)
    parser = argparse.ArgumentParser()
    parser.add_argument("--version", action="version", version="1")
    parser.add_argument("--left-out", default=argparse.SUPPRESS)
    parser.set_defaults(function=print, number=3, _private=1)
    parser.parse_args([])
    assert {name: item.value for name, item in recorder.items.items()} == {"number": "3"}
