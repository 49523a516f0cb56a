"""Chunk files: a task's events of one kind, each block one frame. Encoding, appending and reading them; the index is elsewhere."""

from __future__ import annotations

import errno
import logging
import os
import sys
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

import orjson

from atrains._local.metrics import summarise
from atrains._wire.events import MONITOR_TITLES, Column, EventBlock, EventKind, RecordBlock, ScalarBlock, Span
from atrains._wire.frames import MAGIC, MAX_BODY, PREFIX, Damage, Frame, encode_frame, scan_frames

_logger = logging.getLogger("atrains")

Buffers = list[bytes | bytearray | memoryview]

_FORMATS: Final = {"iteration": "<i8", "time": "<f8", "value": "<f8", "series": "<u4"}
_NATIVE: Final[Mapping[str, Any]] = {"<i8": "q", "<f8": "d", "<u4": "I"}
_WINDOW: Final = 1 << 20
"""Bytes looked through at once for the next whole frame behind damage."""
_said: Final[set[tuple[Path, int]]] = set()
"""The damage that was said: its file and its place there."""


def kind_of(block: EventBlock) -> EventKind:
    """Which of a task's chunk files a block belongs to."""
    return EventKind.SCALARS if isinstance(block, ScalarBlock) else block.kind


def encode_block(block: EventBlock, stored: str) -> tuple[dict[str, Any], Buffers]:
    """Return the header and the buffers of a block's frame; the columns are not copied.

    Args:
        block: What is to be stored.
        stored: When, in ISO 8601; a task's `last_update` is rebuilt from it.

    Raises:
        ValueError: columns of different lengths, a value that is not finite, or an event that is no JSON.
    """
    header, columns = _encode_scalars(block) if isinstance(block, ScalarBlock) else _encode_records(block)
    span = block.span
    header = {
        "kind": kind_of(block).value,
        "span": [span.journal, span.stream, span.first, span.last],
        "rows": len(block),
        "stored": stored,
        **header,
    }
    try:
        return header, encode_frame(header, columns)
    except TypeError as error:  # a title or a series that is no valid text
        raise ValueError(f"a block of task {block.task} cannot be stored: {error}") from error


def _encode_scalars(block: ScalarBlock) -> tuple[dict[str, Any], list[memoryview]]:
    columns: dict[str, Column | float | None] = {
        "iteration": block.iterations,
        "time": block.times,
        "value": block.values,
        "series": block.series,
    }
    present = {name: column for name, column in columns.items() if column is not None and not isinstance(column, float | int)}
    if any(len(column) != len(block) for column in present.values()):
        lengths = ", ".join(f"{name} {len(column)}" for name, column in present.items())
        raise ValueError(f"the columns of a block of task {block.task} differ in length: {lengths}")
    series = [
        {"title": title, "series": series, "count": 0} if summary is None else summary.as_header()
        for (title, series), summary in zip(block.names, summarise(block), strict=True)
    ]
    header: dict[str, Any] = {"series": series, "columns": [[name, _FORMATS[name]] for name in present]}
    if "time" not in present:
        header["time"] = block.times
    return header, [_little_endian(column, _FORMATS[name]) for name, column in present.items()]


def _encode_records(block: RecordBlock) -> tuple[dict[str, Any], list[memoryview]]:
    try:
        body = orjson.dumps(list(block.events))
    except TypeError as error:
        raise ValueError(f"an event of task {block.task} cannot be stored as JSON: {error}") from error
    times = [stamp for event in block.events if isinstance(stamp := event.get("timestamp"), int)]
    header: dict[str, Any] = {"times": [min(times, default=0), max(times, default=0)]}
    if block.kind is not EventKind.LOGS:
        iterations = (event.get("iter") for event in block.events if event.get("metric") not in MONITOR_TITLES)
        header["highest_iteration"] = max((number for number in iterations if isinstance(number, int)), default=0)
    return header, [memoryview(body)]


def highest_iteration(header: Mapping[str, Any]) -> int:
    """The largest iteration of a chunk that counts towards a task's `last_iteration`; 0 when none does."""
    if header["kind"] != EventKind.SCALARS:
        return int(header.get("highest_iteration", 0))
    return max(
        (entry["highest_iteration"] for entry in header["series"] if entry["count"] and entry["title"] not in MONITOR_TITLES), default=0
    )


def _little_endian(column: Column, form: str) -> memoryview:
    view: memoryview = memoryview(column).cast("B").cast(_NATIVE[form])
    if sys.byteorder == "little":
        return view
    swapped = array(_NATIVE[form], view.tolist())
    swapped.byteswap()
    return memoryview(swapped)


def decode_scalars(task: str, frame: Frame) -> ScalarBlock:
    """The block that a frame of scalars was made from; its columns are views into the frame."""
    header, columns, position = frame.header, {}, 0
    for name, form in header["columns"]:
        size = header["rows"] * int(form[2:])
        view: Any = frame.body[position : position + size].cast(_NATIVE[form])
        if sys.byteorder != "little":
            view = array(_NATIVE[form], view.tolist())
            view.byteswap()
        columns[name] = view
        position += size
    names = [(entry["title"], entry["series"]) for entry in header["series"]]
    times = columns["time"] if "time" in columns else float(header["time"])
    return ScalarBlock(task, span_of(header), names, columns.get("series"), columns["iteration"], times, columns["value"])


def decode_records(frame: Frame) -> list[dict[str, Any]]:
    """The events of a frame of console lines or plots."""
    events: list[dict[str, Any]] = orjson.loads(frame.body)
    return events


