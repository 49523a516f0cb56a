"""Histograms and vectors: groups of bars. The values are drawn as they are; nothing is counted into bins. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from atrains._wire.plots import values as given

MODES: Final = ("group", "stack", "relative")


def histogram(
    title: str,
    series: str,
    values: Any,
    *,
    labels: Iterable[str] | None = None,
    xlabels: Iterable[str] | None = None,
    xaxis: str | None = None,
    yaxis: str | None = None,
    mode: str | None = None,
    data_args: Mapping[str, Any] | None = None,
    extra_layout: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return bars: one group a column, one bar in each group a row.

    Server: the figure of `report_histogram` and `report_vector`; a row is named by its label, else by the series.

    Raises:
        ValidationError: an unknown mode, values of more than two dimensions, labels that do not match them.
    """
    bars = given.rows(values, "values")
    width = len(bars[0])
    marks = given.labels(xlabels, width, "xlabels", "groups")
    names = _names(labels, len(bars), one_for_all=marks is not None) or [series] * len(bars)
    across: list[Any] = list(range(width)) if marks is None else marks
    traces = [{"type": "bar", "name": name, "x": across, "y": row} for name, row in zip(names, bars, strict=True)]
    layout = {
        "title": series if labels is not None and series else title,
        "xaxis": {"title": xaxis},
        "yaxis": {"title": yaxis},
        "barmode": given.one_of(mode or MODES[0], MODES, "mode"),
        "bargap": 0.08,
        "bargroupgap": 0,
    }
    return {"data": [given.merged(trace, data_args, "data_args") for trace in traces], "layout": given.merged(layout, extra_layout)}


def _names(labels: Iterable[str] | None, rows: int, *, one_for_all: bool) -> list[str] | None:
    """Server: where there are labels on the x axis, one label may stand for all rows."""
    listed: Any = None if labels is None else given.nested([labels] if isinstance(labels, str) else labels)
    if given.is_list(listed) and len(listed) == 1 and one_for_all:
        return [str(listed[0])] * rows
    return given.labels(listed, rows, "labels", "rows of values")
