"""A stored file back to what was uploaded, by the type that was recorded, whoever wrote it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Final

from atrains._engine.artifact_codec.forms import PICKLE
from atrains._engine.unpacking import unpack_archive
from atrains._storage.base import OtherFileError
from atrains._storage.copying import hash_file
from atrains._wire.artifacts import ARCHIVE, BYTES, FILE, IMAGE, JSON_TYPES, NUMPY, PANDAS, POLARS, STRING, TABLE, ArtifactRecord, Decoded
from atrains.errors import StorageError

_JSON_FORMS: Final[dict[str | None, str]] = {
    None: "json", "application/json": "json", "application/vnd.plotly.v1+json": "plotly",
    "application/yaml": "yaml", "text/yaml": "yaml", "application/x-yaml": "yaml",
}  # fmt: skip
"""How a dictionary or list is read, by the MIME type of its file."""


def decode(path: Path, record: ArtifactRecord, *, folder: Path, allow_pickle: bool = False) -> Decoded:
    """Turn a stored file back into what was uploaded.

    Args:
        path: The file, on this machine.
        record: What the task knows of it.
        folder: Where an archive is unpacked, in a folder named by its checksum; one that is there already is not unpacked again.
        allow_pickle: Whether a pickle may be read, which runs what its author put in.

    Returns:
        By type: what JSON holds, text, bytes, a data frame, an array, an image, a figure, the path of the folder that was in the archive;
        otherwise the path of the file.

    Raises:
        StorageError: if the file is not there, is not the one that was recorded, does not hold what its type says, or is a pickle.
        MissingPackageError: if the package of its kind is not installed.
    """
    check(path, record)
    try:
        return _decode(path, record, folder, allow_pickle=allow_pickle)
    except StorageError:
        raise
    except (ValueError, TypeError, KeyError, EOFError, RecursionError) as error:
        raise StorageError(f"artifact {record.key!r}: {path} does not hold what its type {record.type!r} says ({error})") from error
    except OSError as error:
        raise StorageError(f"artifact {record.key!r}: {path} cannot be read ({error.strerror or error}); check the file") from error


def check(path: Path, record: ArtifactRecord) -> str:
    """Check a file against the checksum in its record, and return it.

    Raises:
        OtherFileError: it is another file.
        StorageError: it cannot be read.
    """
    digest, _ = hash_file(path)
    if record.hash and record.hash.lower() != digest:
        raise OtherFileError(
            f"artifact {record.key!r}: {path} is not the file that was uploaded (SHA-256 {digest}, recorded {record.hash}); "
            "fetch it again, or upload the artifact once more"
        )
    return digest


def unpack(path: Path, record: ArtifactRecord, *, folder: Path) -> Path:
    """Unpack the archive of an artifact, checked, into a folder named by its checksum."""
    return unpack_archive(path, folder / check(path, record)[:32])


def _decode(path: Path, record: ArtifactRecord, folder: Path, *, allow_pickle: bool) -> Decoded:
    from atrains._engine.artifact_codec import arrays, objects, pictures, tables, values

    kind, content_type, name = record.type, record.content_type, record.key
    if kind == PANDAS and content_type == "application/pickle":
        kind = PICKLE
    if kind in JSON_TYPES:
        kind = _JSON_FORMS.get(content_type, FILE)  # of another form, as somebody newer may write it, the file itself
    readers: dict[str, Callable[[], Decoded]] = {
        PICKLE: lambda: objects.decode_pickle(name, path, allowed=allow_pickle),
        "json": lambda: json.loads(path.read_bytes()),
        "yaml": lambda: values.decode_yaml(path),
        "plotly": lambda: pictures.decode_plotly(path),
        ARCHIVE: lambda: unpack(path, record, folder=folder),
        PANDAS: lambda: tables.decode_pandas(name, path, content_type, index=True),
        TABLE: lambda: tables.decode_pandas(name, path, content_type, index=False),
        POLARS: lambda: tables.decode_polars(name, path, content_type),
        NUMPY: lambda: arrays.decode_numpy(name, path, content_type, allow_pickle=allow_pickle),
        IMAGE: lambda: pictures.decode_image(name, path, content_type),
        STRING: lambda: path.read_bytes().decode(),
        BYTES: path.read_bytes,
    }
    return readers.get(kind, lambda: path)()
