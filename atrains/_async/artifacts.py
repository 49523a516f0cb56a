"""Artifacts: files and objects that a run keeps. A part of AsyncTask; reading one back is in `artifact`."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from atrains._async.artifact import ArtifactMapping, AsyncArtifact, import_codec
from atrains._async.identity import Identity
from atrains._engine.disabled import DisabledChannel
from atrains._engine.notices import say
from atrains._wire import endpoints
from atrains._wire.artifacts import HOME_URL, ArtifactRecord, resolve_url
from atrains.errors import StorageError, TaskStatusError, UnsupportedTypeError
from atrains.types import TaskStatusEnum

if TYPE_CHECKING:
    from atrains._engine.artifact_codec import EncodedArtifact

_log = logging.getLogger("atrains")


class Artifacts(Identity):
    """Uploading artifacts, and the record of those that are there."""

    @property
    def artifacts(self) -> Mapping[str, AsyncArtifact]:
        """The task's artifacts by name, read-only, as of the last `reload` or upload."""
        entries = (self._record.get("execution") or {}).get("artifacts") or []
        records = [ArtifactRecord.from_wire(entry) for entry in entries]
        return ArtifactMapping({record.key: AsyncArtifact(record, self._channel, self.id) for record in records})

    async def upload_artifact(
        self,
        name: str,
        artifact_object: object,
        metadata: Mapping[str, object] | None = None,
        delete_after_upload: bool = False,  # documented
    ) -> bool:
        """Store an object or file with the task.

        Args:
            name: The artifact's name; an artifact of that name is replaced.
            artifact_object: A dict or list, text, bytes, or the path (text or `Path`) of a file, a folder or a wildcard.
            metadata: Pairs to show beside it, kept as text.
            delete_after_upload: Remove the file or folder once it is stored.

        Returns:
            True once it is stored. False for a `Path` that is not there, or a wildcard in one that matches nothing; one line says which.
            Text that names no file is stored as text.

        Raises:
            UnsupportedTypeError: the object is of a kind that cannot be stored; lists those that can.
            StorageError: the destination cannot be written.
            TaskStatusError: the run has ended.
        """
        self._check_open()
        if isinstance(self._channel, DisabledChannel):
            return True
        await import_codec(self._channel)
        import shutil
        import tempfile

        from atrains._engine import artifact_codec

        work = Path(tempfile.gettempdir(), f"atrains-{uuid.uuid4().hex}")  # known before it is there, for a call that is cancelled
        try:
            await self._channel.run_to_end(partial(work.mkdir, mode=0o700))
            encode = partial(artifact_codec.encode, name, artifact_object, folder=work, metadata=metadata)
            try:
                encoded = await self._channel.run_to_end(encode)
            except UnsupportedTypeError as error:
                raise UnsupportedTypeError(f"cannot upload to task {self.id}: {error}") from error
            if isinstance(encoded, artifact_codec.KnownFailure):
                _log.error("atrains: nothing was uploaded: %s", encoded.reason)
                say(self._settings, f"task {self.id}: nothing was uploaded: {encoded.reason}")
                return False
            await self._require_open_run(name)
            url = await self._artifact_url(name, encoded.file_name)
            await self._store(encoded, url)
            record = encoded.record(name, uri=url, timestamp=int(time.time()))
            await self._call(endpoints.TASKS_ADD_OR_UPDATE_ARTIFACTS, "record an artifact of", artifacts=[record.to_wire()], force=True)
            async with self._editing():
                self._note_artifact(record)
        finally:
            await self._channel.run_to_end(partial(shutil.rmtree, work, ignore_errors=True))
        if delete_after_upload and isinstance(artifact_object, str | Path):
            await self._channel.run(partial(_remove, Path(artifact_object)))
        return True

    async def _require_open_run(self, name: str) -> None:
        """Refuse an artifact that the home would refuse to record, before the file of an earlier one of its name is replaced."""
        ours = self._owns_run and self.begun_here
        if not ours or name in self.artifacts:  # of a new one in a run of our own nothing can be lost: what we know will do
            await self.reload()
        status = self._record.get("status")
        if status not in {TaskStatusEnum.created, TaskStatusEnum.in_progress}:
            raise TaskStatusError(
                f"cannot add an artifact to task {self.id}: its status is {status}; upload before the run ends, or clone the task"
            )

    def _note_artifact(self, record: ArtifactRecord) -> None:
        """Do to the record here what the home did to its own. Server: an artifact takes the place of that with its key and mode."""
        execution = self._record.get("execution") or {}
        held = {(entry["key"], entry.get("mode") or "output"): entry for entry in execution.get("artifacts") or []}
        held[record.key, record.mode] = record.to_wire()
        self._record["execution"] = {**execution, "artifacts": [held[key] for key in sorted(held)]}

    async def _artifact_url(self, name: str, file_name: str) -> str:
        """Where an artifact goes: below the task's destination, else to the file server, or into the task's folder in the local home."""
        from atrains._storage import layout

        local = self._settings.target.kind == "local"
        destination = self.output_uri or (None if local else self._settings.api.files_host)
        if destination is not None:
            folder = layout.task_folder(await self.get_project_name(), self.name, self.id)
            return layout.join_url(destination, layout.file_path(folder, "artifacts", name, file_name))
        if not local:
            raise StorageError(
                f"no file server is known for {self._settings.api.api_host}: set ATRAINS_FILES_HOST (or api.files_server), "
                "or give the task an output_uri"
            )
        return HOME_URL + layout.file_path(f"tasks/{self.id}/files", "artifacts", name, file_name)

    async def _store(self, encoded: EncodedArtifact, url: str) -> None:
        target = resolve_url(url, self._settings.home.path)
        stored = await self._channel.storages().for_url(target).put(encoded.path, target)
        if stored.sha256 != encoded.hash:
            raise StorageError(f"{encoded.path} changed while it was uploaded to {target}; upload it again once nobody writes to it")


def _remove(path: Path) -> None:
    import shutil

    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
