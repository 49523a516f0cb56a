"""AsyncOutputModel: a model that a task makes. How its files are stored is in `model_upload`, how it is recorded in the engine."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atrains._api import current
from atrains._async import model_upload
from atrains._async.base import TaskPart
from atrains._async.destination import check_place
from atrains._async.model_base import ModelPart, absolute_path, absolute_url, checked_iteration, checked_tags, design_text
from atrains._engine.disabled import DisabledChannel
from atrains._storage.destinations import destination_url
from atrains._wire import models
from atrains._wire.frameworks import framework_of, with_extension
from atrains._wire.labels import check_labels
from atrains._wire.names import validate_name
from atrains.errors import UsageError, ValidationError

if TYPE_CHECKING:
    from atrains._async.task import AsyncTask
    from atrains._engine.upload import Handle


class AsyncOutputModel(ModelPart):
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
        >>> url = await model.update_weights("model.pt")
    """

    def __init__(
        self,
        task: AsyncTask | None = None,
        config_text: str | None = None,
        config_dict: Mapping[Any, Any] | None = None,
        label_enumeration: Mapping[str, int] | None = None,
        name: str | None = None,
        tags: Sequence[str] | None = None,
        comment: str | None = None,
        framework: str | None = None,
        base_model_id: str | None = None,
    ) -> None:
        # A coroutine may have a blocking task, from `Task.current_task()`: it holds one of ours.
        maker = getattr(task, "_core", task) if task is not None else current.current_task()
        if not isinstance(maker, TaskPart):
            raise UsageError("an OutputModel belongs to a task, and none is open here: begin one with Task.init, or pass task=")
        if config_text is not None and config_dict is not None:
            raise UsageError("the configuration of a model is either text or a dictionary: give config_text or config_dict, not both")
        self._task: Any = maker
        self._set_up(base_model_id or "", channel=maker._channel)  # noqa: SLF001  # one package
        self._runtime = maker._runtime  # noqa: SLF001
        draft = {
            "name": None if name is None else validate_name(name, what="model"),
            "tags": None if tags is None else checked_tags(tags),
            "comment": comment,
            "framework": None if framework is None else str(framework),
            "labels": None if label_enumeration is None else check_labels(label_enumeration),
            "design": None if config_text is None else models.as_design(config_text),
        }
        self._draft: dict[str, Any] = {key: value for key, value in draft.items() if value is not None}
        self._config_dict = config_dict
        self._upload_uri: str | None = None
        self._key = f"model-{uuid.uuid4().hex}"
        self._handles: list[Handle] = []
        self._adopted_beside: dict[str, Any] | None = None

    @property
    def id(self) -> str:
        """The model's id; "" as long as its first weights are not stored."""
        over = [handle for handle in self._handles if handle.is_over]
        self._handles = [handle for handle in self._handles if handle not in over]
        for handle in over:
            if handle.entry is not None:
                self._id, self._record, self._draft = str(handle.entry["id"]), None, {}
                self._adopted_beside = self._task._record  # noqa: SLF001
        return self._id

    @property
    def _is_ahead(self) -> bool:
        """Whether the record of the task is older than this model's last upload, and may not list it yet."""
        return self._adopted_beside is self._task._record  # noqa: SLF001

    # ---- weights

    async def update_weights(
        self,
        weights_filename: str | Path | None = None,
        upload_uri: str | None = None,
        target_filename: str | None = None,
        auto_delete_file: bool = False,
        register_uri: str | None = None,
        iteration: int | None = None,
        update_comment: bool = True,
        is_package: bool = False,  # documented
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
        if (weights_filename is None) == (register_uri is None):
            raise UsageError("update_weights takes the file of the weights, or their URL: give one of weights_filename and register_uri")
        _check_target(target_filename)
        if register_uri is not None:
            return await self._register(register_uri, {}, iteration=iteration, note=update_comment, is_package=is_package)
        path = absolute_path(weights_filename or "")
        if await self._task._channel.run(path.is_dir):  # noqa: SLF001
            return await self.update_weights_package(
                None, path, upload_uri, target_filename, auto_delete_file, iteration=iteration, async_enable=async_enable
            )
        return await self._store(
            [path], target=with_extension(target_filename, path.name) if target_filename else path.name, upload_uri=upload_uri,
            remove=auto_delete_file, iteration=iteration, note=update_comment, is_package=is_package, wait=not async_enable,
        )  # fmt: skip

    async def update_weights_package(
        self,
        weights_filenames: Sequence[str | Path] | None = None,
        weights_path: str | Path | None = None,
        upload_uri: str | None = None,
        target_filename: str | None = None,
        auto_delete_file: bool = False,
        iteration: int | None = None,  # documented
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
        if (weights_filenames is None) == (weights_path is None):
            raise UsageError("update_weights_package takes files or a folder: give one of weights_filenames and weights_path")
        _check_target(target_filename)
        if isinstance(weights_filenames, str | os.PathLike):
            raise ValidationError(f"weights_filenames is a list of files, not {weights_filenames!r}; give [{str(weights_filenames)!r}]")
        given = [weights_path] if weights_path is not None else list(weights_filenames or ())
        paths = [absolute_path(each) for each in given]
        target = target_filename or model_upload.PACKAGE_NAME
        return await self._store(
            paths, target=target if target.lower().endswith(".zip") else f"{target}.zip", upload_uri=upload_uri, remove=auto_delete_file,
            iteration=iteration, note=False, is_package=True, wait=not async_enable, pack=True,
        )  # fmt: skip

    def set_upload_destination(self, uri: str) -> None:
        """Set where the weights of this model go, in place of the task's destination.

        Args:
            uri: A folder, or the URL of a file server.

        Raises:
            ConfigurationError: nothing can be stored there.
        """
        self._upload_uri = destination_url(uri)

    async def wait_for_uploads(self, timeout: float | None = None, max_num_uploads: int | None = None) -> bool:
        """Wait until the weights that were given with `async_enable` are stored and recorded.

        Args:
            timeout: Seconds at most; None for ever.
            max_num_uploads: Taken for compatibility: there is one upload of a model at a time.

        Returns:
            Whether nothing is on its way any more.

        Raises:
            StorageError: the home is away, or the task was closed: they are stored later.
        """
        del max_num_uploads
        handle = self._handles[-1] if self._handles else None  # which has taken the place of all before it
        if handle is not None and not handle.is_over:
            await model_upload.wait(self._task, handle, timeout)
        return handle is None or handle.is_over

    # ---- what it is

    async def update_design(self, config_text: str | None = None, config_dict: Mapping[Any, Any] | None = None) -> None:
        """Set the configuration that the model is made with.

        Args:
            config_text: Its text; or
            config_dict: a dictionary, stored as HOCON text.

        Raises:
            UsageError: both are given.
            ValidationError: the model is published.
            TransportError: the home cannot be reached.
        """
        text = await design_text(self._task._channel, config_text, config_dict)  # noqa: SLF001
        if text is not None:
            await self._edit(design=models.as_design(text))

    async def update_labels(self, labels: Mapping[str, int]) -> None:
        """Set the label enumeration of the model.

        Args:
            labels: The number of each name.

        Raises:
            UnsupportedTypeError: a name is no text, or a number no integer; names it.
            ValidationError: the model is published.
            TransportError: the home cannot be reached.
        """
        await self._edit(labels=check_labels(labels))

    async def set_framework(self, framework: str | None) -> None:
        """Say what the model is made with.

        Args:
            framework: A member of `Framework`, or any other text; None for nothing known.

        Raises:
            ValidationError: the model is published.
            TransportError: the home cannot be reached.
        """
        await self._edit(framework=str(framework or ""))

    async def reload(self) -> None:
        """Fetch what the home has of it. Of a model that is not stored yet there is nothing to fetch.

        Raises:
            NotFoundError: there is no such model.
            TransportError: the home cannot be reached.
        """
        if self.id:
            await super().reload()

    async def publish(self) -> None:
        """Publish it, once its weights are stored: nothing of it can be changed any more.

        Raises:
            UsageError: it has no weights yet.
            NotFoundError: there is no such model.
            TransportError: the home cannot be reached.
        """
        await self.wait_for_uploads()
        if not self.id:
            raise UsageError(f"a model of task {self._task.id} cannot be published before it has weights: call update_weights first")
        await super().publish()

    async def connect(self, task: AsyncTask, name: str | None = None) -> None:
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
        await task._connect_model(self, name)  # noqa: SLF001  # one package

    # ---- inner workings

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError(f"an OutputModel belongs to the run of task {self._task.id} and cannot be pickled; pass its id, as in Model(id)")

    async def _data(self) -> dict[str, Any]:
        if self.id:
            return await super()._data()
        await self._read_config()
        task = self._task
        taken = models.inherited(task._record | {"id": task.id}, design=task.get_model_design(), labels=task.get_labels_enumeration())  # noqa: SLF001
        return {**taken, "tags": [], **self._draft, "task": task.id}

    async def _read_config(self) -> None:
        given, self._config_dict = self._config_dict, None
        if given is not None:
            text = await design_text(self._task._channel, None, given)  # noqa: SLF001
            self._draft.setdefault("design", models.as_design(text or ""))

    async def _edit(self, **fields: Any) -> None:
        await self.wait_for_uploads()
        if self.id:
            await super()._edit(**fields)
        else:
            self._draft.update(fields)

    async def _record_of(self, url: str, given: Mapping[str, Any], *, iteration: int | None, note: str, is_package: bool) -> dict[str, Any]:
        """What is to be recorded once the weights are there; see `model_records`."""
        held, iteration = await self._data(), checked_iteration(iteration)
        if held.get("ready"):
            raise ValidationError(f"cannot change the weights of model {self.id}: it is published; make another OutputModel")
        others = [tag for tag in held.get("system_tags") or () if tag != models.PACKAGE]
        changes: dict[str, Any] = {"uri": url, **(self._draft if self.id else {}), **given}
        if is_package or others != list(held.get("system_tags") or ()):
            changes["system_tags"] = [*others, models.PACKAGE] if is_package else others
        if not held.get("framework") and (framework := framework_of(url)) is not None and not is_package:
            changes["framework"] = str(framework)
        if note:
            comment = str(given.get("comment", held.get("comment") or ""))
            changes["comment"] = f"{note}\n{comment}" if comment else note
        under_way = [handle.upload.record for handle in self._handles]  # also what is replaced: its file may be with the server by now
        known = [[(one["fields"] | one["changes"])["name"], one["changes"]["uri"]] for one in under_way if one["model"] is None]
        return {
            "model": self.id or None, "changes": changes, "fields": {} if self.id else {**held, "system_tags": []}, "known_as": known,
            "listed": models.stem_of(url), "iteration": iteration,
        }  # fmt: skip

    async def _register(
        self, uri: str, given: Mapping[str, Any], *, iteration: int | None = None, note: bool = False, is_package: bool = False
    ) -> str:
        """Record where the weights are; returns it."""
        channel = self._task._channel  # noqa: SLF001
        await self._task._require_editable("store a model of")  # noqa: SLF001
        await self.wait_for_uploads()
        url = models.in_home(absolute_url(uri), str(channel.settings.home.path.resolve()))
        text = f"registered {uri}" if note else ""
        record = await self._record_of(url, given, iteration=iteration, note=text, is_package=is_package)
        self._id = await model_upload.record_now(self._task, record)
        self._record, self._draft = None, {}
        return absolute_url(uri)

    async def _store(
        self,
        paths: Sequence[Path],
        *,
        target: str,
        given: Mapping[str, Any] | None = None,
        upload_uri: str | None = None,
        remove: bool = False,
        iteration: int | None = None,
        note: bool = False,
        is_package: bool = False,
        wait: bool = True,
        pack: bool = False,
        callback: Callable[[str | bool], object] | None = None,
    ) -> str:
        """Upload files, and have them recorded; returns where they are."""
        task = self._task
        members = await task._channel.run(partial(model_upload.check, paths, pack=pack))  # noqa: SLF001
        if isinstance(task._channel, DisabledChannel):  # noqa: SLF001
            if callback is not None:  # who waits for it does not wait for ever
                callback(absolute_url(paths[0]))
            return absolute_url(paths[0])
        await task._require_editable("store a model of")  # noqa: SLF001
        destination = destination_url(upload_uri) or self._upload_uri
        if destination is not None:
            await check_place(task._channel, destination)  # noqa: SLF001
        url = await model_upload.free_url(task, models.file_name(target), destination, key=self._key, known=await self._data())
        try:
            text = f"snapshot {target} stored" if note else ""
            record = await self._record_of(url, given or {}, iteration=iteration, note=text, is_package=is_package)
            source = await model_upload.source_of(task, paths, members, remove=remove)
            handle = await model_upload.begin(task, source, url, record, name=target, identity=self._key, callback=callback)
            self._handles.append(handle)
        finally:
            model_upload.release(url, self._key)
        if wait:
            await model_upload.wait_stored(task, handle)
            await task.reload()
        return model_upload.shown(task, url)


def _check_target(name: object) -> None:
    if name is not None and not isinstance(name, str):
        raise ValidationError(f"target_filename is the name that the stored file gets, a text, not {name!r}")
