"""Label enumerations: names of classes and their numbers. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral

from atrains.errors import UnsupportedTypeError, ValidationError


def check_labels(enumeration: object) -> dict[str, int]:
    """Return a label enumeration as it is stored.

    Raises:
        UnsupportedTypeError: it is no dictionary, or a name is no text or a number no integer; names it.
        ValidationError: a name is empty, or a number needs more than 64 bits.
    """
    if not isinstance(enumeration, Mapping):
        raise UnsupportedTypeError(f"a label enumeration is a dict of names and integers such as {{'background': 0}}, not {enumeration!r}")
    labels: dict[str, int] = {}
    for name, number in enumeration.items():
        if not isinstance(name, str):
            raise UnsupportedTypeError(f"the label {name!r} is no text; use a name such as {str(name)!r}")
        if not name:
            raise ValidationError("a label needs a name of at least one character")
        if not isinstance(number, Integral) or isinstance(number, bool):
            raise UnsupportedTypeError(f"the label {name!r} has the number {number!r}; use an integer")
        if not -(1 << 63) <= int(number) < 1 << 63:
            raise ValidationError(f"the label {name!r} has the number {number}, which does not fit in 64 bits; use a smaller one")
        labels[name] = int(number)
    return labels


def names_by_number(labels: Mapping[str, int]) -> dict[int, str]:
    """Return the names of each number, joined with commas, in the order of the numbers."""
    found: dict[int, list[str]] = {}
    for name, number in labels.items():
        found.setdefault(number, []).append(name)
    return {number: ",".join(found[number]) for number in sorted(found)}


def number_of_classes(labels: Mapping[str, int]) -> tuple[int, str | None]:
    """Return how many classes labels stand for, number 0 (the background) among them, and what looks wrong about it."""
    if not labels:
        return 0, "there are no labels, so there are 0 classes; connect some with connect_label_enumeration"
    highest = max(labels.values())
    positive = sum(number > 0 for number in labels.values())
    if highest != positive:
        return highest + 1, f"the highest number of a label is {highest}, but {positive} labels have a number above 0"
    return highest + 1, None
