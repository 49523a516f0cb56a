"""Each kind of plot, field by field, and what is refused. Data as users have them; none of them is changed."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np  # noqa: TID253  # what users pass
import pytest

from atrains._wire.plots import bars, curves, figures, grids, tables
from atrains._wire.plots.encoding import encode
from atrains.errors import UnsupportedTypeError, ValidationError
from atrains.types import SeriesInfo

SPIKES = {"showspikes": True, "spikemode": "toaxis+across", "spikesnap": "cursor", "spikethickness": 1}


def sent(figure: dict[str, Any]) -> Any:
    """What a reader of the plot finds."""
    return json.loads(encode(figure))


# ---- bars


@pytest.mark.parametrize("values", [[5, 6, 7], (5, 6, 7), np.array([5, 6, 7]), iter([5, 6, 7]), np.array([[5, 6, 7]])])
def test_histogram_of_one_row(values: Any) -> None:
    assert sent(bars.histogram("title", "series", values)) == {
        "data": [{"type": "bar", "name": "series", "x": [0, 1, 2], "y": [5, 6, 7]}],
        "layout": {
            "title": "title", "xaxis": {"title": None}, "yaxis": {"title": None},
            "barmode": "group", "bargap": 0.08, "bargroupgap": 0,
        },
    }  # fmt: skip


def test_histogram_with_everything() -> None:
    options: Any = {"labels": ["one", "two"], "xlabels": ["a", "b"], "xaxis": "x", "yaxis": "y", "mode": "stack"}
    over: Any = {"data_args": {"opacity": 0.5}, "extra_layout": {"xaxis": {"type": "category"}, "height": 300}}
    figure = sent(bars.histogram("title", "series", [[1, 2], [3, math.nan]], **options, **over))
    assert figure["data"] == [
        {"type": "bar", "name": "one", "x": ["a", "b"], "y": [1, 2], "opacity": 0.5},
        {"type": "bar", "name": "two", "x": ["a", "b"], "y": [3, None], "opacity": 0.5},
    ]
    layout = figure["layout"]
    assert (layout["title"], layout["barmode"], layout["height"]) == ("series", "stack", 300)
    assert layout["xaxis"] == {"title": "x", "type": "category"}


def test_one_label_stands_for_all_rows_where_the_groups_have_names() -> None:
    figure = bars.histogram("t", "s", [[1, 2], [3, 4]], labels=["all"], xlabels=["a", "b"])
    assert [trace["name"] for trace in figure["data"]] == ["all", "all"]


# ---- tables


def test_table_of_rows() -> None:
    assert sent(tables.table("title", "series", [["a", "b"], [1, "x"], [math.nan, math.inf]])) == {
        "data": [
            {
                "type": "table",
                "header": {"values": ["a", "b"], "align": "left"},
                "cells": {"values": [[1, "NaN"], ["x", "Inf"]], "align": "left", "height": 30},
            }
        ],
        "layout": {"title": "title", "name": "series"},
    }


@pytest.mark.parametrize("rows", [[], [[]]])
def test_table_of_nothing(rows: Any) -> None:
    figure = sent(tables.table("t", "s", rows))
    assert figure["data"][0]["header"]["values"] == figure["data"][0]["cells"]["values"] == []


def test_tables_of_data_frames() -> None:
    pd, pl = pytest.importorskip("pandas"), pytest.importorskip("polars")
    content = {"a": [1.5, None, math.inf], "b": ["x", "y", None]}
    days = pd.to_datetime(["2024-05-06", None, "2024-05-07"])

    def parts(frame: Any) -> Any:
        trace = sent(tables.table("t", "s", frame, extra_data={"columnwidth": [2, 1]}))["data"][0]
        assert trace["columnwidth"] == [2, 1]
        return trace["header"]["values"], trace["cells"]["values"]

    assert parts(pd.DataFrame({"a": content["a"], "b": ["x", "y", "z"]})) == ([["a"], ["b"]], [[1.5, "NaN", "Inf"], ["x", "y", "z"]])
    assert parts(pl.DataFrame(content)) == ([["a"], ["b"]], [[1.5, None, "Inf"], ["x", "y", None]])
    heads, cells = parts(pd.DataFrame({"day": days}, index=pd.Index(["p", "q", "r"], name="key")))
    assert (heads, cells) == ([["key"], ["day"]], [["p", "q", "r"], ["2024-05-06T00:00:00", None, "2024-05-07T00:00:00"]])
    several = pd.DataFrame({("m", "n"): [1, 2]}, index=pd.MultiIndex.from_tuples([("u", 1), ("v", 2)], names=["k", None]))
    assert parts(several) == ([["k"], [""], ["m", "n"]], [["u", "v"], [1, 2], [1, 2]])


def test_tables_of_arrow_and_of_no_rows_yet() -> None:
    pa, pl = pytest.importorskip("pyarrow"), pytest.importorskip("polars")
    found = sent(tables.table("t", "s", pa.table({"a": [1, None], "b": ["x", "y"]})))["data"][0]
    assert (found["header"]["values"], found["cells"]["values"]) == ([["a"], ["b"]], [[1, None], ["x", "y"]])
    with pytest.raises(UnsupportedTypeError, match="collect"):
        tables.table("t", "s", pl.LazyFrame({"a": [1]}))


def test_what_a_masked_array_hides_is_not_shown() -> None:
    hidden = np.ma.array([[1.0, 2.0], [3.0, 4.0]], mask=[[False, True], [False, False]])
    (curve,) = sent(curves.scatter2d("t", "s", hidden))["data"]
    assert (curve["x"], curve["y"]) == ([1, 3], [None, 4])
    assert sent(grids.heat_map("t", "s", hidden))["data"][0]["z"] == [[1, None], [3, 4]]


@pytest.mark.parametrize("matrix", [iter([[1, 2], [3, 4]]), (iter(row) for row in ([1, 2], [3, 4])), [["1", "2"], ["3", "4.0"]]])
def test_matrices_row_by_row_and_in_texts(matrix: Any) -> None:
    assert sent(grids.heat_map("t", "s", matrix))["data"][0]["z"] == [[1, 2], [3, 4]]


@pytest.mark.parametrize("matrix", [[], np.zeros((0, 0)), [[]]])
def test_a_matrix_of_nothing(matrix: Any) -> None:
    assert sent(grids.heat_map("t", "s", matrix))["data"][0]["z"] == [[]]


def test_clouds_one_by_one_and_a_name_of_any_kind() -> None:
    found = sent(curves.scatter3d("t", ["a", "b"], (np.ones((1, 3)) for _ in range(2))))
    assert [trace["name"] for trace in found["data"]] == ["a", "b"]
    found = sent(curves.scatter3d("t", 7, [[1, 2, 3]]))  # type: ignore[arg-type]
    assert (found["data"][0]["name"], found["layout"]["name"]) == ("7", "7")


def test_csv_is_read_as_pandas_reads_it() -> None:
    text = 'id,name,score,ok,empty\n1,"x, y",0.5,True,\n2,NA,,False,\n3\n'
    assert tables.read_csv(text) == [
        ["id", "name", "score", "ok", "empty"],
        [1, "x, y", 0.5, True, None],
        [2, None, None, False, None],
        [3, None, None, None, None],
    ]
    assert tables.read_csv("") == []
    assert tables.read_csv("a,b\n") == [["a", "b"]]


# ---- curves


@pytest.mark.parametrize(
    "series",
    [
        [{"name": "s1", "data": [[0, 2], [1, 3]]}],
        [SeriesInfo("s1", np.array([[0, 2], [1, 3]]))],
        SeriesInfo("s1", [(0, 2), (1, 3)]),
        {"name": "s1", "data": np.array([[0.0, 2.0], [1.0, 3.0]], dtype="f4")},
    ],
)
def test_line_plot(series: Any) -> None:
    assert sent(curves.line_plot("title", series, xaxis="x", yaxis="y")) == {
        "data": [{"type": "scatter", "mode": "lines", "name": "s1", "x": [0, 1], "y": [2, 3], "text": None}],
        "layout": {"title": "title", "name": None, "xaxis": {"title": "x", **SPIKES}, "yaxis": {"title": "y"}},
    }


def test_line_plot_with_everything() -> None:
    series = [SeriesInfo("a", [[0, 1.5]], ["first"]), SeriesInfo("b", [])]
    figure = sent(
        curves.line_plot("t", series, mode="lines+markers", reverse_xaxis=True, comment="why", extra_layout={"yaxis": {"type": "log"}})
    )
    assert [trace["text"] for trace in figure["data"]] == [["first"], None]
    assert figure["data"][1]["x"] == []
    assert figure["layout"]["title"] == "t<br><sup>why</sup>"
    assert figure["layout"]["xaxis"]["autorange"] == "reversed"
    assert figure["layout"]["yaxis"] == {"title": None, "type": "log"}


def test_scatter2d_keeps_64_bits() -> None:
    moment = 1_700_000_000.125
    figure = sent(curves.scatter2d("t", "s", np.array([[moment, 1.0], [moment + 1, math.nan]]), labels=["p", "q"], mode="markers"))
    assert figure["data"] == [
        {"type": "scatter", "mode": "markers", "name": "s", "x": [moment, moment + 1], "y": [1.0, None], "text": ["p", "q"]}
    ]
    assert figure["layout"] == {"title": "t", "name": "s", "xaxis": {"title": None, **SPIKES}, "yaxis": {"title": None}}


def test_scatter3d() -> None:
    assert sent(curves.scatter3d("title", "series", [[1, 2, 3]], xaxis="x", yaxis="y", zaxis="z")) == {
        "data": [
            {
                "type": "scatter3d", "mode": "markers", "name": "series", "x": [1], "y": [2], "z": [3], "text": None,
                "marker": {"size": 5, "opacity": 0.8, "line": {"width": 0.8, "color": "rgba(217, 217, 217, 0.14)"}},
            }
        ],
        "layout": {
            "title": "title", "name": "series", "showlegend": True,
            "scene": {"xaxis": {"title": "x"}, "yaxis": {"title": "y"}, "zaxis": {"title": "z"}},
        },
    }  # fmt: skip


@pytest.mark.parametrize("clouds", [[[[1, 2, 3]], [[4, 5, 6], [7, 8, 9]]], [np.ones((1, 3)), np.ones((2, 3))]])
def test_scatter3d_of_several_clouds(clouds: Any) -> None:
    figure = sent(curves.scatter3d("t", ["a", "b"], clouds, labels=[["p"], ["q", "r"]]))
    assert [(trace["name"], len(trace["x"]), trace["text"]) for trace in figure["data"]] == [("a", 1, ["p"]), ("b", 2, ["q", "r"])]
    assert figure["layout"]["name"] is None


def test_long_curves_are_thinned_and_keep_ends_and_extremes() -> None:
    y = np.sin(np.arange(1_000_000) / 1000)
    y[123_456] = 7.0
    data = np.stack([np.arange(len(y)), y], axis=1)
    line = curves.line_plot("t", SeriesInfo("s", data))["data"][0]
    assert 200_000 < len(line["x"]) <= 400_000
    points = curves.scatter2d("t", "s", data, labels=[str(number) for number in range(len(y))])["data"][0]
    assert 30_000 < len(points["x"]) <= 50_000
    for trace in (line, points):
        assert (trace["x"][0], trace["x"][-1]) == (0, len(y) - 1)
        assert max(trace["y"]) == 7.0
        assert min(trace["y"]) == y.min()
        assert all(data[int(x), 1] == value for x, value in zip(trace["x"][::1000], trace["y"][::1000], strict=True))
    assert points["text"][1] == str(int(points["x"][1]))


# ---- matrices


def test_heat_map() -> None:
    figure = grids.heat_map("title", "series", np.eye(2), xaxis="pred", yaxis="true", xlabels=["a", "b"], ylabels=["c", "d"])
    assert sent(figure) == {
        "data": [{"type": "heatmap", "x": ["a", "b"], "y": ["c", "d"], "z": [[1, 0], [0, 1]], "texttemplate": "%{z}"}],
        "layout": {"title": "title", "name": "series", "showlegend": True, "xaxis": {"title": "pred"}, "yaxis": {"title": "true"}},
    }
    other = grids.heat_map(
        "t", "s", [[True, None, math.nan]], yaxis_reversed=True, comment="why", extra_layout={"texttemplate": "%{z:.1f}"}
    )
    trace, layout = sent(other)["data"][0], other["layout"]
    assert (trace["x"], trace["y"], trace["z"], trace["texttemplate"]) == (None, None, [[1, None, None]], "%{z:.1f}")
    assert layout["yaxis"]["autorange"] == "reversed"
    assert layout["title"] == "t<br><sup>why</sup>"
    assert "texttemplate" not in layout
    assert "texttemplate" not in grids.heat_map("t", "s", np.zeros((100, 100)))["data"][0], "nobody can read ten thousand numbers"


def test_surface() -> None:
    figure = grids.surface("title", "series", [[1, 2], [3, 4]], xaxis="x", yaxis="y", zaxis="z", xlabels=["a", "b"], camera=(1, 1, 1))
    assert sent(figure) == {
        "data": [{"type": "surface", "z": [[1, 2], [3, 4]], "showscale": False}],
        "layout": {
            "title": "title/series", "name": "series", "showlegend": False,
            "scene": {
                "xaxis": {"title": "x", "ticktext": ["a", "b"], "tickvals": [0, 1], "nticks": 10, "showgrid": False},
                "yaxis": {"title": "y", "ticktext": None, "tickvals": None},
                "zaxis": {"title": "z", "nticks": 5},
                "camera": {"eye": {"x": 1, "y": 1, "z": 1}},
            },
        },
    }  # fmt: skip
    assert "camera" not in grids.surface("t", "s", [[1]])["layout"]["scene"]


# ---- figures


def test_plotly_figures() -> None:
    figure = {"data": [{"type": "bar", "y": np.array([1.0, math.nan])}], "layout": {"height": 3}}
    before = copy.deepcopy(figure)
    assert sent(figures.plotly_figure("series", figure)) == {
        "data": [{"type": "bar", "y": [1.0, None]}],
        "layout": {"height": 3, "title": "series"},
    }
    assert repr(figure) == repr(before)
    titled = {"data": [], "layout": {"title": {"text": "mine", "x": 0.5}}, "frames": []}
    assert figures.plotly_figure("series", titled) == titled
    untitled = figures.plotly_figure("series", {"layout": {"title": {"x": 0.5}}})
    assert untitled == {"data": [], "layout": {"title": {"x": 0.5, "text": "series"}}}


def test_packed_arrays_are_unpacked() -> None:
    go = pytest.importorskip("plotly.graph_objects")
    matrix = np.arange(6, dtype="f4").reshape(2, 3)
    figure = go.Figure([go.Scatter(x=np.arange(3), y=np.array([0.5, math.nan, 2.0])), go.Heatmap(z=matrix)])
    found = sent(figures.plotly_figure("s", figure))
    assert (found["data"][0]["x"], found["data"][0]["y"], found["data"][1]["z"]) == ([0, 1, 2], [0.5, None, 2.0], matrix.tolist())
    assert figure.layout.title.text is None


def test_a_picture_is_a_figure() -> None:
    assert figures.picture("title", "series", "http://files/x.png", 1280, 960) == {
        "data": [],
        "layout": {
            "title": "title/series", "showlegend": False, "margin": {"l": 0, "r": 0, "t": 64, "b": 0},
            "xaxis": {"visible": False, "range": [0, 640]},
            "yaxis": {"visible": False, "range": [0, 480], "scaleanchor": "x"},
            "images": [
                {
                    "source": "http://files/x.png", "x": 0, "y": 480, "sizex": 640, "sizey": 480, "xref": "x", "yref": "y",
                    "sizing": "contain", "layer": "below", "opacity": 1.0,
                }
            ],
        },
    }  # fmt: skip


# ---- what is refused, and what is left alone


def endless() -> dict[str, Any]:
    """A figure that contains itself."""
    figure: dict[str, Any] = {"data": []}
    figure["data"].append(figure)
    return figure


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: bars.histogram("t", "s", [1, 2], mode="heap"), "heap.*group, stack, relative"),
        (lambda: bars.histogram("t", "s", 5), "values"),
        (lambda: bars.histogram("t", "s", np.zeros((2, 2, 2))), "one or two dimensions"),
        (lambda: bars.histogram("t", "s", [[1, 2], [3]]), "differ in length"),
        (lambda: bars.histogram("t", "s", [[1, 2], [3, 4]], labels=["one"]), "1 labels for 2 rows"),
        (lambda: bars.histogram("t", "s", [1, 2], xlabels=["a"]), "xlabels has 1 labels for 2"),
        (lambda: tables.table("t", "s", 5), "int"),
        (lambda: tables.table("t", "s", "a,b"), "str"),
        (lambda: curves.line_plot("t", [{"name": "a"}]), "name and data"),
        (lambda: curves.line_plot("t", SeriesInfo("a", [[1, 2, 3]])), "2 coordinates; number 0"),
        (lambda: curves.line_plot("t", SeriesInfo("a", np.zeros((3, 3)))), r"shape \(3, 3\)"),
        (lambda: curves.line_plot("t", SeriesInfo("a", [[1, 2]], ["p", "q"])), "2 labels for 1"),
        (lambda: curves.scatter2d("t", "s", [[1, 2]], mode="dots"), "dots"),
        (lambda: curves.scatter2d("t", "s", [[1, 2]], labels="p"), "not one text"),
        (lambda: curves.scatter3d("t", ["a"], [[[1, 2, 3]], [[1, 2, 3]]]), "1 labels for 2"),
        (lambda: grids.heat_map("t", "s", [1, 2]), "two dimensions"),
        (lambda: grids.heat_map("t", "s", np.zeros(3)), "two dimensions"),
        (lambda: grids.heat_map("t", "s", [[1, 2]], xlabels=["a"]), "xlabels"),
        (lambda: grids.surface("t", "s", [[1, 2]], camera=(1, 2)), "camera"),
        (lambda: grids.heat_map("t", "s", [[1, "two"]]), "no number: 'two'"),
        (lambda: grids.heat_map("t", "s", np.eye(2) * 1j), "complex"),
        (lambda: grids.heat_map("t", "s", [[1, 2]], ylabels=5), "ylabels is a list of labels, not 5"),
        (lambda: grids.heat_map("t", "s", [[1, 2]], extra_layout=[1]), r"extra_layout .* not \[1\]"),
        (lambda: grids.surface("t", "s", [[1, 2]], camera=("a", 1, 2)), "three numbers"),
        (lambda: bars.histogram("t", "s", [1j]), "values holds complex"),
        (lambda: bars.histogram("t", "s", [1], data_args="x"), "data_args"),
        (lambda: curves.scatter2d("t", "s", np.ones((2, 2), complex)), "series 's' holds complex"),
        (lambda: curves.line_plot("t", None), "series is a list .* not None"),
        (lambda: tables.table("t", "s", [{"a": 1}]), "a list with a dict"),
        (lambda: figures.plotly_figure("s", 5), "plotly figure"),
        (lambda: figures.plotly_figure("s", {"data": [], "layout": "x"}), "layout .* not a str"),
        (lambda: figures.plotly_figure("s", endless()), "contains itself"),
    ],
)
def test_what_cannot_be_meant_is_refused(build: Callable[[], Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        build()
    assert issubclass(UnsupportedTypeError, ValidationError)


def test_data_are_left_as_they_are() -> None:
    rows = [[1, math.nan], [True, 2]]
    layout = {"xaxis": {"title": "mine"}}
    array = np.array([[1.0, 2.0], [3.0, 4.0]])
    kept = copy.deepcopy((rows, layout, array))
    for build in (
        lambda data: bars.histogram("t", "s", data, extra_layout=layout),
        lambda data: tables.table("t", "s", data if isinstance(data, list) else data.tolist(), extra_layout=layout),
        lambda data: curves.scatter2d("t", "s", data, extra_layout=layout),
        lambda data: grids.heat_map("t", "s", data, extra_layout=layout),
        lambda data: grids.surface("t", "s", data, extra_layout=layout),
    ):
        for data in (rows, array):
            figure = build(data)
            encode(figure)
            figure["data"][0]["changed"] = figure["layout"]["xaxis"] = 0
    assert repr((rows, layout, array)) == repr(kept)
