"""A task's event streams in the home: storing blocks exactly once, bringing the index up to the chunk files, reading back.

Everything here that takes a connection expects the writer lock of the home to be held by the caller.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from collections.abc import Iterator, Mapping
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

from atrains._local import chunks
from atrains._local.records import read_record
from atrains._wire.events import EventKind, ScalarBlock, Span
from atrains._wire.frames import Damage, Frame

_logger = logging.getLogger("atrains")

_METRIC_COLUMNS: Final = (
    "title", "series", "count", "first", "first_iteration", "last", "last_iteration",
    "min", "min_iteration", "max", "max_iteration", "single", "single_time",
)  # fmt: skip
_EXTEND_METRIC: Final = f"""
INSERT INTO metrics (task, {", ".join(_METRIC_COLUMNS)}) VALUES (?{", ?" * len(_METRIC_COLUMNS)})
ON CONFLICT (task, title, series) DO UPDATE SET
    count = count + excluded.count, last = excluded.last, last_iteration = excluded.last_iteration,
    min_iteration = CASE WHEN excluded.min < min THEN excluded.min_iteration ELSE min_iteration END, min = MIN(min, excluded.min),
    max_iteration = CASE WHEN excluded.max > max THEN excluded.max_iteration ELSE max_iteration END, max = MAX(max, excluded.max),
    single_time = CASE WHEN excluded.single IS NULL THEN single_time ELSE excluded.single_time END,
    single = COALESCE(excluded.single, single)
"""  # noqa: S608  # the names stand above


def chunk_file(folder: Path, kind: EventKind) -> Path:
    """Where a task keeps its events of one kind."""
    return folder / "events" / kind.value


def is_stored(connection: sqlite3.Connection, task: str, kind: EventKind, span: Span) -> bool:
    """Whether a span is stored already.

    Raises:
        ValueError: a part of it is: a sender must not cut its stream anew.
    """
    row = connection.execute(
        "SELECT first, last FROM spans WHERE task = ? AND kind = ? AND journal = ? AND stream = ? AND first < ? AND last > ? LIMIT 1",
        [task, kind.value, span.journal, span.stream, span.last, span.first],
    ).fetchone()
    if row is None:
        return False
    if row[0] <= span.first and span.last <= row[1]:
        return True
    raise ValueError(
        f"records {span.first} to {span.last} of stream {span.stream} of journal {span.journal} overlap with "
        f"{row[0]} to {row[1]}, which task {task} holds already; a span must be sent again as it was first sent"
    )


def catch_up(connection: sqlite3.Connection, folder: Path, task: str, kind: EventKind) -> int:
    """Index what a chunk file holds beyond the index, cut off a torn end, and return the file's length.

    A process that died between appending and committing leaves such a tail. With an empty index this is its rebuilding.
    """
    path = chunk_file(folder, kind)
    row = connection.execute("SELECT bytes FROM streams WHERE task = ? AND kind = ?", [task, kind.value]).fetchone()
    indexed = row[0] if row else 0
    size = _size_of(path)
    if size == indexed:
        return size
    if size < indexed:  # the index knows of chunks that are gone: after a power cut, or when files were put back from a copy
        reindex(connection, folder, task)
        return _size_of(path)
    end = indexed
    with path.open("rb") as file:
        for found in chunks.scan(file, indexed):
            if isinstance(found, Damage):
                if found.at_end:
                    os.truncate(path, found.start)
                    break
                chunks.say_damaged(path, found.start, found.end)
            else:
                _register_found(connection, task, kind, found)
            end = found.end
    connection.execute(
        "INSERT INTO streams VALUES (?, ?, ?, 0) ON CONFLICT (task, kind) DO UPDATE SET bytes = excluded.bytes", [task, kind.value, end]
    )
    return end


def _register_found(connection: sqlite3.Connection, task: str, kind: EventKind, frame: Frame) -> None:
    try:
        known = is_stored(connection, task, kind, chunks.span_of(frame.header))
    except ValueError as error:  # it is in the file already: to count all of it is the smaller mistake
        _logger.warning("%s", error)
        known = False
    if not known:
        register(connection, task, kind, frame.header, frame.end)


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def register(connection: sqlite3.Connection, task: str, kind: EventKind, header: Mapping[str, Any], end: int) -> None:
    """Enter a chunk in the index: its span, what it does to the metrics and to the task, and how far the file is indexed."""
    _add_span(connection, task, kind, chunks.span_of(header))
    if kind is EventKind.SCALARS:
        entries = [[task, *map(entry.get, _METRIC_COLUMNS)] for entry in header["series"] if entry["count"]]
        connection.executemany(_EXTEND_METRIC, entries)
    connection.execute(
        "UPDATE tasks SET last_update = MAX(last_update, ?), last_iteration = MAX(last_iteration, ?) WHERE id = ?",
        [header["stored"], chunks.highest_iteration(header), task],
    )
    connection.execute(
        """INSERT INTO streams VALUES (?, ?, ?, ?)
        ON CONFLICT (task, kind) DO UPDATE SET bytes = excluded.bytes, rows = rows + excluded.rows""",
        [task, kind.value, end, header["rows"]],
    )


def _add_span(connection: sqlite3.Connection, task: str, kind: EventKind, span: Span) -> None:
    where = [task, kind.value, span.journal, span.stream]
    neighbour = connection.execute(
        "SELECT first FROM spans WHERE task = ? AND kind = ? AND journal = ? AND stream = ? AND first < ? AND last = ?",
        [*where, span.first, span.first],
    ).fetchone()
    if neighbour is not None:
        connection.execute(
            "UPDATE spans SET last = ? WHERE task = ? AND kind = ? AND journal = ? AND stream = ? AND first = ?",
            [span.last, *where, neighbour[0]],
        )
    else:
        connection.execute(
            """INSERT INTO spans VALUES (?, ?, ?, ?, ?, ?)
            ON CONFLICT (task, kind, journal, stream, first) DO UPDATE SET last = MAX(last, excluded.last)""",
            [*where, span.first, span.last],
        )


def forget(connection: sqlite3.Connection, task: str) -> None:
    """Take a task's events out of the index."""
    for table in ("metrics", "streams", "spans"):
        connection.execute(f"DELETE FROM {table} WHERE task = ?", [task])  # noqa: S608  # the names stand in the line above
    connection.execute("UPDATE tasks SET last_iteration = 0 WHERE id = ?", [task])


