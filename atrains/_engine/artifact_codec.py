"""Objects to artifact files and back: which type an object has, its file, preview and checksum. Blocking work, for worker threads.

Where the files go is `_storage`'s, the record of an artifact is `_wire`'s; zip files are in `archives`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from atrains._engine.archives import matching_files, pack_folder
from atrains._engine.unpacking import unpack_archive
from atrains._storage.copying import hash_file
from atrains._wire.artifacts import ARCHIVE, BYTES, FILE, JSON, JSON_TYPES, STRING, ArtifactRecord, Decoded, cut_preview, human_size
from atrains.errors import StorageError, UnsupportedTypeError, ValidationError

KINDS: Final = "dict, list, str, bytes, a pathlib path or string that names a file, a folder or a wildcard"
_LONGEST_PATH: Final = 2048
"""Characters; a longer string is text and never looked up as a path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedArtifact:
    """An artifact as a file that is ready to be stored.

    Attributes:
        path: The file.
        temporary: Whether the file was made for this, and is to be removed once it is stored.
        file_name: The name under which it is to be stored, before escaping.
        type: The artifact's type name.
        content_type: The file's MIME type.
        preview: Text to show in place of the content.
        hash: SHA-256 of the file, in hex.
        size: Bytes of the file.
        metadata: The user's pairs, as strings.
    """

    path: Path
    temporary: bool
    file_name: str
    type: str
    content_type: str
    preview: str
    hash: str
    size: int
    metadata: Mapping[str, str]

    def record(self, key: str, *, uri: str, timestamp: int) -> ArtifactRecord:
        """Return the record of the artifact once its file is at `uri`; `timestamp` in seconds since the epoch."""
        return ArtifactRecord(
            key=key,
            type=self.type,
            uri=uri,
            content_size=self.size,
            hash=self.hash,
            timestamp=timestamp,
            preview=self.preview,
            content_type=self.content_type,
            metadata=self.metadata,
        )


@dataclass(frozen=True, slots=True)
class KnownFailure:
    """Why there is nothing to upload, for a log line: a path that is not there, a wildcard without a match."""

    reason: str


@dataclass(frozen=True, slots=True)
class _Form:
    """What is known of an artifact before its file is looked at."""

    path: Path
    temporary: bool
    file_name: str
    type: str
    content_type: str
    preview: str | None = None


def encode(name: str, obj: object, *, folder: Path, metadata: Mapping[str, object] | None = None) -> EncodedArtifact | KnownFailure:
    """Turn an object into a file to be stored.

    Args:
        name: The artifact's name.
        obj: A dict or list of what JSON can hold, a str, bytes, or a path. A str that names a file, a folder or a wildcard stands for it.
        folder: Where a file is made when the object is none.
        metadata: The user's pairs; both sides are kept as strings.

    Returns:
        The file and what there is to record about it; a `KnownFailure` for a path that is not there, cannot be read, or changes.

    Raises:
        UnsupportedTypeError: if the object is of a kind that cannot be stored.
        ValidationError: if the name or the metadata cannot be recorded.
        StorageError: if `folder` cannot be written.
    """
    _check_name(name)
    pairs = _pairs(metadata)
    form = _encode_path(name, obj, folder) if _is_path(obj, folder) else _encode_value(name, obj, folder)
    if isinstance(form, KnownFailure):
        return form
    try:
        digest, size = hash_file(form.path)
    except StorageError as error:
        if form.temporary:
            raise
        return KnownFailure(f"artifact {name!r}: {error}")
    return EncodedArtifact(
        path=form.path,
        temporary=form.temporary,
        file_name=form.file_name,
        type=form.type,
        content_type=form.content_type,
        preview=cut_preview(f"{form.file_name} - {human_size(size)}" if form.preview is None else form.preview),
        hash=digest,
        size=size,
        metadata=pairs,
    )


def decode(path: Path, record: ArtifactRecord, *, folder: Path) -> Decoded:
    """Turn a stored file back into what was uploaded.

    Args:
        path: The file, on this machine.
        record: What the task knows of it.
        folder: Where an archive is unpacked, in a folder named by its checksum; one that is there already is not unpacked again.

    Returns:
        By type: what JSON holds, text, bytes, the path of the folder that was in the archive; otherwise the path of the file.

    Raises:
        StorageError: if the file is not there, is not the one that was recorded, or does not hold what its type says.
    """
    digest, _ = hash_file(path)
    if record.hash and record.hash.lower() != digest:
        raise StorageError(
            f"artifact {record.key!r}: {path} is not the file that was uploaded (SHA-256 {digest}, recorded {record.hash}); "
            "fetch it again, or upload the artifact once more"
        )
    if record.type == ARCHIVE:
        return unpack_archive(path, folder / digest[:32])
    try:
        if record.type in JSON_TYPES and record.content_type in {None, "application/json"}:  # newer clients write YAML as well
            content: Decoded = json.loads(path.read_bytes())
            return content
        if record.type == STRING:
            return path.read_bytes().decode()
        return path.read_bytes() if record.type == BYTES else path
    except (ValueError, RecursionError) as error:
        raise StorageError(f"artifact {record.key!r}: {path} does not hold what its type {record.type!r} says ({error})") from error
    except OSError as error:
        raise StorageError(f"artifact {record.key!r}: {path} cannot be read ({error.strerror or error}); check the file") from error


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not name.strip():
        raise ValidationError(f"an artifact needs a name, not {name!r}; give a string that is not empty")


