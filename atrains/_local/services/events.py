"""The `events.*` endpoints that read: console lines, curves, single values."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from operator import lt
from typing import Any, Final

import orjson

from atrains._local import query, streams
from atrains._local.services.raw import wanted_names
from atrains._local.store import Store
from atrains._wire.events import SINGLE_VALUE_ITERATION, ScalarBlock, pick, places_by_series

_SAMPLES: Final = 2000
_MOST_SAMPLES: Final = 6000
_MOST_TASKS: Final = 100
_LATEST: Final = 100
_BATCH: Final = 500
_LARGEST_BATCH: Final = 10_000


def get_task_log(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Answer console lines: the newest, or those before or behind a time. Server: a page goes on to the end of its last millisecond."""
    task_id, batch_size = query.take(request, "task", str), query.take(request, "batch_size", int, _BATCH)
    earlier, start = query.take(request, "navigate_earlier", bool, True), query.take(request, "from_timestamp", int, None)
    usual = "desc" if earlier else "asc"
    order = query.take(request, "order", str, usual)
    if order not in {"asc", "desc"} or batch_size < 1:
        raise query.refuse(12, f"Validation error: order must be asc or desc and batch_size at least 1, not {order!r} and {batch_size}")
    if batch_size > _LARGEST_BATCH:
        raise query.refuse(100, f"General data error: batch_size is at most {_LARGEST_BATCH}, not {batch_size}", code=500)
    store.require_task(task_id)
    with store.read() as connection:
        row = connection.execute("SELECT rows FROM streams WHERE task = ? AND kind = 'logs'", [task_id]).fetchone()
        lines = streams.read_log(store.task_folder(task_id), batch_size, from_timestamp=start, earlier=earlier)
    found = [{**line, "type": "log", "task": task_id} for line in lines]
    return {"events": found if order == usual else found[::-1], "returned": len(found), "total": row[0] if row else 0}


