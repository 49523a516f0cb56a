"""Frames: whatever happens to a file of them, every whole one comes back, and nothing is ever raised for what is in it."""

from __future__ import annotations

import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atrains._wire import frames
from atrains._wire.frames import MAGIC, PREFIX, Damage, Frame, encode_frame, scan_frames

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=6,
)
HEADERS = st.dictionaries(st.text(max_size=8), JSON, max_size=3)
FRAMES = st.lists(st.tuples(HEADERS, st.lists(st.binary(max_size=40), max_size=3)), max_size=5)


def written(items: list[tuple[dict[str, Any], list[bytes]]]) -> tuple[bytes, list[int]]:
    """A file of frames, and where each of them ends."""
    content, ends = b"", []
    for header, columns in items:
        content += b"".join(encode_frame(header, columns))
        ends.append(len(content))
    return content, ends


@given(items=FRAMES)
def test_what_was_written_is_read(items: list[tuple[dict[str, Any], list[bytes]]]) -> None:
    content, ends = written(items)
    found = list(scan_frames(content))
    assert [(item.header, bytes(item.body)) for item in found if isinstance(item, Frame)] == [(h, b"".join(c)) for h, c in items]
    assert [(item.start, item.end) for item in found] == list(zip([0, *ends], ends, strict=False))


@settings(max_examples=30, deadline=None)
@given(items=FRAMES)
def test_a_file_cut_at_any_byte_gives_every_whole_frame_and_names_the_torn_end(items: list[tuple[dict[str, Any], list[bytes]]]) -> None:
    content, ends = written(items)
    for cut in range(len(content) + 1):
        whole = [end for end in ends if end <= cut]
        found = list(scan_frames(content[:cut]))
        assert [item.end for item in found if isinstance(item, Frame)] == whole
        last = whole[-1] if whole else 0
        assert [item for item in found if isinstance(item, Damage)] == ([Damage(last, cut, at_end=True)] if cut > last else [])


@settings(max_examples=300)
@given(items=FRAMES.filter(bool), data=st.data())
def test_one_damaged_byte_costs_one_frame(items: list[tuple[dict[str, Any], list[bytes]]], data: st.DataObject) -> None:
    content, ends = written(items)
    place = data.draw(st.integers(0, len(content) - 1))
    damaged = bytearray(content)
    damaged[place] ^= data.draw(st.integers(1, 255))
    found = list(scan_frames(damaged))
    assert [item.end for item in found if isinstance(item, Frame)] == [
        end for start, end in zip([0, *ends], ends, strict=False) if not start <= place < end
    ]
    (bad,) = [item for item in found if isinstance(item, Damage)]
    assert bad.start <= place < bad.end
    assert bad.at_end == (bad.end == len(content))


@settings(max_examples=300)
@given(pieces=st.lists(st.binary(max_size=30) | st.just(MAGIC) | st.just(b"".join(encode_frame({"a": 1}, [b"ATF1"]))), max_size=12))
def test_garbage_never_raises_and_is_accounted_for_to_the_last_byte(pieces: list[bytes]) -> None:
    content = b"".join(pieces)
    found = list(scan_frames(content))
    assert [item.start for item in found] == [0, *(item.end for item in found)][: len(found)]
    assert (found[-1].end if found else 0) == len(content)


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"\xff\xfe", b'{"a": NaN}', b"[1, 2]  ", b"null    ", b"7       ", b'"text"', b"{} {}", b"[" * 4000 + b"]" * 4000],
    ids=["empty", "unfinished", "no UTF-8", "NaN", "list", "null", "number", "string", "two", "deep"],
)
def test_a_frame_whose_checksum_is_right_but_whose_header_is_no_object_is_damage(text: bytes) -> None:
    lengths = PREFIX.pack(MAGIC, len(text), 0, 0)[4:12]
    odd = PREFIX.pack(MAGIC, len(text), 0, zlib.crc32(text, zlib.crc32(lengths))) + text
    good = b"".join(encode_frame({"good": True}))
    found = list(scan_frames(good + odd + good))
    assert [type(item) for item in found] == [Frame, Damage, Frame]


def test_a_body_that_no_reader_would_accept_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "MAX_BODY", 100)
    with pytest.raises(ValueError, match="at most 100 bytes"):
        encode_frame({}, [bytes(60), bytes(60)])