def _pairs(metadata: Mapping[str, object] | None) -> dict[str, str]:
    if metadata is not None and not isinstance(metadata, Mapping):
        raise ValidationError(f"the metadata of an artifact must be a dictionary, not {type(metadata).__qualname__}")
    return {str(key): str(value) for key, value in (metadata or {}).items()}


# Paths: files, folders and wildcards of the user's.


def _is_path(obj: object, folder: Path) -> bool:
    if isinstance(obj, os.PathLike):
        return True
    if not isinstance(obj, str) or not 0 < len(obj) < _LONGEST_PATH or "\0" in obj:
        return False
    # Not pathlib: its `exists` raises for a text that is too long for a path.
    if os.path.exists(obj):
        return True
    parent, pattern = os.path.split(obj)
    # A wildcard without a folder is more likely a question than a path.
    return bool(parent) and _is_wildcard(pattern) and os.path.isdir(parent) and any(matching_files(Path(parent), pattern, ours=folder))


def _is_wildcard(name: str) -> bool:
    return "*" in name or "?" in name


def _encode_path(name: str, obj: object, folder: Path) -> _Form | KnownFailure:
    assert isinstance(obj, str | os.PathLike)
    path = Path(os.fsdecode(obj)).absolute()
    try:
        if path.is_file():
            return _Form(path, temporary=False, file_name=path.name, type=FILE, content_type=_guess_content_type(path))
        source, pattern = (path, "*") if path.is_dir() else (path.parent, path.name)
        if not path.exists() and not (_is_wildcard(path.name) and source.is_dir()):
            return KnownFailure(f"artifact {name!r}: there is no file or folder {path}; check the path")
        if path.exists() and not path.is_dir():
            return KnownFailure(f"artifact {name!r}: {path} is neither a file nor a folder, such as a pipe; give one of them")
    except OSError as error:  # a folder on the way that we may not look into, a name that is too long
        return KnownFailure(f"artifact {name!r}: {path} cannot be read ({error.strerror or error}); check the path and its permissions")
    target = _temporary(folder, ".zip")
    packed = pack_folder(source, pattern, target)
    if not packed.files:
        target.unlink(missing_ok=True)
        return KnownFailure(f"artifact {name!r}: {packed.problem or f'no file matches {path}'}")
    file_name = f"{source.resolve().name or name}.zip"
    return _Form(target, temporary=True, file_name=file_name, type=ARCHIVE, content_type="application/zip", preview=packed.listing())


def _guess_content_type(path: Path) -> str:
    import mimetypes

    return mimetypes.guess_type(path.name)[0] or "application/octet-stream"


# Values: written to a file of ours.


def _encode_value(name: str, obj: object, folder: Path) -> _Form:
    if isinstance(obj, str):
        content, suffix, kind, content_type = _encodable(name, obj), ".txt", STRING, "text/plain"
        preview = obj
    elif isinstance(obj, bytes | bytearray | memoryview):
        content, suffix, kind, content_type = bytes(obj), ".bin", BYTES, "application/octet-stream"
        preview = human_size(len(content))
    elif isinstance(obj, Mapping | list):
        preview = _as_json(name, obj)
        content, suffix, kind, content_type = preview.encode(), ".json", JSON, "application/json"
    else:
        raise UnsupportedTypeError(
            f"artifact {name!r} is of type {type(obj).__qualname__}, which cannot be stored; upload one of: {KINDS}; or write it to a file"
        )
    path = _temporary(folder, suffix)
    try:
        path.write_bytes(content)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise StorageError(f"artifact {name!r}: {path} cannot be written ({error.strerror or error}); check the room left") from error
    return _Form(path, True, name if name.endswith(suffix) else name + suffix, kind, content_type, preview)


def _encodable(name: str, text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        at = f"character {error.start}"
        raise ValidationError(f"artifact {name!r}: the text cannot be written as UTF-8 ({at}); upload it as bytes") from error


def _as_json(name: str, obj: Mapping[object, object] | list[object]) -> str:
    """The text of an object, with sorted keys where they can be sorted."""
    plain = obj if isinstance(obj, dict | list) else dict(obj)
    try:
        try:
            text = json.dumps(plain, indent=4, ensure_ascii=False, sort_keys=True)
        except TypeError:  # keys of several types cannot be sorted; what is no JSON fails again
            text = json.dumps(plain, indent=4, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise UnsupportedTypeError(
            f"artifact {name!r} holds what JSON cannot ({error}); make it dict, list, str, int, float, bool or None, or write it to a file"
        ) from error
    try:
        text.encode()
    except UnicodeEncodeError:  # lone surrogates, from file names that are no UTF-8: JSON can still escape them
        return json.dumps(plain, indent=4)
    return text


def _temporary(folder: Path, suffix: str) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"the folder {folder} cannot be made ({error.strerror or error}); check its permissions") from error
    return folder / f"{os.urandom(8).hex()}{suffix}"
