"""Upload: generated from `_async` by generate.py. Do not edit."""

from __future__ import annotations

from atrains._async.upload import AsyncUpload
from atrains._sync._base import Twin
from atrains.types import UploadState


class Upload(Twin):
    """An upload of this process: how far it is, and what became of it. Await it for whether it is stored.

    Example:
        >>> task.upload_artifact("weights", "weights.bin")
        >>> stored = task.uploads["weights"].wait()
    """

    _core: AsyncUpload

    @property
    def name(self) -> str:
        """The name of the artifact."""
        return self._core.name

    @property
    def state(self) -> UploadState:
        """Where it is: `queued`, `uploading`, `recording`, then one of `stored`, `failed`, `cancelled` and `replaced`."""
        return self._core.state

    @property
    def sent(self) -> int:
        """Bytes that have gone."""
        return self._core.sent

    @property
    def size(self) -> int:
        """Bytes in all; 0 where there is nothing to send."""
        return self._core.size

    @property
    def error(self) -> str | None:
        """Why it failed, or why it waits; None otherwise."""
        return self._core.error

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is over.

        Args:
            timeout: Seconds to wait at most; None for ever. It goes on all the same.

        Returns:
            Whether it is stored. False when it failed for good (`error` says why), was cancelled, or replaced by a later upload of the
            name.

        Raises:
            WaitTimeoutError: the time is up; says how far it is.
            StorageError: its task was closed, or this is a process that was forked from the one that uploads it.
        """
        return self._block(self._core, lambda: self._core.wait(timeout), "upload.wait(...)")

    def cancel(self) -> bool:
        """Give it up: what was not stored yet will not be.

        Returns:
            Whether it was given up. False when it was over, or its bytes were there already.
        """
        return self._block(self._core, lambda: self._core.cancel(), "upload.cancel()")


Twin._twins[AsyncUpload] = Upload
