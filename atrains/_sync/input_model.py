"""InputModel: generated from `_async` by generate.py. Do not edit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

from atrains._async.input_model import AsyncInputModel
from atrains._sync._base import Twin, fetch, unwrap, wrap

if TYPE_CHECKING:
    from atrains._sync.task import Task


class InputModel(Twin):
    """A stored model for a task to begin with: connect it, and read its weights.

    Args:
        model_id: The id of a model. Nothing is asked of the home until something is read.

    Example:
        >>> model = InputModel.import_model("https://example.com/resnet.pt", name="resnet")
        >>> task.connect(model)
        >>> path = model.get_weights()
    """

    _core: AsyncInputModel

    def __init__(self, model_id: str) -> None:
        self._core = AsyncInputModel(model_id)
        self._core.__dict__["_twin"] = self

    @classmethod
    def import_model(
        cls,
        weights_url: str | Path,
        config_text: str | None = None,
        config_dict: Mapping[Any, Any] | None = None,
        label_enumeration: Mapping[str, int] | None = None,
        name: str | None = None,
        tags: Sequence[str] | None = None,
        comment: str | None = None,
        is_package: bool = False,
        create_as_published: bool = False,
        framework: str | None = None,
    ) -> Self:
        """The model whose weights are at a URL: the newest that is known and not archived, else one that is made.

        Nothing is fetched, and nothing is uploaded. Where there is a model all other arguments have no effect.

        Args:
            weights_url: Exactly as it is recorded; or a path.
            config_text: The configuration that it was made with; or
            config_dict: the same as a dictionary.
            label_enumeration: The number of each label.
            name: At least 3 characters; by default it is told from the current task, or from the URL.
            tags: Its tags.
            comment: What is said about it, below a line that names the current task.
            is_package: Whether the URL is that of a zip file with the files of the model.
            create_as_published: Publish it at once.
            framework: What it was made with; told from the URL by default.

        Raises:
            UsageError: both config_text and config_dict are given.
            ValidationError: a name that is too short, labels that are none.
            TransportError: the home cannot be reached.
        """
        return cast(
            "Self",
            wrap(
                cls._block(
                    AsyncInputModel,
                    lambda: AsyncInputModel.import_model(
                        weights_url,
                        config_text,
                        config_dict,
                        label_enumeration,
                        name,
                        tags,
                        comment,
                        is_package,
                        create_as_published,
                        framework,
                    ),
                    "AsyncInputModel.import_model(...)",
                )
            ),
        )

    @classmethod
    def load_model(cls, weights_url: str | Path, load_archived: bool = False) -> Self | None:
        """The newest model whose weights are at a URL; None where no model is known to have it.

        Args:
            weights_url: Exactly as it is recorded; or a path.
            load_archived: Also look among archived models.

        Raises:
            TransportError: the home cannot be reached.
        """
        return cast(
            "Self | None",
            wrap(
                cls._block(
                    AsyncInputModel, lambda: AsyncInputModel.load_model(weights_url, load_archived), "AsyncInputModel.load_model(...)"
                )
            ),
        )

    @classmethod
    def empty(
        cls,
        config_text: str | None = None,
        config_dict: Mapping[Any, Any] | None = None,
        label_enumeration: Mapping[str, int] | None = None,
    ) -> Self:
        """A model without weights and without a record: for a task that begins from nothing, with a configuration and labels.

        Args:
            config_text: Its configuration; or
            config_dict: the same as a dictionary.
            label_enumeration: The number of each label.

        Raises:
            UsageError: both config_text and config_dict are given.
        """
        return cast(
            "Self",
            wrap(
                cls._block(
                    AsyncInputModel,
                    lambda: AsyncInputModel.empty(config_text, config_dict, label_enumeration),
                    "AsyncInputModel.empty(...)",
                )
            ),
        )

    def reload(self) -> None:
        """Fetch what the home has of it, with whatever others changed. There is nothing to fetch of an empty one.

        Raises:
            NotFoundError: there is no such model.
            TransportError: the home cannot be reached.
        """
        self._block(self._core, lambda: self._core.reload(), "inputmodel.reload()")

    def connect(self, task: Task, name: str | None = None) -> None:
        """Have a task use this model; `task.connect(model)` does the same.

        The task's configuration and labels become those of the model where it has none of its own. Under an agent it is the other way
        round: this object becomes the input model that the task has, if it has one.

        Args:
            task: The task.
            name: What the task lists it as; the name of the weights file by default.

        Raises:
            NotFoundError: there is no such model.
            TaskStatusError: the run has ended.
            TransportError: the home cannot be reached.
        """
        self._block(self._core, lambda: self._core.connect(unwrap(task), name), "inputmodel.connect(...)")

    @property
    def id(self) -> str:
        """The model's id; "" as long as it is not stored."""
        return self._core.id

    @property
    def name(self) -> str:
        """The model's name."""
        return self._block(self._core, lambda: fetch(self._core.name), "inputmodel.name")

    @name.setter
    def name(self, value: str) -> None:
        self._block(self._core, lambda: self._core.set_name(value), "inputmodel.set_name(...)")

    @property
    def comment(self) -> str:
        """What is said about it."""
        return self._block(self._core, lambda: fetch(self._core.comment), "inputmodel.comment")

    @comment.setter
    def comment(self, value: str) -> None:
        self._block(self._core, lambda: self._core.set_comment(value), "inputmodel.set_comment(...)")

    @property
    def tags(self) -> list[str]:
        """Its tags, without those of the system."""
        return self._block(self._core, lambda: fetch(self._core.tags), "inputmodel.tags")

    @tags.setter
    def tags(self, value: list[str]) -> None:
        self._block(self._core, lambda: self._core.set_tags(value), "inputmodel.set_tags(...)")

    @property
    def system_tags(self) -> list[str]:
        """The tags that the system itself keeps: `archived`, and `package` for a model of several files."""
        return self._block(self._core, lambda: fetch(self._core.system_tags), "inputmodel.system_tags")

    @property
    def config_text(self) -> str:
        """The configuration that it was made with, as text; "" where there is none."""
        return self._block(self._core, lambda: fetch(self._core.config_text), "inputmodel.config_text")

    @property
    def config_dict(self) -> dict[str, Any]:
        """The same as a dictionary; empty where there is none. Raises `ConfigurationError` where the text is neither HOCON nor JSON."""
        return self._block(self._core, lambda: fetch(self._core.config_dict), "inputmodel.config_dict")

    @property
    def labels(self) -> dict[str, int]:
        """Its label enumeration: the number of each name."""
        return self._block(self._core, lambda: fetch(self._core.labels), "inputmodel.labels")

    @property
    def task(self) -> str | None:
        """The id of the task that made it; None where none did, as of an imported one."""
        return self._block(self._core, lambda: fetch(self._core.task), "inputmodel.task")

    @property
    def project(self) -> str | None:
        """The id of its project."""
        return self._block(self._core, lambda: fetch(self._core.project), "inputmodel.project")

    @property
    def parent(self) -> str | None:
        """The id of the model that it was made from."""
        return self._block(self._core, lambda: fetch(self._core.parent), "inputmodel.parent")

    @property
    def framework(self) -> str | None:
        """What it was made with: a member of `Framework`, or any other text."""
        return self._block(self._core, lambda: fetch(self._core.framework), "inputmodel.framework")

    @property
    def url(self) -> str | None:
        """Where its weights are; None as long as there are none."""
        return self._block(self._core, lambda: fetch(self._core.url), "inputmodel.url")

    @property
    def published(self) -> bool:
        """Whether it is published, and cannot change any more."""
        return self._block(self._core, lambda: fetch(self._core.published), "inputmodel.published")

    def set_name(self, name: str) -> None:
        """Rename it.

        Args:
            name: At least 3 characters.

        Raises:
            ValidationError: it is shorter.
            NotFoundError: the model was deleted.
            TransportError: the home cannot be reached.
        """
        self._block(self._core, lambda: self._core.set_name(name), "inputmodel.set_name(...)")

    def set_comment(self, comment: str | None) -> None:
        """Say something about it, in place of what was said before.

        Args:
            comment: Any text; None for nothing.

        Raises:
            NotFoundError: the model was deleted.
            TransportError: the home cannot be reached.
        """
        self._block(self._core, lambda: self._core.set_comment(comment), "inputmodel.set_comment(...)")

    def set_tags(self, tags: Sequence[str]) -> None:
        """Set its tags, in place of those that it has.

        Args:
            tags: A list of texts.

        Raises:
            ValidationError: it is something else.
            NotFoundError: the model was deleted.
            TransportError: the home cannot be reached.
        """
        self._block(self._core, lambda: self._core.set_tags(tags), "inputmodel.set_tags(...)")

    def publish(self) -> None:
        """Publish it: its weights, labels and configuration cannot be changed any more, and tasks may use it. A second call does nothing.

        Raises:
            NotFoundError: there is no such model.
            TransportError: the home cannot be reached.
        """
        self._block(self._core, lambda: self._core.publish(), "inputmodel.publish()")

    def archive(self) -> None:
        """Put it away: it is left out of lists, and `InputModel.import_model` does not find it. Nothing of it is lost.

        Raises:
            NotFoundError: there is no such model.
            TransportError: the home cannot be reached.
        """
        self._block(self._core, lambda: self._core.archive(), "inputmodel.archive()")

    def unarchive(self) -> None:
        """Take it out again.

        Raises:
            NotFoundError: there is no such model.
            TransportError: the home cannot be reached.
        """
        self._block(self._core, lambda: self._core.unarchive(), "inputmodel.unarchive()")

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
        return self._block(self._core, lambda: self._core.get_weights(raise_on_error, force_download), "inputmodel.get_weights(...)")

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
            "inputmodel.get_weights_package(...)",
        )


Twin._twins[AsyncInputModel] = InputModel
