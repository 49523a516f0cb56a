"""AsyncMetricsManager: `task.metrics_manager`, what a task has in metrics. The points themselves are read in `queries`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import SupportsFloat, SupportsIndex

from atrains._async.base import TaskPart
from atrains._engine.channel import Channel
from atrains._engine.disabled import DisabledChannel
from atrains._engine.runtime import Runtime
from atrains._wire.metrics import by_title, summary_of
from atrains.types import MetricSummary


class AsyncMetricsManager:
    """Manages the metrics of one task; get it with `task.metrics_manager`.

    Example:
        >>> for series, known in (await task.metrics_manager.get_summary())["loss"].items():
        ...     print(series, known["count"], known["min"])
    """

    def __init__(self, task: TaskPart) -> None:
        self._task = task

    @property
    def task_id(self) -> str:
        """The id of the task."""
        return self._task.id

    @property
    def storage_uri(self) -> str | None:
        """Where files that belong to metrics go: the task's output destination, or None for the home itself."""
        return self._task.output_uri

    @property
    def iteration_offset(self) -> int:
        """What is added to every reported iteration: the initial iteration of the task."""
        return self._task.get_initial_iteration()

    async def get_summary(self) -> dict[str, dict[str, MetricSummary]]:
        """What the home keeps of every series beside its points. What this process reported before the call is counted.

        Returns:
            `{title: {series: {"last": ..., "min": ..., "max": ..., "count": ..., ...}}}`, ordered by title and series. A server keeps it
            for the first 2,000 series of a task.

        Raises:
            NotFoundError: the task was deleted.
            TransportError: the home cannot be reached.
        """
        await self._task._deliver_first()  # one package  # noqa: SLF001
        await self._task.reload()
        return {title: {series: summary_of(entry) for series, entry in held.items()} for title, held in by_title(self._task.data).items()}

    async def get_titles(self) -> list[str]:
        """The graphs that the task has, in alphabetical order.

        Raises:
            TransportError: the home cannot be reached.
        """
        return list(await self.get_summary())

    async def get_series(self, title: str) -> list[str]:
        """The curves of a graph, in alphabetical order; none where there is no such graph.

        Raises:
            TransportError: the home cannot be reached.
        """
        return list((await self.get_summary()).get(title, {}))

    def write_events(self, events: Iterable[tuple[str, str, SupportsFloat | SupportsIndex, int]]) -> None:
        """Report many points at once; never waits, and survives a killed process once it returned.

        Args:
            events: For each point title, series, value and iteration, as `Logger.report_scalar` takes them.

        Raises:
            TaskClosedError: the task was closed.

        Example:
            >>> task.metrics_manager.write_events([("loss", "train", 0.25, 10), ("loss", "test", 0.31, 10)])
        """
        report = self._task.get_logger().report_scalar
        for title, series, value, iteration in events:
            report(title, series, value, iteration)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of task {self.task_id}>"

    # ---- where its blocking calls run

    @property
    def _channel(self) -> Channel | DisabledChannel:
        return self._task._channel  # one package  # noqa: SLF001

    @property
    def _runtime(self) -> Runtime | None:
        return self._task._runtime  # one package  # noqa: SLF001
