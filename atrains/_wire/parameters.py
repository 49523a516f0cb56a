"""Hyperparameters as a home stores them: nested values become flat names and text, and flat names become nested again.

Pure; what a single value is stored as is in `values`, which parameters a task has and when they are sent is elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from atrains._wire.values import cast, encode, enter, type_name
from atrains.errors import ValidationError

NestedParameters: TypeAlias = "dict[str, str | NestedParameters]"
"""Parameters by section and by the parts of their names; the values are text, as stored."""
StoredItem: TypeAlias = Mapping[str, str]
"""One parameter as a home has it: `section`, `name`, `value`, and where they are known `type` and `description`."""
Sections: TypeAlias = Mapping[str, Mapping[str, StoredItem]]
"""The parameters of a task as a home has them, by section and name."""

DEFAULT_SECTION: Final = "General"
_ARGUMENTS: Final = "Args"
_LEGACY: Final = "legacy"
"""The type that a server gives to parameters of clients from before there were sections."""


class HyperParameter(NamedTuple):
    """One stored parameter.

    Attributes:
        section: What stands before the first `/` of the flat name, such as `Args` or `General`.
        name: The rest of the flat name; may hold `/`.
        value: The value as text; containers are JSON, None is "".
        type: The name of the value's type, "" for None.
        description: What it is for, in words; "" where nobody said.
    """

    section: str
    name: str
    value: str
    type: str
    description: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from the others of its task."""
        return self.section, self.name

    def as_request(self) -> dict[str, str]:
        """Return the item of a request; `type` is left out where there is none, so that readers take "" for None."""
        item = {"section": self.section, "name": self.name, "value": self.value}
        return item | {part: text for part, text in (("type", self.type), ("description", self.description)) if text}

    def beside(self, sections: Sections, *, keep_type: bool = False) -> HyperParameter:
        """Return it with the description that a home has, and with its type: an item is replaced whole."""
        held = sections.get(self.section, {}).get(self.name)
        if held is None:
            return self
        kind = held.get("type") or "" if keep_type else self.type
        return self._replace(type=kind, description=self.description or held.get("description") or "")


def flatten(parameters: Mapping[str, object], *, section: str) -> list[HyperParameter]:
    """Turn nested parameters into stored ones, in their order; the names of nested dictionaries are joined with `/`.

    Args:
        parameters: The values by name; other keys than strings are taken as their `str()`.
        section: Where they belong. What follows a `/` in it becomes the beginning of every name.

    Raises:
        UnsupportedTypeError: if a value, also one inside a container, cannot be stored.
        ValidationError: if the section or a key is empty, two keys give one flat name, or a container holds itself or is nested too
            deep.
    """
    section, _, prefix = section.partition("/")
    if not section.strip():
        raise ValidationError("the section of a parameter is empty; give a name such as 'General'")
    prefix = f"{prefix}/" if prefix else ""
    found: dict[str, HyperParameter] = {}
    try:
        for name, value in _leaves(parameters, prefix, section, ()):
            if name in found:
                raise ValidationError(f"two parameters have the one flat name {section}/{name}; rename one of the keys that lead to it")
            found[name] = item_of(section, name, value)
    except RecursionError as error:
        raise ValidationError(f"the parameters of section {section} are nested too deep; store them as an artifact") from error
    return list(found.values())


def item_of(section: str, name: str, value: object) -> HyperParameter:
    """Return what is stored for one value.

    Raises:
        UnsupportedTypeError: if it cannot be stored; says the place.
    """
    text, kind = encode(value, f"{section}/{name}")
    return HyperParameter(encodable(section), encodable(name), encodable(text), kind)


def merged(*args: Mapping[str, object] | Iterable[tuple[str, object]], **kwargs: object) -> dict[str, object]:
    """Return dictionaries, iterables of pairs and keywords as one dictionary; later ones win.

    Raises:
        ValidationError: if one of them is neither.
    """
    found: dict[str, object] = {}
    for given in args:
        try:
            pairs = dict(given)
        except (TypeError, ValueError) as error:
            raise ValidationError(
                f"parameters are given as dictionaries or as iterables of (name, value) pairs, not as {type(given).__name__}: {given!r}"
            ) from error
        found |= {str(name): value for name, value in pairs.items()}
    return found | kwargs


