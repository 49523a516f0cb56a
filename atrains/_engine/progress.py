"""How far uploads are, for people: a bar while somebody waits at a terminal, never in a captured console, and functions of the user's."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from typing import Final

from atrains._config import Settings
from atrains._engine.held import reentrant_lock
from atrains._engine.upload import Handle

_AFTER: Final = 1.0
"""Seconds of waiting before there is a bar."""
_REFRESH: Final = 0.2
_log = logging.getLogger("atrains")


class Listener:
    """Tells a function of the user's how far something is: in a worker thread, one call after the other, the last word always.

    Args:
        call: The function.
        workers: The threads.
    """

    def __init__(self, call: Callable[[int, int], object], workers: Executor) -> None:
        self._call = call
        self._workers = workers
        self._news: tuple[int, int] | None = None
        self._is_telling = False
        self._lock = reentrant_lock()

    def __call__(self, sent: int, size: int) -> None:
        """Take the news; from any thread, never waits."""
        with self._lock:
            self._news = (sent, size)
            if self._is_telling:
                return
            self._is_telling = True
        try:
            self._workers.submit(self._tell)
        except RuntimeError:  # the threads were shut down, at exit
            self._is_telling = False

    def _tell(self) -> None:
        while True:
            with self._lock:
                news, self._news = self._news, None
                if news is None:
                    self._is_telling = False
                    return
            try:
                self._call(*news)
            except Exception:  # the upload goes on whatever the user's function does  # noqa: BLE001
                _log.exception("atrains: the function given as progress failed")


@contextmanager
def shown(settings: Settings, pending: Callable[[], Sequence[Handle]]) -> Iterator[None]:
    """Show a bar while the block waits, if standard error is a terminal, rich is installed and nobody asked for quiet."""
    terminal = sys.__stderr__  # never what captures the console in its place
    if settings.quiet or terminal is None or not terminal.isatty():
        yield
        return
    showing = asyncio.create_task(_show(pending), name="atrains-progress")
    try:
        yield
    finally:
        showing.cancel()


async def _show(pending: Callable[[], Sequence[Handle]]) -> None:
    await asyncio.sleep(_AFTER)
    with suppress(ImportError):
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        console = Console(file=sys.__stderr__)
        # Refreshed from here: as the process ends no thread can be started any more.
        with Progress(*columns, console=console, transient=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False) as bar:
            every = {handle.upload.number: handle for handle in pending()}
            line = bar.add_task("uploading", total=None)
            while True:
                every.update((handle.upload.number, handle) for handle in pending())
                done, total = sum(handle.sent for handle in every.values()), sum(handle.size for handle in every.values())
                bar.update(line, completed=done, total=max(total, done), description=f"uploading {len(pending())}")
                bar.refresh()
                await asyncio.sleep(_REFRESH)
