"""A destination that users name, as a URL, and whether files can be put there."""

from __future__ import annotations

import os
from pathlib import Path

from atrains.errors import ConfigurationError, StorageError


def destination_url(output_uri: str | Path | bool | None) -> str | None:
    """A destination as a URL; a local folder becomes an absolute `file://` one.

    Programs of later clients say True for the server's file server and False for none; both mean the home itself, as None does.

    Raises:
        ConfigurationError: nothing can be stored there.
    """
    if output_uri is None or isinstance(output_uri, bool) or output_uri == "":
        return None
    if not isinstance(output_uri, str | os.PathLike):
        raise ConfigurationError(f"output_uri is a path or a URL, or True for the home itself, not {output_uri!r}")
    text = str(output_uri)
    scheme = text.partition("://")[0] if "://" in text else ""
    if not scheme:
        return f"file://{Path(text).expanduser().absolute()}"
    if scheme.lower() not in {"file", "http", "https"}:
        raise ConfigurationError(
            f"output_uri {text!r}: this version of atrains stores to folders and file servers; give a path, a file:// or an http(s):// URL"
        )
    return text.rstrip("/")


def check_folder(url: str) -> None:
    """Make the folder of a destination, if it is one, and see that files can be put into it. Blocks.

    Raises:
        StorageError: they cannot.
    """
    import tempfile

    from atrains._storage.folder import to_path
    from atrains._storage.registry import scheme_of

    if scheme_of(url) != "file":
        return
    folder = to_path(url)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise StorageError(
            f"{folder} cannot be written ({error.strerror or error}); name a folder that can be, or check its permissions"
        ) from error