def span_of(header: Mapping[str, Any]) -> Span:
    """The span that a chunk stands for."""
    return Span(*header["span"])


def append(path: Path, buffers: Buffers, end: int) -> int:
    """Append one frame to a chunk file that is `end` bytes long, and return its new length. On an error the file is as long as before.

    Raises:
        OSError: the disk is full, or the file cannot be written.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0), 0o600)
    try:
        try:
            return end + _write_all(descriptor, buffers)
        except OSError:
            os.ftruncate(descriptor, end)
            raise
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, buffers: Buffers) -> int:
    total = sum(len(memoryview(buffer).cast("B")) for buffer in buffers)
    written = os.writev(descriptor, buffers) if hasattr(os, "writev") else 0
    if written == total:
        return total
    rest = memoryview(b"".join(buffers))[written:]  # a short write: going on either succeeds or tells why it was short
    while rest:
        count = os.write(descriptor, rest)
        if count == 0:
            raise OSError(errno.EIO, "the file takes no more bytes")
        rest = rest[count:]
    return total


def scan(file: BinaryIO, start: int = 0) -> Iterator[Frame | Damage]:
    """Yield every whole frame from `start` on, checked, and each stretch that is none; holds one frame at a time in memory.

    `start` and `end` of what is yielded count from the beginning of the file.
    """
    size = os.fstat(file.fileno()).st_size
    position = start
    while position < size:
        frame = _frame_at(file, position, size)
        if frame is not None:
            yield frame
            position = frame.end
            continue
        resumed = _next_frame(file, position + 1, size)
        yield Damage(position, resumed, at_end=resumed == size)
        position = resumed


def read_whole(path: Path, file: BinaryIO) -> Iterator[Frame]:
    """Yield the frames of a file that count, checked, each span once; damage between them is said, a torn end is somebody's append."""
    seen = Seen()
    for found in scan(file):
        if isinstance(found, Frame):
            if seen.add(span_of(found.header)):
                yield found
        elif not found.at_end or _lengths_at(file, found.start, found.end) is not None:
            say_damaged(path, found.start, found.end)


def say_damaged(path: Path, start: int, end: int) -> None:
    """Say, once a process, that bytes of a file cannot be read."""
    if (path, start) not in _said:
        _said.add((path, start))
        _logger.warning("%s: bytes %d to %d are damaged and left out; the events before and behind them are kept", path, start, end)


def scan_headers(file: BinaryIO) -> Iterator[Frame | Damage]:
    """Like `scan`, but past the bodies: frames come with an empty one, and nothing but the header is read and checked to be JSON.

    For finding the few chunks that a query needs; those are then read with `read_frame`.
    """
    size = os.fstat(file.fileno()).st_size
    position = 0
    while position < size:
        lengths = _lengths_at(file, position, size)
        header = _json_object(file.read(lengths[0])) if lengths else None
        if lengths and header is not None:
            end = position + PREFIX.size + sum(lengths)
            yield Frame(header, memoryview(b""), position, end)
            position = end
            continue
        resumed = _next_frame(file, position + 1, size)
        yield Damage(position, resumed, at_end=resumed == size)
        position = resumed


def read_frame(file: BinaryIO, found: Frame) -> Frame | None:
    """The whole frame at a place that `scan_headers` found, checked; None when it is damaged."""
    return _frame_at(file, found.start, found.end)


def _json_object(text: bytes) -> dict[str, Any] | None:
    try:
        header = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return header if isinstance(header, dict) else None


def _lengths_at(file: BinaryIO, position: int, size: int) -> tuple[int, int] | None:
    """Lengths of header and body of the frame at `position`, if there can be one; leaves the file behind the prefix."""
    file.seek(position)
    prefix = file.read(PREFIX.size)
    if len(prefix) < PREFIX.size:
        return None
    magic, header, body, _ = PREFIX.unpack(prefix)
    if magic != MAGIC or body > MAX_BODY or position + PREFIX.size + header + body > size:
        return None
    return header, body


def _frame_at(file: BinaryIO, position: int, size: int) -> Frame | None:
    lengths = _lengths_at(file, position, size)
    if lengths is None:
        return None
    file.seek(position)
    whole = file.read(PREFIX.size + sum(lengths))
    frame = next(scan_frames(whole), None)
    if not isinstance(frame, Frame) or frame.end != PREFIX.size + sum(lengths):
        return None
    return Frame(frame.header, frame.body, position, position + frame.end)


def _next_frame(file: BinaryIO, position: int, size: int) -> int:
    while position < size:
        file.seek(position)
        window = file.read(_WINDOW)
        if not window:
            break
        for place in _places(window):
            if _frame_at(file, position + place, size) is not None:
                return position + place
        position += max(1, len(window) - len(MAGIC) + 1)
    return size


def _places(window: bytes) -> Iterator[int]:
    place = window.find(MAGIC)
    while place != -1:
        yield place
        place = window.find(MAGIC, place + 1)


class Seen:
    """The spans met while a chunk file is read, so that a block that was stored twice counts once."""

    def __init__(self) -> None:
        self._ranges: dict[tuple[str, str], tuple[list[int], list[int]]] = {}

    def add(self, span: Span) -> bool:
        """Note a span; False when it was met before, as a whole or as a part of neighbours."""
        firsts, lasts = self._ranges.setdefault((span.journal, span.stream), ([], []))
        place = bisect_right(firsts, span.first)
        if place and span.last <= lasts[place - 1]:
            return False
        if place and lasts[place - 1] == span.first:
            lasts[place - 1] = span.last
        else:
            firsts.insert(place, span.first)
            lasts.insert(place, span.last)
        return True
