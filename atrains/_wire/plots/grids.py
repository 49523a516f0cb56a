"""Matrices: as a heat map (confusion matrix, matrix) and as a surface. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from atrains._wire.plots import values as given
from atrains.errors import ValidationError

_WRITTEN_CELLS: Final = 2_500
"""Cells of a matrix that have their number written on them; more would be unreadable, and slow to draw."""


def heat_map(
    title: str,
    series: str,
    matrix: Any,
    *,
    xaxis: str | None = None,
    yaxis: str | None = None,
    xlabels: Iterable[str] | None = None,
    ylabels: Iterable[str] | None = None,
    yaxis_reversed: bool = False,
    comment: str | None = None,
    extra_layout: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return a matrix as a heat map: the figure of `report_confusion_matrix` and `report_matrix`.

    A `texttemplate` in `extra_layout` is one of the trace, where plotly looks for it.

    Raises:
        ValidationError: not two dimensions, labels that do not match them.
    """
    cells = given.matrix(matrix, "matrix")
    width = len(cells[0]) if cells else 0
    extra = given.merged({}, extra_layout)
    template = extra.pop("texttemplate", "%{z}" if len(cells) * width <= _WRITTEN_CELLS else None)
    trace = {
        "type": "heatmap",
        "x": given.labels(xlabels, width, "xlabels", "columns"),
        "y": given.labels(ylabels, len(cells), "ylabels", "rows"),
        "z": cells,
        **({"texttemplate": template} if template else {}),
    }
    up = {"title": yaxis, **({"autorange": "reversed"} if yaxis_reversed else {})}
    layout = {"title": given.titled(title, comment), "name": series, "showlegend": True, "xaxis": {"title": xaxis}, "yaxis": up}
    return {"data": [trace], "layout": given.merged(layout, extra)}


def surface(
    title: str,
    series: str,
    matrix: Any,
    *,
    xaxis: str | None = None,
    yaxis: str | None = None,
    zaxis: str | None = None,
    xlabels: Iterable[str] | None = None,
    ylabels: Iterable[str] | None = None,
    camera: Sequence[float] | None = None,
    comment: str | None = None,
    extra_layout: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return a matrix as a surface in space.

    Raises:
        ValidationError: not two dimensions, labels that do not match them, a camera that is no point.
    """
    cells = given.matrix(matrix, "matrix")
    across = given.labels(xlabels, len(cells[0]) if cells else 0, "xlabels", "columns")
    along = given.labels(ylabels, len(cells), "ylabels", "rows")
    scene: dict[str, Any] = {
        "xaxis": {"title": xaxis, **_ticks(across), "nticks": 10, "showgrid": False},
        "yaxis": {"title": yaxis, **_ticks(along)},
        "zaxis": {"title": zaxis, "nticks": 5},
    }
    if camera is not None:
        eye = given.nested(camera)
        if not given.is_list(eye) or len(eye) != 3 or not all(isinstance(part, int | float) and math.isfinite(part) for part in eye):
            raise ValidationError(f"camera is a point with x, y and z, three numbers, not {camera!r}")
        scene["camera"] = {"eye": dict(zip("xyz", eye, strict=True))}
    layout = {"title": given.titled(f"{title}/{series}", comment), "name": series, "showlegend": False, "scene": scene}
    return {"data": [{"type": "surface", "z": cells, "showscale": False}], "layout": given.merged(layout, extra_layout)}


def _ticks(labels: list[str] | None) -> dict[str, Any]:
    return {"ticktext": labels, "tickvals": None if labels is None else list(range(len(labels)))}
