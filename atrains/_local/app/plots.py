"""Plots on the pages: tables and matrices as HTML, everything else by plotly's script, where the package plotly is installed here.

The figures come from whoever reports: all of their text is escaped, and what they lack or hold by mistake draws nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from importlib.util import find_spec
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any, Final

from atrains._local.app import markup

LIBRARY_PATH: Final = "/static/plotly.min.js"
SCRIPT_PATH: Final = "/static/figures.js"
POLICY: Final = markup.POLICY.replace("img-src 'self'", "img-src 'self' data: blob: http: https:; script-src 'self'")
"""Of the page with figures: scripts of this server only, none that stands in the page; pictures in figures may be elsewhere."""
SCRIPT: Final = """
'use strict';
// Since its version 3 plotly draws no title that is a plain text, which is how titles are reported.
const title = (part) => part && typeof part.title === 'string' ? {...part, title: {text: part.title}} : part;
const titles = (layout) => Object.fromEntries(Object.entries(title(layout)).map(([name, part]) =>
  [name, /^[xyz]axis/.test(name) ? title(part) : /^scene/.test(name) ? titles(part) : part]));
const filled = (trace) => trace.type !== 'table' || !trace.cells ? trace : {...trace, cells: {
  ...trace.cells, values: (trace.cells.values || []).map((column) => column.map((cell) => cell === null ? '' : cell))}};
// Seven digits on each cell of a matrix are too small to be read.
const isFraction = (cell) => typeof cell === 'number' && !Number.isInteger(cell);
const rounded = (trace) => trace.type === 'heatmap' && trace.texttemplate === '%{z}' &&
  (trace.z || []).flat().some(isFraction) ? {...trace, texttemplate: '%{z:.3~g}'} : trace;
// One surface of no points at all has plotly fail at it, and at whatever it draws in space from then on.
const pointless = (trace) => trace.type === 'surface' && Array.isArray(trace.z) && !trace.z.some((row) => row && row.length !== 0);
// What plotly leaves around a figure that says nothing of it is made for larger ones. Figures of matplotlib (`{}`) bring their own.
const around = (layout) => layout.scene ? {l: 0, r: 0, t: 80, b: 0}
  : layout.margin ? {l: 8, r: 8, t: 80, b: 8} : {l: 70, r: 30, t: 80, b: 60};
const framed = (layout) => Object.keys(layout.margin || {}).length ? layout : {...layout, margin: around(layout)};
// From a little farther off, or the marks at its edges are cut off.
const camera = {eye: {x: 1.6, y: 1.6, z: 1.2}, center: {x: 0, y: 0, z: -0.15}};
const seen = (layout) => layout.scene && !layout.scene.camera ? {...layout, scene: {...layout.scene, camera}} : layout;
for (const place of document.querySelectorAll('.figure')) {
  try {
    const figure = JSON.parse(place.querySelector('script').textContent);
    const layout = {...framed(seen(titles(figure.layout || {}))), autosize: true, width: undefined};
    const traces = (figure.data || []).filter((trace) => !pointless(trace)).map(filled).map(rounded);
    Plotly.newPlot(place, traces, layout, {responsive: true, displaylogo: false}).then(() => place.classList.add('drawn'));
  } catch (error) {
    place.textContent = 'This figure cannot be drawn: ' + error;
  }
}
"""
_ROWS: Final = 50
_COLUMNS: Final = 20
_MOST_ROWS: Final = 1_000
_MOST_COLUMNS: Final = 50
"""Rows and columns of a table on the page with figures; a larger one is drawn by plotly, which draws of it what is looked at."""
_CELLS: Final = 40
"""Rows and columns of a matrix that is drawn cell by cell."""


@lru_cache(1)
def library() -> Path | None:
    """The file of plotly's script, from the package plotly; None when that is not installed."""
    try:
        spec = find_spec("plotly")
    except ValueError:  # something of that name that is no package
        return None
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    found = [Path(place, "package_data", "plotly.min.js") for place in places]
    return next((path for path in found if path.is_file()), None)


