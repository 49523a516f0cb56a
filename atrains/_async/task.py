"""AsyncTask: the async core, composed of its themed parts."""

from __future__ import annotations

from atrains._async.configuration import Configuration
from atrains._async.destination import Destination
from atrains._async.execution import Execution
from atrains._async.labels import Labels
from atrains._async.models import Models
from atrains._async.parameters import Parameters
from atrains._async.plots import Plots
from atrains._async.queries import Queries
from atrains._async.registered import RegisteredArtifacts
from atrains._async.remote import Remote
from atrains._async.removal import Removal
from atrains._async.stopping import Stopping
from atrains.errors import UsageError


class AsyncTask(
    Removal, Remote, Parameters, Models, Configuration, Labels, RegisteredArtifacts, Queries, Plots, Destination, Execution, Stopping
):
    """A task for asyncio programs: what does I/O is a coroutine, what reports is a plain call.

    Get one with `Task.ainit`, `AsyncTask.create` or `AsyncTask.get_task`.

    Any number of coroutines may use one at once. What reports may be called from any thread; coroutines belong to one event loop at a time,
    and the same task in blocking form (`Task`) is for threads. A pickle holds the id and the home; in another process only `id` is there
    until `await task.reload()`.

    Example:
        >>> async with Task.ainit("project", "name") as task:
        ...     task.get_logger().report_scalar("loss", "train", value=0.25, iteration=10)
    """

    def __init__(self) -> None:
        raise UsageError(
            "a task is not made by calling its class: use Task.ainit for the current run, AsyncTask.get_task for an existing one"
        )
