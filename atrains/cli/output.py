"""What the commands print with: lines and tables cut to the terminal, sparklines, ages. Plain text where there is no terminal."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from rich.console import Console

Part: TypeAlias = "str | tuple[str, str]"
"""Text, or text and its style; a style only shows on a terminal."""

STATUS_STYLES: Final = {"completed": "green", "published": "green", "in_progress": "cyan", "failed": "red", "stopped": "yellow"}

_USUAL_WIDTH: Final = 80
_NARROWEST: Final = 8
"""Columns of a terminal below which a column of a table is not cut."""
_BLOCKS: Final = "▁▂▃▄▅▆▇█"
_ASCII: Final = "_.-~=+*#"
_ESCAPES: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.?)")
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_UNITS: Final = (("d", 86_400), ("h", 3600), ("min", 60))


class Output:
    """Standard output.

    Attributes:
        width: Columns of the terminal; None where the output is a file or a pipe, and nothing is cut.
    """

    def __init__(self) -> None:
        self._encoding = sys.stdout.encoding or "utf-8"
        self.width = _terminal_width()
        self._console: Console | None = None
        if self.width is not None:
            from rich.console import Console  # 50 ms that a pipe does not need

            self._console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
        self.levels = _BLOCKS if self._can_print(_BLOCKS) else _ASCII
        self._ellipsis = "…" if self._can_print("…") else "..."

    def line(self, *parts: Part) -> None:
        """Print one line; what the terminal's encoding does not have is escaped."""
        if self._console is None:
            print(self._printable("".join(part if isinstance(part, str) else part[0] for part in parts)))
            return
        from rich.text import Text

        styled = [self._printable(part) if isinstance(part, str) else (self._printable(part[0]), part[1]) for part in parts]
        self._console.print(Text.assemble(*styled))

    def heading(self, text: str) -> None:
        """Print the title of a section, behind an empty line."""
        self.line()
        self.line((text, "bold"))

    def table(self, rows: Sequence[Sequence[Part]], *, indent: int = 0, cut: Sequence[int] = (), ends: Sequence[int] = ()) -> None:
        """Print rows in columns.

        Args:
            rows: Cells without line breaks, as many in each row.
            indent: Blanks before each row.
            cut: The columns to shorten, in this order, where the terminal is too narrow.
            ends: Those of them of which the ends are kept.
        """
        texts = [[cell if isinstance(cell, str) else cell[0] for cell in row] for row in rows]
        widths = [max(map(cell_width, column)) for column in zip(*texts, strict=True)]
        if self.width is not None:
            excess = indent + sum(widths) + 2 * (len(widths) - 1) - self.width
            for column in cut:
                saved = max(0, min(excess, widths[column] - _NARROWEST))
                widths[column] -= saved
                excess -= saved
        for row, cells in zip(rows, texts, strict=True):
            fitted = [self.cut(cell, widths[column], end=column in ends) for column, cell in enumerate(cells)]
            padded = [f"{cell}{' ' * (width - cell_width(cell))}  " for cell, width in zip(fitted[:-1], widths, strict=False)] + fitted[-1:]
            self.line(" " * indent, *(text if isinstance(cell, str) else (text, cell[1]) for cell, text in zip(row, padded, strict=True)))

    def cut(self, text: str, width: int, *, end: bool = False) -> str:
        """The text, shortened to a number of columns where it is longer; its beginning is kept, or its end."""
        if cell_width(text) <= width:
            return text
        room = max(0, width - len(self._ellipsis))
        kept = text[len(text) - room :] if end else text[:room]
        while kept and cell_width(kept) > room:
            kept = kept[1:] if end else kept[:-1]
        return self._ellipsis + kept if end else kept + self._ellipsis

    def fit(self, text: str) -> str:
        """The text, shortened to what a line of the terminal holds."""
        return text if self.width is None else self.cut(text, self.width)

    def _can_print(self, text: str) -> bool:
        return self._printable(text) == text

    def _printable(self, text: str) -> str:
        return text.encode(self._encoding, "backslashreplace").decode(self._encoding)


def cell_width(text: str) -> int:
    """How many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def clean(text: str) -> str:
    """One line of somebody's text without what would move the cursor or colour the terminal."""
    return _CONTROLS.sub(" ", _ESCAPES.sub("", text))


def clean_lines(texts: Iterable[str]) -> list[str]:
    """The lines of console texts as they were last seen: a line that was written over (a progress bar) counts as written last."""
    lines = [line.rstrip("\r").rpartition("\r")[2] for text in texts for line in text.rstrip("\n").split("\n")]
    return [clean(line.expandtabs()) for line in lines]


def sparkline(values: Sequence[float], levels: str) -> str:
    """A curve as one character for each value, from the lowest level for the smallest value to the highest for the largest."""
    if not values:
        return ""
    # Halved, so that the distance between the two largest doubles is still a number.
    low, high = min(values) / 2, max(values) / 2
    if low == high:
        return levels[len(levels) // 2] * len(values)
    return "".join(levels[round((value / 2 - low) / (high - low) * (len(levels) - 1))] for value in values)


def age(moment: str | None) -> str:
    """How long ago a stored time was, in one unit; `-` for a time that is not there."""
    if not moment:
        return "-"
    seconds = max(0.0, (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds())
    return next((f"{seconds // size:.0f} {unit}" for unit, size in _UNITS if seconds >= size), f"{seconds:.0f} s")


def local_time(moment: str) -> str:
    """A stored time in this machine's time zone."""
    return datetime.fromisoformat(moment).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _terminal_width() -> int | None:
    try:
        descriptor = sys.stdout.fileno()
        if not os.isatty(descriptor):
            return None
        return os.get_terminal_size(descriptor).columns or _USUAL_WIDTH
    except (OSError, ValueError, AttributeError):  # standard output is closed, or was replaced by something that is no file
        return None
