"""The reports that are plots."""

from __future__ import annotations

from atrains._api.outgoing import Outgoing


class PlotReports(Outgoing):
    """What a logger reports as plots."""

    __slots__ = ()
