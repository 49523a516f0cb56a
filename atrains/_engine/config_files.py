"""Configuration files of the user: read, replaced, copied. Blocking: it runs in worker threads."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from atrains.errors import ValidationError


def read_text(path: str | os.PathLike[str]) -> str:
    """Return the text of a file, line ends and all.

    Raises:
        ValidationError: it cannot be read, or is no UTF-8 text.
    """
    shown = os.fspath(path)
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return file.read()
    except UnicodeDecodeError as error:
        raise ValidationError(
            f"configuration file {shown!r} is no UTF-8 text (at byte {error.start}); save it as UTF-8, or upload it as an artifact"
        ) from None
    except (OSError, ValueError) as error:  # ValueError: a path that no file system takes
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise ValidationError(
            f"configuration file {shown!r} cannot be read ({reason}), seen from the folder {os.getcwd()}; give the path of a text file"
        ) from error


def put_in_place(path: str | os.PathLike[str], text: str) -> str | None:
    """Overwrite a file at once, so that nobody reads half of it. Its permissions stay.

    Returns:
        None when that is done, else why it cannot be: the file is left as it is then.
    """
    target = Path(path)
    if target.is_absolute():
        return "its path is absolute"
    try:
        mode = target.stat().st_mode & 0o7777
        # By its mode, too: root may write everything, and what is marked as read-only is so for a reason.
        if not mode & 0o222 or not os.access(target, os.W_OK):
            return "it is not writable"
        _replace(target, text, mode)
    except FileNotFoundError:
        return "there is no such file here"
    except OSError as error:
        return f"it cannot be replaced: {error.strerror or error}"
    return None


def write_atomically(path: Path, text: str) -> None:
    """Write a file in a folder that is made if it is not there.

    Raises:
        OSError: there is no room, or no permission.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _replace(path, text, 0o644)


def temporary_copy(path: str | os.PathLike[str], text: str) -> str:
    """Write text to a new temporary file with the suffix of a path, and return its path."""
    import tempfile

    suffix = os.path.splitext(os.fspath(path))[1] or ".txt"
    descriptor, made = tempfile.mkstemp(prefix="atrains-configuration-", suffix=suffix)
    with open(descriptor, "w", encoding="utf-8", newline="") as file:
        file.write(text)
    return made


def _replace(target: Path, text: str, mode: int) -> None:
    import tempfile

    descriptor, made = tempfile.mkstemp(prefix=f".{target.name}-", dir=target.parent)
    try:
        with open(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        os.chmod(made, mode)
        os.replace(made, target)
    except BaseException:  # also when interrupted: no half-written file stays behind
        with contextlib.suppress(OSError):
            os.unlink(made)
        raise
