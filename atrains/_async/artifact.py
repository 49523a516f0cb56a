"""AsyncArtifact: one artifact of a task as read back. Its upload is in `artifacts`."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Generic, Self, TypeVar

from atrains._async.base import call, connect
from atrains._async.upload import AsyncUpload
from atrains._config import Settings, settings
from atrains._engine.channel import Channel
from atrains._engine.disabled import DisabledChannel
from atrains._engine.places import check_place, place_of
from atrains._wire import endpoints
from atrains._wire.artifacts import ARCHIVE, ArtifactRecord, Decoded, resolve_url
from atrains.errors import AtrainsError, StorageError

if TYPE_CHECKING:
    from atrains._storage.base import StoredFile

A = TypeVar("A")
R = TypeVar("R")
_READINGS: Final = 5
"""How often an artifact is read anew that is replaced again each time."""
_LOOKS: Final = (0.0, 0.05, 0.2, 0.5)
"""Seconds before each look for the record of a file that has taken the place of the recorded one."""
_log = logging.getLogger("atrains")


async def import_codec(channel: Channel | DisabledChannel) -> None:
    """Import what encodes and stores artifacts (zipfile, hashlib and more), in a worker thread.

    It takes tens of milliseconds: not at start-up, which most runs would pay for nothing, and not on the loop, which it would hold.
    """
    for name in ("atrains._engine.artifact_codec", "atrains._engine.upload_records", "atrains._storage.folder"):
        if name not in sys.modules:
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
        self,
        record: ArtifactRecord,
        channel: Channel | DisabledChannel | None,
        task_id: str,
        *,
        place: str | None = None,
        upload: AsyncUpload | None = None,
    ) -> None:
        self._record = record
        self._upload = upload
        self._channel = channel
        self._task_id = task_id
        self._place = place

    @property
    def name(self) -> str:
        """The artifact's name, unique in its task."""
        return self._known.key

    @property
    def type(self) -> str:
        """What it was: `JSON`, `string`, `bytes`, `custom` (a file), `archive` (a folder, several files), `pandas`, `numpy` and others."""
        return self._known.type

    @property
    def mode(self) -> str:
        """`output`, or `input` when the task only uses it."""
        return self._known.mode

    @property
    def url(self) -> str:
        """Where the file is, or will be; empty where it could not be stored."""
        return resolve_url(self._known.uri or "", self._settings.home.path)

    @property
    def size(self) -> int:
        """Bytes of the stored file."""
        return self._known.content_size or 0

    @property
    def hash(self) -> str:
        """SHA-256 of the stored file, in hex; empty for a file that is on its way."""
        return self._known.hash or ""

    @property
    def timestamp(self) -> datetime:
        """When it was uploaded, in UTC."""
        return datetime.fromtimestamp(self._known.timestamp or 0, UTC)

    @property
    def metadata(self) -> Mapping[str, str]:
        """The pairs given with the upload, as text."""
        return self._known.metadata

    @property
    def preview(self) -> str:
        """Text that shows what is in it, cut at 65,536 characters."""
        return self._known.preview or ""

    @property
    def error(self) -> str | None:
        """Why its file, or the one that was to replace it, could not be stored; None where nothing failed."""
        return self._known.failure

    async def get_local_copy(
        self,
        extract_archive: bool = True,
        raise_on_error: bool = False,
        force_download: bool = False,  # documented
    ) -> Path | None:
        """The artifact as a file of this machine; one that is on its way is waited for.

        Args:
            extract_archive: Of an archive (a folder, or several files) give the folder that it was unpacked to.
            raise_on_error: Raise what is wrong, instead of logging it and returning None.
            force_download: Fetch it although it is in the cache.

        Returns:
            The stored file itself when it is on this machine: do not change it; otherwise a copy in the cache, checked against the recorded
            hash. None when there is none.

        Raises:
            StorageError: with `raise_on_error`: the file is not there or cannot be read.
        """

        async def read() -> Path:
            path = await self._fetch(force=force_download)
            return await self._unpack(path) if extract_archive and self.type == ARCHIVE else path

        try:
            return await self._as_recorded(read)
        except StorageError as error:
            if raise_on_error:
                raise
            _log.error("atrains: there is no local copy: %s", error)
            return None

    async def get(self, *, force_download: bool = False, allow_pickle: bool = False) -> Decoded:
        """The artifact's content, checked against its recorded hash; one that is on its way is waited for.

        Args:
            force_download: Fetch it although it is in the cache.
            allow_pickle: Read it although it is a pickle, which runs what whoever made it has put in.

        Returns:
            What was uploaded: a dict or list, text, bytes, a data frame, an array, an image, a figure; the path of the file; the path of
            the folder that an archive was unpacked to.

        Raises:
            StorageError: the file is not there, was changed, does not hold what its type says, or is a pickle.
            MissingPackageError: the package of its kind is not installed.
        """

        async def read() -> Decoded:
            path = await self._fetch(force=force_download)
            from atrains._engine import artifact_codec

            channel = await self._connected()
            return await channel.run(partial(artifact_codec.decode, path, self._known, folder=self._cache, allow_pickle=allow_pickle))

        return await self._as_recorded(read)

    async def _as_recorded(self, read: Callable[[], Awaitable[R]]) -> R:
        """What `read` gives; anew where the artifact was replaced meanwhile. The new file is there a moment before its record."""
        from atrains._storage.base import OtherFileError

        for _ in range(_READINGS - 1):
            try:
                return await read()
            except OtherFileError:
                if not await self._is_replaced():
                    raise
        return await read()

    async def _is_replaced(self) -> bool:
        """Whether its home has another record of it by now, which is taken over, or gets one within a moment."""
        channel, known = await self._connected(), self._known
        what = f"cannot read artifact {known.key!r} of task {self._task_id}"
        for rest in _LOOKS:
            await asyncio.sleep(rest)
            try:
                answer = await call(channel, endpoints.TASKS_GET_ALL, what, id=[self._task_id], only_fields=["execution.artifacts"])
            except AtrainsError:  # what is wrong with the file is what there is to say
                return False
            entries = [entry for task in answer["tasks"] for entry in (task.get("execution") or {}).get("artifacts") or ()]
            for record in map(ArtifactRecord.from_wire, entries):
                if (record.key, record.mode) == (known.key, known.mode) and record.hash != known.hash:
                    self._record = record
                    return True
        return False

    async def _fetch(self, *, force: bool) -> Path:
        """The stored file, on this machine.

        Raises:
            StorageError: it is not there, or cannot be fetched.
        """
        channel = await self._connected()
        await import_codec(channel)
        what = f"artifact {self.name!r} of task {self._task_id}"
        if self._upload is not None:
            await self._upload.wait()
        if not self._known.uri:
            raise StorageError(f"{what} has no file: {self.error or 'none was recorded'}; upload it again")
        url = self.url
        storage = await channel.storages().open(url)
        if (path := storage.local_path(url)) is not None:
            if not await storage.exists(url):
                raise StorageError(f"{what} is recorded at {url}, but there is no such file; upload it again")
            return path
        from atrains._storage.cache import cache_of

        async def fetch(target: Path, kept: Path) -> StoredFile:
            return await storage.get(url, target, kept=kept)

        cache = cache_of(channel.settings, "artifacts", channel.run)
        return await cache.get(url, fetch, sha256=self.hash, size=self._known.content_size, force=force)

    async def _unpack(self, path: Path) -> Path:
        from atrains._engine import artifact_codec

        channel = await self._connected()
        return await channel.run(partial(artifact_codec.unpack, path, self._known, folder=self._cache))

    @property
    def _known(self) -> ArtifactRecord:
        """What is recorded, or what will be as long as it is on its way."""
        if self._upload is not None and (entry := self._upload._handle.entry) is not None:  # noqa: SLF001  # one module in two files
            self._record, self._upload = ArtifactRecord.from_wire(entry), None
        return self._record

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
        return _unpickle, (self._known.to_wire(), self._task_id, place)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        return self

    def _repr_html_(self) -> str:
        from atrains._api.html import table  # for notebooks

        rows = [("type", self.type), ("size", f"{self.size} bytes"), ("task", self._task_id), ("hash", self.hash), *self.metadata.items()]
        url = resolve_url(self._known.uri or "", self._channel.settings.home.path) if self._channel is not None else ""
        return table(type(self).__name__, self.name, url, rows)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} ({self.type}, {self.size} bytes) of task {self._task_id}>"


def _unpickle(record: Mapping[str, Any], task_id: str, place: str) -> AsyncArtifact:
    return AsyncArtifact(ArtifactRecord.from_wire(record), None, task_id, place=place)
