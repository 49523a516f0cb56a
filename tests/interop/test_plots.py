"""The same reports by the official package and by atrains, each in a process of its own, yield figures with equal data.

Colours, fonts and what else a web application puts its own theme over are not compared.
"""

from __future__ import annotations

import base64
import math
import sys
from array import array
from typing import Any, Final

import pytest

from tests.interop.conftest import Peer, Place

pytestmark = pytest.mark.timeout(1200)  # a venv may have to be made first

DATA: Final = ("type", "mode", "x", "y", "z", "text")
NAMED: Final = ("histogram", "groups", "vector", "line", "scatter2d", "plotly")
TITLES: Final = {"scatter3d", "surface", "line", "scatter2d", "confusion", "matrix", "histogram", "groups", "vector"}
NOT_NUMBERS: Final = {"nan": None, "inf": None, "-inf": None}
PACKED: Final = {"i1": "b", "u1": "B", "i2": "h", "i4": "i", "f4": "f", "f8": "d"}


@pytest.fixture(scope="module")
def reported(clearml_with_kinds: Peer, place: Place) -> dict[str, Any]:
    """What both have sent."""
    return {
        "clearml": place.run(clearml_with_kinds.python, "plots.py", "clearml", "interop/plots", "by clearml")["plots"],
        "atrains": place.run(sys.executable, "plots.py", "atrains", "interop/plots", "by atrains")["plots"],
    }


def plain(value: Any) -> Any:
    """Data in one form: the official client packs arrays, writes what is no number as text, and wraps single values."""
    if isinstance(value, dict) and "bdata" in value:
        return plain(array(PACKED[value["dtype"]], base64.b64decode(value["bdata"])).tolist())
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return NOT_NUMBERS.get(value, value) if isinstance(value, str) else value


def near(value: Any) -> Any:
    """Numbers up to the 32 bits of the official client."""
    if isinstance(value, list):
        return [near(item) for item in value]
    return pytest.approx(value, rel=1e-6) if isinstance(value, float | int) and not isinstance(value, bool) else value


def heads(trace: dict[str, Any]) -> list[Any]:
    return [head[0] if isinstance(head, list) else head for head in trace["header"]["values"]]


def title_of(holder: Any) -> Any:
    title = (holder or {}).get("title")
    return title.get("text") if isinstance(title, dict) else title


@pytest.mark.parametrize(
    "title",
    ["histogram", "groups", "vector", "line", "scatter2d", "scatter3d", "confusion", "matrix", "surface", "plotly"],
)
def test_traces_hold_equal_data(reported: dict[str, Any], title: str) -> None:
    (variant, step, theirs), (our_variant, our_step, ours) = reported["clearml"][title], reported["atrains"][title]
    assert (variant, step) == (our_variant, our_step)
    assert len(ours["data"]) == len(theirs["data"])
    for own, other in zip(ours["data"], theirs["data"], strict=True):
        keys = (*DATA, "name") if title in NAMED else DATA
        assert {key: near(plain(own.get(key))) for key in keys} == {key: plain(other.get(key)) for key in keys}


@pytest.mark.parametrize("title", ["rows", "frame", "csv"])
def test_tables_hold_equal_cells(reported: dict[str, Any], title: str) -> None:
    (_, _, theirs), (_, _, ours) = reported["clearml"][title], reported["atrains"][title]
    assert heads(ours["data"][0]) == heads(theirs["data"][0])
    assert ours["data"][0]["cells"]["values"] == theirs["data"][0]["cells"]["values"]


@pytest.mark.parametrize("title", sorted(TITLES))
def test_what_stands_around_them_is_the_same(reported: dict[str, Any], title: str) -> None:
    (_, _, theirs), (_, _, ours) = reported["clearml"][title], reported["atrains"][title]
    one, other = ours["layout"], theirs["layout"]
    assert title_of(one) == title_of(other)
    assert one.get("barmode") == other.get("barmode")
    assert (one.get("scene") or {}).get("camera") == (other.get("scene") or {}).get("camera")
    for axis in ("xaxis", "yaxis"):
        assert title_of(one.get(axis)) == title_of(other.get(axis))
        assert (one.get(axis) or {}).get("autorange") == (other.get(axis) or {}).get("autorange")
        assert title_of((one.get("scene") or {}).get(axis)) == title_of((other.get("scene") or {}).get(axis))


@pytest.mark.parametrize("title", ["matplotlib lines", "matplotlib bars"])
def test_figures_of_matplotlib_hold_equal_data(reported: dict[str, Any], title: str) -> None:
    def data(figure: dict[str, Any]) -> list[Any]:
        return sorted([trace["type"], plain(trace["x"]), plain(trace["y"])] for trace in figure["data"])

    (variant, _, theirs), (our_variant, _, ours) = reported["clearml"][title], reported["atrains"][title]
    assert variant == our_variant
    assert near(data(ours)) == data(theirs)
