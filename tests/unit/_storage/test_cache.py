"""The cache of fetched files: what is kept, checked, and removed. Several processes at once are in tests/process."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event

import pytest

from atrains._storage import cache as module
from atrains._storage.base import StoredFile
from atrains._storage.cache import CacheLimits, FileCache
from atrains._storage.copying import copy_file
from atrains.errors import StorageError

ROOMY = CacheLimits(max_bytes=1 << 30, max_files=1000)


def write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


class Place:
    """Somewhere that files are fetched from: content by URL."""

    def __init__(self, **content: bytes) -> None:
        self.content = {f"s3://bucket/{name}": text for name, text in content.items()}
        self.fetched: list[str] = []

    def fetch(self, url: str) -> module.Fetch:
        async def get(target: Path, kept: Path) -> StoredFile:
            del kept
            self.fetched.append(url)
            await asyncio.sleep(0.01)
            write(target, self.content[url])
            return StoredFile(url, len(self.content[url]), hashlib.sha256(self.content[url]).hexdigest())

        return get


@pytest.fixture(autouse=True)
def others() -> Iterator[None]:
    """This process was given nothing yet."""
    yield
    while module._recent:
        module._recent.pop().release()


@contextmanager
def nothing_is_in_use() -> Iterator[None]:
    """As if every process that was given something had ended."""
    while module._recent:
        module._recent.pop().release()
    yield


def entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*/file/*"))


async def test_a_file_is_fetched_once(tmp_path: Path) -> None:
    place, cache = Place(a=b"content"), FileCache(tmp_path / "c", ROOMY)
    paths = await asyncio.gather(*(cache.get("s3://bucket/a", place.fetch("s3://bucket/a")) for _ in range(20)))
    assert place.fetched == ["s3://bucket/a"]
    assert len(set(paths)) == 1
    assert paths[0].read_bytes() == b"content"
    assert paths[0].name == "a"
    await FileCache(tmp_path / "c", ROOMY).get("s3://bucket/a", place.fetch("s3://bucket/a"))
    assert len(place.fetched) == 1


async def test_another_hash_is_another_file(tmp_path: Path) -> None:
    place, cache = Place(a=b"old"), FileCache(tmp_path, ROOMY)
    url = "s3://bucket/a"
    old = await cache.get(url, place.fetch(url), sha256=hashlib.sha256(b"old").hexdigest())
    place.content[url] = b"new"
    assert (await cache.get(url, place.fetch(url), sha256=hashlib.sha256(b"new").hexdigest().upper())).read_bytes() == b"new"
    assert old.read_bytes() == b"old", "who was given it reads it still"


async def test_without_a_hash_only_force_sees_a_change(tmp_path: Path) -> None:
    place, cache, url = Place(a=b"old"), FileCache(tmp_path, ROOMY), "s3://bucket/a"
    path = await cache.get(url, place.fetch(url))
    place.content[url] = b"newer"
    assert (await cache.get(url, place.fetch(url))).read_bytes() == b"old"
    with path.open("rb") as reading:
        assert (await cache.get(url, place.fetch(url), force=True)).read_bytes() == b"newer"
        assert reading.read() == b"old", "an open file is not changed under its reader"


@pytest.mark.parametrize("damage", ["cut", "same size", "gone", "note", "all"])
async def test_a_damaged_entry_is_fetched_again(tmp_path: Path, damage: str) -> None:
    place, cache, url = Place(a=b"content"), FileCache(tmp_path, ROOMY), "s3://bucket/a"
    path = await cache.get(url, place.fetch(url))
    entry = path.parents[1]
    if damage == "cut":
        os.truncate(path, 3)
    elif damage == "same size":
        path.write_bytes(b"CONTENT")
    elif damage == "gone":
        path.unlink()
    elif damage == "note":
        (entry / ".entry").write_bytes(b'{"size"')
    else:
        for left in (path, entry / ".entry", entry / ".lock"):
            left.unlink()
    assert (await cache.get(url, place.fetch(url))).read_bytes() == b"content"
    assert len(place.fetched) == 2


async def test_a_file_that_was_touched_and_is_the_same_stays(tmp_path: Path) -> None:
    place, cache, url = Place(a=b"content"), FileCache(tmp_path, ROOMY), "s3://bucket/a"
    os.utime(await cache.get(url, place.fetch(url)), (1, 1))
    await cache.get(url, place.fetch(url))
    assert len(place.fetched) == 1


@pytest.mark.parametrize(
    ("content", "recorded", "said"),
    [
        (b"other", {"sha256": hashlib.sha256(b"content").hexdigest()}, "recorded ed7002b4"),
        (b"", {"size": 7}, "0 bytes, recorded 7"),
        (b"cont", {"size": 7}, "4 bytes, recorded 7"),
    ],
)
async def test_what_is_not_what_was_recorded_is_an_error(tmp_path: Path, content: bytes, recorded: dict[str, object], said: str) -> None:
    place, cache, url = Place(a=content), FileCache(tmp_path, ROOMY), "s3://bucket/a"
    with pytest.raises(StorageError, match=f"s3://bucket/a is not the file that was recorded .*{said}"):
        await cache.get(url, place.fetch(url), **recorded)  # type: ignore[arg-type]
    assert entries(tmp_path) == []
    place.content[url] = b"content"
    assert (await cache.get(url, place.fetch(url), **recorded)).read_bytes() == b"content"  # type: ignore[arg-type]


async def test_an_empty_file_is_a_file_where_nothing_else_was_promised(tmp_path: Path) -> None:
    place, cache, url = Place(a=b""), FileCache(tmp_path, ROOMY), "s3://bucket/a"
    assert (await cache.get(url, place.fetch(url))).read_bytes() == b""
    assert (await cache.get(url, place.fetch(url), size=0)).read_bytes() == b""
    assert len(place.fetched) == 1


async def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    names = [f"f{number}" for number in range(6)]
    place, cache = Place(**dict.fromkeys(names, b"x")), FileCache(tmp_path, CacheLimits(max_bytes=1 << 30, max_files=3))
    for age, name in enumerate(names[:3]):
        path = await cache.get(f"s3://bucket/{name}", place.fetch(f"s3://bucket/{name}"))
        os.utime(path.parents[1] / ".used", (age + 1, age + 1))
    await cache.get("s3://bucket/f0", place.fetch("s3://bucket/f0"))  # used again
    with nothing_is_in_use():
        await cache.get("s3://bucket/f3", place.fetch("s3://bucket/f3"))
    assert entries(tmp_path) == ["f0", "f2", "f3"]
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]


async def test_the_bytes_of_what_was_unpacked_count(tmp_path: Path) -> None:
    place = Place(**{"a.zip": b"x" * 100, "b.zip": b"x" * 100})
    cache = FileCache(tmp_path, CacheLimits(max_bytes=60_000, max_files=100))

    def unpack(archive: Path, target: Path, stop: Event) -> None:
        target.mkdir(parents=True)
        (target / "deep").mkdir()
        (target / "deep" / "large").write_bytes(bytes(50_000))

    for name in ("a.zip", "b.zip"):
        with nothing_is_in_use():
            folder = await cache.get(f"s3://bucket/{name}", place.fetch(f"s3://bucket/{name}"), unpack=unpack)
        assert folder.name == name[0]
    assert entries(tmp_path) == ["b.zip"]
    assert (folder / "deep" / "large").stat().st_size == 50_000


async def test_what_a_process_was_given_last_stays_whatever_the_limit(tmp_path: Path) -> None:
    names = [f"f{number}" for number in range(12)]
    place, cache = Place(**dict.fromkeys(names, b"x" * 1000)), FileCache(tmp_path, CacheLimits(max_bytes=1, max_files=100))
    paths = [await cache.get(f"s3://bucket/{name}", place.fetch(f"s3://bucket/{name}")) for name in names]
    assert [path.exists() for path in paths] == [False] * 4 + [True] * 8
    few = FileCache(tmp_path, CacheLimits(max_bytes=1 << 30, max_files=2))
    place.content["s3://bucket/last"] = b"x"
    await few.get("s3://bucket/last", place.fetch("s3://bucket/last"))
    assert len(entries(tmp_path)) == 2, "a limit below that is kept"


async def test_what_failed_or_was_cancelled_leaves_nothing_that_looks_whole(tmp_path: Path) -> None:
    cache = FileCache(tmp_path, ROOMY)

    async def broken(target: Path, kept: Path) -> StoredFile:
        write(kept, b"half")
        raise StorageError("the place is gone")

    async def endless(target: Path, kept: Path) -> StoredFile:
        write(kept, b"half")
        await asyncio.sleep(60)
        raise AssertionError

    with pytest.raises(StorageError, match="the place is gone"):
        await cache.get("s3://bucket/a", broken)
    for _ in range(3):
        waiting = [asyncio.create_task(cache.get("s3://bucket/b", endless)) for _ in range(3)]
        await asyncio.sleep(0.05)
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
    assert entries(tmp_path) == []
    assert not [entry for entry in os.listdir(tmp_path) if ".whole" in os.listdir(tmp_path / entry)]
    place = Place(b=b"content")
    assert (await asyncio.wait_for(cache.get("s3://bucket/b", place.fetch("s3://bucket/b")), 5)).read_bytes() == b"content"


async def test_a_cancelled_unpacking_is_stopped_and_begun_anew(tmp_path: Path) -> None:
    place, cache, begun, stopped = Place(**{"a.zip": b"x"}), FileCache(tmp_path, ROOMY), threading.Event(), threading.Event()

    def slow(archive: Path, target: Path, stop: Event) -> None:
        half = target.with_name(".half.partial")
        half.mkdir(parents=True)
        begun.set()
        assert stop.wait(10)
        stopped.set()
        raise StorageError("cancelled")

    def quick(archive: Path, target: Path, stop: Event) -> None:
        assert not list(target.parent.glob(".*")), "what the first one left is gone"
        target.mkdir(parents=True)

    url = "s3://bucket/a.zip"
    task = asyncio.create_task(cache.get(url, place.fetch(url), unpack=slow))
    await asyncio.to_thread(begun.wait, 10)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert stopped.is_set()
    assert (await cache.get(url, place.fetch(url), unpack=quick)).is_dir()


async def test_a_local_archive_is_unpacked_anew_after_it_changed(tmp_path: Path) -> None:
    archive, cache = tmp_path / "a.tar.gz", FileCache(tmp_path / "c", ROOMY)

    def unpack(source: Path, target: Path, stop: Event) -> None:
        target.mkdir(parents=True)
        copy_file(source, target / "copy", stop=stop)

    archive.write_bytes(b"one")
    first = await cache.unpack(archive, unpack)
    assert first == await cache.unpack(archive, unpack)
    archive.write_bytes(b"three")
    assert (await cache.unpack(archive, unpack) / "copy").read_bytes() == b"three"
    assert (first / "copy").read_bytes() == b"one"
    assert first.name == "a"


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://host/a/my%20data.csv?token=x#part", "my data.csv"),
        ("https://host/", "_"),
        ("https://host/..%2f..%2fetc/passwd", "passwd"),
        ("https://host/a/%2e%2e", "0x2e0x2e"),
        ("s3://bucket/a/100%20.tar.gz", "1000x2520.tar.gz"),
        ("https://host/" + "x" * 400 + ".csv", None),
    ],
)
async def test_names_stay_inside(tmp_path: Path, url: str, name: str | None) -> None:
    place = Place()
    place.content[url] = b"x"
    path = await FileCache(tmp_path, ROOMY).get(url, place.fetch(url))
    assert path.parent.parent.parent == tmp_path
    assert path.name == name or (name is None and path.name.endswith(".csv"))


async def test_a_folder_that_cannot_be_written_is_our_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    place = Place(a=b"x")
    with pytest.raises(StorageError, match=r"the cache .*file.* cannot be used .*ATRAINS_CACHE_DIR"):
        await FileCache(tmp_path / "file" / "c", ROOMY).get("s3://bucket/a", place.fetch("s3://bucket/a"))
