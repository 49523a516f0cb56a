"""Values of Python: text, bytes, and what JSON holds."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from atrains._engine.artifact_codec import paths
from atrains._engine.artifact_codec.forms import KINDS, Form, Options, choose, new_file, with_suffix, writing
from atrains._wire.artifacts import BYTES, JSON, STRING, human_size
from atrains.errors import MissingPackageError, UnsupportedTypeError, ValidationError

JSON_FORMS: Final = {".json": "application/json", ".yaml": "application/yaml", ".yml": "application/yaml"}
_log = logging.getLogger("atrains")


def encode_value(name: str, obj: object, folder: Path, options: Options) -> Form:
    """Text as it is, bytes as they are, a dictionary or list as JSON or YAML."""
    if isinstance(obj, str):
        if paths.looks_like_a_path(obj):
            _log.warning("atrains: artifact %r: %r looks like a path, but nothing is there: it is kept as text; check it", name, obj[:200])
        content, suffix, kind, content_type = _encodable(name, obj), options.extension or ".txt", STRING, "text/plain"
        preview = obj
    elif isinstance(obj, bytes | bytearray | memoryview):
        content, suffix, kind, content_type = bytes(obj), options.extension or ".bin", BYTES, "application/octet-stream"
        preview = human_size(len(content))
    elif isinstance(obj, Mapping | list):
        suffix, content_type = choose(name, "a dictionary or list", options.extension, JSON_FORMS, ".json")
        as_text = _as_json if suffix == ".json" else _as_yaml
        preview = as_text(name, obj, sort_keys=options.sort_keys)
        content, kind = preview.encode(), JSON
    else:
        raise UnsupportedTypeError(
            f"artifact {name!r} is of type {type(obj).__qualname__}, which cannot be stored; upload one of: {KINDS}; "
            "or write it to a file, or allow it to be pickled (auto_pickle=True)"
        )
    suffix = suffix if suffix.startswith(".") else f".{suffix}"
    path = new_file(folder, suffix)
    with writing(name, path):
        path.write_bytes(content)
    return Form(path, True, with_suffix(name, suffix), kind, content_type, preview)


def decode_yaml(path: Path) -> Any:
    """What a YAML file holds, without what it could run.

    Raises:
        MissingPackageError: PyYAML is not installed.
        ValueError: it is no YAML.
    """
    yaml = _yaml(f"{path} is YAML")
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def _encodable(name: str, text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        at = f"character {error.start}"
        raise ValidationError(f"artifact {name!r}: the text cannot be written as UTF-8 ({at}); upload it as bytes") from error


def _as_json(name: str, obj: Mapping[object, object] | list[object], *, sort_keys: bool) -> str:
    """The text of an object, with sorted keys where they can be sorted."""
    plain = obj if isinstance(obj, dict | list) else dict(obj)
    try:
        try:
            text = json.dumps(plain, indent=4, ensure_ascii=False, sort_keys=sort_keys)
        except TypeError:  # keys of several types cannot be sorted; what is no JSON fails again
            text = json.dumps(plain, indent=4, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise UnsupportedTypeError(
            f"artifact {name!r} holds what JSON cannot ({error}); make it dict, list, str, int, float, bool or None, or write it to a "
            f"file; what can be stored: {KINDS}"
        ) from error
    if (key := _same_key(plain)) is not None:
        raise UnsupportedTypeError(
            f"artifact {name!r} has two keys that JSON writes as {key!r}, of which one would be lost; name one otherwise, or give "
            "extension_name='.yaml'"
        )
    try:
        text.encode()
    except UnicodeEncodeError:  # lone surrogates, from file names that are no UTF-8: JSON can still escape them
        return json.dumps(plain, indent=4)
    return text


def _same_key(value: object) -> str | None:
    """A key that a dictionary in a value would have twice as JSON, where all keys are text: as 1 and "1" are."""
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            seen: set[str] = set()
            for key in value:
                text = key if isinstance(key, str) else next(iter(json.loads(json.dumps({key: None}))))
                if text in seen:
                    return text
                seen.add(text)
        parts: Iterable[object] = value.values()
    else:
        parts = value if isinstance(value, list | tuple) else ()
    return next((found for part in parts if (found := _same_key(part)) is not None), None)


def _as_yaml(name: str, obj: Mapping[object, object] | list[object], *, sort_keys: bool) -> str:
    yaml = _yaml(f"artifact {name!r} is to be YAML")
    try:
        text: str = yaml.safe_dump(obj if isinstance(obj, dict | list) else dict(obj), sort_keys=sort_keys, allow_unicode=True)
        if "\n?" in f"\n{text}" or " ? " in text:  # a key of several values, or one that merely looks so: what nobody could read is refused
            yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise UnsupportedTypeError(f"artifact {name!r} holds what YAML cannot ({error}); make it plain, or write it to a file") from error
    return text


def _yaml(what: str) -> Any:
    try:
        import yaml  # type: ignore[import-untyped,unused-ignore]  # optional
    except ImportError as error:
        raise MissingPackageError(f"{what}, which needs PyYAML: pip install pyyaml") from error
    return yaml
