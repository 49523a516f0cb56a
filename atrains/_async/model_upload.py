"""How the files of a model are stored: where they go, what is uploaded, who is told. What is recorded is in `_engine.model_records`."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from atrains._async.base import TaskPart, call
from atrains._engine.channel import Channel
from atrains._engine.room import UPLOAD_FILE
from atrains._wire import endpoints
from atrains._wire.artifacts import HOME_URL, resolve_url
from atrains._wire.refusals import as_public_error
from atrains.errors import ServerError, StorageError, TransportError, ValidationError

if TYPE_CHECKING:
    from atrains._async.identity import Identity
    from atrains._engine.upload import Handle

PACKAGE_NAME: Final = "model_package.zip"
_TRIES: Final = 3
"""How often the home may be away before who waits for an upload is told that it goes on without him."""
_claimed: Final[dict[str, str]] = {}
"""URLs that are about to be uploaded to, by what tells the uploads of a model from others: until the upload itself is known."""
_log = logging.getLogger("atrains")


@dataclass(frozen=True, slots=True)
class Source:
    """What is uploaded: a file, whether it is ours, its size, what of the user's is removed once it is stored, unless it changed since."""

    path: Path
    ours: bool
    size: int
    remove: tuple[str, ...]
    since: float


def check(paths: Sequence[Path], *, pack: bool) -> list[tuple[Path, str]] | None:
    """Return what goes into a package; None for one file that is stored as it is.

    Raises:
        ValidationError: there is no such file.
    """
    if pack:
        from atrains._engine.packages import members_of

        return members_of(paths)
    if paths[0].is_dir():
        raise ValidationError(f"{paths[0]} is a folder: give a file, or let OutputModel(task).update_weights(folder) make a package of it")
    if not paths[0].is_file():
        raise ValidationError(f"there is no file {paths[0]} with weights; check the path")
    return None


async def source_of(task: TaskPart, paths: Sequence[Path], members: list[tuple[Path, str]] | None, *, remove: bool) -> Source:
    """The file that is to be uploaded; a package is packed here."""
    channel = _channel_of(task)
    removed = tuple(map(str, paths)) if remove else ()
    if members is None:
        size = (await channel.run(paths[0].stat)).st_size
        return Source(paths[0], ours=False, size=size, remove=removed, since=0.0)
    from atrains._engine.packages import pack

    task.get_logger()  # so that there is a journal
    outlet, since = channel.outlet, time.time()
    assert outlet is not None
    target = await channel.run(outlet.upload_folder) / f"{UPLOAD_FILE}{uuid.uuid4().hex}.zip"
    try:
        size = await channel.run_to_end(partial(pack, members, target))
    except BaseException:  # cancelled: nobody would know of the file
        await channel.run_to_end(partial(target.unlink, missing_ok=True))
        raise
    return Source(target, ours=True, size=size, remove=removed, since=since)


async def free_url(task: Identity, file_name: str, destination: str | None, *, key: str, known: Mapping[str, Any]) -> str:
    """Where the file of a model goes: under its own name, unless another model of the task has its file there.

    It is kept for this model until `release`: of several that are stored at once each gets another.

    Args:
        task: The task.
        file_name: What the file is called.
        destination: Where to, in place of the task's destination and the home.
        key: What tells the uploads of this model from others.
        known: The model's record; of one that is not stored yet what it will be.

    Raises:
        StorageError: no file server is known.
    """
    for number in range(1, 1000):
        url = await _url(task, file_name if number == 1 else f"{number}/{file_name}", destination)
        if known.get("uri") == url:
            return url
        if _claimed.setdefault(url, key) != key:
            continue
        is_free = False
        try:
            is_free = not await _is_taken(task, url, key, known)
        finally:
            if not is_free:
                release(url, key)
        if is_free:
            return url
    raise StorageError(f"task {task.id} has a thousand models of files named {file_name!r}; name this one otherwise")


def release(url: str, key: str) -> None:
    """Keep a URL no longer for a model: its upload is known by now, or is none."""
    if _claimed.get(url) == key:
        del _claimed[url]


