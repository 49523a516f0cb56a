"""Archives from anywhere: unpacked whole and inside, or refused with nothing left. Zip files of artifacts are in test_artifact_codec."""

from __future__ import annotations

import io
import os
import tarfile
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from atrains._engine import unpacking
from atrains._engine.unpacking import is_archive, unpack_archive
from atrains.errors import StorageError

Add = Callable[[str, bytes], None]


def make(path: Path, **files: bytes) -> Path:
    """An archive of the kind that its name says."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return path
    with tarfile.open(path, {".gz": "w:gz", ".tgz": "w:gz", ".tar": "w:", ".xz": "w:xz", ".bz2": "w:bz2"}[path.suffix]) as tar:
        for name, content in files.items():
            add(tar, name, content)
    return path


def add(tar: tarfile.TarFile, name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.type, member.linkname, member.mode = len(content), kind, link, mode
    tar.addfile(member, io.BytesIO(content))


def below(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


FILES = {"a.txt": b"a", "deep/er/b.txt": b"b" * 3_000_000, "empty": b"", "ünïcode 日本": b"x"}


@pytest.mark.parametrize("name", ["x.zip", "x.tar.gz", "x.tgz", "x.tar", "x.tar.xz", "x.tar.bz2"])
def test_what_was_packed_comes_out(tmp_path: Path, name: str) -> None:
    path = make(tmp_path / name, **FILES)
    assert unpack_archive(path, tmp_path / "out") == tmp_path / "out"
    assert below(tmp_path / "out") == FILES
    assert sorted(os.listdir(tmp_path)) == sorted([name, "out"])


def test_what_counts_as_an_archive() -> None:
    assert all(map(is_archive, ("a.zip", "A.ZIP", "a.tar.gz", "b.tgz")))
    assert not any(map(is_archive, ("a.gz", "a.tar", "zip", "a.zip.txt", "model.pt")))


def test_the_content_says_what_it_is(tmp_path: Path) -> None:
    make(tmp_path / "x.tar.gz", a=b"a").rename(tmp_path / "x.zip")
    assert below(unpack_archive(tmp_path / "x.zip", tmp_path / "out")) == {"a": b"a"}


@pytest.mark.parametrize(
    ("name", "kind", "link", "reason"),
    [
        ("../evil", tarfile.REGTYPE, "", "outside of the folder"),
        ("a/../../evil", tarfile.REGTYPE, "", "outside of the folder"),
        ("/etc/evil", tarfile.REGTYPE, "", "outside of the folder"),
        ("..\\evil", tarfile.REGTYPE, "", "outside of the folder"),
        ("C:/evil", tarfile.REGTYPE, "", "outside of the folder"),
        ("../evil", tarfile.DIRTYPE, "", "outside of the folder"),
        ("evil", tarfile.SYMTYPE, "/etc", "is a link"),
        ("evil", tarfile.SYMTYPE, "good", "is a link"),
        ("evil", tarfile.LNKTYPE, "/etc/passwd", "is a link"),
        ("evil", tarfile.FIFOTYPE, "", "is no regular file"),
        ("evil", tarfile.CHRTYPE, "", "is no regular file"),
    ],
)
def test_a_tar_file_that_would_write_elsewhere_is_refused_whole(tmp_path: Path, name: str, kind: bytes, link: str, reason: str) -> None:
    (tmp_path / "inner").mkdir()
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as tar:
        add(tar, "good", b"good")
        add(tar, name, kind=kind, link=link)
    with pytest.raises(StorageError, match=rf"was not unpacked: its entry .*evil.* {reason}"):
        unpack_archive(tmp_path / "x.tar.gz", tmp_path / "inner" / "out")
    assert below(tmp_path).keys() == {"x.tar.gz"}
    assert os.listdir(tmp_path / "inner") == []


@pytest.mark.parametrize("name", ["bomb.zip", "bomb.tar.gz"])
def test_a_bomb_is_refused(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "FREE_OF_DOUBT", 10_000_000)
    path = make(tmp_path / name, zeros=bytes(40_000_000), more=bytes(40_000_000))
    assert path.stat().st_size < 200_000
    with pytest.raises(StorageError, match=r"or more would come of it, as of a file that is made to fill a disk"):
        unpack_archive(path, tmp_path / "out")
    assert os.listdir(tmp_path) == [name]
    fine = make(tmp_path / f"fine.{name}", zeros=bytes(9_000_000))
    assert below(unpack_archive(fine, tmp_path / "out")) == {"zeros": bytes(9_000_000)}


@pytest.mark.parametrize("name", ["many.zip", "many.tar.gz"])
def test_too_many_entries_are_refused(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "MOST_ENTRIES", 20)
    path = make(tmp_path / name, **{str(number): b"" for number in range(21)})
    with pytest.raises(StorageError, match="21 entries"):
        unpack_archive(path, tmp_path / "out")
    assert os.listdir(tmp_path) == [name]


def test_the_limits_are_those_that_are_documented() -> None:
    assert (unpacking.MOST_ENTRIES, unpacking.FREE_OF_DOUBT, unpacking.MOST_GROWTH) == (1_000_000, 1 << 30, 200)
    assert "1,000,000" in (unpack_archive.__doc__ or "")


def test_a_sparse_promise_larger_than_the_disk_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        add(tar, "large", b"x")
    content = bytearray((tmp_path / "x.tar").read_bytes())
    content[124:136] = b"\x80" + (1 << 60).to_bytes(11, "big")
    content[148:156] = b"        "
    content[148:156] = f"{sum(content[:512]):06o}\0 ".encode()
    (tmp_path / "x.tar").write_bytes(content)
    with pytest.raises(StorageError, match="make room"):
        unpack_archive(tmp_path / "x.tar", tmp_path / "out")
    assert os.listdir(tmp_path) == ["x.tar"]


@pytest.mark.parametrize("keep", [0, 1, 100, 0.5, 0.9])
def test_what_is_cut_off_or_no_archive_is_our_error(tmp_path: Path, keep: float) -> None:
    path = make(tmp_path / "x.tar.gz", noise=os.urandom(500_000), more=os.urandom(500_000))
    size = path.stat().st_size
    os.truncate(path, int(keep if keep >= 1 or not keep else size * keep))
    with pytest.raises(StorageError, match=r"cannot be unpacked .*fetch it again"):
        unpack_archive(path, tmp_path / "out")
    assert os.listdir(tmp_path) == ["x.tar.gz"]


@pytest.mark.parametrize("name", ["x.zip", "x.tar.gz"])
def test_unpacking_can_be_stopped(tmp_path: Path, name: str) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(StorageError, match="cancelled"):
        unpack_archive(make(tmp_path / name, a=b"a"), tmp_path / "out", stop=stop)
    assert os.listdir(tmp_path) == [name]


def test_programs_stay_programs_and_nothing_gets_more_rights(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        add(tar, "program", b"#!/bin/sh", mode=0o4755)
        add(tar, "closed", b"x", mode=0o000)
        add(tar, "open", b"x", mode=0o777)
    out = unpack_archive(tmp_path / "x.tar", tmp_path / "out")
    plain = out / "plain"
    plain.touch()
    usual = plain.stat().st_mode & 0o7777
    assert (out / "closed").stat().st_mode & 0o7777 == usual
    assert (out / "program").stat().st_mode & 0o7777 == usual | (usual & 0o444) >> 2
    assert (out / "open").stat().st_mode & 0o7777 == usual | (usual & 0o444) >> 2
