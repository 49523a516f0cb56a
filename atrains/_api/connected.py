"""ConnectedDict: a dictionary of parameters whose changes go to the home of a task. No I/O here; whoever connects it sends them on."""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias, TypeVar

from atrains._engine.held import reentrant_lock
from atrains._wire.parameters import HyperParameter, StoredItem, adopt, flatten, item_of
from atrains.errors import ValidationError

K = TypeVar("K")
V = TypeVar("V")

Push: TypeAlias = Callable[[Mapping[str, "HyperParameter | None"]], None]
"""Takes the parameters that changed, by flat name; None for those that are gone."""
Refuse: TypeAlias = Callable[[str, str, str], None]
"""Told of a value of the home that is not taken: its flat name, its text and the wanted type."""


class Link:
    """What all dictionaries of one connected tree share.

    Args:
        section: Where its parameters are stored.
        push: Told of every change, on the thread that makes it.
        held: The parameters that the home had when an agent connected them: what the code assigns to one of these keys is only its default.
        refuse: Told of those of them that cannot be cast.
    """

    def __init__(self, section: str, push: Push, *, held: Mapping[str, StoredItem] | None = None, refuse: Refuse | None = None) -> None:
        self.section = section
        self.names: set[str] = set()
        self.held = dict(held or {})
        self._push = push
        self._refuse = refuse or (lambda *_: None)
        self._lock, self._pid = reentrant_lock(), os.getpid()

    @property
    def lock(self) -> threading.RLock:
        """Held while the tree changes; a forked child gets one that nobody holds."""
        if self._pid != os.getpid():
            self._lock, self._pid = reentrant_lock(), os.getpid()
        return self._lock

    def take(self, given: Mapping[Any, Any], at: str) -> Mapping[Any, Any]:
        """What assigned values become, where the home has values of its own for them."""
        return adopt(given, self.held, self._refuse, prefix=f"{at}/" if at else "") if self.held else given

    def changed(self, changes: Mapping[str, HyperParameter | None]) -> None:
        """Note the names that there are now, and send the changes on."""
        for name, item in changes.items():
            if item is None:
                self.names.discard(name)
                self.held.pop(name, None)
            else:
                self.names.add(name)
        to_send = {name: item for name, item in changes.items() if name not in self.held}
        if to_send:
            self._push(to_send)


