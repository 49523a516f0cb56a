"""What a task reported, read back from its home. A part of AsyncTask; what a curve is, is in `_wire.curves`."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime
from functools import partial
from typing import Any, Final, SupportsIndex

from atrains._async.base import TaskPart
from atrains._async.metrics import AsyncMetricsManager
from atrains._async.status import FLUSH_BUDGET
from atrains._wire import endpoints
from atrains._wire.curves import X_AXES, CurveBuilder, chunks, without_single_values
from atrains._wire.events import SINGLE_VALUE_TITLE, ScalarBlock, whole_number
from atrains._wire.metrics import by_title
from atrains._wire.refusals import as_public_error
from atrains.errors import ServerError, ValidationError
from atrains.types import LastMetric, ScalarChunk, ScalarCurve, XAxis

CHUNK: Final = 65_536
"""Points of one chunk at most: 1.5 MiB of columns."""
_LOG_PAGE: Final = 10_000
"""Server: it fails above."""


class Queries(TaskPart):
    """Reading back. What this process reported to the task before the call is stored first, so that it is seen."""

    async def get_reported_scalars(self, max_samples: SupportsIndex = 0, x_axis: XAxis = "iter") -> dict[str, dict[str, ScalarCurve]]:
        """Every curve that the task reported, by title and series.

        Args:
            max_samples: Points of a curve at most, each the mean of a window; 0 for every point, exactly as reported.
            x_axis: What `x` holds: `iter` (iterations), `timestamp` (seconds from the start of the task) or `iso_time` (ISO 8601, UTC).

        Returns:
            `{title: {series: {"x": [...], "y": [...]}}}`, in the order of the iterations.

        Raises:
            ValidationError: an unknown x axis, or a negative number of samples.
            TransportError: the home cannot be reached.
        """
        what = f"cannot read the scalars of task {self.id}"
        if x_axis not in X_AXES:
            raise ValidationError(f"{what}: unknown x_axis {x_axis!r}; use one of {', '.join(X_AXES)}")
        most = _count(f"{what}: max_samples", max_samples, 0, "the number of points of a curve at most, or 0 for all")
        builder = await self._collect()
        if x_axis == "timestamp":
            await self.reload()  # another process may have started it meanwhile
        return await self._channel.run(partial(builder.curves, x_axis, start=self._start_time(), max_samples=most))

    async def iter_reported_scalars(self, title: str | None = None, series: str | None = None) -> AsyncGenerator[ScalarChunk]:
        """Go through the points of the task's curves piece by piece: memory stays flat, however many there are.

        The points come in the order in which they were reported. Of a point that was reported again at its iteration a server has only the
        later one left; the local home has both, and gives the later one behind the earlier. Single values are not among them.

        Args:
            title: Only this graph.
            series: Only curves of this name.

        Yields:
            Columns of one series, 65,536 points at most. Where many series are reported in turn, a series has many short pieces. What is
            left early is closed by `contextlib.aclosing` in the async world, and by itself in the blocking one.

        Raises:
            NotFoundError: the task was deleted.
            TransportError: the home cannot be reached.

        Example:
            >>> for chunk in task.iter_reported_scalars("loss"):  # `async for`, of an AsyncTask
            ...     print(chunk.series, len(chunk), max(chunk.values))
        """
        async with aclosing(self._blocks()) as blocks:
            async for block in blocks:
                for begin in range(0, len(block), CHUNK):
                    for chunk in await self._channel.run(partial(_chunks, block, begin, title, series)):
                        yield chunk

    async def get_reported_single_values(self) -> dict[str, float]:
        """The values that belong to the whole run, by name.

        Raises:
            TransportError: the home cannot be reached.
        """
        return (await self._collect()).single_values().get(SINGLE_VALUE_TITLE, {})

    async def get_last_scalar_metrics(self) -> dict[str, dict[str, LastMetric]]:
        """The last, smallest and largest value of every curve.

        Returns:
            `{title: {series: {"last": ..., "min": ..., "max": ...}}}`.

        Raises:
            TransportError: the home cannot be reached.
        """
        await self._deliver_first()
        await self.reload()
        return {
            title: {
                series: {"last": entry["value"], "min": entry["min_value"], "max": entry["max_value"]} for series, entry in held.items()
            }
            for title, held in by_title(self._record).items()
        }

    async def get_last_iteration(self) -> int:
        """The largest iteration that was reported, or that `set_last_iteration` set since; 0 when there is none.

        Raises:
            NotFoundError: the task was deleted.
            TransportError: the home cannot be reached.
        """
        await self._deliver_first()
        what = f"cannot read the last iteration of task {self.id}"
        return max(int((await self._fetch_fields(what, ["last_iteration"])).get("last_iteration") or 0), self._last_iteration)

    async def set_last_iteration(self, last_iteration: SupportsIndex) -> None:
        """Set the last iteration, whatever was reported so far; a larger one that is reported afterwards counts again.

        A home of atrains keeps it: every process sees it, and a run that continues goes on behind it. No call of another server sets the
        last iteration: there it is only what `get_last_iteration` of this object returns at least, and it cannot be lowered.

        Args:
            last_iteration: The iteration, 0 or more, as it would be reported; the initial iteration is not added.

        Raises:
            ValidationError: it is no such number.
            TaskStatusError: the run has ended.
            TransportError: the home cannot be reached.
        """
        iteration = _count(f"task {self.id}: last_iteration", last_iteration, 0, "the last iteration, 0 or more")
        self._check_open()
        if not self._is_ahead:  # then all of it waits, in its order
            await self._channel.flush(self.reported_as, FLUSH_BUDGET)  # what was reported before must not count afterwards
        await self._edit("set the last iteration of", last_iteration=iteration)
        kept = not self._is_ahead and self._record.get("last_iteration") == iteration
        self._last_iteration = 0 if kept else iteration

    async def get_reported_console_output(self, number_of_reports: SupportsIndex = 1) -> list[str]:
        """The latest texts of the task's console, the oldest of them first.

        Args:
            number_of_reports: How many reports at most; one may hold several lines.

        Returns:
            The texts, one for each report; none when nothing was reported.

        Raises:
            ValidationError: less than one report.
            TransportError: the home cannot be reached.
        """
        what = f"cannot read the console of task {self.id}"
        wanted = _count(f"{what}: number_of_reports", number_of_reports, 1, "the number of reports at most, 1 or more")
        await self._deliver_first()
        found: list[str] = []
        before: dict[str, Any] = {}
        while (missing := wanted - len(found)) > 0:
            page: dict[str, Any] = {"order": "asc", "navigate_earlier": True, "batch_size": min(missing, _LOG_PAGE)}
            events = (await self._call(endpoints.EVENTS_GET_TASK_LOG, "read the console of", **page, **before))["events"]
            found[:0] = [str(event.get("msg", "")) for event in events]
            if len(events) < page["batch_size"]:
                break
            before = {"from_timestamp": events[0]["timestamp"]}
        return found[-wanted:]

    @property
    def metrics_manager(self) -> AsyncMetricsManager:
        """What manages the metrics of this task: which there are, what the home keeps of each, and reporting many at once."""
        return AsyncMetricsManager(self)

    async def _blocks(self) -> AsyncGenerator[ScalarBlock]:
        """Yield what is stored of the task's scalars, block by block; to be closed by who leaves it early."""
        await self._deliver_first()
        try:
            async with aclosing(self._channel.transport.scalars(self.id)) as blocks:
                async for block in blocks:
                    yield block
        except ServerError as error:
            raise as_public_error(error, f"cannot read the scalars of task {self.id}") from error

    async def _collect(self) -> CurveBuilder:
        builder = CurveBuilder()
        async with aclosing(self._blocks()) as blocks:
            async for block in blocks:
                await self._channel.run(partial(builder.add, block))
        return builder

    def _start_time(self) -> float:
        started = self._record.get("started") or self._record.get("created")
        return datetime.fromisoformat(started).timestamp() if isinstance(started, str) else 0.0


def _chunks(block: ScalarBlock, begin: int, title: str | None, series: str | None) -> list[ScalarChunk]:
    """What a stretch of a block holds of the series that were asked for."""
    wanted = (
        without_single_values(chunk)
        for chunk in chunks(block, begin, begin + CHUNK)
        if title in {None, chunk.title} and series in {None, chunk.series}
    )
    return [chunk for chunk in wanted if chunk.values]


def _count(name: str, value: SupportsIndex, least: int, meaning: str) -> int:
    """Refuse what is no number of things."""
    number = whole_number(value)
    if number is None or number < least:
        raise ValidationError(f"{name} is {meaning}, not {value!r}")
    return number
