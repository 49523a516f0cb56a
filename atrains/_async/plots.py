"""The plots that a task reported, read back from its home. A part of AsyncTask."""

from __future__ import annotations

from typing import Any

from atrains._async.base import TaskPart
from atrains._wire import endpoints
from atrains.errors import ValidationError
from atrains.types import ReportedPlot


class Plots(TaskPart):
    """Reading plots back. What this process reported to the task before the call is stored first, so that it is seen."""

    async def get_reported_plots(self, max_iterations: int | None = None) -> list[ReportedPlot]:
        """The plots of the task, those of the latest iterations first.

        Args:
            max_iterations: How many of the latest iterations of each title and series; 1 by default.

        Returns:
            One dictionary for each plot: `metric` (title), `variant` (series), `iter`, `timestamp` (milliseconds since 1970), and in
            `plot_str` the JSON text of a plotly figure, for `json.loads` or `plotly.io.from_json`.

        Raises:
            ValidationError: less than one iteration.
            TransportError: the home cannot be reached.
        """
        iterations = 1 if max_iterations is None else max_iterations
        if not isinstance(iterations, int) or iterations < 1:
            raise ValidationError(
                f"cannot read the plots of task {self.id}: max_iterations is how many of the latest iterations, 1 or more, "
                f"not {max_iterations!r}"
            )
        await self._deliver_first()
        found: list[ReportedPlot] = []
        request: dict[str, Any] = {"iters": iterations}
        while True:
            answer = await self._call(endpoints.EVENTS_GET_TASK_PLOTS, "read the plots of", **request)
            page = answer.get("plots") or []
            found += page
            request["scroll_id"] = answer.get("scroll_id")
            # Server: the last page is one without plots; older ones count all of them, which saves that call.
            if not page or not request["scroll_id"] or len(found) >= (answer.get("total") or len(found) + 1):
                return found
