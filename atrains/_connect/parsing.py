"""Automatic connection of argparse: every parse is noted, and connected to the task of the run, whichever of the two comes first.

Wraps `argparse.ArgumentParser.parse_known_args`, which all ways of parsing go through, and the two beside it that it cannot do without.
Until a run begins a parse is only noted: the parser for as long as its result lives, and of that nothing but text and numbers. What
arguments are as parameters is in `arguments`; neither is imported before argparse is.
"""

from __future__ import annotations

import builtins
import contextlib
import functools
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from importlib.machinery import ModuleSpec

    from atrains._api.recorder import Recorder
    from atrains._connect.arguments import Argument, Seen
    from atrains._wire.parameters import HyperParameter

_KEPT: Final = 8
"""Parsers whose last parse is remembered; a program that makes parsers all day keeps no more of them."""
_ALL: Final = "*"
"""The key of the dictionary of choices that stands for all that it does not name."""


class Parse:
    """A parse that happened.

    Attributes:
        parser: The parser; None once the result is gone.
        seen: How the parse came to its result.
    """

    def __init__(self, parser: ArgumentParser, namespace: object, seen: Seen) -> None:
        from atrains._connect import arguments

        self.parser: ArgumentParser | None = parser
        self.prog = parser.prog
        self.seen = seen
        self._of = weakref.ref(parser)
        # Taken now, since the result may be gone when a run begins (`args = vars(parser.parse_args())`).
        self._plain = tuple(each for each in arguments.arguments_of(parser, namespace, seen) if arguments.is_plain(each.value))
        try:
            self._namespace: weakref.ref[object] | None = weakref.ref(namespace, self._let_go)
        except TypeError:  # a result of the program's own class, with slots
            self._namespace, self.parser = None, None

    def _let_go(self, _: object) -> None:
        self.parser = None

    @property
    def namespace(self) -> object | None:
        """The result, if it still lives."""
        return None if self._namespace is None else self._namespace()

    def is_of(self, thing: object) -> bool:
        """Whether it is the parse of this parser, or that of this result."""
        return thing is not None and (thing is self._of() or thing is self.namespace)

    def arguments(self) -> Sequence[Argument]:
        """The arguments, with the values that they have now, or had at the parse if nothing of it is left."""
        from atrains._connect import arguments

        parser, namespace = self.parser, self.namespace
        if parser is None or namespace is None:
            return self._plain
        return tuple(arguments.arguments_of(parser, namespace, self.seen))


class _Frame:
    """A parse that is going on in a thread."""

    def __init__(self) -> None:
        self.converted: list[tuple[Any, str, object]] = []
        self.parsers: list[ArgumentParser] = []


class _State(threading.local):
    frame: _Frame | None = None


