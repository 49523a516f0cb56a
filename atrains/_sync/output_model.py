"""OutputModel: generated from `_async` by generate.py. Do not edit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atrains._async.output_model import AsyncOutputModel
from atrains._sync._base import Twin, fetch, unwrap

if TYPE_CHECKING:
    from atrains._sync.task import Task


class OutputModel(Twin):
    """A model that a task makes: weights, with the configuration and the labels that they were made with.

    Nothing is stored before there are weights; what is set before then is kept here. Configuration and labels are those of the task unless
    they are given.

    Args:
        task: The task that makes it; the current one by default.
        config_text: The configuration that it is made with; or
        config_dict: the same as a dictionary.
        label_enumeration: The number of each label.
        name: At least 3 characters; the name of the task by default.
        tags: Its tags.
        comment: What is said about it.
        framework: What it is made with: a member of `Framework`, or any text; told from the file by default.
        base_model_id: The id of a stored model to put the weights into, in place of a new one.

    Example:
        >>> model = OutputModel(task, name="classifier", framework=Framework.pytorch)
        >>> url = model.update_weights("model.pt")
    """

    _core: AsyncOutputModel

    def __init__(
        self,
        task: Task | None = None,
        config_text: str | None = None,
        config_dict: Mapping[Any, Any] | None = None,
        label_enumeration: Mapping[str, int] | None = None,
        name: str | None = None,
        tags: Sequence[str] | None = None,
        comment: str | None = None,
        framework: str | None = None,
        base_model_id: str | None = None,
    ) -> None:
        self._core = AsyncOutputModel(
            unwrap(task), config_text, config_dict, label_enumeration, name, tags, comment, framework, base_model_id
        )
        self._core.__dict__["_twin"] = self

    @property
    def id(self) -> str:
        """The model's id; "" as long as its first weights are not stored."""
        return self._core.id

    def update_weights(
        self,
        weights_filename: str | Path | None = None,
        upload_uri: str | None = None,
        target_filename: str | None = None,
        auto_delete_file: bool = False,
        register_uri: str | None = None,
        iteration: int | None = None,
        update_comment: bool = True,
        is_package: bool = False,
        *,
        async_enable: bool = False,
    ) -> str:
        """Store weights, in place of those before. The model is recorded once they are there.

        Args:
            weights_filename: The file; of a folder all files are stored, as a package. Or
            register_uri: where the weights are already: nothing is uploaded.
            upload_uri: Where to put them; by default `set_upload_destination`, the task's `output_uri`, the home itself, in this order.
            target_filename: What the stored file is called; as it is by default.
            auto_delete_file: Remove the file once it is stored.
            iteration: Of the weights, for the task's last iteration.
            update_comment: Note the file in the model's comment.
            is_package: Whether it is a zip file with the files of the model.
            async_enable: Return at once: the file has to stay as it is until it is stored. Weights of this model that are still on their
                way are given up for the new ones, unless all of their bytes are sent.

        Returns:
            Where they are, or with `async_enable` where they will be.

        Raises:
            UsageError: neither of weights_filename and register_uri is given, or both.
            ValidationError: there is no such file; the model is published.
            StorageError: they cannot be stored.
            TaskStatusError: the run has ended.
            TransportError: the home cannot be reached.
        """
        return self._block(
            self._core,
            lambda: self._core.update_weights(
                weights_filename,
                upload_uri,
                target_filename,
                auto_delete_file,
                register_uri,
                iteration,
                update_comment,
                is_package,
                async_enable=async_enable,
            ),
            "outputmodel.update_weights(...)",
        )

    def update_weights_package(
        self,
        weights_filenames: Sequence[str | Path] | None = None,
        weights_path: str | Path | None = None,
        upload_uri: str | None = None,
        target_filename: str | None = None,
        auto_delete_file: bool = False,
        iteration: int | None = None,
        *,
        async_enable: bool = False,
    ) -> str:
        """Store weights of several files as one zip file, which `get_weights_package` unpacks.

        Args:
            weights_filenames: The files; or
            weights_path: the folder that they are in.
            upload_uri: Where to put them; see `update_weights`.
            target_filename: What the stored file is called; `model_package.zip` by default.
            auto_delete_file: Remove the files, or the folder, once they are stored.
            iteration: Of the weights, for the task's last iteration.
            async_enable: Return as soon as the zip file is made.

        Returns:
            Where it is, or with `async_enable` where it will be.

        Raises:
            UsageError: neither of weights_filenames and weights_path is given, or both.
            ValidationError: there are no files, or two have one name; the model is published.
            StorageError: they cannot be packed or stored.
            TaskStatusError: the run has ended.
            TransportError: the home cannot be reached.
        """
        return self._block(
            self._core,
            lambda: self._core.update_weights_package(
                weights_filenames, weights_path, upload_uri, target_filename, auto_delete_file, iteration, async_enable=async_enable
            ),
            "outputmodel.update_weights_package(...)",
        )

    def set_upload_destination(self, uri: str) -> None:
        """Set where the weights of this model go, in place of the task's destination.

        Args:
            uri: A folder, or the URL of a file server.

        Raises:
            ConfigurationError: nothing can be stored there.
        """
        self._core.set_upload_destination(uri)

    def wait_for_uploads(self, timeout: float | None = None, max_num_uploads: int | None = None) -> bool:
        """Wait until the weights that were given with `async_enable` are stored and recorded.

        Args:
            timeout: Seconds at most; None for ever.
            max_num_uploads: Taken for compatibility: there is one upload of a model at a time.

        Returns:
            Whether nothing is on its way any more.

        Raises:
            StorageError: the home is away, or the task was closed: they are stored later.
        """
        return self._block(self._core, lambda: self._core.wait_for_uploads(timeout, max_num_uploads), "outputmodel.wait_for_uploads(...)")

    def update_design(self, config_text: str | None = None, config_dict: Mapping[Any, Any] | None = None) -> None:
        """Set the configuration that the model is made with.

        Args:
            config_text: Its text; or
            config_dict: a dictionary, stored as HOCON text.

        Raises:
            UsageError: both are given.
            ValidationError: the model is published.
            TransportError: the home cannot be reached.
        """
        self._block(self._core, lambda: self._core.update_design(config_text, config_dict), "outputmodel.update_design(...)")

    def update_labels(self, labels: Mapping[str, int]) -> None:
        """Set the label enumeration of the model.

        Args:
            labels: The number of each name.

        Raises:
            UnsupportedTypeError: a name is no text, or a number no integer; names it.
            ValidationError: the model is published.
            TransportError: the home cannot be reached.
        """
        self._block(self._core, lambda: self._core.update_labels(labels), "outputmodel.update_labels(...)")

    def set_framework(self, framework: str | None) -> None:
        """Say what the model is made with.

        Args:
            framework: A member of `Framework`, or any other text; None for nothing known.

        Raises:
            ValidationError: the model is published.
            TransportError: the home cannot be reached.
        """
        self._block(self._core, lambda: self._core.set_framework(framework), "outputmodel.set_framework(...)")

    def reload(self) -> None:
        """Fetch what the home has of it. Of a model that is not stored yet there is nothing to fetch.

        Raises:
            NotFoundError: there is no such model.
            TransportError: the home cannot be reached.
        """
        self._block(self._core, lambda: self._core.reload(), "outputmodel.reload()")

    def publish(self) -> None:
        """Publish it, once its weights are stored: nothing of it can be changed any more.

        Raises:
            UsageError: it has no weights yet.
            NotFoundError: there is no such model.
            TransportError: the home cannot be reached.
        """
        self._block(self._core, lambda: self._core.publish(), "outputmodel.publish()")

    def connect(self, task: Task, name: str | None = None) -> None:
        """Have a task make this model; `task.connect(model)` does the same.

        The task's configuration and labels become those of the model where it has none of its own, else the model takes them.

        Args:
            task: The task.
            name: What the task lists it as; the name of the weights file by default.

        Raises:
            UsageError: the model was stored by another task.
            TaskStatusError: the run has ended.
            TransportError: the home cannot be reached.
        """
        self._block(self._core, lambda: self._core.connect(unwrap(task), name), "outputmodel.connect(...)")

    @property
    def name(self) -> str:
        """The model's name."""
        return self._block(self._core, lambda: fetch(self._core.name), "outputmodel.name")

    @name.setter
    def name(self, value: str) -> None:
        self._block(self._core, lambda: self._core.set_name(value), "outputmodel.set_name(...)")

    @property
    def comment(self) -> str:
        """What is said about it."""
        return self._block(self._core, lambda: fetch(self._core.comment), "outputmodel.comment")

    @comment.setter
    def comment(self, value: str) -> None:
        self._block(self._core, lambda: self._core.set_comment(value), "outputmodel.set_comment(...)")

    @property
    def tags(self) -> list[str]:
        """Its tags, without those of the system."""
        return self._block(self._core, lambda: fetch(self._core.tags), "outputmodel.tags")

    @tags.setter
    def tags(self, value: list[str]) -> None:
        self._block(self._core, lambda: self._core.set_tags(value), "outputmodel.set_tags(...)")

    @property
    def system_tags(self) -> list[str]:
        """The tags that the system itself keeps: `archived`, and `package` for a model of several files."""
        return self._block(self._core, lambda: fetch(self._core.system_tags), "outputmodel.system_tags")

    @property
    def config_text(self) -> str:
        """The configuration that it was made with, as text; "" where there is none."""
        return self._block(self._core, lambda: fetch(self._core.config_text), "outputmodel.config_text")

    @property
    def config_dict(self) -> dict[str, Any]:
        """The same as a dictionary; empty where there is none. Raises `ConfigurationError` where the text is neither HOCON nor JSON."""
        return self._block(self._core, lambda: fetch(self._core.config_dict), "outputmodel.config_dict")

    @property
    def labels(self) -> dict[str, int]:
        """Its label enumeration: the number of each name."""
        return self._block(self._core, lambda: fetch(self._core.labels), "outputmodel.labels")

    @property
    def task(self) -> str | None:
        """The id of the task that made it; None where none did, as of an imported one."""
        return self._block(self._core, lambda: fetch(self._core.task), "outputmodel.task")

    @property
    def project(self) -> str | None:
        """The id of its project."""
        return self._block(self._core, lambda: fetch(self._core.project), "outputmodel.project")

    @property
    def parent(self) -> str | None:
        """The id of the model that it was made from."""
        return self._block(self._core, lambda: fetch(self._core.parent), "outputmodel.parent")

    @property
    def framework(self) -> str | None:
        """What it was made with: a member of `Framework`, or any other text."""
        return self._block(self._core, lambda: fetch(self._core.framework), "outputmodel.framework")

    @framework.setter
    def framework(self, value: str | None) -> None:
        self._block(self._core, lambda: self._core.set_framework(value), "outputmodel.set_framework(...)")

    @property
    def url(self) -> str | None:
        """Where its weights are; None as long as there are none."""
        return self._block(self._core, lambda: fetch(self._core.url), "outputmodel.url")

    @property
    def published(self) -> bool:
        """Whether it is published, and cannot change any more."""
        return self._block(self._core, lambda: fetch(self._core.published), "outputmodel.published")

    def set_name(self, name: str) -> None:
        """Rename it.

        Args:
            name: At least 3 characters.

        Raises:
            ValidationError: it is shorter.
            NotFoundError: the model was deleted.
            TransportError: the home cannot be reached.
        """
        self._block(self._core, lambda: self._core.set_name(name), "outputmodel.set_name(...)")

    def set_comment(self, comment: str | None) -> None:
        """Say something about it, in place of what was said before.

        Args:
            comment: Any text; None for nothing.

        Raises:
            NotFoundError: the model was deleted.
            TransportError: the home cannot be reached.
        """
        self._block(self._core, lambda: self._core.set_comment(comment), "outputmodel.set_comment(...)")

    def set_tags(self, tags: Sequence[str]) -> None:
        """Set its tags, in place of those that it has.

        Args:
            tags: A list of texts.

        Raises:
            ValidationError: it is something else.
            NotFoundError: the model was deleted.
            TransportError: the home cannot be reached.
        """
        self._block(self._core, lambda: self._core.set_tags(tags), "outputmodel.set_tags(...)")

    def archive(self) -> None:
        """Put it away: it is left out of lists, and `InputModel.import_model` does not find it. Nothing of it is lost.

        Raises:
            NotFoundError: there is no such model.
            TransportError: the home cannot be reached.
        """
        self._block(self._core, lambda: self._core.archive(), "outputmodel.archive()")

    def unarchive(self) -> None:
        """Take it out again.

        Raises:
            NotFoundError: there is no such model.
            TransportError: the home cannot be reached.
        """
        self._block(self._core, lambda: self._core.unarchive(), "outputmodel.unarchive()")

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
        return self._block(self._core, lambda: self._core.get_weights(raise_on_error, force_download), "outputmodel.get_weights(...)")

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
            "outputmodel.get_weights_package(...)",
        )


Twin._twins[AsyncOutputModel] = OutputModel
