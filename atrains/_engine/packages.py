"""Packages: models of several files, as one zip file that is not compressed, since weights do not shrink. Blocking work."""

from __future__ import annotations

import os
import zipfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from atrains._engine.archives import again_if_changed, write_still
from atrains._storage.base import ChangedError
from atrains.errors import StorageError, ValidationError


def members_of(paths: Sequence[Path]) -> list[tuple[Path, str]]:
    """The files that a package is made of, and their names in it: a file by its name, those of a folder by their paths below it.

    Raises:
        ValidationError: there are none, one is not there or no file, or two have one name.
        StorageError: a folder cannot be read.
    """
    found: list[tuple[Path, str]] = []
    for path in paths:
        if path.is_dir():
            found += [(file, file.relative_to(path).as_posix()) for file in _files_below(path)]
        elif path.is_file():
            found.append((path, path.name))
        else:
            raise ValidationError(f"there is no file {path} to put into the package; check the path")
    if not found:
        raise ValidationError(f"there are no files in {', '.join(map(str, paths)) or 'an empty list'}; give files, or a folder with some")
    twice = next((name for name, times in Counter(name for _, name in found).items() if times > 1), None)
    if twice is not None:
        raise ValidationError(f"two files of the package are named {twice!r}; give the folder that both are in, or rename one")
    return found


def _files_below(folder: Path) -> list[Path]:
    """Every file of a folder, at any depth: a model that lacks some is none, so that nothing is left out without a word."""

    def refuse(error: OSError) -> None:
        raise StorageError(f"{error.filename} cannot be read ({error.strerror or error}); check its permissions") from error

    found: list[Path] = []
    for parent, folders, names in os.walk(folder, onerror=refuse):
        links = [name for name in folders if os.path.islink(Path(parent, name))]
        others = [name for name in names if not os.path.isfile(Path(parent, name))]  # broken links, pipes: who opens one may wait for ever
        if bad := [*links, *others]:
            what = "a link to a folder, which is not followed" if links else "no file"
            raise ValidationError(f"{Path(parent, bad[0])} is {what}: copy or remove it, or give the files one by one")
        found += [Path(parent, name) for name in names]
    return sorted(found)


def pack(members: Sequence[tuple[Path, str]], target: Path) -> int:
    """Write files into a zip file, and return its size. Where one changes while it is read, all are packed once more.

    Raises:
        StorageError: one cannot be read, or changed again, or the zip file cannot be written; nothing is left.
    """
    try:
        return again_if_changed(lambda: _pack(members, target))
    except ChangedError:
        target.unlink(missing_ok=True)
        raise
    except (OSError, ValueError) as error:
        target.unlink(missing_ok=True)
        raise StorageError(f"the package {target} cannot be written ({error}); check the files and the room left") from error


def _pack(members: Sequence[tuple[Path, str]], target: Path) -> int:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for path, name in members:
            entry = zipfile.ZipInfo.from_file(path, name, strict_timestamps=False)
            with path.open("rb") as file:
                write_still(archive, entry, path, file, path.stat())
    return target.stat().st_size