def get_task_single_value_metrics(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Answer the single values of tasks; a task without any is left out."""
    task_ids = query.take_strings(request, "tasks")
    if not task_ids:
        raise query.refuse(12, "Validation error: field tasks is required")
    found: dict[str, list[dict[str, Any]]] = {}
    for task_id in task_ids:
        store.require_task(task_id)
    with store.read() as connection:
        rows = connection.execute(
            """SELECT task, title, series, single, single_time FROM metrics
            WHERE single IS NOT NULL AND task IN (SELECT value FROM json_each(?)) ORDER BY title, series""",
            [orjson.dumps(task_ids).decode()],
        )
        for task_id, title, series, value, moment in rows:
            found.setdefault(task_id, []).append({"metric": title, "variant": series, "value": value, "timestamp": round(moment * 1000)})
    listed = [task_id for task_id in dict.fromkeys(task_ids) if task_id in found]
    return {"tasks": [{"task": task_id, "task_name": store.record(task_id)["name"], "values": found[task_id]} for task_id in listed]}


def scalar_metrics_iter_histogram(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Answer the curves of a task; more points than `samples` become averages of buckets. Server: single values are in no curve."""
    key, samples = _sampling(request)
    wanted = wanted_names(query.take(request, "metrics", list, None))
    return _curves(store, query.take(request, "task", str), wanted).answer(key, samples)


def multi_task_scalar_metrics_iter_histogram(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Answer the curves of several tasks, by title, series and task. Server: at most 100 tasks, each under its name."""
    key, samples = _sampling(request)
    wanted = wanted_names(query.take(request, "metrics", list, None))
    tasks = query.take_strings(request, "tasks") or []
    if not 1 <= len(tasks) <= _MOST_TASKS:
        raise query.refuse(12, f"Validation error: field tasks must hold 1 to {_MOST_TASKS} tasks, not {len(tasks)}")
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for task in dict.fromkeys(tasks):
        name = store.record(task)["name"]
        for title, curves in _curves(store, task, wanted).answer(key, samples).items():
            for series, curve in curves.items():
                found.setdefault(title, {}).setdefault(series, {})[task] = {**curve, "name": name}
    return {"metrics": found}


def get_task_latest_scalar_values(store: Store, request: Mapping[str, Any]) -> dict[str, Any]:
    """Answer the last value of each series, and the mean of its last hundred."""
    task = query.take(request, "task", str)
    found: dict[str, list[dict[str, Any]]] = {}
    for title, series, values in _curves(store, task, lambda _: True).last_values(_LATEST):
        mean = sum(values) / len(values)
        found.setdefault(title, []).append({"name": series, "last_value": values[-1], "last_100_value": mean})
    record = store.record(task)
    metrics = [{"name": title, "variants": variants} for title, variants in found.items()]
    return {"metrics": metrics, "name": record["name"], "status": record["status"]}


def _sampling(request: Mapping[str, Any]) -> tuple[str, int]:
    key, samples = query.take(request, "key", str, "iter"), query.take(request, "samples", int, _SAMPLES)
    if key not in {"iter", "timestamp", "iso_time"} or not 1 <= samples <= _MOST_SAMPLES:
        raise query.refuse(
            12, f"Validation error: key must be iter, timestamp or iso_time and samples 1 to {_MOST_SAMPLES}, not {key!r} and {samples}"
        )
    return key, samples


def _curves(store: Store, task: str, wanted: Callable[[tuple[str, str]], bool]) -> _Curves:
    store.require_task(task)
    with store.read() as connection:
        held = connection.execute("SELECT title, series FROM metrics WHERE task = ?", [task]).fetchall()
    chosen = {name for name in held if wanted(name)}
    curves = _Curves(chosen)
    for block in store.read_scalars(task, chosen) if chosen else ():
        curves.add(block)
    return curves


class _Curves:
    """Points of the wanted series as columns: 24 bytes a point, whatever their number."""

    def __init__(self, wanted: set[tuple[str, str]]) -> None:
        self._columns = {name: (array("q"), array("d"), array("d")) for name in sorted(wanted)}

    def add(self, block: ScalarBlock) -> None:
        times = array("d", [block.times]) * len(block) if isinstance(block.times, float) else block.times
        sources: tuple[Any, ...] = (block.iterations, times, block.values)
        places = [range(len(block))] if block.series is None else places_by_series(block.series, len(block.names))
        for name, chosen in zip(block.names, places, strict=True):
            columns: tuple[Any, ...] = self._columns.get(name, ())
            for column, source in zip(columns, sources, strict=False):  # no columns: not wanted
                if block.series is None:
                    column.frombytes(memoryview(source).cast("B"))
                elif chosen:
                    column.extend(pick(source, chosen))

    def last_values(self, count: int) -> Iterator[tuple[str, str, Sequence[float]]]:
        """The last values of each series that has any, `count` at most."""
        for (title, series), columns in self._columns.items():
            values = _last_of_each(*columns)[2]
            if values:
                yield title, series, values[-count:]

    def answer(self, key: str, samples: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for (title, series), columns in self._columns.items():
            iterations, times, values = _last_of_each(*columns)
            if not iterations:
                continue
            if key == "iter":
                x, y = _averaged(iterations, values, samples)
            else:
                x, y = _averaged([round(moment * 1000) for moment in times], values, samples)
            labels = [_iso(moment) for moment in x] if key == "iso_time" else x
            found.setdefault(title, {})[series] = {"name": series, "x": labels, "y": y}
        return found


def _last_of_each(
    iterations: array[int], times: array[float], values: array[float]
) -> tuple[Sequence[int], Sequence[float], Sequence[float]]:
    """Points in the order of their iterations; of those with one iteration the last reported: a server keeps no other."""
    if iterations and iterations[0] != SINGLE_VALUE_ITERATION and all(map(lt, iterations, islice(iterations, 1, None))):
        return iterations, times, values
    last = dict(zip(iterations, range(len(iterations)), strict=True))
    last.pop(SINGLE_VALUE_ITERATION, None)
    ordered = sorted(last)
    places = [last[iteration] for iteration in ordered]
    return ordered, [times[place] for place in places], [values[place] for place in places]


def _averaged(x: Sequence[int], y: Sequence[float], samples: int) -> tuple[list[int], list[float]]:
    """At most about `samples` points: x of a bucket is where it begins, y the mean. Server: buckets begin at multiples of their width."""
    width = 1 if len(x) <= samples else max(1, -(-(max(x) - min(x) + 1) // samples))
    sums: dict[int, float] = {}
    counts: dict[int, int] = {}
    for position, value in zip(x, y, strict=True):
        bucket = position // width * width
        sums[bucket] = sums.get(bucket, 0.0) + value
        counts[bucket] = counts.get(bucket, 0) + 1
    ordered = sorted(sums)
    return ordered, [sums[bucket] / counts[bucket] for bucket in ordered]


def _iso(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="microseconds")
