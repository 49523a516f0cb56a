"""Artifact: generated from `_async` by generate.py. Do not edit."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from atrains._async.artifact import AsyncArtifact
from atrains._sync._base import Twin
from atrains._wire.artifacts import Decoded


class Artifact(Twin):
    """One artifact of a task: what the task knows of it, and its content.

    Example:
        >>> weights = task.artifacts["weights"].get()
    """

    _core: AsyncArtifact

    @property
    def name(self) -> str:
        """The artifact's name, unique in its task."""
        return self._core.name

    @property
    def type(self) -> str:
        """What it was: `JSON`, `string`, `bytes`, `custom` (a file), `archive` (a folder, several files), `pandas`, `numpy` and others."""
        return self._core.type

    @property
    def mode(self) -> str:
        """`output`, or `input` when the task only uses it."""
        return self._core.mode

    @property
    def url(self) -> str:
        """Where the file is, or will be; empty where it could not be stored."""
        return self._core.url

    @property
    def size(self) -> int:
        """Bytes of the stored file."""
        return self._core.size

    @property
    def hash(self) -> str:
        """SHA-256 of the stored file, in hex; empty for a file that is on its way."""
        return self._core.hash

    @property
    def timestamp(self) -> datetime:
        """When it was uploaded, in UTC."""
        return self._core.timestamp

    @property
    def metadata(self) -> Mapping[str, str]:
        """The pairs given with the upload, as text."""
        return self._core.metadata

    @property
    def preview(self) -> str:
        """Text that shows what is in it, cut at 65,536 characters."""
        return self._core.preview

    @property
    def error(self) -> str | None:
        """Why its file, or the one that was to replace it, could not be stored; None where nothing failed."""
        return self._core.error

    def get_local_copy(self, extract_archive: bool = True, raise_on_error: bool = False, force_download: bool = False) -> Path | None:
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
        return self._block(
            self._core, lambda: self._core.get_local_copy(extract_archive, raise_on_error, force_download), "artifact.get_local_copy(...)"
        )

    def get(self, *, force_download: bool = False, allow_pickle: bool = False) -> Decoded:
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
        return self._block(
            self._core, lambda: self._core.get(force_download=force_download, allow_pickle=allow_pickle), "artifact.get(...)"
        )


Twin._twins[AsyncArtifact] = Artifact
