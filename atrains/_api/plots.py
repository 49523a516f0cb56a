"""The reports of data as plots: bars, tables, curves, points, matrices. What each is made into is in `_wire.plots`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atrains._api.figures import FigureReports
from atrains.errors import UsageError

if TYPE_CHECKING:
    from atrains.types import ArrayLike, SeriesInfo


class PlotReports(FigureReports):
    """What a logger reports as plots.

    Each call makes one plot of the data as they are now, and journals it before it returns: the caller may change them afterwards, and
    nothing of them is changed here. Data are lists, arrays, tensors, columns or data frames. One plot is kept for each title, series and
    iteration: a later one replaces it. An argument that cannot be meant (an unknown mode, labels that do not match the data) raises
    `ValidationError`; what else fails is counted in `task.stats()` and named once in the log.

    The data are converted in the caller: about 0.05 ms for a small plot, 0.1 s for a million numbers in arrays and 1 s in lists of points.
    """

    __slots__ = ()

    def report_histogram(
        self,
        title: str,
        series: str,
        values: ArrayLike,
        iteration: int | None = 0,
        labels: Iterable[str] | None = None,
        xlabels: Iterable[str] | None = None,
        xaxis: str | None = None,
        yaxis: str | None = None,
        mode: str | None = None,
        extra_layout: Mapping[str, Any] | None = None,
        *,
        data_args: Mapping[str, Any] | None = None,
    ) -> None:
        """Report groups of bars. The values are the heights of the bars: nothing is counted into bins.

        Args:
            title: The title, under which the plot is found.
            series: The series.
            values: The heights: one row, or several rows of which each has a bar in every group.
            iteration: The iteration; the initial iteration of the task is added.
            labels: A name for each row; the series by default.
            xlabels: A name for each group; 0, 1, 2... by default.
            xaxis: What stands at the x axis.
            yaxis: What stands at the y axis.
            mode: `group` (default), `stack` or `relative`.
            extra_layout: Put over plotly's `layout`.
            data_args: Put over each of plotly's traces.

        Raises:
            ValidationError: an unknown mode, values of more than two dimensions, labels that do not match them.
            TaskClosedError: the task was closed.
        """
        from atrains._wire.plots import bars

        self._plot(
            title,
            series,
            iteration,
            lambda: bars.histogram(
                title,
                series,
                values,
                labels=labels,
                xlabels=xlabels,
                xaxis=xaxis,
                yaxis=yaxis,
                mode=mode,
                data_args=data_args,
                extra_layout=extra_layout,
            ),
        )

    def report_vector(
        self,
        title: str,
        series: str,
        values: ArrayLike,
        iteration: int | None = 0,
        labels: Iterable[str] | None = None,
        xlabels: Iterable[str] | None = None,
        xaxis: str | None = None,
        yaxis: str | None = None,
        mode: str | None = None,
        extra_layout: Mapping[str, Any] | None = None,
    ) -> None:
        """Report a vector as bars: the same as `report_histogram`, with the same arguments.

        Raises:
            ValidationError: as `report_histogram`.
            TaskClosedError: the task was closed.
        """
        self.report_histogram(title, series, values, iteration, labels, xlabels, xaxis, yaxis, mode, extra_layout)

    def report_table(
        self,
        title: str,
        series: str,
        iteration: int | None = 0,
        table_plot: Any = None,
        csv: str | Path | None = None,
        url: str | None = None,
        extra_layout: Mapping[str, Any] | None = None,
        *,
        extra_data: Mapping[str, Any] | None = None,
    ) -> None:
        """Report a table, from exactly one of `table_plot`, `csv` and `url`.

        A file is read in this call. So is an address, which may take up to 10 seconds: on an event loop use
        `await asyncio.to_thread(logger.report_table, ...)`. What cannot be read is counted as dropped, as `not reportable`.

        Args:
            title: The title, under which the plot is found.
            series: The series.
            iteration: The iteration; the initial iteration of the task is added.
            table_plot: A data frame of pandas or polars, a table of Arrow, or a list of rows of which the first holds the heads.
            csv: The path of a CSV file.
            url: The address of one.
            extra_layout: Put over plotly's `layout`.
            extra_data: Put over plotly's table, for instance `{"columnwidth": [2, 1]}`.

        Raises:
            UsageError: none or several of the three were given.
            SyncInAsyncError: `url`, on the thread of a running event loop.
            UnsupportedTypeError: a table of another kind.
            TaskClosedError: the task was closed.
        """
        from atrains._api import table_files
        from atrains._wire.plots import tables

        if [table_plot is None, csv is None, url is None].count(False) != 1:
            raise UsageError("report_table takes one of table_plot, csv and url")
        if url is not None:
            table_files.check_thread(url)

        def build() -> dict[str, Any]:
            data = table_plot
            if csv is not None:
                data = tables.read_csv(table_files.read_file(csv))
            elif url is not None:
                data = tables.read_csv(table_files.fetch(url))
            return tables.table(title, series, data, extra_layout=extra_layout, extra_data=extra_data)

        self._plot(title, series, iteration, build)

    def report_line_plot(
        self,
        title: str,
        series: Sequence[SeriesInfo | Mapping[str, Any]] | SeriesInfo | Mapping[str, Any],
        iteration: int | None = 0,
        xaxis: str | None = None,
        yaxis: str | None = None,
        mode: str = "lines",
        reverse_xaxis: bool = False,
        comment: str | None = None,
        extra_layout: Mapping[str, Any] | None = None,
    ) -> None:
        """Report curves in one graph: one plot for each title and iteration, whose series is empty.

        Above 800,000 values, x and y of all curves counted, the curves are thinned: end points, gaps and the extremes of each stretch stay.

        Args:
            title: The title, under which the plot is found.
            series: The curves: `atrains.types.SeriesInfo(name, data, labels=None)` or mappings with those keys; `data` is N x 2.
            iteration: The iteration; the initial iteration of the task is added.
            xaxis: What stands at the x axis.
            yaxis: What stands at the y axis.
            mode: `lines` (default), `markers` or `lines+markers`.
            reverse_xaxis: Whether x grows to the left.
            comment: What stands under the title.
            extra_layout: Put over plotly's `layout`.

        Raises:
            ValidationError: an unknown mode, data of another shape, labels that do not match them.
            TaskClosedError: the task was closed.
        """
        from atrains._wire.plots import curves

        self._plot(
            title,
            "",
            iteration,
            lambda: curves.line_plot(
                title,
                series,
                xaxis=xaxis,
                yaxis=yaxis,
                mode=mode,
                reverse_xaxis=reverse_xaxis,
                comment=comment,
                extra_layout=extra_layout,
            ),
        )

    def report_scatter2d(
        self,
        title: str,
        series: str,
        scatter: ArrayLike,
        iteration: int | None = 0,
        xaxis: str | None = None,
        yaxis: str | None = None,
        labels: Iterable[str] | None = None,
        mode: str = "lines",
        comment: str | None = None,
        extra_layout: Mapping[str, Any] | None = None,
    ) -> None:
        """Report points in a plane. Above 50,000 of them they are thinned, as `report_line_plot` says.

        Args:
            title: The title, under which the plot is found.
            series: The series.
            scatter: The points, N x 2.
            iteration: The iteration; the initial iteration of the task is added.
            xaxis: What stands at the x axis.
            yaxis: What stands at the y axis.
            labels: A text for each point.
            mode: `lines` (default), `markers` or `lines+markers`.
            comment: What stands under the title.
            extra_layout: Put over plotly's `layout`.

        Raises:
            ValidationError: an unknown mode, data of another shape, labels that do not match them.
            TaskClosedError: the task was closed.
        """
        from atrains._wire.plots import curves

        self._plot(
            title,
            series,
            iteration,
            lambda: curves.scatter2d(
                title, series, scatter, xaxis=xaxis, yaxis=yaxis, labels=labels, mode=mode, comment=comment, extra_layout=extra_layout
            ),
        )

    def report_scatter3d(
        self,
        title: str,
        series: str | Sequence[str],
        scatter: ArrayLike,
        iteration: int | None = 0,
        xaxis: str | None = None,
        yaxis: str | None = None,
        zaxis: str | None = None,
        labels: Iterable[Any] | None = None,
        mode: str = "markers",
        fill: bool = False,
        comment: str | None = None,
        extra_layout: Mapping[str, Any] | None = None,
    ) -> None:
        """Report points in space. Above 50,000 of them they are thinned, as `report_line_plot` says.

        Args:
            title: The title, under which the plot is found.
            series: The series; or a name for each of several clouds of points, then the series of the plot is empty.
            scatter: The points, N x 3, or a list of such clouds.
            iteration: The iteration; the initial iteration of the task is added.
            xaxis: What stands at the x axis.
            yaxis: What stands at the y axis.
            zaxis: What stands at the z axis.
            labels: A text for each point; for several clouds a list of such lists.
            mode: `markers` (default), `lines` or `lines+markers`.
            fill: Has no effect, in the official clients either.
            comment: What stands under the title.
            extra_layout: Put over plotly's `layout`.

        Raises:
            ValidationError: an unknown mode, data of another shape, names or labels that do not match them.
            TaskClosedError: the task was closed.
        """
        from atrains._wire.plots import curves
        from atrains._wire.plots import values as given

        del fill
        variant = str(series) if given.is_name(series) else ""
        self._plot(
            title,
            variant,
            iteration,
            lambda: curves.scatter3d(
                title,
                series,
                scatter,
                xaxis=xaxis,
                yaxis=yaxis,
                zaxis=zaxis,
                labels=labels,
                mode=mode,
                comment=comment,
                extra_layout=extra_layout,
            ),
        )

    def report_confusion_matrix(
        self,
        title: str,
        series: str,
        matrix: ArrayLike,
        iteration: int | None = 0,
        xaxis: str | None = None,
        yaxis: str | None = None,
        xlabels: Iterable[str] | None = None,
        ylabels: Iterable[str] | None = None,
        yaxis_reversed: bool = False,
        comment: str | None = None,
        extra_layout: Mapping[str, Any] | None = None,
    ) -> None:
        """Report a confusion matrix as a heat map; up to 2,500 cells have their number written on them.

        Args:
            title: The title, under which the plot is found.
            series: The series.
            matrix: The rows, from below upwards unless `yaxis_reversed`.
            iteration: The iteration; the initial iteration of the task is added.
            xaxis: What stands at the x axis.
            yaxis: What stands at the y axis.
            xlabels: A name for each column; 0, 1, 2... by default.
            ylabels: A name for each row; 0, 1, 2... by default.
            yaxis_reversed: Whether the first row is at the top.
            comment: What stands under the title.
            extra_layout: Put over plotly's `layout`; a `texttemplate` in it says what is written on the cells.

        Raises:
            ValidationError: not two dimensions, cells that are no numbers, labels that do not match them.
            TaskClosedError: the task was closed.
        """
        from atrains._wire.plots import grids

        self._plot(
            title,
            series,
            iteration,
            lambda: grids.heat_map(
                title,
                series,
                matrix,
                xaxis=xaxis,
                yaxis=yaxis,
                xlabels=xlabels,
                ylabels=ylabels,
                yaxis_reversed=yaxis_reversed,
                comment=comment,
                extra_layout=extra_layout,
            ),
        )

    def report_matrix(
        self,
        title: str,
        series: str,
        matrix: ArrayLike,
        iteration: int | None = 0,
        xaxis: str | None = None,
        yaxis: str | None = None,
        xlabels: Iterable[str] | None = None,
        ylabels: Iterable[str] | None = None,
        yaxis_reversed: bool = False,
        extra_layout: Mapping[str, Any] | None = None,
    ) -> None:
        """Report a matrix as a heat map: the same as `report_confusion_matrix`, with the same arguments but `comment`.

        Raises:
            ValidationError: not two dimensions, cells that are no numbers, labels that do not match them.
            TaskClosedError: the task was closed.
        """
        self.report_confusion_matrix(
            title, series, matrix, iteration, xaxis, yaxis, xlabels, ylabels, yaxis_reversed, extra_layout=extra_layout
        )

    def report_surface(
        self,
        title: str,
        series: str,
        matrix: ArrayLike,
        iteration: int | None = 0,
        xaxis: str | None = None,
        yaxis: str | None = None,
        zaxis: str | None = None,
        xlabels: Iterable[str] | None = None,
        ylabels: Iterable[str] | None = None,
        camera: Sequence[float] | None = None,
        comment: str | None = None,
        extra_layout: Mapping[str, Any] | None = None,
    ) -> None:
        """Report a matrix as a surface in space.

        Args:
            title: The title, under which the plot is found.
            series: The series.
            matrix: The heights, row by row.
            iteration: The iteration; the initial iteration of the task is added.
            xaxis: What stands at the x axis.
            yaxis: What stands at the y axis.
            zaxis: What stands at the z axis.
            xlabels: A name for each column.
            ylabels: A name for each row.
            camera: Where it is looked at from, as x, y and z.
            comment: What stands under the title.
            extra_layout: Put over plotly's `layout`.

        Raises:
            ValidationError: not two dimensions, cells that are no numbers, labels that do not match them, a camera that is no point.
            TaskClosedError: the task was closed.
        """
        from atrains._wire.plots import grids

        self._plot(
            title,
            series,
            iteration,
            lambda: grids.surface(
                title,
                series,
                matrix,
                xaxis=xaxis,
                yaxis=yaxis,
                zaxis=zaxis,
                xlabels=xlabels,
                ylabels=ylabels,
                camera=camera,
                comment=comment,
                extra_layout=extra_layout,
            ),
        )
