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
        """What it was: `JSON`, `string`, `bytes`, `custom` (a file), `archive` (a folder or several files)."""
        return self._core.type

    @property
    def mode(self) -> str:
        """`output`, or `input` when the task only uses it."""
        return self._core.mode

    @property
    def url(self) -> str:
        """Where the file is."""
        return self._core.url

    @property
    def size(self) -> int:
        """Bytes of the stored file."""
        return self._core.size

    @property
    def hash(self) -> str:
        """SHA-256 of the stored file, in hex."""
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

    def get_local_copy(self) -> Path:
        """The artifact as a file of this machine.

        Returns:
            The stored file itself when it is on this machine: do not change it; otherwise a copy in the cache.

        Raises:
            StorageError: the file is not there or cannot be read.
        """
        return self._block(self._core, lambda: self._core.get_local_copy(), "artifact.get_local_copy()")

    def get(self) -> Decoded:
        """The artifact's content, checked against its recorded hash.

        Returns:
            What was uploaded: a dict or list, text, bytes; the path of the file; the path of the folder that an archive was unpacked to.

        Raises:
            StorageError: the file is not there, was changed, or does not hold what its type says.
        """
        return self._block(self._core, lambda: self._core.get(), "artifact.get()")


Twin._twins[AsyncArtifact] = Artifact
