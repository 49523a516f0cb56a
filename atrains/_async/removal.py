"""Putting tasks away, and deleting them with their files. A part of AsyncTask; `atrains rm` uses the functions."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final, Literal, TypeAlias

from atrains._async.base import call
from atrains._async.lifecycle import Lifecycle
from atrains._async.status import FLUSH_BUDGET
from atrains._engine.channel import Channel
from atrains._engine.disabled import DisabledChannel
from atrains._engine.endings import ending_of
from atrains._wire import edits, endpoints
from atrains._wire.artifacts import HOME_URL, resolve_url
from atrains.errors import NotFoundError, StorageError, TaskStatusError, TransportError
from atrains.types import Deletion, TaskStatusEnum

FileKind: TypeAlias = Literal["artifact", "model", "event"]
"""What a file of a task is: `event` is an image that was reported."""
Chooser: TypeAlias = Callable[[str, str], bool]

_KEPT_UNLESS_FORCED: Final[Mapping[str, str]] = {
    TaskStatusEnum.in_progress: "it runs; stop it first",
    TaskStatusEnum.published: "it is published; archive it instead",
    TaskStatusEnum.publishing: "it is being published; archive it instead",
}
_KINDS: Final[Mapping[str, FileKind]] = {"artifact_urls": "artifact", "model_urls": "model", "event_urls": "event"}

AnyChannel: TypeAlias = Channel | DisabledChannel
_log = logging.getLogger("atrains")
CANCEL_BUDGET: Final = 2.0
"""Seconds in which a deletion whose caller was cancelled is brought to its end."""


async def archive_tasks(channel: AnyChannel, tasks: Sequence[str], *, archive: bool) -> None:
    """Put tasks away, or take them out again.

    Raises:
        NotFoundError: one of them is not there.
        TransportError: the home cannot be reached.
    """
    if archive:
        await call(channel, endpoints.TASKS_ARCHIVE, f"cannot archive task {', '.join(tasks)}", tasks=list(tasks))
        return
    answer = await call(channel, endpoints.TASKS_UNARCHIVE_MANY, f"cannot unarchive task {', '.join(tasks)}", ids=list(tasks))
    if failed := answer.get("failed"):  # Server: with the others done, and without an error of its own
        said = (failed[0].get("error") or {}).get("msg") or "the server does not say why"
        raise NotFoundError(f"cannot unarchive task {failed[0].get('id')}: {said}; check the id")


async def check_deletable(channel: AnyChannel, task: str, *, force: bool) -> dict[str, Any]:
    """The record of a task that is to be deleted.

    Raises:
        NotFoundError: there is no such task.
        TaskStatusError: it runs or is published, and is not to be deleted all the same.
        TransportError: the home cannot be reached.
    """
    record: dict[str, Any] = (await call(channel, endpoints.TASKS_GET_BY_ID, f"cannot delete task {task}", task=task))["task"]
    why = _KEPT_UNLESS_FORCED.get(str(record.get("status")))
    if why is not None and not force:
        raise TaskStatusError(
            f"cannot delete task {task} {record.get('name')!r}: {why}, or delete it all the same (force=True; `atrains rm --force`)"
        )
    return record


async def delete_task(
    channel: AnyChannel,
    record: Mapping[str, Any],
    *,
    with_files: bool = True,
    artifacts: AbstractSet[str] | None = None,
    wanted: Chooser | None = None,
) -> Deletion:
    """Delete a task, whatever its status, and then its files.

    The task goes first: while it is there, nothing that it refers to is missing.

    Args:
        channel: The home.
        record: The task's record.
        with_files: Whether its artifacts and the models that are not published go with it.
        artifacts: The artifacts that go with it; all by default.
        wanted: Whether another file is to be deleted, by its kind and its URL.

    Raises:
        NotFoundError: somebody else deleted it meanwhile.
        ValidationError: its files are to be kept, and are in its folder, which goes.
        TransportError: the home cannot be reached.
    """
    task = str(record["id"])
    files: dict[str, FileKind] = dict.fromkeys(_artifacts_of(record), "artifact")
    chosen = set() if not with_files else set(files if artifacts is None else artifacts)
    answer = await call(
        channel,
        endpoints.TASKS_DELETE,
        f"cannot delete task {task}",
        task=task,
        force=True,  # Server: all but drafts need it; what must not be deleted was refused before
        return_file_urls=True,
        delete_output_models=with_files,
        delete_external_artifacts=with_files and chosen == set(files),  # Server: some delete files on their own, later
    )
    listed = {url: _KINDS[kind] for kind, urls in (answer.get("urls") or {}).items() for url in urls if kind in _KINDS}
    others = {url: kind for url, kind in listed.items() if url not in files}
    files |= others
    if with_files:
        chosen |= await _choose(channel, others, wanted)
    failed = await _delete_files(channel, [url for url in files if url in chosen])
    home = channel.settings.home.path
    return Deletion(
        task,
        files=tuple(resolve_url(url, home) for url in files if url in chosen and url not in failed),
        kept=tuple(resolve_url(url, home) for url in files if url not in chosen),
        failed={resolve_url(url, home): why for url, why in failed.items()},
    )


async def _choose(channel: AnyChannel, files: Mapping[str, FileKind], wanted: Chooser | None) -> set[str]:
    """Which files are to be deleted. The user is asked in a thread, where he may take his time, and call tasks in blocking form."""
    if wanted is None:
        return set(files)
    if isinstance(channel, DisabledChannel):  # whose coroutines never suspend
        return {url for url, kind in files.items() if wanted(kind, url)}
    # A thread of the loop's own pool: those of `channel.run` are few, and a call that the user makes needs one of them.
    return {url for url, kind in files.items() if await asyncio.to_thread(wanted, kind, url)}


async def carried_out(work: Coroutine[Any, Any, Deletion]) -> Deletion:
    """Do something to its end although the caller is cancelled: nobody would know of the files of a task that is gone."""
    working = asyncio.create_task(work, name="atrains-removal")
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        await asyncio.wait({working}, timeout=CANCEL_BUDGET)
        working.cancel()  # a file server may be slow
        await asyncio.wait({working})
        raise


def _artifacts_of(record: Mapping[str, Any]) -> list[str]:
    """Where the artifacts are that the task made; what it only uses (`input`) is another's."""
    entries: Iterable[Mapping[str, Any]] = (record.get("execution") or {}).get("artifacts") or ()
    return [str(entry["uri"]) for entry in entries if entry.get("uri") and (entry.get("mode") or "output") == "output"]


