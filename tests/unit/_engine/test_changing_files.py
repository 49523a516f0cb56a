"""Files that change while they are packed: none is half in an archive, and nothing waits for a writer that never rests."""

from __future__ import annotations

import os
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from atrains._engine.artifact_codec import EncodedArtifact, KnownFailure, encode
from atrains._engine.packages import members_of, pack
from atrains.errors import StorageError

CONTENT = os.urandom(1 << 20) * 12
"""Does not shrink, and takes a third of a second to compress: what happens to its file meanwhile happens in the midst of it."""

GIVEN: dict[str, Callable[[Path], object]] = {
    "folder": lambda folder: folder,
    "wildcard": lambda folder: folder / "*.bin",
    "list": lambda folder: [folder / "a.bin", folder / "big.bin"],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "a.bin").write_bytes(b"small")
    (folder / "big.bin").write_bytes(CONTENT)
    return folder


@contextmanager
def meanwhile(made: Path, change: Callable[[], object], *, again: bool = False) -> Iterator[threading.Event]:
    """Change something once a zip file in a folder has been begun with what is large; all the time from then on, if `again`."""
    done, stop = threading.Event(), threading.Event()

    def work() -> None:
        while not stop.wait(0.001):
            if (done.is_set() and again) or any(file.stat().st_size > 1 << 20 for file in made.glob("*.zip")):
                change()
                done.set()
                if not again:
                    return

    made.mkdir()
    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield done
    finally:
        stop.set()
        worker.join()


def grow(file: Path) -> None:
    with file.open("ab") as opened:
        opened.write(b"more")


def shrink(file: Path) -> None:
    os.truncate(file, 100)


def replace(file: Path) -> None:
    other = file.with_name("other")
    other.write_bytes(CONTENT[::-1])
    other.replace(file)


def overwrite(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.seek(-4, os.SEEK_END)
        opened.write(b"last")


@pytest.mark.parametrize("change", [grow, shrink, replace, overwrite])
def test_a_file_that_changes_once_is_packed_as_it_is_then(folder: Path, tmp_path: Path, change: Callable[[Path], None]) -> None:
    big = folder / "big.bin"
    with meanwhile(tmp_path / "made", lambda: change(big)) as changed:
        artifact = encode("out", folder, folder=tmp_path / "made")
    assert changed.is_set()
    assert isinstance(artifact, EncodedArtifact), artifact
    with zipfile.ZipFile(artifact.path) as archive:
        assert archive.namelist() == ["a.bin", "big.bin"]
        assert archive.read("big.bin") == big.read_bytes()
    assert f"2 files of {folder.name}" in str(artifact.preview)


@pytest.mark.parametrize("given", GIVEN)
def test_a_file_that_never_rests_fails_with_its_name(folder: Path, tmp_path: Path, given: str) -> None:
    big, made = folder / "big.bin", tmp_path / "made"
    with meanwhile(made, lambda: grow(big), again=True):
        outcome = encode("out", GIVEN[given](folder), folder=made)
    assert isinstance(outcome, KnownFailure), outcome
    assert f"artifact 'out': {big} changed while it was read; try again" in outcome.reason
    assert list(made.iterdir()) == []


def test_a_file_that_is_removed_meanwhile_is_not_in_the_archive(folder: Path, tmp_path: Path) -> None:
    with meanwhile(tmp_path / "made", (folder / "big.bin").unlink) as changed:
        artifact = encode("out", folder, folder=tmp_path / "made")
    assert changed.is_set()
    assert isinstance(artifact, EncodedArtifact), artifact
    with zipfile.ZipFile(artifact.path) as archive:
        assert archive.namelist() == ["a.bin"]


def test_a_package_of_weights_is_never_half_of_one(folder: Path, tmp_path: Path) -> None:
    target, big = tmp_path / "made" / "package.zip", folder / "big.bin"
    big.write_bytes(CONTENT * 6)  # a package is not compressed
    members = members_of([folder])
    with meanwhile(target.parent, lambda: grow(big)) as changed:
        assert pack(members, target) == target.stat().st_size
    assert changed.is_set()
    with zipfile.ZipFile(target) as archive:
        assert archive.read("big.bin") == big.read_bytes()
        assert [entry.compress_type for entry in archive.infolist()] == [zipfile.ZIP_STORED] * 2
    target.unlink()
    target.parent.rmdir()
    with meanwhile(target.parent, lambda: grow(big), again=True), pytest.raises(StorageError, match="changed while it was read"):
        pack(members, target)
    assert list(target.parent.iterdir()) == []
