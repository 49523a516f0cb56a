"""The arguments of an argparse parser as parameters, and parameters as values of its arguments. Touches no more than one parser's objects.

When a parser is looked at, and what becomes of it then, is in `parsing`. Imports what is cheap alone: a program that never begins a run
comes here, too.
"""

from __future__ import annotations

import argparse
import contextlib
from argparse import SUPPRESS, Action, ArgumentParser
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

SECTION: Final = "Args"

Refuse: TypeAlias = Callable[[str, str, str], None]
"""Told of a value that is not taken: the argument's name, the text, and what is wanted."""
Held: TypeAlias = "Mapping[str, Mapping[str, str]]"
"""What a task holds for arguments, by name."""

_MISSING: Final = object()
_SCALARS: Final = (str, int, float, bool, type(None))
_LISTS: Final = (list, tuple)
_APPENDING: Final = (argparse._AppendAction, argparse._AppendConstAction)  # noqa: SLF001  # argparse has no other names for them
_PRINTING: Final = (argparse._HelpAction, argparse._VersionAction)  # noqa: SLF001
_FLAG: Final = argparse._StoreConstAction  # noqa: SLF001
_COMMANDS: Final = argparse._SubParsersAction  # noqa: SLF001


class _OrNothing(list[Any]):
    """Choices beside which there may be none: until Python 3.12 argparse looks for the empty list among them."""

    def __contains__(self, value: object) -> bool:
        return value == [] or super().__contains__(value)


class Named(NamedTuple):
    """An action, the parser that it is of, and the name that its parameter has."""

    owner: ArgumentParser
    action: Action
    name: str


class Seen(NamedTuple):
    """What is known of a parse beside its namespace; holds nothing of the program.

    Attributes:
        given: The names of the arguments that the command line gave.
        tokens: What stood there for those whose type is the program's own, by name, each with the `id` of the value that it became.
        chosen: The names of the commands that were run, by the `id` of their parsers.
    """

    given: frozenset[str]
    tokens: Mapping[str, tuple[int, object]]
    chosen: Mapping[int, str]


class Argument(NamedTuple):
    """An argument with its value.

    Attributes:
        value: What the namespace has, or its text on the command line where the type is the program's own.
        type: The name of the type; "" where the value tells it.
    """

    name: str
    value: Any
    type: str
    description: str


def walk(parser: ArgumentParser, first: Mapping[int, str] | None = None) -> Iterator[Named]:
    """Go through the actions of a parser, and those of its commands, each name once.

    Args:
        parser: The parser.
        first: The commands, by `id` of their parsers, that come before others: of two actions of one name it is theirs.
    """
    names: set[str] = set()
    for owner, action in _walk(parser, first or {}):
        name = action.dest
        if isinstance(action, _COMMANDS) and name == SUPPRESS:
            name = _unnamed(parser)[id(action)]
        if name != SUPPRESS and name not in names and not isinstance(action, _PRINTING):
            names.add(name)
            yield Named(owner, action, name)


def _walk(parser: ArgumentParser, first: Mapping[int, str]) -> Iterator[tuple[ArgumentParser, Action]]:
    commands: list[Any] = []
    for action in parser._actions:  # noqa: SLF001  # argparse tells them nowhere else
        yield parser, action
        if isinstance(action, _COMMANDS):
            commands += [each for each in action.choices.values() if each not in commands]
    for command in sorted(commands, key=lambda each: id(each) not in first):
        yield from _walk(command, first)


def _unnamed(parser: ArgumentParser) -> dict[int, str]:
    """The names for the choice of a command where the program has none: what the official clients call them."""
    names: dict[int, str] = {}
    count = 0
    for owner, action in _walk(parser, {}):
        if isinstance(action, _COMMANDS) and action.dest == SUPPRESS:
            group = owner._subparsers  # noqa: SLF001
            title = group.title if group is not None and group is not owner._positionals else None  # noqa: SLF001
            count += not title
            names[id(action)] = f"/{title}" if title else f"/subparser{count}"
    return names