async def _is_taken(task: TaskPart, url: str, key: str, known: Mapping[str, Any]) -> bool:
    channel = _channel_of(task)
    uploads = None if channel.outlet is None else channel.outlet.uploads
    pending = [] if uploads is None else uploads.pending(task.reported_as)
    if any(handle.upload.url == url and handle.upload.identity != key for handle in pending):
        return True
    with suppress(TransportError):  # a home that is away: the file is stored once it is back, and that is known then
        fields = ["id", "name", "uri", "ready"]
        answer = await call(channel, endpoints.MODELS_GET_ALL, f"cannot look for models of task {task.id}", uri=[url], only_fields=fields)
        found = [held for held in answer.get("models") or () if held.get("uri") == url and held["id"] != known.get("id")]
        # A draft of this name is the model that an earlier object, or an earlier try, has made of the same file.
        return any(held.get("ready") or known.get("id") or held.get("name") != known.get("name") for held in found)
    return False


async def _url(task: Identity, path: str, destination: str | None) -> str:
    from atrains._storage import layout

    settings = task._settings  # noqa: SLF001  # one package
    local = settings.target.kind == "local"
    destination = destination or task.output_uri or (None if local else settings.api.files_host)
    if destination is not None:
        folder = layout.task_folder(await task.get_project_name(), task.name, task.id)
        return layout.join_url(destination, f"{folder}/models/{path}")
    if not local:
        raise StorageError(
            f"no file server is known for {settings.api.api_host}: set ATRAINS_FILES_HOST (or api.files_server), "
            "or give the task an output_uri"
        )
    return f"{HOME_URL}tasks/{task.id}/files/models/{path}"


def shown(task: TaskPart, url: str) -> str:
    """A URL as anybody finds the file."""
    return resolve_url(url, task._settings.home.path)  # noqa: SLF001


async def begin(
    task: Identity,
    source: Source,
    url: str,
    record: Mapping[str, Any],
    *,
    name: str,
    identity: str,
    callback: Callable[[str | bool], object] | None,
) -> Handle:
    """Accept the upload of a model's file: from here on it is made, whatever happens to this process.

    Raises:
        HomeError: the task was closed.
    """
    channel = _channel_of(task)
    for module in ("atrains._engine.uploads", "atrains._storage.folder"):  # not on the loop
        await channel.run(partial(import_module, module))
    from atrains._engine.model_records import MODEL
    from atrains._engine.upload import Upload

    task.get_logger()  # so that there is a journal
    upload = Upload(
        task=task.reported_as, name=name, kind=MODEL, record=record, url=url, source=source.path, ours=source.ours, size=source.size,
        remove=source.remove, since=source.since, identity=identity,
    )  # fmt: skip
    handle = await channel.upload(upload)
    if callback is not None:
        tell = callback
        loop = asyncio.get_running_loop()
        place = shown(task, url)

        def over(_: object) -> None:
            stored = handle.future.exception() is None and handle.future.result()
            with suppress(RuntimeError):  # the loop has ended, and the process with it
                loop.call_soon_threadsafe(lambda: loop.run_in_executor(None, _tell, tell, place if stored else False))

        handle.future.add_done_callback(over)
    return handle


def _tell(callback: Callable[[str | bool], object], result: str | bool) -> None:
    try:
        callback(result)
    except Exception:  # code of the user's, which may fail in any way, and of whose failure nobody else would hear  # noqa: BLE001
        _log.exception("atrains: the callback of a model's upload failed")


async def wait(task: TaskPart, handle: Handle, timeout: float | None = None) -> None:
    """Wait until an upload is over, stored or not.

    Raises:
        StorageError: it goes on elsewhere or later.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout):
            await _channel_of(task).finish_upload(handle, patience=None if timeout is not None else _TRIES)


async def wait_stored(task: TaskPart, handle: Handle) -> None:
    """Wait until a file is stored and recorded.

    Raises:
        StorageError: it is not, or not now.
    """
    if not await _channel_of(task).finish_upload(handle, patience=_TRIES):
        raise StorageError(f"the model file {handle.upload.name!r} of task {task.id} was not stored: {handle.error}")


async def record_now(task: TaskPart, record: Mapping[str, Any]) -> str:
    """Record a model whose weights need no upload; returns its id."""
    from atrains._engine.model_records import record_model

    try:
        entry = await record_model(task._channel.transport, task.id, record)  # noqa: SLF001
    except ServerError as error:
        raise as_public_error(error, f"cannot store a model of task {task.id}") from error
    await task.reload()
    return str(entry["id"])


def _channel_of(task: TaskPart) -> Channel:
    channel = task._channel  # noqa: SLF001
    assert isinstance(channel, Channel)  # who has none uploads nothing
    return channel
