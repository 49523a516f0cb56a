"""ModelPart: what all kinds of models have in common: their record, their files, and what can be said of them."""

from __future__ import annotations

import logging
import operator
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from atrains._async.base import call, connect
from atrains._async.pending import Pending
from atrains._config import settings
from atrains._config.env import process_variables
from atrains._engine.channel import Channel
from atrains._engine.disabled import DisabledChannel
from atrains._engine.places import check_place, place_of
from atrains._engine.runtime import Runtime
from atrains._wire import endpoints, models
from atrains._wire.artifacts import resolve_url
from atrains._wire.edits import ARCHIVED
from atrains._wire.endpoints import Endpoint
from atrains._wire.names import validate_name
from atrains.errors import StorageError, TransportError, UsageError, ValidationError

T = TypeVar("T")
M = TypeVar("M", bound="ModelPart")
_LATER_FIELDS: Final = frozenset({"tags", "system_tags", "comment", "name"})
"""What may be changed of a published model: what it is called, not what it is."""
_log = logging.getLogger("atrains")


class ModelPart:
    """A model of some home, by its id; what it says of itself is fetched when it is first asked for, and again by `reload`."""

    _id: str
    _record: dict[str, Any] | None
    _channel: Channel | DisabledChannel | None
    _place: str | None

    def _set_up(
        self,
        model_id: str,
        record: dict[str, Any] | None = None,
        channel: Channel | DisabledChannel | None = None,
        place: str | None = None,
    ) -> None:
        self._id = model_id
        self._record = record
        self._channel = channel
        self._place = place

    @property
    def id(self) -> str:
        """The model's id; "" as long as it is not stored."""
        return self._id

    @property
    def name(self) -> Pending[str]:
        """The model's name."""
        return self._field("name", lambda record: str(record.get("name") or ""))

    @property
    def comment(self) -> Pending[str]:
        """What is said about it."""
        return self._field("comment", lambda record: str(record.get("comment") or ""))

    @property
    def tags(self) -> Pending[list[str]]:
        """Its tags, without those of the system."""
        return self._field("tags", lambda record: list(record.get("tags") or ()))

    @property
    def system_tags(self) -> Pending[list[str]]:
        """The tags that the system itself keeps: `archived`, and `package` for a model of several files."""
        return self._field("system_tags", lambda record: list(record.get("system_tags") or ()))

    @property
    def config_text(self) -> Pending[str]:
        """The configuration that it was made with, as text; "" where there is none."""
        return self._field("config_text", models.design_of)

    @property
    def config_dict(self) -> Pending[dict[str, Any]]:
        """The same as a dictionary; empty where there is none. Raises `ConfigurationError` where the text is neither HOCON nor JSON."""
        return Pending("model.config_dict", self._parse_design)

    @property
    def labels(self) -> Pending[dict[str, int]]:
        """Its label enumeration: the number of each name."""
        return self._field("labels", lambda record: dict(record.get("labels") or {}))

    @property
    def task(self) -> Pending[str | None]:
        """The id of the task that made it; None where none did, as of an imported one."""
        return self._field("task", lambda record: record.get("task") or None)

    @property
    def project(self) -> Pending[str | None]:
        """The id of its project."""
        return self._field("project", lambda record: record.get("project") or None)

    @property
    def parent(self) -> Pending[str | None]:
        """The id of the model that it was made from."""
        return self._field("parent", lambda record: record.get("parent") or None)

    @property
    def framework(self) -> Pending[str | None]:
        """What it was made with: a member of `Framework`, or any other text."""
        return self._field("framework", lambda record: record.get("framework") or None)

    @property
    def url(self) -> Pending[str | None]:
        """Where its weights are; None as long as there are none."""
        return Pending("model.url", self._url)

    @property
    def published(self) -> Pending[bool]:
        """Whether it is published, and cannot change any more."""
        return self._field("published", lambda record: bool(record.get("ready")))

    # ---- changing it

    async def set_name(self, name: str) -> None:
        """Rename it.

        Args:
            name: At least 3 characters.

        Raises:
            ValidationError: it is shorter.
            NotFoundError: the model was deleted.
            TransportError: the home cannot be reached.
        """
        await self._edit(name=validate_name(name, what="model"))

    async def set_comment(self, comment: str | None) -> None:
        """Say something about it, in place of what was said before.

        Args:
            comment: Any text; None for nothing.

        Raises:
            NotFoundError: the model was deleted.
            TransportError: the home cannot be reached.
        """
        await self._edit(comment="" if comment is None else str(comment))

    async def set_tags(self, tags: Sequence[str]) -> None:
        """Set its tags, in place of those that it has.

        Args:
            tags: A list of texts.

        Raises:
            ValidationError: it is something else.
            NotFoundError: the model was deleted.
            TransportError: the home cannot be reached.
        """
        await self._edit(tags=checked_tags(tags))

    async def publish(self) -> None:
        """Publish it: its weights, labels and configuration cannot be changed any more, and tasks may use it. A second call does nothing.

        Raises:
            NotFoundError: there is no such model.
            TransportError: the home cannot be reached.
        """
        await self.reload()
        if not (await self._data()).get("ready"):
            await self._call(endpoints.MODELS_SET_READY, "publish", model=self.id, publish_task=False)
            await self.reload()

    async def archive(self) -> None:
        """Put it away: it is left out of lists, and `InputModel.import_model` does not find it. Nothing of it is lost.

        Raises:
            NotFoundError: there is no such model.
            TransportError: the home cannot be reached.
        """
        await self._set_archived(endpoints.MODELS_ARCHIVE_MANY, archived=True)

    async def unarchive(self) -> None:
        """Take it out again.

        Raises:
            NotFoundError: there is no such model.
            TransportError: the home cannot be reached.
        """
        await self._set_archived(endpoints.MODELS_UNARCHIVE_MANY, archived=False)

    async def reload(self) -> None:
        """Fetch what the home has of it, with whatever others changed.

        Raises:
            NotFoundError: there is no such model.
            TransportError: the home cannot be reached.
        """
        self._record = (await self._call(endpoints.MODELS_GET_BY_ID, "read", model=self.id))["model"]

    # ---- its files

    async def get_weights(self, raise_on_error: bool = False, force_download: bool = False) -> str | None:  # documented
        """The file with its weights, on this machine.

        Args:
            raise_on_error: Raise where it cannot be fetched.
            force_download: Fetch it although it is in the cache.

        Returns:
            Its path: the stored file itself where it is on this machine, which is not to be changed, else a copy in the cache. None where
            it cannot be fetched; one line says why.

        Raises:
            StorageError: with `raise_on_error`, it cannot be fetched.
            NotFoundError: there is no such model.
        """
        return await self._fetch_weights(raise_on_error=raise_on_error, force=force_download, extract=False)

    async def get_weights_package(
        self,
        return_path: bool = False,
        raise_on_error: bool = False,  # documented
        force_download: bool = False,
    ) -> str | list[str] | None:
        """The files of a model that is a package, unpacked on this machine.

        Args:
            return_path: Give the folder that they are in rather than all of them.
            raise_on_error: Raise where it cannot be fetched or unpacked.
            force_download: Fetch it although it is in the cache.

        Returns:
            The paths of the files, or the folder; of a model that is no package, the list of its one file, or its path. None where it
            cannot be fetched; one line says why.

        Raises:
            StorageError: with `raise_on_error`, it cannot be fetched or unpacked.
            NotFoundError: there is no such model.
        """
        is_package = models.PACKAGE in ((await self._data()).get("system_tags") or ())
        path = await self._fetch_weights(raise_on_error=raise_on_error, force=force_download, extract=is_package)
        if path is None or return_path:
            return path
        channel = await self._connected()
        return await channel.run(partial(_files_of, Path(path)))

    # ---- inner workings

    def _field(self, name: str, take: Callable[[dict[str, Any]], T]) -> Pending[T]:
        async def fetch() -> T:
            return take(await self._data())

        return Pending(f"model.{name}", fetch)

    async def _data(self) -> dict[str, Any]:
        """The record; fetched once."""
        if self._record is None:
            await self.reload()
        return self._record or {}

    async def _url(self) -> str | None:
        uri = (await self._data()).get("uri")
        return resolve_url(uri, (await self._connected()).settings.home.path) if uri else None

    async def _parse_design(self) -> dict[str, Any]:
        from atrains._config.hocon import parse_text

        text, channel = models.design_of(await self._data()), await self._connected()
        return await channel.run(partial(parse_text, text, f"the configuration of model {self.id}", process_variables()))

    async def _edit(self, **fields: Any) -> None:
        record = await self._data()
        if record.get("ready") and not set(fields) <= _LATER_FIELDS:
            raise ValidationError(
                f"cannot change {', '.join(sorted(fields))} of model {self.id}: it is published; make another OutputModel"
            )
        await self._call(endpoints.MODELS_EDIT, "change", model=self.id, **fields)
        record.update(fields)

    async def _set_archived(self, endpoint: Endpoint, *, archived: bool) -> None:
        await self.reload()
        await self._call(endpoint, "archive" if archived else "take out", ids=[self.id])
        record = await self._data()
        kept = [tag for tag in record.get("system_tags") or () if tag != ARCHIVED]
        record["system_tags"] = [*kept, ARCHIVED] if archived else kept

    async def _fetch_weights(self, *, raise_on_error: bool, force: bool, extract: bool) -> str | None:
        from atrains._async.storage import local_copy  # what is slow to import

        record, url, channel = await self._data(), await self._url(), await self._connected()
        try:
            if url is None:
                raise StorageError("it has none yet")
            runtime = None if isinstance(channel, DisabledChannel) else Runtime.current()
            # The same URL has other weights after the next update; a later change of the name costs one more copy.
            return await local_copy(channel, runtime, url, extract=extract, force=force, version=str(record.get("last_update") or ""))
        except (StorageError, TransportError) as error:
            if raise_on_error:
                raise
            _log.warning("atrains: the weights of model %s cannot be fetched: %s", self.id or "(not stored yet)", error)
            return None

    async def _call(self, endpoint: Endpoint, what: str, **request: Any) -> dict[str, Any]:
        return await call(await self._connected(), endpoint, f"cannot {what} model {self.id}", **request)

    async def _connected(self) -> Channel | DisabledChannel:
        """The way to its home: the one that it came from, else that of the settings.

        Raises:
            UsageError: it was unpickled where another home is in use.
        """
        if self._channel is None:
            if self._place is not None:
                check_place(settings(), self._place, f"model {self.id}")
            self._channel, _ = await connect()
        return self._channel

    def __reduce__(self) -> tuple[object, ...]:
        place = self._place if self._channel is None else place_of(self._channel.settings)
        return unpickle_model, (type(self), self.id, place)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        return self

    def __repr__(self) -> str:
        known = self._record or {}
        named = f" {known['name']!r}" if known.get("name") else ""
        return f"<{type(self).__name__} {self.id or '(not stored yet)'}{named}{' (published)' if known.get('ready') else ''}>"


