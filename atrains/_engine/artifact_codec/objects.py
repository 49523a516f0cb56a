"""Objects of any class: by a function of the user's, or pickled where that was asked for."""

from __future__ import annotations

import mimetypes
import pickle
from pathlib import Path
from typing import Any

from atrains._engine.artifact_codec.forms import PICKLE, Form, Options, Serializer, new_file, with_suffix, writing
from atrains._wire.artifacts import FILE
from atrains.errors import StorageError, UnsupportedTypeError


def encode_by(serialize: Serializer, name: str, obj: object, folder: Path, options: Options) -> Form:
    """What the user's function makes of an object."""
    content = serialize(obj)
    if not isinstance(content, bytes | bytearray):
        raise UnsupportedTypeError(f"artifact {name!r}: serialization_function returned {type(content).__qualname__}; it must return bytes")
    suffix = options.extension or ""
    suffix = suffix if not suffix or suffix.startswith(".") else f".{suffix}"
    path = new_file(folder, suffix)
    with writing(name, path):
        path.write_bytes(content)
    file_name = with_suffix(name, suffix)
    return Form(path, True, file_name, FILE, mimetypes.guess_type(file_name)[0] or "application/octet-stream", _shown(obj))


def encode_pickle(name: str, obj: object, folder: Path) -> Form:
    """An object as a pickle."""
    path = new_file(folder, ".pkl")
    with writing(name, path), path.open("wb") as file:
        try:
            pickle.dump(obj, file, protocol=4)
        except OSError:
            raise
        except Exception as error:  # whatever somebody's own class raises while it is pickled
            what = f"artifact {name!r} of type {type(obj).__qualname__}"
            raise UnsupportedTypeError(f"{what} cannot be pickled ({error}); write it to a file") from error
    return Form(path, True, with_suffix(name, ".pkl"), PICKLE, "application/pickle", _shown(obj))


def refused_pickle(name: str) -> StorageError:
    """What is raised where the caller did not allow for it."""
    return StorageError(
        f"artifact {name!r} is a pickle, which runs what whoever made it has put in: get(allow_pickle=True) if you trust it; "
        "get_local_copy() gives its file"
    )


def decode_pickle(name: str, path: Path, *, allowed: bool) -> Any:
    """The object, if the caller allows for what its pickle may run.

    Raises:
        StorageError: it was not allowed, or the file is no pickle that can be read here.
    """
    if not allowed:
        raise refused_pickle(name)
    try:
        with path.open("rb") as file:
            return pickle.load(file)  # noqa: S301  # as asked for
    except OSError:
        raise
    except Exception as error:  # anything may go wrong in somebody's own class
        raise StorageError(f"artifact {name!r}: {path} cannot be unpickled here ({type(error).__name__}: {error})") from error


def _shown(obj: object) -> str:
    try:
        return repr(obj)
    except Exception:  # somebody's own `__repr__` must not decide what is stored  # noqa: BLE001
        return f"an object of type {type(obj).__qualname__}"
