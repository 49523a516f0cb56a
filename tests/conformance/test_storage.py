"""StorageManager, in both worlds and with both homes."""

from __future__ import annotations

import asyncio
import logging
import os
import tarfile
import threading
import time
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

import pytest

from atrains import AsyncStorageManager, AsyncTask, StorageManager
from atrains.errors import StorageError, ValidationError
from tests.web_server import serving


class Web(BaseHTTPRequestHandler):
    """A web server of somebody else: what it serves by path, what it was asked, what it does before it answers."""

    protocol_version = "HTTP/1.1"
    files: ClassVar[dict[str, bytes]] = {}
    asked: ClassVar[list[tuple[str, str, str | None]]] = []
    answers: ClassVar[list[int]] = []
    slow: ClassVar[threading.Event] = threading.Event()
    at_once: ClassVar[list[int]] = [0, 0]

    def do_GET(self) -> None:
        self.asked.append((self.command, self.path, self.headers.get("Authorization")))
        self.at_once[0] += 1
        self.at_once[1] = max(self.at_once)
        try:
            self._answer()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            self.at_once[0] -= 1

    do_HEAD = do_GET  # noqa: N815  # the name that the server calls

    def _answer(self) -> None:
        content = self.files.get(self.path)
        status = self.answers.pop(0) if self.answers else 404 if content is None else 200
        body = content if status == 200 and content is not None else b""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.path.startswith("/slow"):
            self.wfile.write(body[: len(body) // 2])
            self.slow.wait(10)
            body = body[len(body) // 2 :]
        elif self.path.startswith("/many"):
            time.sleep(0.03)
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web() -> Iterator[str]:
    Web.files, Web.asked, Web.answers, Web.slow, Web.at_once = {}, [], [], threading.Event(), [0, 0]
    with serving(Web) as url:
        yield url
        Web.slow.set()


@pytest.fixture
def manager(world: Any) -> Any:
    return AsyncStorageManager if world.Task is AsyncTask else StorageManager


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with files."""
    made = tmp_path / "a folder"
    for name in ("one.csv", "two.txt", "deep/er/three 100%.csv"):
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_text(name)
    return made


def read(path: str) -> bytes:
    return Path(path).read_bytes()


def write(path: str, content: bytes) -> None:
    Path(path).write_bytes(content)


def files_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


async def test_a_file_goes_to_the_files_server_and_comes_back(world: Any, manager: Any, tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    (tmp_path / "f.bin").write_bytes(content)
    url = f"{manager.get_files_server()}/some where/f.bin"
    assert await world(manager.upload_file(str(tmp_path / "f.bin"), url)) == url
    path = await world(manager.get_local_copy(url))
    assert isinstance(path, str)
    assert read(path) == content
    assert await world(manager.exists_file(url))
    assert await world(manager.get_file_size_bytes(url)) == len(content)
    assert await world(manager.get_metadata(url)) == {"name": "f.bin", "size": len(content)}
    assert await world(manager.get_metadata(url, return_full_path=True)) == {"name": url, "size": len(content)}
    assert await world(manager.delete(url)) is True
    assert await world(manager.delete(url)) is False
    assert not await world(manager.exists_file(url))
    assert await world(manager.get_file_size_bytes(url)) is None


async def test_folders_of_this_machine(world: Any, manager: Any, folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    target = tmp_path / "target"
    assert await world(manager.upload_folder(folder, f"file://{target}")) == f"file://{target}"
    everything = ["deep/er/three 100%.csv", "one.csv", "two.txt"]
    assert files_below(target) == everything
    assert await world(manager.list(f"file://{target}")) == sorted(everything, key=lambda name: ("/" in name, name))
    assert await world(manager.list(str(target / "deep"), return_full_path=True)) == [str(target / "deep/er/three 100%.csv")]
    assert await world(manager.list(str(target / "deep"), False, True)) == [{"name": "er/three 100%.csv", "size": 22}]
    assert await world(manager.list(str(tmp_path / "missing"))) == []
    for pattern, names in (("*.csv", everything[:2]), ("deep/*", everything[:1]), ("t*", everything[:1] + everything[2:])):
        some = tmp_path / "some" / pattern.replace("*", "x").replace("/", "y")
        await world(manager.upload_folder(str(folder), str(some), pattern))
        assert files_below(some) == names
        down = tmp_path / "down" / some.name
        assert await world(manager.download_folder(str(target), down, pattern)) == str(down)
        assert files_below(down / str(target).lstrip("/")) == names
    assert await world(manager.upload_folder(folder, str(target), "nothing*")) is None
    assert "no file in" in caplog.text
    assert await world(manager.download_folder(str(target))) == str(target)
    with pytest.raises(StorageError, match=r"there is no file below .*missing"):
        await world(manager.download_folder(str(tmp_path / "missing"), tmp_path / "down"))
    with pytest.raises(StorageError, match=r"there is no folder .*missing"):
        await world(manager.upload_folder(str(tmp_path / "missing"), str(target)))


async def test_a_folder_goes_to_the_files_server(world: Any, manager: Any, folder: Path, tmp_path: Path, home: str) -> None:
    root = f"{manager.get_files_server()}/sets/{tmp_path.name}"
    assert await world(manager.upload_folder(folder, root, "*.csv")) == root
    escaped = "three 100%.csv" if home == "in-process" else "three%20100%25.csv"
    path = await world(manager.download_file(f"{root}/deep/er/{escaped}", tmp_path / "got"))
    assert Path(path).name == "three 100%.csv"
    assert read(path).decode() == "deep/er/three 100%.csv"
    assert not await world(manager.exists_file(f"{root}/two.txt"))
    if home == "in-process":
        assert await world(manager.list(root)) == ["one.csv", "deep/er/three 100%.csv"]
    else:
        for call in (manager.list, manager.download_folder):
            with pytest.raises(StorageError, match=r"Folders can be listed" if call == manager.list else "name the local_folder"):
                await world(call(root))
        with pytest.raises(StorageError, match=r"cannot be listed"):
            await world(manager.download_folder(root, tmp_path / "all"))


async def test_a_download_keeps_the_path_and_what_is_there(world: Any, manager: Any, web: str, tmp_path: Path) -> None:
    Web.files["/a%20b/c.txt"] = b"new"
    path = await world(manager.download_file(f"{web}/a%20b/c.txt", str(tmp_path)))
    assert path == str(tmp_path / "a b" / "c.txt")
    write(path, b"mine")
    assert await world(manager.download_file(f"{web}/a%20b/c.txt", tmp_path)) == path
    assert read(path).decode() == "mine"
    await world(manager.download_file(f"{web}/a%20b/c.txt", tmp_path, True))
    assert read(path).decode() == "new"
    assert read(await world(manager.download_file(f"{web}/a%20b/c.txt"))).decode() == "new"
    for hostile in (f"{web}/../../x", f"{web}/%2e%2e/x", web):
        with pytest.raises(StorageError, match="outside of the folder"):
            await world(manager.download_file(hostile, tmp_path / "inner"))


async def test_what_is_fetched_once_is_kept(world: Any, manager: Any, web: str) -> None:
    Web.files["/f"] = b"one"
    first = await world(manager.get_local_copy(f"{web}/f"))
    Web.files["/f"] = b"three"
    assert await world(manager.get_local_copy(f"{web}/f")) == first
    assert read(first) == b"one"
    assert len(Web.asked) == 1
    other = await world(manager.get_local_copy(f"{web}/f", cache_context="other"))
    assert read(other) == b"three"
    assert await world(manager.get_local_copy(f"{web}/f", force_download=True)) == first
    assert read(first) == b"three"


async def test_the_number_of_kept_files(world: Any, manager: Any, web: str) -> None:
    assert manager.set_cache_file_limit(2, "few") == 2
    paths = []
    for number in range(5):
        Web.files[f"/{number}"] = b"x"
        paths.append(Path(await world(manager.get_local_copy(f"{web}/{number}", "few"))))
        time.sleep(0.01)  # noqa: ASYNC251  # in both worlds
    assert [path.exists() for path in paths] == [False, False, False, True, True]
    with pytest.raises(ValidationError, match="at least 1 file"):
        manager.set_cache_file_limit(0)


async def test_archives_are_unpacked(world: Any, manager: Any, web: str, folder: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive, tarfile.open(tmp_path / "b.tar.gz", "w:gz") as tar:
        for name in files_below(folder):
            archive.write(folder / name, name)
            tar.add(folder / name, name)
    for name in ("a.zip", "b.tar.gz"):
        Web.files[f"/{name}"] = (tmp_path / name).read_bytes()
        for url in (f"{web}/{name}", str(tmp_path / name)):
            unpacked = Path(await world(manager.get_local_copy(url)))
            assert files_below(unpacked) == files_below(folder)
            assert unpacked.name == name[0]
            assert (unpacked / "two.txt").read_text() == "two.txt"
            assert await world(manager.get_local_copy(url)) == str(unpacked)
            assert read(await world(manager.get_local_copy(url, extract_archive=False))) == (tmp_path / name).read_bytes()
    assert len(Web.asked) == 2
    assert await world(manager.get_local_copy(str(folder))) == str(folder)


async def test_hostile_archives_are_refused_and_leave_nothing(world: Any, manager: Any, web: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr("../../evil", "x")
    with tarfile.open(tmp_path / "evil.tgz", "w:gz") as tar:
        link = tarfile.TarInfo("evil")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc"
        tar.addfile(link)
    for name in ("evil.zip", "evil.tgz"):
        Web.files[f"/{name}"] = (tmp_path / name).read_bytes()
        with pytest.raises(StorageError, match=r"the set: .*was not unpacked: its entry .*evil"):
            await world(manager.get_local_copy(f"{web}/{name}", name="the set"))
    assert not [name for name in files_below(tmp_path) if "unpacked/" in name]


async def test_a_server_that_fails_in_passing_is_asked_again(world: Any, manager: Any, web: str) -> None:
    for number, statuses in enumerate(([408, 429], [500, 503])):
        Web.files[f"/{number}"] = b"content"
        Web.answers[:] = statuses
        assert read(await world(manager.get_local_copy(f"{web}/{number}"))) == b"content"
    Web.asked.clear()
    with pytest.raises(StorageError, match=r"/missing cannot be fetched: .*404: there is no such file"):
        await world(manager.get_local_copy(f"{web}/missing"))
    assert len(Web.asked) == 1


async def test_our_token_goes_to_nobody_else(world: Any, manager: Any, web: str, tmp_path: Path, home: str) -> None:
    Web.files["/f"] = b"x"
    (tmp_path / "f").write_bytes(b"x")
    if home != "in-process":  # logged in, so that there is a token
        await world(manager.upload_file(tmp_path / "f", f"{manager.get_files_server()}/f"))
    await world(manager.get_local_copy(f"{web}/f"))
    await world(manager.exists_file(f"{web}/f"))
    with pytest.raises(StorageError):
        await world(manager.delete(f"{web}/f"))
    with pytest.raises(StorageError):
        await world(manager.upload_file(tmp_path / "f", f"{web}/f"))
    assert len(Web.asked) >= 2
    assert {authorization for _, _, authorization in Web.asked} == {None}


async def test_not_more_than_eight_at_once(world: Any, manager: Any, web: str, tmp_path: Path) -> None:
    names = [f"many{number}" for number in range(40)]
    Web.files.update({f"/{name}": b"x" for name in names})
    if world.Task is AsyncTask:
        await asyncio.gather(*(manager.download_file(f"{web}/{name}", tmp_path) for name in names))
    else:
        threads = [threading.Thread(target=manager.download_file, args=(f"{web}/{name}", tmp_path)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert files_below(tmp_path)[: len(names)] == sorted(files_below(tmp_path))[: len(names)]
    assert all((tmp_path / name).read_bytes() == b"x" for name in names)
    assert 2 <= Web.at_once[1] <= 8


async def test_one_of_many_that_fails_ends_the_others(world: Any, manager: Any, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "deep").write_text("a file where a folder is to be")
    with pytest.raises(StorageError, match="deep"):
        await world(manager.upload_folder(folder, str(tmp_path / "target")))


async def test_an_upload_that_nobody_waits_for(world: Any, manager: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "f").write_bytes(b"x" * 1000)
    url = f"{manager.get_files_server()}/background/f"
    assert await world(manager.upload_file(tmp_path / "f", url, wait_for_upload=False)) == url
    for _ in range(500):
        if await world(manager.exists_file(url)):
            break
        await world.sleep(0.01)
    assert read(await world(manager.get_local_copy(url, force_download=True))) == b"x" * 1000
    with caplog.at_level(logging.ERROR):
        await world(manager.upload_file(tmp_path / "missing", url, False))
        for _ in range(500):
            if "missing was not stored at" in caplog.text:
                break
            await world.sleep(0.01)
    assert "missing was not stored at" in caplog.text


async def test_wrong_urls_say_what_is_wrong(world: Any, manager: Any, tmp_path: Path) -> None:
    for call in (manager.get_local_copy, manager.list, manager.exists_file, manager.delete):
        with pytest.raises(StorageError, match=r"no storage for ftp://.*one of: file://, home://, http://, https://"):
            await world(call("ftp://host/file"))
    with pytest.raises(StorageError, match=r"there is no file .*missing"):
        await world(manager.get_local_copy(str(tmp_path / "missing")))
    with pytest.raises(StorageError, match=r"the files below http://host/folder cannot be listed"):
        await world(manager.list("http://user:a:secret@host/folder"))
    with pytest.raises(StorageError, match=r"names the machine 'other'"):
        await world(manager.get_local_copy("file://other/file"))
    with pytest.raises(StorageError, match="missing"):
        await world(manager.upload_file(tmp_path / "missing", str(tmp_path / "target")))


@pytest.mark.parametrize("url", [None, 3, b"file"])
async def test_what_is_no_url_is_refused(world: Any, manager: Any, tmp_path: Path, url: Any) -> None:
    write(str(tmp_path / "a"), b"a")
    calls = [
        lambda: manager.get_local_copy(url),
        lambda: manager.upload_file(tmp_path / "a", url),
        lambda: manager.upload_file(url, str(tmp_path / "b")),
        lambda: manager.upload_folder(url, str(tmp_path / "b")),
        lambda: manager.download_file(url, tmp_path),
        lambda: manager.list(url),
        lambda: manager.exists_file(url),
        lambda: manager.delete(url),
    ]
    for call in calls:
        with pytest.raises(ValidationError, match=r"named by its (URL or )?path.*, not"):
            await world(call())
    for limit in ("5", 2.5, None):
        with pytest.raises(ValidationError, match="whole number"):
            manager.set_cache_file_limit(limit)
    with pytest.raises(ValidationError, match="is a name, not 3"):
        await world(manager.get_local_copy("http://127.0.0.1:1/x", cache_context=3))


async def test_a_path_is_taken_as_a_url(world: Any, manager: Any, tmp_path: Path) -> None:
    write(str(tmp_path / "a"), b"content")
    assert await world(manager.upload_file(tmp_path / "a", tmp_path / "b")) == str(tmp_path / "b")
    assert read(await world(manager.get_local_copy(tmp_path / "b"))) == b"content"
    assert await world(manager.exists_file(tmp_path / "b"))


async def test_a_url_is_refused_that_nothing_is_asked_for_by(world: Any, manager: Any, web: str, tmp_path: Path) -> None:
    write(str(tmp_path / "a"), b"a")
    for url in ("http://", "http://host:99999/x", "http://[::1/x", f"{web}/\udcff"):
        with pytest.raises(StorageError, match="is not the address of a file"):
            await world(manager.get_local_copy(url))
        with pytest.raises(StorageError, match="is not the address of a file"):
            await world(manager.upload_file(tmp_path / "a", url))
    with pytest.raises(ValidationError, match="names a folder: add the name"):
        await world(manager.upload_file(tmp_path / "a", f"{tmp_path}/folder/"))
    assert not (tmp_path / "folder").exists()
    with pytest.raises(StorageError, match=r"connect to http://127.0.0.1:1 \("):  # and not to the API server, nor with the password
        await world(manager.get_local_copy("http://name:password@127.0.0.1:1/x"))


async def test_nothing_of_the_home_leads_out_of_it(world: Any, manager: Any, tmp_path: Path, home: str) -> None:
    if home != "in-process":
        pytest.skip("there are such URLs in a local home alone")
    write(str(tmp_path / "a"), b"a")
    for url in ("home://../outside", "home://files/../../outside", f"home://{tmp_path}/outside"):
        with pytest.raises(StorageError, match="leads out of the home"):
            await world(manager.upload_file(tmp_path / "a", url))
    await world(manager.upload_file(tmp_path / "a", "home://files/a"))
    assert "home://files/a" in await world(manager.list("home://", return_full_path=True))


async def test_whose_home_a_tilde_is(world: Any, manager: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ends understand it: what was read from the user's folder went to one that is called `~`."""
    monkeypatch.setenv("HOME", str(tmp_path))
    write(str(tmp_path / "a"), b"a")
    assert await world(manager.upload_file("~/a", "~/b")) == str(tmp_path / "b")
    assert await world(manager.get_local_copy("~/b")) == str(tmp_path / "b")


async def test_awkward_names(world: Any, manager: Any, web: str, tmp_path: Path, home: str) -> None:
    """They come back as they were, or are refused with a reason."""
    names = [
        "a b.txt",
        "100%.txt",
        "a%20b",
        "ünïcode 日本",
        "x" * 255,
        "quo\"te'.txt",
        "#hash?query&x=1",
        "back\\slash",
        " lead",
        ".hidden",
    ]
    (tmp_path / "set").mkdir()
    for name in names:
        (tmp_path / "set" / name).write_text(name)
    await world(manager.upload_folder(tmp_path / "set", str(tmp_path / "copy")))
    assert files_below(tmp_path / "copy") == sorted(names)
    root = f"{manager.get_files_server()}/awkward"
    taken = [name for name in names if home == "in-process" or "\\" not in name]  # the file server refuses backslashes
    for name in taken:
        url = f"{root}/{name if home == 'in-process' else quote(name)}"
        await world(manager.upload_file(tmp_path / "set" / name, url))
        assert read(await world(manager.get_local_copy(url))).decode() == name
    if home != "in-process":
        await world(manager.upload_file(tmp_path / "set" / "a b.txt", f"{root}/run"))
        for part in ("#1.txt", "?1.txt"):  # both would be the file `run`
            with pytest.raises(StorageError, match=r"write %23 and %3F"):
                await world(manager.upload_file(tmp_path / "set" / "100%.txt", f"{root}/run{part}"))
            with pytest.raises(StorageError, match=r"write %23 and %3F"):
                await world(manager.delete(f"{root}/run{part}"))
        assert read(await world(manager.get_local_copy(f"{root}/run"))).decode() == "a b.txt"
    Web.files["/" + "y" * 300] = b"x"
    assert read(await world(manager.get_local_copy(f"{web}/{'y' * 300}"))) == b"x"
    with pytest.raises(StorageError, match="too long"):
        await world(manager.download_file(f"{web}/{'y' * 300}", tmp_path))
    with pytest.raises(StorageError, match="there is no file"):
        await world(manager.get_local_copy(f"/{'y' * 300}"))
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / os.fsdecode(b"\xff")).touch()
    with pytest.raises(StorageError, match="no text, which no URL takes"):
        await world(manager.upload_folder(tmp_path / "odd", f"{web}/odd"))


async def test_cancelled_calls_leave_nothing_whole(web: str, tmp_path: Path) -> None:
    Web.files["/slow"] = os.urandom(4_000_000)
    for call in (AsyncStorageManager.get_local_copy(f"{web}/slow"), AsyncStorageManager.download_file(f"{web}/slow", tmp_path / "got")):
        task = asyncio.create_task(call)
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert not [path for path in files_below(tmp_path) if path.endswith("slow")]
    Web.slow.set()
    assert read(await AsyncStorageManager.get_local_copy(f"{web}/slow")) == Web.files["/slow"]
    assert read(await AsyncStorageManager.download_file(f"{web}/slow", tmp_path / "got")) == Web.files["/slow"]
    assert os.listdir(tmp_path / "got") == ["slow"]