async def design_text(channel: Channel | DisabledChannel, text: str | None, dictionary: Mapping[Any, Any] | None) -> str | None:
    """The configuration of a model as text, from either form.

    Raises:
        UsageError: both are given.
        UnsupportedTypeError: the dictionary holds a value that cannot be stored; names it.
    """
    if text is not None and dictionary is not None:
        raise UsageError("the configuration of a model is either text or a dictionary: give config_text or config_dict, not both")
    if dictionary is None:
        return text
    from atrains._wire import hocon_text

    return await channel.run(partial(hocon_text.write, dictionary))


def absolute_url(url: str | Path) -> str:
    """The URL of a file as it is recorded where it is none of the home: a path becomes an absolute `file://` one.

    Raises:
        ValidationError: it is neither.
    """
    text = _named(url)
    if "://" in text and not text.startswith("file://"):
        return text
    return f"file://{absolute_path(text.removeprefix('file://'))}"


def absolute_path(path: str | Path) -> Path:
    """A path of the caller's, absolute.

    Raises:
        ValidationError: it is none.
    """
    return Path(_named(path)).expanduser().absolute()


def _named(path: str | Path) -> str:
    text = os.fsdecode(path) if isinstance(path, str | os.PathLike) else ""
    if not text:
        raise ValidationError(f"the weights of a model are named by a path or a URL, not {path!r}")
    return text


