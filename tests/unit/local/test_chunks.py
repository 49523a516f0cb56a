"""Chunk files: what is written is what is read, whatever happens to the file's end or middle."""

from __future__ import annotations

import os
import sys
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atrains._local import chunks
from atrains._local.metrics import SeriesSummary, summarise
from atrains._wire.events import SINGLE_VALUE_ITERATION, EventKind, RecordBlock, ScalarBlock, Span
from atrains._wire.frames import Damage, Frame

INT64 = st.integers(-(2**63), 2**63 - 1)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
POINTS = st.lists(st.tuples(st.integers(0, 3), INT64 | st.integers(-3, 3) | st.just(SINGLE_VALUE_ITERATION), FINITE, FINITE), min_size=1)
Points = list[tuple[int, int, float, float]]
NAMES = [("loss", "train"), ("loss", "val"), ("größe", ""), (":monitor:gpu", "x")]


def mixed(points: Sequence[tuple[int, int, float, float]], first: int = 0) -> ScalarBlock:
    series, iterations, times, values = zip(*points, strict=True)
    span = Span("journal", "s", first, first + len(points))
    return ScalarBlock("t", span, NAMES, array("I", series), array("q", iterations), array("d", times), array("d", values))


def single(points: Sequence[tuple[int, float]], first: int = 0) -> ScalarBlock:
    iterations, values = zip(*points, strict=True)
    span = Span("journal", "s", first, first + len(points))
    return ScalarBlock("t", span, NAMES[:1], None, array("q", iterations), 2.5, array("d", values))


def written(*blocks: ScalarBlock | RecordBlock) -> bytes:
    return b"".join(bytes(buffer) for block in blocks for buffer in chunks.encode_block(block, "2020")[1])


def opened(path: Path, content: bytes) -> BinaryIO:
    path.write_bytes(content)
    return path.open("rb")


def listed(block: ScalarBlock) -> tuple[object, ...]:
    series = None if block.series is None else list(block.series)
    times = block.times if isinstance(block.times, float) else list(block.times)
    return block.span, [tuple(name) for name in block.names], series, list(block.iterations), times, list(block.values)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("chunks") / "scalars"


@given(first=POINTS, second=st.lists(st.tuples(INT64, FINITE), min_size=1))
def test_scalars_are_read_as_they_were_written(place: Path, first: Points, second: list[tuple[int, float]]) -> None:
    blocks = [mixed(first), single(second, first=len(first))]
    with opened(place, written(*blocks)) as file:
        found = [chunks.decode_scalars("t", frame) for frame in chunks.scan(file) if isinstance(frame, Frame)]
    assert [listed(block) for block in found] == [listed(block) for block in blocks]


@given(points=POINTS)
def test_summaries_equal_those_taken_point_by_point(points: list[tuple[int, int, float, float]]) -> None:
    for number, summary in enumerate(summarise(mixed(points))):
        own = [(iteration, time, value) for series, iteration, time, value in points if series == number]
        if summary is None:
            assert own == []
            continue
        values, iterations = [value for _, _, value in own], [iteration for iteration, _, _ in own]
        singles = [(value, time) for iteration, time, value in own if iteration == SINGLE_VALUE_ITERATION]
        lowest, highest = values.index(min(values)), values.index(max(values))
        assert summary == SeriesSummary(
            *NAMES[number], len(own), values[0], iterations[0], values[-1], iterations[-1], min(values), iterations[lowest],
            max(values), iterations[highest], max(iterations), *(singles[-1] if singles else (None, None)),
        )  # fmt: skip


