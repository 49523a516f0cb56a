"""The bar that shows how far uploads are while somebody waits at a terminal. Nothing else prints there, and nothing is captured."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final

from atrains._config import Settings
from atrains._engine.upload import Handle

_AFTER: Final = 1.0
"""Seconds of waiting before there is a bar."""
_REFRESH: Final = 0.2


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