def see(
    parser: ArgumentParser, namespace: object, converted: Iterable[tuple[Action, str, object]], parsers: Iterable[ArgumentParser]
) -> Seen:
    """Note how a parse came to its result.

    Args:
        parser: The parser.
        namespace: Its result.
        converted: The texts that were converted in it, each with its action and what it became.
        parsers: The parsers of the commands that were run.
    """
    ran = {id(each) for each in parsers}
    commands = [action for _, action in _walk(parser, {}) if isinstance(action, _COMMANDS)] if ran else []
    chosen = {id(each): str(name) for action in reversed(commands) for name, each in reversed(action.choices.items()) if id(each) in ran}
    texts: dict[int, list[tuple[str, object]]] = {}
    for action, text, value in converted:
        texts.setdefault(id(action), []).append((text, value))
    given, tokens, values = set(), {}, vars(namespace)
    for named in walk(parser, chosen):
        action, name = named.action, named.name
        value = values.get(action.dest, _MISSING)
        of_action = texts.get(id(action), [])
        if isinstance(action, _COMMANDS):
            if any(id(each) in chosen for each in action.choices.values()):
                given.add(name)
        elif any(text is not action.default for text, _ in of_action) or (
            not (value is _MISSING or of_action or _is_same(value, action.default) or (value == [] and _comes_after(action)))
        ):
            given.add(name)
        token = _token(value, of_action)
        if token is not None and not _is_builtin(action):
            tokens[name] = id(value), token
    return Seen(frozenset(given), tokens, chosen)


def arguments_of(parser: ArgumentParser, namespace: object, seen: Seen) -> Iterator[Argument]:
    """Go through the arguments of a parser with their values, then what else the namespace holds of plain values."""
    values = dict(vars(namespace))
    for owner, action, name in walk(parser, seen.chosen):
        default = None if action.default is SUPPRESS else action.default
        value = values.pop(action.dest, _MISSING)
        if isinstance(action, _COMMANDS):
            command = next((seen.chosen[id(each)] for each in action.choices.values() if id(each) in seen.chosen), None)
            value = command if value is _MISSING else value
        elif value is _MISSING:  # of a command that was not run, or left out on purpose
            if action.default is SUPPRESS:
                continue
            value = default
        noted, token = seen.tokens.get(name, (0, None))
        if token is not None and noted == id(value):
            value = token
        yield Argument(name, None if callable(value) else value, _type_of(action), _description_of(owner, action))
    for name, value in values.items():
        if is_plain(value) and not name.startswith("_"):
            yield Argument(name, value, "", "")


def is_plain(value: object) -> bool:
    """Whether a value is nothing but text and numbers."""
    return type(value) in _SCALARS or (type(value) in _LISTS and all(map(is_plain, value)))  # type: ignore[call-overload]


@contextlib.contextmanager
def overridden(parser: ArgumentParser, held: Held, refuse: Refuse) -> Iterator[dict[str, object]]:
    """Give a parser the values that a task holds as its defaults, for one parse; what has one is not required then.

    Yields:
        The new defaults of the parser's own arguments, by their place in a namespace.
    """
    changed: list[tuple[Any, str, object, object]] = []
    defaults: dict[str, object] = {}

    def change(thing: Any, field: str, value: object) -> None:
        changed.append((thing, field, getattr(thing, field), value))
        setattr(thing, field, value)

    try:
        lifted = set()
        for owner, action, name in walk(parser):
            text = _text(held, name)
            if text is None or (not text and (owner is not parser or _comes_after(action))):
                continue  # the official clients store no values for commands that are not run
            if _comes_after(action):
                for field, value in _as_left_out(action).items():
                    change(action, field, value)
                continue
            taken, value = _read(owner, action, name, text, refuse, default=action.default, is_lazy=True)
            if not taken:
                continue
            lifted.add(id(action))
            change(action, "required", False)
            change(action, "default", value)
            if owner is parser:
                defaults[action.dest] = value
        for group in _groups_with(parser, lifted):
            change(group, "required", False)
        yield defaults
    finally:
        for thing, field, before, own in reversed(changed):
            if getattr(thing, field) is own:
                setattr(thing, field, before)


def _groups_with(parser: ArgumentParser, actions: Container[int]) -> Iterator[object]:
    """The groups, of which a command line gives one argument, that hold one of some actions, which are known by `id`."""
    for owner in {id(named.owner): named.owner for named in walk(parser)}.values():
        for group in owner._mutually_exclusive_groups:  # noqa: SLF001
            if any(id(action) in actions for action in group._group_actions):  # noqa: SLF001
                yield group


