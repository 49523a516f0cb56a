"""Artifacts: files and objects that a run keeps. A part of AsyncTask; reading one back is in `artifact`, one on its way in `upload`."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from atrains._async.artifact import ArtifactMapping, AsyncArtifact, import_codec
from atrains._async.identity import Identity
from atrains._async.upload import AsyncUpload
from atrains._engine.disabled import DisabledChannel
from atrains._engine.outlet import Outlet
from atrains._wire import endpoints
from atrains._wire.artifacts import HOME_URL, TABLE, ArtifactRecord, check_entry
from atrains.errors import AccessError, ServerError, StorageError, TaskStatusError, TransportError, UnsupportedTypeError, ValidationError
from atrains.types import TaskStatusEnum

if TYPE_CHECKING:
    from atrains._engine.artifact_codec import EncodedArtifact, KnownFailure, Options
    from atrains._engine.upload import Handle, Upload

_PATIENCE: Final = 5
"""How often the home may be away before `wait_on_upload` is told so."""
_log = logging.getLogger("atrains")


class Artifacts(Identity):
    """Uploading artifacts, and the record of those that are there."""

    @property
    def artifacts(self) -> Mapping[str, AsyncArtifact]:
        """The task's artifacts by name, read-only: as of the last `reload`, and those that this object has uploaded or is uploading."""
        self._take_over_records()
        entries = (self._record.get("execution") or {}).get("artifacts") or []
        found = {entry["key"]: AsyncArtifact(ArtifactRecord.from_wire(entry), self._channel, self.id) for entry in entries}
        for name, upload in self.uploads.items():
            if not upload._handle.is_over:  # noqa: SLF001  # one module in two files
                record = ArtifactRecord.from_wire(upload._handle.upload.record["entry"])  # noqa: SLF001
                found[name] = AsyncArtifact(record, self._channel, self.id, upload=upload)
        return ArtifactMapping(found)

    @property
    def uploads(self) -> Mapping[str, AsyncUpload]:
        """What this object has uploaded in this process, by name, the last one of each: how far it is, and what became of it."""
        here = {name: upload for name, upload in self._uploads.items() if upload._handle.is_of_this_process}  # noqa: SLF001
        return ArtifactMapping(here)

    async def upload_artifact(
        self,
        name: str,
        artifact_object: object,
        metadata: Mapping[str, object] | None = None,
        delete_after_upload: bool = False,  # documented
        *,
        auto_pickle: bool = False,
        preview: object = None,
        wait_on_upload: bool = False,
        extension_name: str | None = None,
        serialization_function: Callable[[object], bytes | bytearray] | None = None,
        sort_keys: bool = True,
        progress: Callable[[int, int], object] | None = None,
    ) -> bool:
        """Store an object or file with the task, in the background.

        When this returns, an object was written to a file of the journal: it may change, and is uploaded whatever happens to the process.
        A file of the user's is read where it is, once it is its turn. The artifact is recorded at its home once its bytes are there.

        Args:
            name: The artifact's name; an artifact of that name is replaced.
            artifact_object: A dict or list, text, bytes, a data frame of pandas or polars, an array, an image of PIL, a figure of plotly or
                matplotlib, or the path (text or `Path`) of a file, a folder or a wildcard, or a list of such paths. Text that is an address
                elsewhere (http, https, s3, gs, azure) is recorded as it is.
            metadata: Pairs to show beside it, kept as text.
            delete_after_upload: Remove the file or folder once it is stored and recorded.
            auto_pickle: Pickle what is of no other kind.
            preview: Text to show in place of the content, or what `str` makes one of; False for none.
            wait_on_upload: Wait until it is stored, or never will be.
            extension_name: Another form of the file: `.parquet`, `.feather` and `.csv` for data frames, `.csv.gz` for arrays, `.yaml` for
                dictionaries, `.jpg` and others for images, `.svg` and `.pdf` for figures of matplotlib.
            serialization_function: Makes the file's content of the object, whatever that is.
            sort_keys: Write the keys of a dictionary in their order.
            progress: Called in a worker thread with the bytes that have gone and those in all.

        Returns:
            True once it is accepted: it is uploaded now or later, and `task.uploads[name]` says how far it is; with `wait_on_upload`,
            whether it is stored. False for a `Path` that is not there, or a wildcard in one that matches nothing; one line says which.
            Text that names no file is stored as text.

        Raises:
            UnsupportedTypeError: the object is of a kind that cannot be stored; lists those that can.
            ValidationError: an artifact of this name is registered; an argument is of a wrong kind.
            StorageError: the object cannot be written to the disk; with `wait_on_upload`: its home stays away (it is kept, and uploaded
                then).
            TaskStatusError: the run has ended.
        """
        self._check_open()
        if isinstance(self._channel, DisabledChannel):
            return True
        self._check_not_registered(name)
        if progress is not None and not callable(progress):
            raise ValidationError(f"artifact {name!r}: progress is called with the bytes that have gone and those in all, not {progress!r}")
        await import_codec(self._channel)
        from atrains._engine.artifact_codec import KnownFailure, Options

        options = Options(
            metadata=metadata,
            preview=preview,
            extension=extension_name,
            auto_pickle=auto_pickle,
            serialize=serialization_function,
            sort_keys=sort_keys,
        )
        made: list[EncodedArtifact | KnownFailure] = []
        accepted: list[Handle] = []
        since = time.time()
        try:
            await self._channel.run_to_end(partial(self._encode, name, artifact_object, options, made))
            encoded = made[0]
            if isinstance(encoded, KnownFailure):
                _log.error("atrains: task %s: nothing was uploaded: %s", self.id, encoded.reason)
                return False
            await self._require_open_run(name)
            upload = await self._upload_of(name, encoded, since, remove=encoded.sources if delete_after_upload else ())
            await self._channel.upload(upload, progress, accepted=accepted)
        finally:
            if accepted:  # also where this was cancelled meanwhile: the file is needed
                self._uploads[name] = AsyncUpload(accepted[0], self._channel, self._runtime)
            else:
                await self._channel.run_to_end(partial(_discard, made))
        return await self._channel.finish_upload(accepted[0], patience=_PATIENCE) if wait_on_upload else True

    async def set_artifacts(self, artifacts_list: Sequence[AsyncArtifact | Mapping[str, Any] | object] | None = None) -> bool:
        """Record artifacts whose files are somewhere already. Those of the same names are replaced, others stay.

        Args:
            artifacts_list: Artifacts of this or another task, or entries in the form of the server: `{"key": "name", "type": "custom",
                "uri": "https://..."}`.

        Returns:
            True once they are recorded.

        Raises:
            ValidationError: it is no list, or an entry has no key and type.
            TaskStatusError: the run has ended.
        """
        self._check_open()
        if not isinstance(artifacts_list, list | tuple):
            raise ValidationError(
                f"the artifacts of task {self.id} are set by a list, not {type(artifacts_list).__qualname__}; give a list"
            )
        entries = [_entry_of(item) for item in artifacts_list]
        if entries:
            await self._call(endpoints.TASKS_ADD_OR_UPDATE_ARTIFACTS, "set the artifacts of", artifacts=entries, force=True)
            async with self._editing():
                self._note_artifacts(entries)
        return True

    def _encode(self, name: str, obj: object, options: Options, made: list[EncodedArtifact | KnownFailure]) -> None:
        """Write an object to a file, here in a worker thread; into `made`, so that a call that is cancelled finds the file."""
        from atrains._engine import artifact_codec

        self.get_logger()  # opens the journal
        outlet = self._channel.outlet
        assert isinstance(outlet, Outlet)
        folder = outlet.upload_folder()
        try:
            made.append(artifact_codec.encode(name, obj, folder=folder, options=options))
        except UnsupportedTypeError as error:
            raise UnsupportedTypeError(f"cannot upload to task {self.id}: {error}") from error

    def _check_not_registered(self, name: str) -> None:
        upload = self._uploads.get(name)
        entry = self._recorded(name) if upload is None else upload._handle.upload.record["entry"]  # noqa: SLF001
        if (entry is not None and entry.get("type") == TABLE) or name in (self._tables or ()):
            raise ValidationError(f"{name!r} is a registered artifact of task {self.id}, which no upload replaces; choose another name")

    async def _require_open_run(self, name: str) -> None:
        """Refuse an artifact that the home would refuse to record, before the file of an earlier one of its name is replaced."""
        ours = self._owns_run and self.begun_here
        if not ours or self._recorded(name) is not None:  # of a new one in a run of our own what we know will do
            try:
                await self.reload()
            except (AccessError, ServerError):
                raise
            except TransportError:
                if not ours:
                    raise  # of a run of ours we know the status: the artifact waits until its home is back
        status = self._record.get("status")
        if status not in {TaskStatusEnum.created, TaskStatusEnum.in_progress}:
            raise TaskStatusError(
                f"cannot add an artifact to task {self.id}: its status is {status}; upload before the run ends, or clone the task"
            )

    async def _upload_of(self, name: str, encoded: EncodedArtifact, since: float, remove: Sequence[str]) -> Upload:
        """What is to be uploaded, and what is to be recorded then."""
        from atrains._engine.upload import Upload
        from atrains._engine.upload_records import ARTIFACT

        url = encoded.file_name if encoded.path is None else await self._artifact_url(name, encoded.file_name)
        return Upload(
            task=self.reported_as,
            name=name,
            kind=ARTIFACT,
            record={"entry": encoded.record(name, uri=url, timestamp=int(time.time())).to_wire()},
            url=url,
            source=encoded.path,
            ours=encoded.temporary,
            size=encoded.size,
            sha256=encoded.hash,
            remove=tuple(remove),
            since=since if encoded.temporary else 0.0,
            identity=f"artifact {self.reported_as} {name}",
        )

    def _take_over_records(self) -> None:
        """Note in the record here what uploads of this object have recorded at home since the last look."""
        fresh = [entry for upload in list(self._uploads.values()) if (entry := upload._fresh_entry()) is not None]  # noqa: SLF001
        if fresh:
            self._note_artifacts(fresh)

    def _note_artifacts(self, entries: Iterable[Mapping[str, Any]]) -> None:
        """Do to the record here what the home did to its own. Server: an artifact takes the place of that with its key and mode."""
        execution = self._record.get("execution") or {}
        held = {(entry["key"], entry.get("mode") or "output"): entry for entry in execution.get("artifacts") or []}
        for entry in entries:
            key = entry["key"], entry.get("mode") or "output"
            # Somebody else may have been later, and `reload` has seen it.
            if (entry.get("timestamp") or 0) >= (held.get(key, {}).get("timestamp") or 0):
                held[key] = dict(entry)
        self._record["execution"] = {**execution, "artifacts": [held[key] for key in sorted(held)]}

    async def _artifact_url(self, name: str, file_name: str) -> str:
        """Where an artifact goes: below the task's destination, else to the file server, or into the task's folder in the local home."""
        from atrains._storage import layout

        def below(folder: str, unique: str = "") -> str:
            return layout.file_path(folder, "artifacts", name + unique, file_name)

        local = self._settings.target.kind == "local"
        destination = self.output_uri or (None if local else self._settings.api.files_host)
        if destination is None and not local:
            raise StorageError(
                f"no file server is known for {self._settings.api.api_host}: set ATRAINS_FILES_HOST (or api.files_server), "
                "or give the task an output_uri"
            )
        folder = (
            f"tasks/{self.id}/files" if destination is None else layout.task_folder(await self._project_for_files(), self.name, self.id)
        )

        def whole(path: str) -> str:
            return HOME_URL + path if destination is None else layout.join_url(destination, path)

        url, apart = whole(below(folder)), whole(below(folder, f".{layout.digest(name)}"))
        if layout.passes_for_another(name):
            url = apart
        elif layout.escape_component(name) != name or "0x" in name or ".slash." in name:  # only then may two names lead to one place
            recorded = (self._record.get("execution") or {}).get("artifacts") or []
            if self._upload_urls.get(url, name) != name or any(entry.get("uri") == url and entry["key"] != name for entry in recorded):
                url = apart
        self._upload_urls[url] = name
        return url

    def _recorded(self, name: str) -> Mapping[str, Any] | None:
        """The entry of an artifact in the record here."""
        recorded = (self._record.get("execution") or {}).get("artifacts") or []
        return next((entry for entry in recorded if entry["key"] == name), None)

    async def _project_for_files(self) -> str | None:
        """The project's name, for a folder; None where it is not known and its home is away."""
        try:
            return await self.get_project_name()
        except (AccessError, ServerError):
            raise
        except TransportError:
            return None


def _discard(made: Sequence[EncodedArtifact | KnownFailure]) -> None:
    """Remove a file that was made in vain."""
    for encoded in made:
        path = getattr(encoded, "path", None)
        if isinstance(path, Path) and getattr(encoded, "temporary", False):
            path.unlink(missing_ok=True)


def _entry_of(item: AsyncArtifact | Mapping[str, Any] | object) -> dict[str, Any]:
    """An artifact as a server records it; also one of the official packages' classes, which have `to_dict`."""
    if isinstance(item, AsyncArtifact):
        return item._known.to_wire()  # noqa: SLF001  # one module in two files
    entry = item.to_dict() if not isinstance(item, Mapping) and hasattr(item, "to_dict") else item
    if not isinstance(entry, Mapping) or not isinstance(entry.get("key"), str) or not isinstance(entry.get("type"), str):
        raise ValidationError(f"{item!r} is no artifact: it needs key and type, such as {{'key': 'name', 'type': 'custom', 'uri': ...}}")
    check_entry(entry)
    return {name: value for name, value in entry.items() if value is not None}
