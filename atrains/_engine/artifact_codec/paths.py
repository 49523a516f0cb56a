"""Paths of the user's: files are stored as they are, folders, wildcards and lists of paths as a zip file. And addresses elsewhere."""

from __future__ import annotations

import logging
import mimetypes
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from atrains._engine.archives import PackedFolder, UnreadableFolderError, matching_files, pack_files, pack_folder
from atrains._engine.artifact_codec.forms import Form, KnownFailure, new_file
from atrains._wire.artifacts import ARCHIVE, FILE

_LONGEST_PATH: Final = 2048
"""Characters; a longer string is text and never looked up as a path."""
_LONGEST_ADDRESS: Final = 4096
_REMOTE: Final = re.compile(r"(?:https?|s3|gs|azure)://\S+", re.IGNORECASE)
_LIKE_A_PATH: Final = re.compile(r"(?:[A-Za-z]:[\\/]|~?[\\/]|\.{1,2}[\\/])?(?:[^\s\\/:*?\"<>|]+[\\/])*[^\s\\/:*?\"<>|]*\.[A-Za-z]\w{0,7}")

_BARE_WILDCARD: Final = re.compile(r"[^\s\\/:\"<>|]*\.[\w*?]+")
"""A wildcard without a folder that is one word with a suffix: `*.csv`, not `what now?`."""
_ONE_WORD: Final = re.compile(r"\S+")

_log = logging.getLogger("atrains")


def is_remote(text: str) -> bool:
    """Whether a text is the address of a file elsewhere, which is recorded and not fetched."""
    return len(text) < _LONGEST_ADDRESS and _REMOTE.fullmatch(text) is not None


def encode_remote(text: str) -> Form:
    """An address elsewhere."""
    kind = mimetypes.guess_type(text.partition("?")[0].partition("#")[0])[0] or "application/octet-stream"
    return Form(None, temporary=False, file_name=text, type=FILE, content_type=kind)


def is_path(obj: object, folder: Path) -> bool:
    """Whether an object names something on this machine: any `Path`, and text that names what is there."""
    if isinstance(obj, os.PathLike):
        return True
    if not isinstance(obj, str) or not 0 < len(obj) < _LONGEST_PATH or "\0" in obj:
        return False
    # Not pathlib: its `exists` raises for a text that is too long for a path.
    if os.path.exists(obj):
        return True
    source, pattern = _split(Path(obj))
    if not _is_wildcard(pattern) or obj.endswith("/") or not os.path.isdir(source) or str(source) == source.anchor:
        return False  # `/* prose */` starts no walk through the whole machine
    plausible = _ONE_WORD if "/" in pattern else _BARE_WILDCARD
    if not os.path.dirname(obj.removesuffix(pattern)) and plausible.fullmatch(pattern) is None:
        return False
    try:
        return any(matching_files(source, pattern, ours=folder))
    except UnreadableFolderError:  # which the packing will say
        return True


def are_paths(obj: Sequence[object], folder: Path) -> bool:
    """Whether a list is one of paths: all of them `Path`s, or texts that all name what is there."""
    if not obj:
        return False
    if all(isinstance(item, os.PathLike) for item in obj):
        return True
    return all(isinstance(item, str | os.PathLike) and is_path(item, folder) for item in obj)


def looks_like_a_path(text: str) -> bool:
    """Whether somebody may have meant a path by a text that names nothing: one word with folders, or with a suffix."""
    if not 0 < len(text) < _LONGEST_PATH or any(character in text for character in "\n\0"):
        return False
    if _is_wildcard(text) and _BARE_WILDCARD.fullmatch(os.path.basename(text)) is not None:
        return True
    if re.fullmatch(r"file://\S+", text, re.IGNORECASE) is not None:
        return True
    return _LIKE_A_PATH.fullmatch(text) is not None or re.fullmatch(r"(?:~|\.{1,2})?(?:/[^/]+)+/?", text) is not None