def fill(parser: ArgumentParser, namespace: object, held: Held, seen: Seen, refuse: Refuse) -> None:
    """Give a namespace, after its parse, what defaults do not bring: the arguments of the command that the task names, and open lists.

    Call it while the parser is `overridden`.
    """
    for owner, action, name in walk(parser, seen.chosen):
        text = _text(held, name)
        if not text or not _comes_after(action) or name in seen.given or (owner is not parser and id(owner) not in seen.chosen):
            continue
        if not isinstance(action, _COMMANDS):
            taken, value = _read(owner, action, name, text, refuse, default=action.default, is_lazy=False)
            if taken:
                setattr(namespace, action.dest, value)
            continue
        text = _command_of(text)
        command = action.choices.get(text)
        missing = [] if command is None else [each.dest for each in command._actions if each.required]  # noqa: SLF001
        if command is None or missing:
            wanted = f"command that needs no {', '.join(missing)}" if missing else f"one of {', '.join(action.choices)}"
            refuse(name, text, wanted)
            continue
        inner, _ = command.parse_known_args([], None)
        fill(command, inner, held, Seen(frozenset(), {}, {}), refuse)
        if action.dest != SUPPRESS:
            setattr(namespace, action.dest, text)
        for key, value in vars(inner).items():
            setattr(namespace, key, value)


def patch(parser: ArgumentParser, namespace: object, held: Held, seen: Seen, refuse: Refuse) -> None:
    """Give a namespace the values that a task holds, but for what the command line gave: its parse came before the task."""
    values = vars(namespace)
    for owner, action, name in walk(parser, seen.chosen):
        text = _text(held, name)
        if text is None or name in seen.given or action.dest not in values or _comes_after(action):
            continue
        if not text and owner is not parser:
            continue  # as in `overridden`
        taken, value = _read(owner, action, name, text, refuse, default=values[action.dest], is_lazy=False)
        if taken:
            setattr(namespace, action.dest, value)
    with overridden(parser, held, lambda *_: None):
        fill(parser, namespace, held, seen, refuse)


def text_of(value: object) -> str:
    """The text that is stored for the value of an argument."""
    from atrains._wire.values import encode
    from atrains.errors import UnsupportedTypeError, ValidationError

    if callable(value):
        return ""
    try:
        return encode(value, SECTION)[0]
    except (UnsupportedTypeError, ValidationError):
        return str(value)


def _text(held: Held, name: str) -> str | None:
    item = held.get(name)
    return None if item is None else item.get("value") or ""


def _command_of(text: str) -> str:
    """The name of a command: the official clients store what stands behind it on the command line, too, as a list."""
    from atrains._wire.values import parse

    try:
        parts = parse(text) if text.startswith("[") else None
    except ValueError:
        return text
    return str(parts[0]) if isinstance(parts, list) and parts else text


def _is_same(value: object, default: object) -> bool:
    """Whether a value is the default; of what is not plain only the same object is, since `==` may be anything."""
    return value is default or (is_plain(value) and is_plain(default) and value == default)


def _token(value: object, texts: list[tuple[str, object]]) -> object:
    """What stood on the command line for a value, which for a list is a list; None where it came in another way."""
    if texts and texts[-1][1] is value:
        return texts[-1][0]
    if not isinstance(value, list) or not texts:
        return None
    found = {id(became): text for text, became in texts}
    return [found.get(id(item), item) for item in value] if all(is_plain(item) or id(item) in found for item in value) else None


def _is_builtin(action: Action) -> bool:
    """Whether values of an action are stored as they are; the texts of all others mean more to the program's own type."""
    return action.type is None or any(action.type is kind for kind in _SCALARS)


def _type_of(action: Action) -> str:
    if isinstance(action, argparse.BooleanOptionalAction):
        return "bool"
    if isinstance(action, _FLAG):
        return "" if action.const is None else type(action.const).__name__
    name = action.type if isinstance(action.type, str) else getattr(action.type, "__name__", "")
    return name if action.type is not None and isinstance(name, str) and name.isidentifier() else ""


def _description_of(owner: ArgumentParser, action: Action) -> str:
    if action.help is not None:
        if action.help == SUPPRESS:
            return ""
        try:
            return action.help % {**vars(action), "prog": owner.prog}
        except (TypeError, ValueError, KeyError):  # argparse itself would only say so in its help
            return action.help
    parts = [f"choices: {', '.join(map(str, action.choices))}"] if action.choices is not None else []
    if action.default is not None and action.default is not SUPPRESS and is_plain(action.default):
        parts.append(f"default: {action.default}")
    return "; ".join(parts)


def _read(
    owner: ArgumentParser, action: Action, name: str, text: str, refuse: Refuse, *, default: object, is_lazy: bool
) -> tuple[bool, object]:
    """Whether an action takes a stored text, and the value that it is then; what is not taken, and not the default, is refused by name."""
    default = None if default is SUPPRESS else default
    if text == text_of(default):
        return bool(text) or default is not None, default
    try:
        value = _value_of(owner, action, text, default, is_lazy=is_lazy)
    except Exception:  # the program's own types may raise anything: argparse would end the program  # noqa: BLE001
        kinds = _type_of(action) or (type(default).__name__ if default is not None else "str")
        refuse(name, text, f"one of {', '.join(map(str, action.choices))}" if action.choices is not None else kinds)
        return False, None
    return True, value


