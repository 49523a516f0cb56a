"""An outlet: journal, reporter and uploads of a channel, while somebody reports. Made and let go of by the `Channel`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from atrains._engine.held import reentrant_lock
from atrains._engine.image_records import ImageAccount
from atrains._engine.journal import Journal
from atrains._engine.ledger import Counts, Ledger
from atrains._engine.outbox import Outbox
from atrains._engine.process import WORKERS
from atrains._engine.reporter import Reporter
from atrains._wire.events import EventKind
from atrains.errors import HomeError

if TYPE_CHECKING:
    from atrains._engine.channel import Channel
    from atrains._engine.upload import Upload
    from atrains._engine.uploads import Uploads

_LAST_DELIVERY: Final = 2.0
"""Seconds for what was reported after the last flush; the rest stays on the disk."""
_log = logging.getLogger("atrains")


class Outlet:
    """Journal and reporter of a channel: made when the first task reports, gone when the last one was closed.

    Args:
        channel: Whose way out it is.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._period: float | None = channel.settings.reporting.flush_period
        try:
            self.journal = self._make_journal(on_disk=True)
        except HomeError as error:
            _log.warning("atrains: %s. Reports are kept in memory: a process that is killed loses them", error)
            self.journal = self._make_journal(on_disk=False)
        self.reporter = self._make_reporter()
        self._uploads: Uploads | None = None
        self._upload_folder: Path | None = None
        self._lock = reentrant_lock()

    @property
    def uploads(self) -> Uploads | None:
        """The files that are uploaded, once there was one."""
        return self._uploads

    def open_uploads(self) -> Uploads:
        """The same, made where there were none; the first time that takes some milliseconds."""
        if self._uploads is not None:
            return self._uploads
        from atrains._engine.uploads import Uploads

        with self._lock:  # which a signal handler of this thread, that reports an image as well, may enter once more
            if self._uploads is None:
                channel = self._channel
                made = Uploads(
                    self.journal,
                    channel.transport,
                    channel.aliases,
                    workers=WORKERS,
                    limit=channel.settings.uploads.max_concurrent,
                    storages=channel.storages,
                    is_to_be_made=self.outbox.is_to_be_made,
                    images=ImageAccount(self.ledger, channel.settings.journal.max_bytes),
                )
                self._uploads = self._uploads or made
            return self._uploads

    def add_image(self, upload: Upload) -> None:
        """Accept an image whose file is there already; from any thread.

        Raises:
            HomeError: the journal was closed.
        """
        self.open_uploads().add(upload)
        self._channel.begin_uploads()

    async def counts(self, task: str | None) -> dict[EventKind, Counts]:
        """How each kind of event stands, for one task or for all."""
        counts = await self.reporter.counts(task)
        if self._uploads is not None:
            counts[EventKind.IMAGES] += self._uploads.images.counts(task)
        return counts

    def upload_folder(self) -> Path:
        """Where a file may be made that is to be uploaded: in the journal, so that it is kept, else where temporary files are."""
        place = self.journal.folder_for_files()
        if place is not None:
            return place
        with self._lock:
            if self._upload_folder is None:
                import tempfile

                self._upload_folder = Path(tempfile.mkdtemp(prefix="atrains-uploads-"))
            return self._upload_folder

    @property
    def ledger(self) -> Ledger:
        """The counts of everything reported here."""
        return self.reporter.ledger

    @property
    def outbox(self) -> Outbox:
        """The edits that wait for the home."""
        return self.reporter.outbox

    @property
    def flush_period(self) -> float | None:
        """Seconds between two deliveries when nobody asks; None for none."""
        return self.reporter.period

    @flush_period.setter
    def flush_period(self, seconds: float | None) -> None:
        self._period = self.reporter.period = seconds

    @property
    def is_written_here(self) -> bool:
        """Whether the journal is that of this process: not so in a forked child that has not reported yet."""
        return self.journal.pid == os.getpid()

    def _make_journal(self, *, on_disk: bool) -> Journal:
        channel = self._channel
        return Journal(
            channel.journals,
            target=channel.transport.target,
            worker=channel.settings.reporting.worker,
            workers=WORKERS,
            settings=channel.settings.journal,
            on_disk=on_disk,
            on_roll=channel.wake,
            on_revival=channel.serve_child,
        )

    def _make_reporter(self) -> Reporter:
        channel = self._channel
        return Reporter(
            self.journal,
            channel.transport,
            workers=WORKERS,
            period=self._period,
            aliases=channel.aliases,
        )

    def forget(self, task: str) -> None:
        """Keep nothing of a task in memory: it is closed, and what was reported to it is stored."""
        self.journal.forget(task)
        self.ledger.forget(task)
        self.outbox.forget(task)
        if self._uploads is not None:
            self._uploads.forget(task)

    async def close(self) -> None:
        """Let go of the journal; what was not delivered stays on disk."""
        # Sealed before the last delivery: what a thread reports meanwhile is either delivered or refused, never left behind.
        self.journal.seal()
        if self.reporter.last_error is None:  # else it is known by now that the home is away
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAST_DELIVERY):
                    await self.reporter.deliver_once()
        delivered = await self.reporter.is_empty()
        if self._uploads is not None:
            delivered = delivered and not self._uploads.pending(None)
            self._uploads.abandon()
        await asyncio.get_running_loop().run_in_executor(WORKERS, lambda: self._close_files(delivered))

    def _close_files(self, delivered: bool) -> None:
        self.journal.close(delivered=delivered)
        if self._upload_folder is not None:  # what could not be kept on the disk of the journal
            import shutil

            shutil.rmtree(self._upload_folder, ignore_errors=True)

    def reset_in_child(self) -> None:
        """In a forked child: leave the parent's journal alone; the first report makes one of our own."""
        self.journal.forget_in_child()
        self.reporter = self._make_reporter()
        self._uploads = self._upload_folder = None
        self._lock = reentrant_lock()
