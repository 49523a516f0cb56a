"""The page of `atrains serve` that draws plots, in a browser: each figure has its traces there, and nothing comes from elsewhere."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from atrains import Task
from atrains.testing import RunningServer

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
MARKS = {
    "histogram": "trace bars", "vector": "trace bars", "table": "<td>", "long table": "cell-text", "line": "a comment",
    "scatter": "trace scatter", "no surface": "<svg", "space": "<canvas",
    "confusion": 'class="hm"', "matrix": 'class="hm"', "surface": "<canvas",
    "pie": "slicetext", "converted": "trace scatter", "seen points": "<canvas", "seen text": "trace bars",
    "picture": 'href="data:image/png;base64,',
}  # fmt: skip
"""By the title of a plot, something that is in the page once it is drawn."""
HOSTILE = "</script><script>document.title='taken'</script><img src=x onerror=alert(1)>"

pytestmark = [
    pytest.mark.skipif(BROWSER is None, reason="no Chromium here"),
    pytest.mark.timeout(300),
]


@pytest.fixture
def served(atrains_server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a server that this process reports to."""
    monkeypatch.delenv("ATRAINS_API_HOST")
    for name, value in atrains_server.environment.items():
        monkeypatch.setenv(name, value)
    return str(atrains_server.environment["CLEARML_WEB_HOST"])


def browse(address: str, tmp_path: Path, *options: str) -> str:
    """The page as it is once its scripts have run; what the options ask for as well."""
    command = [
        str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--enable-unsafe-swiftshader",
        "--virtual-time-budget=20000", f"--user-data-dir={tmp_path / 'browser'}", *options, "--dump-dom", address,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, timeout=120, check=True)
    return done.stdout.decode()


def pixels(picture: Path, channel: int) -> int:
    """How many pixels of a picture are of nothing but red (0), green (1) or blue (2)."""
    numpy: Any = pytest.importorskip("numpy")
    image: Any = pytest.importorskip("PIL.Image")
    with image.open(picture) as shown:
        values = numpy.asarray(shown.convert("RGB")).astype(int)
    others = values.sum(axis=2) - values[..., channel]
    return int(((values[..., channel] > 200) & (others < 60)).sum())


def test_every_kind_of_plot_is_drawn(served: str, tmp_path: Path) -> None:
    pytest.importorskip("plotly")
    numpy: Any = pytest.importorskip("numpy")
    pyplot: Any = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("Agg")
    with Task.init("project", "drawn") as task:
        log = task.get_logger()
        log.report_histogram("histogram", "s", [1, 2, float("nan")])
        log.report_vector("vector", "s", numpy.arange(3))
        log.report_table("table", HOSTILE, 0, [[HOSTILE, "b"], [1, HOSTILE]])
        log.report_table("long table", "s", 0, [["row"], *([number] for number in range(2_000))])
        log.report_line_plot("line", [{"name": "one", "data": [[0, 1], [1, 2]]}], 0, "the x axis", "y", comment="a comment")
        log.report_scatter2d("scatter", "s", [[0, 1], [1, 2]], mode="markers")
        log.report_scatter3d("space", "s", [[1, 2, 3], [4, 5, 6]])
        log.report_confusion_matrix("confusion", "s", [[1, 2], [3, 4]])
        log.report_matrix("matrix", "s", [[0.123456, 2], [3, 4]])
        log.report_surface("no surface", "s", [])  # nothing is drawn of it, but everything behind it
        log.report_surface("surface", "s", [[1, 2], [3, 4]])
        log.report_plotly("pie", "s", figure={"data": [{"type": "pie", "values": [1, 2]}], "layout": {}})
        points = {"type": "scatter3d", "mode": "markers", "x": [1, 2], "y": [1, 2], "z": [1, 2], "marker": {"color": "#f00", "size": 30}}
        log.report_plotly("seen points", "s", figure={"data": [points]})
        second_line = {"text": "<br>MMMM", "font": {"size": 40, "color": "#00f", "weight": "bold"}}
        log.report_plotly("seen text", "s", figure={"data": [{"type": "bar", "y": [2]}], "layout": {"title": second_line}})
        figure, axes = pyplot.subplots()
        axes.plot([1, 2], [3, 4])
        log.report_matplotlib_figure("converted", "s", 0, figure)
        log.report_matplotlib_figure("picture", "s", 0, figure, report_interactive=False)
        pyplot.close(figure)
        project = task.project
    picture, address = tmp_path / "page.png", f"{served}/projects/{project}/tasks/{task.id}/plots"
    page = browse(address, tmp_path, f"--screenshot={picture}", "--window-size=1200,5000")
    assert "cannot be drawn" not in page
    figures = re.findall(r"<figcaption>([\w ]+?)(?: /.*?)? <span.*?</figcaption>(.*?)</figure>", page, re.DOTALL)
    drawn = dict(figures)
    assert set(drawn) == set(MARKS)
    for title, mark in MARKS.items():
        assert mark in drawn[title], title
        assert ('class="figure js-plotly-plot drawn"' in drawn[title]) == (title != "table"), title
    assert "the x axis" in drawn["line"]
    assert ">0.123<" in drawn["matrix"]
    assert "<title>drawn</title>" in page
    assert not re.search(r"<img[^>]*onerror", page)
    assert not re.search(r'(?:src|href)="https?://', page)
    # What is in the page may still not be seen: points in space, where there is no WebGL; texts, where a style of ours matches them.
    assert pixels(picture, 0) > 200
    assert pixels(picture, 2) > 200


def test_curves_matrices_and_images_of_a_task_are_seen(served: str, tmp_path: Path) -> None:
    numpy: Any = pytest.importorskip("numpy")
    watch = {"report_start_sec": 0.1, "report_frequency_sec": 0.2, "sample_frequency_per_sec": 20}
    with Task.init("project", "a task", auto_resource_monitoring=watch) as task:
        log = task.get_logger()
        for iteration in range(3):
            log.report_scalar("loss", "train", 1 / (iteration + 1), iteration)
        log.report_single_value("accuracy", 0.5)
        log.report_confusion_matrix("confusion", "s", [[0.123456] * 12] * 2)
        log.report_table("wide", "s", 0, [[f"column {number}" for number in range(12)], ["0.123456"] * 12])
        red = numpy.zeros((100, 100, 3), "uint8")
        red[..., 0] = 255
        log.report_image("image", "s", image=red)
        deadline = time.monotonic() + 20
        while ":monitor:machine" not in task.get_reported_scalars() and time.monotonic() < deadline:
            time.sleep(0.2)
        task.flush(wait_for_uploads=True)
        project = task.project
    picture, address = tmp_path / "page.png", f"{served}/projects/{project}/tasks/{task.id}"
    page = browse(address, tmp_path, f"--screenshot={picture}", "--window-size=1200,2500")
    curves = dict(re.findall(r"<figcaption>([^<]*)</figcaption>(<svg.*?</svg>)", page, re.DOTALL))
    assert curves["loss"].count('<path class="line"') == 1
    assert "cpu_usage" in curves[":resource monitor: machine"]
    assert ">0.1235<" in page
    assert pixels(picture, 0) > 9_000, "the image"
