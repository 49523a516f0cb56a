"""Pending: what a property that would do I/O returns in the async world."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from typing import Any, Generic, NoReturn, TypeVar

T_co = TypeVar("T_co", covariant=True)


class Pending(Generic[T_co]):
    """A value that is fetched when it is awaited, and not before: `await task.status`.

    Comparing it, testing it or looking into it is a mistake that would always go the same way, so each raises a TypeError instead.
    """

    __slots__ = ("_fetch", "_name")

    def __init__(self, name: str, fetch: Callable[[], Coroutine[Any, Any, T_co]]) -> None:
        self._name = name
        self._fetch = fetch

    def __await__(self) -> Generator[Any, Any, T_co]:
        return self._fetch().__await__()

    def _refuse(self, *_: object) -> NoReturn:
        raise TypeError(f"{self._name} has to be fetched: await {self._name} first")

    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __bool__ = __iter__ = __getitem__ = __len__ = __contains__ = __hash__ = _refuse

    def __repr__(self) -> str:
        return f"<Pending {self._name}: await it>"
