"""Queries as the server understands them: filters, order, pages, chosen fields. Pure: over dictionaries, wherever they come from."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from atrains.errors import ServerError

PAGE_CAP: Final = 500
"""Server: the most that one answer holds, asked for or not."""

_COMPARISON: Final = re.compile(r"(>=|<=|>|<|=)?(.+)")
_MISSING: Final = object()

Fields = Mapping[str, Any]
Predicate = Callable[[Fields], bool]


def refuse(subcode: int, message: str, *, code: int = 400) -> ServerError:
    """An error as a service raises it; the endpoint's name is added where the service was called."""
    return ServerError(message, code=code, subcode=subcode, endpoint="")


def take(request: Fields, name: str, kind: type[Any], default: Any = _MISSING) -> Any:
    """A field of a request, checked for its type; null counts as not given.

    Raises:
        ServerError: 400/12, it is missing and has no default, or is of another type.
    """
    value = request.get(name)
    if value is None:
        if default is _MISSING:
            raise refuse(12, f"Validation error: field {name} is required")
        return default
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
        raise refuse(12, f"Validation error: field {name} must be of type {kind.__name__}, not {type(value).__name__}")
    return value


def take_strings(request: Fields, name: str) -> list[str] | None:
    """A field of a request that is a list of strings; None when it was not given.

    Raises:
        ServerError: 400/12, it is something else.
    """
    value: list[str] | None = take(request, name, list, None)
    if value is not None and not all(isinstance(item, str) for item in value):
        raise refuse(12, f"Validation error: field {name} must be a list of strings")
    return value


def matching(pattern: str, *, ignore_case: bool = False) -> re.Pattern[str]:
    """A compiled pattern of a request; it matches anywhere in a text.

    Raises:
        ServerError: 400/21, it is no regular expression.
    """
    try:
        return re.compile(pattern, re.IGNORECASE if ignore_case else 0)
    except re.error as error:
        raise refuse(21, f"Bad regular expression: {pattern!r} ({error})") from error


def text_filters(request: Fields, names: Iterable[str]) -> list[Predicate]:
    """Filters by regular expression: the named fields (case sensitive), and `_any_` and `_all_` over fields (not)."""
    predicates: list[Predicate] = []
    for name in names:
        pattern = take(request, name, str, None)
        if pattern:
            predicates.append(_text_filter(matching(pattern), [name], any))
    for name, combine in (("_any_", any), ("_all_", all)):
        query = take(request, name, dict, None)
        if query is not None:
            pattern = matching(take(query, "pattern", str), ignore_case=True)
            predicates.append(_text_filter(pattern, take_strings(query, "fields") or [], combine))
    return predicates


def search_filter(request: Fields, names: Sequence[str]) -> list[Predicate]:
    """The filter `search_text`: the text stands in one of the fields, in whatever case."""
    text = take(request, "search_text", str, None)
    return [_text_filter(re.compile(re.escape(text), re.IGNORECASE), names, any)] if text else []


def _text_filter(pattern: re.Pattern[str], names: Sequence[str], combine: Callable[[Iterable[bool]], bool]) -> Predicate:
    return lambda record: combine(pattern.search(str(value_at(record, name) or "")) is not None for name in names)


def list_filters(request: Fields, names: Iterable[str]) -> list[Predicate]:
    """Filters by a list: one of its values is the field's, or in it; `-x` excludes; `__$all`, `__$or`, `__$not` as the server has them."""
    predicates: list[Predicate] = []
    for name in names:
        wanted = take_strings(request, name)
        if wanted:
            predicates.append(_list_filter(name, wanted))
    return predicates


def _list_filter(name: str, wanted: Sequence[str]) -> Predicate:
    any_of, all_of, none_of = set[str](), set[str](), set[str]()
    chosen, negated = any_of, False
    for item in wanted:
        match item:
            case "__$all" | "__$and":
                chosen = all_of
            case "__$or" | "__$any":
                chosen = any_of
            case "__$not":
                negated = True
            case _ if item.startswith("__$"):
                raise refuse(12, f"Validation error: {item} is no operator of a list filter (field {name})")
            case _ if negated or item.startswith("-"):
                none_of.add(item if negated else item[1:])
                negated = False
            case _:
                chosen.add(item)

    def accepts(record: Fields) -> bool:
        value = record.get(name)
        held = set(value) if isinstance(value, list) else {value}
        return (not any_of or not any_of.isdisjoint(held)) and all_of <= held and none_of.isdisjoint(held)

    return accepts


