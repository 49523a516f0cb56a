"""StorageManager of atrains and of the official packages against one file server: what one of them stores the others fetch."""

from __future__ import annotations

import hashlib
import os
import sys
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from tests.interop.conftest import Peer, Place

pytestmark = pytest.mark.timeout(1200)  # a venv may have to be made first

NAMES = ["plain.bin", "with space.txt", "ünïcode 日本.csv", "deep/er/file.txt"]


@pytest.fixture(params=["clearml", "trains"])
def peer(request: pytest.FixtureRequest) -> Peer:
    found: Peer = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("files")
    for name in NAMES:
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_bytes(os.urandom(100_000))
    with zipfile.ZipFile(made / "set.zip", "w") as archive:
        for name in NAMES:
            archive.write(made / name, name)
    return made


def check(found: dict[str, Any], folder: Path, place: Place, root: str) -> None:
    for name in NAMES:
        assert found[name] == hashlib.sha256((folder / name).read_bytes()).hexdigest(), name
    assert found["set.zip"] == sorted(NAMES)
    assert found["server"].rstrip("/") == place.variables["TRAINS_FILES_HOST"]
    if "exists" in found:
        assert found["exists"] == [True, False]
        assert found["size"] == 100_000
        assert unquote(found["path"]) == f"{root}/plain.bin"  # clearml leaves it quoted


def test_the_official_package_fetches_what_atrains_stored(peer: Peer, place: Place, folder: Path) -> None:
    root = f"storage/of atrains for {peer.package}"
    url = f"{place.variables['TRAINS_FILES_HOST']}/{root.replace(' ', '%20')}"
    place.run(sys.executable, "storage.py", "atrains", "put", url, str(folder))
    check(place.run(peer.python, "storage.py", peer.package, "get", url, str(folder)), folder, place, root)


def test_atrains_fetches_what_the_official_package_stored(peer: Peer, place: Place, folder: Path) -> None:
    root = f"storage/of_{peer.package}"
    url = f"{place.variables['TRAINS_FILES_HOST']}/{root}"
    place.run(peer.python, "storage.py", peer.package, "put", url, str(folder))
    check(place.run(sys.executable, "storage.py", "atrains", "get", url, str(folder)), folder, place, root)
    if peer.package == "clearml":
        assert (place.home / "files" / root / "folder" / "er" / "file.txt").read_bytes() == (folder / "deep/er/file.txt").read_bytes()
