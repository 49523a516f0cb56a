"""The lines of an events body: each is one JSON object with exactly what was reported, whatever that is."""

from __future__ import annotations

import json
from array import array
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atrains._wire.events import EventBlock, EventKind, RecordBlock, ScalarBlock, Span
from atrains._wire.json_lines import LARGEST_FLOAT, LOG_MESSAGE_LIMIT, SLICE, clean, encode, log_parts, record_lines, scalar_lines

SPAN = Span("j", "s", 0, 1)
texts = st.text(st.characters(), max_size=30)  # lone surrogates included
integers = st.integers(-(2**63), 2**63 - 1)
numbers = st.floats(allow_nan=False, allow_infinity=False)
moments = st.floats(0, 4e9)


def parse(block: EventBlock, first: int = 0, last: int | None = None) -> list[dict[str, Any]]:
    body = b"".join(encode(block, first, last))
    assert not body or body.endswith(b"\n")
    assert b"\r" not in body
    lines = body.split(b"\n")[:-1]
    assert body.splitlines() == lines  # as servers cut it
    return [json.loads(line) for line in lines]


def scalars(
    names: Sequence[tuple[str, str]], rows: Sequence[tuple[int, int, float, float]], *, one: bool = False, views: bool = False
) -> ScalarBlock:
    """A block of rows (series, iteration, time, value); with `one` of a single series and time."""
    columns = [array(kind, [row[place] for row in rows]) for place, kind in enumerate("Iqdd")]
    series, iterations, times, values = [memoryview(column) for column in columns] if views else columns
    return ScalarBlock("0f3c", SPAN, names, None if one else series, iterations, float(times[0]) if one else times, values)


@given(
    st.lists(st.tuples(texts, texts), min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(0, 3), integers, moments, numbers), min_size=1, max_size=40),
    st.booleans(),
    st.booleans(),
)
def test_points_come_back_exactly(names: list[tuple[str, str]], rows: list[tuple[int, int, float, float]], one: bool, views: bool) -> None:
    rows = [(series % len(names), *rest) for series, *rest in rows]  # type: ignore[misc]
    found = parse(scalars(names, rows, one=one, views=views))
    for event, (series, iteration, time, value) in zip(found, rows, strict=True):
        title, name = names[0 if one else series]
        assert list(event) == ["type", "task", "metric", "variant", "iter", "timestamp", "value"]
        assert event == {
            "type": "training_stats_scalar", "task": "0f3c", "metric": clean(title), "variant": clean(name), "iter": iteration,
            "timestamp": round((rows[0][2] if one else time) * 1000), "value": max(-LARGEST_FLOAT, min(value, LARGEST_FLOAT)),
        }  # fmt: skip


@given(st.randoms(use_true_random=False), st.integers(100, 300), st.floats(0.0001, 0.02), st.booleans())
def test_points_that_share_milliseconds_keep_their_own(random: Random, size: int, spread: float, ordered: bool) -> None:
    rows = [
        (random.randrange(2), random.randrange(-(2**63), 2**63), 1.7e9 + random.random() * spread, random.random()) for _ in range(size)
    ]
    rows = sorted(rows, key=lambda row: row[2]) if ordered else rows
    found = parse(scalars([("a", "b"), ("c", "d")], rows))
    assert [event["timestamp"] for event in found] == [round(row[2] * 1000) for row in rows]
    assert [(event["metric"], event["iter"]) for event in found] == [("ac"[row[0]], row[1]) for row in rows]


