"""Images between atrains and the official packages: what each reports to `atrains serve`, the others read, file and all."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from tests.interop.conftest import Peer, Place

pytestmark = pytest.mark.timeout(1200)  # a venv may have to be made first


def check(found: dict[str, Any]) -> None:
    """The images that `images_write.py` has reported, up to what JPEG does to them."""
    ((step, (form, size, pixel)),) = found["array"]
    assert (step, form, size) == (3, "JPEG", [16, 16])
    assert all(abs(value - 128) <= 2 for value in pixel)
    ((step, (form, size, pixel)),) = found["floats"]
    assert (step, form, size) == (3, "JPEG", [16, 16])
    assert all(abs(value - 127) <= 3 for value in pixel)
    assert found["file"] == [[3, ["PNG", [6, 4], [10, 200, 30]]]]
    assert found["media"] == [[3, "RIFF of a kind"]]
    assert found["elsewhere"] == [[3, "https://example.com/a/b.png?x=1"]]
    assert [step for step, _ in found["recycled"]] == [3, 2]
    for step, (_, _, pixel) in found["recycled"]:
        assert all(abs(value - 60 * step) <= 2 for value in pixel)


def test_atrains_reads_what_clearml_reported(clearml: Peer, place: Place) -> None:
    task = place.run(clearml.python, "images_write.py", "clearml", "interop/images", "by clearml")["id"]
    check(place.run(sys.executable, "images_read.py", "atrains", task))
    check(place.run(sys.executable, "images_read.py", "atrains", task, over_http=False))
    check(place.run(clearml.python, "images_read.py", "clearml", task))


def test_clearml_reads_what_atrains_reported(clearml: Peer, place: Place) -> None:
    for over_http in (True, False):
        task = place.run(sys.executable, "images_write.py", "atrains", "interop/images", "by atrains", over_http=over_http)["id"]
        check(place.run(clearml.python, "images_read.py", "clearml", task))
        check(place.run(sys.executable, "images_read.py", "atrains", task, over_http=not over_http))


def test_atrains_reads_what_trains_reported(trains: Peer, place: Place) -> None:
    task = place.run(trains.python, "images_write.py", "trains", "interop/images", "by trains")["id"]
    check(place.run(sys.executable, "images_read.py", "atrains", task))
    check(place.run(sys.executable, "images_read.py", "atrains", task, over_http=False))
