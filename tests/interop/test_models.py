"""Models between the official packages and atrains: what one stores the other lists, with its weights, labels and configuration."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from tests.interop.conftest import Peer, Place

pytestmark = pytest.mark.timeout(1200)

WEIGHTS = (bytes(range(256)) * 20).hex()


@pytest.fixture(scope="module", params=["clearml", "trains"])
def peer(request: pytest.FixtureRequest) -> Peer:
    found: Peer = request.getfixturevalue(request.param)
    return found


def check(output: dict[str, Any], model: str, name: str) -> None:
    """What every reader must find of a model, whoever stored it."""
    expected = {"id": model, "name": name, "labels": {"cat": 1}, "config": "layers = 3", "tags": ["best"], "weights": WEIGHTS}
    assert {key: output[key] for key in expected} == expected
    assert (output["framework"], output["published"]) == ("PyTorch", False)


@pytest.mark.parametrize("over_http", [False, True], ids=["in-process", "over HTTP"])
def test_they_read_the_models_that_atrains_stored(peer: Peer, place: Place, over_http: bool) -> None:
    made = place.run(sys.executable, "atrains_models_write.py", f"for {peer.package} {over_http}", over_http=over_http)
    found = place.run(peer.python, "models_read.py", peer.package, made["id"])
    assert found["inputs"] == [made["used"]]
    check(found["output"], made["model"], "made by us")


def test_atrains_reads_the_models_that_they_stored(peer: Peer, place: Place) -> None:
    used = place.run(sys.executable, "atrains_models_write.py", f"used by {peer.package}")["used"]
    made = place.run(peer.python, "models_write.py", peer.package, f"of {peer.package}", used)
    assert len(set(made["imported"])) == (1 if peer.package == "clearml" else 0)
    for over_http in (False, True):
        found = place.run(sys.executable, "atrains_models_read.py", made["id"], over_http=over_http)
        assert found["inputs"] == [used]
        if made["imported"]:
            assert found["imported"] == [made["imported"][0], {"dog": 1}]
        check(found["output"], made["model"], "made by a peer")
    back = place.run(peer.python, "models_read.py", peer.package, made["id"])
    check(back["output"], made["model"], "made by a peer")
