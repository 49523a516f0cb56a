"""What every place for files does alike."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from pathlib import Path

import pytest

from atrains._storage.base import ChangedError, FileInfo
from atrains.errors import StorageError
from tests.contract.storage.conftest import Place

NAMES = ["plain.bin", "deep/er/with space.txt", "100% of it.csv", "ünïcode 日本.csv", "a+b&c=d;e'f.txt", "x" * 200, "x.tar.gz", ".hidden"]
LARGE = os.urandom(1 << 20) * 5 + b"end"


@pytest.mark.parametrize("name", NAMES)
async def test_a_file_comes_back_as_it_was(place: Place, tmp_path: Path, name: str) -> None:
    before = time.time()
    url = await place.store(name, LARGE, tmp_path / "scratch")
    got = await place.storage.get(url, tmp_path / "got" / "file")
    assert got == (url, len(LARGE), hashlib.sha256(LARGE).hexdigest())
    assert (tmp_path / "got" / "file").read_bytes() == LARGE
    assert os.listdir(tmp_path / "got") == ["file"]
    assert (place.folder / name).read_bytes() == LARGE
    info = await place.storage.stat(url)
    assert info is not None
    assert info[:3] == (url, name.rpartition("/")[2], len(LARGE))
    assert info.modified is not None
    assert abs(info.modified - before) < 60
    assert await place.storage.exists(url)


async def test_what_is_not_there(place: Place, tmp_path: Path) -> None:
    await place.store("file", b"x", tmp_path / "scratch")
    for missing in (place.url("missing"), place.url("no/such/folder/file"), place.url("file/below")):
        assert await place.storage.stat(missing) is None
        assert not await place.storage.exists(missing)
        with pytest.raises(StorageError):
            await place.storage.get(missing, tmp_path / "got" / "file")
        assert os.listdir(tmp_path / "got") == [] if (tmp_path / "got").exists() else True


async def test_a_folder_is_no_file(place: Place, tmp_path: Path) -> None:
    if place.kind == "plain http":
        pytest.skip("a web server shows folders as pages: for http they are files")
    await place.store("folder/file", b"x", tmp_path / "scratch")
    assert not await place.storage.exists(place.url("folder"))
    assert await place.storage.stat(place.url("folder")) is None
    with pytest.raises(StorageError):
        await place.storage.get(place.url("folder"), tmp_path / "got")


async def test_an_empty_file_is_one(place: Place, tmp_path: Path) -> None:
    url = await place.store("empty", b"", tmp_path / "scratch")
    assert (await place.storage.get(url, tmp_path / "got")).size == 0
    assert (tmp_path / "got").read_bytes() == b""
    info = await place.storage.stat(url)
    assert info is not None
    assert info.size == 0


async def test_files_are_replaced_whole(place: Place, tmp_path: Path) -> None:
    """Readers that come while a file is replaced get the old one or the new one, or are told that it changed."""
    contents = [bytes([number]) * 300_000 for number in range(8)]
    url = await place.store("file", contents[0], tmp_path / "scratch")

    async def replace() -> None:
        for number, content in enumerate(contents):
            await place.store("file", content, tmp_path / f"scratch{number}")

    async def read(number: int) -> None:
        for _ in range(10):
            try:
                await place.storage.get(url, tmp_path / f"got{number}")
            except ChangedError:
                continue
            assert (tmp_path / f"got{number}").read_bytes() in contents

    if not place.writable:
        pytest.skip("nothing is replaced there")
    await asyncio.gather(replace(), *(read(number) for number in range(3)))


async def test_removing(place: Place, tmp_path: Path) -> None:
    url = await place.store("deep/file", b"x", tmp_path / "scratch")
    beside = await place.store("deep/beside", b"x", tmp_path / "scratch")
    if not place.writable:
        with pytest.raises(StorageError, match=r"cannot be removed"):
            await place.storage.delete(url)
        return
    assert await place.storage.delete(url)
    assert not await place.storage.delete(url)
    assert not await place.storage.exists(url)
    assert await place.storage.exists(beside)


async def test_listing(place: Place, tmp_path: Path) -> None:
    for number, name in enumerate(("b.txt", "a/two", "a/one", "a/deep/er", "c")):
        await place.store(f"set/{name}", b"x" * number, tmp_path / "scratch")
    await place.store("beside", b"x", tmp_path / "scratch")
    if not place.listable:
        with pytest.raises(StorageError, match=r"cannot be listed.* http servers have no such request\. Folders can be listed"):
            await anext(place.storage.list(place.url("set")))
        return
    found = [info async for info in place.storage.list(place.url("set"))]
    assert sorted((info.path, info.size) for info in found) == [("a/deep/er", 3), ("a/one", 2), ("a/two", 1), ("b.txt", 0), ("c", 4)]
    assert all(info.modified and info.modified > 1e9 for info in found)
    for info in found:
        assert info.url == place.url(f"set/{info.path}")
        assert (await place.storage.get(info.url, tmp_path / "got")).size == info.size
    assert [info.path async for info in place.storage.list(place.url("set/c"))] == ["c"]
    assert [info async for info in place.storage.list(place.url("nothing"))] == []


async def test_a_listing_shows_what_can_be_fetched(place: Place, tmp_path: Path) -> None:
    if not place.listable:
        pytest.skip("cannot be listed")
    await place.store("set/file", b"x", tmp_path / "scratch")
    (place.folder / "set" / "0123456789abcdef").mkdir()
    (place.folder / "set" / ".0123456789abcdef.partial").write_bytes(b"half")
    (place.folder / "set" / "broken").symlink_to(tmp_path / "nowhere")
    (place.folder / "set" / "linked").symlink_to(place.folder / "set" / "file")
    (place.folder / "set" / "loop").symlink_to(place.folder / "set")
    os.mkfifo(place.folder / "set" / "pipe")
    assert [info.path async for info in place.storage.list(place.url("set"))] == ["file", "linked"]


async def test_a_long_listing_is_left_early(place: Place, tmp_path: Path) -> None:
    if not place.listable:
        pytest.skip("cannot be listed")
    (place.folder / "set").mkdir(parents=True)
    for number in range(600):
        (place.folder / "set" / f"{number:03}").touch()
    listing = place.storage.list(place.url("set"))
    assert isinstance(await anext(listing), FileInfo)
    await listing.aclose()
    assert len([info async for info in place.storage.list(place.url("set"))]) == 600


async def test_a_cancelled_transfer_leaves_nothing(place: Place, tmp_path: Path) -> None:
    url = await place.store("file", LARGE * 4, tmp_path / "scratch")
    for delay in (0.0, 0.001, 0.005, 0.02):
        getting = asyncio.create_task(place.storage.get(url, tmp_path / "got" / "file"))
        await asyncio.sleep(delay)
        if getting.cancel():
            with pytest.raises(asyncio.CancelledError):
                await getting
        for _ in range(100):  # a thread may write its last block still
            left = os.listdir(tmp_path / "got") if (tmp_path / "got").exists() else []
            if not [name for name in left if name != "file"]:
                break
            await asyncio.sleep(0.02)
        assert set(left) <= {"file"}
        if left:
            assert (tmp_path / "got" / "file").read_bytes() == LARGE * 4
            (tmp_path / "got" / "file").unlink()


async def test_a_kept_part_is_never_mixed_up(place: Place, tmp_path: Path) -> None:
    """Whatever is in the file that keeps a transfer, what comes out is what is there now."""
    url = await place.store("file", LARGE, tmp_path / "scratch")
    kept = tmp_path / "kept"
    old = b"old" * 1000
    for left, version in ((b"", None), (old, None), (old, '"another"'), (old * 9000, '"another"'), (old, "")):
        kept.write_bytes(left)
        if version is not None:
            (tmp_path / "kept.version").write_text(version)
        got = await place.storage.get(url, tmp_path / "got", kept=kept)
        assert got.sha256 == hashlib.sha256(LARGE).hexdigest()
        assert (tmp_path / "got").read_bytes() == LARGE
