"""Figures of matplotlib as figures of plotly: the axes and their scales. What is drawn on them is in `matplotlib_artists`.

Pure: a figure is looked at and not changed. What has no like in plotly is an error that names it; the caller then draws a picture.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any, Final

from atrains._wire.plots.matplotlib_artists import Place, UnconvertibleError, draw_artists, note_of_figure
from atrains.errors import UnsupportedTypeError

__all__ = ["UnconvertibleError", "check", "convert"]

_SCALES: Final = {"linear": "linear", "log": "log"}
_STANDOFF: Final = 4
"""Pixels between the numbers of an axis and its name: figures of several axes have no room for more."""
_SAME: Final = 1e-6
"""Shares of a figure that two axes may differ by and still lie upon each other."""


def check(figure: Any) -> Any:
    """Return a figure, also when its axes or `pyplot` were given.

    Raises:
        UnsupportedTypeError: it is none of them.
    """
    if hasattr(figure, "gcf"):  # pyplot itself
        return figure.gcf()
    figure = getattr(figure, "figure", figure)
    if not hasattr(figure, "axes") or not hasattr(figure, "savefig"):
        raise UnsupportedTypeError(f"a matplotlib figure, not an object of type {type(figure).__name__}")
    return figure


def convert(title: str, series: str, figure: Any) -> dict[str, Any]:
    """Return a matplotlib figure as a figure of plotly.

    Args:
        title: The graph.
        series: Its name; it stands above the figure, else the title.
        figure: A `matplotlib.figure.Figure`.

    Raises:
        UnconvertibleError: something in it has no like in plotly.
    """
    if getattr(figure, "subfigs", None):
        raise UnconvertibleError("figures within a figure")
    drawn = [axes for axes in figure.axes if axes.get_visible() and axes.get_label() != "<colorbar>"]
    if not drawn:
        raise UnconvertibleError("no axes")
    if figure.images or figure.lines or figure.patches or figure.artists:
        raise UnconvertibleError("something beside its axes")
    data: list[dict[str, Any]] = []
    layout: dict[str, Any] = {
        "margin": {}, "autosize": True, "height": None, "width": None, "title": series or title,
        "showlegend": bool(figure.legends) or any(axes.get_legend() is not None for axes in drawn), "annotations": [], "shapes": [],
    }  # fmt: skip
    for number, axes in enumerate(drawn, 1):
        if axes.name != "rectilinear":
            raise UnconvertibleError(f"axes of kind {axes.name!r}")
        place = Place("" if number == 1 else str(number), _Scale(axes.xaxis), _Scale(axes.yaxis))
        draw_artists(axes, place, data, layout)
        _add_axes(axes, place, drawn[: number - 1], layout)
    _add_heading(figure, layout)
    layout["annotations"] += [note_of_figure(text) for text in figure.texts if text is not getattr(figure, "_suptitle", None)]
    return {"data": data, "layout": {key: value for key, value in layout.items() if value != []}}


class _Scale:
    """What the numbers of an axis stand for: `__call__` gives what plotly is told for one."""

    def __init__(self, axis: Any) -> None:
        self._axis = axis
        converter = axis.get_converter() if hasattr(axis, "get_converter") else axis.converter
        kind = type(converter).__name__ if converter is not None else ""
        self._freq = getattr(axis, "freq", None) if kind == "PeriodConverter" else None  # of pandas: the axis counts periods
        self.is_date = self._freq is not None or "Date" in kind or "TimeConverter" in kind
        self.kind = "date" if self.is_date else _SCALES.get(axis.get_scale(), "")
        if not self.kind:
            raise UnconvertibleError(f"an axis with the scale {axis.get_scale()!r}")

    def __call__(self, value: Any) -> Any:
        if not self.is_date or value is None or not math.isfinite(value):
            return value
        if self._freq is not None:
            return _period(value, self._freq)
        from matplotlib import dates  # there is a figure of it

        return dates.num2date(value).replace(tzinfo=None).isoformat()  # type: ignore[no-untyped-call]

    def column(self, values: Any) -> list[Any]:
        """Many of them."""
        listed = values.tolist() if hasattr(values, "tolist") else list(values)
        if self._freq is not None and all(isinstance(value, int | float) and float(value).is_integer() for value in listed):
            return _periods(listed, self._freq)  # many times as fast as one by one
        return list(map(self, listed)) if self.is_date else listed

    def range(self, limits: Sequence[Any]) -> list[Any]:
        """The two ends of the axis as plotly wants them."""
        if self.kind == "log":
            return [math.log10(limit) if limit > 0 else None for limit in limits]
        return [self(float(limit)) for limit in limits]

    def ticks(self) -> dict[str, Any]:
        """The marks, where they are words rather than numbers, or where there are none."""
        if not len(self._axis.get_majorticklocs()):
            return {"showticklabels": False, "showgrid": False}
        formatter = self._axis.get_major_formatter()
        if type(formatter).__name__ not in {"FixedFormatter", "StrCategoryFormatter", "FuncFormatter"}:
            return {}
        places = [float(place) for place in self._axis.get_majorticklocs()]
        if self.kind == "linear":
            return {"tickvals": places, "ticktext": list(formatter.format_ticks(places))}
        return {}


def _period(number: float, freq: Any) -> str:
    """When a period of pandas begins, by its number; a fraction lies between it and the next."""
    import pandas as pd  # there is an axis of it

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of kinds of periods that pandas does without one day
        period = pd.Period(ordinal=math.floor(number), freq=freq)
        begin, end = period.to_timestamp(), (period + 1).to_timestamp()
    return str((begin + (number - math.floor(number)) * (end - begin)).isoformat())


def _periods(numbers: Sequence[float], freq: Any) -> list[str]:
    """The same of whole numbers."""
    import pandas as pd  # there is an axis of it

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        begins = pd.PeriodIndex.from_ordinals(list(map(int, numbers)), freq=freq).to_timestamp()
    return [str(moment.isoformat()) for moment in begins]


def _add_axes(axes: Any, place: Place, before: Sequence[Any], layout: dict[str, Any]) -> None:
    """Put the axes themselves into the layout: where they lie, what stands at them, how far they reach."""
    box = axes.get_position()
    below = next((number for number, other in enumerate(before, 1) if _lie_upon(box, other.get_position())), None)
    across = _axis(axes.xaxis, place.x_scale, axes.get_xlim()) | {"domain": [box.x0, box.x1], "anchor": f"y{place.number}"}
    up = _axis(axes.yaxis, place.y_scale, axes.get_ylim()) | {"domain": [box.y0, box.y1], "anchor": f"x{place.number}"}
    if below is not None:  # twins: the second pair of axes is drawn over the first
        number = "" if below == 1 else str(below)
        across["overlaying"], up["overlaying"] = f"x{number}", f"y{number}"
        across["side"], up["side"] = axes.xaxis.get_ticks_position(), axes.yaxis.get_ticks_position()
        across["side"] = across["side"] if across["side"] in {"top", "bottom"} else "bottom"
        up["side"] = up["side"] if up["side"] in {"left", "right"} else "left"
    if axes.get_aspect() in {"equal", 1.0} and place.x_scale.kind == place.y_scale.kind == "linear":
        up["scaleanchor"] = f"x{place.number}"
        across["constrain"] = up["constrain"] = "domain"
    if not axes.axison:
        across["visible"] = up["visible"] = False
    layout[f"xaxis{place.number}"], layout[f"yaxis{place.number}"] = across, up
    if axes.get_title():
        middle = {"x": (box.x0 + box.x1) / 2, "y": box.y1, "xref": "paper", "yref": "paper", "xanchor": "center", "yanchor": "bottom"}
        layout["annotations"].append({"text": _text(axes.get_title()), "showarrow": False, **middle})


def _axis(axis: Any, scale: Any, limits: Sequence[Any]) -> dict[str, Any]:
    found = {
        "title": {"text": _text(axis.get_label_text()), "standoff": _STANDOFF},
        "type": scale.kind,
        "range": scale.range(limits),
        "zeroline": False,
        **scale.ticks(),
    }
    if not axis.get_visible():
        found["visible"] = False
    return found


def _lie_upon(one: Any, other: Any) -> bool:
    return all(abs(getattr(one, side) - getattr(other, side)) < _SAME for side in ("x0", "x1", "y0", "y1"))


def _add_heading(figure: Any, layout: dict[str, Any]) -> None:
    """A heading above all axes stands under the title of the plot."""
    heading = getattr(figure, "_suptitle", None)  # there is no public way to it before matplotlib 3.8
    text = _text(heading.get_text()) if heading is not None else ""
    if text and text != layout["title"]:
        layout["title"] = f"{layout['title']}<br><sup>{text}</sup>"


def _text(text: str) -> str:
    """A text of matplotlib for plotly: formulas between dollar signs are the same in both, lines end otherwise."""
    return text.replace("\n", "<br>")
