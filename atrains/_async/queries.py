"""What a task reported, read back from its home. A part of AsyncTask; what a curve is, is in `_wire.curves`."""

from __future__ import annotations

from datetime import datetime
from functools import partial

from atrains._async.base import TaskPart, call
from atrains._wire import endpoints
from atrains._wire.curves import X_AXES, CurveBuilder
from atrains._wire.events import SINGLE_VALUE_TITLE
from atrains.errors import ValidationError
from atrains.types import LastMetric, ScalarCurve, XAxis


class Queries(TaskPart):
    """Reading back. What this process reported to the task before the call is stored first, so that it is seen."""

    async def get_reported_scalars(self, max_samples: int = 0, x_axis: XAxis = "iter") -> dict[str, dict[str, ScalarCurve]]:
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
        if x_axis not in X_AXES:
            raise ValidationError(f"unknown x_axis {x_axis!r}; use one of {', '.join(X_AXES)}")
        if max_samples < 0:
            raise ValidationError(f"max_samples is the number of points at most, or 0 for all, not {max_samples}")
        builder = await self._collect()
        return await self._channel.run(partial(builder.curves, x_axis, start=self._start_time(), max_samples=max_samples))

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
        found: dict[str, dict[str, LastMetric]] = {}
        for variants in (self._record.get("last_metrics") or {}).values():
            for entry in variants.values():
                found.setdefault(entry["metric"], {})[entry["variant"]] = {
                    "last": entry["value"],
                    "min": entry["min_value"],
                    "max": entry["max_value"],
                }
        return found

    async def get_last_iteration(self) -> int:
        """The largest iteration that was reported; 0 when none was.

        Raises:
            TransportError: the home cannot be reached.
        """
        await self._deliver_first()
        what = f"cannot read the last iteration of task {self.id}"
        answer = await call(self._channel, endpoints.TASKS_GET_ALL, what, id=[self.id], only_fields=["last_iteration"])
        return int((answer["tasks"] or [{}])[0].get("last_iteration") or 0)

    async def get_reported_console_output(self, number_of_reports: int = 1) -> list[str]:
        """The latest texts of the task's console, the oldest of them first.

        Args:
            number_of_reports: How many reports at most; one may hold several lines.

        Raises:
            ValidationError: less than one report.
            TransportError: the home cannot be reached.
        """
        if number_of_reports < 1:
            raise ValidationError(f"number_of_reports is at least 1, not {number_of_reports}")
        await self._deliver_first()
        answer = await self._call(
            endpoints.EVENTS_GET_TASK_LOG, "read the console of", order="asc", navigate_earlier=True, batch_size=number_of_reports
        )
        return [str(event.get("msg", "")) for event in answer["events"]][-number_of_reports:]

    async def _collect(self) -> CurveBuilder:
        await self._deliver_first()
        builder = CurveBuilder()
        async for block in self._channel.transport.scalars(self.id):
            await self._channel.run(partial(builder.add, block))
        return builder

    def _start_time(self) -> float:
        started = self._record.get("started") or self._record.get("created")
        return datetime.fromisoformat(started).timestamp() if isinstance(started, str) else 0.0