class Connection:
    """What connects the parses of a process to the task of its run.

    Args:
        recorder: The task.
        choice: Which arguments are connected without being asked for: all, none, or by name, where `*` stands for the rest.
    """

    def __init__(self, recorder: Recorder, choice: bool | Mapping[str, bool]) -> None:
        self.recorder = recorder
        self.held = recorder.held_parameters("Args")
        self._choice = choice
        self._asked_for: weakref.WeakSet[ArgumentParser] = weakref.WeakSet()
        self._doubted: set[str] = set()

    def ask_for(self, parser: ArgumentParser) -> None:
        """Connect a parser whole, whatever is connected by itself."""
        self._asked_for.add(parser)

    def wants(self, parser: ArgumentParser | None) -> bool:
        """Whether anything of a parser is connected."""
        if parser is not None and parser in self._asked_for:
            return True
        return bool(self._choice) and not hasattr(builtins, "__IPYTHON__")  # where every magic command is parsed

    def _chosen(self, parser: ArgumentParser | None, name: str) -> bool:
        if not isinstance(self._choice, Mapping) or (parser is not None and parser in self._asked_for):
            return True
        return bool(self._choice.get(name, self._choice.get(_ALL, True)))

    def _held_for(self, parser: ArgumentParser) -> dict[str, Mapping[str, str]]:
        return {name: item for name, item in (self.held or {}).items() if self._chosen(parser, name)}

    def _refuse(self, name: str, text: str, wanted: str) -> None:
        self.recorder.refuse_parameter("Args", name, text, wanted)

    def parse(self, original: Callable[..., Any], parser: ArgumentParser, args: Any, namespace: Any, frame: _Frame) -> Any:
        """Parse under an agent: what the task holds are the defaults."""
        from atrains._connect import arguments

        held = self._held_for(parser)
        earlier = last_parse(namespace)  # whose command line counts, too: a program may parse in two steps
        with contextlib.ExitStack() as stack:
            with self._harmless(parser):
                defaults = stack.enter_context(arguments.overridden(parser, held, self._refuse))
                for name in defaults if namespace is not None else ():
                    if hasattr(namespace, name) and (earlier is None or name not in earlier.seen.given):
                        setattr(namespace, name, defaults[name])
            result = original(parser, args, namespace)
            with self._harmless(parser):
                seen = arguments.see(parser, result[0], frame.converted, frame.parsers)
                arguments.fill(parser, result[0], held, seen, self._refuse)
        return result

    def connect(self, parse: Parse, *, is_late: bool = False) -> None:
        """Record a parse.

        Args:
            parse: What happened.
            is_late: It happened before there was a task: under an agent its result gets the values now.
        """
        with self._harmless(parse.parser):
            if is_late and self.held:
                parser, namespace = parse.parser, parse.namespace
                if parser is None or namespace is None:
                    self.recorder.remark(
                        f"the arguments of {parse.prog} were parsed before the run began, and their namespace is gone: they keep the "
                        "values of the code; call Task.init before parse_args, or keep what it returns"
                    )
                else:
                    patch(parser, namespace, self._held_for(parser), parse.seen, self._refuse)
            found = parse.arguments()
            self._check_names(parse, [argument.name for argument in found])
            items = [item_of(argument) for argument in found if self._chosen(parse.parser, argument.name)]
            new = [item for item in items if item.name not in (self.held or {})]
            if new:
                self.recorder.record_parameters(new)

    def _check_names(self, parse: Parse, names: Sequence[str]) -> None:
        """Say which names that somebody chose by are those of no argument."""
        if not isinstance(self._choice, Mapping) or (parse.parser is not None and parse.parser in self._asked_for):
            return
        from difflib import get_close_matches

        for name in self._choice.keys() - {_ALL, *names, *self._doubted}:
            self._doubted.add(name)
            near = get_close_matches(name, names, n=1, cutoff=0)
            self.recorder.remark(
                f"auto_connect_arg_parser names {name!r}, which is no argument of {parse.prog}"
                + (f": did you mean {near[0]!r}?" if near else "")
            )

    def _harmless(self, parser: ArgumentParser | None) -> _Harmless:
        return _Harmless(self.recorder, parser)


class _Harmless:
    """A block whose failure is said, and leaves the program's own parse alone: there the program's types and objects run."""

    def __init__(self, recorder: Recorder, parser: ArgumentParser | None) -> None:
        self._recorder, self._parser = recorder, parser

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, Exception):
            return False
        self._recorder.remark(f"the arguments of {getattr(self._parser, 'prog', 'a parser')} were not connected: {error!r}")
        return True


_state = _State()
_parses: deque[Parse] = deque(maxlen=_KEPT)
_connection: list[Connection | None] = [None]
_wrapped: list[tuple[str, Any, Any]] = []
"""What was wrapped of the class: the name, the original, and the wrapper."""


def item_of(argument: Argument) -> HyperParameter:
    """What is stored for an argument."""
    from atrains._connect.arguments import SECTION, text_of
    from atrains._wire.parameters import item_of as stored
    from atrains.errors import UnsupportedTypeError, ValidationError

    try:
        item = stored(SECTION, argument.name, argument.value)
    except (UnsupportedTypeError, ValidationError):
        item = stored(SECTION, argument.name, text_of(argument.value))
    return item._replace(type=argument.type or item.type, description=argument.description)


def patch(
    parser: ArgumentParser, namespace: object, held: Mapping[str, Mapping[str, str]], seen: Seen, refuse: Callable[[str, str, str], None]
) -> None:
    """Give the result of a parse the values that a task holds; what has to be parsed for that is not noted."""
    from atrains._connect import arguments

    outer, _state.frame = _state.frame, _Frame()
    try:
        arguments.patch(parser, namespace, held, seen, refuse)
    finally:
        _state.frame = outer


def begin(recorder: Recorder, choice: bool | Mapping[str, bool], *, is_off: bool = False) -> None:
    """Connect parses to a task from now on, and those that happened before."""
    if is_off:
        remove()
        return
    install()
    _connection[0] = connection = Connection(recorder, choice)
    for parse in tuple(_parses):
        if connection.wants(parse.parser):
            connection.connect(parse, is_late=True)


