"""Figures that are plotly figures already, and pictures as figures. Pure."""

from __future__ import annotations

import base64
import binascii
import sys
from array import array
from collections.abc import Mapping, Sequence
from typing import Any, Final

from atrains._wire.plots import values as given
from atrains.errors import UnsupportedTypeError, ValidationError

_CODES: Final = {"i1": "b", "u1": "B", "i2": "h", "u2": "H", "i4": "i", "u4": "I", "f4": "f", "f8": "d"}
_PLAIN: Final = frozenset({int, float, str, bool, type(None)})
_WIDTH: Final = 640


def plotly_figure(series: str, figure: Any) -> dict[str, Any]:
    """Return a plotly figure, or one as a dictionary, as what is sent of it; the figure itself stays as it is.

    Packed arrays are unpacked, since web applications from before plotly 2.28 do not know them. A figure without a title gets the
    name of the series. The official clients put that in place of any title, in the user's own dictionary.

    Raises:
        UnsupportedTypeError: it is no figure.
        ValidationError: it contains itself.
    """
    content = check(figure)
    try:
        found = {"data": [], "layout": {}} | {key: _unpacked(value) for key, value in content.items() if value is not None}
    except RecursionError as error:
        raise ValidationError("a plotly figure that contains itself, or is nested too deep") from error
    layout = dict(found["layout"])
    title = layout.get("title")
    if not (title.get("text") if isinstance(title, Mapping) else title):
        layout["title"] = given.merged(title, {"text": series}) if isinstance(title, Mapping) else series
    return {**found, "layout": layout}


def check(figure: Any) -> Mapping[str, Any]:
    """Return a plotly figure as a dictionary.

    Raises:
        UnsupportedTypeError: it is no figure.
    """
    content = figure.to_plotly_json() if hasattr(figure, "to_plotly_json") else figure
    if not isinstance(content, Mapping):
        raise UnsupportedTypeError(f"the figure of a plotly report is a plotly figure or its dictionary, not a {type(figure).__name__}")
    for part, kinds, what in (("data", Sequence | Mapping, "a list of traces"), ("layout", Mapping, "a dictionary")):
        held = content.get(part)
        if held is not None and (isinstance(held, str) or not isinstance(held, kinds)):
            raise UnsupportedTypeError(f"the {part} of a plotly figure is {what}, not a {type(held).__name__}")
    return content


def picture(title: str, series: str, source: str, width: int, height: int) -> dict[str, Any]:
    """Return a picture as a figure of nothing but that picture.

    Args:
        title: The graph.
        series: Its name.
        source: Its address; `data:` with its content will do.
        width: In pixels; it is drawn 640 wide.
        height: In pixels.
    """
    tall = round(_WIDTH * height / width) if width and height else 480
    place = {"x": 0, "y": tall, "sizex": _WIDTH, "sizey": tall, "xref": "x", "yref": "y", "sizing": "contain", "layer": "below"}
    layout = {
        "title": f"{title}/{series}",
        "showlegend": False,
        "margin": {"l": 0, "r": 0, "t": 64, "b": 0},
        "xaxis": {"visible": False, "range": [0, _WIDTH]},
        "yaxis": {"visible": False, "range": [0, tall], "scaleanchor": "x"},
        "images": [{"source": source, **place, "opacity": 1.0}],
    }
    return {"data": [], "layout": layout}


def png_figure(title: str, series: str, png: bytes) -> dict[str, Any]:
    """Return a PNG picture as a figure that holds it."""
    width, height = int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")  # of the header, which comes first
    return picture(title, series, f"data:image/png;base64,{base64.b64encode(png).decode()}", width, height)


def _unpacked(value: Any) -> Any:
    """A value with `{"dtype", "bdata", "shape"}` as lists; what cannot be read so is left."""
    if isinstance(value, list | tuple):
        return [held if type(held) in _PLAIN else _unpacked(held) for held in value]
    if isinstance(value, Mapping):
        if "bdata" in value and "dtype" in value:
            numbers = _numbers(value)
            return value if numbers is None else numbers
        return {key: _unpacked(held) for key, held in value.items()}
    return value


def _numbers(packed: Mapping[str, Any]) -> list[Any] | None:
    code, text = _CODES.get(str(packed["dtype"]).lstrip("<|=")), packed["bdata"]
    if code is None or not isinstance(text, str):
        return None
    numbers = array(code)
    try:
        numbers.frombytes(base64.b64decode(text, validate=True))
    except (ValueError, binascii.Error):
        return None
    if sys.byteorder == "big":
        numbers.byteswap()
    found: list[Any] = numbers.tolist()
    shape = [int(size) for size in str(packed.get("shape", "")).split(",") if size.strip().isdecimal()]
    for size in reversed(shape[1:]):
        found = [found[begin : begin + size] for begin in range(0, len(found), size)] if size else []
    return found
