"""One upload: a file, where it goes, and what is recorded once it is there. As a job of the journal, and as the handle of who waits for it.

Queueing and carrying them is in `uploads`, recording in `upload_records`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from atrains._engine.held import reentrant_lock
from atrains._engine.jobs import UPLOAD, Job
from atrains.types import UploadState

IMAGE: Final = "image"
"""The kind of images and other media: `journal`: the id of the journal; `event`: the event, as a home stores it."""


class Upload(NamedTuple):
    """A file that is to be stored, and then recorded.

    Attributes:
        task: The task that it belongs to, by the id that this process reports under.
        name: What people call it.
        kind: How it is recorded: a key of `upload_records.RECORDERS`.
        record: What that recorder needs; JSON.
        url: Where the file goes.
        source: The file; None where there is nothing to store and it is only recorded.
        ours: Whether the file stands in the journal's folder: it is removed at the end, whatever that is.
        size: Bytes, as far as known; small ones go first.
        sha256: Of the content where it is known before, in hex.
        remove: Files and folders of the user's that are to be removed once it is stored.
        since: When the source was read, in seconds since the epoch: what changed after that is not removed.
        identity: What it takes the place of: of two that have the same one, only the later one counts. The URL by default.
        number: The number of its job.
    """

    task: str
    name: str
    kind: str
    record: Mapping[str, Any]
    url: str
    source: Path | None = None
    ours: bool = False
    size: int = 0
    sha256: str | None = None
    remove: tuple[str, ...] = ()
    since: float = 0.0
    identity: str = ""
    number: int = 0

    @property
    def is_event(self) -> bool:
        """Whether it is reported rather than uploaded: an image, which counts among the events, and is kept when its file is replaced."""
        return self.kind == IMAGE

    @property
    def place(self) -> str:
        """What it shares with those that go to the same server, or to the disks of this machine."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}" if parts.scheme in {"http", "https"} else parts.scheme

    def content(self) -> dict[str, Any]:
        """What its job holds. A file of ours is named within its folder, which a recovery renames."""
        source = None if self.source is None else self.source.name if self.ours else str(self.source)
        kept = {"ours": self.ours, "size": self.size, "sha256": self.sha256, "remove": list(self.remove), "since": self.since}
        return {
            "name": self.name, "record_as": self.kind, "record": dict(self.record), "url": self.url, "source": source,
            "identity": self.identity, **kept,
        }  # fmt: skip

    def numbered(self, number: int) -> Upload:
        """The same with the number of its job."""
        return self._replace(number=number)


def from_job(job: Job, folder: Path) -> Upload:
    """The upload of a job that was found in the journal in `folder`.

    Raises:
        ValueError: it is none.
    """
    if job.kind != UPLOAD:
        raise ValueError(f"a job of kind {job.kind} is no upload")
    content = job.content
    source = content["source"]
    return Upload(
        task=job.task,
        name=content["name"],
        kind=content["record_as"],
        record=content["record"],
        url=content["url"],
        source=None if source is None else folder / source if content["ours"] else Path(source),
        ours=content["ours"],
        size=content["size"],
        sha256=content["sha256"],
        remove=tuple(content["remove"]),
        since=content["since"],
        identity=content["identity"],
        number=job.number,
    )


class Handle:
    """An upload of this process as it goes on. Read from any thread.

    Attributes:
        upload: What is uploaded.
        state: Where it is.
        sent: Bytes that have gone.
        size: Bytes in all; of a file that changes, as last seen.
        error: Why it failed, or why it waits.
        entry: What was recorded in the end.
        pid: The process whose it is.
        tries: How often its home was away, or the place that it goes to.
        returns: How often it was put back in the queue for that.
        begun: When its file was last begun to be read, in seconds since the epoch.
        is_follower: Whether a later one brings the file, so that only its event is left to be recorded.
    """

    __slots__ = (
        "_future",
        "_listener",
        "_lock",
        "_outcome",
        "begun",
        "entry",
        "error",
        "is_follower",
        "is_unwanted",
        "pid",
        "returns",
        "sent",
        "size",
        "state",
        "tries",
        "upload",
    )

    def __init__(self, upload: Upload, listener: Callable[[int, int], None] | None = None) -> None:
        self.upload = upload
        self.state = UploadState.queued
        self.sent = 0
        self.size = upload.size
        self.error: str | None = None
        self.entry: Mapping[str, Any] | None = None
        self.pid = os.getpid()
        self.tries = 0
        self.returns = 0
        self.begun = 0.0
        self.is_unwanted: UploadState | None = None
        self.is_follower = False
        self._listener = listener
        self._lock = reentrant_lock()
        self._outcome: bool | Exception | None = None
        self._future: Future[bool] | None = None

    @property
    def identity(self) -> str:
        """What it takes the place of."""
        return self.upload.identity or self.upload.url

    @property
    def is_of_this_process(self) -> bool:
        """Whether it goes on here: not so in a forked child."""
        return self.pid == os.getpid()

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen to it."""
        return self._outcome is not None

    @property
    def future(self) -> Future[bool]:
        """Done once it is over: whether it is stored. Made for who asks: of thousands that wait, nearly all are asked by nobody."""
        with self._lock:
            if self._future is None:
                self._future = Future()
                self._future.set_running_or_notify_cancel()  # who gives up waiting does not end it for others
                if self._outcome is not None:
                    _fulfil(self._future, self._outcome)
            return self._future

    def note(self, sent: int) -> None:
        """Take down how far it is; called where the file is read, in a worker thread."""
        self.sent = sent
        self.size = max(self.size, sent)
        if self._listener is not None:
            self._listener(sent, self.size)

    def settle(self, state: UploadState, *, error: str | None = None, entry: Mapping[str, Any] | None = None) -> None:
        """Say how it ended; once."""
        with self._lock:
            if self.is_over:
                return
            if state is UploadState.stored:
                self.note(self.size)
            self.state, self.error, self.entry = state, error, entry
            self._end(state is UploadState.stored)

    def abandon(self, error: Exception) -> None:
        """Say that nobody here goes on with it: who waits is told why."""
        with self._lock:
            if not self.is_over:
                self.error = str(error)
                self._end(error)

    def _end(self, outcome: bool | Exception) -> None:
        self._outcome = outcome
        if self._future is not None:
            _fulfil(self._future, outcome)


def _fulfil(future: Future[bool], outcome: bool | Exception) -> None:
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