@pytest.mark.parametrize("size", [1, 8191, 8192, 8193, 30_000])
def test_summaries_are_the_same_with_and_without_numpy(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    random = np.random.default_rng(size)
    values, iterations = random.normal(size=size), random.integers(-50, 50, size)
    iterations[size // 2] = SINGLE_VALUE_ITERATION
    block = ScalarBlock("t", Span("j", "s", 0, size), NAMES[:1], None, iterations.data, 2.5, values.data.cast("B").cast("d"))
    with_numpy = summarise(block)
    monkeypatch.delitem(sys.modules, "numpy")
    assert summarise(block) == with_numpy


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("together", [False, True])
def test_a_value_that_is_no_number_is_refused_by_name(bad: float, together: bool) -> None:
    for points in ([(1, bad), (2, 1.0)], [(1, 1.0), (2, bad)]):
        block = mixed([(0, iteration, 1.0, value) for iteration, value in points]) if together else single(points)
        with pytest.raises(ValueError, match=r"loss/train.*not finite"):
            chunks.encode_block(block, "2020")


def test_a_name_that_is_no_text_is_refused() -> None:
    block = ScalarBlock("t", Span("j", "s", 0, 1), [("loss", "\ud800")], None, array("q", [1]), 1.0, array("d", [1.0]))
    with pytest.raises(ValueError, match="cannot be stored"):
        chunks.encode_block(block, "2020")


def test_columns_of_different_lengths_are_refused() -> None:
    block = ScalarBlock("t", Span("j", "s", 0, 2), NAMES[:1], None, array("q", [1]), 1.0, array("d", [1.0, 2.0]))
    with pytest.raises(ValueError, match="iteration 1, value 2"):
        chunks.encode_block(block, "2020")


def three_chunks() -> tuple[bytes, list[int]]:
    logs = RecordBlock("t", Span("j", "l", 0, 1), EventKind.LOGS, [{"timestamp": 1, "msg": "ATF1 in the text"}])
    parts = [written(single([(1, 0.5)])), written(logs), written(mixed([(0, 1, 1.0, 2.0), (2, 3, 4.0, 5.0)], first=1))]
    return b"".join(parts), [sum(map(len, parts[: count + 1])) for count in range(3)]


def test_a_file_cut_at_any_byte_gives_its_whole_chunks_and_one_torn_end(tmp_path: Path) -> None:
    content, ends = three_chunks()
    for cut in range(len(content) + 1):
        whole = [end for end in ends if end <= cut]
        with opened(tmp_path / "f", content[:cut]) as file:
            for scan in (chunks.scan, chunks.scan_headers):
                found = list(scan(file))
                assert [item.end for item in found if isinstance(item, Frame)] == whole
                torn = [(item.start, item.end, item.at_end) for item in found if isinstance(item, Damage)]
                assert torn == ([] if cut in {0, *ends} else [(whole[-1] if whole else 0, cut, True)])


@settings(max_examples=300)
@given(data=st.data())
def test_one_damaged_place_costs_one_chunk(place: Path, data: st.DataObject) -> None:
    content, ends = three_chunks()
    position = data.draw(st.integers(0, len(content) - 1))
    damaged = bytearray(content)
    damaged[position] ^= data.draw(st.integers(1, 255))
    with opened(place, bytes(damaged)) as file:
        found = [item.end for item in chunks.scan(file) if isinstance(item, Frame)]
    assert found == [end for start, end in zip([0, *ends], ends, strict=False) if not start <= position < end]


@pytest.mark.parametrize("chunk", [0, 1, 2])
def test_damage_is_said_once_and_a_torn_end_is_not(tmp_path: Path, caplog: pytest.LogCaptureFixture, chunk: int) -> None:
    content, ends = three_chunks()
    damaged = bytearray(content)
    damaged[ends[chunk] - 1] ^= 1
    for whole, said in ((bytes(damaged), 1), (content[: ends[chunk] - 1], 0)):
        path = tmp_path / str(said)
        caplog.clear()
        for _ in range(2):
            with opened(path, whole) as file:
                assert [frame.end for frame in chunks.read_whole(path, file)] == [
                    end for end in ends if end != ends[chunk] and end <= len(whole)
                ]
        assert [str(path) in record.getMessage() for record in caplog.records] == [True] * said


def test_damage_longer_than_a_window_is_passed(tmp_path: Path) -> None:
    content, ends = three_chunks()
    garbage = b"ATF1" + os.urandom(3 << 20)
    with opened(tmp_path / "f", content[: ends[0]] + garbage + content[ends[0] :]) as file:
        found = list(chunks.scan(file))
    assert [type(item) for item in found] == [Frame, Damage, Frame, Frame]


def test_headers_are_found_without_the_bodies_and_the_bodies_by_them(tmp_path: Path) -> None:
    content, _ = three_chunks()
    with opened(tmp_path / "f", content) as file:
        headers = [item for item in chunks.scan_headers(file) if isinstance(item, Frame)]
        assert [bytes(item.body) for item in headers] == [b"", b"", b""]
        whole = [chunks.read_frame(file, item) for item in headers]
        assert whole == list(chunks.scan(file))


@given(spans=st.lists(st.tuples(st.integers(0, 40), st.integers(1, 10)), max_size=30))
def test_a_span_counts_once_in_whatever_order_spans_come(spans: list[tuple[int, int]]) -> None:
    seen, met = chunks.Seen(), set[tuple[int, int]]()
    for first, length in spans:
        span = Span("j", "s", first, first + length)
        new = seen.add(span)
        assert not (new and (first, length) in met)
        if not new:
            assert set(range(first, first + length)) <= {place for start, size in met for place in range(start, start + size)}
        met.add((first, length))