class ConnectedDict(dict[K, V]):
    """A dictionary of parameters that is connected to a task: whatever is set in it or deleted from it is stored with the task, too.

    A change returns at once: it is sent in the background, in one request with others, and is stored once `flush` or `close` has returned.
    Dictionaries in it are connected as well, also those that are assigned later; lists are values, of which only an assignment is noticed.
    A copy, a pickle, and what is taken out with `pop` are plain and not connected. After the task was closed so is the dictionary itself.
    """

    __slots__ = ("_at", "_link")

    _at: str
    _link: Link | None

    def __init__(self, values: Mapping[K, V] | Iterable[tuple[K, V]] = (), link: Link | None = None, at: str = "") -> None:
        self._link, self._at = link, at
        super().__init__(values)
        if link is not None:
            for key, value in self.items():
                dict.__setitem__(self, key, self._connected(key, value))

    def _connected(self, key: K, value: V) -> V:
        return ConnectedDict(value, self._link, self._name(key)) if isinstance(value, dict) else value  # type: ignore[return-value]

    def _name(self, key: object) -> str:
        return f"{self._at}/{key}" if self._at else str(key)

    def _edit(self, removed: Iterable[K], given: Mapping[K, V]) -> None:
        """Take keys out, put keys in, and tell the link what that means for the stored parameters.

        Raises:
            UnsupportedTypeError: a value cannot be stored; nothing was changed then.
            ValidationError: a name is empty, or another parameter has it.
        """
        link = self._link
        if link is None:
            for key in removed:
                del self[key]
            super().update(given)
            return
        with link.lock:
            given = link.take(given, self._at)
            place = f"{link.section}/{self._at}" if self._at else link.section
            items = {item.name: item for item in flatten(given, section=place)} if given else {}  # type: ignore[arg-type]  # any key
            gone = {name for key in (*removed, *given) if key in self for name in _names(self._name(key), self[key])}
            taken = next((name for name in items if name in link.names and name not in gone), None)
            if taken is not None:
                raise ValidationError(f"another parameter has the flat name {link.section}/{taken} already; choose another key")
            was_empty = not self
            for key in removed:
                _disconnect(super().pop(key))
            for key, value in given.items():
                if value is not (old := super().get(key)):
                    _disconnect(old)
                    super().__setitem__(key, self._connected(key, value))
            changes: dict[str, HyperParameter | None] = dict.fromkeys(gone)
            if self._at and was_empty is not (not self):  # an inner dictionary without keys is a parameter of its own
                changes[self._at] = None if was_empty else item_of(link.section, self._at, {})
            link.changed(changes | items)

    def __setitem__(self, key: K, value: V) -> None:
        self._edit((), {key: value})

    def __delitem__(self, key: K) -> None:
        if self._link is None or key not in self:
            super().__delitem__(key)
        else:
            self._edit((key,), {})

    def update(self, *args: Any, **kwargs: V) -> None:
        """Set several keys; see `dict.update`."""
        self._edit((), dict(*args, **kwargs))

    def __ior__(self, other: Any) -> ConnectedDict[K, V]:  # type: ignore[override,misc]  # as wide as that of dict
        self.update(other)
        return self

    def setdefault(self, key: K, default: Any = None) -> Any:
        """Set a key that is not there yet; see `dict.setdefault`."""
        if key not in self:
            self._edit((), {key: default})
        return self[key]

    def pop(self, key: K, *default: Any) -> Any:
        """Take a key out; see `dict.pop`."""
        if self._link is None or key not in self:
            return super().pop(key, *default)
        value = self[key]
        self._edit((key,), {})
        return value

    def popitem(self) -> tuple[K, V]:
        """Take the last key out; see `dict.popitem`."""
        if self._link is None or not self:
            return super().popitem()
        key = next(reversed(self))
        return key, self.pop(key)

    def clear(self) -> None:
        """Take all keys out; see `dict.clear`."""
        if self._link is None:
            super().clear()
        else:
            self._edit(tuple(self), {})

    def __copy__(self) -> dict[K, V]:
        return dict(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[K, V]:
        made: dict[K, V] = {}
        memo[id(self)] = made
        made.update({copy.deepcopy(key, memo): copy.deepcopy(value, memo) for key, value in self.items()})
        return made

    def __reduce_ex__(self, protocol: Any) -> tuple[type, tuple[dict[K, V]]]:
        return dict, (dict(self),)

    def disconnect(self) -> None:
        """Make this, and every dictionary in it, a plain one."""
        self._link = None
        for value in self.values():
            _disconnect(value)


def connect(values: Mapping[Any, Any], link: Link, at: str = "") -> ConnectedDict[Any, Any]:
    """Return a connected dictionary of these values, which are stored already, with `at` and a slash before their names."""
    made: ConnectedDict[Any, Any] = ConnectedDict(values, link, at)
    link.names = {name for key, value in made.items() for name in _names(f"{at}/{key}" if at else str(key), value)}
    return made


def replace_values(original: dict[Any, Any], values: Mapping[Any, Any]) -> None:
    """Give a dictionary, and those in it, the values of another one of the same keys; the objects stay the same."""
    for key, value in values.items():
        held = original.get(key)
        if isinstance(held, dict) and held and isinstance(value, Mapping):
            replace_values(held, value)
        elif held is not value:
            original[key] = value


def _names(name: str, value: object) -> Iterator[str]:
    """The flat names of the parameters that a value is stored as."""
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _names(f"{name}/{key}", inner)
    else:
        yield name


def _disconnect(value: object) -> None:
    if isinstance(value, ConnectedDict):
        value.disconnect()
