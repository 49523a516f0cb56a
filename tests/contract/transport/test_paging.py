"""Long lists, read page by page while others create, delete and edit: nothing that is there all the time is missed or met twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from atrains._async.paging import walk
from atrains._transport.base import Transport
from atrains._wire import endpoints
from tests.contract.transport.test_transport_tasks import new_task

PAGE = 7


class Listing:
    """The list of a server, as its rules for pages are: counted from the beginning, at each call anew."""

    def __init__(self, rows: list[dict[str, Any]], changes: list[Callable[[list[dict[str, Any]]], object]]) -> None:
        self.rows = rows
        self.calls = 0
        self._changes = changes

    async def ask(self, request: Mapping[str, Any]) -> list[dict[str, Any]]:
        assert request["page_size"] <= 500
        rows = self.rows
        if "id" in request:
            rows = [row for row in rows if row["id"] in request["id"]]
        for name in reversed(request.get("order_by", ())):
            rows = sorted(rows, key=lambda row: row[name.removeprefix("-")], reverse=name.startswith("-"))
        begin = request["page"] * request["page_size"]
        found = [dict(row) for row in rows[begin : begin + request["page_size"]]]
        self.calls += 1
        if self._changes:
            self._changes.pop()(self.rows)
        return found


def row(number: int) -> dict[str, Any]:
    return {"id": f"{number:04}", "created": number // 2, "last_update": number % 5}


def removal(places: list[int]) -> Callable[[list[dict[str, Any]]], object]:
    return lambda rows: [rows.pop(place % len(rows)) for place in places if rows]


def addition(numbers: list[int]) -> Callable[[list[dict[str, Any]]], object]:
    return lambda rows: rows.extend(row(1000 + len(rows) * 100 + number) for number in numbers)


def edit(places: list[int]) -> Callable[[list[dict[str, Any]]], object]:
    return lambda rows: [rows[place % len(rows)].update(last_update=place) for place in places if rows]


CHANGES = st.lists(
    st.builds(
        lambda kind, numbers: kind(numbers),
        st.sampled_from([removal, addition, edit]),
        st.lists(st.integers(0, 60), max_size=20, unique=True),
    ),
    max_size=8,
)


@settings(deadline=None, max_examples=300)
@given(
    count=st.integers(0, 80),
    changes=CHANGES,
    order=st.sampled_from([None, ["created"], ["-created"], ["-last_update"], ["last_update", "created"]]),
)
async def test_what_stays_is_met_once_whatever_happens_meanwhile(
    count: int, changes: list[Callable[[list[dict[str, Any]]], object]], order: list[str] | None
) -> None:
    listing = Listing([row(number) for number in range(count)], changes)
    request = {} if order is None else {"order_by": order}
    found = [record["id"] async for record in walk(listing.ask, request, page=PAGE)]
    staying = {record["id"] for record in listing.rows} & {row(number)["id"] for number in range(count)}
    assert len(found) == len(set(found))
    assert staying <= set(found)
    if order in (None, ["created"]):
        assert [record for record in found if record in staying] == sorted(staying)


async def test_a_list_that_stands_still_costs_a_call_a_page() -> None:
    listing = Listing([row(number) for number in range(5_000)], [])
    assert [record["id"] async for record in walk(listing.ask, {})] == [row(number)["id"] for number in range(5_000)]
    assert listing.calls <= 11
    listing.calls = 0
    assert len([record async for record in walk(listing.ask, {"order_by": ["-last_update"]}, most=5, page=PAGE)]) == 5
    assert listing.calls == 1
    assert len([record async for record in walk(listing.ask, {}, most=10, page=PAGE)]) == 10


async def test_tasks_that_are_deleted_and_edited_between_two_pages_hide_no_others(transport: Transport) -> None:
    tasks = [await new_task(transport, f"task {number}") for number in range(40)]
    gone, edited = tasks[2:9], tasks[-1]
    asked: list[list[str]] = []

    async def ask(request: Mapping[str, Any]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await transport.call(endpoints.TASKS_GET_ALL, request))["tasks"]
        asked.append([task["id"] for task in found])
        if len(asked) == 2:
            await asyncio.gather(*(transport.call(endpoints.TASKS_DELETE, {"task": task, "force": True}) for task in gone))
            await transport.call(endpoints.TASKS_EDIT, {"task": edited, "comment": "now the one updated last"})
        return found

    request = {"only_fields": ["id"], "project": []}
    assert [task["id"] async for task in walk(ask, request, page=PAGE)] == tasks
    rest = [task for task in tasks if task not in gone]
    gone, edited = rest[-12:-8], rest[0]
    asked.clear()
    found = [task["id"] async for task in walk(ask, {**request, "order_by": ["-last_update"]}, page=PAGE)]
    assert len(found) == len(set(found))
    assert set(rest) - set(gone) <= set(found)