def overview(plots: Sequence[Mapping[str, Any]], page: str) -> str:
    """Plots on a task's page: tables and matrices themselves, and a list of the others.

    Args:
        plots: Events of type `plot`.
        page: The path of the page that draws all of them.
    """
    drawn, others = [], []
    for plot in plots:
        body = as_html(figure_of(plot))
        if body:
            drawn.append(f"<figure><figcaption>{_caption(plot)}</figcaption><div class=wide>{body}</div></figure>")
        else:
            others.append([_caption(plot), markup.text(", ".join(kinds(figure_of(plot))))])
    if not plots:
        return ""
    listed = markup.table(["Plot", "Of"], others) if others else ""
    more = markup.link(page, "Draw all plots") if library() else "Plots are drawn once the package plotly is installed beside atrains."
    return f'<p class="none">{more}</p><div class="charts">{"".join(drawn)}</div>{listed}'


def gallery(plots: Iterable[Mapping[str, Any]]) -> str:
    """All plots, each a place that the script draws in; tables are there already."""
    places = [f"<figure><figcaption>{_caption(plot)}</figcaption>{_place(figure_of(plot))}</figure>" for plot in plots]
    if not places:
        return "<p class=none>There are no plots.</p>"
    scripts = f'<script src="{LIBRARY_PATH}"></script><script src="{SCRIPT_PATH}"></script>'
    return f'<div class="charts">{"".join(places)}</div>{scripts}'


def kinds(figure: Mapping[str, Any]) -> list[str]:
    """What a figure is made of: the types of its traces, each once."""
    names = dict.fromkeys(str(trace.get("type", "scatter")) for trace in _traces(figure))
    return list(names) or (["picture"] if _layout(figure).get("images") else [])


def as_html(figure: Mapping[str, Any]) -> str:
    """A figure that is one table or one matrix of at most 40 rows and columns; nothing for any other."""
    traces = _traces(figure)
    if len(traces) != 1:
        return ""
    if traces[0].get("type") == "table":
        return _table(traces[0])
    return _matrix(traces[0], _layout(figure)) if traces[0].get("type") == "heatmap" else ""


def text_rows(figure: Mapping[str, Any]) -> list[list[str]]:
    """A figure that is one table or one matrix as rows of equal length, the heads first; nothing for any other."""
    traces = _traces(figure)
    if len(traces) != 1 or traces[0].get("type") not in {"table", "heatmap"}:
        return []
    if traces[0]["type"] == "table":
        heads, rows = table_of(traces[0])
    else:
        across, names, cells = matrix_of(traces[0])
        named = [[name, *map(_rounded, row)] for name, row in zip(names, cells, strict=False)]
        heads, rows = ["", *across], named if _is_reversed(figure) else named[::-1]
    width = max(map(len, [heads, *rows]))
    return [row + [""] * (width - len(row)) for row in [heads, *rows]] if width else []


