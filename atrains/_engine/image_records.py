"""Images on their way: the account of those that have files, and what is recorded of each once its file is there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from atrains._engine.held import reentrant_lock
from atrains._engine.ledger import CANNOT_BE_STORED, RESET, Counts, Ledger
from atrains._engine.upload import Upload
from atrains._transport.base import Transport
from atrains._wire.events import EventKind, RecordBlock, Span
from atrains.errors import ServerError
from atrains.types import UploadState

if TYPE_CHECKING:
    from atrains._engine.upload_records import Carried

_STREAM: Final = "image-files"
_OTHERS: Final = ""
"""Stands for the tasks that are closed."""


async def record_images(transport: Transport, task: str, carried: Sequence[Carried]) -> list[Mapping[str, Any] | None]:
    """Send the events of images whose files are there; there is none for a file that could not be stored.

    The span of each is the number of its job, so that a local home stores it once. Server: an image is known by title, series, iteration
    and key.

    Raises:
        ServerError: the home refuses one.
    """
    blocks = [_block(task, item.upload) for item in carried if item.failure is None]
    refused = await transport.add_events(blocks) if blocks else {}
    if refused:
        reason = next(iter(refused.values())).reason
        raise ServerError(reason, code=400, subcode=131, endpoint="events.add_batch")
    return [None if item.failure is not None else item.upload.record["event"] for item in carried]


def _block(task: str, upload: Upload) -> RecordBlock:
    number = upload.number
    span = Span(upload.record["journal"], f"{_STREAM}/{task}", number, number + 1)
    return RecordBlock(task, span, EventKind.IMAGES, [upload.record["event"]])


class ImageAccount:
    """How many images with files were accepted, recorded and given up, by task. Safe from any thread.

    Args:
        ledger: Says the first of each reason to give one up.
        most: Bytes of files that may wait at once.
    """

    def __init__(self, ledger: Ledger, most: int) -> None:
        self._ledger = ledger
        self._most = most
        self._lock = reentrant_lock()
        self._bytes = 0
        self._accepted: Counter[str] = Counter()
        self._stored: Counter[str] = Counter()
        self._dropped: dict[str, Counter[str]] = {}

    def has_room(self, size: int) -> bool:
        """Whether a file of a size may wait here beside the others."""
        return self._bytes + size <= self._most

    def accept(self, upload: Upload) -> None:
        """Count an image that was accepted."""
        with self._lock:
            self._accepted[upload.task] += 1
            self._bytes += upload.size

    def free(self, upload: Upload) -> None:
        """Count the room of a file that was removed."""
        with self._lock:
            self._bytes -= upload.size

    def settle(self, upload: Upload, state: UploadState, error: str | None) -> None:
        """Count what became of one; the first that fails for a reason is said."""
        with self._lock:
            if state is UploadState.stored:
                self._stored[upload.task] += 1
                return
            reason = CANNOT_BE_STORED if state is UploadState.failed else RESET
            self._dropped.setdefault(upload.task, Counter())[reason] += 1
        if state is UploadState.failed:
            self._ledger.say_once(EventKind.IMAGES, reason, upload.name, error or "")

    def counts(self, task: str | None) -> Counts:
        """How those of a task stand, or all."""
        with self._lock:
            tasks = list(self._accepted) if task is None else [task]
            accepted, stored = (sum(counter[each] for each in tasks) for counter in (self._accepted, self._stored))
            dropped: Counter[str] = Counter()
            for each in tasks:
                dropped.update(self._dropped.get(each, {}))
        return Counts(stored, accepted - stored - dropped.total(), dict(dropped))

    def forget(self, task: str) -> None:
        """Leave the counts of a closed task to those of all."""
        with self._lock:
            self._accepted[_OTHERS] += self._accepted.pop(task, 0)
            self._stored[_OTHERS] += self._stored.pop(task, 0)
            self._dropped.setdefault(_OTHERS, Counter()).update(self._dropped.pop(task, Counter()))