def reindex(connection: sqlite3.Connection, folder: Path, task: str) -> None:
    """Index a task's chunk files from their beginning."""
    forget(connection, task)
    for kind in EventKind:
        catch_up(connection, folder, task, kind)
    with contextlib.suppress(FileNotFoundError, ValueError):  # a record that cannot be read is the matter of who asks for the task
        settle_iteration(connection, folder, read_record(folder))


def iteration_mark(connection: sqlite3.Connection, folder: Path, task: str, iteration: int) -> dict[str, Any]:
    """What a record notes of a last iteration that was set: itself, and how far the events reach that do not count beside it any more."""
    return {"value": iteration, "behind": {kind.value: catch_up(connection, folder, task, kind) for kind in EventKind}}


def settle_iteration(connection: sqlite3.Connection, folder: Path, record: Mapping[str, Any]) -> None:
    """Have a last iteration that was set (`iteration_mark`) take the place of what the events before it have made of it."""
    mark = record.get("iteration_set")
    if mark is None:
        return
    highest = int(mark["value"])
    for kind in EventKind:
        path, begin = chunk_file(folder, kind), mark["behind"].get(kind.value, 0)
        if begin < _size_of(path):
            with path.open("rb") as file:
                frames = [frame for frame in chunks.scan_headers(file) if isinstance(frame, Frame) and frame.start >= begin]
            highest = max([highest, *(chunks.highest_iteration(frame.header) for frame in frames)])
    connection.execute("UPDATE tasks SET last_iteration = ? WHERE id = ?", [highest, record["id"]])


def remove_files(folder: Path) -> None:
    """Delete a task's chunk files; who reads one of them at the time reads it to the end."""
    for kind in EventKind:
        chunk_file(folder, kind).unlink(missing_ok=True)


def read_scalars(folder: Path, task: str, wanted: set[tuple[str, str]] | None = None) -> Iterator[ScalarBlock]:
    """Yield a task's points as they were stored, in order, one chunk in memory at a time.

    Args:
        folder: The task's folder.
        task: The task's id.
        wanted: Leave out blocks that have none of these series; None for all blocks.
    """
    for frame in _frames(chunk_file(folder, EventKind.SCALARS)):
        block = chunks.decode_scalars(task, frame)
        if wanted is None or not wanted.isdisjoint(block.names):
            yield block


def read_records(folder: Path, kind: EventKind) -> Iterator[dict[str, Any]]:
    """Yield a task's console lines or plots as they were stored, in order."""
    for frame in _frames(chunk_file(folder, kind)):
        yield from chunks.decode_records(frame)


def read_log(folder: Path, count: int, *, from_timestamp: int | None, earlier: bool) -> list[dict[str, Any]]:
    """The `count` console lines nearest to `from_timestamp` (itself excluded), and the rest of the last one's millisecond.

    Reads all headers but only the chunks that hold such a line: the newest lines of a log of gigabytes cost milliseconds.

    Args:
        folder: The task's folder.
        count: How many lines.
        from_timestamp: Milliseconds since the epoch; None for the end that is looked away from.
        earlier: Towards the past (answer newest first) or the future (oldest first).
    """
    path = chunk_file(folder, EventKind.LOGS)
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return []
    near, far = (1, 0) if earlier else (0, 1)
    direction = -1 if earlier else 1
    with file:
        seen = chunks.Seen()
        frames = [frame for frame in chunks.scan_headers(file) if isinstance(frame, Frame) and seen.add(chunks.span_of(frame.header))]
        if from_timestamp is not None:
            frames = [frame for frame in frames if (frame.header["times"][far] - from_timestamp) * direction > 0]
        frames.sort(key=lambda frame: frame.header["times"][near] * direction)
        found: list[tuple[int, int, int, dict[str, Any]]] = []  # time, then place in the file: lines of one millisecond keep their order
        for frame in frames:
            # Chunks come by their nearest line: when that is beyond the last line wanted, all others are too.
            if len(found) >= count and (frame.header["times"][near] - found[count - 1][0]) * direction > 0:
                break
            whole = chunks.read_frame(file, frame)
            if whole is None:
                chunks.say_damaged(path, frame.start, frame.end)
                continue
            lines = chunks.decode_records(whole)
            for place, line in enumerate(lines):
                if from_timestamp is None or (line["timestamp"] - from_timestamp) * direction > 0:
                    found.append((line["timestamp"], frame.start, place, line))
            found.sort(key=itemgetter(0, 1, 2), reverse=earlier)
    if len(found) > count:
        edge = found[count - 1][0]
        found = [entry for entry in found if (entry[0] - edge) * direction <= 0]
    return [entry[3] for entry in found]


def _frames(path: Path) -> Iterator[Frame]:
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        yield from chunks.read_whole(path, file)
