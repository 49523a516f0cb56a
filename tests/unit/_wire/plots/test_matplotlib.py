"""Figures of matplotlib: what converts has equal data, what does not is named."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from atrains._wire.plots.encoding import encode
from atrains._wire.plots.matplotlib_figures import UnconvertibleError, check, convert
from atrains.errors import UnsupportedTypeError

matplotlib = pytest.importorskip("matplotlib")
np = pytest.importorskip("numpy")


@pytest.fixture
def plt() -> Iterator[Any]:
    """Pyplot, without a screen."""
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    yield plt
    plt.close("all")


def converted(figure: Any, title: str = "title", series: str = "series") -> Any:
    return json.loads(encode(convert(title, series, figure)))


def test_lines(plt: Any) -> None:
    figure, axes = plt.subplots()
    axes.plot([1, 2, 3], [4, math.nan, 6], "rs--", label="red", linewidth=3)
    axes.plot([1, 2], [3, 4], "o")
    axes.step([1, 2], [1, 2], where="post", alpha=0.5)
    axes.set(title="heading", xlabel="across", ylabel="up", xlim=(3, 0))
    axes.legend()
    found = converted(figure)
    red, dots, steps = found["data"]
    assert red == {
        "type": "scatter", "mode": "lines+markers", "name": "red", "showlegend": True, "x": [1, 2, 3], "y": [4, None, 6],
        "xaxis": "x", "yaxis": "y", "line": {"color": "rgba(255,0,0,1)", "width": 3, "dash": "dash"},
        "marker": {"symbol": "square", "size": 6, "color": "rgba(255,0,0,1)"},
    }  # fmt: skip
    assert (dots["mode"], dots["showlegend"]) == ("markers", False)
    assert steps["line"]["shape"] == "hv"
    assert steps["line"]["color"].endswith(",0.5)")
    layout = found["layout"]
    assert (layout["title"], layout["autosize"], layout["margin"], layout["showlegend"]) == ("series", True, {}, True)
    assert (layout["height"], layout["width"]) == (None, None)
    assert layout["xaxis"]["title"]["text"] == "across"
    assert layout["xaxis"]["range"] == [3, 0]
    assert layout["annotations"][0]["text"] == "heading"


def test_names_that_only_the_legend_has(plt: Any) -> None:
    figure, axes = plt.subplots()
    axes.plot([1, 2], [3, 4])
    axes.plot([1, 2], [4, 3])
    axes.legend(["train", "test"])
    found = converted(figure)
    assert [(trace["name"], trace["showlegend"]) for trace in found["data"]] == [("train", True), ("test", True)]


def test_points(plt: Any) -> None:
    figure, axes = plt.subplots()
    axes.scatter([1, 2, 3], [4, 5, 6], s=[16, 25, 36], c=[0.0, 0.5, 1.0], cmap="gray", label="points")
    axes.scatter(np.ma.array([1, 2], mask=[0, 1]), [1, 2], color="blue")
    first, second = converted(figure)["data"]
    assert (first["x"], first["y"], first["mode"], first["name"]) == ([1, 2, 3], [4, 5, 6], "markers", "points")
    assert first["marker"]["size"] == [4, 5, 6]
    assert first["marker"]["color"][0] == "rgba(0,0,0,1)"
    assert first["marker"]["color"][2] == "rgba(255,255,255,1)"
    assert second["marker"]["color"] == "rgba(0,0,255,1)"


def test_bars(plt: Any) -> None:
    figure, (left, right) = plt.subplots(1, 2)
    left.bar(["a", "b"], [1, 2], bottom=[0, 1], yerr=0.1)
    right.barh([0, 1], [3, 4], height=0.5, color=["r", "g"], label="lying")
    right.hist([1, 1, 2], bins=2)
    found = converted(figure)
    standing = next(trace for trace in found["data"] if trace["type"] == "bar")
    assert (standing["x"], standing["y"], standing["base"]) == ([0, 1], [1, 2], [0, 1])
    assert standing["width"] == pytest.approx([0.8, 0.8])
    lying = next(trace for trace in found["data"] if trace.get("orientation") == "h")
    assert (lying["x"], lying["y"], lying["xaxis"], lying["name"]) == ([3, 4], [0, 1], "x2", "lying")
    assert lying["marker"]["color"] == ["rgba(255,0,0,1)", "rgba(0,128,0,1)"]
    assert found["data"][-1]["y"] == [2, 1]
    assert found["layout"]["xaxis"]["ticktext"] == ["a", "b"]
    assert found["layout"]["xaxis"]["tickvals"] == [0, 1]
    assert found["layout"]["xaxis"]["domain"][1] < found["layout"]["xaxis2"]["domain"][0]


def test_arrays_as_images_and_meshes(plt: Any) -> None:
    figure, (left, right) = plt.subplots(1, 2)
    shown = left.imshow([[1, 2, 3], [4, 5, math.nan]], cmap="gray", vmin=0, vmax=6)
    figure.colorbar(shown, ax=left)
    right.pcolormesh([0, 1, 3], [0, 2, 4], [[1, 2], [3, 4]])
    found = converted(figure)
    image, mesh = found["data"]
    assert (image["type"], image["z"], image["x"], image["y"]) == ("heatmap", [[1, 2, 3], [4, 5, None]], [0, 1, 2], [0, 1])
    assert (image["zmin"], image["zmax"], image["showscale"]) == (0, 6, True)
    assert image["colorscale"][0] == [0, "rgba(0,0,0,1)"]
    assert found["layout"]["yaxis"]["range"] == [1.5, -0.5], "the first row is at the top"
    assert found["layout"]["yaxis"]["scaleanchor"] == "x"
    assert (mesh["z"], mesh["x"], mesh["y"]) == ([[1, 2], [3, 4]], [0, 1, 3], [0, 2, 4])
    assert "xaxis3" not in found["layout"], "the bar of colours is plotly's own"


def test_areas_bundles_and_bands(plt: Any) -> None:
    figure, axes = plt.subplots()
    axes.fill_between([0, 1], [0, 0], [1, 2], alpha=0.5, label="area")
    axes.vlines([1, 2], 0, 3, colors="red")
    axes.axhline(2, color="green")
    axes.axvspan(0.5, 0.75)
    axes.annotate("here", (1, 2), xytext=(0, 0), arrowprops={"arrowstyle": "->"})
    axes.text(0.5, 0.5, "middle\nof it", transform=axes.transAxes)
    found = converted(figure)
    area, bundle = found["data"]
    assert (area["fill"], area["name"]) == ("toself", "area")
    assert {(0, 0), (1, 0), (0, 1), (1, 2)} <= set(zip(area["x"], area["y"], strict=True))
    assert (bundle["x"], bundle["y"]) == ([1, 1, None, 2, 2], [0, 3, None, 0, 3])
    band, line = found["layout"]["shapes"]
    assert (line["y0"], line["y1"], line["xref"], line["yref"]) == (2, 2, "x domain", "y")
    assert (band["x0"], band["x1"], band["xref"], band["yref"]) == (0.5, 0.75, "x", "y domain")
    notes = {note["text"]: note for note in found["layout"]["annotations"]}
    assert (notes["here"]["x"], notes["here"]["y"], notes["here"]["showarrow"]) == (1, 2, True)
    assert notes["middle<br>of it"]["xref"] == "x domain"


def test_texts_stand_where_matplotlib_has_them(plt: Any) -> None:
    """At dates and categories, away from a spot by points, on an axis of logarithms."""
    figure, (dates, names, powers) = plt.subplots(3)
    dates.plot([datetime(2024, 5, 6), datetime(2024, 5, 8)], [1, 2])  # noqa: DTZ001  # as people plot them
    dates.annotate("date", (datetime(2024, 5, 7), 1.5))  # noqa: DTZ001
    names.bar_label(names.bar(["one", "two"], [3, 4]), padding=3)
    names.text("two", 1, "name")
    powers.loglog([1, 1000], [1, 10])
    powers.annotate("far", (100, 10), xytext=(10, 1), arrowprops={})
    powers.annotate("there", (100, 10), xytext=(10, 1))
    powers.annotate("near", (100, 10), xytext=(3, -6), textcoords="offset points", arrowprops={})
    notes = {note["text"]: note for note in converted(figure)["layout"]["annotations"]}
    assert (notes["date"]["x"], notes["date"]["y"]) == ("2024-05-07T00:00:00", 1.5)
    assert (notes["4"]["x"], notes["4"]["y"], notes["4"]["yshift"], notes["4"]["yanchor"]) == (1, 4, 4, "bottom")
    assert (notes["name"]["x"], notes["name"]["xref"]) == (1, "x2")
    assert (notes["far"]["x"], notes["far"]["y"], notes["far"]["ax"], notes["far"]["ay"], notes["far"]["axref"]) == (2, 1, 1, 0, "x3")
    assert (notes["there"]["x"], notes["there"]["y"], notes["there"]["showarrow"]) == (1, 0, False)
    assert (notes["near"]["ax"], notes["near"]["ay"]) == (4, 8)


def test_axes_without_marks(plt: Any) -> None:
    figure, axes = plt.subplots()
    axes.pie([1, 2])
    layout = converted(figure)["layout"]
    assert [layout[axis][part] for axis in ("xaxis", "yaxis") for part in ("showticklabels", "showgrid", "zeroline")] == [False] * 6


def test_periods_of_pandas_are_dates(plt: Any) -> None:
    pd = pytest.importorskip("pandas")
    figure, (days, months) = plt.subplots(2)
    pd.Series([1, 2], index=pd.date_range("2024-05-06", periods=2)).plot(ax=days)
    pd.Series([1, 2], index=pd.date_range("2024-05-31", periods=2, freq="ME")).plot(ax=months)
    found = converted(figure)
    assert [trace["x"] for trace in found["data"]] == [
        ["2024-05-06T00:00:00", "2024-05-07T00:00:00"],
        ["2024-05-01T00:00:00", "2024-06-01T00:00:00"],
    ]
    assert (found["layout"]["xaxis"]["type"], found["layout"]["xaxis2"]["type"]) == ("date", "date")


def test_what_belongs_to_no_axes(plt: Any) -> None:
    figure, axes = plt.subplots()
    axes.plot([1, 2], [3, 4], label="line", markerfacecolor=np.array([1.0, 0, 0]), marker="o")
    figure.legend()
    figure.text(0.25, 0.75, "beside", rotation=90)
    figure.suptitle("above")
    found = converted(figure)
    assert found["layout"]["showlegend"] is True
    assert found["data"][0]["marker"]["color"] == "rgba(255,0,0,1)"
    (note,) = found["layout"]["annotations"]
    assert (note["text"], note["x"], note["y"], note["xref"], note["textangle"]) == ("beside", 0.25, 0.75, "paper", -90)
    figure.add_artist(plt.Line2D([0, 1], [0, 1]))
    with pytest.raises(UnconvertibleError, match="beside its axes"):
        convert("title", "series", figure)


def test_scales(plt: Any) -> None:
    figure, axes = plt.subplots()
    days = [datetime(2024, 5, 6) + timedelta(days=number) for number in range(3)]  # noqa: DTZ001  # as people plot them
    axes.plot(days, [1, 10, 100])
    axes.set_yscale("log")
    axes.set_ylim(1, 1000)
    twin = axes.twinx()
    twin.plot(days, [1, 2, 3])
    figure.suptitle("above")
    found = converted(figure, series="")
    assert found["data"][0]["x"] == [day.isoformat() for day in days]
    layout = found["layout"]
    assert (layout["xaxis"]["type"], layout["yaxis"]["type"], layout["yaxis"]["range"]) == ("date", "log", [0, 3])
    assert (layout["yaxis2"]["overlaying"], layout["yaxis2"]["side"]) == ("y", "right")
    assert layout["title"] == "title<br><sup>above</sup>"


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (lambda plt: plt.axes(projection="3d").plot([1], [2], [3]), "3d"),
        (lambda plt: plt.axes(projection="polar").plot([1], [2]), "polar"),
        (lambda plt: plt.contour([[1, 2], [3, 4]]), "ContourSet"),
        (lambda plt: plt.imshow(np.zeros((4, 4, 3))), "photograph"),
        (lambda plt: plt.yscale("symlog"), "symlog"),
        (lambda plt: plt.table([["a"]]), "table"),
        (lambda _: None, "no axes"),
    ],
)
def test_what_does_not_convert_is_named(plt: Any, draw: Any, words: str) -> None:
    figure = plt.figure()
    draw(plt)
    with pytest.raises(UnconvertibleError, match=words):
        convert("title", "series", figure)


def test_a_figure_is_not_changed(plt: Any) -> None:
    figure, axes = plt.subplots()
    axes.plot([1, 2], [3, 4])
    axes.imshow([[1, 2], [3, 4]])
    axes.scatter([1], [2], c=[0.5])
    before = figure.canvas.print_to_buffer() if figure.canvas.draw() is None else None
    convert("title", "series", figure)
    figure.canvas.draw()
    assert figure.canvas.print_to_buffer() == before


def test_what_is_a_figure(plt: Any) -> None:
    figure, axes = plt.subplots()
    assert check(figure) is check(axes) is check(plt) is figure
    with pytest.raises(UnsupportedTypeError, match="matplotlib figure"):
        check([1])