def find(name: str, sections: Sections) -> list[tuple[str, str]]:
    """Return the section and name of every parameter that a name may mean: the one of this flat name, else those of a section each.

    Raises:
        ValidationError: if the name is no text.
    """
    if not isinstance(name, str):
        raise ValidationError(f"the name of a parameter is a text such as 'General/rate', not {name!r}")
    name = encodable(name)
    section, _, rest = name.partition("/")
    if rest in sections.get(section, {}):
        return [(section, rest)]
    return [(section, name) for section, items in sections.items() if name in items]


def place_of(name: str, sections: Sections) -> tuple[str, str]:
    """Return the section and name under which a value is to be stored: where it is already, else where its name says, else `General`.

    Raises:
        ValidationError: if several sections hold the name; lists them. If it, or its section, is empty. If it is no text.
    """
    found = find(name, sections)
    if len(found) > 1:
        names = ", ".join(f"{section}/{rest}" for section, rest in found)
        raise ValidationError(f"the parameter {name!r} may be one of {names}: write the name with its section")
    if found:
        return found[0]
    section, slash, rest = name.partition("/")
    if not slash:
        section, rest = DEFAULT_SECTION, name
    if not section.strip() or not rest.strip():
        raise ValidationError(f"the parameter {name!r} has an empty name or section; give each at least one character")
    return section, rest


def flat_name(section: str, name: str, item: StoredItem, *, bare_legacy: bool) -> str:
    """Return the flat name of a parameter; `bare_legacy` leaves out the section of those from before there were sections."""
    return name if bare_legacy and section == _ARGUMENTS and item.get("type") == _LEGACY else f"{section}/{name}"


def adopt(
    parameters: Mapping[Any, object],
    held: Mapping[str, StoredItem],
    refuse: Callable[[str, str, str], None],
    *,
    prefix: str = "",
    declared: Mapping[str, type] | None = None,
) -> dict[Any, Any]:
    """Return parameters with the values that a home has for them, each cast to the type of what the code would use by itself.

    Args:
        parameters: The code's own, nested.
        held: What the home has in their section, by flat name.
        refuse: Called with name, text and wanted type of what cannot be cast; the code's own value is kept then.
        prefix: What stands before their names within the section.
        declared: The wanted types of those whose value is None, by flat name.
    """
    found: dict[Any, Any] = {}
    for key, value in parameters.items():
        name = f"{prefix}{key}"
        found[key] = value
        if isinstance(value, Mapping) and value:
            found[key] = adopt(value, held, refuse, prefix=f"{name}/", declared=declared)
        elif (item := held.get(name)) is not None:
            text, wanted = item.get("value") or "", (declared or {}).get(name)
            try:
                found[key] = cast(text, value, item.get("type") or "", wanted)
            except (ValueError, TypeError):
                refuse(name, text, type_name(value, wanted))
    return found


def as_nested_dict(hyperparams: Sections) -> NestedParameters:
    """Turn stored parameters, by section and name, into nested dictionaries of their texts; every `/` in a name nests.

    Where a name is also the beginning of another one (`a` and `a/b`), both are kept: the longer one stays unsplit from there on
    (`{"a": ..., "a/b": ...}`), so that nothing is lost and `flatten` gives the same flat names again.
    """
    return {section: _nest({name: item.get("value") or "" for name, item in items.items()}) for section, items in hyperparams.items()}


def _nest(values: Mapping[str, str]) -> NestedParameters:
    nested: NestedParameters = {}
    for name, value in values.items():
        *folders, last = _split(name, values)
        level = nested
        for folder in folders:
            # Always a dictionary: `_split` never goes below a name that holds a value itself.
            level = level.setdefault(folder, {})  # type: ignore[assignment]
        level[last] = value
    return nested


def _split(name: str, taken: Mapping[str, str]) -> list[str]:
    """The parts of a name, as far as no beginning of it is a parameter of its own; a name with an empty part stays whole."""
    parts = name.split("/")
    if not all(map(str.strip, parts)):
        return [name]
    for length in range(1, len(parts)):
        if "/".join(parts[:length]) in taken:
            return [*parts[: length - 1], "/".join(parts[length - 1 :])]
    return parts


def _leaves(values: Mapping[str, object], prefix: str, section: str, inside: tuple[int, ...]) -> Iterator[tuple[str, object]]:
    inside = enter(values, f"{section}/{prefix}".rstrip("/"), inside)
    for key, value in values.items():
        text = str(key)
        if not text.strip():
            raise ValidationError(f"a parameter below {section}/{prefix} has an empty name; give every key at least one character")
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{text}/", section, inside)
        else:
            yield prefix + text, value


def encodable(text: str) -> str:
    """The text without lone surrogates (undecodable file names have them), which no transport could encode."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
