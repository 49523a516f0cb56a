"""Console lines: what is written to a terminal, turned into the lines that it shows, and lines joined into events. Pure.

What is captured, and from where, is in `_engine/console`.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

PRINTED: Final = "printed"
"""The field of a captured line that says so, in a journal; joined events have it no more."""
JOIN_MILLISECONDS: Final = 1000
"""Lines join an event for so long after its first one, as in the official clients."""
LARGEST: Final = 1 << 20
"""Characters of one event; a longer line becomes several."""
_MOST_ROWS: Final = 200
_MOST_BLANK: Final = 100
_TOKENS: Final = re.compile(r"(\n|\r+|\x08+|\x1b\[[0-9;]*[ABEFJK])")
"""What moves the cursor among the rows of a progress display, or erases them."""
_REST: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-ln-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[PX^_][^\x1b]*\x1b\\|[ -/]*[0-Z\\^-~])")
"""Every other control sequence, which would be noise in a log; colours (`ESC [ ... m`) stay."""
_BROKEN: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|\][^\x07\x1b]{0,1000})?\Z")
"""A sequence of which the rest comes with the next write."""


class LineAssembler:
    """Turns what one writer writes into finished lines: redraws of a progress bar collapse to what is seen last.

    A line is finished by its newline. Until then what a carriage return, a backspace or the cursor going up takes back is as if it had
    never been written, but for one snapshot of it in each period, so that a long progress shows. Rows that the cursor went up to are open
    again: they are finished once the cursor leaves them at the bottom, and only those that differ from what was seen of them before.

    Args:
        period: Seconds from the beginning of a display to its first snapshot, and between two; 0 makes every redraw a line.
        clock: The time in seconds.
    """

    __slots__ = ("_blank", "_broken", "_clock", "_drawing", "_due", "_fresh", "_last", "_out", "_period", "_row", "_rows", "_seen")

    def __init__(self, period: float, clock: Callable[[], float]) -> None:
        self._period = period
        self._clock = clock
        self._rows = [""]
        self._seen: list[str | None] = [None]
        self._row = 0
        self._fresh = False  # whether the next text replaces the row: the cursor stands at its beginning
        self._drawing = False
        self._due = 0.0
        self._blank = 0
        self._broken = ""
        self._last: deque[str] = deque(maxlen=_MOST_ROWS)
        self._out: list[str] = []

    @property
    def is_idle(self) -> bool:
        """Whether nothing is held."""
        return self._rows == [""] and not self._broken

    @property
    def is_left(self) -> bool:
        """Whether the cursor stands below the rows that were drawn: as far as they tell, they stay as they are."""
        return len(self._rows) > 1 and self._row > 0 and not any(row.strip() for row in self._rows[self._row :])

    def feed(self, text: str) -> Sequence[str]:
        """Take what was written, and return what it finished: mostly nothing, or one text of one or several lines."""
        if "\r\n" in text:
            text = text.replace("\r\n", "\n")
        if (
            not is_drawn(text)
            and not self._broken
            and not self._drawing
            and not self._fresh
            and len(self._rows) == 1
            and len(text) < LARGEST // 2
        ):
            # 0.3 us, for nearly everything that is ever printed.
            if "\n" not in text:
                self._rows[0] += text
                return self._split() if len(self._rows[0]) > LARGEST else ()
            head, _, self._rows[0] = (self._rows[0] + text).rpartition("\n")
            if "\n" not in head:
                line = head.rstrip()
                if line and not self._blank and "\x1b" not in line:
                    self._last.append(line)
                    return (line,)
            for line in head.split("\n"):
                self._finish(line)
            return self._taken()
        return self._feed_drawn(text)

    def take_line(self, text: str, beside: LineAssembler) -> str | None:
        """`feed` for a whole line without its newline, of less than the largest size, in which nothing is drawn: 0.3 us.

        Args:
            text: The line.
            beside: What else is written to the same terminal.

        Returns:
            The line; None, and nothing was taken, where that needs more than a look.
        """
        if self._rows[0] or len(self._rows) > 1 or self._broken or self._drawing or self._fresh or self._blank or len(beside._rows) > 1:
            return None
        line = text.rstrip()
        if line:
            self._last.append(line)
        return line or None

    def finish(self) -> Sequence[str]:
        """Return what is held, as at the end of the output."""
        self._broken, blank = "", self._blank
        self._commit()
        if not self._out:
            self._blank = blank  # nothing was held, and that is no empty line
        return self._taken()

    # ---- the drawn part

    def _feed_drawn(self, text: str) -> Sequence[str]:
        text, self._broken = self._broken + text, ""
        if "\x1b" in text and (broken := _BROKEN.search(text)):
            text, self._broken = text[: broken.start()], broken[0]
        for place, piece in enumerate(_TOKENS.split(text)):
            if not place % 2:  # what stands between two that move the cursor
                if piece:
                    self._write(piece)
            elif piece == "\n":
                self._newline()
            elif piece[0] == "\r":
                self._redraw()
            elif piece[0] == "\b":
                self._rows[self._row] = "" if self._fresh else self._rows[self._row][: -len(piece)]
            else:
                self._move(piece[-1], piece[2:-1])
        return self._taken()

    def _write(self, text: str) -> None:
        if self._fresh:
            if self._rows[self._row]:
                self._snapshot()
            self._rows[self._row], self._fresh = text, False
        else:
            self._rows[self._row] += text
        if len(self._rows[self._row]) > LARGEST:
            self._out += self._split()

    def _newline(self) -> None:
        self._fresh = False
        if self._row == len(self._rows) - 1:
            self._commit()
        else:
            self._row += 1
            self._fresh = True

    def _redraw(self) -> None:
        """The cursor goes back to the beginning of its row."""
        if not self._period:
            self._commit_redraw()
            return
        self._begin()
        self._snapshot()
        self._fresh = True

    def _commit_redraw(self) -> None:
        if self._rows[0].strip():
            self._commit()

    def _move(self, direction: str, argument: str) -> None:
        if direction in "JK":
            self._erase(direction, argument)
            return
        if not self._period:
            if direction in "AF":
                self._commit_redraw()
            return
        self._begin()
        self._snapshot()
        count = min(max(int(argument) if argument.isdigit() else 1, 1), _MOST_ROWS)
        if direction in "AF":
            above = max(0, count - self._row)
            if above:
                known: list[str] = list(self._last)[-above:]
                known = [""] * (above - len(known)) + known
                self._rows[:0] = known
                self._seen[:0] = known
            self._row += above - count
        else:
            self._row = min(self._row + count, len(self._rows) - 1)
        self._fresh = True

    def _erase(self, what: str, argument: str) -> None:
        if argument not in {"", "0", "2"} or not self._period:
            return
        if self._fresh or argument == "2":
            self._snapshot()
            self._rows[self._row] = ""
        if what == "J":
            del self._rows[self._row + 1 :], self._seen[self._row + 1 :]

    def _begin(self) -> None:
        if not self._drawing:
            self._drawing, self._due = True, self._clock() + self._period

    def _snapshot(self) -> None:
        """Let what is drawn now be seen, if that is due."""
        if not self._drawing or not self._period or (now := self._clock()) < self._due:
            return
        self._due = now + self._period
        for place, row in enumerate(self._rows):
            line = row.rstrip()
            if line and line != self._seen[place]:
                self._seen[place] = line
                self._finish(line, remember=False)

    def _commit(self) -> None:
        """All rows are as they stay."""
        rows, seen = self._rows, self._seen
        self._rows, self._seen, self._row, self._fresh, self._drawing = [""], [None], 0, False, False
        if len(rows) == 1 and seen[0] is None:
            self._finish(rows[0])
            return
        for row, was in zip(rows, seen, strict=True):
            line = row.rstrip()
            if line and line != was:
                self._finish(line)
            elif line:
                self._last.append(line)

    # ---- what is finished

    def _finish(self, row: str, *, remember: bool = True) -> None:
        line = row.rstrip()
        if not line:
            self._blank = min(self._blank + 1, _MOST_BLANK)
            return
        if remember:
            self._last.append(line)
        self._out.append("\n" * self._blank + line)
        self._blank = 0

    def _split(self) -> Sequence[str]:
        """Let go of the beginning of a row that is too long to be held."""
        row = self._rows[self._row]
        whole = len(row) // LARGEST * LARGEST
        self._rows[self._row] = row[whole:]
        return [row[start : start + LARGEST] for start in range(0, whole, LARGEST)]

    def _taken(self) -> Sequence[str]:
        if not self._out:
            return ()
        out, self._out = self._out, []
        texts = [tidy(text) for text in out]
        return ["\n".join(texts)] if sum(map(len, texts)) + len(texts) <= LARGEST else [part for text in texts for part in parts(text)]


def is_drawn(text: str) -> bool:
    """Whether a text takes back something, or may move the cursor otherwise."""
    return "\r" in text or "\x1b" in text or "\b" in text


def tidy(text: str) -> str:
    """A text without the control sequences that are no colours."""
    return _REST.sub("", text) if "\x1b" in text else text


def parts(text: str) -> list[str]:
    """A text in pieces of at most the size of an event."""
    return [text[start : start + LARGEST] for start in range(0, len(text), LARGEST)] or [""]


def joined(events: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """Console events with captured lines joined: those of one level and worker, within a second of the first, into one event.

    Whatever else was reported stays an event of its own.
    """
    if not any(PRINTED in event for event in events):
        return events
    found: list[Mapping[str, Any]] = []
    run: list[Mapping[str, Any]] = []
    size = 0
    for event in events:
        if run and not (_continues(run[0], event) and size + 1 + len(event["msg"]) <= LARGEST):
            found.append(_event_of(run))
            run = []
        if PRINTED not in event:
            found.append(event)
            continue
        size = size + 1 + len(event["msg"]) if run else len(event["msg"])
        run.append(event)
    if run:
        found.append(_event_of(run))
    return found


def _continues(first: Mapping[str, Any], event: Mapping[str, Any]) -> bool:
    return (
        PRINTED in event
        and event["level"] == first["level"]
        and event.get("worker") == first.get("worker")
        and 0 <= event["timestamp"] - first["timestamp"] < JOIN_MILLISECONDS
    )


def _event_of(run: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    fields = {name: value for name, value in run[0].items() if name != PRINTED}
    return fields | {"msg": "\n".join(event["msg"] for event in run)}


def without_stored(events: Sequence[Mapping[str, Any]], stored: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Console events without those that a server has, where captured lines may be joined in any way.

    Server: an event has no identity; the time is unique for each line of a task and worker.
    """
    texts: dict[tuple[int, object], list[str]] = {}
    for event in stored:
        texts.setdefault((int(event["timestamp"]), event.get("worker")), []).append(str(event.get("msg", "")))
    missing: list[Mapping[str, Any]] = []
    rest: str | None = None  # what is left of a stored event whose first lines were found
    for event in events:
        line = str(event["msg"])
        if rest is not None and PRINTED in event and (rest == line or rest.startswith(f"{line}\n")):
            rest = rest[len(line) + 1 :] or None
            continue
        rest = None
        candidates = texts.get((int(event["timestamp"]), event.get("worker")), [])
        same = next((text for text in candidates if text == line or (PRINTED in event and text.startswith(f"{line}\n"))), None)
        if same is None:
            missing.append(event)
        else:
            candidates.remove(same)
            rest = same[len(line) + 1 :] or None
    return missing
