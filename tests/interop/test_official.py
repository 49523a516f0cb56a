"""The official packages against `atrains serve`: what they write they and atrains read back, and they read what atrains wrote."""

from __future__ import annotations

import sys
import urllib.request
from typing import Any

import pytest

from tests.interop.conftest import Peer, Place

pytestmark = pytest.mark.timeout(1200)  # a venv may have to be made first

STEPS = list(range(100))
LOSSES = {"train": [STEPS, [1 / (step + 1) for step in STEPS]], "test": [STEPS, [2 / (step + 1) for step in STEPS]]}
PARAMETERS = {"General/lr": "0.1", "General/net/width": "64", "General/net/name": "résnet"}
FILE = (bytes(range(256)) * 20).hex()


@pytest.fixture(scope="module", params=["clearml", "trains"])
def peer(request: pytest.FixtureRequest) -> Peer:
    found: Peer = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="module")
def written(peer: Peer, place: Place) -> Any:
    """A run that the official package has recorded on the server."""
    return place.run(peer.python, "write.py", peer.package, "interop/sub", f"written by {peer.package} {peer.version}")


def check(found: dict[str, Any], *, singles: bool) -> None:
    """What every reader must find in a run, whoever wrote it."""
    assert found["status"] == "completed"
    assert found["parameters"] == PARAMETERS
    assert found["scalars"]["loss"] == LOSSES
    assert "reported text" in found["console"]
    assert found["files"]["a file"] == FILE
    assert '"b"' in bytes.fromhex(found["files"]["a dict"]).decode()
    if "exact" in found:
        assert found["exact"]["loss"] == LOSSES
    if found.get("dict") is not None:
        assert found["dict"] == {"a": 1, "b": [1, 2]}
    if singles:
        assert found["single_values"] == {"score": 0.75}


def test_it_reads_back_what_it_wrote(peer: Peer, place: Place, written: Any) -> None:
    found = place.run(peer.python, "read.py", peer.package, written["id"])
    check(found, singles=peer.package == "clearml")
    assert "printed text" in found["console"]
    assert found["comment"] == "a comment"


@pytest.mark.parametrize("over_http", [False, True], ids=["in-process", "over HTTP"])
def test_atrains_reads_what_it_wrote(peer: Peer, place: Place, written: Any, over_http: bool) -> None:
    found = place.run(sys.executable, "atrains_read.py", written["id"], over_http=over_http)
    check(found, singles=False)
    assert "printed text" in found["console"]
    if peer.package == "clearml":
        assert found["single_values"] in ({"score": 0.75}, {"Summary": {"score": 0.75}})


@pytest.mark.parametrize("over_http", [False, True], ids=["in-process", "over HTTP"])
def test_it_reads_what_atrains_wrote(peer: Peer, place: Place, over_http: bool) -> None:
    made = place.run(sys.executable, "atrains_write.py", "interop/other", f"for {peer.package} {over_http}", over_http=over_http)
    found = place.run(peer.python, "read.py", peer.package, made["id"])
    check(found, singles=peer.package == "clearml")
    assert found["console"].split("\n") == ["reported text", "printed text", "printed last", "100%"]


def test_clearml_reads_what_trains_wrote(clearml: Peer, trains: Peer, place: Place) -> None:
    made = place.run(trains.python, "write.py", "trains", "interop/old", "written by trains for clearml")
    found = place.run(clearml.python, "read.py", "clearml", made["id"])
    check(found, singles=False)
    assert found["plots"] == [["histogram", "bars", 3], ["scatter", "line", 4]]


def test_the_page_that_it_prints_is_there(peer: Peer, place: Place, written: Any) -> None:
    assert written["page"].startswith(place.variables["CLEARML_WEB_HOST"])
    with urllib.request.urlopen(written["page"], timeout=30) as answer:
        page = answer.read().decode()
    assert f"written by {peer.package}" in page
    assert page.count("<svg") >= 1
    assert "résnet" in page


def test_what_clearml_does_beyond_a_run(clearml: Peer, place: Place) -> None:
    made = place.run(sys.executable, "atrains_write.py", "interop/beyond", "the source")
    found = place.run(clearml.python, "beyond.py", "clearml", made["id"])
    assert found["by name"] == [made["id"]]
    assert found["clone"] == ["created", made["id"], PARAMETERS, []]
    edited = {"General/lr": "3", "General/net/name": "résnet", "properties/owner": "somebody"}
    assert found["edited"] == [edited, {"owner": "somebody"}, ["one", "two"]]
    assert len(found["by tag"]) == 1
    assert found["archived"] is True
    assert (found["failed"], found["reset"]) == (["failed", "why"], "created")
    assert (found["deleted"], found["left"], found["created"]) == (True, [made["id"]], "created")
