"""Events as the lines of an `events.add_batch` body: JSON objects, one a line. Pure; how lines become requests is up to the transport.

Server: a line is the event itself, flat; identity, ranges and field names are those of `events.add_batch`. The line of a scalar is put
together from ready pieces and columns that orjson has formatted: about 250 ns a point, where a dict a point takes 600.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from typing import Final

import orjson

from atrains._wire.events import EventBlock, EventKind, Floats, RecordBlock, ScalarBlock

SLICE: Final = 2048
"""Rows that are encoded at once: about a millisecond, in which nobody else gets the interpreter lock."""
LARGEST_FLOAT: Final = 3.4028234663852886e38
"""The largest value that fits 32 bits, as a server stores it; what is beyond fails a whole request there."""
LOG_MESSAGE_LIMIT: Final = 1 << 20
"""Characters of one console event; official clients split there, too."""
NAME_LIMIT: Final = 32_766
"""Bytes of a title or a series. Server: a longer one fails the whole request."""
LEVELS: Final = frozenset({"notset", "debug", "verbose", "info", "warn", "warning", "error", "fatal", "critical"})
_TYPES: Final = {EventKind.PLOTS: "plot", EventKind.IMAGES: "training_debug_image"}
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_END: Final = b"}\n"
_SHARE: Final = 32
"""Points that share a millisecond on average, from which on the ends of milliseconds are looked up."""
_INTEGERS: Final = range(-(2**63), 2**63)


def encode(block: EventBlock, first: int = 0, last: int | None = None) -> Iterator[bytes]:
    """Yield the lines of rows `first` to `last` of a block, each ended by a newline, some thousand rows at a time."""
    last = len(block) if last is None else last
    if isinstance(block, ScalarBlock):
        for start in range(first, last, SLICE):
            yield scalar_lines(block, start, min(start + SLICE, last))
    else:
        for row in range(first, last):
            yield from record_lines(block, row)


def scalar_lines(block: ScalarBlock, first: int, last: int) -> bytes:
    """Return the lines of some points; values beyond 32 bits are drawn to the largest that fits.

    Raises:
        ValueError: a value or a time is not a number.
    """
    rows = last - first
    if rows <= 0:
        return b""
    # Four pieces a point in one list and one join: a point formatted by itself takes half as long again.
    pieces: list[bytes] = [b""] * (4 * rows)
    pieces[0::4] = _heads(block, first, last)
    pieces[1::4] = orjson.dumps(block.iterations[first:last].tolist())[1:-1].split(b",")
    pieces[2::4] = _moments(block.times if isinstance(block.times, float) else block.times[first:last], rows)
    pieces[3::4] = _formatted(block, first, last)
    pieces[0] = pieces[0].removeprefix(_END)
    pieces.append(_END)
    return b"".join(pieces)


def record_lines(block: RecordBlock, row: int) -> list[bytes]:
    """Return the lines of one console line, plot or image: several for a console line that is longer than a server's event."""
    event = block.events[row]
    if block.kind is EventKind.LOGS:
        return [_log_line(block.task, part) for part in log_parts(event)]
    fields = {"type": _TYPES[block.kind], "task": block.task, **event}
    fields["iter"] = _within(fields.get("iter", 0))
    fields |= {name: _keyword(str(fields[name])) for name in ("metric", "variant") if name in fields}
    return [_line(fields)]


def log_parts(event: Mapping[str, object]) -> list[dict[str, object]]:
    """Return the console events that a server is sent for one: without backspaces, the level in its words, split where it is too long.

    Whoever compares a line with those that a server has compares these.
    """
    message = clean(str(event.get("msg", ""))).replace("\b", "")
    level = str(event.get("level", "info")).lower()
    parts = [message[start : start + LOG_MESSAGE_LIMIT] for start in range(0, len(message), LOG_MESSAGE_LIMIT)] or [""]
    return [{**event, "level": level if level in LEVELS else "info", "msg": part} for part in parts]


