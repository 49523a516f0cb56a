"""Validates recorded requests against the request schemas inside the official package. Runs in a venv that has `clearml`.

    python check.py [--api 2.9 2.13 2.23] < requests.jsonl

Each line of the input is `{"endpoint": "tasks.edit", "version": "2.13", "body": {...}}`; of `events.add_batch` the body is the list of its
events. Without `--api` each request is checked against the newest schemas that are not newer than the version it asks for. Prints JSON:
`checked` (requests by API version), `violations` (what a schema does not allow), `extras` (fields that it does not name, which servers
ignore) and `unknown` (endpoints without a schema at that version), and ends with 1 when there are violations.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from importlib import import_module
from typing import Any

import jsonschema

KNOWN = ((2, 9), (2, 13), (2, 20), (2, 23))
"""The API versions that the package has schemas of."""
LOOSE = {"auth.login"}
"""Sent without a class of its own."""
CHOICES = {"level", "type"}
"""Fields of events whose values are counted up in a schema; of others it says the type."""
SEEN: set[Any] = set()
"""What events looked like that were checked."""


@lru_cache
def schema_of(endpoint: str, version: tuple[int, int]) -> Any:
    """The schema of an endpoint's request; None when the package has none at that version."""
    service, _, action = endpoint.partition(".")
    try:
        module = import_module(f"clearml.backend_api.services.v{version[0]}_{version[1]}.{service}")
    except ImportError:
        return None
    for name, found in sorted(vars(module).items()):
        if name.endswith("Request") and getattr(found, "_action", None) == action and name not in {"Request", "BatchRequest"}:
            batched = getattr(found, "_batched_request_cls", None)
            return (batched or found)._schema
    return None


def named_fields(schema: dict[str, Any]) -> set[str] | None:
    """The fields that a schema names; None when it is a choice of several."""
    return set(schema["properties"]) if "properties" in schema else None


def _unlike(endpoint: str, version: tuple[int, int], events: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The events of a batch that say something new to a schema: of a million, most have the same fields of the same types."""
    for event in events:
        looks = tuple((name, repr(value) if name in CHOICES else type(value)) for name, value in sorted(event.items()))
        if (endpoint, version, looks) not in SEEN or any(isinstance(value, list | dict) for value in event.values()):
            SEEN.add((endpoint, version, looks))
            yield event


def check(endpoint: str, body: Any, version: tuple[int, int]) -> tuple[list[str], list[str]] | None:
    """What a body has that its schema does not allow, and the fields that it does not name; None without a schema."""
    schema = schema_of(endpoint, version)
    if schema is None:
        return None
    validator = jsonschema.Draft7Validator(schema)
    named = named_fields(schema)
    violations: list[str] = []
    extras: set[str] = set()
    for part in _unlike(endpoint, version, body) if isinstance(body, list) else [body]:
        for error in validator.iter_errors(part):
            place = "/".join(str(step) for step in error.absolute_path) or "the body"
            violations.append(f"{place}: {error.message[:300]}")
        if named is not None:
            extras |= set(part) - named
    return violations, sorted(extras)


def versions_for(requested: str, chosen: list[str]) -> list[tuple[int, int]]:
    """The versions of the schemas to check a request against."""
    if chosen:
        return [tuple(map(int, version.split("."))) for version in chosen]  # type: ignore[misc]
    asked = tuple(map(int, requested.split(".")))
    return [max((known for known in KNOWN if known <= asked), default=KNOWN[0])]


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--api", nargs="*", default=[])
    options = parser.parse_args()
    checked: Counter[str] = Counter()
    violations, extras, unknown = [], Counter[str](), Counter[str]()
    for line in sys.stdin:
        request = json.loads(line)
        endpoint = request["endpoint"]
        for version in versions_for(request["version"], options.api):
            name = f"{version[0]}.{version[1]}"
            found = None if endpoint in LOOSE else check(endpoint, request["body"], version)
            if found is None:
                unknown[f"{endpoint} {name}"] += 1
                continue
            checked[name] += 1
            violations += [{"endpoint": endpoint, "api": name, "violation": text} for text in found[0]]
            extras.update(f"{endpoint} {name}: {field}" for field in found[1])
    json.dump({"checked": checked, "violations": violations, "extras": extras, "unknown": unknown}, sys.stdout)
    return 1 if violations else 0


if __name__ == "__main__":
    raise SystemExit(main())