def end(recorder: Recorder) -> None:
    """Connect nothing to a task any more: parses are noted for the next one."""
    if connection_of(recorder) is not None:
        _connection[0] = None


def connection_of(recorder: Recorder) -> Connection | None:
    """The connection to a task, if it is the one that parses are connected to."""
    connection = _connection[0]
    return connection if connection is not None and connection.recorder == recorder else None


def last_parse(thing: object) -> Parse | None:
    """The last parse of a parser, or the one that a namespace is the result of."""
    return next((parse for parse in reversed(_parses) if parse.is_of(thing)), None)


def forget() -> None:
    """Forget all parses. For tests: a process that runs one program after the other."""
    _parses.clear()
    _connection[0] = None


def install() -> None:
    """Note parses from now on; where argparse was not imported yet, once it is."""
    module = sys.modules.get("argparse")
    if _wrapped or any(isinstance(finder, _Finder) for finder in sys.meta_path):
        return
    if hasattr(module, "ArgumentParser"):
        _wrap(module)
    else:
        sys.meta_path.insert(0, _Finder())


def remove() -> None:
    """Give argparse back what was wrapped, unless somebody has wrapped it again since, and note nothing any more."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _Finder)]
    for name, before, own in _wrapped:
        kind = sys.modules["argparse"].ArgumentParser
        if getattr(kind, name) is own:
            setattr(kind, name, before)
    _wrapped.clear()
    forget()


def _wrap(module: Any) -> None:
    for name, make in (("parse_known_args", _noting), ("parse_known_intermixed_args", _noting), ("_get_value", _noting_conversion)):
        before = getattr(module.ArgumentParser, name, None)  # the last one has no documented name
        if before is not None:
            own = make(before)
            _wrapped.append((name, before, own))
            setattr(module.ArgumentParser, name, own)


def _noting(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def parse(self: ArgumentParser, args: Any = None, namespace: Any = None) -> Any:
        outer = _state.frame
        if outer is not None:  # a command of the parser, or half of an intermixed parse
            outer.parsers.append(self)
            return original(self, args, namespace)
        frame = _state.frame = _Frame()
        connection = _connection[0]
        try:
            if connection is not None and connection.held and connection.wants(self):
                result = connection.parse(original, self, args, namespace, frame)
            else:
                result = original(self, args, namespace)
        finally:
            _state.frame = None
        if not type(self).__module__.startswith("_pytest."):  # the command line of a test run is that of no program
            _note(self, result[0], frame)
        return result

    return parse


def _noting_conversion(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def get_value(self: ArgumentParser, action: Any, text: str) -> Any:
        value = original(self, action, text)
        if _state.frame is not None:
            _state.frame.converted.append((action, text, value))
        return value

    return get_value


def _note(parser: ArgumentParser, namespace: object, frame: _Frame) -> None:
    from atrains._connect import arguments

    connection = _connection[0]
    try:
        parse = Parse(parser, namespace, arguments.see(parser, namespace, frame.converted, frame.parsers))
    except Exception as error:  # a program's own classes may do anything; its parse goes on, unnoted  # noqa: BLE001
        if connection is not None:
            connection.recorder.remark(f"the arguments of {parser.prog} were not connected: {error!r}")
        return
    for earlier in tuple(_parses):
        if earlier.is_of(parser):
            _parses.remove(earlier)
    _parses.append(parse)
    if connection is not None and connection.wants(parser):
        connection.connect(parse)


class _Finder:
    """Notices that the program imports argparse, and finds nothing itself."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname != "argparse":
            return None
        sys.meta_path.remove(self)
        spec = next(_specs(fullname, path, target), None)
        if spec is not None and spec.loader is not None:
            spec.loader = _WrappingLoader(spec.loader)  # type: ignore[assignment]  # their base classes would cost a millisecond to import
        return spec


def _specs(name: str, path: Sequence[str] | None, target: ModuleType | None) -> Iterator[ModuleSpec]:
    for finder in tuple(sys.meta_path):
        spec = finder.find_spec(name, path, target)
        if spec is not None:
            yield spec


class _WrappingLoader:
    """Loads argparse as its own loader does, leaves it to that, and wraps it then."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        made: ModuleType | None = self._loader.create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        _wrap(module)