def encode_path(name: str, obj: str | os.PathLike[str] | object, folder: Path) -> Form | KnownFailure:
    """A file as it is, a folder or a wildcard as a zip file."""
    assert isinstance(obj, str | os.PathLike)
    path = Path(os.fsdecode(obj)).absolute()
    try:
        if path.is_file():
            if str(path) != str(path).encode(errors="replace").decode():
                return KnownFailure(f"artifact {name!r}: the name {str(path)!r} is no text (no UTF-8), which no home keeps; rename it")
            kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
            return Form(path, temporary=False, file_name=path.name, type=FILE, content_type=kind, sources=(str(path),))
        source, pattern = (path, "*") if path.is_dir() else _split(path)
        if not path.exists() and not (_is_wildcard(pattern) and source.is_dir()):
            return KnownFailure(f"artifact {name!r}: there is no file or folder {path}; check the path")
        if path.exists() and not path.is_dir():
            return KnownFailure(f"artifact {name!r}: {path} is neither a file nor a folder, such as a pipe; give one of them")
    except OSError as error:  # a folder on the way that we may not look into, a name that is too long
        return KnownFailure(f"artifact {name!r}: {path} cannot be read ({error.strerror or error}); check the path and its permissions")
    target = new_file(folder, ".zip")
    packed = pack_folder(source, pattern, target)
    if not packed.files:
        target.unlink(missing_ok=True)
        nothing = f"there is no file in {path}" if path.is_dir() else f"no file matches {path}"
        return KnownFailure(f"artifact {name!r}: {packed.problem or nothing}")
    _tell_left_out(name, packed)
    file_name = f"{source.resolve().name or name}.zip"
    sources = (str(source),) if pattern == "*" and source == path else tuple(str(source / file) for file, _ in packed.files)
    return Form(target, True, file_name, ARCHIVE, "application/zip", packed.listing(), sources)


def encode_paths(name: str, obj: Sequence[object], folder: Path) -> Form | KnownFailure:
    """Several files and folders as one zip file, under their names relative to the folder that they have in common."""
    given = [Path(os.fsdecode(item)).absolute() for item in obj if isinstance(item, str | os.PathLike)]
    missing = [path for path in given if not os.path.exists(path) and not _is_wildcard(str(path))]
    if missing:
        return KnownFailure(f"artifact {name!r}: there is no file or folder {missing[0]}; check the path")
    common = Path(os.path.commonpath([str(path.parent if path.exists() else _split(path)[0]) for path in given]))
    target = new_file(folder, ".zip")
    packed = pack_files(common, lambda: dict.fromkeys(_files_of(given, folder)), target)
    if not packed.files:
        target.unlink(missing_ok=True)
        return KnownFailure(f"artifact {name!r}: {packed.problem or 'there is no file in what was given'}")
    _tell_left_out(name, packed)
    there = [path for path in given if path.exists()]
    fitting = [path for path in (common / file for file, _ in packed.files) if not any(path.is_relative_to(whole) for whole in there)]
    sources = tuple(str(path) for path in [*there, *fitting])
    return Form(target, True, f"{name}.zip", ARCHIVE, "application/zip", packed.listing(), sources)


def _tell_left_out(name: str, packed: PackedFolder) -> None:
    """Say what is not in an archive, which whoever wants it back would find out too late."""
    if packed.left_out:
        shown = ", ".join(f"{file} ({reason})" for file, reason in packed.left_out[:3])
        more = f" and {len(packed.left_out) - 3:,} more" if len(packed.left_out) > 3 else ""
        _log.warning("atrains: artifact %r is without %s%s of %s", name, shown, more, packed.source)


def _files_of(given: Sequence[Path], folder: Path) -> Iterator[Path]:
    for path in given:
        if path.is_dir():
            yield from matching_files(path, "*", ours=folder)
        elif not path.exists() and _is_wildcard(str(path)):
            yield from matching_files(*_split(path), ours=folder)
        else:
            yield path


def _split(path: Path) -> tuple[Path, str]:
    """Where a wildcard is looked for, and the wildcard: it begins with the first part that is one. Of any other path folder and name."""
    first = next((at for at, part in enumerate(path.parts) if _is_wildcard(part)), max(0, len(path.parts) - 1))
    return Path(*path.parts[:first]), "/".join(path.parts[first:])


def _is_wildcard(name: str) -> bool:
    return "*" in name or "?" in name
