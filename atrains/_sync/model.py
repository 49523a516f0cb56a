"""Model: generated from `_async` by generate.py. Do not edit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from atrains._async.model import AsyncModel
from atrains._sync._base import Twin, fetch


class Model(Twin):
    """A stored model, by its id: what it is, and its weights.

    Args:
        model_id: Its id. Nothing is asked of the home until something is read.

    Example:
        >>> for model in (task.get_models())["output"]:
        ...     print(model.name, model.get_local_copy())
    """

    _core: AsyncModel

    def __init__(self, model_id: str) -> None:
        self._core = AsyncModel(model_id)
        self._core.__dict__["_twin"] = self

    def get_local_copy(self, extract_archive: bool = True, raise_on_error: bool = False, force_download: bool = False) -> str | None:
        """The weights on this machine: the file, or of an archive the folder that it was unpacked to.

        Args:
            extract_archive: Unpack it where its name ends in `.zip`, `.tar.gz` or `.tgz`.
            raise_on_error: Raise where they cannot be fetched.
            force_download: Fetch them although they are in the cache.

        Returns:
            An absolute path; do not change what is there. None where they cannot be fetched; one line says why.

        Raises:
            StorageError: with `raise_on_error`, they cannot be fetched.
            NotFoundError: there is no such model.
        """
        return self._block(
            self._core, lambda: self._core.get_local_copy(extract_archive, raise_on_error, force_download), "model.get_local_copy(...)"
        )

    @property
    def id(self) -> str:
        """The model's id; "" as long as it is not stored."""
        return self._core.id

    @property
    def name(self) -> str:
        """The model's name."""
        return self._block(self._core, lambda: fetch(self._core.name), "model.name")

    @name.setter
    def name(self, value: str) -> None:
        self._block(self._core, lambda: self._core.set_name(value), "model.set_name(...)")

    @property
    def comment(self) -> str:
        """What is said about it."""
        return self._block(self._core, lambda: fetch(self._core.comment), "model.comment")

    @comment.setter
    def comment(self, value: str) -> None:
        self._block(self._core, lambda: self._core.set_comment(value), "model.set_comment(...)")

    @property
    def tags(self) -> list[str]:
        """Its tags, without those of the system."""
        return self._block(self._core, lambda: fetch(self._core.tags), "model.tags")

    @tags.setter
    def tags(self, value: list[str]) -> None:
        self._block(self._core, lambda: self._core.set_tags(value), "model.set_tags(...)")

    @property
    def system_tags(self) -> list[str]:
        """The tags that the system itself keeps: `archived`, and `package` for a model of several files."""
        return self._block(self._core, lambda: fetch(self._core.system_tags), "model.system_tags")

    @property
    def config_text(self) -> str:
        """The configuration that it was made with, as text; "" where there is none."""
        return self._block(self._core, lambda: fetch(self._core.config_text), "model.config_text")

    @property
    def config_dict(self) -> dict[str, Any]:
        """The same as a dictionary; empty where there is none. Raises `ConfigurationError` where the text is neither HOCON nor JSON."""
        return self._block(self._core, lambda: fetch(self._core.config_dict), "model.config_dict")

    @property
    def labels(self) -> dict[str, int]:
        """Its label enumeration: the number of each name."""
        return self._block(self._core, lambda: fetch(self._core.labels), "model.labels")

    @property
    def task(self) -> str | None:
        """The id of the task that made it; None where none did, as of an imported one."""
        return self._block(self._core, lambda: fetch(self._core.task), "model.task")

    @property
    def project(self) -> str | None:
        """The id of its project."""
        return self._block(self._core, lambda: fetch(self._core.project), "model.project")

    @property
    def parent(self) -> str | None:
        """The id of the model that it was made from."""
        return self._block(self._core, lambda: fetch(self._core.parent), "model.parent")

    @property
    def framework(self) -> str | None:
        """What it was made with: a member of `Framework`, or any other text."""
        return self._block(self._core, lambda: fetch(self._core.framework), "model.framework")

    @property
    def url(self) -> str | None:
        """Where its weights are; None as long as there are none."""
        return self._block(self._core, lambda: fetch(self._core.url), "model.url")

    @property
    def published(self) -> bool:
        """Whether it is published, and cannot change any more."""
        return self._block(self._core, lambda: fetch(self._core.published), "model.published")

    def set_name(self, name: str) -> None:
        """Rename it.

        Args:
            name: At least 3 characters.

        Raises:
            ValidationError: it is shorter.
            NotFoundError: the model was deleted.
            TransportError: the home cannot be reached.
        """
        self._block(self._core, lambda: self._core.set_name(name), "model.set_name(...)")

    def set_comment(self, comment: str | None) -> None:
        """Say something about it, in place of what was said before.

        Args:
            comment: Any text; None for nothing.

        Raises:
            NotFoundError: the model was deleted.
            TransportError: the home cannot be reached.
        """
        self._block(self._core, lambda: self._core.set_comment(comment), "model.set_comment(...)")

    def set_tags(self, tags: Sequence[str]) -> None:
        """Set its tags, in place of those that it has.

        Args:
            tags: A list of texts.

        Raises:
            ValidationError: it is something else.
            NotFoundError: the model was deleted.
            TransportError: the home cannot be reached.
        """
        self._block(self._core, lambda: self._core.set_tags(tags), "model.set_tags(...)")

    def publish(self) -> None:
        """Publish it: its weights, labels and configuration cannot be changed any more, and tasks may use it. A second call does nothing.

        Raises:
            NotFoundError: there is no such model.
            TransportError: the home cannot be reached.
        """
        self._block(self._core, lambda: self._core.publish(), "model.publish()")

    def archive(self) -> None:
        """Put it away: it is left out of lists, and `InputModel.import_model` does not find it. Nothing of it is lost.

        Raises:
            NotFoundError: there is no such model.
            TransportError: the home cannot be reached.
        """
        self._block(self._core, lambda: self._core.archive(), "model.archive()")

    def unarchive(self) -> None:
        """Take it out again.

        Raises:
            NotFoundError: there is no such model.
            TransportError: the home cannot be reached.
        """
        self._block(self._core, lambda: self._core.unarchive(), "model.unarchive()")

    def reload(self) -> None:
        """Fetch what the home has of it, with whatever others changed.

        Raises:
            NotFoundError: there is no such model.
            TransportError: the home cannot be reached.
        """
        self._block(self._core, lambda: self._core.reload(), "model.reload()")

    def get_weights(self, raise_on_error: bool = False, force_download: bool = False) -> str | None:
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
        return self._block(self._core, lambda: self._core.get_weights(raise_on_error, force_download), "model.get_weights(...)")

    def get_weights_package(
        self, return_path: bool = False, raise_on_error: bool = False, force_download: bool = False
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
        return self._block(
            self._core,
            lambda: self._core.get_weights_package(return_path, raise_on_error, force_download),
            "model.get_weights_package(...)",
        )


Twin._twins[AsyncModel] = Model
