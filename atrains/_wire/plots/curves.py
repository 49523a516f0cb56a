"""Line plots and scatter plots in two and three dimensions. Pure.

Long ones are thinned (`thinning`), as those of the official clients are: what a browser draws of a million points is their outline.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from atrains._wire.plots import values as given
from atrains._wire.plots.thinning import shares, thin
from atrains.errors import ValidationError

MODES: Final = ("lines", "markers", "lines+markers")
LINE_VALUES: Final = 800_000
"""Values of a line plot, all coordinates of all series counted; more are thinned."""
SCATTER_VALUES: Final = 100_000
"""The same for one scatter plot."""
_FEWEST: Final = 16
_MARKER: Final = {"size": 5, "opacity": 0.8, "line": {"width": 0.8, "color": "rgba(217, 217, 217, 0.14)"}}


def line_plot(
    title: str,
    series: Any,
    *,
    xaxis: str | None = None,
    yaxis: str | None = None,
    mode: str = "lines",
    reverse_xaxis: bool = False,
    comment: str | None = None,
    extra_layout: Mapping[str, Any] | None = None,
    name: str | None = None,
    most: int = LINE_VALUES,
) -> dict[str, Any]:
    """Return curves in one graph.

    Args:
        title: What stands above it.
        series: Mappings or objects with `name`, `data` (N x 2) and, if wanted, `labels` (N); one, or a list of them.
        xaxis: What stands at the axis.
        yaxis: The same.
        mode: One of `MODES`.
        reverse_xaxis: Whether x grows to the left.
        comment: What stands under the title.
        extra_layout: Put over the layout.
        name: The name of the plot itself.
        most: Values at most.

    Raises:
        ValidationError: an unknown mode, data of another shape, labels that do not match them.
    """
    given.one_of(mode, MODES, "mode")
    if not isinstance(series, Iterable) and not _is_curve(series):
        raise ValidationError(f"series is a list of SeriesInfo(name, data) or of {{'name': ..., 'data': ...}}, not {series!r}")
    curves = [_curve(curve) for curve in ([series] if _is_curve(series) else series)]
    budget = shares([len(columns[0]) for _, columns, _ in curves], most // 2)
    traces = []
    for (label, columns, texts), points in zip(curves, budget, strict=True):
        (x, y), shown = _thinned(columns, texts, points)
        traces.append({"type": "scatter", "mode": mode, "name": label, "x": x, "y": y, "text": shown})
    across: dict[str, Any] = {
        "title": xaxis, "showspikes": True, "spikemode": "toaxis+across", "spikesnap": "cursor", "spikethickness": 1,
    }  # fmt: skip
    if reverse_xaxis:
        across["autorange"] = "reversed"
    layout = {"title": given.titled(title, comment), "name": name, "xaxis": across, "yaxis": {"title": yaxis}}
    return {"data": traces, "layout": given.merged(layout, extra_layout)}


def scatter2d(
    title: str,
    series: str,
    scatter: Any,
    *,
    xaxis: str | None = None,
    yaxis: str | None = None,
    labels: Iterable[str] | None = None,
    mode: str = "lines",
    comment: str | None = None,
    extra_layout: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return one curve through points, or the points: the figure of a line plot with one series; numbers keep their 64 bits.

    Raises:
        ValidationError: an unknown mode, data of another shape, labels that do not match them.
    """
    curve = {"name": series, "data": scatter, "labels": labels}
    return line_plot(
        title, curve, xaxis=xaxis, yaxis=yaxis, mode=mode, comment=comment, extra_layout=extra_layout, name=series, most=SCATTER_VALUES
    )


def scatter3d(
    title: str,
    series: str | Sequence[str],
    scatter: Any,
    *,
    xaxis: str | None = None,
    yaxis: str | None = None,
    zaxis: str | None = None,
    labels: Iterable[Any] | None = None,
    mode: str = "markers",
    comment: str | None = None,
    extra_layout: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return points in space.

    Args:
        title: What stands above them.
        series: The name, or one for each cloud of points.
        scatter: N x 3, or a list of such clouds.
        xaxis: What stands at the axis.
        yaxis: The same.
        zaxis: The same.
        labels: One for each point; for several clouds a list of such lists.
        mode: One of `MODES`.
        comment: What stands under the title.
        extra_layout: Put over the layout.

    Raises:
        ValidationError: an unknown mode, data of another shape, names or labels that do not match them.
    """
    given.one_of(mode, MODES, "mode")
    if isinstance(scatter, Iterator):
        scatter = list(scatter)
    several = _is_several(scatter)
    clouds = [given.columns(cloud, 3, "scatter") for cloud in (scatter if several else [scatter])]
    is_name = given.is_name(series)
    names = [str(series)] * len(clouds) if is_name else given.labels(series, len(clouds), "series", "clouds of points") or []
    texts: list[Any] = [None] * len(clouds) if labels is None else list(labels) if several else [labels]
    if len(texts) != len(clouds):
        raise ValidationError(f"labels has lists for {len(texts)} of {len(clouds)} clouds of points; give one for each")
    budget = shares([len(columns[0]) for columns in clouds], SCATTER_VALUES // 2)
    traces = []
    for name, columns, marks, points in zip(names, clouds, texts, budget, strict=True):
        (x, y, z), shown = _thinned(columns, given.labels(marks, len(columns[0]), "labels"), points)
        traces.append({"type": "scatter3d", "mode": mode, "name": name, "x": x, "y": y, "z": z, "text": shown, "marker": _MARKER})
    layout = {
        "title": given.titled(title, comment),
        "name": str(series) if is_name else None,
        "showlegend": True,
        "scene": {"xaxis": {"title": xaxis}, "yaxis": {"title": yaxis}, "zaxis": {"title": zaxis}},
    }
    return {"data": traces, "layout": given.merged(layout, extra_layout)}


def _curve(curve: Any) -> tuple[str, list[given.Column], list[str] | None]:
    """Name, columns and labels of one series."""
    if isinstance(curve, Mapping):
        name, data, labels = curve.get("name"), curve.get("data"), curve.get("labels")
    else:
        name, data, labels = (getattr(curve, part, None) for part in ("name", "data", "labels"))
    if name is None or data is None:
        raise ValidationError("each series has a name and data: give SeriesInfo(name, data) or {'name': ..., 'data': ...}")
    columns = given.columns(data, 2, f"the data of series {name!r}")
    return str(name), columns, given.labels(labels, len(columns[0]), f"series {name!r}")


def _is_curve(series: Any) -> bool:
    """Whether it is one series rather than a list of them."""
    return isinstance(series, Mapping) or (hasattr(series, "name") and hasattr(series, "data"))


def _is_several(scatter: Any) -> bool:
    if getattr(scatter, "ndim", 0) == 3:
        return True
    if not isinstance(scatter, list | tuple) or not scatter:
        return False
    first = scatter[0]
    if (dimensions := getattr(first, "ndim", None)) is not None:
        return bool(dimensions == 2)
    return isinstance(first, list | tuple) and bool(first) and given.is_list(given.nested(first[0]))


def _thinned(columns: list[given.Column], labels: list[str] | None, points: int) -> tuple[list[list[Any]], list[str] | None]:
    kept = thin(columns, max(points, _FEWEST))
    if kept is None:
        return [list(column) for column in columns], labels
    return [[column[place] for place in kept] for column in columns], labels and [labels[place] for place in kept]
