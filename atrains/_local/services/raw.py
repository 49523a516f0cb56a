"""The `events.*` endpoints that give events as they were reported, page by page, and those that say what was reported at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from atrains._local import query, scrolls, streams
from atrains._local.scrolls import Name, Plan, Position, Row, Wanted
from atrains._local.store import Store
from atrains._wire.events import EventKind

KINDS: Final[Mapping[str, EventKind]] = {
    "training_stats_scalar": EventKind.SCALARS,
    "plot": EventKind.PLOTS,
    "log": EventKind.LOGS,
    "training_debug_image": EventKind.IMAGES,
    "training_stats_vector": EventKind.VECTORS,
}
_BATCH: Final = 500
_LARGEST_BATCH: Final = 10_000
_RAW_BATCH: Final = 10_000
_LARGEST_RAW_BATCH: Final = 200_000
_PLOTS: Final = 10_000
_PLOT_BYTES: Final = 32 << 20
"""Bytes of the plots of one page: each page costs a look at all plots of the task."""


class _Walk:
    """One page of a walk over a task's events of one kind."""

    def __init__(self, store: Store, task: str, kind: EventKind, scroll_id: str | None) -> None:
        store.require_task(task)
        self._task, self._kind = task, kind
        self._path = streams.chunk_file(store.task_folder(task), kind)
        self.position = scrolls.parse_position(scroll_id) if scroll_id else scrolls.begin(self._path)
        self.plan: Plan = scrolls.plan_of(self._path, kind, self.position)

    def take(self, count: int, *, wanted: Wanted | None = None, newest_first: bool = False) -> list[Row]:
        """The next events."""
        found, self.position = scrolls.page(
            self._path, self.plan, self._kind, self.position, count, wanted=wanted, newest_first=newest_first
        )
        return found