@pytest.mark.parametrize("rows", [1, SLICE - 1, SLICE, SLICE + 1, 3 * SLICE])
def test_long_blocks_come_in_slices_and_lose_nothing(rows: int) -> None:
    block = scalars([("a", "b")], [(0, row, 1.5, row / 3) for row in range(rows)])
    slices = list(encode(block))
    assert len(slices) == -(-rows // SLICE)
    assert [event["iter"] for event in parse(block)] == list(range(rows))
    assert [event["iter"] for event in parse(block, 1, rows)] == list(range(1, rows))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_not_made_into_one(value: float) -> None:
    block = scalars([("loss", "train")], [(0, 1, 1.5, 0.5), (0, 2, 1.5, value)])
    with pytest.raises(ValueError, match="loss"):
        scalar_lines(block, 0, 2)


@pytest.mark.parametrize("value", [3.5e38, 1.7e308, -1.7e308, LARGEST_FLOAT, -LARGEST_FLOAT, 5e-324, -0.0, 1e22, 0.1])
def test_values_fit_32_bits(value: float) -> None:
    (event,) = parse(scalars([("a", "b")], [(0, 0, 1.5, value)]))
    assert event["value"] == max(-LARGEST_FLOAT, min(LARGEST_FLOAT, value))
    assert array("f", [event["value"]])[0] not in {float("inf"), float("-inf")}


@given(st.lists(st.tuples(texts, texts, texts, integers), min_size=1, max_size=10))
def test_console_lines_come_back(rows: list[tuple[str, str, str, int]]) -> None:
    events = [{"timestamp": stamp, "level": level, "msg": text, "worker": worker} for text, level, worker, stamp in rows]
    found = parse(RecordBlock("t", SPAN, EventKind.LOGS, events))
    assert [event["msg"] for event in found] == [clean(text).replace("\b", "") for text, *_ in rows]
    assert [event["worker"] for event in found] == [clean(worker) for _, _, worker, _ in rows]
    assert [event["timestamp"] for event in found] == [stamp for *_, stamp in rows]
    assert {event["type"] for event in found} == {"log"}


@pytest.mark.parametrize(("level", "sent"), [("INFO", "info"), ("Warning", "warning"), ("loud", "info"), ("", "info")])
def test_levels_are_in_the_words_of_the_server(level: str, sent: str) -> None:
    assert log_parts({"level": level, "msg": "x"}) == [{"level": sent, "msg": "x"}]


@pytest.mark.parametrize("size", [0, 1, LOG_MESSAGE_LIMIT, LOG_MESSAGE_LIMIT + 1, 3 * LOG_MESSAGE_LIMIT])
def test_long_messages_are_split_and_nothing_is_lost(size: int) -> None:
    event = {"timestamp": 1, "level": "info", "msg": "ü" * size, "worker": "w"}
    parts = [json.loads(line) for line in record_lines(RecordBlock("t", SPAN, EventKind.LOGS, [event]), 0)]
    assert "".join(part["msg"] for part in parts) == "ü" * size
    assert all(len(part["msg"]) <= LOG_MESSAGE_LIMIT for part in parts)
    assert len(parts) == max(1, -(-size // LOG_MESSAGE_LIMIT))


@given(texts, texts, texts, st.integers(-(2**70), 2**70))
def test_plots_come_back(title: str, series: str, figure: str, iteration: int) -> None:
    event = {"timestamp": 1, "metric": title, "variant": series, "iter": iteration, "plot_str": figure}
    (found,) = parse(RecordBlock("t", SPAN, EventKind.PLOTS, [event]))
    assert found == {
        "type": "plot", "task": "t", "timestamp": 1, "metric": clean(title), "variant": clean(series), "plot_str": clean(figure),
        "iter": max(-(2**63), min(iteration, 2**63 - 1)),
    }  # fmt: skip


@pytest.mark.parametrize(("text", "cleaned"), [("plain", "plain"), ("\ud83d\ude00", "😀"), ("a\ud83d", "a�"), ("\udc80b", "�b"), ("", "")])
def test_half_characters_are_joined_or_replaced(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


def test_names_are_what_they_are_up_to_the_limit_of_the_server() -> None:
    name = '"},{"\\\n\x00\u2028' * 2_900
    (event,) = parse(scalars([(name, "ü" * 16_000)], [(0, 0, 1.5, 1.0)]))
    assert (event["metric"], event["variant"]) == (name, "ü" * 16_000)


def test_longer_names_are_cut_and_stay_apart() -> None:
    """A server fails a whole request for a name of more than 32,766 bytes."""
    long = [("é" * 40_000 + end, "s") for end in "ab"]
    events = parse(scalars(long, [(0, 0, 1.5, 1.0), (1, 0, 1.5, 1.0)]))
    plots = [{"timestamp": 1, "metric": title, "variant": "s", "iter": 0, "plot_str": "{}"} for title, _ in long]
    found = [event["metric"] for event in events + parse(RecordBlock("t", SPAN, EventKind.PLOTS, plots))]
    assert found[:2] == found[2:]
    assert len(set(found)) == 2
    assert all(len(name.encode()) <= 32_766 and name.startswith("é" * 10_000) for name in found)
