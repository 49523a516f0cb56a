"""Configuration objects: dictionaries and files that a run is configured with, stored as text by name. A part of AsyncTask.

How a dictionary becomes text is in `_wire.hocon_text`, how text is read in `_config.hocon`, the files are in `_engine.config_files`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from os import PathLike
from pathlib import Path, PurePath
from typing import Any, Final, TypeVar, cast

from atrains._api.deprecation import deprecated
from atrains._async.base import TaskPart
from atrains._config.env import process_variables
from atrains._config.hocon import parse_text
from atrains._engine import config_files
from atrains._engine.notices import say
from atrains._wire import endpoints
from atrains.errors import NotFoundError, StorageError, UnsupportedTypeError, UsageError, ValidationError

ConfigurationT = TypeVar("ConfigurationT", bound="dict[Any, Any] | Mapping[str, Any] | str | PathLike[str]")
"""A dictionary or a path. A `TypedDict` is a dictionary that type checkers know as a mapping only."""

_DEFAULT_NAME: Final = "General"
_DICTIONARY: Final = "dictionary"
"""The type of what was connected as a dictionary, as the official clients write it."""
_SUCCESSOR: Final = "connect_configuration"


class Configuration(TaskPart):
    """Configuration objects, and the model's design, which is the one called `General`. The reads are as of the last `reload`."""

    async def connect_configuration(
        self, configuration: ConfigurationT, *, name: str | None = None, description: str | None = None
    ) -> ConfigurationT:
        """Connect a configuration dictionary or file. Call it before the configuration is read.

        Under an agent it is the other way round: the passed dictionary is cleared and refilled with what the task holds, a file is
        overwritten with it. A file that cannot be overwritten, is not there, or has an absolute path is left alone, and the path of a
        temporary copy is returned. What the task does not hold yet is stored.

        Args:
            configuration: A dictionary, stored as HOCON text that can be edited; or the path of a text file, stored as it is.
            name: What it is called; `General` by default. Servers before API 2.9 have only that one.
            description: What it is for; the one before stays when it is not given.

        Returns:
            `configuration`, or under an agent the path of the temporary copy, of the same kind as the one that was passed.

        Raises:
            UnsupportedTypeError: it is neither a dictionary nor a path, or holds a value that cannot be stored; names it.
            ValidationError: the file cannot be read.
            ConfigurationError: under an agent: the text at home is malformed; says where.
            TaskStatusError: the run has ended.
            TransportError: the home cannot be reached.

        Example:
            >>> config_file = await task.connect_configuration("config/model.json")
            >>> settings = json.loads(Path(config_file).read_text())
        """
        self._check_open()
        name = _DEFAULT_NAME if name is None else _checked(name)
        if not isinstance(configuration, dict | str | PathLike):
            raise UnsupportedTypeError(
                f"cannot connect a {type(configuration).__name__} as the configuration of task {self.id}: pass a dict, or a path as str or "
                "pathlib.Path"
            )
        if self._takes_values_from_home:
            await self.reload()
            if held := self.get_configuration_object(name):
                taken = self._take_dictionary if isinstance(configuration, dict) else self._take_file
                return cast("ConfigurationT", await taken(cast("Any", configuration), name, held))
            say(self._settings, f"task {self.id} holds no configuration {name!r}: that of the code is stored")
        if isinstance(configuration, dict):
            await self._store_configuration(name, await self._as_text(configuration), kind=_DICTIONARY, description=description)
        else:
            text = await self._channel.run(partial(config_files.read_text, configuration))
            kind = os.path.splitext(os.fspath(cast("PathLike[str]", configuration)))[1].removeprefix(".") or "file"
            await self._store_configuration(name, text, kind=kind, description=description)
        return configuration

    def get_configuration_object(self, name: str) -> str | None:
        """Get the text of a configuration object.

        Args:
            name: What it is called, such as `General`.

        Returns:
            None when there is none of that name.
        """
        item = (self._record.get("configuration") or {}).get(name)
        return None if item is None else str(item.get("value") or "")

    async def get_configuration_object_as_dict(self, name: str) -> dict[str, Any] | None:
        """Get a configuration object as a dictionary, read from its HOCON or JSON text.

        Args:
            name: What it is called, such as `General`.

        Returns:
            None when there is none of that name.

        Raises:
            ConfigurationError: its text is of another kind, or malformed; says where.
        """
        text = self.get_configuration_object(name)
        return None if text is None else await self._parse(text, name)

    async def set_configuration_object(
        self,
        name: str,
        config_text: str | None = None,
        description: str | None = None,
        config_type: str | None = None,
        config_dict: Mapping[Any, Any] | None = None,
    ) -> None:
        """Store a configuration object, in place of the one of that name.

        Args:
            name: What it is called. Servers before API 2.9 have only `General`.
            config_text: Its text; or
            config_dict: a dictionary, stored as HOCON text.
            description: What it is for; the one before stays when it is not given.
            config_type: What kind of text it is, such as `json`; `dictionary` for a dictionary.

        Raises:
            UsageError: both a text and a dictionary are given, or neither.
            UnsupportedTypeError: the dictionary holds a value that cannot be stored; names it.
            TaskStatusError: the run has ended.
            TransportError: the home cannot be reached.
        """
        self._check_open()
        name = _checked(name)
        text = await self._one_text(config_text, config_dict)
        if text is None:
            raise UsageError(f"cannot store configuration {name!r} of task {self.id}: give config_text or config_dict")
        kind = config_type if config_type is not None else _DICTIONARY if config_dict is not None else None
        await self._store_configuration(name, text, kind=kind, description=description)

    # ---- the design of the model

    @deprecated(since="0.14.1", instead=_SUCCESSOR)
    async def set_model_config(self, config_text: str | None = None, config_dict: Mapping[Any, Any] | None = None) -> None:
        """Set the model's configuration. Deprecated since version 0.14.1: use `connect_configuration` instead.

        Args:
            config_text: Its text; or
            config_dict: a dictionary, stored as HOCON text. With neither nothing is changed.

        Raises:
            UsageError: both are given.
            UnsupportedTypeError: the dictionary holds a value that cannot be stored; names it.
            TaskStatusError: the run has ended.
            TransportError: the home cannot be reached.
        """
        self._check_open()
        text = await self._one_text(config_text, config_dict)
        if text is not None:
            await self._store_configuration(_DEFAULT_NAME, text, kind=None if config_dict is None else _DICTIONARY)

    @deprecated(since="0.14.1", instead=_SUCCESSOR)
    def get_model_config_text(self) -> str:
        """Get the text of the model's configuration. Deprecated since version 0.14.1: use `connect_configuration` instead.

        Returns:
            "" when there is none.
        """
        return self.get_model_design()

    @deprecated(since="0.14.1", instead=_SUCCESSOR)
    async def get_model_config_dict(self) -> dict[str, Any]:
        """Get the model's configuration as a dictionary. Deprecated since version 0.14.1: use `connect_configuration` instead.

        Returns:
            An empty dictionary when there is none.

        Raises:
            ConfigurationError: its text is neither HOCON nor JSON; says where.
        """
        return await self._parse(self.get_model_design(), "model design")

    def get_model_design(self) -> str:
        """Get the model's configuration as text: the object `General`, else the first by name.

        Returns:
            "" when there is none.
        """
        held = self._record.get("configuration") or {}
        first = _DEFAULT_NAME if _DEFAULT_NAME in held else min(held, default=_DEFAULT_NAME)
        return self.get_configuration_object(first) or ""

    async def update_model_desc(self, new_model_desc_file: str | PathLike[str] | None = None) -> dict[str, Any]:
        """Set the model's configuration to the text of a file.

        Args:
            new_model_desc_file: Its path; None changes nothing.

        Returns:
            The answer of the edit: how many tasks were `updated`.

        Raises:
            StorageError: the file cannot be read; it is an `OSError`.
            ValidationError: it is no path.
            TaskStatusError: the run has ended.
            TransportError: the home cannot be reached.
        """
        self._check_open()
        if new_model_desc_file is None:
            return {"updated": 0}
        if not isinstance(new_model_desc_file, str | PathLike):
            raise ValidationError(f"cannot set the configuration of task {self.id}: give the path of a file, not {new_model_desc_file!r}")
        try:
            text = await self._channel.run(partial(config_files.read_text, new_model_desc_file))
        except ValidationError as error:
            raise StorageError(str(error)) from error
        return await self._store_configuration(_DEFAULT_NAME, text)

    async def save_exec_model_design_file(self, filename: str = "model_design.txt", use_cache: bool = False) -> str:  # documented
        """Save the model's configuration to a file below `cache_dir`.

        Args:
            filename: The name of the file, without folders.
            use_cache: Take the file that is there already, if there is one.

        Returns:
            Its path.

        Raises:
            NotFoundError: the task has no model configuration.
            ValidationError: the name is that of no file in the folder.
            StorageError: the file cannot be written.
        """
        if not isinstance(filename, str) or PurePath(filename).name != filename or filename in {"", ".."}:
            raise ValidationError(f"cannot save the design of task {self.id} as {filename!r}: give the name of a file, without folders")
        path = self.cache_dir / filename
        if use_cache and await self._channel.run(path.is_file):
            return str(path)
        design = self.get_model_design()
        if not design:
            raise NotFoundError(f"task {self.id} has no model design to save; set one with connect_configuration")
        try:
            await self._channel.run(partial(config_files.write_atomically, path, design))
        except OSError as error:
            raise StorageError(f"cannot save the design of task {self.id} as {path} ({error.strerror or error})") from error
        return str(path)

    # ---- inner workings

    async def _store_configuration(
        self, name: str, text: str, *, kind: str | None = None, description: str | None = None
    ) -> dict[str, Any]:
        async with self._editing():
            held = (self._record.get("configuration") or {}).get(name) or {}
            item = {
                "name": name,
                "value": text,
                "type": kind,
                "description": held.get("description") if description is None else description,
            }
            answer = await self._change(
                endpoints.TASKS_EDIT_CONFIGURATION,
                "store the configuration of",
                configuration=[{part: value for part, value in item.items() if value is not None}],
                replace_configuration=False,
                force=True,
            )
            await self._fetch()
        return answer

    async def _take_dictionary(self, configuration: dict[Any, Any], name: str, text: str) -> dict[Any, Any]:
        found = await self._parse(text, name)
        configuration.clear()
        configuration.update(found)
        return configuration

    async def _take_file(self, path: str | PathLike[str], name: str, text: str) -> str | PathLike[str]:
        reason = await self._channel.run(partial(config_files.put_in_place, path, text))
        if reason is None:
            return path
        copy = await self._channel.run(partial(config_files.temporary_copy, path, text))
        say(
            self._settings,
            f"task {self.id}: configuration {name!r} could not be written to {os.fspath(path)} ({reason}): it is in {copy}; "
            "read the path that connect_configuration returned",
        )
        if isinstance(path, str):
            return copy
        return type(path)(copy) if isinstance(path, PurePath) else Path(copy)

    async def _one_text(self, text: str | None, dictionary: Mapping[Any, Any] | None) -> str | None:
        if text is not None and dictionary is not None:
            raise UsageError(f"cannot set the configuration of task {self.id}: give config_text or config_dict, not both")
        if not isinstance(text, str | None) or not isinstance(dictionary, Mapping | None):
            given = dictionary if text is None else text
            raise UnsupportedTypeError(f"the configuration of task {self.id} is a text or a dictionary, not {given!r}")
        return text if dictionary is None else await self._as_text(dictionary)

    async def _as_text(self, dictionary: Mapping[Any, Any]) -> str:
        from atrains._wire import hocon_text

        return await self._channel.run(partial(hocon_text.write, dictionary))

    async def _parse(self, text: str, name: str) -> dict[str, Any]:
        label = f"configuration {name!r} of task {self.id}"
        return await self._channel.run(partial(parse_text, text, label, process_variables()))


def _checked(name: str) -> str:
    if not isinstance(name, str) or not name.strip():
        raise ValidationError(f"the name of a configuration is text of at least one character, not {name!r}; 'General' is the default")
    return name
