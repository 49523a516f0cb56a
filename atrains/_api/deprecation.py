"""Members that the documentation calls deprecated: they work, and warn whoever calls them, in both worlds."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

P = ParamSpec("P")
R = TypeVar("R")


def deprecated(*, since: str, instead: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Have a method or a coroutine of a task warn at the line that calls it, before anything is done and before it is awaited.

    Args:
        since: The version of the documentation that deprecated it.
        instead: The member of `Task` to use.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        message = f"Task.{function.__name__} is deprecated since version {since}: use Task.{instead} instead"

        @functools.wraps(function)
        def warned(*args: P.args, **kwargs: P.kwargs) -> R:
            warnings.warn(message, DeprecationWarning, stacklevel=2)
            return function(*args, **kwargs)

        return warned

    return decorate


def quietly(method: Callable[P, R]) -> Callable[P, R]:
    """A deprecated method of an object without its warning: for the twin that has warned already."""
    bound = cast("Any", method)
    return functools.partial(bound.__wrapped__, bound.__self__)
