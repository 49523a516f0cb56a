"""What is printed and logged, as console lines of the task that it belongs to: the one current where it is written, else the main task."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import orjson

from atrains._api import current
from atrains._api.handler import LogHandler
from atrains._engine.console import LOGGING, STREAMS, Console
from atrains._engine.held import reentrant_lock
from atrains._engine.process import process
from atrains._wire.console_lines import LARGEST, PRINTED, LineAssembler, parts
from atrains._wire.json_lines import clean
from atrains.errors import ValidationError

if TYPE_CHECKING:
    from atrains._api.logger import Logger

_LEVELS: Final = {"stdout": "info", "stderr": "error"}
_OTHER: Final = {"stdout": "stderr", "stderr": "stdout"}
_MOST_BEGUN: Final = 100
"""Lines that may be begun before it is looked whose threads have ended."""
NOTHING: Final[frozenset[str]] = frozenset()


def check_streams(wish: bool | Mapping[str, bool]) -> frozenset[str]:
    """Which of `stdout`, `stderr` and `logging` are to be captured: True means the two streams, a mapping names them.

    Raises:
        ValidationError: a name that is none of them.
    """
    if isinstance(wish, bool):
        return frozenset(STREAMS) if wish else NOTHING
    known = (*STREAMS, LOGGING)
    if not isinstance(wish, Mapping) or not set(wish) <= set(known):
        raise ValidationError(f"auto_connect_streams is True, False or a dict with some of {', '.join(known)}, not {wish!r}")
    return frozenset(name for name, wanted in wish.items() if wanted)


class TaskConsole:
    """What one run captures of the console, until it is closed.

    Lines that threads print at the same time are not mixed: what a thread has begun is added when it ends the line. A display that is drawn
    (its threads take turns: rich has one that only refreshes) is one for all.

    Args:
        logger: Where lines are reported.
        streams: What is captured.
        period: Seconds between two snapshots of a progress display.
    """

    def __init__(self, logger: Logger, streams: frozenset[str], period: float) -> None:
        self.streams = streams
        self._logger = logger
        self._period = period
        self._heads = {stream: _head(logger, level) for stream, level in _LEVELS.items()}
        self._open = True
        self._begin()

    def _begin(self) -> None:
        self._lock = reentrant_lock()
        self._begun: dict[tuple[str, int], str] = {}
        self._lines = {stream: LineAssembler(self._period, time.monotonic) for stream in _LEVELS}

    def take(self, stream: str, text: str) -> None:
        """Report the lines that a piece of output finishes."""
        key = (stream, threading.get_ident())
        begun = self._begun.pop(key, None)
        if begun is not None:
            if text == "\n" and (line := self._end_line(stream, begun)):  # as `print` writes it, so that is nearly every line
                self._report(line, stream)
                return
            text = begun + text
        if "\n" not in text and "\r" not in text and "\x1b" not in text and "\b" not in text and len(text) < LARGEST:
            self._begun[key] = text
            if begun is None and len(self._begun) > _MOST_BEGUN:
                self._finish_begun(living=False)
            return
        for finished in self._feed(stream, text):
            self._report(finished, stream)

    def take_record(self, record: logging.LogRecord, handler: logging.Handler) -> None:
        """Report a record of `logging`."""
        for part in parts(handler.format(record)):
            self._logger.report_text(part, record.levelno, print_console=False)

    def finish(self) -> None:
        """Report what was begun and not ended by a newline."""
        self._finish_begun(living=True)
        for stream, lines in self._lines.items():
            with self._lock:
                found = lines.finish()
            for finished in found:
                self._report(finished, stream)

    def close(self) -> None:
        """Capture nothing more for this run."""
        console = process().console
        if self._open and console is not None:
            console.close(self)
        self._open = False
        self.finish()

    def reset_in_child(self) -> None:
        """In a forked child: what was begun in the parent is printed there."""
        self._begin()

    def _end_line(self, stream: str, begun: str) -> str | None:
        """`_feed` for the end of a line in which nothing is drawn: what was begun never is. None where it is not that simple."""
        with self._lock:
            return self._lines[stream].take_line(begun, beside=self._lines[_OTHER[stream]])

    def _feed(self, stream: str, text: str) -> Sequence[str]:
        other = _OTHER[stream]
        with self._lock:
            left = self._lines[other]
            if left.is_left:  # or it would be behind what follows it
                for finished in left.finish():
                    self._report(finished, other)
            return self._lines[stream].feed(text)

    def _finish_begun(self, *, living: bool) -> None:
        """End the lines that threads have begun, those that live or only those that have ended."""
        alive = {thread.ident for thread in threading.enumerate()}
        for key in list(self._begun):
            if living or key[1] not in alive:
                for finished in self._feed(key[0], self._begun.pop(key, "") + "\n"):
                    self._report(finished, key[0])

    def _report(self, text: str, stream: str) -> None:
        try:
            message = orjson.dumps(text)
        except TypeError:  # half a character somewhere
            message = orjson.dumps(clean(text))
        # Joined with its neighbours only when it is sent: so it is on the disk, and survives a kill, as soon as it is printed.
        logger = self._logger
        logger._report_printed(b'%b%d,"msg":%b}}' % (self._heads[stream], logger._stamp(), message))  # noqa: SLF001  # a part of it


def _head(logger: Logger, level: str) -> bytes:
    """What the record of a line begins with: everything but its time and its text."""
    fields = {"kind": "logs", "task": logger._task, "event": {"level": level, "worker": logger._worker, PRINTED: True}}  # noqa: SLF001
    return orjson.dumps(fields)[:-2] + b',"timestamp":'


def open_console(logger: Logger, streams: frozenset[str], period: float) -> TaskConsole:
    """Capture some streams for a run."""
    made = TaskConsole(logger, streams, period)
    state = process()
    with state.lock:
        if state.console is None:
            state.console = Console(_wants, _take, _take_record)
        console = state.console
    console.open(made, streams)
    return made


def _wants(stream: str) -> bool:
    task = current.current_task()
    console = None if task is None else task._console  # noqa: SLF001  # set by its opening
    return console is not None and stream in console.streams


def _take(stream: str, text: str) -> None:
    task = current.current_task()  # 0.3 us, twice for each line: `print` writes the newline by itself
    console = None if task is None else task._console  # noqa: SLF001
    if console is not None and stream in console.streams:
        console.take(stream, text)


def _take_record(record: logging.LogRecord, handler: logging.Handler) -> None:
    task = current.current_task()
    console = None if task is None else task._console  # noqa: SLF001
    if console is not None and not isinstance(handler, LogHandler):  # which reports it itself
        console.take_record(record, handler)
