"""The page of `atrains serve` that draws plots, in a browser: each figure has its traces there, and nothing comes from elsewhere."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from atrains import Task
from atrains.testing import RunningServer

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
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


def browse(address: str, tmp_path: Path) -> str:
    """The page as it is once its scripts have run."""
    command = [
        str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--enable-unsafe-swiftshader",
        "--virtual-time-budget=20000", f"--user-data-dir={tmp_path / 'browser'}", "--dump-dom", address,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, timeout=120, check=True)
    return done.stdout.decode()


def test_every_kind_of_plot_is_drawn(served: str, tmp_path: Path) -> None:
    pytest.importorskip("plotly")
    pyplot: Any = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("Agg")
    with Task.init("project", "drawn") as task:
        log = task.get_logger()
        log.report_histogram("histogram", "s", [1, 2, float("nan")])
        log.report_table(HOSTILE, "s", 0, [[HOSTILE, "b"], [1, HOSTILE]])
        log.report_line_plot("line", [{"name": "one", "data": [[0, 1], [1, 2]]}], 0, "the x axis", "y")
        log.report_scatter2d("scatter", "s", [[0, 1], [1, 2]], mode="markers")
        log.report_scatter3d("space", "s", [[1, 2, 3], [4, 5, 6]])
        log.report_confusion_matrix("confusion", "s", [[1, 2], [3, 4]])
        log.report_surface("surface", "s", [[1, 2], [3, 4]])
        log.report_plotly("pie", "s", figure={"data": [{"type": "pie", "values": [1, 2]}], "layout": {}})
        figure, axes = pyplot.subplots()
        axes.plot([1, 2], [3, 4])
        log.report_matplotlib_figure("converted", "s", 0, figure)
        log.report_matplotlib_figure("picture", "s", 0, figure, report_interactive=False)
        pyplot.close(figure)
        project = task.project
    page = browse(f"{served}/projects/{project}/tasks/{task.id}/plots", tmp_path)
    assert page.count('class="figure js-plotly-plot drawn"') == 10
    assert "cannot be drawn" not in page
    for drawn, count in (("trace bars", 1), ("trace scatter", 3), ('class="hm"', 1), ("cell-text", 4), ("slicetext", 2), ("<canvas", 2)):
        assert page.count(drawn) >= count, drawn
    assert "the x axis" in page
    assert 'href="data:image/png;base64,' in page
    assert "<title>drawn</title>" in page
    assert not re.search(r"<img[^>]*onerror", page)
    assert not re.search(r'(?:src|href)="https?://', page)
