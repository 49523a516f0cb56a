"""Hyperparameters: what the code connects or sets is stored as text by section and name. A part of AsyncTask.

What a value is as text is in `_wire.values`, what their names mean in `_wire.parameters`; a connected dictionary is in `_api.connected`,
and what is read from other objects in `_api.connectable`.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from atrains._api import connectable, connected
from atrains._api.connectable import Kind, kind_of
from atrains._api.connected import ConnectedDict, Link, replace_values
from atrains._api.task_parameters import TaskParameters
from atrains._async import connections
from atrains._async.base import TaskPart
from atrains._async.model_base import ModelPart
from atrains._engine.notices import say
from atrains._engine.process import process
from atrains._wire import edits, endpoints
from atrains._wire import parameters as wire
from atrains._wire.edits import ParameterChanges
from atrains._wire.parameters import DEFAULT_SECTION, HyperParameter, Sections, StoredItem
from atrains._wire.values import decode
from atrains.errors import AccessError, ServerError, TaskStatusError, TransportError, UnsupportedTypeError, ValidationError

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from atrains._async.task import AsyncTask

T = TypeVar("T")

_EDITABLE_STATUS: Final = frozenset({"created", "in_progress"})
_ALWAYS_EDITABLE: Final = "properties"
"""The section that a home takes in every status."""


class Parameters(TaskPart):
    """Connecting, setting and reading parameters. The reads are as of the last `reload`."""

    # ---- connecting

    async def connect(self, mutable: T, *, name: str | None = None) -> T:
        """Connect what a run is configured with: its parameters are stored, and under an agent it takes the values that the task holds.

        A dictionary stays connected: use the one that is returned. What is set in it or deleted from it, at any depth, is stored in the
        background, and is there once `flush` or `close` has returned. Lists are values: only assigning one is noticed. Other objects are
        stored once.

        Under an agent each value of the task is cast to the type of the code's own; what is nothing of that type is refused with a line
        that names it, and the code's value is kept. The passed dictionary or object gets the values, too. What the task does not hold yet
        is stored. A key that the task held keeps the task's value when the code assigns to it later.

        Args:
            mutable: A dictionary, some hundred levels at most; a `TaskParameters`, an argparse parser or namespace, an instance of a data
                class or of a class of attrs or pydantic; any other object, or class, whose public attributes are the parameters. Or a
                model: an `InputModel` (or `Model`) that the task uses, an `OutputModel` that it makes.
            name: The section to store it under; `General` by default, `Args` for what argparse made. What follows a `/` in it is the
                beginning of every name. A parser is always stored under `Args`, with all of its arguments, whatever `init` was told.

        Returns:
            The connected dictionary, or the object that was passed.

        Raises:
            UnsupportedTypeError: it is of another kind, or a dictionary that holds a value which cannot be stored; names it.
            ValidationError: an empty name, or two keys that are one flat name.
            TaskStatusError: the run has ended.
            TransportError: the home cannot be reached.

        Example:
            >>> parameters = task.connect({"rate": 0.1, "optimizer": {"name": "sgd"}})
            >>> parameters["optimizer"]["name"] = "adam"  # stored as General/optimizer/name
        """
        self._check_open()
        if isinstance(model := getattr(mutable, "_core", mutable), ModelPart):  # of a blocking model the async one
            await typing.cast("AsyncTask", self)._connect_model(model, name)  # noqa: SLF001  # one class
            return mutable
        place = DEFAULT_SECTION if name is None else name
        if not isinstance(place, str):
            raise ValidationError(f"cannot connect to task {self.id}: name is the section of the parameters, a text, not {name!r}")
        match kind_of(mutable):
            case Kind.DICT:
                return typing.cast("T", await self._connect_dict(typing.cast("dict[Any, Any]", mutable), place))
            case Kind.PARAMETERS:
                await self._connect_parameters(typing.cast("TaskParameters", mutable), place)
            case Kind.OBJECT if name is None and connections.is_parsed(mutable):
                await connections.connect_arguments(self, typing.cast("Namespace", mutable))
            case Kind.OBJECT:
                await self._connect_object(mutable, place)
            case Kind.PARSER:
                await connections.connect_arguments(self, typing.cast("ArgumentParser", mutable))
            case None:
                raise UnsupportedTypeError(f"cannot connect a {type(mutable).__name__} to task {self.id}: pass {connectable.KINDS}")
        return mutable

    async def _connect_dict(self, given: dict[Any, Any], place: str) -> ConnectedDict[Any, Any]:
        items = wire.flatten(given, section=place)
        section, _, prefix = place.partition("/")
        held = await self._held_for(section)
        refuse = _once_a_name(partial(self._refuse, section))  # a loop may assign to it without end
        values: Mapping[Any, Any] = given
        if held:
            values = wire.adopt(given, held, refuse, prefix=_with_slash(prefix))
            replace_values(given, values)
        await self._store_new(items, held)
        self.get_logger()  # so that there is a journal for the changes
        return connected.connect(values, Link(section, partial(self._push, section), held=held, refuse=refuse), prefix)

    async def _connect_parameters(self, given: TaskParameters, place: str) -> None:
        section, _, prefix = place.partition("/")
        prefix = _with_slash(prefix)
        said = {prefix + name: known.description for name, known in given.declared.items()}
        own = given.to_dict()
        items = [item._replace(description=said.get(item.name, "")) for item in wire.flatten(own, section=place)]
        held = await self._held_for(section)
        types = {prefix + name: known.type for name, known in given.declared.items() if known.type is not None}
        for name, value in wire.adopt(own, held, partial(self._refuse, section), prefix=prefix, declared=types).items():
            if value is own[name] or value == own[name]:
                continue  # it went through its converter already, which may not take what it made
            try:
                given.update_from_dict({name: value})
            except Exception as error:  # the program's own converters and validators may raise anything  # noqa: BLE001
                self._refuse(section, prefix + name, str(value), f"value that is allowed ({error})")
        await self._store_new(items, held)

    async def _connect_object(self, given: object, place: str) -> None:
        if left_out := connectable.not_stored(given):
            say(self._settings, f"task {self.id}: no parameters, and not stored: {', '.join(left_out)} of {type(given).__name__}")
        values = connectable.parameters_of(given)
        items = wire.flatten(values, section=place)
        section, _, prefix = place.partition("/")
        prefix = _with_slash(prefix)
        held = await self._held_for(section)
        if held:
            refuse = partial(self._refuse, section)
            types = {prefix + name: kind for name, kind in connectable.declared_types(given).items()}
            taken = wire.adopt(values, held, refuse, prefix=prefix, declared=types)
            connectable.set_parameters(given, taken, refuse, prefix=prefix)
        await self._store_new(items, held)

    async def _held_for(self, section: str) -> Mapping[str, StoredItem]:
        """What the home has in a section, if the code is to take it: under an agent, which has no other way to pass parameters."""
        if not self._takes_values_from_home:
            return {}
        await self.reload()
        return self._sections.get(section, {})

    async def _store_new(self, items: Sequence[HyperParameter], held: Mapping[str, StoredItem]) -> None:
        new = [item for item in items if item.name not in held]
        if new:
            async with self._editing():
                await self._send([item.beside(self._sections) for item in new])

    def _refuse(self, section: str, name: str, text: str, wanted: str) -> None:
        say(self._settings, f"task {self.id}: the parameter {section}/{name} = {text!r} is no {wanted}: the value in the code is kept")

    def _push(self, section: str, changes: Mapping[str, HyperParameter | None]) -> None:
        """Have changes of a connected dictionary stored soon, and show them here at once; on the thread that makes them, without I/O."""
        if self._closed:
            return
        sections = self._sections
        stored: ParameterChanges = {
            (section, wire.encodable(name)): None if item is None else item.beside(sections).as_request() for name, item in changes.items()
        }
        with process().lock:
            for endpoint, request in edits.parameter_calls(stored):
                edits.apply(self._record, endpoint, request)
        self._channel.change_parameters(self.reported_as, stored)

    # ---- setting

    async def set_parameter(self, name: str, value: Any, description: str | None = None, *, value_type: type | None = None) -> None:
        """Set one parameter.

        Args:
            name: Its flat name, `section/name`. A bare name is the parameter of exactly that flat name, else the one that a section holds,
                else one of the section `General`.
            value: Its value; stored as text, containers as JSON.
            description: What it is for; what was said before stays when it is None.
            value_type: Its type; by default the one that it has, or for a new one that of `value`.

        Raises:
            ValidationError: several sections hold the bare name, it lists them; or the name is empty.
            UnsupportedTypeError: the value cannot be stored.
            TaskStatusError: the run has ended.
            TransportError: the home cannot be reached.
        """

        def make(sections: Sections) -> list[HyperParameter]:
            item = wire.item_of(*wire.place_of(name, sections), value)._replace(description=description or "")
            if value_type is not None:
                return [item.beside(sections)._replace(type=value_type.__name__)]
            return [item.beside(sections, keep_type=True)]

        await self._set(make)

    async def set_parameters(self, *args: Mapping[str, Any] | Iterable[tuple[str, Any]], **kwargs: Any) -> None:
        """Set all parameters: those that are not given are deleted. Types and descriptions stay.

        Args:
            *args: Dictionaries or iterables of pairs, of flat names and values; later ones win. Names as of `set_parameter`.
            **kwargs: More of them; they win.

        Raises:
            ValidationError: an argument is neither; several sections hold a bare name, it lists them.
            UnsupportedTypeError: a value cannot be stored; names it.
            TaskStatusError: the run has ended.
            TransportError: the home cannot be reached.
        """
        values = wire.merged(*args, **kwargs)
        await self._set(partial(_items_of, values), replace="all")

    async def update_parameters(self, *args: Mapping[str, Any] | Iterable[tuple[str, Any]], **kwargs: Any) -> None:
        """Set some parameters: all others stay as they are.

        Args:
            *args: Dictionaries or iterables of pairs, of flat names and values; later ones win. Names as of `set_parameter`.
            **kwargs: More of them; they win.

        Raises:
            ValidationError: an argument is neither; several sections hold a bare name, it lists them.
            UnsupportedTypeError: a value cannot be stored; names it.
            TaskStatusError: the run has ended.
            TransportError: the home cannot be reached.
        """
        values = wire.merged(*args, **kwargs)
        await self._set(partial(_items_of, values))

    async def set_parameters_as_dict(self, dictionary: Mapping[str, Any]) -> None:
        """Set parameters from a nested dictionary, once: it is not connected. All others stay as they are.

        Args:
            dictionary: As `get_parameters_as_dict` returns it: by section, then by the parts of the name. What is no dictionary at the
                first level has a bare name; see `set_parameter`.

        Raises:
            ValidationError: it is no dictionary; a name is empty; several sections hold a bare name, it lists them.
            UnsupportedTypeError: a value cannot be stored; names it.
            TaskStatusError: the run has ended.
            TransportError: the home cannot be reached.
        """
        if not isinstance(dictionary, Mapping):
            raise ValidationError(f"set_parameters_as_dict takes a dictionary, not a {type(dictionary).__name__}")

        def make(sections: Sections) -> list[HyperParameter]:
            plain = {str(name): value for name, value in dictionary.items() if not isinstance(value, Mapping)}
            nested = [
                item.beside(sections, keep_type=True)
                for name, values in dictionary.items()
                if isinstance(values, Mapping)
                for item in wire.flatten(values, section=str(name))
            ]
            return [*nested, *_items_of(plain, sections)]

        await self._set(make)

    async def _set(self, make: Callable[[Sections], list[HyperParameter]], *, replace: str = "none") -> None:
        """Store what is made of the parameters as they are; nobody of this process changes them in between."""
        self._check_open()
        async with self._editing():
            try:
                await self._fetch()
            except (AccessError, ServerError):
                raise
            except TransportError:
                if self._outbox is None:
                    raise  # else the edit waits, and is made of what is known here
            items = list({item.key: item for item in make(self._sections)}.values())
            if items:
                await self._send(items, replace=replace)
            elif replace == "all" and self._sections:
                await self._make(endpoints.TASKS_DELETE_HYPER_PARAMS, hyperparams=[{"section": name} for name in self._sections])

    async def _send(self, items: Sequence[HyperParameter], *, replace: str = "none") -> None:
        status = self._record.get("status")
        if status not in _EDITABLE_STATUS and {item.section.lower() for item in items} != {_ALWAYS_EDITABLE}:
            raise TaskStatusError(
                f"cannot store the parameters of task {self.id}: its status is {status}, and they may change only while it is created or "
                "in_progress; clone or reset the task"
            )
        requests = [item.as_request() for item in items]
        await self._make(endpoints.TASKS_EDIT_HYPER_PARAMS, hyperparams=requests, replace_hyperparams=replace)

    async def _make(self, endpoint: endpoints.Endpoint, **request: Any) -> None:
        # The home merges: what other processes set meanwhile stays as it is, and is seen here with the next `reload`.
        await self._change(endpoint, "store the parameters of", force=True, **request)
        edits.apply(self._record, endpoint, request)

    # ---- reading

    @property
    def _sections(self) -> Sections:
        return self._record.get("hyperparams") or {}

    def get_parameter(self, name: str, default: Any = None) -> Any:
        """Get one parameter, as stored.

        Args:
            name: Its flat name, `section/name`, or a bare name that one section holds; of several sections, `General`.
            default: What to return where there is none.

        Returns:
            Its text, or `default`.
        """
        places = wire.find(name, self._sections)
        if len(places) > 1:
            places = [place for place in places if place[0] == DEFAULT_SECTION]
        if not places:
            return default
        section, rest = places[0]
        return self._sections[section][rest].get("value") or ""

    def get_parameters(self, *, backwards_compatibility: bool = True, cast: bool = False) -> dict[str, Any]:
        """Get the parameters by their flat names, `section/name`.

        Args:
            backwards_compatibility: Leave out the section of those that a client stored which knew no sections.
            cast: Read each by its stored type; what has none, or does not fit it, stays text. By default all are text, as stored.

        Returns:
            Names and values.
        """
        found: dict[str, Any] = {}
        for section, items in self._sections.items():
            for name, item in items.items():
                text = item.get("value") or ""
                flat = wire.flat_name(section, name, item, bare_legacy=backwards_compatibility)
                found[flat] = decode(text, item.get("type") or "") if cast else text
        return found

    def get_parameters_as_dict(self) -> dict[str, Any]:
        """Get the parameters as a nested dictionary of text: the first level is the section. Nothing is parsed."""
        return wire.as_nested_dict(self._sections)


def _items_of(values: Mapping[str, Any], sections: Sections) -> list[HyperParameter]:
    """What is stored for values by flat or bare names."""
    items = (wire.item_of(*wire.place_of(name, sections), value) for name, value in values.items())
    return [item.beside(sections, keep_type=True) for item in items]


def _once_a_name(refuse: connected.Refuse) -> connected.Refuse:
    """Say of each parameter only once that the value of the home is not taken."""
    told: set[str] = set()

    def say_once(name: str, text: str, wanted: str) -> None:
        if name not in told:
            told.add(name)
            refuse(name, text, wanted)

    return say_once


def _with_slash(prefix: str) -> str:
    return f"{prefix}/" if prefix else ""
