"""What can be connected to a task, and how the parameters get out of an object and back into it. No I/O."""

from __future__ import annotations

import dataclasses
import inspect
import sys
import typing
from collections.abc import Callable, Iterator, Mapping
from enum import Enum, auto
from types import FunctionType, MethodType, ModuleType, NoneType, SimpleNamespace
from typing import Any, Final

from atrains._api.task_parameters import TaskParameters
from atrains._wire.values import encode
from atrains.errors import UnsupportedTypeError, ValidationError

KINDS: Final = (
    "a dict, an argparse parser or namespace, TaskParameters, an instance of a data class or of a class of attrs or pydantic, "
    "any other object or class with public attributes that are parameters"
)
"""What can be connected, in words."""
_NO_OBJECTS: Final = (FunctionType, MethodType, ModuleType, BaseException)


class Kind(Enum):
    """How something is connected."""

    DICT = auto()
    PARSER = auto()
    PARAMETERS = auto()
    OBJECT = auto()


def kind_of(thing: object) -> Kind | None:
    """Return how something is connected; None if it cannot be."""
    if isinstance(thing, dict):
        return Kind.DICT
    if (argparse := sys.modules.get("argparse")) is not None and isinstance(thing, argparse.ArgumentParser):
        return Kind.PARSER
    if isinstance(thing, TaskParameters):
        return Kind.PARAMETERS
    kind = thing if isinstance(thing, type) else type(thing)
    if kind.__module__ == "builtins" or issubclass(kind, Enum) or isinstance(thing, _NO_OBJECTS):
        return None
    return Kind.OBJECT if parameters_of(thing) or _is_empty_namespace(thing) else None


def parameters_of(thing: object) -> dict[str, Any]:
    """Return the public attributes of an object or class that can be stored; those of an object in it are a dictionary of their own."""
    return _parameters_of(thing, ())


def not_stored(thing: object) -> list[str]:
    """Return the declared fields of an object whose values cannot be stored."""
    return [name for name in _declared(thing) or () if name not in parameters_of(thing) and not name.startswith("_")]


def declared_types(thing: object) -> dict[str, type]:
    """Return the types that the class of an object declares for its attributes, by flat name, where they are simple ones."""
    return dict(_declared_types(thing, "", ()))


def set_parameters(thing: object, values: Mapping[str, Any], refuse: Callable[[str, str, str], None], *, prefix: str = "") -> None:
    """Set attributes of an object or class, also of a frozen one, to what `parameters_of` returned and a home changed.

    Args:
        thing: The object.
        values: The values by name, nested as they came.
        refuse: Told of a value that the class does not take: its flat name, the value as text, and what it is.
        prefix: What stands before the names.
    """
    for name, value in values.items():
        held = getattr(thing, name, None)
        if isinstance(value, Mapping) and _declared(held) is not None:
            set_parameters(held, value, refuse, prefix=f"{prefix}{name}/")
        elif value is not held:
            try:
                _set(thing, name, value)
            except (TypeError, ValueError):
                refuse(f"{prefix}{name}", str(value), f"value of {type(thing).__name__}.{name}")


def _set(thing: object, name: str, value: object) -> None:
    if _is_frozen(thing):
        object.__setattr__(thing, name, value)
        return
    try:
        setattr(thing, name, value)
    except AttributeError:  # a frozen class of attrs; a property of a plain one, for which this fails as well
        object.__setattr__(thing, name, value)


def _is_frozen(thing: object) -> bool:
    settings = getattr(type(thing), "__dataclass_params__", None)
    model = getattr(type(thing), "model_config", None)
    return bool(getattr(settings, "frozen", False)) or (isinstance(model, Mapping) and bool(model.get("frozen")))


def _is_empty_namespace(thing: object) -> bool:
    return type(thing).__name__ in {"Namespace", "SimpleNamespace"} and not vars(thing)


def _declared(thing: object) -> list[str] | None:
    """The names of the fields that the class of an object declares, of a data class, attrs or pydantic; None for all others."""
    kind = type(thing)
    if dataclasses.is_dataclass(kind):
        return [each.name for each in dataclasses.fields(kind)]
    if (attributes := getattr(kind, "__attrs_attrs__", None)) is not None:
        return [each.name for each in attributes]
    for name in ("model_fields", "__fields__"):  # pydantic 2 and 1
        if "pydantic" in sys.modules and isinstance(fields := getattr(kind, name, None), Mapping):
            return [*fields]
    return None


def _attributes(thing: object) -> Iterator[tuple[str, object]]:
    declared = _declared(thing)
    if declared is not None:
        yield from ((name, getattr(thing, name)) for name in declared if hasattr(thing, name))
        return
    classes = thing.__mro__ if isinstance(thing, type) else type(thing).__mro__
    found: dict[str, object] = {}
    for kind in reversed([each for each in classes if each.__module__ != "builtins"]):
        found |= {name: value for name, value in vars(kind).items() if not (callable(value) or hasattr(value, "__get__"))}
    yield from {**found, **({} if isinstance(thing, type) else getattr(thing, "__dict__", {}))}.items()


def _parameters_of(thing: object, inside: tuple[int, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in _attributes(thing):
        if name.startswith("_"):
            continue
        if _declared(value) is not None:
            if id(value) not in inside:  # an object that knows the one that it belongs to
                found[name] = _parameters_of(value, (*inside, id(thing)))
        elif _can_be_stored(value):
            found[name] = value
    return found


def _can_be_stored(value: object) -> bool:
    try:
        encode(value, "")
    except (UnsupportedTypeError, ValidationError):
        return False
    return True


def _declared_types(thing: object, prefix: str, inside: tuple[int, ...]) -> Iterator[tuple[str, type]]:
    for kind in reversed((thing if isinstance(thing, type) else type(thing)).__mro__[:-1]):
        for name, hint in inspect.get_annotations(kind).items():
            simple = _simple_type(_evaluated(hint, kind))
            if simple is not None:
                yield f"{prefix}{name}", simple
    for name, value in _attributes(thing):
        if _declared(value) is not None and id(value) not in inside:
            yield from _declared_types(value, f"{prefix}{name}/", (*inside, id(thing)))


def _evaluated(hint: object, kind: type) -> object:
    """An annotation that may be written as text; one at a time, so that an odd one does not cost the others."""
    if not isinstance(hint, str):
        return hint
    names = vars(sys.modules[kind.__module__]) if kind.__module__ in sys.modules else {}
    try:
        return typing.get_type_hints(SimpleNamespace(__annotations__={"hint": hint}), names)["hint"]
    except Exception:  # code of others, which may fail in any way: the value says then what the type is  # noqa: BLE001
        return None


def _simple_type(hint: object) -> type | None:
    """The class that an annotation names, alone or beside None."""
    choices = [each for each in typing.get_args(hint) if each is not NoneType]
    if NoneType in typing.get_args(hint) and len(choices) == 1:
        return _simple_type(choices[0])
    origin = typing.get_origin(hint) or hint
    return origin if inspect.isclass(origin) else None
