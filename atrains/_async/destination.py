"""Where a task's models and artifacts go. A part of AsyncTask; how files get there is in `_storage`, their paths in `_storage.layout`."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

from atrains._async.base import TaskPart
from atrains._engine.channel import Channel
from atrains._engine.disabled import DisabledChannel
from atrains._storage.destinations import check_folder, destination_url
from atrains.errors import NotFoundError, ValidationError

_OPTIONS: Final = frozenset({"raise_on_error", "log_on_error", "default"})
_log = logging.getLogger("atrains")


async def check_place(channel: Channel | DisabledChannel, url: str) -> None:
    """Make the folder of a destination, if it is one, and see that files can be put into it.

    Raises:
        StorageError: they cannot.
    """
    if not isinstance(channel, DisabledChannel):  # which writes nothing
        await channel.run(lambda: check_folder(url))


class Destination(TaskPart):
    """The output destination."""

    async def set_output_uri(self, uri: str | Path | bool | None) -> None:
        """Set where the models and artifacts go that are uploaded from now on; `task.output_uri = ...` does the same.

        Args:
            uri: A folder, or the URL of a file server; None (or True) for the home itself, or the server's own file server.

        Raises:
            ConfigurationError: nothing can be stored there.
            StorageError: the folder cannot be made or written.
            TaskStatusError: the run has ended.
            TransportError: the home cannot be reached.
        """
        self._check_open()
        url = destination_url(uri)
        if url is not None:
            await check_place(self._channel, url)
        await self._edit("set the destination of", output_dest=url or "")  # Server: null is no change

    def get_output_destination(self, extra_path: str | None = None, **kwargs: bool | str | None) -> str | None:
        """Where the task's models and artifacts go, as of the last `reload`.

        Args:
            extra_path: Appended to it, behind a slash.
            **kwargs: What to do where the task has no destination of its own: `default` to return that, `raise_on_error=True` to raise,
                `log_on_error=True` to log it.

        Returns:
            The URL; `default`, which is None unless given, where the task has none.

        Raises:
            NotFoundError: with `raise_on_error`, the task has no destination.
            ValidationError: an unknown keyword.
        """
        unknown = sorted(set(kwargs) - _OPTIONS)
        if unknown:
            raise ValidationError(f"unsupported keyword {unknown[0]!r}; there are {', '.join(sorted(_OPTIONS))}")
        destination = self.output_uri
        if destination is not None:
            return f"{destination.rstrip('/')}/{extra_path.lstrip('/')}" if extra_path else destination
        text = f"task {self.id} has no output destination: what it uploads goes to its home; set task.output_uri for another place"
        if kwargs.get("log_on_error"):
            _log.warning("atrains: %s", text)
        if kwargs.get("raise_on_error"):
            raise NotFoundError(text)
        default = kwargs.get("default")
        return None if default is None else str(default)
