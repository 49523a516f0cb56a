"""What is written to a terminal becomes the lines that it shows; lines join into events, and are found again in what a server has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atrains._wire.console_lines import LARGEST, PRINTED, LineAssembler, joined, parts, tidy, without_stored

PERIOD = 10.0


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def lines_of(*pieces: str, period: float = PERIOD, every: float = 0.0) -> list[str]:
    """The lines of what is written piece by piece, some seconds apart."""
    clock = Clock()
    lines, found = LineAssembler(period, clock), list[str]()
    for piece in pieces:
        found += lines.feed(piece)
        clock.now += every
    return "\n".join([*found, *lines.finish()]).split("\n")


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (["hello", "\n"], ["hello"]),
        (["a\nb\nc"], ["a", "b", "c"]),
        (["dos\r\n", "lines\r", "\n"], ["dos", "lines"]),
        (["trailing   \n"], ["trailing"]),
        (["a\n", "\n", "\n", "b\n", "\n"], ["a", "", "", "b"]),
        (["0%", "\r50%", "\r100%", "\n", "done\n"], ["100%", "done"]),
        (["0%\r", "50%\r", "100%\r", "\n"], ["100%"]),
        (["\r 50%|", "\r     \r", "next\n"], ["next"]),
        (["-", "\b\\", "\b|", "\bready\n"], ["ready"]),
        (["\x1b[31mred\x1b[0m \x1b[?25l\x1b]0;title\x07end\n"], ["\x1b[31mred\x1b[0m end"]),
        (["cut \x1b", "[2", "Kclean\n"], ["clean"]),
        (["one\ntwo\n", "\x1b[2A", "ONE\n", "TWO\n", "three\n"], ["one", "two", "ONE", "TWO", "three"]),
        (["one\ntwo\n", "\x1b[1A\r", "\x1b[2K", "TWO\n", "three\n"], ["one", "two", "TWO", "three"]),
        (["kept\nasked? ", "\x1b[1A", "kept\n", "asked? yes\n"], ["kept", "asked? yes"]),
    ],
)
def test_what_is_shown(written: Sequence[str], shown: list[str]) -> None:
    assert lines_of(*written) == shown


def test_an_end_with_nothing_held_is_no_empty_line() -> None:
    lines = LineAssembler(PERIOD, Clock())
    assert lines.feed("before\n") == ("before",)
    assert not lines.finish()
    assert lines.feed("after\n") == ("after",)


def test_a_long_progress_shows_once_a_period() -> None:
    bar = [f"\r{number}%" for number in range(101)]
    assert lines_of(*bar, "\n", every=0.3) == ["33%", "67%", "100%"]


BARS = {
    "tqdm": ("", "\rtraining {:3}%|{}|", "\n"),
    "click": ("\r\x1b[?25l", "\r" + " " * 50 + "\rtraining  {:3}% [{}]", "\x1b[?25h\n"),
    "alive-progress": ("\x1b[?25l", "\r{:3}% |{}| training\x1b[K", "\x1b[?25h\n"),
    "progressbar2": ("", "training {:3}% |{}|\r", "\n"),
    "keras": ("", "\b" * 60 + "\r\x1b[1m{:3}%\x1b[0m \x1b[32m{}\x1b[0m training", "\n"),
    "a spinner": ("\x1b[?25l", "\r\x1b[K{:3}% {} training", "\r\x1b[K\x1b[?25htraining 100%\n"),
    "rich": ("", "\r\x1b[2Ktraining {:3}% \x1b[38;5;197m{}\x1b[0m", "\n\x1b[?25h"),
    "rich, live": ("\x1b[?25l", "training {:3}% {}\n\x1b[1A\x1b[2K", "training 100%\n\x1b[?25h"),
    "curl": ("  % Total\n", "\r{:3}  1024k {} training", "\n"),
}


@pytest.mark.parametrize("library", BARS)
def test_the_bars_of_libraries_are_a_line_a_period(library: str) -> None:
    """A minute of ten redraws a second, in the sequences that each writes, cut anywhere: a line each ten seconds, and the end."""
    begin, frame, end = BARS[library]
    pieces = [begin, *(frame.format(number // 6, "#" * (number // 30)) for number in range(6 * 100 + 1)), end, "after\n"]
    for cut in (len(frame) // 2, len(frame) + 5, 10_000):
        written = "".join(pieces[1:-2])
        # As many pieces as redraws, so that as much time goes by.
        size = min(cut, len(written) // 600)
        parted = pieces if cut == 10_000 else [begin, *(written[at : at + size] for at in range(0, len(written), size)), end, "after\n"]
        found = [line for line in lines_of(*parted, every=60 / len(parted)) if line.strip()]
        assert found.pop() == "after"
        bars = [line for line in found if "training" in line or "%" in line]
        assert "100%" in bars[-1] or library == "curl"
        assert len(bars) <= 60 / PERIOD + 2
        assert not any(control in line for line in found for control in ("\r", "\b", "\x1b[K", "\x1b[?"))


def test_without_a_period_each_redraw_is_a_line() -> None:
    assert lines_of(*(f"\r{number}%" for number in range(4)), "\n", period=0.0) == ["0%", "1%", "2%", "3%"]
    assert lines_of("a\n", "\x1b[1Ab", "\x1b[1Ac\n", period=0.0) == ["a", "b", "c"]


def test_several_bars_show_together_and_end_as_they_are() -> None:
    frames = ["", *["\r\x1b[2K" + "\x1b[1A\x1b[2K" * 2] * 59]
    bars = [f"{frame}one {number}\ntwo {number}\nthree {number}" for number, frame in enumerate(frames)]
    found = lines_of(*bars, "\n", "after\n", every=0.5)
    assert found[-4:] == ["one 59", "two 59", "three 59", "after"]
    assert len(found) == 2 + 2 * 3 + 3 + 1  # two rows before the display was known for one; two periods; the end; what follows


text = st.text(st.characters(exclude_characters="\n\r\b\x1b", exclude_categories=["Cs"]), max_size=20)
redraw = st.sampled_from(["\r{}", "{}\r", "\r\x1b[2K{}", "\r{}\x1b[K", "\b\b\b{}", "\x1b[2K\r{}"])


@given(st.lists(st.tuples(redraw, text), min_size=1, max_size=60), st.floats(0.01, 30), st.lists(st.integers(0, 40), max_size=5))
def test_a_progress_bar_is_at_most_one_line_a_period(frames: list[tuple[str, str]], every: float, cuts: list[int]) -> None:
    """However a bar is redrawn, and however its output is cut into pieces: one line a period, and the last state at its end."""
    clock = Clock()
    lines, count = LineAssembler(PERIOD, clock), 0
    for form, shown in frames:
        piece = form.format(shown)
        for begin, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(piece)], strict=True):
            for found in lines.feed(piece[begin:end] if end >= begin else ""):
                count += len(found.split("\n"))
        clock.now += every
        assert count <= clock.now // PERIOD + 1
    count += len([line for found in [*lines.feed("\n"), *lines.finish()] for line in found.split("\n")])
    assert count <= clock.now // PERIOD + 1


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\b\x1b"), max_size=30)))
def test_plain_text_is_kept_whatever_the_pieces(pieces: list[str]) -> None:
    expected = [line.rstrip() for line in "".join(pieces).split("\n")]
    while expected and not expected[-1]:
        expected.pop()
    assert "\n".join(lines_of(*pieces)) == "\n".join(expected[: len(expected)]) or len(expected) > 100


@given(st.text(st.sampled_from("ab\n\r\b\x1b[012345;ABEFJKm\x07]P\\"), max_size=200), st.floats(0, 20))
def test_any_control_sequence_ends_as_text(written: str, period: float) -> None:
    lines = LineAssembler(period, Clock())
    found = [*lines.feed(written), *lines.finish()]
    assert all(len(part) <= LARGEST for part in found)
    assert lines.is_idle or not "".join(lines.finish())


def test_a_line_of_two_mebibytes_becomes_several() -> None:
    line = "x" * (2 << 20) + "end"
    clock = Clock()
    lines = LineAssembler(PERIOD, clock)
    found = [*lines.feed(line), *lines.feed("\n"), *lines.feed("next\n")]
    assert [len(part) for part in found] == [LARGEST, LARGEST, 3, 4]
    assert parts(line) == found[:3]


def test_a_line_that_never_ends_is_not_held() -> None:
    lines = LineAssembler(PERIOD, Clock())
    found = [part for _ in range(40) for part in lines.feed("." * 100_000)]
    assert sum(map(len, found)) >= 3 << 20


def test_colours_stay() -> None:
    assert tidy("\x1b[1;31mred\x1b[0m\x1b[3;4H\x1b(B") == "\x1b[1;31mred\x1b[0m"


# ---- events


def line(stamp: int, msg: str, level: str = "info", *, printed: bool = True, worker: str = "w") -> dict[str, Any]:
    return {"timestamp": stamp, "level": level, "msg": msg, "worker": worker} | ({PRINTED: True} if printed else {})


def shown(events: Sequence[Any]) -> list[tuple[int, str, str]]:
    assert not any(PRINTED in event for event in events)
    return [(event["timestamp"], event["level"], event["msg"]) for event in events]


def test_lines_of_one_level_join_within_a_second() -> None:
    events = [line(0, "a"), line(999, "b"), line(1000, "c"), line(1001, "d", "error"), line(1002, "e", "error"), line(1003, "f")]
    assert shown(joined(events)) == [(0, "info", "a\nb"), (1000, "info", "c"), (1001, "error", "d\ne"), (1003, "info", "f")]


def test_what_was_reported_by_hand_stays_an_event_of_its_own() -> None:
    events = [line(0, "a"), line(1, "text", printed=False), line(2, "b"), line(3, "c")]
    assert shown(joined(events)) == [(0, "info", "a"), (1, "info", "text"), (2, "info", "b\nc")]
    plain = [line(0, "a", printed=False)]
    assert joined(plain) is plain


def test_an_event_stays_below_a_mebibyte() -> None:
    events = joined([line(number, "x" * 300_000) for number in range(8)])
    assert [len(event["msg"]) for event in events] == [900_002, 900_002, 600_001]


messages = st.lists(st.tuples(st.text("ab", min_size=1, max_size=3), st.booleans(), st.sampled_from(["info", "error"])), max_size=25)


@given(messages, st.data())
def test_what_a_server_has_is_not_sent_again_however_it_was_joined(reports: list[tuple[str, bool, str]], data: st.DataObject) -> None:
    """A request is cut anywhere, joined, stored as a whole or not at all; what is missing is exactly what was not stored."""
    events = [line(number * 300, msg, level, printed=printed) for number, (msg, printed, level) in enumerate(reports)]
    cut = sorted(data.draw(st.lists(st.integers(0, len(events)), max_size=4)))
    pieces = [events[begin:end] for begin, end in zip([0, *cut], [*cut, len(events)], strict=True)]
    kept = [(piece, data.draw(st.booleans())) for piece in pieces]
    stored = [event for piece, is_stored in kept if is_stored for event in joined(piece)]
    assert without_stored(events, stored) == [event for piece, is_stored in kept if not is_stored for event in piece]