def get_task_events(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Answer events of one type as they were reported, in that order or backwards; a page without any is behind the last one."""
    task, given = query.take(request, "task", str), query.take(request, "event_type", str).replace(" ", "_")
    order, count = query.take(request, "order", str, "asc"), _batch_size(request, _BATCH, _LARGEST_BATCH)
    if order not in {"asc", "desc"} or given not in KINDS:
        raise query.refuse(12, f"Validation error: order must be asc or desc, event_type one of {', '.join(KINDS)}: {order!r}, {given!r}")
    walk = _Walk(store, task, KINDS[given], query.take(request, "scroll_id", str, None))
    events = [{"type": given, "task": task, **event} for event in walk.take(count, newest_first=order == "desc")]
    return {"events": events, "returned": len(events), "total": walk.plan.total, "scroll_id": walk.position.as_text()}


def get_old_task_log(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Answer `events.get_task_log` below 2.9: a walk from the newest line on, or from the oldest, each page in the order asked for."""
    order, start = query.take(request, "order", str, "desc"), query.take(request, "from", str, "head")
    if order not in {"asc", "desc"} or start not in {"head", "tail"}:
        raise query.refuse(12, f"Validation error: order must be asc or desc and from head or tail, not {order!r} and {start!r}")
    backwards = start == "tail"
    walk = _Walk(store, query.take(request, "task", str), EventKind.LOGS, query.take(request, "scroll_id", str, None))
    found = walk.take(_batch_size(request, _BATCH, _LARGEST_BATCH), newest_first=backwards)
    lines = [{"type": "log", "task": request["task"], **line} for line in (found[::-1] if backwards is (order == "asc") else found)]
    return {"events": lines, "returned": len(lines), "total": walk.plan.total, "scroll_id": walk.position.as_text()}


def scalar_metrics_iter_raw(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Answer the points of one title as they were reported, as columns by series. Server: a column `iter` or `timestamp`, and `y`."""
    task, asked = query.take(request, "task", str), query.take(request, "metric", dict)
    key, count = query.take(request, "key", str, "iter"), _batch_size(request, _RAW_BATCH, _LARGEST_RAW_BATCH)
    if key not in {"iter", "timestamp"}:
        raise query.refuse(12, f"Validation error: key must be iter or timestamp, not {key!r}")
    wanted = wanted_names([asked])
    walk = _Walk(store, task, EventKind.SCALARS, query.take(request, "scroll_id", str, None))
    variants: dict[str, dict[str, list[Any]]] = {}
    found = walk.take(count, wanted=wanted)
    for event in found:
        columns = variants.setdefault(event["variant"], {key: [], "y": []})
        columns[key].append(event[key])
        columns["y"].append(event["value"])
    total = None
    if query.take(request, "count_total", bool, False):
        total = sum(number for name, number in walk.plan.counts.items() if wanted(name))
    return {"variants": variants, "returned": len(found), "total": total, "scroll_id": walk.position.as_text()}


def wanted_names(metrics: list[Any] | None) -> Wanted:
    """Tells whether a series was asked for, by a list of titles that may each name series; all were when the list is empty."""
    if not metrics:
        return lambda _: True
    chosen: dict[str, set[str] | None] = {}
    for item in metrics:
        if not isinstance(item, Mapping):
            raise query.refuse(12, "Validation error: each of metrics must be an object with metric and variants")
        variants = query.take_strings(item, "variants")
        chosen[query.take(item, "metric", str)] = set(variants) if variants else None

    def wanted(name: Name) -> bool:
        if name[0] not in chosen:
            return False
        variants = chosen[name[0]]
        return variants is None or name[1] in variants

    return wanted


def get_task_plots(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Answer the plots of the last iterations of each series, the newest first. Server: `iters` iterations, one unless given."""
    task, iterations = query.take(request, "task", str), query.take(request, "iters", int, 1)
    if iterations < 1:
        raise query.refuse(12, f"Validation error: iters must be at least 1, not {iterations}")
    wanted = wanted_names(query.take(request, "metrics", list, None))
    walk = _Walk(store, task, EventKind.PLOTS, None)
    newest: dict[Name, dict[int, Row]] = {}
    while plots := walk.take(_BATCH, wanted=wanted):
        for plot in plots:
            held = newest.setdefault((plot["metric"], plot["variant"]), {})
            held[plot["iter"]] = plot
            if len(held) > iterations:
                del held[min(held)]
    chosen = [plot for held in newest.values() for plot in held.values()]
    chosen.sort(key=lambda plot: (-plot["iter"], plot["metric"], plot["variant"]))
    whole = query.take(request, "no_scroll", bool, False)
    page, position = (chosen, None) if whole else _page_of_plots(chosen, walk.position, query.take(request, "scroll_id", str, None))
    answered = [{"type": "plot", "task": task, **plot} for plot in page]
    return {"plots": answered, "returned": len(answered), "total": len(chosen), "scroll_id": position and position.as_text()}


def _page_of_plots(chosen: list[Row], end: Position, scroll_id: str | None) -> tuple[list[Row], Position]:
    """As many plots as one answer should hold. Plots that came since the first page may move the others by as many places."""
    row = scrolls.parse_position(scroll_id).row if scroll_id else 0
    size, last = 0, row
    while last < len(chosen) and last - row < _PLOTS and size < _PLOT_BYTES:
        size += len(chosen[last].get("plot_str") or "")
        last += 1
    return chosen[row:last], end._replace(row=last)


def get_task_metrics(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Answer the titles that tasks have reported, of one type of events or of all."""
    tasks, given = query.take_strings(request, "tasks"), query.take(request, "event_type", str, None)
    if not tasks:
        raise query.refuse(12, "Validation error: field tasks is required")
    kinds = [kind for name, kind in KINDS.items() if (kind is not EventKind.LOGS if given is None else name == given)]
    found = []
    for task in tasks:
        titles = {title for kind in kinds for title, _ in _names(store, task, kind)}
        found.append({"task": task, "metrics": sorted(titles)})
    return {"metrics": found}


def get_scalar_metrics_and_variants(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Answer the series that a task has reported points of, by title."""
    found: dict[str, list[str]] = {}
    for title, series in _names(store, query.take(request, "task", str), EventKind.SCALARS):
        found.setdefault(title, []).append(series)
    return {"metrics": found}


def _names(store: Store, task: str, kind: EventKind) -> list[Name]:
    if kind is not EventKind.SCALARS:
        return sorted(_Walk(store, task, kind, None).plan.counts)
    store.require_task(task)
    with store.read() as connection:
        return connection.execute("SELECT title, series FROM metrics WHERE task = ? ORDER BY title, series", [task]).fetchall()


def _batch_size(request: Mapping[str, Any], usual: int, largest: int) -> int:
    """Server: a search window that is too large is 500/100."""
    count: int = query.take(request, "batch_size", int, usual) or usual
    if count < 1:
        raise query.refuse(12, f"Validation error: batch_size must be at least 1, not {count}")
    if count > largest:
        raise query.refuse(100, f"General data error: batch_size is at most {largest}, not {count}", code=500)
    return count
