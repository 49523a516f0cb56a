"""AsyncInputModel: a model that a task begins with."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from atrains._api import current
from atrains._async.base import call, connect
from atrains._async.model_base import ModelPart, absolute_url, checked_tags, design_text, loaded
from atrains._async.opening import AnyChannel
from atrains._wire import endpoints, models
from atrains._wire.frameworks import framework_of
from atrains._wire.labels import check_labels
from atrains._wire.names import MINIMUM_LENGTH, validate_name
from atrains.errors import NotFoundError

if TYPE_CHECKING:
    from atrains._async.task import AsyncTask


class AsyncInputModel(ModelPart):
    """A stored model for a task to begin with: connect it, and read its weights.

    Args:
        model_id: The id of a model. Nothing is asked of the home until something is read.

    Example:
        >>> model = await InputModel.import_model("https://example.com/resnet.pt", name="resnet")
        >>> await task.connect(model)
        >>> path = await model.get_weights()
    """

    def __init__(self, model_id: str) -> None:
        self._set_up(model_id)

    @classmethod
    async def import_model(
        cls,
        weights_url: str | Path,
        config_text: str | None = None,
        config_dict: Mapping[Any, Any] | None = None,
        label_enumeration: Mapping[str, int] | None = None,
        name: str | None = None,
        tags: Sequence[str] | None = None,
        comment: str | None = None,
        is_package: bool = False,
        create_as_published: bool = False,  # documented
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
        channel, _ = await connect()
        url = models.in_home(absolute_url(weights_url), str(channel.settings.home.path.resolve()))
        found = await _find(channel, url, archived=False)
        if found is not None:
            return loaded(cls, found, channel)
        text = await design_text(channel, config_text, config_dict)
        task = current.current_task()
        line = f"Imported by task id: {task.id}" if task is not None else ""
        default = f"Imported by {task.name}" if task is not None else _name_from(url)
        fields: dict[str, Any] = {
            "name": validate_name(name, what="model") if name is not None else default,
            "uri": url,
            "comment": "\n".join(part for part in (line, comment) if part),
            "labels": check_labels(label_enumeration or {}),
            "design": models.as_design(text) if text else {},
            "tags": checked_tags(tags or ()),
            "system_tags": [models.PACKAGE] if is_package else [],
            "framework": framework or framework_of(url),
            "project": None if task is None else task.project,
            "ready": create_as_published,
        }
        given = {key: value for key, value in fields.items() if value not in (None, [], {}, "")}
        made = await call(channel, endpoints.MODELS_CREATE, f"cannot import the model {url}", **given)
        model: Self = object.__new__(cls)
        model._set_up(str(made["id"]), channel=channel)
        return model

    @classmethod
    async def load_model(cls, weights_url: str | Path, load_archived: bool = False) -> Self | None:  # documented
        """The newest model whose weights are at a URL; None where no model is known to have it.

        Args:
            weights_url: Exactly as it is recorded; or a path.
            load_archived: Also look among archived models.

        Raises:
            TransportError: the home cannot be reached.
        """
        channel, _ = await connect()
        url = models.in_home(absolute_url(weights_url), str(channel.settings.home.path.resolve()))
        found = await _find(channel, url, archived=load_archived)
        return None if found is None else loaded(cls, found, channel)

    @classmethod
    async def empty(
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
        channel, _ = await connect()
        text = await design_text(channel, config_text, config_dict)
        record = {"id": models.EMPTY, "labels": check_labels(label_enumeration or {}), "design": models.as_design(text) if text else {}}
        return loaded(cls, record, channel)

    async def reload(self) -> None:
        """Fetch what the home has of it, with whatever others changed. There is nothing to fetch of an empty one.

        Raises:
            NotFoundError: there is no such model.
            TransportError: the home cannot be reached.
        """
        if self.id != models.EMPTY:
            await super().reload()

    async def connect(self, task: AsyncTask, name: str | None = None) -> None:
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
        await task._connect_model(self, name)  # noqa: SLF001  # one package


def _name_from(url: str) -> str:
    stem = models.stem_of(url)
    return stem if len(stem) >= MINIMUM_LENGTH else f"model {stem}"


async def _find(channel: AnyChannel, url: str, *, archived: bool) -> dict[str, Any] | None:
    """The newest model with exactly this URL."""
    only = {} if archived else {"system_tags": ["-archived"]}
    what = f"cannot look for a model of {url}"
    found: list[dict[str, Any]] = (await call(channel, endpoints.MODELS_GET_ALL, what, uri=[url], order_by=["-created"], **only)).get(
        "models", []
    )
    return next((model for model in found if model.get("uri") == url), None)


async def find_published(channel: AnyChannel, name: str) -> str:
    """The id of the newest published model of exactly this name.

    Raises:
        NotFoundError: there is none.
    """
    asked = {"name": f"^{re.escape(name)}$", "ready": True, "order_by": ["-created"]}
    request = {**asked, "page": 0, "page_size": 10, "only_fields": ["id", "name"]}
    found = (await call(channel, endpoints.MODELS_GET_ALL, f"cannot look for model {name!r}", **request)).get("models", [])
    model = next((model for model in found if model.get("name") == name), None)
    if model is None:
        raise NotFoundError(f"there is no published model named {name!r} at {channel.transport.target}: publish one, or give its id")
    return str(model["id"])
