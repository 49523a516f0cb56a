"""Runs that nobody has heard of for a long time: who executed them is gone, and they are stopped. When to look is up to `atrains serve`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from atrains._local.records import with_derived
from atrains._local.services import status
from atrains._local.store import Store
from atrains.errors import ServerError

USUAL_SILENCE: Final = 7200
"""Server: seconds without a sign of life after which a run is stopped. Signs are pings, reports, edits, and its worker's reports."""
_REASON: Final = "Forced stop (non-responsive)"


def stop_silent(store: Store, seconds: float, is_alive: Callable[[str], bool]) -> list[str]:
    """Stop the runs that have been silent for so long, and return the ids of their tasks.

    Args:
        store: The home.
        seconds: How long.
        is_alive: Whether somebody on this machine reports to a task, who need not say so to the home.
    """
    edge = (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat(timespec="microseconds")
    with store.read() as connection:
        rows = connection.execute("SELECT id FROM tasks WHERE status = 'in_progress' AND last_update < ?", [edge]).fetchall()
    silent = [str(task) for (task,) in rows if not is_alive(str(task))]
    return [task for task in silent if _stop(store, task, edge)]


def _stop(store: Store, task: str, edge: str) -> bool:
    with store.change() as connection:
        try:
            record = store.record(task)
        except ServerError:  # deleted meanwhile
            return False
        if record["status"] != "in_progress" or with_derived(connection, record)["last_update"] >= edge:
            return False
        status.enter(record, "stopped", force=True)
        record.update(status_reason=_REASON, status_message=_REASON)
        store.save(connection, record)
    return True