async def _delete_files(channel: AnyChannel, urls: Sequence[str]) -> dict[str, str]:
    """Delete files; returns why some could not be. What is in the home went with the task's folder; what is not there is gone as well."""
    failed: dict[str, str] = {}
    storages = channel.storages()
    for url in urls:
        if url.startswith(HOME_URL):
            continue
        try:
            await (await storages.open(url)).delete(url)
        except (StorageError, TransportError) as error:
            failed[url] = str(error)
    return failed


class Removal(Lifecycle):
    """Archiving and deleting."""

    def get_archived(self) -> bool:
        """Whether the task is archived, as of the last `reload`."""
        return edits.ARCHIVED in self.get_system_tags()

    async def set_archived(self, archive: bool) -> None:
        """Put the task away, or take it out again. An archived task is left out of lists, and never reused; nothing of it is lost.

        Args:
            archive: True to archive it, False to take it out.

        Raises:
            NotFoundError: the task was deleted.
            TransportError: the home cannot be reached.
        """
        self._check_there()
        async with self._editing():
            await archive_tasks(self._channel, [self.id], archive=archive)
            await self._fetch()

    async def delete(
        self,
        *,
        delete_artifacts_and_models: bool = True,
        raise_on_error: bool = False,
        callback: Callable[[str, str], bool] | None = None,
        force: bool = False,
    ) -> Deletion:
        """Delete the task for good, with what it reported and the files that it made. It cannot be taken back; `set_archived` can.

        Every later call on this object that has to do with its home raises `NotFoundError`. A run that this process began ends without a
        final status.

        Args:
            delete_artifacts_and_models: False keeps the files. It is refused where they are in the task's folder in a home of atrains,
                which goes with the task.
            raise_on_error: Raise when files could not be deleted, instead of naming them in what is returned and in a line.
            callback: Called with the kind (`artifact`, `model`, `event`) and the URL of each file, in a thread; the file is deleted if that
                returns True.
            force: Also a task that runs or is published.

        Returns:
            Which files were deleted, which were kept, and which could not be deleted; true when nothing failed.

        Raises:
            TaskStatusError: the task runs or is published, and `force` was not given.
            NotFoundError: the task was deleted already.
            ValidationError: the files are to be kept, and are in the task's folder.
            StorageError: with `raise_on_error`: a file could not be deleted. The task is gone.
            TransportError: the home cannot be reached.
        """
        self._check_there()
        record = await check_deletable(self._channel, self.id, force=force)
        await self._channel.flush(self.reported_as, FLUSH_BUDGET)
        artifacts: set[str] = set()
        if delete_artifacts_and_models:
            artifacts = await _choose(self._channel, dict.fromkeys(_artifacts_of(record), "artifact"), callback)
        work = delete_task(self._channel, record, with_files=delete_artifacts_and_models, artifacts=artifacts, wanted=callback)
        deletion = await (work if isinstance(self._channel, DisabledChannel) else carried_out(self._go(work)))
        for url, why in deletion.failed.items():
            text = f"task {self.id} was deleted, but {url} could not be ({why}); delete it by hand"
            if raise_on_error:
                raise StorageError(text)
            _log.warning("atrains: %s", text)
        return deletion

    async def _go(self, deleting: Coroutine[Any, Any, Deletion]) -> Deletion:
        """Delete the task, and let go of it here."""
        async with self._channel.resetting(self.reported_as):  # what was not delivered yet has no place to go
            deletion = await deleting
        self._deleted, self._owns_run = True, False
        await self.end(ending_of(None))
        return deletion