def table_of(trace: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Heads and rows of a table, as text; of cells that are lists the parts."""
    heads = [_cell(head) for head in _list(_mapping(trace.get("header")).get("values"))]
    columns = [_list(column) for column in _list(_mapping(trace.get("cells")).get("values"))]
    rows = [[_cell(cell) for cell in row] for row in zip_longest(*columns)]
    return heads, rows


def matrix_of(trace: Mapping[str, Any]) -> tuple[list[str], list[str], list[list[Any]]]:
    """The names of columns and rows of a matrix, and its rows."""
    cells = [_list(row) for row in _list(trace.get("z"))]
    width = max(map(len, cells), default=0)
    across = [_cell(name) for name in _list(trace.get("x"))] or [str(number) for number in range(width)]
    up = [_cell(name) for name in _list(trace.get("y"))] or [str(number) for number in range(len(cells))]
    return across[:width], up[: len(cells)], cells


def figure_of(plot: Mapping[str, Any]) -> Mapping[str, Any]:
    """The figure of a plot; an empty one when its text is none."""
    try:
        return _mapping(json.loads(str(plot.get("plot_str") or "")))
    except (ValueError, RecursionError):
        return {}


def _place(figure: Mapping[str, Any]) -> str:
    """A table in HTML, where nothing is cut off; anything else for the script."""
    traces = _traces(figure)
    if len(traces) == 1 and traces[0].get("type") == "table":
        heads, rows = table_of(traces[0])
        if len(rows) <= _MOST_ROWS and len(heads) <= _MOST_COLUMNS:
            return f'<div class="wide">{markup.table(heads, [list(map(markup.text, row)) for row in rows])}</div>'
    return f'<div class="figure"><script type="application/json">{_inert(figure)}</script></div>'


def _table(trace: Mapping[str, Any]) -> str:
    heads, rows = table_of(trace)
    if not heads and not rows:
        return ""
    shown = [[markup.text(cell) for cell in row[:_COLUMNS]] for row in islice(rows, _ROWS)]
    more = f'<p class="none">{len(rows)} rows, {len(heads)} columns</p>' if len(rows) > _ROWS or len(heads) > _COLUMNS else ""
    return markup.table(heads[:_COLUMNS], shown) + more


def _matrix(trace: Mapping[str, Any], layout: Mapping[str, Any]) -> str:
    across, up, cells = matrix_of(trace)
    if not cells or len(cells) > _CELLS or len(across) > _CELLS or not across:
        return ""
    numbers = [value for row in cells for value in row if isinstance(value, int | float)]
    low, high = min(numbers, default=0), max(numbers, default=0)
    rows = list(zip_longest(up, cells, fillvalue=""))
    if not _is_reversed({"layout": layout}):
        rows.reverse()  # the first row of a heat map is at the bottom
    lines = [f"<tr><th>{markup.text(name)}</th>{''.join(_shaded(value, low, high) for value in row)}</tr>" for name, row in rows]
    foot = "".join(f"<th>{markup.text(name)}</th>" for name in across)
    axes = [_title(layout, axis) for axis in ("yaxis", "xaxis")]
    said = " \N{MULTIPLICATION SIGN} ".join(markup.text(title) for title in axes if title)
    return f'<table class="matrix"><tbody>{"".join(lines)}</tbody><tfoot><tr><th></th>{foot}</tr></tfoot></table><p class="none">{said}</p>'


def _shaded(value: Any, low: float, high: float) -> str:
    if not isinstance(value, int | float):
        return "<td></td>"
    share = (value / 2 - low / 2) / (high / 2 - low / 2) if high > low else 0.5
    return f'<td style="background:rgba(66,105,208,{max(0.0, min(share, 1.0)):.3f})">{_rounded(value)}</td>'


def _title(layout: Mapping[str, Any], axis: str) -> str:
    title = _mapping(layout.get(axis)).get("title")
    return _cell(title.get("text") if isinstance(title, Mapping) else title)


def _caption(plot: Mapping[str, Any]) -> str:
    names = [str(plot.get(part) or "") for part in ("metric", "variant")]
    return (
        markup.text(" / ".join(name for name in names if name) or "(no title)")
        + f' <span class="none">{markup.text(plot.get("iter"))}</span>'
    )


def _inert(figure: Mapping[str, Any]) -> str:
    """JSON that cannot end the element that it stands in."""
    return json.dumps(figure).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _traces(figure: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    data = figure.get("data")
    return [trace for trace in (_list(data) if not isinstance(data, Mapping) else [data]) if isinstance(trace, Mapping)]


def _layout(figure: Mapping[str, Any]) -> Mapping[str, Any]:
    return _mapping(figure.get("layout"))


def _is_reversed(figure: Mapping[str, Any]) -> bool:
    """Whether the first row of a heat map is at the top."""
    return _mapping(_layout(figure).get("yaxis")).get("autorange") == "reversed"


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _rounded(value: Any) -> str:
    """A number of a matrix: counts whole, anything else with four digits."""
    return markup.number_text(value, 4) if isinstance(value, float) else _cell(value)


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(_cell, value))
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
