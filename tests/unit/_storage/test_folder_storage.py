"""Files in local folders: whole or not at all, and only the file that was meant."""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from atrains._storage.base import Storage
from atrains._storage.copying import hash_file
from atrains._storage.folder import FolderStorage, to_path
from atrains._storage.registry import default_registry
from atrains.errors import StorageError

LARGE = os.urandom(1 << 20) * 64


@pytest.fixture
def storage() -> Storage:
    return FolderStorage()


@contextmanager
def growing(path: Path) -> Iterator[None]:
    """A program that appends to a file all the time."""
    started, stop = threading.Event(), threading.Event()

    def append() -> None:
        with path.open("ab", buffering=0) as file:
            while not stop.wait(0.0005):
                file.write(b"x")
                started.set()

    writer = threading.Thread(target=append)
    writer.start()
    try:
        assert started.wait(10)
        yield
    finally:
        stop.set()
        writer.join()


async def test_a_file_is_stored_with_its_checksum_and_comes_back(storage: Storage, tmp_path: Path) -> None:
    source = tmp_path / "source.bin"
    source.write_bytes(LARGE[: 3 << 20])
    url = f"file://{tmp_path}/My project/a%2Fb/run #1.bin"
    stored = await storage.put(source, url)
    assert (stored.size, stored.sha256) == (3 << 20, hashlib.sha256(source.read_bytes()).hexdigest())
    assert storage.local_path(url) == tmp_path / "My project" / "a%2Fb" / "run #1.bin"
    assert await storage.exists(url)
    fetched = await storage.get(url, tmp_path / "back" / "file")
    assert fetched.sha256 == stored.sha256
    assert (tmp_path / "back" / "file").read_bytes() == source.read_bytes()
    assert await storage.delete(url)
    assert not await storage.delete(url)
    assert not await storage.exists(url)


async def test_a_file_replaces_the_older_one_and_may_be_read_by_others(storage: Storage, tmp_path: Path) -> None:
    (tmp_path / "new").write_bytes(b"new")
    (tmp_path / "target").write_bytes(b"old content")
    await storage.put(tmp_path / "new", str(tmp_path / "target"))
    assert (tmp_path / "target").read_bytes() == b"new"
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE((tmp_path / "target").stat().st_mode) == 0o666 & ~mask


async def test_the_longest_name_that_a_file_system_takes_can_be_stored(storage: Storage, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    target = tmp_path / ("n" * 255)
    await storage.put(tmp_path / "a", str(target))
    assert target.read_bytes() == b"a"


def no_source(folder: Path) -> tuple[Path, Path]:
    return folder / "missing", folder / "target"


def folder_as_source(folder: Path) -> tuple[Path, Path]:
    return folder, folder / "target"


def pipe_as_source(folder: Path) -> tuple[Path, Path]:
    os.mkfifo(folder / "pipe")
    return folder / "pipe", folder / "target"


def folder_as_target(folder: Path) -> tuple[Path, Path]:
    (folder / "a").write_bytes(b"a")
    (folder / "target").mkdir()
    return folder / "a", folder / "target"


def file_in_the_way(folder: Path) -> tuple[Path, Path]:
    (folder / "a").write_bytes(b"a")
    return folder / "a", folder / "a" / "target"


@pytest.mark.parametrize("case", [no_source, folder_as_source, pipe_as_source, folder_as_target, file_in_the_way])
async def test_what_cannot_be_copied_is_one_clear_error_and_leaves_nothing(
    storage: Storage, tmp_path: Path, case: Callable[[Path], tuple[Path, Path]]
) -> None:
    source, target = case(tmp_path)
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(StorageError) as caught:
        await storage.put(source, str(target))
    assert str(tmp_path) in str(caught.value)
    assert "check" in str(caught.value)
    assert sorted(os.listdir(tmp_path)) == before


async def test_a_source_that_is_being_written_is_refused_and_the_older_target_kept(storage: Storage, tmp_path: Path) -> None:
    source, target = tmp_path / "log", tmp_path / "stored"
    source.write_bytes(LARGE)
    target.write_bytes(b"older")
    with growing(source), pytest.raises(StorageError, match="changed while it was read"):
        await storage.put(source, str(target))
    assert target.read_bytes() == b"older"
    assert sorted(os.listdir(tmp_path)) == ["log", "stored"]


def test_a_checksum_of_a_file_that_is_being_written_is_never_given(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(LARGE)
    with growing(tmp_path / "log"), pytest.raises(StorageError, match="changed while it was read"):
        hash_file(tmp_path / "log")


async def test_a_cancelled_copy_stops_and_never_appears(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "out" / "target"
    source.touch()
    os.truncate(source, 1 << 34)  # a hole: long to read, no room on the disk
    ended = threading.Event()

    async def run(work: Callable[[], object]) -> object:
        def watched() -> object:
            try:
                return work()
            finally:
                ended.set()

        return await asyncio.to_thread(watched)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(FolderStorage(run).put(source, str(target)), 0.05)  # type: ignore[arg-type]
    assert await asyncio.to_thread(ended.wait, 10)
    assert os.listdir(target.parent) == []


async def test_a_reader_never_sees_half_a_file(storage: Storage, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(LARGE[: 16 << 20])
    sizes = set()
    for _ in range(3):
        copying = asyncio.create_task(storage.put(source, str(target)))
        while not copying.done():
            sizes.update(entry.stat().st_size for entry in os.scandir(tmp_path) if entry.name == "target")
            await asyncio.sleep(0)
        await copying
    assert sizes == {16 << 20}


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("file:///data/a%20b", "/data/a%20b"),
        ("FILE:///data/x", "/data/x"),
        ("file://localhost/data/x", "/data/x"),
        ("/data/x y", "/data/x y"),
    ],
)
def test_a_file_url_is_taken_as_other_clients_write_it(url: str, path: str) -> None:
    assert to_path(url) == Path(path)


def test_a_relative_path_is_below_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert to_path("out/x") == tmp_path / "out" / "x"


@pytest.mark.parametrize("url", ["file://server/share/x", "file://", "", "a\0b"])
def test_a_url_of_another_machine_or_of_nothing_is_refused(url: str) -> None:
    with pytest.raises(StorageError, match="file:///absolute/path"):
        to_path(url)


def test_the_storage_is_found_by_scheme_and_made_once(tmp_path: Path) -> None:
    registry = default_registry()
    first = registry.for_url(f"file://{tmp_path}/x")
    assert isinstance(first, FolderStorage)
    assert all(registry.for_url(url) is first for url in (str(tmp_path), "relative/x", "C:\\data\\x", "FILE:///x"))


def test_an_unknown_scheme_lists_the_known_ones() -> None:
    with pytest.raises(StorageError, match=r"ftp://.*file://"):
        default_registry().for_url("ftp://host/x")