def _value_of(owner: ArgumentParser, action: Action, text: str, default: object, *, is_lazy: bool) -> object:
    from atrains._wire.values import cast

    if isinstance(action, argparse.BooleanOptionalAction):
        return cast(text, True)
    if isinstance(action, _FLAG) and not isinstance(action, _APPENDING):
        return action.const if text == text_of(action.const) else cast(text, action.const)
    if isinstance(action, argparse._CountAction):  # noqa: SLF001
        return cast(text, 0)
    if _is_list(action):
        return _list_of(owner, action, text, default)
    if isinstance(action.type, argparse.FileType) and is_lazy:
        return text  # argparse opens the file once it is known that the command line names no other
    if not text and action.type not in (None, str):
        return None
    value = _scalar(owner, action, text, default)
    _check_choice(action, value)
    # A text as default is converted by argparse, once more.
    return text if is_lazy and isinstance(value, str) else value


def _is_list(action: Action) -> bool:
    return isinstance(action, _APPENDING) or _takes_many(action)


def _takes_many(action: Action) -> bool:
    return isinstance(action.nargs, int) or action.nargs in {"+", "*", argparse.REMAINDER}


def _comes_after(action: Action) -> bool:
    """Whether argparse takes no default for it, or none but a choice: a command, and a list without a dash, which may always be empty."""
    return isinstance(action, _COMMANDS) or (not action.option_strings and action.nargs in {argparse.ZERO_OR_MORE, argparse.REMAINDER})


def _as_left_out(action: Action) -> dict[str, object]:
    """The fields that such an action needs in order to be left out."""
    if isinstance(action, _COMMANDS) or action.choices is None:
        return {"required": False}
    return {"required": False, "choices": _OrNothing(action.choices)}


def _list_of(owner: ArgumentParser, action: Action, text: str, default: object) -> object:
    from atrains._wire.values import parse

    if not text:
        return None
    values = parse(text)
    if not isinstance(values, _LISTS):
        raise ValueError("it is no list")  # noqa: TRY004  # as any text that does not fit
    if isinstance(action.nargs, int) and not isinstance(action, _APPENDING) and len(values) != action.nargs:
        raise ValueError(f"it has not {action.nargs} values")
    like = default[0] if isinstance(default, _LISTS) and default else None

    def convert(item: Any, *, is_inner: bool = False) -> object:
        if isinstance(item, _LISTS) and isinstance(action, _APPENDING) and _takes_many(action) and not is_inner:
            return [convert(each, is_inner=True) for each in item]
        if item is None or isinstance(item, _LISTS) or isinstance(action, argparse._AppendConstAction):  # noqa: SLF001
            return item  # no text of a command line: a value that the code has
        value = _scalar(owner, action, text_of(item), like)
        _check_choice(action, value)
        return value

    return [convert(item) for item in values]


def _scalar(owner: ArgumentParser, action: Action, text: str, default: object) -> object:
    from atrains._wire.values import cast

    kind: Any = owner._registry_get("type", action.type, action.type)  # noqa: SLF001
    if action.type is None:
        return _untyped(action, text, default)
    if kind is bool:
        return cast(text, True)
    try:
        return kind(text)
    except Exception:  # as above: such as an enumeration that is stored by name
        if default is None or isinstance(default, str | int | float):
            raise
        return cast(text, default)


def _untyped(action: Action, text: str, default: object) -> object:
    """The value of an argument without a type: of that of its default, or its constant, else the text, as from a command line."""
    from atrains._wire.values import cast

    if action.nargs == argparse.OPTIONAL and action.const is not None and text == text_of(action.const):
        return action.const
    if default is None or (isinstance(default, _LISTS) and not text.lstrip().startswith(("[", "("))):
        return text  # `1,2` on a command line is a text, whatever the default is
    with contextlib.suppress(ValueError, TypeError):
        return cast(text, default)
    with contextlib.suppress(ValueError):
        if type(default) is int:
            number = float(text)
            return int(number) if number.is_integer() else number
    return text


def _check_choice(action: Action, value: object) -> None:
    if action.choices is not None and value is not None and value not in action.choices:
        raise ValueError("it is no choice")