def checked_iteration(iteration: int | None) -> int | None:
    """Return an iteration as servers take it; of numpy's numbers and whole floats the integer.

    Raises:
        ValidationError: it is something else.
    """
    whole = isinstance(iteration, float) and iteration.is_integer()
    try:
        number = None if iteration is None else operator.index(int(iteration) if whole else iteration)
    except TypeError:
        raise ValidationError(f"the iteration of a model is a whole number, not {iteration!r}") from None
    if number is not None and not -(2**63) <= number < 2**63:
        raise ValidationError(f"the iteration of a model is a number of 64 bits, not {iteration!r}")
    return number


def checked_tags(tags: Sequence[str]) -> list[str]:
    """Return tags as they are stored.

    Raises:
        ValidationError: they are no list of texts.
    """
    if isinstance(tags, str) or not isinstance(tags, Collection) or not all(isinstance(tag, str) and tag for tag in tags):
        raise ValidationError(f"the tags of a model are a list of texts such as ['best'], not {tags!r}")
    return list(dict.fromkeys(tags))


def loaded(kind: type[M], record: dict[str, Any], channel: Channel | DisabledChannel) -> M:
    """A model whose record was fetched already."""
    made = object.__new__(kind)
    made._set_up(str(record["id"]), record, channel)  # one module
    return made


def unpickle_model(kind: type[M], model_id: str, place: str | None) -> M:
    """The model of a pickle: it knows its id, and fetches the rest when it is asked for."""
    made = object.__new__(kind)
    made._set_up(model_id, place=place)
    return made


def _files_of(path: Path) -> list[str]:
    return sorted(str(file) for file in path.rglob("*") if file.is_file()) if path.is_dir() else [str(path)]
