"""`last_metrics`, what a task's record holds of each of its curves: sorted out by title and series; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from atrains._wire.events import MONITOR_TITLES, SINGLE_VALUE_TITLE
from atrains.types import MetricSummary


def shown_title(title: str) -> str:
    """A title as people see it: the two of the resource monitor have other names for servers than for them."""
    return f":resource monitor: {title.rpartition(':')[2]}" if title in MONITOR_TITLES else title


def by_title(record: Mapping[str, Any]) -> dict[str, dict[str, dict[str, Any]]]:
    """The entries of `last_metrics` by title and series, in this order. Server: they are keyed by digests of both."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    entries = [entry for variants in (record.get("last_metrics") or {}).values() for entry in variants.values()]
    for entry in sorted(entries, key=lambda entry: (entry["metric"], entry["variant"])):
        found.setdefault(entry["metric"], {})[entry["variant"]] = entry
    return found


def iteration_behind(record: Mapping[str, Any]) -> int:
    """The iteration from which a run goes on: behind its last one; 0 where it reported no curve but those of its machine."""
    last = int(record.get("last_iteration") or 0)
    return last + 1 if last or by_title(record).keys() - MONITOR_TITLES - {SINGLE_VALUE_TITLE} else 0


def summary_of(entry: Mapping[str, Any]) -> MetricSummary:
    """What an entry of `last_metrics` says. Server: before ClearML 1.0 it says nothing about iterations and counts."""
    return {
        "last": entry["value"],
        "min": entry["min_value"],
        "max": entry["max_value"],
        "last_iteration": entry.get("value_iteration"),
        "min_iteration": entry.get("min_value_iteration"),
        "max_iteration": entry.get("max_value_iteration"),
        "count": entry.get("count"),
    }
