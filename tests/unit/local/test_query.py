"""Filters, order, pages and chosen fields, as the server has them."""

from __future__ import annotations

from typing import Any

import pytest

from atrains._local import query
from atrains.errors import ServerError

RECORDS: list[dict[str, Any]] = [
    {"id": "1", "name": "one", "tags": ["a", "b"], "created": "2020-01-01T00:00:00.000000+00:00", "size": 10},
    {"id": "2", "name": "two", "tags": ["b"], "created": "2020-01-02T00:00:00.000000+00:00", "size": 9},
    {"id": "3", "name": "three", "tags": [], "created": "2020-01-03T00:00:00.000000+00:00"},
    {"id": "4", "name": "four"},
]


def ids(predicates: list[query.Predicate]) -> str:
    return "".join(record["id"] for record in RECORDS if all(accepts(record) for accepts in predicates))


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (["a"], "1"),
        (["a", "b"], "12"),
        (["-a"], "234"),
        (["b", "-a"], "2"),
        (["__$all", "a", "b"], "1"),
        (["__$not", "a"], "234"),
        (["__$all", "b", "__$not", "a"], "2"),
        (["__$all", "b", "__$or", "a"], "1"),
        ([], "1234"),
    ],
)
def test_lists_of_tags(tags: list[str], expected: str) -> None:
    assert ids(query.list_filters({"tags": tags}, ["tags"])) == expected


@pytest.mark.parametrize(
    ("dates", "expected"),
    [
        ([">=2020-01-02T00:00:00"], "23"),
        ([">2020-01-02T00:00:00Z"], "3"),
        (["<2020-01-02T01:00:00+01:00"], "1"),
        ([">=2020-01-01", "<=2020-01-02"], "12"),
        (["=2020-01-03"], "3"),
        (["2020-01-03"], "3"),
    ],
)
def test_dates_compare_as_moments(dates: list[str], expected: str) -> None:
    assert ids(query.date_filters({"created": dates}, ["created"])) == expected


def test_order_is_stable_over_several_keys_and_missing_values_come_first() -> None:
    records = [dict(record) for record in RECORDS]
    query.sort(records, [("size", False), ("name", True)])
    assert "".join(record["id"] for record in records) == "3421"


@pytest.mark.parametrize(
    "bad",
    [
        lambda: query.list_filters({"tags": "a"}, ["tags"]),
        lambda: query.list_filters({"tags": [1]}, ["tags"]),
        lambda: query.list_filters({"tags": ["__$xor"]}, ["tags"]),
        lambda: query.date_filters({"created": [">yesterday"]}, ["created"]),
        lambda: query.page_of([], {"page": -1}),
        lambda: query.page_of([], {"page_size": 0}),
        lambda: query.take({"force": 1}, "force", bool),
        lambda: query.take({"page": True}, "page", int),
    ],
)
def test_what_cannot_be_understood_is_a_validation_error(bad: Any) -> None:
    with pytest.raises(ServerError) as caught:
        bad()
    assert (caught.value.code, caught.value.subcode) == (400, 12)


def test_chosen_fields_come_as_a_copy_of_their_branch() -> None:
    record = {"id": "1", "a": {"b": {"c": 1, "d": 2}, "e": 3}, "f": 4}
    assert query.project_fields(record, ["a.b.c", "f", "a.x", "f.y", "z"]) == {"id": "1", "a": {"b": {"c": 1}}, "f": 4}
