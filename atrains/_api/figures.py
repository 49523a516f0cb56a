"""The reports of ready figures, plotly's and matplotlib's, and the way of any figure into the journal."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Mapping
from typing import IO, Any, Final

from atrains._api.images import ImageReports
from atrains._api.outgoing import as_text, clean_name, joined, shortened
from atrains._engine import ledger
from atrains._engine.disabled import DisabledOutlet
from atrains._wire.events import EventKind
from atrains.errors import UsageError, ValidationError

Figure = dict[str, Any]
_log = logging.getLogger("atrains")
_FRAME_BYTES: Final = 512
"""What a request needs around a plot, beside its names."""
_PICTURE_DPI: Final = 150
_told: Final[set[str]] = set()
"""Why figures became pictures, as far as it was said."""


class FigureReports(ImageReports):
    """What a logger reports as ready figures."""

    __slots__ = ()

    def report_plotly(self, title: str, series: str, iteration: int | None = 0, figure: Any = None) -> None:
        """Report a plotly figure.

        It is stored as it is now: later changes of it are not seen, and it is not changed. NaN and infinities become gaps. A figure
        without a title gets the name of the series.

        Args:
            title: The title, under which the plot is found.
            series: The series; there is one plot for each title, series and iteration, and a later one replaces it.
            iteration: The iteration; the initial iteration of the task is added.
            figure: A `plotly.graph_objects.Figure`, or the dictionary of one with `data` and `layout`.

        Raises:
            UsageError: no figure was given, or in the place of the iteration.
            UnsupportedTypeError: it is no plotly figure.
            ValidationError: it contains itself.
            TaskClosedError: the task was closed.
        """
        from atrains._wire.plots import figures

        if figure is None:
            raise UsageError("report_plotly needs a figure: report_plotly(title, series, iteration, figure)")
        if isinstance(iteration, dict) or hasattr(iteration, "to_plotly_json"):
            raise UsageError("report_plotly takes the iteration before the figure: report_plotly(title, series, iteration, figure)")
        self._plot(title, series, iteration, lambda: figures.plotly_figure(series, figure))

    def report_matplotlib_figure(
        self,
        title: str,
        series: str,
        iteration: int | None = 0,
        figure: Any = None,
        report_image: bool = False,
        *,
        report_interactive: bool = True,
    ) -> None:
        """Report a matplotlib figure as a plot: curves, bars and heat maps that can be zoomed, or else a picture.

        What converts: lines, scatter plots, bars, error bars, filled areas and other shapes, arrays shown as images or meshes, texts,
        several axes, linear, logarithmic, date and category scales. A figure that holds something else (three dimensions, contours,
        photographs) is drawn as a PNG picture inside the plot; why is said once in the log. The figure is not changed. Drawing a
        picture takes 50 to 500 ms in the caller.

        Args:
            title: The title, under which the plot is found.
            series: The series; there is one plot for each title, series and iteration, and a later one replaces it.
            iteration: The iteration; the initial iteration of the task is added.
            figure: A `matplotlib.figure.Figure`, or `matplotlib.pyplot` for its current one.
            report_image: Report a PNG picture among the images (`report_image`), rather than a plot.
            report_interactive: False for a plot that is a picture in any case.

        Raises:
            UsageError: no figure was given.
            UnsupportedTypeError: it is no matplotlib figure.
            TaskClosedError: the task was closed.
        """
        from atrains._wire.plots import matplotlib_figures

        if figure is None:
            raise UsageError("report_matplotlib_figure needs a figure: report_matplotlib_figure(title, series, iteration, figure)")
        drawn = matplotlib_figures.check(figure)

        if report_image:
            self._report_written(title, series, iteration, ".png", lambda file: _draw(drawn, file), None)
            return

        def build() -> Figure:
            if report_interactive:
                try:
                    return matplotlib_figures.convert(title, series, drawn)
                except matplotlib_figures.UnconvertibleError as error:
                    _tell_of_picture(title, series, str(error))
                except Exception as error:  # what nobody has thought of, in a version or an artist of somebody else's: drawn it is kept  # noqa: BLE001
                    _tell_of_picture(title, series, f"what does not convert ({type(error).__name__}: {shortened(as_text(error))})")
            return _picture(title, series, drawn)

        self._plot(title, series, iteration, build)

    def _plot(self, title: str, variant: str, iteration: int | None, build: Callable[[], Mapping[str, Any]]) -> None:
        """Build a figure and put it into the journal; what fails but an argument that cannot be meant is counted and named once.

        Raises:
            TaskClosedError: the task was closed.
            ValidationError: an argument that `build` refuses.
        """
        step = self._step(EventKind.PLOTS, title, variant, iteration)
        if step is None or isinstance(self._outlet, DisabledOutlet):
            return  # a figure that nobody will see need not be built
        name = joined(title, variant)
        try:
            content = _encoded(build())
        except (ValidationError, UsageError):
            raise
        except Exception as error:  # converting a user's object may raise anything; reporting never does  # noqa: BLE001
            self._drop(EventKind.PLOTS, ledger.BAD_INPUT, name, as_text(error))
            return
        metric, series = clean_name(title), clean_name(variant)
        event = {"timestamp": self._stamp(), "metric": metric, "variant": series, "iter": step}
        # A request holds the plot as a text in a text: each quotation mark and each backslash is another byte there.
        size = len(content) + content.count(b'"') + content.count(b"\\") + 4 * (len(metric) + len(series)) + _FRAME_BYTES
        if size > self._largest:
            self._drop(EventKind.PLOTS, ledger.TOO_LARGE, name, f"{size:,} bytes, and a request holds {self._largest:,}: report less of it")
            return
        self._record(EventKind.PLOTS, {"kind": "plots", "task": self._task, "event": event}, [memoryview(content)], name)


def _encoded(figure: Mapping[str, Any]) -> bytes:
    from atrains._wire.plots.encoding import encode

    return encode(figure)


def _draw(figure: Any, file: IO[bytes]) -> None:
    figure.savefig(file, format="png", dpi=_PICTURE_DPI)


def _picture(title: str, series: str, figure: Any) -> Figure:
    """A matplotlib figure as a picture inside a plot."""
    from atrains._wire.plots import figures

    buffer = io.BytesIO()
    _draw(figure, buffer)
    return figures.png_figure(title, series, buffer.getvalue())


def _tell_of_picture(title: str, series: str, why: str) -> None:
    if why not in _told:
        _told.add(why)
        _log.warning(
            "atrains: the figure of %r is stored as a picture, which cannot be zoomed: it holds %s (said once)", joined(title, series), why
        )
