"""Zip files of folders, packed with what could not go in by name. Blocking work. How archives are unpacked is in `unpacking`."""

from __future__ import annotations

import os
import re
import stat
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import BinaryIO, Final, TypeVar

from atrains._storage.base import READ_AGAIN, ChangedError
from atrains._storage.copying import check_still, read_no_further
from atrains._wire.artifacts import human_size
from atrains.errors import StorageError

Packed = TypeVar("Packed")
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
    one. So is a file that changes while it is read, and again when all is packed once more.

    Raises:
        StorageError: if the archive cannot be written; nothing is left behind.
    """
    return pack_files(source, lambda: matching_files(source, pattern, ours=target.parent), target)


def pack_files(source: Path, files: Callable[[], Iterable[Path]], target: Path) -> PackedFolder:
    """Pack files below a folder under their names relative to it; see `pack_folder`. They are asked for again where one changed."""
    packed = PackedFolder(source)
    try:
        packed = again_if_changed(lambda: _pack(source, files(), target))
    except (UnreadableFolderError, ChangedError) as error:
        packed.problem = str(error)
    except OSError as error:
        target.unlink(missing_ok=True)
        raise StorageError(f"the archive {target} cannot be written ({error.strerror or error}); check the room left") from error
    if packed.problem:
        target.unlink(missing_ok=True)
        packed.files.clear()
    return packed


def again_if_changed(pack: Callable[[], Packed]) -> Packed:
    """Do what reads files, and once more where one changed meanwhile: what a single file is given, too.

    Raises:
        ChangedError: one changed again.
    """
    try:
        return pack()
    except ChangedError:
        time.sleep(READ_AGAIN)
        return pack()


def write_still(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path, file: BinaryIO, before: os.stat_result) -> None:
    """Write a file into an archive as it was when it was looked at: neither half of it, nor more.

    Args:
        archive: Where to.
        entry: What it is called there, and how it is compressed.
        path: The file.
        file: The same, open.
        before: What it was when `entry` was made.

    Raises:
        ChangedError: it is not that any more.
        OSError: it cannot be read, or the archive cannot be written.
    """
    with archive.open(entry, "w") as member:
        for block in read_no_further(file, before.st_size):
            member.write(block)
    try:
        check_still(path, file, before)
    except FileNotFoundError as error:
        raise ChangedError(f"{path} was removed while it was read; try again when nothing changes it any more") from error


def _pack(source: Path, files: Iterable[Path], target: Path) -> PackedFolder:
    packed = PackedFolder(source)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in files:
            _add(archive, path, packed)
            if packed.problem:
                break
    return packed


def matching_files(source: Path, pattern: str, *, ours: Path) -> Iterator[Path]:
    """Yield every file at any depth of a folder whose name fits a wildcard, sorted; without `ours`, the folder that we write to.

    A wildcard with folders fits the path in the folder, or one above it: `*/log` is a file in each folder, or all of the folder of that
    name there, and `**` stands for any folders. Links to folders are yielded too, and not followed.

    Raises:
        UnreadableFolderError: a folder cannot be read.
    """
    root, ours, wanted = source.resolve(), ours.resolve(), Path(pattern).parts
    for parent, folders, names in os.walk(source, onerror=_refuse):
        here = Path(parent)
        real = root / here.relative_to(source)  # no links are followed
        if real == ours:
            continue
        links = [name for name in folders if os.path.islink(here / name)]
        above = here.relative_to(source).parts if len(wanted) > 1 else ()
        folders[:] = sorted(name for name in folders if real / name != ours)
        yield from (here / name for name in sorted([*names, *links]) if _fits([*above, name], wanted))


def _fits(parts: Sequence[str], wanted: Sequence[str]) -> bool:
    """Whether a path, or a folder above it, is what a wildcard with folders says."""
    if not wanted:
        return True
    if wanted[0] == "**" and len(wanted) > 1:
        return any(_fits(parts[first:], wanted[1:]) for first in range(len(parts)))
    return bool(parts) and fnmatchcase(parts[0], wanted[0]) and _fits(parts[1:], wanted[1:])


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
    with file:
        write_still(archive, entry, path, file, status)
    packed.files.append((name, status.st_size))