def date_filters(request: Fields, names: Iterable[str]) -> list[Predicate]:
    """Filters by dates: `>=2020-01-01T00:00:00` and the like, all of which must hold."""
    predicates: list[Predicate] = []
    for name in names:
        given = request.get(name)
        texts = [given] if isinstance(given, str) else take_strings(request, name) or []
        predicates.extend(_date_filter(name, text) for text in texts)
    return predicates


def _date_filter(name: str, text: str) -> Predicate:
    found = _COMPARISON.fullmatch(text)
    try:
        moment = datetime.fromisoformat(found[2]) if found else None
    except ValueError:
        moment = None
    if found is None or moment is None:
        raise refuse(12, f"Validation error: {text!r} is no date filter (field {name}); one looks like '>=2020-01-01T00:00:00'")
    moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    edge = moment.isoformat(timespec="microseconds")
    operators: dict[str, Callable[[str], bool]] = {
        ">=": lambda value: value >= edge,
        "<=": lambda value: value <= edge,
        ">": lambda value: value > edge,
        "<": lambda value: value < edge,
    }
    compare: Callable[[str], bool] = operators.get(found[1] or "=", edge.__eq__)
    return lambda record: isinstance(value := record.get(name), str) and compare(value)


def order_of(request: Fields, known: Collection[str]) -> list[tuple[str, bool]]:
    """The `order_by` of a request: dotted paths, and whether each is descending.

    Raises:
        ServerError: 400/14, a name that no record has.
    """
    order_by = [request["order_by"]] if isinstance(request.get("order_by"), str) else take_strings(request, "order_by") or []
    order = [(name.removeprefix("-"), name.startswith("-")) for name in order_by]
    _check_known([name for name, _ in order], known, "order_by")
    return order


def only_fields_of(request: Fields, known: Collection[str]) -> list[str] | None:
    """The `only_fields` of a request; None for all.

    Raises:
        ServerError: 400/14, a name that no record has.
    """
    names = take_strings(request, "only_fields")
    if names:
        _check_known(names, known, "only_fields")
    return names or None


def _check_known(names: Iterable[str], known: Collection[str], where: str) -> None:
    unknown = sorted(name for name in names if root_of(name) not in known)
    if unknown:
        raise refuse(14, f"Invalid fields: {', '.join(unknown)} (in {where})")


def root_of(path: str) -> str:
    """The top-level field of a dotted path."""
    return path.partition(".")[0]


def value_at(record: Fields, path: str) -> Any:
    """The value at a dotted path; None when there is none."""
    value: Any = record
    for part in path.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return value


def sort(records: list[dict[str, Any]], order: Sequence[tuple[str, bool]]) -> None:
    """Sort in place; what lacks the field, or has another type there, comes first, as in the server's database."""
    for path, descending in reversed(order):
        records.sort(key=lambda record: _rank(value_at(record, path)), reverse=descending)


def _rank(value: Any) -> tuple[int, Any]:
    if isinstance(value, int | float):
        return (1, value)
    if isinstance(value, str):
        return (2, value)
    return (0, 0) if value is None else (3, str(value))


def page_of(records: Sequence[dict[str, Any]], request: Fields) -> list[dict[str, Any]]:
    """The page that a request asks for, counted from 0.

    Raises:
        ServerError: 400/12, a page that cannot be.
    """
    page, size = take(request, "page", int, 0), take(request, "page_size", int, PAGE_CAP)
    if page < 0 or size < 1:
        raise refuse(12, f"Validation error: page must be at least 0 and page_size at least 1, not {page} and {size}")
    size = min(size, PAGE_CAP)
    return list(records[page * size : (page + 1) * size])


def project_fields(record: Fields, paths: Iterable[str]) -> dict[str, Any]:
    """A copy of a record with its id and what stands at the given paths."""
    chosen: dict[str, Any] = {"id": record["id"]}
    for path in paths:
        source: Any = record
        target = chosen
        *above, name = path.split(".")
        for part in above:
            source = source.get(part) if isinstance(source, Mapping) else None
        if not isinstance(source, Mapping) or name not in source:
            continue
        for part in above:
            target = target.setdefault(part, {})
        target[name] = source[name]
    return chosen
