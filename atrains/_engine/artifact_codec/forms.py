"""What is known of an artifact on its way to a file: how it was asked for, what came of it. No kind of object."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from atrains._engine.room import UPLOAD_FILE
from atrains._wire.artifacts import ArtifactRecord
from atrains.errors import StorageError, UnsupportedTypeError

if TYPE_CHECKING:
    from gzip import GzipFile

PICKLE: Final = "pickle"
KINDS: Final = (
    "dict, list, str, bytes, data frames of pandas and polars, numpy arrays, PIL images, figures of plotly and matplotlib, a pathlib path "
    "or string that names a file, a folder or a wildcard, or a list of paths"
)
Serializer: TypeAlias = "Callable[[object], bytes | bytearray]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How an artifact is to be stored, beyond its object.

    Attributes:
        metadata: The user's pairs; both sides are kept as strings.
        preview: Shown as text in place of the one that would be made, as for None and True; False for none.
        extension: The form of the file, such as `.parquet`; None for the usual one of the kind.
        auto_pickle: Whether what is of no other kind may be pickled.
        serialize: Makes the file's content of the object.
        sort_keys: Whether the keys of a dictionary are sorted.
    """

    metadata: Mapping[str, object] | None = None
    preview: object = None
    extension: str | None = None
    auto_pickle: bool = False
    serialize: Serializer | None = None
    sort_keys: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedArtifact:
    """An artifact as a file that is ready to be stored.

    Attributes:
        path: The file; None for an address elsewhere, which is recorded as it is.
        temporary: Whether the file was made for this, and is to be removed once it is stored.
        file_name: The name under which it is to be stored, before escaping; the address itself where there is no file.
        type: The artifact's type name.
        content_type: The file's MIME type.
        preview: Text to show in place of the content.
        hash: SHA-256 of the file, in hex; None for a file of the user's, which is read once, while it is stored.
        size: Bytes of the file.
        metadata: The user's pairs, as strings.
        sources: Files and folders of the user's that are in it.
        data_hash: SHA-256 of its content before compression, in hex; of registered tables only.
    """

    path: Path | None
    temporary: bool
    file_name: str
    type: str
    content_type: str
    preview: str | None
    hash: str | None
    size: int
    metadata: Mapping[str, str]
    sources: tuple[str, ...] = ()
    data_hash: str | None = None

    def record(self, key: str, *, uri: str, timestamp: int) -> ArtifactRecord:
        """Return the record of the artifact once its file is at `uri`; `timestamp` in seconds since the epoch."""
        return ArtifactRecord(
            key=key,
            type=self.type,
            uri=uri,
            content_size=None if self.path is None else self.size,
            hash=self.hash,
            timestamp=timestamp,
            preview=self.preview,
            content_type=self.content_type,
            data_hash=self.data_hash,
            metadata=self.metadata,
        )


@dataclass(frozen=True, slots=True)
class KnownFailure:
    """Why there is nothing to upload, for a log line: a path that is not there, a wildcard without a match."""

    reason: str


@dataclass(frozen=True, slots=True)
class Form:
    """What is known of an artifact before its file is looked at."""

    path: Path | None
    temporary: bool
    file_name: str
    type: str
    content_type: str
    preview: str | None = None
    sources: tuple[str, ...] = ()


def new_file(folder: Path, suffix: str) -> Path:
    """The name of a file that is to be made.

    Raises:
        StorageError: its folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"the folder {folder} cannot be made ({error.strerror or error}); check its permissions") from error
    return folder / f"{UPLOAD_FILE}{os.urandom(8).hex()}{suffix}"


@contextmanager
def writing(name: str, path: Path) -> Iterator[None]:
    """Remove a file where it could not be written whole; what the disk says becomes ours."""
    try:
        yield
    except OSError as error:
        path.unlink(missing_ok=True)
        raise StorageError(f"artifact {name!r}: {path} cannot be written ({error.strerror or error}); check the room left") from error
    except BaseException:  # whatever it was: nothing half-written is left
        path.unlink(missing_ok=True)
        raise


@contextmanager
def open_gzip(path: Path) -> Iterator[GzipFile]:
    """Open a gzip file to be written, without time and name: equal content gives equal files."""
    import gzip

    with path.open("wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as file:
        yield file


def with_suffix(name: str, suffix: str) -> str:
    """The file name of an artifact."""
    return name if name.endswith(suffix) else name + suffix


def choose(name: str, kind: str, extension: str | None, known: Mapping[str, str], usual: str) -> tuple[str, str]:
    """The suffix of the file and its MIME type.

    Raises:
        UnsupportedTypeError: no such form; lists those that there are.
    """
    wanted = usual if extension is None else extension if extension.startswith(".") else f".{extension}"
    if wanted.lower() not in known:
        raise UnsupportedTypeError(
            f"artifact {name!r}: {kind} cannot be stored as {wanted!r}; give extension_name as one of {', '.join(known)}"
        )
    return wanted.lower(), known[wanted.lower()]
