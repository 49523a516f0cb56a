"""The same plots by the official package and by atrains: `python plots.py PACKAGE PROJECT NAME OUTCOME`. The outcome is what was sent."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import matplotlib as mpl  # noqa: TID253  # this is a program of somebody else
import numpy as np  # noqa: TID253
import pandas as pd  # noqa: TID253
import plotly.graph_objects as go  # noqa: TID253

mpl.use("Agg")
from matplotlib import pyplot as plt  # noqa: TID253

package, project, name, outcome = sys.argv[1:]
Task = importlib.import_module(package).Task
options = {"auto_connect_frameworks": False, "auto_resource_monitoring": False} if package == "clearml" else {}

task = Task.init(project, name, **options)
log = task.get_logger()
rows = np.array([[1.5, 2.25], [3.0, 4.5], [0.5, 8.0]])
frame = pd.DataFrame({"name": ["a", "b"], "score": [0.5, 2.0]}, index=pd.Index(["one", "two"], name="key"))
table = Path(outcome).with_name("table.csv")
table.write_text("key,count,score,name\nu,1,0.5,a\nv,2,1.5,b\n", encoding="utf-8")

log.report_histogram("histogram", "s", values=[3, 1, 2], iteration=2, xaxis="x", yaxis="y")
log.report_histogram("groups", "s", values=rows.T, iteration=2, labels=["p", "q"], xlabels=["a", "b", "c"], mode="stack")
log.report_vector("vector", "s", values=np.arange(4), iteration=2)
log.report_table("rows", "s", iteration=2, table_plot=[["a", "b"], [1, "x"], [2, "y"]])
log.report_table("frame", "s", iteration=2, table_plot=frame)
log.report_table("csv", "s", iteration=2, csv=str(table))
log.report_line_plot(
    "line",
    series=[{"name": "one", "data": rows, "labels": ["a", "b", "c"]}, {"name": "two", "data": rows + 1}],
    iteration=2, xaxis="x", yaxis="y", mode="lines+markers", reverse_xaxis=True, comment="a comment",
)  # fmt: skip
log.report_scatter2d("scatter2d", "s", scatter=rows, iteration=2, xaxis="x", yaxis="y", labels=["a", "b", "c"], mode="markers")
log.report_scatter3d("scatter3d", "s", scatter=np.arange(12.0).reshape(4, 3), iteration=2, xaxis="x", yaxis="y", zaxis="z")
log.report_confusion_matrix(
    "confusion", "s", matrix=np.eye(2) * 5, iteration=2, xaxis="x", yaxis="y", xlabels=["a", "b"], ylabels=["c", "d"]
)
log.report_matrix("matrix", "s", matrix=rows, iteration=2, yaxis_reversed=True)
log.report_surface("surface", "s", matrix=rows, iteration=2, xaxis="x", yaxis="y", zaxis="z", camera=(1, 2, 3))
figure = go.Figure([go.Scatter(x=np.arange(3), y=np.array([0.5, np.nan, 2.0]), name="one"), go.Bar(x=["a", "b"], y=[1, 2])])
log.report_plotly("plotly", "s", figure=figure, iteration=2)
drawn, axes = plt.subplots()
axes.plot([1, 2, 3], [4.0, 5.5, 6.0], label="line")
axes.plot([1, 2], [2, 1], "o")
log.report_matplotlib_figure("matplotlib lines", "s", figure=drawn, iteration=2)
drawn, axes = plt.subplots()
axes.bar([1, 2, 3], [3, 1, 2])
log.report_matplotlib_figure("matplotlib bars", "s", figure=drawn, iteration=2)

task.flush(**({"wait_for_uploads": True} if package == "clearml" else {}))
sent = {plot["metric"]: [plot["variant"], plot["iter"], json.loads(plot["plot_str"])] for plot in task.get_reported_plots()}
Path(outcome).write_text(json.dumps({"id": task.id, "plots": sent}), encoding="utf-8")
task.close()
