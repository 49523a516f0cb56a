"""MetricsManager: generated from `_async` by generate.py. Do not edit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import SupportsFloat, SupportsIndex

from atrains._async.metrics import AsyncMetricsManager
from atrains._sync._base import Twin
from atrains.types import MetricSummary


class MetricsManager(Twin):
    """Manages the metrics of one task; get it with `task.metrics_manager`.

    Example:
        >>> for series, known in (task.metrics_manager.get_summary())["loss"].items():
        ...     print(series, known["count"], known["min"])
    """

    _core: AsyncMetricsManager

    @property
    def task_id(self) -> str:
        """The id of the task."""
        return self._core.task_id

    @property
    def storage_uri(self) -> str | None:
        """Where files that belong to metrics go: the task's output destination, or None for the home itself."""
        return self._core.storage_uri

    @property
    def iteration_offset(self) -> int:
        """What is added to every reported iteration: the initial iteration of the task."""
        return self._core.iteration_offset

    def get_summary(self) -> dict[str, dict[str, MetricSummary]]:
        """What the home keeps of every series beside its points. What this process reported before the call is counted.

        Returns:
            `{title: {series: {"last": ..., "min": ..., "max": ..., "count": ..., ...}}}`, ordered by title and series. A server keeps it
            for the first 2,000 series of a task.

        Raises:
            NotFoundError: the task was deleted.
            TransportError: the home cannot be reached.
        """
        return self._block(self._core, lambda: self._core.get_summary(), "metricsmanager.get_summary()")

    def get_titles(self) -> list[str]:
        """The graphs that the task has, in alphabetical order.

        Raises:
            TransportError: the home cannot be reached.
        """
        return self._block(self._core, lambda: self._core.get_titles(), "metricsmanager.get_titles()")

    def get_series(self, title: str) -> list[str]:
        """The curves of a graph, in alphabetical order; none where there is no such graph.

        Raises:
            TransportError: the home cannot be reached.
        """
        return self._block(self._core, lambda: self._core.get_series(title), "metricsmanager.get_series(...)")

    def write_events(self, events: Iterable[tuple[str, str, SupportsFloat | SupportsIndex, int]]) -> None:
        """Report many points at once; never waits, and survives a killed process once it returned.

        Args:
            events: For each point title, series, value and iteration, as `Logger.report_scalar` takes them.

        Raises:
            TaskClosedError: the task was closed.

        Example:
            >>> task.metrics_manager.write_events([("loss", "train", 0.25, 10), ("loss", "test", 0.31, 10)])
        """
        self._core.write_events(events)


Twin._twins[AsyncMetricsManager] = MetricsManager
