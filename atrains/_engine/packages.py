"""Packages: models of several files, as one zip file that is not compressed, since weights do not shrink. Blocking work."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from pathlib import Path

from atrains.errors import StorageError, ValidationError


def members_of(paths: Sequence[Path]) -> list[tuple[Path, str]]:
    """The files that a package is made of, and their names in it: a file by its name, those of a folder by their paths below it.

    Raises:
        ValidationError: there are none, one is not there, or two have one name.
    """
    found: list[tuple[Path, str]] = []
    for path in paths:
        if path.is_dir():
            below = sorted(Path(parent, name) for parent, _, names in os.walk(path) for name in names)
            found += [(file, file.relative_to(path).as_posix()) for file in below]
        elif path.is_file():
            found.append((path, path.name))
        else:
            raise ValidationError(f"there is no file {path} to put into the package; check the path")
    if not found:
        raise ValidationError(f"there are no files in {', '.join(map(str, paths))}; give files, or a folder that has some")
    names = [name for _, name in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValidationError(f"two files of the package are named {twice!r}; give the folder that both are in, or rename one")
    return found


def pack(members: Sequence[tuple[Path, str]], target: Path) -> int:
    """Write files into a zip file, and return its size.

    Raises:
        StorageError: one cannot be read, or the zip file cannot be written; nothing is left.
    """
    try:
        with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED, strict_timestamps=False) as archive:
            for path, name in members:
                archive.write(path, name)
        return target.stat().st_size
    except (OSError, ValueError) as error:
        target.unlink(missing_ok=True)
        raise StorageError(f"the package {target} cannot be written ({error}); check the files and the room left") from error
