"""Zip files of folders, packed with what could not go in by name. Blocking work. How archives are unpacked is in `unpacking`."""

from __future__ import annotations

import os
import re
import stat
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from atrains._wire.artifacts import human_size
from atrains.errors import StorageError

_BLOCK: Final = 1 << 20
_LARGE: Final = 1 << 30
"""From here on an entry is written in the 64-bit form, since a file that grows could cross the limit of the other one."""
_SURROGATES: Final = re.compile(r"[\ud800-\udfff]")


class UnreadableFolderError(StorageError):
    """A folder whose files are not known."""


@dataclass(slots=True)
class PackedFolder:
    """What went into an archive.

    Attributes:
        files: Name inside the archive and size of every file.
        left_out: Name and reason of what did not go in: broken links, links to folders, pipes, what was removed meanwhile.
        problem: Why there is no archive; None when there is one.
    """

    source: Path
    files: list[tuple[str, int]] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    problem: str | None = None

    def listing(self) -> str:
        """Return the preview: one line a file."""
        total = sum(size for _, size in self.files)
        lines = [f"{len(self.files):,} files of {self.source.name}, {human_size(total)}"]
        lines += [f"{name} - {human_size(size)}" for name, size in self.files]
        lines += [f"{name} - left out: {reason}" for name, reason in self.left_out]
        return "\n".join(lines)


def pack_folder(source: Path, pattern: str, target: Path) -> PackedFolder:
    """Pack the files at any depth of a folder whose name fits a wildcard, one at a time, under their names relative to the folder.

    Links to folders are not followed. A file or folder that cannot be read is the archive's `problem`: half a folder must not look like
    one.

    Raises:
        StorageError: if the archive cannot be written; nothing is left behind.
    """
    return pack_files(source, matching_files(source, pattern, ours=target.parent), target)


def pack_files(source: Path, files: Iterable[Path], target: Path) -> PackedFolder:
    """Pack files below a folder under their names relative to it; see `pack_folder`."""
    packed = PackedFolder(source)
    try:
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in files:
                _add(archive, path, packed)
                if packed.problem:
                    break
    except UnreadableFolderError as error:
        packed.problem = str(error)
    except OSError as error:
        target.unlink(missing_ok=True)
        raise StorageError(f"the archive {target} cannot be written ({error.strerror or error}); check the room left") from error
    if packed.problem:
        target.unlink(missing_ok=True)
        packed.files.clear()
    return packed


def matching_files(source: Path, pattern: str, *, ours: Path) -> Iterator[Path]:
    """Yield every file at any depth of a folder whose name fits a wildcard, sorted; without `ours`, the folder that we write to.

    So are links to folders, which are not followed.

    Raises:
        UnreadableFolderError: a folder cannot be read.
    """
    root, ours = source.resolve(), ours.resolve()
    for parent, folders, names in os.walk(source, onerror=_refuse):
        here = Path(parent)
        real = root / here.relative_to(source)  # no links are followed
        if real == ours:
            continue
        links = [name for name in folders if os.path.islink(here / name)]
        folders[:] = sorted(name for name in folders if real / name != ours)
        yield from (here / name for name in sorted([*names, *links]) if fnmatchcase(name, pattern))


def _refuse(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):  # removed meanwhile
        raise UnreadableFolderError(
            f"the folder {error.filename} cannot be read ({error.strerror or error}); change its permissions, or give the files one by one"
        ) from error


def _add(archive: zipfile.ZipFile, path: Path, packed: PackedFolder) -> None:
    name = _SURROGATES.sub(lambda found: f"0x{ord(found[0]):02x}", path.relative_to(packed.source).as_posix())
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            packed.left_out.append((name, "a link to a folder" if stat.S_ISDIR(status.st_mode) else "no regular file"))
            return
        entry = zipfile.ZipInfo.from_file(path, name, strict_timestamps=False)
        file = path.open("rb")
    except FileNotFoundError:
        packed.left_out.append((name, "a broken link" if path.is_symlink() else "removed meanwhile"))
        return
    except OSError as error:
        packed.problem = f"{path} cannot be read ({error.strerror or error}); change its permissions, or choose the files by a wildcard"
        return
    entry.compress_type = zipfile.ZIP_DEFLATED
    size = 0
    with file, archive.open(entry, "w", force_zip64=status.st_size >= _LARGE) as member:
        # Not past the size of the beginning: a log that grows as fast as it is read would never end.
        while size < status.st_size and (block := file.read(min(_BLOCK, status.st_size - size))):
            member.write(block)
            size += len(block)
    packed.files.append((name, size))
