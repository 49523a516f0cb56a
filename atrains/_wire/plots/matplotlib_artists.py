"""What is drawn on axes of matplotlib as traces, shapes and annotations of plotly; the axes are in `matplotlib_figures`. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Protocol

_DASHES: Final = {
    "-": "solid",
    "--": "dash",
    "-.": "dashdot",
    ":": "dot",
    "solid": "solid",
    "dashed": "dash",
    "dashdot": "dashdot",
    "dotted": "dot",
}
_NONE: Final = frozenset({"None", "none", " ", "", None})
_SYMBOLS: Final = {
    "o": "circle", ".": "circle", ",": "circle", "s": "square", "D": "diamond", "d": "diamond-tall", "^": "triangle-up",
    "v": "triangle-down", "<": "triangle-left", ">": "triangle-right", "*": "star", "x": "x-thin-open", "X": "x", "+": "cross-thin-open",
    "P": "cross", "p": "pentagon", "h": "hexagon", "H": "hexagon2", "|": "line-ns-open", "_": "line-ew-open", "8": "octagon",
}  # fmt: skip
_STEPS: Final = {"steps-post": "hv", "steps-pre": "vh", "steps": "vh", "steps-mid": "hvh"}
_ANCHORS: Final = {"center": "middle", "center_baseline": "middle", "baseline": "bottom"}
_ELSEWHERE: Final = "texts that lie elsewhere than in the data"
_PIXELS: Final = 4 / 3
"""Of a browser, in a point."""
_CELLS: Final = 250_000
"""Cells of an image that are sent as numbers; a larger one is a picture."""
_COLOURS: Final = 16
"""Steps of a colour map."""


class UnconvertibleError(Exception):
    """Something has no like in plotly; the message names it, as what a figure holds."""


class Scale(Protocol):
    """What the numbers of an axis stand for."""

    kind: str

    def __call__(self, value: Any) -> Any:
        """What plotly is told for one."""
        ...

    def column(self, values: Any) -> list[Any]:
        """Many of them."""
        ...


class Place(NamedTuple):
    """Which axes of the plotly figure something is drawn on.

    Attributes:
        number: Their number as a text; empty for the first.
        x_scale: The scale across.
        y_scale: The scale upwards.
    """

    number: str
    x_scale: Scale
    y_scale: Scale

    def points(self, x: Any, y: Any) -> dict[str, Any]:
        """Where points are."""
        return {"x": self.x_scale.column(x), "y": self.y_scale.column(y), "xaxis": f"x{self.number}", "yaxis": f"y{self.number}"}


def draw_artists(axes: Any, place: Place, data: list[dict[str, Any]], layout: dict[str, Any]) -> None:
    """Add everything that is drawn on axes to a plotly figure.

    Raises:
        UnconvertibleError: something has no like there.
    """
    if axes.tables or axes.child_axes:
        raise UnconvertibleError("a table" if axes.tables else "axes within axes")
    data += [_image(image, place) for image in _visible(axes.images)]
    bars = [container for container in axes.containers if hasattr(container, "patches")]
    known = {id(patch) for container in bars for patch in container.patches}
    for collection in _visible(axes.collections):
        data += _collection(collection, axes, place)
    data += [_bars(container, place) for container in bars]
    for patch in _visible(axes.patches):
        if id(patch) not in known:
            _add_patch(patch, axes, place, data, layout)
    names = _names_in_legend(axes)
    for line in _visible(axes.get_lines()):
        _add_line(line, names.get(id(line), ""), axes, place, data, layout)
    layout["annotations"] += [_note(text, axes, place) for text in _visible(axes.texts) if text.get_text()]
    other = [artist for artist in axes.artists if artist.get_visible()]
    if other:
        raise UnconvertibleError(f"an artist of type {type(other[0]).__name__}")


def _visible(artists: Sequence[Any]) -> list[Any]:
    return [artist for artist in artists if artist.get_visible()]


# ---- lines


def _names_in_legend(axes: Any) -> dict[int, str]:
    """The names that lines have in the legend alone, `axes.legend(["train", "test"])`, by the identity of each line."""
    legend, lines = axes.get_legend(), axes.get_lines()
    if legend is None or axes.patches or axes.collections or not all(line.get_label().startswith("_") for line in lines):
        return {}
    return {id(line): text.get_text() for line, text in zip(lines, legend.get_texts(), strict=False)}


def _add_line(line: Any, name: str, axes: Any, place: Place, data: list[dict[str, Any]], layout: dict[str, Any]) -> None:
    across, up = line.get_data(orig=False)
    stroke = {"color": _colour(line.get_color(), line.get_alpha()), "width": line.get_linewidth(), "dash": _dash(line.get_linestyle())}
    if not _is_data(line, axes):
        layout["shapes"].append({"type": "line", **_reaching(line, axes, place, (across[0], across[-1]), (up[0], up[-1])), "line": stroke})
        return
    has_line, marker = line.get_linestyle() not in _NONE, line.get_marker()
    has_marker = not (isinstance(marker, str | type(None)) and marker in _NONE)
    if not (has_line or has_marker):
        return
    trace = {
        "type": "scatter",
        "mode": "+".join(name for name, drawn in (("lines", has_line), ("markers", has_marker)) if drawn),
        **({"name": name, "showlegend": True} if name else _named(line)),
        **place.points(across, up),
    }
    if has_line:
        shape = _STEPS.get(line.get_drawstyle())
        trace["line"] = stroke | ({"shape": shape} if shape else {})
    if has_marker:
        symbol = _SYMBOLS.get(marker, "circle") if isinstance(marker, str) else "circle"
        face = line.get_markerfacecolor()
        colour = _colour(line.get_markeredgecolor() if isinstance(face, str) and face in _NONE else face, line.get_alpha())
        trace["marker"] = {"symbol": symbol, "size": line.get_markersize(), "color": colour}
    data.append(trace)


def _dash(style: Any) -> str:
    return _DASHES.get(style, "solid") if isinstance(style, str) else "dash"


# ---- collections: scatter plots, areas, bundles of lines, meshes


def _collection(collection: Any, axes: Any, place: Place) -> list[dict[str, Any]]:
    """What a collection is, by the methods of its class: subclasses of users are the same."""
    names = {kind.__name__ for kind in type(collection).__mro__}
    if "PathCollection" in names:
        return [_points(collection, axes, place)]
    if "LineCollection" in names:
        return [_segments(collection, axes, place)]
    if "QuadMesh" in names:
        return [_mesh(collection, place)]
    if names & {"PolyCollection", "FillBetweenPolyCollection"} and "Poly3DCollection" not in names:
        return _areas(collection, axes, place)
    raise UnconvertibleError(f"a {type(collection).__name__}")


def _points(collection: Any, axes: Any, place: Place) -> dict[str, Any]:
    if collection.get_offset_transform() != axes.transData:
        raise UnconvertibleError("points that lie elsewhere than in the data")
    offsets = collection.get_offsets()
    colours: Any = collection.get_facecolors()
    if not len(colours):
        colours = collection.get_edgecolors()
    if collection.get_array() is not None:
        colours = collection.to_rgba(collection.get_array(), alpha=collection.get_alpha())
    shades = [_colour(colour, None) for colour in colours]
    sizes = [float(size) ** 0.5 for size in collection.get_sizes()]
    marker = {"color": shades[0] if len(shades) == 1 else shades, "size": sizes[0] if len(sizes) == 1 else sizes}
    x, y = _unmasked(offsets[:, 0]), _unmasked(offsets[:, 1])
    return {"type": "scatter", "mode": "markers", **_named(collection), **place.points(x, y), "marker": marker}


def _segments(collection: Any, axes: Any, place: Place) -> dict[str, Any]:
    """All segments as one line with gaps; of their colours and widths the first."""
    if not _is_data(collection, axes):
        raise UnconvertibleError("lines that lie elsewhere than in the data")
    x, y = _joined(collection.get_segments())
    colours, widths = collection.get_colors(), collection.get_linewidths()
    if len({tuple(colour) for colour in colours}) > 1:
        raise UnconvertibleError("lines in several colours")
    stroke = {"color": _colour(colours[0], None) if len(colours) else None, "width": float(widths[0]) if len(widths) else 1}
    return {"type": "scatter", "mode": "lines", **_named(collection), **place.points(x, y), "line": stroke}


def _areas(collection: Any, axes: Any, place: Place) -> list[dict[str, Any]]:
    if not _is_data(collection, axes) or len(collection.get_offsets()) > 1:
        raise UnconvertibleError("areas that lie elsewhere than in the data")
    if collection.get_array() is not None:
        raise UnconvertibleError("areas coloured by value")
    x, y = _joined(path.vertices for path in collection.get_paths())
    colours, edges = collection.get_facecolors(), collection.get_edgecolors()
    fill = _colour(colours[0], None) if len(colours) else "rgba(0,0,0,0)"
    edge = {"color": _colour(edges[0], None), "width": float(collection.get_linewidths()[0])} if len(edges) else {"width": 0}
    area = {"type": "scatter", "mode": "lines", "fill": "toself", "fillcolor": fill, "line": edge}
    return [{**area, **_named(collection), **place.points(x, y)}]


def _mesh(mesh: Any, place: Place) -> dict[str, Any]:
    """A mesh of straight rows and columns as a heat map whose cells have edges."""
    import numpy as np  # there is a figure of matplotlib

    corners, cells = np.asarray(mesh.get_coordinates()), mesh.get_array()
    across, up = corners[0, :, 0], corners[:, 0, 1]
    if not (np.allclose(corners[..., 0], across[None, :]) and np.allclose(corners[..., 1], up[:, None])):
        raise UnconvertibleError("a mesh that is not straight")
    cells = cells.reshape(len(up) - 1, len(across) - 1) if cells.ndim == 1 else cells
    if cells.shape != (len(up) - 1, len(across) - 1) or cells.size > _CELLS:
        raise UnconvertibleError(f"a mesh of shape {cells.shape}")
    return _heat(mesh, cells, place.points(across, up))


# ---- images, bars, shapes, texts


def _image(image: Any, place: Place) -> dict[str, Any]:
    """An array that is shown as an image; a photograph is none."""
    import numpy as np  # there is a figure of matplotlib

    cells = image.get_array() if type(image).__name__ == "AxesImage" else None
    if cells is None or cells.ndim != 2 or cells.size > _CELLS or cells.size == 0:
        raise UnconvertibleError("a photograph or a large image" if cells is not None else f"a {type(image).__name__}")
    left, right, bottom, top = map(float, image.get_extent())
    rows, width = cells.shape
    first, last = (top, bottom) if image.origin == "upper" else (bottom, top)
    middles = [np.linspace(begin, end, 2 * size + 1)[1::2] for begin, end, size in ((left, right, width), (first, last, rows))]
    return _heat(image, cells, place.points(*middles))


def _heat(mappable: Any, cells: Any, points: dict[str, Any]) -> dict[str, Any]:
    if type(mappable.norm).__name__ != "Normalize":
        raise UnconvertibleError(f"colours by {type(mappable.norm).__name__}")
    low, high = mappable.norm.vmin, mappable.norm.vmax
    scale = [[step / _COLOURS, _colour(mappable.cmap(step / _COLOURS), None)] for step in range(_COLOURS + 1)]
    limits = {"zmin": float(low), "zmax": float(high)} if low is not None and high is not None else {}
    shown = mappable.colorbar is not None
    return {"type": "heatmap", **points, "z": _unmasked(cells), "colorscale": scale, **limits, "showscale": shown}


def _bars(container: Any, place: Place) -> dict[str, Any]:
    patches = _visible(container.patches)
    lying = container.orientation == "horizontal"
    near = [patch.get_y() if lying else patch.get_x() for patch in patches]
    widths = [float(patch.get_height() if lying else patch.get_width()) for patch in patches]
    middles = [float(edge) + width / 2 for edge, width in zip(near, widths, strict=True)]
    lengths = [float(patch.get_width() if lying else patch.get_height()) for patch in patches]
    bases = [float(patch.get_x() if lying else patch.get_y()) for patch in patches]
    scales = (place.x_scale, place.y_scale)
    if any(scale.kind == "date" for scale in (scales if lying else scales[1:])):
        raise UnconvertibleError("bars along an axis of dates")
    if place.x_scale.kind == "date":
        widths = [width * 86_400_000 for width in widths]  # plotly measures dates in milliseconds
    colours = [_colour(patch.get_facecolor(), None) for patch in patches]
    points = place.points(lengths, middles) if lying else place.points(middles, lengths)
    marker = {"color": colours[0] if len(set(colours)) == 1 else colours}
    base = {"base": bases} if any(bases) else {}
    name = {"name": container.get_label(), "showlegend": True} if not container.get_label().startswith("_") else {"showlegend": False}
    return {"type": "bar", "orientation": "h" if lying else "v", **name, **points, "width": widths, **base, "marker": marker}


def _add_patch(patch: Any, axes: Any, place: Place, data: list[dict[str, Any]], layout: dict[str, Any]) -> None:
    """Any shape by its outline; a band across the axes as a shape of plotly."""
    outline = patch.get_patch_transform().transform_path(patch.get_path())
    fill = _colour(patch.get_facecolor(), None) if patch.get_fill() else "rgba(0,0,0,0)"
    edge = {"color": _colour(patch.get_edgecolor(), None), "width": patch.get_linewidth(), "dash": _dash(patch.get_linestyle())}
    if patch.get_data_transform() != axes.transData:
        low, high = outline.vertices.min(axis=0), outline.vertices.max(axis=0)
        reach = _reaching(patch, axes, place, (low[0], high[0]), (low[1], high[1]))
        layout["shapes"].append({"type": "rect", **reach, "fillcolor": fill, "line": edge, "layer": "below"})
        return
    if type(patch).__name__ in {"FancyArrowPatch", "ConnectionPatch"}:
        raise UnconvertibleError("arrows")
    polygons = [polygon for polygon in outline.to_polygons(closed_only=False) if len(polygon)]
    x, y = _joined(polygons)
    shape = {"type": "scatter", "mode": "lines", "fill": "toself" if patch.get_fill() else "none", "fillcolor": fill, "line": edge}
    data.append({**shape, **_named(patch), **place.points(x, y)})


def _note(text: Any, axes: Any, place: Place) -> dict[str, Any]:
    """A text in the data or in the axes; one that points at something has an arrow."""
    where: dict[str, Any]
    if hasattr(text, "xy"):
        where = _beside(text, axes, place)
    elif text.get_transform() == axes.transData:
        where = _spot(text.get_position(), axes, place)
    elif text.get_transform() == axes.transAxes:
        x, y = map(float, text.get_position())
        where = {"x": x, "y": y, "xref": f"x{place.number} domain", "yref": f"y{place.number} domain"}
    else:
        raise UnconvertibleError(_ELSEWHERE)
    return {**_words(text), **where}


def note_of_figure(text: Any) -> dict[str, Any]:
    """A text that belongs to no axes."""
    if text.get_transform() != text.get_figure().transFigure or not text.get_visible():
        raise UnconvertibleError(_ELSEWHERE)
    x, y = map(float, text.get_position())
    return {**_words(text), "x": x, "y": y, "xref": "paper", "yref": "paper"}


def _words(text: Any) -> dict[str, Any]:
    """A text wherever it stands."""
    up, font = text.get_verticalalignment(), {"color": _colour(text.get_color(), text.get_alpha()), "size": text.get_fontsize()}
    found = {"text": text.get_text().replace("\n", "<br>"), "showarrow": False, "font": font}
    turned = {"textangle": -text.get_rotation()} if text.get_rotation() else {}
    return {**found, **turned, "xanchor": text.get_horizontalalignment(), "yanchor": _ANCHORS.get(up, up)}


def _spot(spot: Sequence[Any], axes: Any, place: Place) -> dict[str, Any]:
    """A spot in the data: a number, a date or the name of a category in each direction."""
    across, up = float(axes.convert_xunits(spot[0])), float(axes.convert_yunits(spot[1]))
    found = {"x": _noted(across, place.x_scale), "y": _noted(up, place.y_scale)}
    return {**found, "xref": f"x{place.number}", "yref": f"y{place.number}"}


def _noted(value: float, scale: Scale) -> Any:
    """A place on an axis as plotly wants it for texts: on a logarithmic one its logarithm."""
    if scale.kind != "log":
        return scale(value)
    if value <= 0:
        raise UnconvertibleError(_ELSEWHERE)
    return math.log10(value)


def _beside(text: Any, axes: Any, place: Place) -> dict[str, Any]:
    """Where a text is that belongs to a spot in the data: in the data too, or so many points away from the spot."""
    if text.xycoords != "data" or text.anncoords not in {"data", "offset points"}:
        raise UnconvertibleError(_ELSEWHERE)
    has_arrow, target = getattr(text, "arrow_patch", None) is not None, _spot(text.xy, axes, place)
    if text.anncoords == "data":
        own = _spot(text.get_position(), axes, place)
        if not has_arrow:
            return own
        return {**target, "showarrow": True, "ax": own["x"], "ay": own["y"], "axref": own["xref"], "ayref": own["yref"]}
    x, y = (float(part) * _PIXELS for part in text.get_position())
    return {**target, "showarrow": True, "ax": x, "ay": -y} if has_arrow else {**target, "xshift": x, "yshift": y}


# ---- shared


def _is_data(artist: Any, axes: Any) -> bool:
    return bool(artist.get_transform() == axes.transData)


def _reaching(artist: Any, axes: Any, place: Place, across: Sequence[Any], up: Sequence[Any]) -> dict[str, Any]:
    """Where something lies that reaches across the axes in one direction, and is placed by the data in the other.

    Raises:
        UnconvertibleError: it lies elsewhere.
    """
    transform = artist.get_data_transform() if hasattr(artist, "get_data_transform") else artist.get_transform()
    axis_x, axis_y = f"x{place.number}", f"y{place.number}"
    ends_x, ends_y = list(map(float, across)), list(map(float, up))
    if transform == axes.get_xaxis_transform(which="grid"):
        ends_x, axis_y = list(map(place.x_scale, ends_x)), f"{axis_y} domain"
    elif transform == axes.get_yaxis_transform(which="grid"):
        ends_y, axis_x = list(map(place.y_scale, ends_y)), f"{axis_x} domain"
    else:
        raise UnconvertibleError(f"a {type(artist).__name__} that lies elsewhere than in the data")
    return {"x0": ends_x[0], "x1": ends_x[1], "y0": ends_y[0], "y1": ends_y[1], "xref": axis_x, "yref": axis_y}


def _joined(outlines: Any) -> tuple[list[Any], list[Any]]:
    """Several outlines as one, with a gap between each two."""
    x: list[Any] = []
    y: list[Any] = []
    for outline in outlines:
        if x:
            x.append(None)
            y.append(None)
        x += [float(point[0]) for point in outline]
        y += [float(point[1]) for point in outline]
    return x, y


def _named(artist: Any) -> dict[str, Any]:
    label = str(artist.get_label())
    return {"name": label, "showlegend": True} if label and not label.startswith("_") else {"showlegend": False}


def _unmasked(values: Any) -> Any:
    """Numbers with None where they are masked."""
    return values.tolist()  # masked arrays give None


def _colour(colour: Any, alpha: Any) -> str | None:
    from matplotlib import colors  # there is a figure of it

    try:
        red, green, blue, opacity = colors.to_rgba(colour, alpha)
    except (TypeError, ValueError):
        return None
    return f"rgba({round(red * 255)},{round(green * 255)},{round(blue * 255)},{opacity:.4g})"
