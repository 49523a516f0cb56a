"""All that can be reported: curves, text, plots of every kind, images. Made-up data, the same in every run."""

import os
from tempfile import gettempdir

import matplotlib
import numpy as np
from PIL import Image

from atrains import Logger, Task

matplotlib.use("Agg")
from matplotlib import pyplot as plt

task = Task.init("migrated", "reporting", auto_connect_frameworks={"matplotlib": False})
np.random.seed(7)

print("reporting some graphs")


def report_curves(logger):
    for i in range(100):
        logger.report_scalar("unified graph", "series A", 1.0 / (i + 1), i)
        logger.report_scalar("unified graph", "series B", 10.0 / (i + 1), iteration=i)
        Logger.current_logger().report_scalar(title="accuracy", series="test", value=float(np.tanh(i / 20.0)), iteration=i)


def report_plots(logger, iteration):
    histogram = np.random.randint(10, size=10)
    logger.report_histogram("histogram", "counts", iteration=iteration, values=histogram, xaxis="bin", yaxis="samples")
    logger.report_histogram("two histograms", "stacked", np.array([[1, 2, 3], [3, 2, 1]]), iteration, labels=["first", "second"])
    logger.report_vector("vector", "values", values=np.arange(6) ** 2, iteration=iteration, xaxis="x", yaxis="y")

    confusion = np.random.randint(10, size=(4, 4))
    names = ["cat", "dog", "bird", "fish"]
    logger.report_confusion_matrix("confusion", "ignored", iteration=iteration, matrix=confusion, xaxis="predicted", yaxis="actual",
                                   xlabels=names, ylabels=names)
    logger.report_matrix("matrix", "of counts", confusion, iteration)

    scatter2d = np.hstack((np.arange(10).reshape(10, 1), np.random.randint(10, size=(10, 1))))
    logger.report_scatter2d("scatter 2d", "markers", iteration=iteration, scatter=scatter2d, xaxis="x", yaxis="y", mode="markers")
    logger.report_scatter2d("scatter 2d lines", "line", scatter2d, iteration)
    scatter3d = np.random.randint(10, size=(10, 3))
    logger.report_scatter3d("scatter 3d", "points", iteration=iteration, scatter=scatter3d, xaxis="x", yaxis="y", zaxis="z")

    surface = np.random.randint(10, size=(10, 10))
    logger.report_surface("surface", "of numbers", iteration=iteration, matrix=surface, xaxis="x", yaxis="y", zaxis="z")

    line = [{"name": "squares", "data": np.array([[0, 0], [1, 1], [2, 4]])}]
    logger.report_line_plot("line plot", [Logger.SeriesInfo(**info) for info in line], iteration, xaxis="x", yaxis="y")
    logger.report_table("table", "of a list", iteration=iteration, table_plot=[["name", "legs"], ["cat", 4], ["bird", 2]])
    logger.report_plotly("plotly", "bars", iteration, figure={"data": [{"type": "bar", "x": [1, 2], "y": [3, 5]}], "layout": {}})

    figure = plt.figure()
    plt.plot([0, 1, 2], [0, 1, 4], label="squares")
    logger.report_matplotlib_figure("matplotlib", "figure", iteration, figure)
    plt.close(figure)


def report_samples(logger, iteration):
    pixels = np.zeros((32, 64, 3), dtype=np.uint8)
    pixels[:, :32, 0] = 255
    logger.report_image("image", "an array", iteration=iteration, image=pixels)
    logger.report_image("image", "of PIL", iteration, image=Image.fromarray(pixels))
    path = os.path.join(gettempdir(), "trains_sample_%d.png" % os.getpid())
    Image.fromarray(pixels).save(path)
    logger.report_image("image", "a file", iteration, path)
    text = os.path.join(gettempdir(), "trains_sample_%d.html" % os.getpid())
    with open(text, "w") as f:
        f.write("<html><body>a page</body></html>")
    logger.report_media("media", "a page", iteration=iteration, local_path=text)


logger = task.get_logger()
report_curves(logger)
report_plots(logger, iteration=100)
report_samples(logger, iteration=100)
logger.report_text("a line for the %s", 20, True, "console")
Logger.current_logger().report_text("a line for the task alone", print_console=False)
logger.flush()

print("done reporting")
