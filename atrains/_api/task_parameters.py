"""TaskParameters: parameters as a class, declared with their types, limits and descriptions. No I/O; `Task.connect` stores them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

from atrains.errors import ValidationError
from atrains.types import UNSET


class Declaration(NamedTuple):
    """What is known of one parameter of a class.

    Attributes:
        default: Its value where none is given; UNSET for None, which is then no value of its type.
        type: What values are converted to; None to leave them as they are.
        description: What it is for.
        range: The least and the greatest value.
        validator: Called with each value; raises, or returns False, for one that is not allowed.
        converter: Called with each value, instead of `type`.
    """

    default: Any = UNSET
    type: type | None = None
    description: str = ""
    range: tuple[float, float] | None = None
    validator: Callable[[Any], object] | None = None
    converter: Callable[[Any], Any] | None = None

    def check(self, name: str, value: Any) -> Any:
        """Return a value as it is kept.

        Raises:
            ValidationError: if it is not allowed; names it.
        """
        convert = self.converter or (None if self.type is None or isinstance(value, self.type) else self.type)
        if value is None:
            return None
        try:
            kept = value if convert is None else convert(value)
        except (TypeError, ValueError) as error:
            wanted = self.type.__name__ if self.type is not None else "value of its kind"
            raise ValidationError(f"the parameter {name} = {value!r} is no {wanted}") from error
        if self.range is not None and not self.range[0] <= kept <= self.range[1]:
            raise ValidationError(f"the parameter {name} = {kept!r} is not between {self.range[0]} and {self.range[1]}")
        if self.validator is not None and self.validator(kept) is False:
            raise ValidationError(f"the parameter {name} = {kept!r} is not allowed")
        return kept


def param(
    default: Any = UNSET,
    *,
    type: type | None = None,  # the names that programs use
    desc: str = "",
    range: tuple[float, float] | None = None,
    validator: Callable[[Any], object] | None = None,
    converter: Callable[[Any], Any] | None = None,
) -> Any:
    """Declare a parameter of a `TaskParameters` class.

    Args:
        default: Its value where none is given; None where this is left out.
        type: What values are converted to.
        desc: What it is for; shown beside it in the home.
        range: The least and the greatest value that are allowed.
        validator: Called with each value; raises, or returns False, for one that is not allowed.
        converter: Called with each value to make what is kept, instead of `type`.

    Returns:
        The declaration, to be assigned to a name in the class.
    """
    return Declaration(default, type, desc, None if range is None else (range[0], range[1]), validator, converter)


def percent_param(default: Any = UNSET, *, desc: str = "", validator: Callable[[Any], object] | None = None) -> Any:
    """Declare a parameter that is a part of a whole, between 0.0 and 1.0.

    Args:
        default: Its value where none is given.
        desc: What it is for.
        validator: As of `param`.

    Returns:
        The declaration, to be assigned to a name in the class.
    """
    return param(default, type=float, desc=desc, range=(0.0, 1.0), validator=validator)


class TaskParameters:
    """The base of classes that declare the parameters of a task.

    What a class of yours assigns to a public name is a parameter: with `param(...)`, with a plain default, or, in a data class, as a field.

    Example:
        >>> class MyParameters(TaskParameters):
        ...     iterations = param(100, type=int, desc="how many iterations to run", range=(0, 100_000))
        ...     target_accuracy = percent_param(0.9, desc="when to stop")
        >>> parameters = MyParameters(iterations=200)
        >>> task.connect(parameters)
    """

    declared: ClassVar[Mapping[str, Declaration]] = {}
    """The parameters of the class, by name, in their order."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        own: dict[str, Declaration] = {}
        annotations = inspect.get_annotations(cls)
        for name in (*annotations, *(name for name in vars(cls) if name not in annotations)):
            value = vars(cls).get(name, UNSET)
            if name.startswith("_") or name == "declared" or "ClassVar" in str(annotations.get(name, "")):
                continue
            if isinstance(value, Declaration):
                own[name] = value
                setattr(cls, name, None if value.default is UNSET else value.check(name, value.default))
            elif name in annotations or not (callable(value) or hasattr(value, "__get__")):
                own[name] = Declaration(value)
        cls.declared = {**cls.declared, **own}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Make parameters of the class.

        Args:
            *args: Values in the order in which the class declares them.
            **kwargs: Values by name; what is not given has its default.

        Raises:
            ValidationError: a name that the class does not declare, or a value that it does not allow.
        """
        if len(args) > len(self.declared):
            raise ValidationError(f"{type(self).__name__} has {len(self.declared)} parameters, and {len(args)} were given")
        given = dict(zip(self.declared, args, strict=False))
        if twice := given.keys() & kwargs.keys():
            raise ValidationError(f"{type(self).__name__} was given {', '.join(sorted(twice))} twice")
        defaults = {name: None if known.default is UNSET else known.default for name, known in self.declared.items()}
        self.update_from_dict(defaults | given | kwargs)

    def __setattr__(self, name: str, value: Any) -> None:
        known = self.declared.get(name)
        super().__setattr__(name, value if known is None else known.check(name, value))

    def to_dict(self) -> dict[str, Any]:
        """Return the values by name."""
        return {name: getattr(self, name, None) for name in self.declared}

    def update_from_dict(self, source_dict: Mapping[str, Any]) -> None:
        """Set values by name.

        Args:
            source_dict: Some or all of them.

        Raises:
            ValidationError: a name that the class does not declare, or a value that it does not allow; nothing is set then.
        """
        unknown = [name for name in source_dict if name not in self.declared]
        if unknown:
            names = ", ".join(self.declared) or "none"
            raise ValidationError(f"{type(self).__name__} has no parameter {unknown[0]!r}; it has: {names}")
        for name, value in source_dict.items():
            self.declared[name].check(name, value)
        for name, value in source_dict.items():
            setattr(self, name, value)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and isinstance(other, TaskParameters) and other.to_dict() == self.to_dict()

    __hash__ = None  # type: ignore[assignment]  # it can be changed

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.to_dict().items())})"
