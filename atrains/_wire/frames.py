"""Frames: the one binary form of everything atrains appends to a file. Pure; who writes which file is elsewhere.

A frame is a JSON header and any number of bytes behind it::

    offset  size  field
    0       4     magic  b"ATF1"
    4       4     header length, little endian; a multiple of 8, the JSON is padded with spaces
    8       4     body length, little endian
    12      4     CRC-32 of bytes 4..12, the header and the body
    16      ...   header: one JSON object, UTF-8
    ...     ...   body: columns of little-endian numbers, or file content; the header says what

A file of frames is only ever appended to. A writer that is killed leaves at most one torn frame at the end, unless the file was damaged
by something else: then the reader goes on at the next magic whose checksum holds, so that one bad place costs one frame.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import orjson

MAGIC: Final = b"ATF1"
PREFIX: Final = struct.Struct("<4sIII")
_LENGTHS: Final = struct.Struct("<II")
MAX_BODY: Final = 1 << 30
"""Bytes of one body. Far above what is ever written; a larger length field is damage."""


class Frame(NamedTuple):
    """A frame as read.

    Attributes:
        header: The decoded JSON object.
        body: The bytes behind the header; a view into the buffer that was scanned.
        start: Where the frame begins in that buffer.
        end: Where the next one begins.
    """

    header: Mapping[str, Any]
    body: memoryview
    start: int
    end: int


class Damage(NamedTuple):
    """A stretch of the buffer that holds no whole frame: the torn tail (`at_end`), or bytes that were damaged."""

    start: int
    end: int
    at_end: bool


def encode_frame(
    header: Mapping[str, object], columns: Sequence[bytes | bytearray | memoryview] = ()
) -> list[bytes | bytearray | memoryview]:
    """Return the buffers of one frame, for a gathering write; the columns are not copied."""
    text = orjson.dumps(header, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS)
    text += b" " * (-len(text) % 8)
    views = [memoryview(column).cast("B") for column in columns]
    body = sum(map(len, views))
    if body > MAX_BODY:
        raise ValueError(f"a frame holds at most {MAX_BODY} bytes behind its header, not {body}")
    lengths = _LENGTHS.pack(len(text), body)
    checksum = zlib.crc32(text, zlib.crc32(lengths))
    for view in views:
        checksum = zlib.crc32(view, checksum)
    return [PREFIX.pack(MAGIC, len(text), body, checksum), text, *views]


def encode_header(text: bytes) -> bytes:
    """Return a frame of a header alone, which is JSON already."""
    text += b" " * (-len(text) % 8)
    return PREFIX.pack(MAGIC, len(text), 0, zlib.crc32(text, zlib.crc32(_LENGTHS.pack(len(text), 0)))) + text


def scan_frames(buffer: bytes | bytearray | memoryview, start: int = 0) -> Iterator[Frame | Damage]:
    """Yield every whole frame in order, and each stretch between or behind them that is none."""
    view = memoryview(buffer).cast("B")
    position = start
    while position < len(view):
        frame = _frame_at(view, position)
        if frame is not None:
            yield frame
            position = frame.end
            continue
        resumed = _next_frame(view, position + 1)
        yield Damage(position, resumed, at_end=resumed == len(view))
        position = resumed


def _frame_at(view: memoryview, position: int) -> Frame | None:
    if len(view) - position < PREFIX.size:
        return None
    magic, header_length, body_length, checksum = PREFIX.unpack_from(view, position)
    header_end = position + PREFIX.size + header_length
    end = header_end + body_length
    if magic != MAGIC or body_length > MAX_BODY or end > len(view):
        return None
    content = view[position + PREFIX.size : end]
    if zlib.crc32(content, zlib.crc32(view[position + 4 : position + 12])) != checksum:
        return None
    try:
        header = orjson.loads(view[position + PREFIX.size : header_end])
    except orjson.JSONDecodeError:  # the checksum holds by chance, or somebody else wrote this: no frame of ours
        return None
    return Frame(header, view[header_end:end], position, end) if isinstance(header, dict) else None


def _next_frame(view: memoryview, position: int) -> int:
    """The start of the next whole frame at or behind `position`, else the end of the buffer."""
    data = view.obj if isinstance(view.obj, bytes | bytearray) and len(view.obj) == len(view) else bytes(view)
    while (position := data.find(MAGIC, position)) != -1:
        if _frame_at(view, position) is not None:
            return position
        position += 1
    return len(view)
