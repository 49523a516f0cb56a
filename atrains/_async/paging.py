"""Lists of any length, of tasks, models and projects: a server gives 500 of them at most, and does not say that there are more.

Its pages are counted from the beginning of the list, so that what vanishes in front of one moves others over its edge. A page is taken
here only where it begins with what is known already.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias

PAGE: Final = 500
"""Server: a page has at most so many."""
_FIXED: Final = frozenset({"created", "id"})
"""What does not change of a record: in an order by other fields, one may move to where the walk has been."""

Ask: TypeAlias = Callable[[dict[str, Any]], Awaitable[list[dict[str, Any]]]]
"""Calls the home with a request, and gives the records of its answer."""


async def walk(ask: Ask, request: Mapping[str, Any], *, most: int | None = None, page: int = PAGE) -> AsyncGenerator[dict[str, Any]]:
    """Yield every record that matches once, whatever vanishes or appears meanwhile.

    Args:
        ask: Calls the home.
        request: Filters, fields and order; the oldest come first by default. The order is made total by the id.
        most: How many at most; None for all.
        page: Records of one answer at most.

    Yields:
        The records in their order. What changes its place in an order by other fields than `created` meanwhile may come last.
    """
    order = [*(request.get("order_by") or ["created"]), "id"]
    known: set[str] = set()
    async for record in _walk(ask, {**request, "order_by": order}, known, page if most is None else min(page, most)):
        yield record
        if most is not None and len(known) >= most:
            return
    if len(known) < page or _FIXED.issuperset(name.removeprefix("-") for name in order):
        return
    by_age = {**request, "order_by": ["created", "id"], "only_fields": ["id"]}
    moved = [record["id"] async for record in _walk(ask, by_age, set(), page) if record["id"] not in known]
    for begin in range(0, len(moved), page):
        for record in await ask({**request, "id": moved[begin : begin + page], "page": 0, "page_size": page}):
            yield record


async def _walk(ask: Ask, request: Mapping[str, Any], known: set[str], page: int) -> AsyncGenerator[dict[str, Any]]:
    """Yield what is not known yet, and make it known."""
    start, back = 0, page
    while True:
        number, size = _page_at(start, page)
        begin = number * size
        found = await ask({**request, "page": number, "page_size": size})
        if begin and (not found or found[0]["id"] not in known):
            # Something in front of this page has vanished, and others have moved there: they are met on the way from further back.
            start, back = max(0, begin - back), 2 * back
            continue
        for record in found:
            if record["id"] not in known:
                known.add(record["id"])
                yield record
        if len(found) < size:
            return
        start, back = begin + size - 1, page


def _page_at(start: int, most: int) -> tuple[int, int]:
    """The number and size of a page that begins at a place or a little before it, with as much behind that place as can be."""
    if start <= 0:
        return 0, most
    size = max(range(1, min(most, start) + 1), key=lambda size: size - start % size)
    return start // size, size
