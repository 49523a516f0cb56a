"""Reporter: `task.reporter`, the face under which programs of old report metrics. It hands over to the Logger."""

from __future__ import annotations

import logging
from typing import SupportsFloat, SupportsIndex

from atrains._api.logger import Logger


class Reporter:
    """A simple reporter of metrics; get it with `task.reporter`.

    The calls of the task's `Logger` that need no file, in the same positional order: what is reported here and there goes the same way,
    never waits, and survives a killed process.

    Example:
        >>> task.reporter.report_scalar("loss", "train", 0.25, 10)
    """

    __slots__ = ("_logger",)

    def __init__(self, logger: Logger) -> None:
        self._logger = logger

    def report_scalar(self, title: str, series: str, value: SupportsFloat | SupportsIndex, iter: int) -> None:
        """Report one point.

        Args:
            title: The graph.
            series: The curve in it.
            value: A finite number, or what converts to one.
            iter: The x coordinate, a signed 64 bit integer; the initial iteration of the task is added.

        Raises:
            TaskClosedError: the task was closed.
        """
        self._logger.report_scalar(title, series, value, iter)

    def report_text(self, msg: str, level: int | str = logging.INFO, print_console: bool = False) -> None:
        """Report text to the task's console.

        Args:
            msg: The text.
            level: A level of `logging`, or its name.
            print_console: Whether to print it to standard output as well.

        Raises:
            TaskClosedError: the task was closed.
        """
        self._logger.report_text(msg, level, print_console)

    def flush(self) -> bool:
        """Start delivering what was reported, without waiting for it; `task.flush()` waits."""
        return self._logger.flush()

    def __eq__(self, other: object) -> bool:
        return self._logger == other._logger if isinstance(other, Reporter) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._logger)

    def __repr__(self) -> str:
        return f"<Reporter of {self._logger!r}>"
