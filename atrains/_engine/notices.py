"""The few lines that atrains prints on standard error about a run: one event, one line, none when quiet."""

from __future__ import annotations

import contextlib
import sys

from atrains._config import Settings
from atrains._engine.console import unseen


def say(settings: Settings, text: str) -> None:
    """Print one line, unless the user asked for quiet."""
    if settings.quiet or sys.stderr is None:
        return
    # A closed or broken terminal must not end the run that the line is about.
    with contextlib.suppress(OSError, ValueError), unseen():
        print(f"atrains: {text}", file=sys.stderr, flush=True)  # the one place that prints  # noqa: T201
