"""Artifacts of every kind between atrains and the official packages: each reads what the others stored."""

from __future__ import annotations

import hashlib
import sys
from typing import Any

import pytest

from tests.interop.conftest import Peer, Place

pytestmark = pytest.mark.timeout(1200)  # a venv may have to be made first

EXPECTED: dict[str, object] = {
    "dict": {"a": 1, "b": [1, 2], "ü": None},
    "text": "some text\nof two lines",
    "file": ["file", hashlib.sha256(bytes(range(256))).hexdigest()],
    "folder": ["folder", {"a.txt": "A", "b.csv": "1,2"}],
    "wildcard": ["folder", {"b.csv": "1,2"}],
    "array": ["array", [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]],
    "a/b array": ["array", [0, 1, 2]],
    "frame": ["frame", {"columns": ["a", "b"], "index": ["one", "two"], "data": [[1, "x"], [2, "y"]]}],
    "registered": ["frame", {"columns": ["c", "d"], "index": [0, 1], "data": [[1, "x"], [2, "z"]]}],
    "image": ["image", [4, 3], [10, 20, 30]],
    'awkward "name" %20;=': {"x": 1},
    "pickle": ["set", [1, 2]],
    "list": [1, "two"],
}
CLEARML: dict[str, object] = {
    "parquet": ["frame", {"columns": ["a"], "index": [0, 1], "data": [[1], [2]]}],
    "yaml": {"a": [1]},
    "array csv": ["array", [[0, 1, 2], [3, 4, 5]]],
}


@pytest.fixture(scope="module", params=["clearml", "trains"])
def peer(request: pytest.FixtureRequest) -> Peer:
    found: Peer = request.getfixturevalue(f"{request.param}_with_kinds")
    return found


def check(found: dict[str, Any], expected: dict[str, object]) -> None:
    for name, value in expected.items():
        assert found[name][2] == value, name
        assert len(found[name][4]) == 64, name
        assert found[name][3] > 0, name
    assert found["dict"][1]["owner"] == "me"


@pytest.mark.parametrize("over_http", [False, True], ids=["in-process", "over HTTP"])
def test_atrains_reads_what_it_stored(peer: Peer, place: Place, over_http: bool) -> None:
    made = place.run(peer.python, "artifacts_write.py", peer.package, "interop/artifacts", f"by {peer.package} {over_http}")
    found = place.run(sys.executable, "artifacts_read.py", "atrains", made["id"], over_http=over_http)
    check(found, {**EXPECTED, **(CLEARML if peer.package == "clearml" else {})})


@pytest.mark.parametrize("over_http", [False, True], ids=["in-process", "over HTTP"])
def test_it_reads_what_atrains_stored(peer: Peer, place: Place, over_http: bool) -> None:
    made = place.run(
        sys.executable, "artifacts_write.py", "atrains", "interop/artifacts", f"for {peer.package} {over_http}", over_http=over_http
    )
    found = place.run(peer.python, "artifacts_read.py", peer.package, made["id"])
    check(found, EXPECTED)
    assert found["bytes"][2] == ["file", hashlib.sha256(b"\0\1").hexdigest()]  # a kind that they do not know: its file
