"""AsyncUpload: an artifact on its way, as whoever uploaded it sees it. What is done for it is in `_engine.uploads`."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Mapping
from typing import Any

from atrains._engine.channel import Channel
from atrains._engine.disabled import DisabledChannel
from atrains._engine.runtime import Runtime
from atrains._engine.upload import Handle
from atrains.errors import WaitTimeoutError
from atrains.types import UploadState


class AsyncUpload:
    """An upload of this process: how far it is, and what became of it. Await it for whether it is stored.

    Example:
        >>> await task.upload_artifact("weights", "weights.bin")
        >>> stored = await task.uploads["weights"].wait()
    """

    def __init__(self, handle: Handle, channel: Channel | DisabledChannel, runtime: Runtime | None) -> None:
        self._handle = handle
        self._channel = channel
        self._runtime = runtime
        self._taken_over = False

    @property
    def name(self) -> str:
        """The name of the artifact."""
        return self._handle.upload.name

    @property
    def state(self) -> UploadState:
        """Where it is: `queued`, `uploading`, `recording`, then one of `stored`, `failed`, `cancelled` and `replaced`."""
        return self._handle.state

    @property
    def sent(self) -> int:
        """Bytes that have gone."""
        return self._handle.sent

    @property
    def size(self) -> int:
        """Bytes in all; 0 where there is nothing to send."""
        return self._handle.size

    @property
    def error(self) -> str | None:
        """Why it failed, or why it waits; None otherwise."""
        return self._handle.error

    async def wait(self, timeout: float | None = None) -> bool:
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
        try:
            async with asyncio.timeout(timeout):
                return await self._channel.finish_upload(self._handle)
        except TimeoutError as error:
            if isinstance(error, WaitTimeoutError):
                raise
            why = f" ({self.error})" if self.error else ""
            raise WaitTimeoutError(
                f"{self.name!r} of task {self._handle.upload.task} is {self.state} after {timeout:g} s, {self.sent:,} of {self.size:,} "
                f"bytes have gone{why}; it goes on: wait again"
            ) from error

    async def cancel(self) -> bool:
        """Give it up: what was not stored yet will not be.

        Returns:
            Whether it was given up. False when it was over, or its bytes were there already.
        """
        await self._channel.cancel_uploads(self._handle.upload.task, self._handle)
        return self.state is UploadState.cancelled

    def _fresh_entry(self) -> Mapping[str, Any] | None:
        """What was recorded in the end, once."""
        if self._taken_over or not self._handle.is_over:
            return None
        self._taken_over = True
        return self._handle.entry

    def __await__(self) -> Generator[object, None, bool]:
        return self.wait().__await__()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} {self.state}, {self.sent:,} of {self.size:,} bytes>"
