"""The models of a task: those that it begins with, and those that it makes. A part of AsyncTask; a model itself is in `model`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, cast

from atrains._async import paging
from atrains._async.base import call
from atrains._async.configuration import Configuration
from atrains._async.destination import Destination
from atrains._async.identity import Identity
from atrains._async.labels import Labels
from atrains._async.model_base import ModelPart, absolute_path, checked_tags, loaded
from atrains._async.pending import Pending
from atrains._async.status import StatusPart
from atrains._engine.disabled import DisabledChannel
from atrains._wire import endpoints, models
from atrains._wire.names import validate_name
from atrains.errors import TaskStatusError, UsageError, ValidationError
from atrains.types import TaskStatusEnum

if TYPE_CHECKING:
    from atrains._async.input_model import AsyncInputModel
    from atrains._async.model import AsyncModel
    from atrains._async.output_model import AsyncOutputModel
    from atrains._async.task import AsyncTask

_FIELDS: Final = ["models", "execution.model", "output.model", "comment"]
_log = logging.getLogger("atrains")


class Models(StatusPart, Configuration, Labels, Identity, Destination):
    """Input models and output models."""

    # ---- reading

    @property
    def models(self) -> Pending[Mapping[str, list[AsyncModel]]]:
        """The models that the task uses and makes, read-only: `input` and `output`, each a list of `Model`, as they are now."""

        async def fetch() -> Mapping[str, list[AsyncModel]]:
            return MappingProxyType(await self.get_models())

        return Pending("task.models", fetch)

    async def get_models(self) -> dict[str, list[AsyncModel]]:
        """Get the models that the task uses and makes.

        Returns:
            `input`: those that it was given, the one that `input_model` is first. `output`: those that it made, oldest first, the one that
            `output_model` is last. A model that was deleted is left out.

        Raises:
            NotFoundError: the task was deleted.
            TransportError: the home cannot be reached.
        """
        from atrains._async.model import AsyncModel

        self._check_there()
        what = f"cannot read the models of task {self.id}"
        task = await self._fetch_fields(what, _FIELDS)
        made = await self._list_models(what, task=[self.id])
        known = {str(record["id"]): record for record in made}
        listed = {kind: [entry["model"] for entry in models.entries_of(task, kind)] for kind in ("input", "output")}
        asked = list(dict.fromkeys([*listed["input"], *(model for model in listed["output"] if model not in known)]))
        if missing := [model for model in asked if model not in known]:
            known |= {str(record["id"]): record for record in await self._list_models(what, id=missing)}
        # Those that the task does not list any more, such as earlier ones, come first: the last one is its output model.
        outputs = [*(str(record["id"]) for record in made if record["id"] not in listed["output"]), *listed["output"]]
        found = {"input": listed["input"], "output": outputs}
        return {kind: [loaded(AsyncModel, known[model], self._channel) for model in ids if model in known] for kind, ids in found.items()}

    async def _list_models(self, what: str, **request: Any) -> list[dict[str, Any]]:
        async def ask(paged: Mapping[str, Any]) -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = (await call(self._channel, endpoints.MODELS_GET_ALL, what, **paged)).get("models", [])
            return found

        return [record async for record in paging.walk(ask, request)]

    @property
    def input_model_id(self) -> str | None:
        """The id of the model that the task begins with, as of the last `reload`; None where there is none."""
        return next((entry["model"] for entry in models.entries_of(self._record, "input")), None)

    @property
    def output_model_id(self) -> str | None:
        """The id of the last model that the task made, as of the last `reload`; None where there is none."""
        return next((entry["model"] for entry in reversed(models.entries_of(self._record, "output"))), None)

    @property
    def input_model(self) -> AsyncInputModel | None:
        """The model that the task begins with, as of the last `reload`; None where there is none."""
        from atrains._async.input_model import AsyncInputModel

        model_id = self.input_model_id
        if model_id is None:
            return None
        model = AsyncInputModel(model_id)
        model._channel = self._channel  # noqa: SLF001  # one package
        return model

    @property
    def output_model(self) -> AsyncOutputModel:
        """The model that the task makes: the last one of those that it has, as of the last `reload`, else one without weights yet."""
        held: AsyncOutputModel | None = self.__dict__.get("_output_model")
        current = self.output_model_id
        if held is None or (held.id not in {"", current} and not held._is_ahead):  # noqa: SLF001  # one package
            held = self._make_output_model(current)
        return held

    def create_output_model(self) -> AsyncOutputModel:
        """A new model for the task to make, beside those that it has. Nothing is stored before it is given weights."""
        return self._make_output_model(None)

    # ---- input models

    async def set_input_model(
        self,
        model_id: str | None = None,
        model_name: str | None = None,
        update_task_design: bool = True,
        update_task_labels: bool = True,  # documented
    ) -> None:
        """Set the model that the task begins with. It should be published: one that is not may still change, and a warning is logged.

        Args:
            model_id: Its id; "" for none. Or
            model_name: exactly its name: of several the newest that is published.
            update_task_design: Copy the model's configuration, if it has one, to the task, in place of the task's own.
            update_task_labels: Copy the model's labels, if it has any, to the task, in place of the task's own.

        Raises:
            UsageError: neither is given.
            NotFoundError: there is no such model.
            TaskStatusError: the run has ended.
            TransportError: the home cannot be reached.
        """
        from atrains._async.input_model import find_published

        self._check_open()
        if model_id is None and not model_name:
            raise UsageError(f"cannot set the input model of task {self.id}: give model_id or model_name")
        if isinstance(self._channel, DisabledChannel):  # which knows of no models
            return
        if model_id is None:
            model_id = await find_published(self._channel, str(model_name))
        if not model_id:
            await self.reload()
            kept = models.without_used(self.comment)  # where older clients look for them
            await self._edit("take the input models from", models={"input": []}, **({} if kept == self.comment else {"comment": kept}))
            return
        model = await self._read_model(model_id)
        if not model.get("ready"):
            _log.warning("atrains: task %s begins with model %s, which is not published: it may still change", self.id, model_id)
        await self.reload()
        listed = models.entries_of(self._record, "input")
        name = models.entry_name(self._record, "input", model_id, models.stem_of(str(model.get("uri") or "")))
        entries = [{"name": name, "model": model_id}, *(entry for entry in listed if entry["model"] != model_id)]
        await self._edit("set the input model of", models={"input": entries})
        await self._take_over(model, design=update_task_design, labels=update_task_labels)

    async def _read_model(self, model_id: str) -> dict[str, Any]:
        what = f"cannot use model {model_id} in task {self.id}"
        model: dict[str, Any] = (await call(self._channel, endpoints.MODELS_GET_BY_ID, what, model=model_id))["model"]
        return model

    async def _take_over(self, model: Mapping[str, Any], *, design: bool, labels: bool) -> None:
        text = models.design_of(model)
        if design and text:
            await self.set_configuration_object("General", text)
        if labels and model.get("labels"):
            await self.set_model_label_enumeration(model["labels"])

    async def _connect_model(self, model: ModelPart, name: str | None) -> None:
        """Have the task use a model, or make it; see `connect` of the models."""
        from atrains._async.output_model import AsyncOutputModel

        self._check_open()
        if isinstance(model, AsyncOutputModel):
            await self._connect_output(model)
        else:
            await self._connect_input(model, name)

    async def _connect_input(self, model: ModelPart, name: str | None) -> None:
        await self.reload()
        if self._takes_values_from_home and (held := self.input_model_id) is not None:
            model._set_up(held, channel=self._channel)  # noqa: SLF001  # one package
            return
        record = await model._data()  # noqa: SLF001
        if model.id and model.id != models.EMPTY:
            record = await self._read_model(model.id)
            wanted = name or models.stem_of(str(record.get("uri") or ""))
            listed = models.entry_name(self._record, "input", model.id, wanted)
            await self._require_status("connect a model to")
            await self._call(endpoints.TASKS_ADD_OR_UPDATE_MODEL, "connect a model to", name=listed, model=model.id, type="input")
            # Older clients find all but the first of them by this line alone.
            comment = models.with_used(self.comment, model.id)
            if comment != self.comment:
                await self._edit("connect a model to", comment=comment)
        await self._take_over(record, design=not self.get_model_design(), labels=not self.get_labels_enumeration())
        await self.reload()

    async def _connect_output(self, model: AsyncOutputModel) -> None:
        maker = model._task  # noqa: SLF001
        if maker.id != self.id and model.id:
            raise UsageError(
                f"model {model.id} was made by task {maker.id}: task {self.id} can make another OutputModel, or use this one as input"
            )
        await self.reload()
        model._task, model._channel = self, self._channel  # noqa: SLF001
        self.__dict__["_output_model"] = model
        record = await model._data()  # noqa: SLF001
        await self._take_over(record, design=not self.get_model_design(), labels=not self.get_labels_enumeration())

    # ---- output models

    async def set_output_model_id(self, model_id: str | None) -> None:
        """Make a stored model the last output model of the task; `task.output_model_id = ...` does the same.

        Args:
            model_id: Its id, which is not checked; None for no output model. The models themselves stay.

        Raises:
            TaskStatusError: the run has ended.
            TransportError: the home cannot be reached.
        """
        self._check_open()
        if not model_id:
            await self._edit("take the output models from", models={"output": []})
            return
        await self.reload()
        name = models.entry_name(self._record, "output", model_id, "Output Model")
        others = [entry for entry in models.entries_of(self._record, "output") if entry["model"] != model_id]
        await self._edit("set the output model of", models={"output": [*others, {"name": name, "model": model_id}]})

    async def update_output_model(
        self, model_uri: str, name: str | None = None, comment: str | None = None, tags: Sequence[str] | None = None
    ) -> None:
        """Say where the weights of the task's output model are. Nothing is uploaded; `update_output_model_and_upload` does.

        The output model is made if there is none, or if it is published. A task that was only created is started.

        Args:
            model_uri: The URL of the weights, such as `file:///path/to/file`; or a path.
            name: At least 3 characters; the name of the task by default.
            comment: What is said about it.
            tags: Its tags.

        Raises:
            ValidationError: a name that is too short, tags that are no list.
            TaskStatusError: the run has ended.
            TransportError: the home cannot be reached.
        """
        given = _given(name, comment, tags)
        if not isinstance(model_uri, str | Path) or not str(model_uri):
            raise ValidationError(f"the URL of the weights of task {self.id} is a text such as file:///path/to/file, not {model_uri!r}")
        self._check_open()
        model = await self._unpublished_output()
        await model._register(str(model_uri), given)  # noqa: SLF001  # one package

    async def update_output_model_and_upload(
        self,
        model_file: str | Path,
        name: str | None = None,
        comment: str | None = None,
        tags: Sequence[str] | None = None,
        async_enable: bool = False,
        cb: Callable[[str | bool], object] | None = None,
        iteration: int | None = None,
    ) -> str:
        """Upload a file of weights, and then say that the task's output model is there.

        It goes to the task's `output_uri`, or without one to the home itself: in the local home into the task's folder, else to the file
        server. The output model is made if there is none, or if it is published. A task that was only created is started.

        Args:
            model_file: The path of the file, which stays.
            name: At least 3 characters; the name of the task by default.
            comment: What is said about it.
            tags: Its tags.
            async_enable: Return at once: the file has to stay as it is until it is stored, which `flush(wait_for_uploads=True)` and `close`
                wait for.
            cb: With `async_enable`: called in a thread of its own, once, with the URL when file and record are there, with False when they
                never will be.
            iteration: Of the weights, for the task's last iteration.

        Returns:
            The URL of the stored file; with `async_enable` the one that it will have.

        Raises:
            ValidationError: there is no such file, a name that is too short, tags that are no list, an iteration that is no whole number.
            StorageError: it cannot be stored.
            TaskStatusError: the run has ended.
            TransportError: the home cannot be reached.
        """
        given, path = _given(name, comment, tags), absolute_path(model_file)
        if cb is not None and not callable(cb):
            raise ValidationError(f"cb, which is called once a model of task {self.id} is stored, is a function, not {cb!r}")
        self._check_open()
        model = await self._unpublished_output()
        return await model._store(  # noqa: SLF001
            [path], target=path.name, given=given, iteration=iteration, wait=not async_enable, callback=cb if async_enable else None
        )

    async def setup_upload(self, bucket_name: str, host: str | None = None) -> None:
        """Set where output models and artifacts go: the same as `task.output_uri = ...`, in the words of older programs.

        Args:
            bucket_name: A folder or a URL; of a bucket its name.
            host: Of the bucket's server.

        Raises:
            ConfigurationError: nothing can be stored there: buckets cannot be used yet.
            StorageError: the folder cannot be made or written.
            TaskStatusError: the run has ended.
            TransportError: the home cannot be reached.
        """
        if not isinstance(bucket_name, str | Path) or not str(bucket_name):
            raise ValidationError(f"bucket_name of task {self.id} is a folder, a URL or the name of a bucket, not {bucket_name!r}")
        bucket_name = str(bucket_name)
        is_bucket = host is not None or not ("/" in bucket_name or bucket_name.startswith("."))
        await self.set_output_uri(f"s3://{host + '/' if host else ''}{bucket_name}" if is_bucket else bucket_name)

    # ---- inner workings

    def _make_output_model(self, model_id: str | None) -> AsyncOutputModel:
        from atrains._async.output_model import AsyncOutputModel

        model = AsyncOutputModel(cast("AsyncTask", self), base_model_id=model_id)
        self.__dict__["_output_model"] = model
        return model

    async def _unpublished_output(self) -> AsyncOutputModel:
        """The task's output model as it is now, or a new one where that is published and stays as it is."""
        held: AsyncOutputModel | None = self.__dict__.get("_output_model")
        known = "" if held is None else held.id  # before the record is read: by then it lists what was stored until now
        await self.reload()
        model = held if held is not None and known in {"", self.output_model_id} else self.output_model
        if model.id:
            await model.reload()
        return self._make_output_model(None) if await model.published else model

    async def _require_editable(self, what: str) -> None:
        """Start a draft; refuse what the home would refuse after the run has ended, before a file is uploaded for nothing."""
        if await self._require_status(what) == TaskStatusEnum.created:
            await self.started(ignore_errors=False)

    async def _require_status(self, what: str) -> str:
        status = str(self._record.get("status"))
        if status not in {TaskStatusEnum.created, TaskStatusEnum.in_progress}:
            status = await self.get_status()  # it may run again
        if status not in {TaskStatusEnum.created, TaskStatusEnum.in_progress}:
            raise TaskStatusError(f"cannot {what} task {self.id}: its status is {status}; do it before the run ends, or clone the task")
        return status


def _given(name: str | None, comment: str | None, tags: Sequence[str] | None) -> dict[str, Any]:
    """What is said of a model beside its weights."""
    return {
        **({} if name is None else {"name": validate_name(name, what="model")}),
        **({} if comment is None else {"comment": str(comment)}),
        **({} if tags is None else {"tags": checked_tags(tags)}),
    }
