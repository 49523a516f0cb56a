"""`events.add_batch`: the lines of a batch become blocks of columns, each stored once. Parsing the lines is in `bodies`."""

from __future__ import annotations

import threading
import time
import uuid
from array import array
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from atrains._local import query
from atrains._local.store import Store
from atrains._wire.events import EventBlock, EventKind, RecordBlock, ScalarBlock, Span
from atrains.errors import ServerError

_SCALAR: Final = "training_stats_scalar"
_LARGEST: Final = 3.4028234663852886e38
"""Server: values are 32-bit floats; what is beyond makes it fail."""
_INT64: Final = 2**63
_MOST_REASONS: Final = 100
_BLOCK_ROWS: Final = 200_000
"""Points of a block at most: a block is summed up and written in one go."""
_RECORDS: Final = {
    "plot": EventKind.PLOTS,
    "log": EventKind.LOGS,
    "training_debug_image": EventKind.IMAGES,
    "training_stats_vector": EventKind.VECTORS,
}


class Batches:
    """Stores batches. One for a server: it numbers what came in, so that each block has a span of its own and neighbours become one."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._journal = f"http-{uuid.uuid4().hex}"
        self._next: dict[tuple[str, EventKind], int] = {}
        self._numbering = threading.Lock()

    def add(self, slices: Iterable[list[dict[str, Any]]], worker: str, to_home: Callable[[str], str] = str) -> dict[str, Any]:
        """Store a batch and tell how much of it.

        An event that cannot be stored is refused by name and the others are stored, where the server would fail as a whole.

        Args:
            slices: The events, some at a time.
            worker: Of events that name none.
            to_home: Makes of the URL of an image the one that is recorded.

        Raises:
            ServerError: 400/17 for a batch without lines, 400/131 when nothing of it was stored, 400/0 for a line that is no event.
            HomeError: the disk is full or cannot be written.
        """
        batch = _Batch(worker, round(time.time() * 1000), to_home)
        lines = 0
        for events in slices:
            lines += len(events)
            batch.sort(events)
        if not lines:
            raise query.refuse(17, "Failed processing batch (no lines in the request)")
        added = sum(self._store_block(block, batch.refused) for block in self._blocks(batch))
        refused = batch.refused.counts
        if not added:
            raise query.refuse(131, "Events not added: " + "; ".join(f"{reason} ({count})" for reason, count in refused.items()))
        return {"added": added, "errors": refused.total(), "errors_info": dict(refused)}

    def _store_block(self, block: EventBlock, refused: Refused) -> int:
        try:
            return self._store.add_events(block)
        except ServerError as error:
            if error.code != 400:
                raise
            refused.add(f"Invalid task id {block.task}", len(block))
        except ValueError as error:
            refused.add(f"Events of task {block.task} cannot be stored: {error}", len(block))
        return 0

    def _blocks(self, batch: _Batch) -> Iterable[EventBlock]:
        for task, columns in batch.scalars.items():
            for start in range(0, len(columns.values), _BLOCK_ROWS):
                part = slice(start, start + _BLOCK_ROWS)
                values = columns.values[part]
                series = columns.series[part] if len(columns.names) > 1 else None
                span = self._span(task, EventKind.SCALARS, len(values))
                yield ScalarBlock(task, span, list(columns.names), series, columns.iterations[part], columns.times[part], values)
        for (task, kind), events in batch.records.items():
            yield RecordBlock(task, self._span(task, kind, len(events)), kind, events)

    def _span(self, task: str, kind: EventKind, count: int) -> Span:
        with self._numbering:
            first = self._next.get((task, kind), 0)
            self._next[task, kind] = first + count
        return Span(self._journal, kind.value, first, first + count)


@dataclass(slots=True)
class _Columns:
    """The points of one task."""

    names: dict[tuple[str, str], int] = field(default_factory=dict)
    series: array[int] = field(default_factory=lambda: array("I"))
    iterations: array[int] = field(default_factory=lambda: array("q"))
    times: array[float] = field(default_factory=lambda: array("d"))
    values: array[float] = field(default_factory=lambda: array("d"))


@dataclass(slots=True)
class Refused:
    """How many events were refused, by reason."""

    counts: Counter[str] = field(default_factory=Counter)

    def add(self, reason: str, count: int = 1) -> None:
        """Count refused events; reasons beyond a hundred different ones are counted together."""
        if reason not in self.counts and len(self.counts) >= _MOST_REASONS:
            reason = "Events refused for other reasons"
        self.counts[reason] += count


class _Batch:
    """The events of one request, sorted by task and kind."""

    def __init__(self, worker: str, moment: int, to_home: Callable[[str], str]) -> None:
        self._worker = worker
        self._to_home = to_home
        self._moment = moment
        self.scalars: dict[str, _Columns] = {}
        self.records: dict[tuple[str, EventKind], list[dict[str, Any]]] = {}
        self.refused = Refused()

    def sort(self, events: Iterable[dict[str, Any]]) -> None:
        """Take events in."""
        scalars, moment = self.scalars, self._moment
        for event in events:
            try:
                # 1 us: the form that clients send, whose parts are all there. Anything else goes the long way.
                if event["type"] != _SCALAR or event.get("model_event"):
                    self._add_other(event)
                    continue
                value, iteration, name = event["value"], event["iter"], (event["metric"], event["variant"])
                stamp = event.get("timestamp", moment)
                columns = scalars.get(event["task"])
                if (
                    columns is None
                    or type(iteration) is not int
                    or type(stamp) is not int
                    or (type(value) is not float and type(value) is not int)
                    or not -_LARGEST <= value <= _LARGEST
                    or (number := columns.names.get(name)) is None
                ):
                    self._add_scalar(event)
                    continue
                columns.iterations.append(iteration)  # the last that can fail: the parser lets unsigned integers of 64 bits through
            except (KeyError, TypeError, OverflowError):
                self._add_other(event)
                continue
            columns.series.append(number)
            columns.times.append(stamp / 1000)
            columns.values.append(value)

    def _add_other(self, event: dict[str, Any]) -> None:
        kind = event.get("type")
        if not kind:
            self.refused.add("Event must have a 'type' field")
            return
        kind = str(kind).replace(" ", "_")
        if kind != _SCALAR and kind not in _RECORDS:
            self.refused.add(f"Invalid event type {kind[:100]}")
        elif not event.get("task"):
            self.refused.add("Event must have a 'task' field")
        elif event.get("model_event"):
            self.refused.add("Events of models are not stored by this server")
        elif not isinstance(event["task"], str):
            self.refused.add(f"Invalid task id {str(event['task'])[:100]}")
        elif kind == _SCALAR:
            self._add_scalar(event)
        else:
            self._add_record(event, _RECORDS[kind])

    def _add_scalar(self, event: dict[str, Any]) -> None:
        if not isinstance(event["task"], str):
            self._add_other(event)
            return
        try:
            name = _text(event, "metric"), _text(event, "variant")
            value, iteration, moment = _value(event), _iteration(event), self._time_of(event)
        except ValueError as error:
            self.refused.add(f"Event cannot be stored: {_name(event)}: {error}")
            return
        columns = self.scalars.setdefault(event["task"], _Columns())
        columns.iterations.append(iteration)
        columns.series.append(columns.names.setdefault(name, len(columns.names)))
        columns.times.append(moment / 1000)
        columns.values.append(value)

    def _add_record(self, event: dict[str, Any], kind: EventKind) -> None:
        try:
            stored: dict[str, Any] = {"timestamp": self._time_of(event)}
            if kind is EventKind.LOGS:
                stored |= {name: event[name] if isinstance(event.get(name), str) else "" for name in ("level", "msg", "worker")}
                stored["worker"] = stored["worker"] or self._worker
            else:
                stored |= {"metric": _text(event, "metric"), "variant": _text(event, "variant"), "iter": _iteration(event)}
                if kind is EventKind.PLOTS:
                    stored["plot_str"] = _text(event, "plot_str")
                elif kind is EventKind.VECTORS:
                    stored["value"] = _values(event)  # which is what the server calls them, once stored
                else:
                    stored |= {"key": _text(event, "key"), "url": self._to_home(_text(event, "url"))}
        except ValueError as error:
            self.refused.add(f"Event cannot be stored: {_name(event)}: {error}")
            return
        self.records.setdefault((event["task"], kind), []).append(stored)

    def _time_of(self, event: dict[str, Any]) -> int:
        stamp = event.get("timestamp")
        if stamp is None:
            return self._moment
        try:
            moment = int(stamp)
        except (TypeError, ValueError, OverflowError):
            moment = _INT64
        if isinstance(stamp, bool) or not -_INT64 <= moment < _INT64:
            raise ValueError(f"timestamp must be milliseconds since 1970, not {str(stamp)[:100]!r}")
        return moment


def _value(event: dict[str, Any]) -> float:
    value = event.get("value")
    if isinstance(value, bool) or not isinstance(value, int | float) or not -_LARGEST <= value <= _LARGEST:  # NaN compares false
        raise ValueError(f"value must be a finite number within 32-bit floats, not {str(value)[:100]!r}")
    return float(value)


def _values(event: dict[str, Any]) -> list[float]:
    values = event.get("values")
    if not isinstance(values, list):
        raise ValueError(f"values must be a list of numbers, not {str(values)[:100]!r}")  # noqa: TRY004  # a wrong value of a request
    return [_value({"value": value}) for value in values]


def _iteration(event: dict[str, Any]) -> int:
    given = event.get("iter", 0)
    try:
        iteration = int(given if given is not None else 0)
    except (TypeError, ValueError, OverflowError):
        iteration = _INT64
    if isinstance(given, bool) or not -_INT64 <= iteration < _INT64:
        raise ValueError(f"iter must be an integer of 64 bits, not {str(given)[:100]!r}")
    return iteration


def _text(event: dict[str, Any], part: str) -> str:
    text = event.get(part)
    if text is None:
        return ""
    if not isinstance(text, str):
        raise ValueError(f"{part} must be a string, not {str(text)[:100]!r}")  # noqa: TRY004  # a wrong value of a request
    return text


def _name(event: dict[str, Any]) -> str:
    return " ".join(f"{part} {str(event[part])[:100]!r}" for part in ("type", "metric", "variant") if event.get(part) is not None)
