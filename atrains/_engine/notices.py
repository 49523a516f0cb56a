"""What atrains prints on standard error: a few lines about a run, none when quiet; and its warnings where nobody configured logging."""

from __future__ import annotations

import contextlib
import logging
import sys
from typing import Final

from atrains._config import Settings
from atrains._engine.console import unseen


def say(settings: Settings, text: str) -> None:
    """Print one line, unless the user asked for quiet."""
    if settings.quiet or sys.stderr is None:
        return
    # A closed or broken terminal must not end the run that the line is about, nor a signal that came in the midst of another line.
    with contextlib.suppress(OSError, ValueError, RuntimeError), unseen():
        print(f"atrains: {text}", file=sys.stderr, flush=True)  # the one place that prints  # noqa: T201


class Warnings(logging.Handler):
    """Prints what is logged as a warning or worse, as Python does where no handler is configured, but out of sight of the captured console.

    What could not be stored must be seen in a script that never heard of `logging`; one that configured it gets the records its own way.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        """Print one, unless somebody else does."""
        if logging.root.handlers or _logger.handlers != [self] or sys.stderr is None:
            return
        # As above, and whatever is wrong with the line: who logs a warning goes on.
        with contextlib.suppress(Exception), unseen():
            print(self.format(record), file=sys.stderr, flush=True)  # as above  # noqa: T201


_logger: Final = logging.getLogger("atrains")
_warnings: Final = Warnings()
_NOTHING: Final = logging.NullHandler()


def show_warnings() -> None:
    """Have warnings printed from now on; the first task of a process begins with this."""
    _logger.removeHandler(_NOTHING)
    _logger.addHandler(_warnings)  # once, however often


def hide_warnings() -> None:
    """Have none printed, here or by Python's last resort, where nothing is recorded anyway."""
    _logger.addHandler(_NOTHING)
