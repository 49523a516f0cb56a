"""AsyncArtifact: one artifact of a task as read back. Its upload is in `artifacts`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

from atrains._async.base import connect
from atrains._config import Settings, settings
from atrains._engine.channel import Channel, check_place, place_of
from atrains._engine.disabled import DisabledChannel
from atrains._wire.artifacts import ArtifactRecord, Decoded, resolve_url
from atrains.errors import StorageError

A = TypeVar("A")


async def import_codec(channel: Channel | DisabledChannel) -> None:
    """Import what encodes and stores artifacts (zipfile, hashlib and more), in a worker thread.

    It takes tens of milliseconds: not at start-up, which most runs would pay for nothing, and not on the loop, which it would hold.
    """
    for name in ("atrains._engine.artifact_codec", "atrains._storage.folder"):
        await channel.run(partial(import_module, name))


class ArtifactMapping(Mapping[str, A], Generic[A]):
    """The artifacts of a task by name, read-only. IPython completes the names."""

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[str, A]) -> None:
        self._items = dict(items)

    def __getitem__(self, name: str) -> A:
        return self._items[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def _ipython_key_completions_(self) -> list[str]:
        return list(self._items)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._items!r})"


class AsyncArtifact:
    """One artifact of a task: what the task knows of it, and its content.

    Example:
        >>> weights = await task.artifacts["weights"].get()
    """

    def __init__(
        self, record: ArtifactRecord, channel: Channel | DisabledChannel | None, task_id: str, *, place: str | None = None
    ) -> None:
        self._record = record
        self._channel = channel
        self._task_id = task_id
        self._place = place

    @property
    def name(self) -> str:
        """The artifact's name, unique in its task."""
        return self._record.key

    @property
    def type(self) -> str:
        """What it was: `JSON`, `string`, `bytes`, `custom` (a file), `archive` (a folder or several files)."""
        return self._record.type

    @property
    def mode(self) -> str:
        """`output`, or `input` when the task only uses it."""
        return self._record.mode

    @property
    def url(self) -> str:
        """Where the file is."""
        return resolve_url(self._record.uri or "", self._settings.home.path)

    @property
    def size(self) -> int:
        """Bytes of the stored file."""
        return self._record.content_size or 0

    @property
    def hash(self) -> str:
        """SHA-256 of the stored file, in hex."""
        return self._record.hash or ""

    @property
    def timestamp(self) -> datetime:
        """When it was uploaded, in UTC."""
        return datetime.fromtimestamp(self._record.timestamp or 0, UTC)

    @property
    def metadata(self) -> Mapping[str, str]:
        """The pairs given with the upload, as text."""
        return self._record.metadata

    @property
    def preview(self) -> str:
        """Text that shows what is in it, cut at 65,536 characters."""
        return self._record.preview or ""

    async def get_local_copy(self) -> Path:
        """The artifact as a file of this machine.

        Returns:
            The stored file itself when it is on this machine: do not change it; otherwise a copy in the cache.

        Raises:
            StorageError: the file is not there or cannot be read.
        """
        channel = await self._connected()
        await import_codec(channel)
        storage = channel.storages().for_url(self.url)
        path = storage.local_path(self.url)
        if path is None:
            path = self._cache / (self.url.rpartition("/")[2] or self.name)
            await storage.get(self.url, path)
        elif not await storage.exists(self.url):
            raise StorageError(
                f"artifact {self.name!r} of task {self._task_id} is recorded at {self.url}, but there is no such file; upload it again"
            )
        return path

    async def get(self) -> Decoded:
        """The artifact's content, checked against its recorded hash.

        Returns:
            What was uploaded: a dict or list, text, bytes; the path of the file; the path of the folder that an archive was unpacked to.

        Raises:
            StorageError: the file is not there, was changed, or does not hold what its type says.
        """
        path = await self.get_local_copy()
        from atrains._engine import artifact_codec

        channel = await self._connected()
        return await channel.run(lambda: artifact_codec.decode(path, self._record, folder=self._cache))

    @property
    def _cache(self) -> Path:
        return self._settings.home.cache_dir / self._task_id

    @property
    def _settings(self) -> Settings:
        if self._channel is not None:
            return self._channel.settings
        check_place(chosen := settings(), str(self._place), f"artifact {self.name!r} of task {self._task_id}")
        return chosen

    async def _connected(self) -> Channel | DisabledChannel:
        """The way to its home; one that was unpickled finds it here.

        Raises:
            UsageError: it was unpickled where another home is in use.
        """
        if self._channel is None:
            check_place(settings(), str(self._place), f"artifact {self.name!r} of task {self._task_id}")
            self._channel, _ = await connect()
        return self._channel

    def __reduce__(self) -> tuple[object, ...]:
        place = self._place if self._channel is None else place_of(self._channel.settings)
        return _unpickle, (self._record.to_wire(), self._task_id, place)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        return self

    def _repr_html_(self) -> str:
        from atrains._api.html import table  # for notebooks

        rows = [("type", self.type), ("size", f"{self.size} bytes"), ("task", self._task_id), ("hash", self.hash), *self.metadata.items()]
        url = resolve_url(self._record.uri or "", self._channel.settings.home.path) if self._channel is not None else ""
        return table(type(self).__name__, self.name, url, rows)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} ({self.type}, {self.size} bytes) of task {self._task_id}>"


def _unpickle(record: Mapping[str, Any], task_id: str, place: str) -> AsyncArtifact:
    return AsyncArtifact(ArtifactRecord.from_wire(record), None, task_id, place=place)
