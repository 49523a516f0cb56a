"""The plots and images that a task reported, read back from its home. A part of AsyncTask."""

from __future__ import annotations

from typing import Any, Final, cast

from atrains._async.base import TaskPart
from atrains._wire import endpoints
from atrains._wire.artifacts import resolve_url
from atrains._wire.images import with_own_file
from atrains.errors import ValidationError
from atrains.types import DebugSample, ReportedPlot

_PAGE: Final = 5_000
"""Images of one page. Server: it fails above 10,000."""


class Plots(TaskPart):
    """Reading plots and images back. What this process reported to the task before the call is stored first, so that it is seen."""

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

    async def get_debug_samples(self, title: str, series: str, n_last_iterations: int | None = None) -> list[DebugSample]:
        """The images, and other media, that the task reported under a title and a series, those of the latest iterations first.

        Only those whose file was not replaced: of each title and series the last 100 are kept (see `Logger.report_image`).

        Args:
            title: The title.
            series: The series.
            n_last_iterations: Of how many of the latest iterations that have any; None for all.

        Returns:
            One dictionary for each: `url`, for `StorageManager.get_local_copy`; `iter`, `timestamp` (milliseconds since 1970), `key` (the
            path below its destination), `metric` (title) and `variant` (series).

        Raises:
            ValidationError: less than one iteration.
            TransportError: the home cannot be reached.
        """
        if n_last_iterations is not None and (not isinstance(n_last_iterations, int) or n_last_iterations < 1):
            raise ValidationError(
                f"cannot read the images of task {self.id}: n_last_iterations is how many of the latest iterations, 1 or more, or None for "
                f"all, not {n_last_iterations!r}"
            )
        await self._deliver_first()
        found: list[DebugSample] = []
        request: dict[str, Any] = {"event_type": "training_debug_image", "order": "asc", "batch_size": _PAGE}
        while True:
            answer = await self._call(endpoints.EVENTS_GET_TASK_EVENTS, "read the images of", **request)
            page = answer.get("events") or []
            found += [cast("DebugSample", event) for event in page if (event.get("metric"), event.get("variant")) == (title, series)]
            request["scroll_id"] = answer.get("scroll_id")
            if not page or not request["scroll_id"]:
                break
        kept = sorted(with_own_file(found), key=lambda sample: (-sample["iter"], sample["key"]))
        latest = set(list(dict.fromkeys(sample["iter"] for sample in kept))[:n_last_iterations])
        for sample in kept:
            sample["url"] = resolve_url(sample["url"], self._settings.home.path)
        return [sample for sample in kept if sample["iter"] in latest]