def clean(text: str) -> str:
    """Return a text that is valid Unicode: two halves of a character are joined, a half alone becomes U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace") if _SURROGATE.search(text) else text


def _heads(block: ScalarBlock, first: int, last: int) -> list[bytes]:
    """What stands between the value of the row before and the iteration, for each row."""
    start = _END + b'{"type":"training_stats_scalar","task":' + _text(block.task)
    if block.series is None:
        return [start + _names(*block.names[0])] * (last - first)
    indices = block.series[first:last]
    heads = {index: start + _names(*block.names[index]) for index in set(indices)}
    return list(map(heads.__getitem__, indices))


def _moments(times: Floats | float, rows: int) -> list[bytes]:
    """What stands between iteration and value, for each row: its time in milliseconds."""
    if isinstance(times, float):
        return [_moment(_millisecond(times))] * rows
    seconds = times.tolist()
    low, high = _millisecond(seconds[0]), _millisecond(seconds[-1])
    if _SHARE * (high - low) < rows and seconds == sorted(seconds):
        # Many share a millisecond: its end is looked up, instead of asking each for its own: 25 ns a point, not 130.
        found: list[bytes] = []
        while len(found) < rows:
            stamp = _millisecond(seconds[len(found)])
            end = bisect_right(seconds, stamp, len(found), key=_millisecond)
            found += [_moment(stamp)] * (end - len(found))
        return found
    stamps = list(map(_millisecond, seconds))
    texts = {stamp: _moment(stamp) for stamp in set(stamps)}
    return list(map(texts.__getitem__, stamps))


def _moment(stamp: int) -> bytes:
    return b',"timestamp":%d,"value":' % stamp


def _millisecond(seconds: float) -> int:
    return round(seconds * 1000.0)


def _names(metric: str, variant: str) -> bytes:
    return b',"metric":' + _text(_keyword(metric)) + b',"variant":' + _text(_keyword(variant)) + b',"iter":'


def _keyword(name: str) -> str:
    """A name as a server can keep it: one that is longer is cut, with a digest of the whole, so that different ones stay apart."""
    if len(name) <= NAME_LIMIT // 4 or len(encoded := clean(name).encode()) <= NAME_LIMIT:
        return name
    import hashlib  # for a name in a million, and it takes its time

    digest = hashlib.sha256(encoded).hexdigest()[:16]
    return f"{encoded[: NAME_LIMIT - len(digest) - 3].decode(errors='ignore')}...{digest}"


def _formatted(block: ScalarBlock, first: int, last: int) -> list[bytes]:
    values = block.values[first:last].tolist()
    formatted = orjson.dumps(values)
    if b"e" in formatted and (max(values) > LARGEST_FLOAT or min(values) < -LARGEST_FLOAT):  # orjson writes a large number with exponent
        formatted = orjson.dumps([max(-LARGEST_FLOAT, min(value, LARGEST_FLOAT)) for value in values])
    if b"n" in formatted:  # null: orjson's word for what is no number
        raise ValueError(f"a value of {block.names[0]} or of a series beside it is not a number")
    return formatted[1:-1].split(b",")


def _log_line(task: str, event: Mapping[str, object]) -> bytes:
    return _line({"type": "log", "task": task, **event})


def _line(fields: dict[str, object]) -> bytes:
    try:
        return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)
    except orjson.JSONEncodeError:  # half a character somewhere
        repaired = {name: clean(value) if isinstance(value, str) else value for name, value in fields.items()}
        return orjson.dumps(repaired, option=orjson.OPT_APPEND_NEWLINE)


def _text(text: str) -> bytes:
    try:
        return orjson.dumps(text)
    except orjson.JSONEncodeError:
        return orjson.dumps(clean(text))


def _within(iteration: object) -> int:
    """An iteration within 64 bits: servers fail a whole request for one that is not."""
    number = int(iteration) if isinstance(iteration, int | float | str) else 0
    return max(_INTEGERS.start, min(number, _INTEGERS.stop - 1))
